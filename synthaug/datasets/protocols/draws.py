"""What protocols draw out of the training clips: a validation share, and the few shots of a class.

Below the protocols.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import final

import numpy as np

from synthaug.datasets import Split
from synthaug.structures import Record


@final
class Draws:
    """What is drawn out of the training clips: a validation share, then the shots."""

    def __init__(self, val_fraction: float, n_shot: int | None, seed: int) -> None:
        if not 0 <= val_fraction < 1 or (n_shot is not None and n_shot < 1):
            raise ValueError(
                f"val_fraction={val_fraction} and n_shot={n_shot} were given; a share from 0 to below 1, and at least "
                "one clip a class or null for all, were wanted. Set protocol.val_fraction or protocol.n_shot."
            )
        self.val_fraction = val_fraction
        self.n_shot = n_shot
        self.seed = seed

    def finish(self, split: Split, classes: Sequence[str]) -> Split:
        """Draw, and refuse a class that nothing can be learnt about."""
        if self.val_fraction and split.val:
            raise ValueError(
                f"Both a val_fraction ({self.val_fraction}) and a list for validation were given; one of them was "
                "wanted. Set protocol.val_fraction=0, or empty the list."
            )
        if not split.test:
            raise ValueError("No clip is left to test on; at least one was wanted. Widen the protocol's test list.")
        train: list[Record] = []
        val = list(split.val)
        for label, name in enumerate(classes):
            kept, set_aside = self._draw([r for r in split.train if r.label == label], name)
            train += kept
            val += set_aside
        notes = dict(split.notes)
        if self.n_shot is not None:
            notes["training_clips_beyond_shots"] = len(split.train) + len(split.val) - len(train) - len(val)
        untested = len(classes) - len({record.label for record in split.test})
        if untested:
            notes["classes_without_test_clips"] = untested
        return Split(by_key(train), by_key(val), by_key(split.test), notes)

    def _draw(self, clips: Sequence[Record], name: str) -> tuple[list[Record], list[Record]]:
        clips = sorted(clips, key=lambda record: record.key)
        if not clips:
            raise ValueError(
                f"The class {name!r} has no training clip; at least one was wanted. Give its people or views to "
                f"training, or leave it out of dataset.classes."
            )
        order = [clips[i] for i in drawn_by(self.seed, "val", name).permutation(len(clips))]
        # A class with any clips to spare gives at least one, and always keeps one.
        number = min(len(clips) - 1, math.ceil(self.val_fraction * len(clips)))
        val, train = order[:number], order[number:]
        if self.n_shot is None:
            return train, val
        if self.n_shot > len(train):
            raise ValueError(
                f"n_shot={self.n_shot} training clips of each class were asked for; {name!r} has {len(train)}"
                f"{f' besides {number} for validation' if number else ''}. Set n_shot to {len(train)} or less, "
                "or leave the class out."
            )
        train = sorted(train, key=lambda record: record.key)
        shuffled = [train[i] for i in drawn_by(self.seed, "n_shot", name).permutation(len(train))]
        return _strangers_first(shuffled)[: self.n_shot], val


def _strangers_first(clips: Sequence[Record]) -> list[Record]:
    """Everybody once, then everybody a second time, and so on: few shots show as many people as there are.

    One order for all numbers of shots, so that more contain fewer.
    """
    met: dict[str, int] = {}
    rounds = []
    for clip in clips:
        rounds.append(met.get(clip.subject, 0))
        met[clip.subject] = rounds[-1] + 1
    return [clips[i] for i in sorted(range(len(clips)), key=rounds.__getitem__)]


def drawn_by(seed: int, purpose: str, name: str) -> np.random.Generator:
    """One generator for each seed, purpose and class, whatever classes there are besides."""
    digest = hashlib.blake2b(f"{purpose}/{name}".encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])


def by_key(records: Iterable[Record]) -> tuple[Record, ...]:
    """Sorted."""
    return tuple(sorted(records, key=lambda record: record.key))
