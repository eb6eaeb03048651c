"""Which procedural action a class of a data set names, if any."""

import re
from collections.abc import Mapping, Sequence

SYNONYMS: Mapping[str, str] = {
    "drink": "drink water", "drinking": "drink water", "eat": "eat meal", "eating": "eat meal", "phone": "phone call",
    "answer phone": "phone call", "answering phone": "phone call", "use telephone": "phone call",
    "usetelephone": "phone call", "talking on phone": "phone call", "wave": "hand waving", "waving": "hand waving",
    "wave hand": "hand waving", "waving hand": "hand waving", "clap": "clapping", "kick": "kicking something",
    "kicking": "kicking something", "punching": "punch", "bowing": "bow", "sitting down": "sit down",
    "sitdown": "sit down", "sit": "sit down", "standing up": "stand up", "getup": "stand up", "get up": "stand up",
    "laydown": "lie down", "lay down": "lie down", "lying down": "lie down", "pickup": "pick up", "pick": "pick up",
    "picking up": "pick up", "walking": "walk", "jump": "jump up", "jumping": "jump up", "throwing": "throw",
    "point": "point to something", "pointing": "point to something", "saluting": "salute", "stretching": "stretch",
    "reading": "read", "readbook": "read", "read watch": "check time", "look at watch": "check time",
    "squat": "squat down", "squatting": "squat down", "cheering": "cheer up", "headache": "touch head",
}  # fmt: skip
"""Names that data sets (NTU RGB+D, Toyota Smarthome, HMDB51, Kinetics, Florence 3D) give to procedural actions.
States are not among them: who is "standing" has not stood up."""
_LINKS = {"from", "of", "at", "with", "in", "on", "something", "someone"}
_ARTICLES = {"a", "an", "the"}


def find_action(name: str, actions: Sequence[str]) -> str | None:
    """The action that a class name means; None if none is known.

    A name means an action if it is the action's, or a synonym, possibly with more about where and with what behind it:
    "drink from a bottle", "Drink.Fromcup" and "drink water" are one action, and "eat meal/snack" is one of its halves.

    Args:
        name: In any of the usual spellings.
        actions: Names of the procedural actions.
    """
    bare = re.sub(r"\(.*\)", " ", name.lower())  # "touch head (headache)"
    known = {**{" ".join(_split_words(action)): action for action in actions}, **SYNONYMS}
    for part in (bare, *bare.split("/")):
        found = _find_start(_split_words(part), known)
        if found is not None:
            return found
    return None


def _split_words(text: str) -> list[str]:
    return [word for word in re.findall("[a-z0-9]+", text) if word not in _ARTICLES]


def _find_start(words: Sequence[str], known: Mapping[str, str]) -> str | None:
    """The action of all words, or of the first ones if a link follows."""
    for count in range(len(words), 0, -1):
        start = " ".join(words[:count])
        linked = count == len(words) or words[count] in _LINKS or words[count].startswith(("from", "at"))
        if start in known and linked:
            return known[start]
    return None
