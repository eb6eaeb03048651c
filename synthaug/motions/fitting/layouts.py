"""Define which points of the body each joint source measures, and where they lie on our skeleton.

A new source needs one more `Layout`, here or in its own file.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import JOINT_NAMES, Skeleton
from synthaug.motions.fitting.landmarks import SITES
from synthaug.motions.fitting.markers import NUM_BODY, Markers, joint_markers

_ORIGIN = (0.0, 0.0, 0.0)
_FACE = {
    "nose": (0.0, 0.04, 0.115), "left_eye": (0.03, 0.08, 0.085), "right_eye": (-0.03, 0.08, 0.085),
    "left_ear": (0.072, 0.06, 0.0), "right_ear": (-0.072, 0.06, 0.0), "centre": (0.0, 0.07, 0.02),
}  # fmt: skip
"""Metres from the head joint, from the mean body's surface."""


@dataclass(frozen=True)
class Site:
    """One measured point of the body.

    Attributes:
        point: Its index in the source.
        joint: SMPL-X joint that carries it.
        offset: Metres from that joint in the T-pose of the mean body.
        trust: How well the source's definition of the point agrees with ours, 0 to 1.
    """

    point: int
    joint: str
    offset: tuple[float, float, float] = _ORIGIN
    trust: float = 1.0


@dataclass(frozen=True)
class Layout:
    """The points of one kind of source.

    Attributes:
        name: Name of the source, for errors.
        num_points: Number of points in each frame.
        sites: Points that are fitted; the others are ignored.
        hands: Index of the first of 21 points of the left and the right hand (wrist, then thumb to little finger, four
            each from knuckle to tip); None where there are none.
    """

    name: str
    num_points: int
    sites: tuple[Site, ...]
    hands: tuple[int, int] | None = None

    @property
    def points(self) -> list[int]:
        """Indices of the points that are fitted."""
        return [site.point for site in self.sites]

    @property
    def trust(self) -> Float[Tensor, " marker"]:
        """Trust of each point that is fitted."""
        return torch.tensor([site.trust for site in self.sites])

    def markers(self, skeleton: Skeleton, *, size: float = 1.0) -> Markers:
        """Positions of the fitted points on a skeleton whose bones are `size` times the mean body's."""
        bare = joint_markers([site.joint for site in self.sites], skeleton)
        offsets = bare.offsets + size * torch.tensor([site.offset for site in self.sites])
        return Markers(weights=bare.weights, frames=bare.frames, offsets=offsets)


def _sites(*names: str, first: int = 0) -> tuple[Site, ...]:
    return tuple(Site(first + k, name) for k, name in enumerate(names))


SMPLX_22 = Layout("SMPL-X body, 22 joints", NUM_BODY, _sites(*JOINT_NAMES[:NUM_BODY]))

SMPLX_55 = Layout("SMPL-X, 55 joints", len(JOINT_NAMES), _sites(*JOINT_NAMES[:NUM_BODY], *JOINT_NAMES[25:]))
"""Fingers only determine how the wrists turn."""

_KINECT_ARM = {"shoulder": 1.0, "elbow": 1.0, "wrist": 1.0, "middle1": 0.3}
NTU_25 = Layout(
    "NTU RGB+D (Kinect v2), 25 joints",
    25,
    (
        Site(0, "pelvis", trust=0.5), Site(1, "spine2", trust=0.3), Site(20, "neck", trust=0.5),
        Site(2, "neck", (0.0, 0.05, 0.02), 0.3), Site(3, "head", _FACE["centre"], 0.5),
        *(Site(8 + k, f"left_{part}", trust=trust) for k, (part, trust) in enumerate(_KINECT_ARM.items())),
        *(Site(4 + k, f"right_{part}", trust=trust) for k, (part, trust) in enumerate(_KINECT_ARM.items())),
        Site(16, "left_hip", trust=0.6), Site(17, "left_knee"), Site(18, "left_ankle"),
        Site(19, "left_foot", trust=0.2), Site(12, "right_hip", trust=0.6), Site(13, "right_knee"),
        Site(14, "right_ankle"), Site(15, "right_foot", trust=0.2), Site(23, "left_middle3", trust=0.1),
        Site(24, "left_thumb3", trust=0.1), Site(21, "right_middle3", trust=0.1), Site(22, "right_thumb3", trust=0.1),
    ),
)  # fmt: skip
"""Sides as the published film shows the person: Kinect names them as in a mirror, so its left is our right.

Hips are trusted less, since Kinect's are closer together than the joints; hand tips and feet jitter most.
"""

TOYOTA_13 = Layout(
    "Toyota Smarthome (LCR-Net), 13 joints",
    13,
    (
        *_sites(
            "right_ankle", "left_ankle", "right_knee", "left_knee", "right_hip", "left_hip", "right_wrist",
            "left_wrist", "right_elbow", "left_elbow", "right_shoulder", "left_shoulder",
        ),
        Site(12, "head", _FACE["centre"], 0.5),
    ),
)  # fmt: skip

MEDIAPIPE_33 = Layout(
    "mediapipe pose, 33 landmarks", 33, tuple(Site(point, joint, at, trust) for point, joint, at, trust in SITES)
)

_COCO = (
    Site(0, "head", _FACE["nose"], 0.5), Site(1, "head", _FACE["left_eye"], 0.5),
    Site(2, "head", _FACE["right_eye"], 0.5), Site(3, "head", _FACE["left_ear"], 0.5),
    Site(4, "head", _FACE["right_ear"], 0.5),
    *_sites(
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
        "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", first=5,
    ),
)  # fmt: skip
COCO_17 = Layout("COCO body, 17 keypoints", 17, _COCO)


def _coco_foot(first: int, side: str) -> tuple[Site, ...]:
    out = 1.0 if side == "left" else -1.0
    return (
        Site(first, f"{side}_foot", (-0.02 * out, -0.01, 0.07), 0.3),
        Site(first + 1, f"{side}_foot", (0.035 * out, -0.012, 0.035), 0.3),
        Site(first + 2, f"{side}_ankle", (0.0, -0.065, -0.055), 0.3),
    )


COCO_WHOLEBODY_133 = Layout(
    "COCO whole body, 133 keypoints",
    133,
    (
        *_COCO, *_coco_foot(17, "left"), *_coco_foot(20, "right"), Site(96, "left_index1", trust=0.3),
        Site(100, "left_middle1", trust=0.3), Site(108, "left_pinky1", trust=0.3),
        Site(117, "right_index1", trust=0.3), Site(121, "right_middle1", trust=0.3),
        Site(129, "right_pinky1", trust=0.3),
    ),
    hands=(91, 112),
)  # fmt: skip
"""Body 0-16, feet 17-22 (big and small toe, heel), face 23-90, left hand 91-111, right hand 112-132.

Source:
    Jin and others, "Whole-Body Human Pose Estimation in the Wild", ECCV 2020.
"""
