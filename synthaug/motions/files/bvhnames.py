"""Match the joints of a captured skeleton to SMPL-X joints by name.

One table covers the names that CMU, Mixamo, Bandai Namco, LAFAN1, Truebones, Biped and Blender rigs use, whatever
prefix a tool puts before them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from synthaug.body.skeleton import JOINT
from synthaug.motions.files.recordings import FlawError

_SIDED: dict[str, tuple[str, ...]] = {
    "hip": ("upleg", "upperleg", "thigh", "hip", "femur", "legupper"),
    "knee": ("leg", "lowleg", "lowerleg", "calf", "knee", "shin", "tibia", "leglower"),
    "ankle": ("foot", "ankle", "feet"),
    "foot": ("toe", "toebase", "toe0", "toes", "ball", "balltoe"),
    "collar": ("shoulder", "collar", "clavicle"),
    "shoulder": ("arm", "upperarm", "uparm", "shldr", "humerus", "armupper"),
    "elbow": ("forearm", "lowarm", "lowerarm", "elbow", "radius", "armlower"),
    "wrist": ("hand", "wrist"),
}
"""Names of joints that have a side, without the side, in lower case, without blanks, dots, dashes and underscores."""
_MIDDLE: dict[str, tuple[str, ...]] = {
    "pelvis": ("hips", "hip", "bip01pelvis", "pelvis", "bip01", "root", "jointroot"),
    "neck": ("neck", "neck1", "neck0", "bip01neck", "neck01"),
    "head": ("head", "bip01head"),
}
_SPINE = re.compile(r"^(?:bip01)?(?:spine|chest|torso|abdomen|back|lowerback|upperback|waist|upperchest)\d*$")
_FINGERS = {"index": "index", "middle": "middle", "mid": "middle", "pinky": "pinky", "little": "pinky", "ring": "ring",
            "thumb": "thumb"}  # fmt: skip
_FINGER = re.compile(r"^(?:hand)?(index|middle|mid|pinky|little|ring|thumb)(?:finger)?0?([1-4])$")
_MOST = 0.75
"""Share of the joints that have a prefix; a root or a prop above or beside them may lack it."""
_NEEDED = (
    "pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip


def match_joints(names: Sequence[str], parents: Sequence[int], *, given: Mapping[str, str]) -> dict[str, int]:
    """Index of the file's joint for each SMPL-X joint that the file has, by SMPL-X name.

    Args:
        names: The file's joint names, the root first.
        parents: Index of each joint's parent.
        given: SMPL-X name to the file's name; overrides the table.

    Raises:
        FlawError: If a joint is missing that every person has; the file's joints are listed.
        ValueError: If a given name is not an SMPL-X joint, or not a joint of the file.
    """
    plain = list(names)
    stripped = _strip_common(names)
    found = max((_match(each, parents, _use_given(names, given)) for each in (plain, stripped)), key=len)
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise FlawError(
            f"expected joints named as in CMU's, Mixamo's or LAFAN1's files, found none for {', '.join(missing)} among "
            f"{', '.join(name for name in names if not name.endswith('_end'))[:300]}; set names={{'{missing[0]}': ...}}"
        )
    return found


def _match(names: Sequence[str], parents: Sequence[int], found: dict[str, int]) -> dict[str, int]:
    """The joints of these names, besides those that are found already."""
    plain = [_split_side(name) for name in names]
    for index, (side, rest) in enumerate(plain):
        if not side:
            continue
        ours = _find_sided(rest)
        if ours is not None:
            found.setdefault(f"{side}_{ours}", index)
        finger = _FINGER.match(rest)
        if finger and int(finger[2]) < 4:
            found.setdefault(f"{side}_{_FINGERS[finger[1]]}{finger[2]}", index)
    for ours, words in _MIDDLE.items():
        middle = [rest for side, rest in plain if not side]
        best = next((word for word in words if word in middle), None)
        if best is not None:
            found.setdefault(ours, plain.index(("", best)))
    found.setdefault("pelvis", 0)
    _fix_collars(found, plain)
    _assign_spine(found, plain, parents)
    return {name: index for name, index in found.items() if _is_whole_finger(name, found)}


def _strip_common(names: Sequence[str]) -> list[str]:
    """The names without the prefix and suffix that most of them share, such as `mixamorig` or `_jnt`."""
    return [name[::-1] for name in _strip_prefix([name[::-1] for name in _strip_prefix(names)])]


def _strip_prefix(names: Sequence[str]) -> list[str]:
    """The names without the longest prefix that `_MOST` of the joints share; end sites are named after joints."""
    joints = [name for name in names if not name.endswith("_end") and not name.startswith("dne_")]
    shared = ""
    while joints:
        length = len(shared) + 1
        most, count = Counter(name[:length] for name in joints).most_common(1)[0]
        if len(most) < length or count < _MOST * len(joints):
            break
        shared = most
    return [name.removeprefix(shared) if len(name) > len(shared) else name for name in names]


def _use_given(names: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    for ours, theirs in given.items():
        if ours not in JOINT or theirs not in names:
            raise ValueError(
                f"Expected names to map an SMPL-X joint to a joint of the file, got {ours!r}: {theirs!r}. The file has "
                f"{', '.join(names)}. Correct synth.motion.names."
            )
    return {ours: list(names).index(theirs) for ours, theirs in given.items()}


def _split_side(name: str) -> tuple[str, str]:
    """Split a name into its side (or "") and the rest in lower case."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    parts = [part for part in re.split(r"[\s._\-]+", words.lower()) if part]
    if len(parts) > 1 and parts[0] == "c":
        parts = parts[1:]  # VRoid's mark for the middle
    for index, part in enumerate(parts):
        if part in ("left", "right", "l", "r"):
            rest = "".join(parts[:index] + parts[index + 1 :]).removeprefix("bip01").removeprefix("bip001")
            return ("left" if part[0] == "l" else "right"), rest
    whole = "".join(parts)
    for prefix, side in (("left", "left"), ("right", "right")):
        if whole.startswith(prefix):
            return side, whole.removeprefix(prefix)
    # lShldr, rThigh: one small letter before a capital. lfemur, RThigh: a letter before a known word.
    if re.match(r"^[lr][A-Z]", name) or (whole[:1] in ("l", "r") and _find_sided(whole[1:]) is not None):
        return ("left" if whole[0] == "l" else "right"), whole[1:]
    return "", whole


def _find_sided(rest: str) -> str | None:
    for ours, words in _SIDED.items():
        if rest in words:
            return ours
    return None


def _fix_collars(found: dict[str, int], plain: Sequence[tuple[str, str]]) -> None:
    """Take `shoulder` for the shoulder and not for the collar where the file has no `arm`."""
    for side in ("left", "right"):
        if f"{side}_shoulder" not in found and f"{side}_collar" in found:
            collars = [k for k, (s, rest) in enumerate(plain) if s == side and rest in ("collar", "clavicle")]
            shoulders = [k for k, (s, rest) in enumerate(plain) if s == side and rest == "shoulder"]
            if shoulders:
                found[f"{side}_shoulder"] = shoulders[0]
                del found[f"{side}_collar"]
                if collars:
                    found[f"{side}_collar"] = collars[0]


def _assign_spine(found: dict[str, int], plain: Sequence[tuple[str, str]], parents: Sequence[int]) -> None:
    """Assign the file's spine to our three joints: its first, its middle one, and the one that carries the arms."""
    for child in ("neck", "left_collar", "left_shoulder"):
        if child in found:
            break
    else:
        return
    chain = []
    joint = parents[found[child]]
    while joint > found["pelvis"]:
        side, rest = plain[joint]
        if not side and _SPINE.match(rest):
            chain.append(joint)
        joint = parents[joint]
    chain.reverse()
    if chain:
        for ours, index in zip(("spine1", "spine2", "spine3"), (0, (len(chain) - 1) // 2, len(chain) - 1), strict=True):
            found.setdefault(ours, chain[index])


def _is_whole_finger(name: str, found: Mapping[str, int]) -> bool:
    """False for joints of fingers that lack one of their three joints, else True."""
    if JOINT[name] < 25:
        return True
    return all(f"{name[:-1]}{k}" in found for k in (1, 2, 3))
