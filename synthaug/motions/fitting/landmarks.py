"""Place the 33 landmarks of mediapipe's pose model on our skeleton and turn them into body shapes. Pure functions."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, Skeleton
from synthaug.motions.fitting.markers import NUM_BODY, Markers
from synthaug.motions.fitting.starts import rotation_onto

SITES: tuple[tuple[int, str, tuple[float, float, float], float], ...] = (
    (0, "head", (0.0, 0.04, 0.115), 0.5),
    (2, "head", (0.03, 0.08, 0.085), 0.5),
    (5, "head", (-0.03, 0.08, 0.085), 0.5),
    (7, "head", (0.072, 0.06, 0.0), 0.5),
    (8, "head", (-0.072, 0.06, 0.0), 0.5),
    (11, "left_shoulder", (0.0, 0.0, 0.0), 1.0),
    (12, "right_shoulder", (0.0, 0.0, 0.0), 1.0),
    (13, "left_elbow", (0.0, 0.0, 0.0), 1.0),
    (14, "right_elbow", (0.0, 0.0, 0.0), 1.0),
    (15, "left_wrist", (0.0, 0.0, 0.0), 1.0),
    (16, "right_wrist", (0.0, 0.0, 0.0), 1.0),
    (17, "left_wrist", (0.09, 0.0, -0.035), 0.2),
    (18, "right_wrist", (-0.09, 0.0, -0.035), 0.2),
    (19, "left_wrist", (0.095, 0.0, 0.02), 0.2),
    (20, "right_wrist", (-0.095, 0.0, 0.02), 0.2),
    (23, "left_hip", (0.0, 0.0, 0.0), 1.0),
    (24, "right_hip", (0.0, 0.0, 0.0), 1.0),
    (25, "left_knee", (0.0, 0.0, 0.0), 1.0),
    (26, "right_knee", (0.0, 0.0, 0.0), 1.0),
    (27, "left_ankle", (0.0, 0.0, 0.0), 1.0),
    (28, "right_ankle", (0.0, 0.0, 0.0), 1.0),
    (29, "left_ankle", (0.0, -0.065, -0.055), 0.3),
    (30, "right_ankle", (0.0, -0.065, -0.055), 0.3),
    (31, "left_foot", (0.0, -0.005, 0.06), 0.3),
    (32, "right_foot", (0.0, -0.005, 0.06), 0.3),
)
"""Landmark, joint that carries it, offset from that joint in the T-pose (metres), trust. From the mean body's surface.

Tips are trusted less than joints, since mediapipe's tips jitter two to five times as much.
"""
USED = tuple(site[0] for site in SITES)
"""mediapipe's indices of the landmarks that are fitted."""

_SIDES = (
    ((11, 13, 15), ("shoulder", "elbow", "wrist"), (17, 19), (23, 25, 27), ("hip", "knee", "ankle"), (29, 31)),
    ((12, 14, 16), ("shoulder", "elbow", "wrist"), (18, 20), (24, 26, 28), ("hip", "knee", "ankle"), (30, 32)),
)
LIMB_ENDS = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28))
"""Landmarks at both ends of the eight limb bones."""
LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Landmarks on the joints of trunk and limbs."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """mediapipe's landmarks in every frame; frames without a person hold nan and visibility 0.

    Attributes:
        world: Metres about the middle of the hips, mediapipe's axes (y down, z away from the viewer).
        pixels: Positions in the picture; may lie outside it, where mediapipe extrapolates.
        visibility: 0..1.
        within: Whether the film's own picture shows each point, where `pixels` are those of another camera; None where
            they are the film's.
    """

    world: Float[Tensor, "time 33 3"]
    pixels: Float[Tensor, "time 33 2"]
    visibility: Float[Tensor, "time 33"]
    within: Bool[Tensor, "time 33"] | None = None

    @property
    def found(self) -> Bool[Tensor, " time"]:
        """Frames with a person."""
        return self.pixels.isfinite().all(-1).all(-1)

    def between(self, first: int, last: int) -> "Landmarks":
        """Frames `first` to `last` - 1."""
        return self.at(slice(first, last))

    def at(self, frames: slice) -> "Landmarks":
        """Some of the frames."""
        within = None if self.within is None else self.within[frames]
        return Landmarks(self.world[frames], self.pixels[frames], self.visibility[frames], within)

    def inside(self, size: tuple[int, int]) -> Bool[Tensor, "time 33"]:
        """Whether each point lies within the film's picture of this height and width."""
        if self.within is not None:
            return self.within
        x, y = self.pixels.unbind(-1)
        return (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])


def landmark_markers() -> Markers:
    """Positions of the landmarks of `USED` on the body."""
    joints = torch.tensor([JOINT[site[1]] for site in SITES])
    return Markers(
        weights=torch.nn.functional.one_hot(joints, NUM_BODY).float(),
        frames=joints,
        offsets=torch.tensor([site[2] for site in SITES]),
    )


def landmark_trust(landmarks: Landmarks, *, width: int, height: int) -> Float[Tensor, "time marker"]:
    """How well each landmark of `USED` was seen: visibility cubed, and a third of that outside the picture.

    Cubed, because mediapipe reports invented limbs as half visible: 0.95 becomes 0.86, 0.6 becomes 0.2. The least trust
    is 0.03, so that a guess decides where nothing else does.
    """
    seen = landmarks.visibility**3 * torch.where(landmarks.inside((height, width)), 1.0, 1 / 3)
    return seen.clamp(min=0.03)[:, list(USED)] * landmarks.found[:, None]


def kind_trust() -> Float[Tensor, " marker"]:
    """Trust in each landmark of `USED` by its kind, for any person."""
    return torch.tensor([site[3] for site in SITES])


def body_shapes(landmarks: Landmarks, K: Float[Tensor, "3 3"], skeleton: Skeleton) -> Float[Tensor, "time marker 3"]:
    """Body shapes about the hips with our skeleton's bone lengths, in a level camera's frame (y up, z towards it).

    Bones keep mediapipe's directions and get our lengths, since mediapipe's lengths change over time.
    """
    return _resize_to_skeleton(level_landmarks(landmarks, K), skeleton)[:, list(USED)]


def level_landmarks(landmarks: Landmarks, K: Float[Tensor, "3 3"]) -> Float[Tensor, "time 33 3"]:
    """Turn the landmarks about the hips into the frame of a level camera (y up, z towards it).

    mediapipe treats a crop as if the camera pointed at it, so each shape is turned by the direction of the hips.
    """
    flipped = landmarks.world * torch.tensor([1.0, -1.0, -1.0])
    hips = landmarks.pixels[:, 23:25].mean(1)
    ray = torch.stack(
        [(hips[:, 0] - K[0, 2]) / K[0, 0], -(hips[:, 1] - K[1, 2]) / K[1, 1], -torch.ones_like(hips[:, 0])], dim=-1
    )
    ray = torch.nn.functional.normalize(ray, dim=-1)
    turn = rotation_onto(torch.tensor([0.0, 0.0, -1.0]).expand_as(ray), ray)
    return torch.einsum("tij,tmj->tmi", turn, flipped)


def _resize_to_skeleton(p: Float[Tensor, "time 33 3"], skeleton: Skeleton) -> Float[Tensor, "time 33 3"]:
    joints = skeleton.joints

    def length(a: str, b: str) -> float:
        return float((joints[JOINT[a]] - joints[JOINT[b]]).norm())

    def unit(v: Tensor) -> Tensor:
        return torch.nn.functional.normalize(v, dim=-1)

    result = p.clone()
    hips, shoulders = p[:, 23:25].mean(1), p[:, 11:13].mean(1)
    middle = joints[[JOINT["left_shoulder"], JOINT["right_shoulder"]]].mean(0)
    low = joints[[JOINT["left_hip"], JOINT["right_hip"]]].mean(0)
    top = unit(shoulders - hips) * (middle - low).norm()
    # Median over bones and frames: the size of mediapipe's person.
    ratios = [(p[:, a] - p[:, b]).norm(dim=-1) for a, b in LIMB_ENDS]
    ours = [length("left_shoulder", "left_elbow"), length("left_elbow", "left_wrist")] * 2
    ours += [length("left_hip", "left_knee"), length("left_knee", "left_ankle")] * 2
    scale = torch.stack([o / r.clamp(min=1e-3) for o, r in zip(ours, ratios, strict=True)]).nanmedian()
    # mediapipe puts faces up to 10 cm too far forward: take half its direction of the ears and half the trunk's.
    ears = p[:, 7:9].mean(1)
    tall = float(joints[JOINT["head"], 1] - middle[1]) + 0.06
    crown = top + tall * unit(unit(ears - shoulders) + unit(top))
    result[:, :11] = crown[:, None] + scale * (p[:, :11] - ears[:, None])
    across = unit(p[:, 11] - p[:, 12]) * length("left_shoulder", "right_shoulder") / 2
    aside = unit(p[:, 23] - p[:, 24]) * length("left_hip", "right_hip") / 2
    for side, sign in zip(_SIDES, (1, -1), strict=True):
        arm, arm_names, hand, leg, leg_names, foot = side
        result[:, arm[0]] = top + sign * across
        result[:, leg[0]] = sign * aside
        for chain, names in ((arm, arm_names), (leg, leg_names)):
            for k in (1, 2):
                bone = length(f"left_{names[k - 1]}", f"left_{names[k]}")
                result[:, chain[k]] = result[:, chain[k - 1]] + bone * unit(p[:, chain[k]] - p[:, chain[k - 1]])
        for tip, base in (*((t, arm[2]) for t in hand), *((t, leg[2]) for t in foot)):
            result[:, tip] = result[:, base] + scale * (p[:, tip] - p[:, base])
    return result
