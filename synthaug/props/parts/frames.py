"""Where hands, head and chest of a moving person are, as frames that things are fixed in. Pure functions, float64."""

import functools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.limbs import SIDES
from synthaug.body.skeleton import JOINT, Skeleton, forward_kinematics, mean_skeleton
from synthaug.props.parts.skulls import Skull, find_depths
from synthaug.structures import Motion

Floats: TypeAlias = NDArray[np.float64]
SKIN = 0.022
"""Metres from the bones of the mean adult's hand to the skin of the palm; as `limbs.Hand.contacts` has it."""
TIP = 0.016
"""Metres from a finger's last joint to the pad of its tip, along the bone before it."""


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

    @property
    def skull(self) -> Skull:
        """The head as kernels take it."""
        return Skull(self.head.contiguous().numpy(), self.eyes.contiguous().numpy(), self.size)

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
        pose = R.contiguous().numpy(), at.contiguous().numpy()
        find_depths(points.contiguous().numpy(), pose, self.skull, depths, ways)
        return torch.from_numpy(depths), torch.from_numpy(ways)


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
