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
_LINKS = {"a", "an", "the", "from", "of", "at", "with", "in", "on", "something", "someone"}


def find_action(name: str, actions: Sequence[str]) -> str | None:
    """The action that a class name means; None if none is known.

    A name means an action if it is the action's, or a synonym, possibly with more about where and with what behind it:
    "drink from a bottle", "Drink.Fromcup" and "drink water" are one action, "sit down" and "sit" another.

    Args:
        name: In any of the usual spellings.
        actions: Names of the procedural actions.
    """
    bare = re.sub(r"\(.*\)", " ", name.lower())  # "touch head (headache)"
    words = re.sub(r"[^a-z0-9]+", " ", bare).split()
    known = {**{action: action for action in actions}, **SYNONYMS}
    plain = " ".join(words)
    if plain in known:
        return known[plain]
    for count in range(len(words) - 1, 0, -1):
        start, rest = " ".join(words[:count]), words[count]
        if start in known and (rest in _LINKS or rest.startswith(("from", "at"))):
            return known[start]
    return None
