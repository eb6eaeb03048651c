"""Which class holds what, from its name: NTU RGB+D, Toyota Smarthome, the demo, and English words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from synthaug.props import Carrier

Moment: TypeAlias = Literal[
    "always", "raised", "after_lowest", "until_lowest", "until_fastest", "until_near", "from_near"
]
"""When a thing is there, by what its hand does: while the hand is raised, from its lowest point on, until it is fastest
(a throw), until or from when it is nearest to where the kind goes (mouth, ear, crown)."""
MOMENTS: tuple[str, ...] = get_args(Moment)
HANDS = ("auto", "left", "right", "other")


@dataclass(frozen=True)
class Holding:
    """One thing of a class.

    Attributes:
        kinds: Names of kinds, one of which is chosen for a clip.
        carrier: What carries it; empty for what the kind prefers.
        hand: "auto" takes the hand that goes where the kind goes, or the busier one; "other" the other one.
        times: Shares of the performance, first and last, or one of MOMENTS.
        person: 0 for who acts, 1 for the companion.
        same: Whether it is the thing of the entry before, moved to another place.
    """

    kinds: tuple[str, ...]
    carrier: Carrier | Literal[""] = ""
    hand: str = "auto"
    times: tuple[float, float] | str = "always"
    person: int = 0
    same: bool = False


def _one(*kinds: str, hand: str = "auto", times: tuple[float, float] | str = "always") -> tuple[Holding, ...]:
    return (Holding(kinds, hand=hand, times=times),)


_MEAL = (Holding(("spoon", "snack")), Holding(("bowl",), hand="other", times="raised"))
_NOTHING: tuple[Holding, ...] = ()
TABLE: Mapping[str, tuple[Holding, ...]] = {
    "drink": _one("cup", "glass", "bottle", times="raised"),
    "drink from cup": _one("cup", times="raised"), "drink from glass": _one("glass", times="raised"),
    "drink from bottle": _one("bottle", times="raised"),
    "drink from can": _one("bottle", times="raised"), "cheers and drink": (
        Holding(("cup", "glass")), Holding(("cup", "glass"), person=1),
    ),
    "eat": _MEAL, "eat snack": _one("snack"), "eat meal": _MEAL, "take pills": _one("snack", times="raised"),
    "pour": _one("bottle"), "make coffee": _one("cup"), "make tea": _one("cup"), "open bottle": _one("bottle"),
    "stir": _one("spoon"), "cook": _one("spoon"), "cook cut": _NOTHING, "cook clean": _NOTHING,
    "phone": _one("phone", times="raised"), "telephone": _one("phone", times="raised"),
    "call": _one("phone", times="raised"), "selfie": _one("phone", times="raised"),
    "take photo": _one("phone", times="raised"), "text": _one("phone"), "playing with phone": _one("phone", "tablet"),
    "tablet": _one("tablet"), "laptop": _one("laptop", times="raised"), "typing": _one("laptop", times="raised"),
    "keyboard": _one("laptop", times="raised"), "read": _one("book", times="raised"),
    "read watch": _NOTHING, "check time": _NOTHING, "look at watch": _NOTHING, "write": _one("pen"),
    "watch tv": _one("remote", times="raised"), "remote": _one("remote"),
    "brush teeth": _one("toothbrush", times="raised"), "brush hair": _one("comb", times="raised"),
    "comb": _one("comb", times="raised"), "sweep": _one("broom"), "mop": _one("broom"), "broom": _one("broom"),
    "throw": _one("ball", times="until_fastest"), "throw up cap": _one("hat", times="until_fastest"),
    "drop": _one("ball", "book", times="until_fastest"), "pickup": _one("ball", "bottle", "bag", times="after_lowest"),
    "catch": _one("ball"), "bounce ball": _one("ball"), "shoot at basket": _one("ball", times="until_fastest"),
    "dribble": _one("ball"), "tennis": _one("racket"), "golf": _NOTHING, "baseball": _one("racket"),
    "wear on glasses": (
        Holding(("glasses",), "hand", times="until_near"), Holding(("glasses",), "head", times="from_near", same=True),
    ),
    "take off glasses": (
        Holding(("glasses",), "head", times="until_near"), Holding(("glasses",), "hand", times="from_near", same=True),
    ),
    "put on hat": (
        Holding(("hat",), "hand", times="until_near"), Holding(("hat",), "head", times="from_near", same=True),
    ),
    "take off hat": (
        Holding(("hat",), "head", times="until_near"), Holding(("hat",), "hand", times="from_near", same=True),
    ),
    "bag": _one("bag"), "put on bag": _one("bag"), "open box": _one("box"), "box": _one("box"), "boxing": _NOTHING,
    "carry": _one("box", "bag"), "move heavy object": _one("box"), "carry something with other person": _one("box"),
    "give something": (
        Holding(("book", "bottle"), "", times=(0.0, 0.55)),
        Holding(("book", "bottle"), "", times=(0.55, 1.0), person=1, same=True),
    ),
    "point": _NOTHING,
}  # fmt: skip
"""Things by words of class names. The longest words that a name contains decide; a name without any holds nothing."""
_SMALL = frozenset(
    "a an the to of up on off at in with into out from or and your his her by for other make clean".split()
) - {"up", "on", "off", "from", "and", "with", "at", "into", "make", "clean", "other", "in"}
_JOINED: Mapping[str, str] = {
    "fromcup": "from cup", "frombottle": "from bottle", "fromcan": "from can", "fromglass": "from glass",
    "fromkettle": "from kettle", "readbook": "read book", "usetelephone": "use telephone", "uselaptop": "use laptop",
    "usetablet": "use tablet", "watchtv": "watch tv", "takepills": "take pills", "makecoffee": "make coffee",
    "maketea": "make tea", "attable": "at table", "pick": "pickup", "cleanup": "clean up",
    "cleandishes": "clean dishes", "cap": "hat", "cellphone": "phone", "smartphone": "phone", "picture": "photo",
    "mug": "cup", "headache": "",
}  # fmt: skip
"""Words that data sets join, and other words for the same."""


def split_words(name: str) -> tuple[str, ...]:
    """The words of a class name by their stems: "Drink.Frombottle" and "drinking from a bottle" have the same."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = [part for word in re.findall("[a-z0-9]+", spaced.lower()) for part in _JOINED.get(word, word).split()]
    stems = [_find_stem(word) for word in words if word not in _SMALL]
    # "pick up" is written in one word too.
    return tuple(stem for before, stem in zip(["", *stems], stems, strict=False) if (before, stem) != ("pickup", "up"))


def _find_stem(word: str) -> str:
    for ending in ("ing", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "es" and word.endswith("sses")):
            word = word.removesuffix(ending)
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls" else word


def find_holdings(name: str, table: Mapping[str, Sequence[Holding]]) -> tuple[Holding, ...]:
    """What a class holds by its name: the entry with the most words that all occur in it, in their order.

    Args:
        name: The class, in any of the usual spellings.
        table: Things by words.
    """
    words = split_words(name)
    best: tuple[tuple[int, int, int], tuple[Holding, ...]] = ((0, 0, 0), ())
    for key, held in table.items():
        wanted = split_words(key)
        places = _match(wanted, words)
        # A user's own entries come last in the table, and win over ours with the same words.
        if places is not None and (len(wanted), -places, 1) >= best[0]:
            best = (len(wanted), -places, 1), tuple(held)
    return best[1]


def _match(wanted: Sequence[str], words: Sequence[str]) -> int | None:
    """Where the first of these words is, if all are there in this order; None otherwise."""
    found, start = [], 0
    for word in wanted:
        if word not in words[start:]:
            return None
        start += list(words[start:]).index(word) + 1
        found.append(start - 1)
    return found[0] if found else None
