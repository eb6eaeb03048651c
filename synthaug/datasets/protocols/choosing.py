"""Choose among a split's training clips: a share for validation, and the few shots of each class."""

import hashlib
import math
from collections.abc import Sequence
from typing import final

import numpy as np

from synthaug.datasets import Split
from synthaug.datasets.indexing.keys import sort_by_key
from synthaug.structures import Record


@final
class ShotChoice:
    """Chooses a validation share, and then the shots, among the training clips of each class.

    The choice depends on the seed, the class's name and the clips' keys alone, so it is the same whatever other classes
    there are.

    Args:
        val_fraction: Share of each class's training clips that goes to validation, 0 to below 1.
        n_shot: Training clips to keep of each class; None keeps all. More shots include fewer ones.
        seed: Seed of the choice.

    Raises:
        ValueError: If the share or the number of shots is out of range.
    """

    def __init__(self, val_fraction: float, n_shot: int | None, seed: int) -> None:
        if not 0 <= val_fraction < 1:
            raise ValueError(
                f"Expected protocol.val_fraction to be a share from 0 to below 1, got {val_fraction}. "
                "Set protocol.val_fraction=0 for no validation part."
            )
        if n_shot is not None and n_shot < 1:
            raise ValueError(
                f"Expected protocol.n_shot to be at least 1, got {n_shot}. Set protocol.n_shot=null to keep all clips."
            )
        self.val_fraction = val_fraction
        self.n_shot = n_shot
        self.seed = seed

    def apply(self, split: Split, classes: Sequence[str]) -> Split:
        """Move the validation share out of training, and keep the shots.

        Args:
            split: As the protocol divides the records.
            classes: Class names, by label.

        Returns:
            The split with its parts sorted by key. Its notes count the clips beyond the shots, and the classes without
            test clips.

        Raises:
            ValueError: If a class has no training clip or too few of them, the test is empty, or both a share and a
                list name the validation clips.
        """
        if self.val_fraction and split.val:
            raise ValueError(
                "Expected either a list or a share of validation clips, got both a list and "
                f"protocol.val_fraction={self.val_fraction}. Set protocol.val_fraction=0, or empty the list."
            )
        if not split.test:
            raise ValueError("Expected at least one test clip, got none. Widen the protocol's test list.")
        train: list[Record] = []
        val = list(split.val)
        for label, name in enumerate(classes):
            kept, set_aside = self._choose([r for r in split.train if r.label == label], name)
            train += kept
            val += set_aside
        notes = dict(split.notes)
        if self.n_shot is not None:
            notes["training_clips_beyond_shots"] = len(split.train) + len(split.val) - len(train) - len(val)
        untested = len(classes) - len({record.label for record in split.test})
        if untested:
            notes["classes_without_test_clips"] = untested
        return Split(sort_by_key(train), sort_by_key(val), sort_by_key(split.test), notes)

    def _choose(self, clips: Sequence[Record], name: str) -> tuple[list[Record], list[Record]]:
        """Return the training and the validation clips of one class."""
        clips = sort_by_key(clips)
        if not clips:
            raise ValueError(
                f"Expected at least one training clip of the class {name!r}, got none. Move its people or views to "
                "training, or leave the class out of dataset.classes."
            )
        order = [clips[i] for i in rng_of(self.seed, "val", name).permutation(len(clips))]
        # A class with any clips to spare gives at least one, and always keeps one.
        number = min(len(clips) - 1, math.ceil(self.val_fraction * len(clips)))
        val, train = order[:number], order[number:]
        if self.n_shot is None:
            return train, val
        if self.n_shot > len(train):
            raise ValueError(
                f"Expected n_shot={self.n_shot} training clips of each class, got {len(train)} of {name!r}"
                f"{f' besides {number} for validation' if number else ''}. Set protocol.n_shot to {len(train)} or "
                "less, or leave the class out of dataset.classes."
            )
        train = list(sort_by_key(train))
        shuffled = [train[i] for i in rng_of(self.seed, "n_shot", name).permutation(len(train))]
        return _alternate_subjects(shuffled)[: self.n_shot], val


def _alternate_subjects(clips: Sequence[Record]) -> list[Record]:
    """Order clips so that every subject comes once, then every subject a second time, and so on.

    Few shots then show as many people as there are. The order is the same for all numbers of shots, so more shots
    contain fewer.
    """
    met: dict[str, int] = {}
    rounds = []
    for clip in clips:
        rounds.append(met.get(clip.subject, 0))
        met[clip.subject] = rounds[-1] + 1
    return [clips[i] for i in sorted(range(len(clips)), key=rounds.__getitem__)]


def rng_of(seed: int, purpose: str, name: str) -> np.random.Generator:
    """The generator of one seed, purpose and class; other classes do not change it."""
    digest = hashlib.blake2b(f"{purpose}/{name}".encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])
