"""Choose places that fit what is done there: a table of words judges class and place. Samples places, never pixels."""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from synthaug.structures import Values
from synthaug.synthesis.place_words import ACTION_WORDS, KIND_WORDS

NEUTRAL = 0.5
"""How well a place fits that says nothing about itself, or an action that is done anywhere."""
ANYWHERE = 5
"""Letters from which on a word of the table may stand inside a name that has no blanks: bread is not to be read."""


@dataclass(frozen=True)
class PlaceFit:
    """Places sampled by how well they fit the class: cooking in kitchens, throwing in yards.

    Of several places that the background samples, one is taken: softmax of how well each fits. Names of classes and
    what places say of themselves (a room's kind, a picture's caption or folder) are compared by a table of words,
    without any network. Classes that the table does not know go
    anywhere, and places that say nothing stay, as before.

    Attributes:
        temperature: Of the softmax: fit goes from 0 to 1; low ones take the best, high ones leave all to chance.
        chance: Share of clips whose place is left to chance, so that places do not give classes away.
        places: Places that one is taken from.
        classes: Names of the classes, by label; `assign` gives them.
    """

    temperature: float = 0.15
    chance: float = 0.2
    places: int = 12
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not 0 <= self.chance <= 1 or self.places < 2:
            raise ValueError(
                "Expected a temperature above 0, chance as a share in 0..1 and two places or more, got "
                f"temperature={self.temperature}, chance={self.chance}, places={self.places}. Set them under synth.fit."
            )

    def assign(self, classes: Sequence[str]) -> "PlaceFit":
        """The same for these classes, by label."""
        return PlaceFit(self.temperature, self.chance, self.places, tuple(classes))

    def choose(
        self, label: int, first: Values, sample: Callable[[np.random.Generator], Values],
        describe: Callable[[Values], str], rng: np.random.Generator,
    ) -> Values:  # fmt: skip
        """A place for a clip of a class.

        Args:
            label: The class.
            first: The place that chance alone has given.
            sample: Samples another place.
            describe: Words for a place.
            rng: The stream of this choice; no other is used.
        """
        name = self._name(label)
        if rng.random() < self.chance or not find_kinds(name) or not kinds_of(describe(first)):
            # A place that says nothing stays: of mixed backgrounds each keeps its share.
            return first
        others = (sample(rng) for _ in range(self.places - 1))
        found = [first, *(place for place in others if kinds_of(describe(place)))]
        fit = np.array([rate(name, describe(place)) for place in found])
        weights = np.exp((fit - fit.max()) / self.temperature)
        return found[int(rng.choice(len(found), p=weights / weights.sum()))]

    def _name(self, label: int) -> str:
        if label >= len(self.classes):
            raise ValueError(
                f"Expected the names of {label + 1} classes or more, got {len(self.classes)}. Call "
                "`synthesis.name_classes(dataset.classes)` before making a Synthesizer of it."
            )
        return self.classes[label]


def rate(action: str, place: str) -> float:
    """How well an action goes with a place, 0..1; `NEUTRAL` where the table knows one of them not.

    Args:
        action: Name of the class.
        place: Words for the place; of several kinds the best counts.
    """
    fit, kinds = find_kinds(action), kinds_of(place)
    if not fit or not kinds:
        return NEUTRAL
    return max(fit.get(kind, 0.0) for kind in kinds)


@functools.lru_cache(maxsize=4096)
def find_kinds(action: str) -> dict[str, float]:
    """How well an action goes with each kind of place, 0..1, the best of them 1; empty if that is not known."""
    words = split_words(action)
    found = [kinds for word, kinds in ACTION_WORDS.items() if _mentions(words, word)]
    total = {kind: sum(kinds.get(kind, 0.0) for kinds in found) for kind in KIND_WORDS}
    most = max(total.values())
    return {kind: value / most for kind, value in total.items() if value > 0} if most > 0 else {}


@functools.lru_cache(maxsize=65536)
def kinds_of(place: str) -> tuple[str, ...]:
    """The kinds of place that words speak of."""
    words = split_words(place)
    return tuple(
        kind for kind, names in KIND_WORDS.items()
        if any(one.startswith(name) for one in words for name in names)
    )  # fmt: skip


def split_words(text: str) -> tuple[str, ...]:
    """The words of a name in small letters: at blanks, signs, digits, and where capitals begin."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return tuple(word for word in re.split(r"[^a-z]+", parted.lower()) if word)


def _mentions(words: tuple[str, ...], entry: str) -> bool:
    """Whether an entry of the table is among the words, as the beginning of one or, if long, inside."""
    parts = entry.split()
    if len(parts) > 1:
        return any(
            all(word.startswith(part) for word, part in zip(words[k:], parts, strict=False))
            for k in range(len(words) - len(parts) + 1)
        )
    return any(word.startswith(entry) or (len(entry) >= ANYWHERE and entry in word) for word in words)
