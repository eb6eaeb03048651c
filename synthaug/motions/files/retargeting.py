"""Retarget a captured skeleton's motion to ours: units, up axis, joint axes and proportions. Pure functions.

Rotations are transferred joint by joint, which keeps what points cannot show (the twist of a forearm, the turn of a
head). Directions of limb bones are exact.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import matrix_to_axis_angle
from synthaug.body.skeleton import (
    JOINT,
    JOINT_NAMES,
    PARENTS,
    Skeleton,
    joint_positions,
    lowest_heights,
    mean_skeleton,
    retarget,
)
from synthaug.motions.files.recordings import FlawError
from synthaug.motions.fitting.markers import NUM_BODY, joint_markers
from synthaug.motions.fitting.starts import analytic_start, rotation_onto
from synthaug.structures import Motion

UNITS = {"metre": 1.0, "foot": 0.3048, "decimetre": 0.1, "CMU's": 0.0254 / 0.45, "inch": 0.0254, "centimetre": 0.01,
         "millimetre": 0.001}  # fmt: skip
"""Metres in the units that files use. CMU's asf files count 0.45 to the inch, and so do BVH files made from them."""
_STATURE = 1.7
"""Height of the mean adult, metres; a guessed unit comes as close to it as possible."""
_MIN_STATURE, _MAX_STATURE = 0.75, 2.25
"""Heights of performers, from small children to giants."""
_SAMPLES = 400
"""Frames from which joint axes are learnt; more frames add nothing."""
_AXES: dict[str, tuple[tuple[int, ...], ...]] = {
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)), "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)), "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)), "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}  # fmt: skip
"""Rotation that brings each axis of a file to our y."""
_LIMBS = {"knee": "hip", "ankle": "knee", "elbow": "shoulder", "wrist": "elbow"}
"""Joint at the far end of each limb bone, and the joint that turns it."""
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "left_collar", "right_collar")


@dataclass(frozen=True, eq=False)
class CapturedSkeleton:
    """A skeleton in motion as a file has it, in the file's axes and units.

    Attributes:
        names: Joint names, the root first.
        parents: Index of each joint's parent; -1 for the root.
        offsets: From each joint's parent to the joint, in the rest pose.
        rotations: World rotation of each joint; the identity in the rest pose.
        positions: World positions.
        fps: Frames a second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float[np.ndarray, "joint 3"]
    rotations: Float[np.ndarray, "time joint 3 3"]
    positions: Float[np.ndarray, "time joint 3"]
    fps: float

    def rest(self) -> Float[np.ndarray, "joint 3"]:
        """Positions in the rest pose, the root at the origin."""
        places = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] = places[parent] + self.offsets[joint]
        return places


@dataclass(frozen=True)
class Units:
    """The units and axes of a file.

    Attributes:
        metres: Metres in one unit of the file.
        up: The axis that points up: x, y or z, with "-" where it points down.
        stature: Height of the performer, metres, estimated from the limbs' lengths.
        factors: Length of each limb bone against the mean adult's, by the name of its far joint without its side.
    """

    metres: float
    up: str
    stature: float
    factors: dict[str, float]


def units_of(
    captured: CapturedSkeleton, which: dict[str, int], *, up: str | None = None, unit: float | None = None
) -> Units:
    """Unit and up axis of a file, as given or guessed.

    Args:
        captured: The file's skeleton and motion.
        which: Its joints by our names.
        up: As `Units.up`.
        unit: Metres in one unit.

    Raises:
        FlawError: If no unit gives a human height, or the body shows no up axis.
    """
    bones = _bone_lengths(captured, which)
    rest = mean_skeleton()
    factors = {name: length / _rest_length(rest, name) for name, length in bones.items()}
    size = float(np.median(list(factors.values())))
    if not (math.isfinite(size) and size > 0):
        raise FlawError("expected limb bones with offsets, got limbs of no length")
    metres = unit or _guess_unit(size * _STATURE)
    stature = metres * size * _STATURE
    guessed = up or _guess_up(captured, which)
    return Units(metres, guessed, stature, {name: factor * metres for name, factor in factors.items()})


def _guess_unit(height: float) -> float:
    """Metres in the unit that makes a performer of this many units human, and as close to the mean as possible.

    About 35 units are an adult in CMU's or a small child in inches, and about 85 an adult in inches or a small child in
    centimetres; the adult is taken. That changes how high jumps are, but not where soles are.
    """
    human = [metres for metres in UNITS.values() if _MIN_STATURE <= metres * height <= _MAX_STATURE]
    if not human:
        raise FlawError(
            f"expected a skeleton of {_MIN_STATURE} to {_MAX_STATURE} m in some usual unit, got one of "
            f"{height:.4g} units; set unit=... in metres"
        )
    return min(human, key=lambda metres: abs(math.log(metres * height / _STATURE)))


def _rest_length(skeleton: Skeleton, name: str) -> float:
    return float((skeleton.joints[JOINT[f"left_{name}"]] - skeleton.joints[JOINT[f"left_{_LIMBS[name]}"]]).norm())


def _bone_lengths(captured: CapturedSkeleton, which: dict[str, int]) -> dict[str, float]:
    """Length of each limb bone, mean of both sides, in the file's units."""
    result = {}
    for end, start in _LIMBS.items():
        pairs = [(which[f"{side}_{start}"], which[f"{side}_{end}"]) for side in ("left", "right")]
        apart = [np.linalg.norm(captured.positions[:, a] - captured.positions[:, b], axis=1) for a, b in pairs]
        result[end] = float(np.median(apart))
    return result


def _guess_up(captured: CapturedSkeleton, which: dict[str, int]) -> str:
    """Guess the up axis: from feet to shoulders, in the rest pose if that shows a person, and in the motion."""
    feet = [which["left_ankle"], which["right_ankle"]]
    tops = [which["left_shoulder"], which["right_shoulder"]]
    rows = captured.positions[:, tops].mean(axis=1) - captured.positions[:, feet].mean(axis=1)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    rest = _find_upright_rest(captured, which)
    # A quarter second upright shows that the motion has the axes of the rest pose.
    if rest is not None and ((rows @ rest) > 0.7).sum() >= min(len(rows), 0.5 * captured.fps) * 0.5:
        return _axis(rest)
    moving = rows.mean(axis=0)
    if np.abs(moving).max() < 0.8:
        raise FlawError(
            "expected a body that stands most of the time, got one that lies or tumbles; set up='y' or up='z'"
        )
    if rest is not None and _axis(rest) != _axis(moving):
        raise FlawError(
            f"expected one up axis, got {_axis(rest)} in the rest pose and {_axis(moving)} from feet to shoulders in "
            f"the motion: the person lies, or the file's axes change; set up='{_axis(rest)}' or up='{_axis(moving)}'"
        )
    return _axis(moving)


def _axis(direction: Float[np.ndarray, "3"]) -> str:
    axis = int(np.abs(direction).argmax())
    return ("-" if direction[axis] < 0 else "") + "xyz"[axis]


def _find_upright_rest(captured: CapturedSkeleton, which: dict[str, int]) -> Float[np.ndarray, "3"] | None:
    """The up direction of the file's rest pose if that shows a standing person, else None.

    A standing person has the shoulders above the hips, the hips above the ankles, and all left joints on one side.
    """
    at = captured.rest()
    hips, shoulders, ankles = (
        np.stack([at[which[f"{side}_{name}"]] for side in ("left", "right")]) for name in ("hip", "shoulder", "ankle")
    )
    trunk, legs = shoulders.mean(axis=0) - hips.mean(axis=0), hips.mean(axis=0) - ankles.mean(axis=0)
    across = [hips[0] - hips[1], shoulders[0] - shoulders[1]]
    sizes = [float(np.linalg.norm(v)) for v in (trunk, legs, *across)]
    if min(sizes) < 1e-3 * max(sizes):
        return None
    trunk, legs, a, b = (v / size for v, size in zip((trunk, legs, *across), sizes, strict=True))
    if trunk @ legs < 0.8 or a @ b < 0.8 or abs(trunk @ b) > 0.3:
        return None
    up = trunk + legs
    up = up / np.linalg.norm(up)
    # Rest poses are built along an axis, and bodies lean a little against it: 20 degrees at most.
    return (
        np.eye(3)[int(np.abs(up).argmax())] * np.sign(up[int(np.abs(up).argmax())]) if np.abs(up).max() > 0.94 else up
    )


def retarget_capture(
    captured: CapturedSkeleton, which: dict[str, int], units: Units
) -> tuple[Motion, dict[str, float]]:
    """Retarget the motion to the mean skeleton, world frame.

    Returns:
        The motion, and notes: `mapped` body joints, `rest_pose` (1 where joint axes were learnt from it, 0 from the
        movement), `residual` (metres, mean distance of knees, ankles, elbows and wrists from the file's, hips
        together).
    """
    source = _source_skeleton(units.factors)
    upright = _find_upright_rest(captured, which)
    if upright is not None:
        axes = _axes_at_rest(captured, which, upright)
    else:
        axes = _axes_in_motion(captured, which, source, units)
    R = torch.tensor(_AXES[units.up], dtype=torch.float64)
    world = _world_rotations(captured, which, axes, R)
    local = torch.stack([world[:, 0], *(world[:, PARENTS[j]].mT @ world[:, j] for j in range(1, 55))], dim=1)
    pose = matrix_to_axis_angle(local).float()
    places = torch.from_numpy(captured.positions).double() * units.metres @ R.mT
    hips = [which["left_hip"], which["right_hip"]]
    ours = source.joints[[JOINT["left_hip"], JOINT["right_hip"]]].mean(0).double()
    transl = (places[:, hips].mean(1) - world[:, 0] @ ours).float()
    motion = Motion.from_pose(pose, transl, fps=captured.fps)
    joints = joint_positions(motion, source)
    names = [f"{side}_{name}" for side in ("left", "right") for name in _LIMBS]
    apart = joints[:, [JOINT[n] for n in names]].double() - places[:, [which[n] for n in names]]
    floor = lowest_heights(joints, scale=source.size).quantile(0.02)
    grounded = transl - torch.tensor([0.0, 1.0, 0.0]) * floor
    notes = {
        "mapped": float(sum(JOINT[name] < NUM_BODY for name in which)),
        "rest_pose": float(upright is not None),
        "residual": float(apart.norm(dim=-1).mean()),
    }
    return retarget(Motion.from_pose(pose, grounded, fps=captured.fps), source, mean_skeleton()), notes


def _source_skeleton(factors: dict[str, float]) -> Skeleton:
    """The mean skeleton with the performer's limbs, and all else in their mean proportion."""
    mean, size = mean_skeleton().joints, float(np.median(list(factors.values())))
    joints = [mean[0]]
    for joint in range(1, len(PARENTS)):
        name = JOINT_NAMES[joint].removeprefix("left_").removeprefix("right_")
        joints.append(joints[PARENTS[joint]] + factors.get(name, size) * (mean[joint] - mean[PARENTS[joint]]))
    return Skeleton(joints=torch.stack(joints))


def _world_rotations(
    captured: CapturedSkeleton, which: dict[str, int], axes: dict[str, Tensor], R: Float[Tensor, "3 3"]
) -> Float[Tensor, "time 55 3 3"]:
    """World rotation of each of our joints; a joint that the file lacks turns with its parent."""
    result: list[Tensor] = []
    for joint, name in enumerate(JOINT_NAMES):
        if name in which:
            result.append(R @ torch.from_numpy(captured.rotations[:, which[name]]) @ axes[name])
        else:
            result.append(result[PARENTS[joint]])
    return torch.stack(result, dim=1)


def _axes_at_rest(captured: CapturedSkeleton, which: dict[str, int], up: Float[np.ndarray, "3"]) -> dict[str, Tensor]:
    """Our axes in the frame of each of the file's joints, from a rest pose in which a person stands.

    Trunk, head and collars have our axes. Limbs are turned from our T-pose by the smallest swing, starting from the
    joint above. Feet are turned about the vertical only, since soles are flat in both rest poses.
    """
    at = captured.rest()
    left = at[which["left_shoulder"]] - at[which["right_shoulder"]] + at[which["left_hip"]] - at[which["right_hip"]]
    y = torch.from_numpy(up)
    x = torch.from_numpy(left)
    x = torch.nn.functional.normalize(x - (x @ y) * y, dim=0)
    standing = torch.stack([x, y, torch.linalg.cross(x, y)], dim=1)
    axes: dict[str, Tensor] = {}
    for joint, name in enumerate(JOINT_NAMES):
        if name not in which:
            continue
        start = standing if name in _TRUNK or name.endswith("_hip") else _axes_above(joint, axes, standing)
        end = _child_joint(joint, which)
        if name in _TRUNK or end is None:
            axes[name] = start
            continue
        theirs = torch.from_numpy(at[which[end]] - at[which[name]])
        ours = _bone_offset(joint, end)
        if name.endswith("_ankle"):
            theirs, ours, start = theirs - (theirs @ y) * y, ours * ours.new_tensor([1.0, 0, 1]), standing
        axes[name] = _swing_onto(start, ours, theirs)
    return axes


def _axes_in_motion(
    captured: CapturedSkeleton, which: dict[str, int], source: Skeleton, units: Units
) -> dict[str, Tensor]:
    """Our axes in the frame of each of the file's joints, learnt from the motion, for rest poses that show no person.

    Positions alone determine how our joints turn (`starts.analytic_start`). The rotation between that and the file's
    rotations is constant except for what positions do not show, so it is averaged over frames. Then the direction of
    each bone is made exact.
    """
    chosen = np.unique(np.linspace(0, len(captured.rotations) - 1, _SAMPLES).round().astype(int))
    names = [name for name in which if JOINT[name] < NUM_BODY]
    points = torch.from_numpy(captured.positions[chosen][:, [which[name] for name in names]] * units.metres).float()
    local, _ = analytic_start(points, torch.ones(points.shape[:2]), joint_markers(names, source), source)
    turned = [local[:, 0]]
    for joint in range(1, NUM_BODY):
        turned.append(turned[PARENTS[joint]] @ local[:, joint])
    axes: dict[str, Tensor] = {}
    for joint, name in enumerate(JOINT_NAMES):
        if name not in which:
            continue
        theirs = torch.from_numpy(captured.rotations[chosen, which[name]])
        if joint < NUM_BODY:
            axes[name] = _mean_rotation(theirs.mT @ turned[joint].double())
        else:
            # A finger rests along the hand: our wrist's axes, seen from the finger's own.
            wrist = name.split("_")[0] + "_wrist"
            hand = torch.from_numpy(captured.rotations[chosen, which[wrist]]) @ axes[wrist]
            axes[name] = _mean_rotation(theirs.mT @ hand)
        end = _child_joint(joint, which)
        if end is not None and name not in _TRUNK:
            bone = captured.positions[chosen, which[end]] - captured.positions[chosen, which[name]]
            mean = torch.einsum("tij,ti->j", theirs, torch.from_numpy(bone)) / len(chosen)
            axes[name] = _swing_onto(axes[name], _bone_offset(joint, end), mean)
    return axes


def _axes_above(joint: int, axes: dict[str, Tensor], otherwise: Tensor) -> Tensor:
    """Axes of the nearest ancestor that has some."""
    parent = PARENTS[joint]
    while parent >= 0 and JOINT_NAMES[parent] not in axes:
        parent = PARENTS[parent]
    return axes[JOINT_NAMES[parent]] if parent >= 0 else otherwise


def _child_joint(joint: int, which: dict[str, int]) -> str | None:
    """The joint at the end of a bone, if the file has it; a hand ends at its middle finger."""
    name = JOINT_NAMES[joint]
    if name.endswith("_wrist"):
        middle = name.replace("wrist", "middle1")
        return middle if middle in which else None
    children = [JOINT_NAMES[k] for k in range(len(PARENTS)) if PARENTS[k] == joint]
    return next((child for child in children if child in which), None)


def _bone_offset(joint: int, end: str) -> Float[Tensor, "3"]:
    joints = mean_skeleton().joints.double()
    return joints[JOINT[end]] - joints[joint]


def _swing_onto(
    start: Float[Tensor, "3 3"], ours: Float[Tensor, "3"], theirs: Float[Tensor, "3"]
) -> Float[Tensor, "3 3"]:
    """Axes after the smallest rotation that brings our bone onto theirs; unchanged where theirs has no length."""
    if float(theirs.norm()) < 1e-9 * max(1.0, float(ours.norm())):
        return start
    a = torch.nn.functional.normalize(start @ ours, dim=0)
    b = torch.nn.functional.normalize(theirs, dim=0)
    return rotation_onto(a[None], b[None])[0] @ start


def _mean_rotation(R: Float[Tensor, "time 3 3"]) -> Float[Tensor, "3 3"]:
    """The mean rotation (Moakher, "Means and averaging in the group of rotations", 2002)."""
    left, _, right = torch.linalg.svd(R.mean(dim=0))
    sign = torch.ones(3, dtype=R.dtype)
    sign[2] = torch.linalg.det(left @ right).sign()
    return (left * sign) @ right
