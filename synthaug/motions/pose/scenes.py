"""Estimate lens, gravity and floor of a camera from the people it filmed, with uncertainties. Pure functions.

People stand upright on the floor and have one size. Their lean before the camera gives its pitch, the height of their
feet in the picture against their size gives the horizon, and both together give the focal length (after Lv, Zhao and
Nevatia, "Camera calibration from video of a walking human", PAMI 2006; here as a posterior over a grid, since most
clips determine only a part of it).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, SUPPORTS, Skeleton
from synthaug.motions.fitting.landmarks import USED, Landmarks, body_shapes, kind_trust, landmark_trust
from synthaug.motions.fitting.placement import intrinsics, place_shapes
from synthaug.motions.pose.camera_motion import USUAL_FOCAL, Background, CameraMotion, measure_camera

PRIOR_VIEW_DEG = 60.0
"""Horizontal view (of the longer side) of phones, webcams and Kinects, where nothing else is known."""
PRIOR_LOG_FOCAL = 0.2
"""Standard deviation of the logarithm: views of 42 to 81 degrees lie within two of them."""
PRIOR_PITCH_DEG = 15.0
"""Standard deviation of pitch: most cameras are nearly level."""
PRIOR_ROLL_DEG = 2.0
"""Standard deviation of roll: cameras stand on tripods and shelves."""
PRIOR_HEIGHT = (1.4, 0.45)
"""Metres above the floor, and the deviation of its logarithm: from a low table to a corner below the ceiling."""

_LEAN, _LEAN_BIAS = 6.0, 4.0
"""Deviation of lean towards the camera, degrees: of a person from one half second to the next, and of a whole clip.

The detector's depth is its worst estimate, and people who stand lean a little, too.
"""
_SWAY, _SWAY_BIAS = 3.0, 1.0
"""The same in the picture's plane, where the detector is exact."""
_DISTANCE = 0.06
"""Relative error of distances estimated from a person's size, from one half second to the next."""
_INDEPENDENT_SECONDS = 0.5
"""Seconds after which errors are independent; frames closer together count as one."""
_MAX_FRAMES = 120
"""Largest number of frames used of each clip, evenly spread; more add nothing."""
_MIN_UPRIGHT = 0.6
"""Smallest cosine between a standing person and the picture's vertical, for all pitches."""

_SHOULDERS, _HIPS, _KNEES, _ANKLES, _TOES = (
    [USED.index(k) for k in pair] for pair in ((11, 12), (23, 24), (25, 26), (27, 28), (31, 32))
)


@dataclass(frozen=True, eq=False)
class WatchedPerson:
    """One person in a film.

    Attributes:
        seen: One row for each frame.
        fps: Frames per second.
        size: Height and width of the picture.
        background: What tells how the camera moved; None for a camera that stands still.
    """

    seen: Landmarks
    fps: float
    size: tuple[int, int]
    background: Background | None = None


def hold_camera(
    watched: WatchedPerson, run: tuple[int, int] | None = None, *, focal: float | None = None
) -> tuple[WatchedPerson, CameraMotion]:
    """The person as a camera that stays where it was in the middle of a run sees them, and how the camera moved.

    A camera that stood still gives the very same landmarks.

    Args:
        watched: The person in the film's own pictures.
        run: First and one past the last frame; None takes all.
        focal: Focal length in longer sides of the picture, in the middle of the run; None takes the usual one.
    """
    first, last = run or (0, len(watched.seen.found))
    focal = USUAL_FOCAL if focal is None else focal
    moved = CameraMotion.at_rest(last - first, focal)
    if watched.background is not None and last > first:
        whole = measure_camera(watched.background, focal=focal)
        if whole.moves:
            whole = measure_camera(watched.background, focal=focal / float(whole.zooms[(first + last) // 2]))
        moved = whole.between(first, last)
    seen = moved.hold(watched.seen.between(first, last), watched.size)
    return WatchedPerson(seen, watched.fps, watched.size), moved


_RENAMED = {"height": "camera_height", "height_sd": "camera_height_sd", "evidence": "pitch_evidence"}
"""Names of a standpoint's fields among the notes of a reference, where they differ."""


@dataclass(frozen=True)
class Standpoint:
    """Position and lens of a camera; `_sd` are standard deviations.

    Attributes:
        focal: Focal length in longer sides of the picture.
        focal_sd: Standard deviation of `focal`.
        pitch_deg: Positive looks down.
        pitch_sd_deg: Standard deviation of `pitch_deg`.
        roll_deg: Positive where the camera was turned clockwise, as seen from behind it.
        roll_sd_deg: Standard deviation of `roll_deg`.
        height: Metres above the floor, assuming that the people have the mean body's size.
        height_sd: Standard deviation of `height`.
        evidence: Share of frames with a standing person in full view. With 0 the result is the prior.
    """

    focal: float
    focal_sd: float
    pitch_deg: float
    pitch_sd_deg: float
    roll_deg: float
    roll_sd_deg: float
    height: float
    height_sd: float
    evidence: float

    def notes(self) -> dict[str, float]:
        """The fields for `Reference.notes`, with `height` as `camera_height` and `evidence` as `pitch_evidence`."""
        return {_RENAMED.get(name, name): float(value) for name, value in vars(self).items()}

    @staticmethod
    def from_notes(notes: Mapping[str, float]) -> "Standpoint":
        """The standpoint that wrote these notes of a reference."""
        return Standpoint(**{field.name: notes[_RENAMED.get(field.name, field.name)] for field in fields(Standpoint)})


@dataclass(frozen=True, eq=False)
class _Glimpses:
    """Measurements from the standing frames of all clips, for one focal length.

    Attributes:
        up: From ankles to shoulders, unit length, level camera's frame (y up, z towards the viewer).
        soles: Middle of each foot's joints, without the flesh below.
        weight: Weight of each frame; 1 is independent of its neighbours.
        share: Share of standing frames among all frames.
    """

    up: Float[Tensor, "frame 3"]
    soles: Float[Tensor, "frame 2 3"]
    weight: Float[Tensor, " frame"]
    share: float


def estimate_standpoint(
    clips: Sequence[WatchedPerson], skeleton: Skeleton, *, focal: float | None = None
) -> Standpoint:
    """Estimate lens, gravity and floor of the one camera that filmed these clips.

    Posterior means and deviations over a grid of focal lengths and pitches. The camera's height and the errors that a
    whole clip shares are integrated out in closed form. Roll is estimated first and separately. Several clips are
    combined, since they can determine different parts.

    Args:
        clips: From one camera that neither moved nor zoomed, with pictures of one size. No clips give the prior.
        skeleton: The performers' skeleton, which sets the scale of all lengths.
        focal: Focal length in longer sides of the picture; None estimates it.

    Raises:
        ValueError: If the clips' pictures differ in size.
    """
    sizes = sorted({clip.size for clip in clips})
    if len(sizes) > 1:
        raise ValueError(
            f"Expected clips of one camera with pictures of one size, got {sizes} (height, width). "
            "Group the clips by camera."
        )
    guess = 0.5 / math.tan(math.radians(PRIOR_VIEW_DEG) / 2)
    spread = torch.linspace(-3.0, 3.0, 13) * PRIOR_LOG_FOCAL
    focals = torch.tensor([focal]) if focal is not None else guess * spread.exp()
    glimpses = [_collect_glimpses(clips, skeleton, float(f)) for f in focals]
    middle = glimpses[len(glimpses) // 2]
    roll, roll_sd = _estimate_roll(middle)
    pitches = torch.arange(-45.0, 61.0, 1.0)
    cells = [_judge_pitches(each, pitches, roll) for each in glimpses]
    cost = torch.stack([cell[0] for cell in cells]) + (pitches / PRIOR_PITCH_DEG) ** 2
    if focal is None:
        cost = cost + (spread / PRIOR_LOG_FOCAL)[:, None] ** 2
    mass = (-cost / 2).flatten().softmax(0).reshape(cost.shape)
    log_focal, log_focal_sd = _moments(focals.log()[:, None].expand_as(mass), mass)
    pitch, pitch_sd = _moments(pitches.expand_as(mass), mass)
    log_height, log_height_sd = _moments(
        torch.stack([cell[1] for cell in cells]), mass, torch.stack([cell[2] for cell in cells])
    )
    return Standpoint(
        focal=math.exp(log_focal), focal_sd=math.exp(log_focal) * log_focal_sd,
        pitch_deg=pitch, pitch_sd_deg=pitch_sd, roll_deg=roll, roll_sd_deg=roll_sd,
        height=math.exp(log_height), height_sd=math.exp(log_height) * log_height_sd, evidence=middle.share,
    )  # fmt: skip


def _moments(
    values: Float[Tensor, "focal pitch"],
    mass: Float[Tensor, "focal pitch"],
    variance: Float[Tensor, "focal pitch"] | None = None,
) -> tuple[float, float]:
    """Mean and standard deviation of a value with these means and variances in the cells of the grid."""
    values, mass = values.double(), mass.double()
    mean = (mass * values).sum() / mass.sum()
    total = (mass * (values - mean) ** 2).sum() + (0 if variance is None else (mass * variance).sum())
    return float(mean), float((total / mass.sum()).sqrt())


def _collect_glimpses(clips: Sequence[WatchedPerson], skeleton: Skeleton, focal: float) -> _Glimpses:
    """Collect the standing frames of all clips, for one focal length."""
    ups, soles, weights, frames = [torch.zeros(0, 3)], [torch.zeros(0, 2, 3)], [torch.zeros(0)], 0
    for clip in clips:
        stride = max(1, math.ceil(len(clip.seen.found) / _MAX_FRAMES))
        seen = clip.seen.at(slice(None, None, stride))
        fps, (height, width) = clip.fps / stride, clip.size
        frames += len(seen.found)
        if not seen.found.any():
            continue
        K = intrinsics(width, height, focal)
        shape, confidence = body_shapes(seen, K, skeleton), landmark_trust(seen, width=width, height=height)
        root = place_shapes(shape, seen.pixels[:, list(USED)], confidence * kind_trust(), K, smoothing=0.25 * fps)
        points = shape + root[:, None]
        up, standing = _find_standing(points, confidence, skeleton)
        ups.append(up[standing])
        soles.append(_sole_centres(points[standing]))
        weights.append(torch.full((int(standing.sum()),), min(1.0, 1 / (fps * _INDEPENDENT_SECONDS))))
    weight = torch.cat(weights)
    return _Glimpses(torch.cat(ups), torch.cat(soles), weight, len(weight) / max(frames, 1))


def _find_standing(
    points: Float[Tensor, "time marker 3"], confidence: Float[Tensor, "time marker"], skeleton: Skeleton
) -> tuple[Float[Tensor, "time 3"], Bool[Tensor, " time"]]:
    """Directions from ankles to shoulders, and frames with a standing person visible from shoulders to feet."""
    low, hips, high = (points[:, pair].mean(1) for pair in (_ANKLES, _HIPS, _SHOULDERS))
    rest = {part: skeleton.joints[[JOINT[f"left_{part}"], JOINT[f"right_{part}"]]].mean(0) for part in _PARTS}
    tall = float((rest["shoulder"] - rest["ankle"]).norm())
    up = torch.nn.functional.normalize(high - low, dim=-1)
    trunk = torch.nn.functional.normalize(high - hips, dim=-1)
    in_view = confidence[:, [*_SHOULDERS, *_HIPS, *_KNEES, *_ANKLES]].amin(1) > 0.3
    # Legs stretched as far as in walking, trunk in line with them (20 degrees), the head up in the picture.
    straight = ((high - low).norm(dim=-1) > 0.92 * tall) & ((trunk * up).sum(-1) > 0.94)
    return up, straight & (up[:, 1] > _MIN_UPRIGHT) & in_view & up.isfinite().all(-1)


_PARTS = ("shoulder", "ankle")


def _sole_centres(points: Float[Tensor, "frame marker 3"]) -> Float[Tensor, "frame 2 3"]:
    """The middle of each foot, between ankle and toes, since heels and toes rarely rise together."""
    return (points[:, _ANKLES] + points[:, _TOES]) / 2


_FLESH = (SUPPORTS["left_ankle"] + SUPPORTS["left_foot"]) / 2
"""Metres from the middle of a flat foot's joints down to the floor."""


def _estimate_roll(seen: _Glimpses) -> tuple[float, float]:
    """Estimate roll and its deviation, degrees, from how bodies lean in the picture, with bias and prior."""
    lean = torch.atan2(-seen.up[:, 0], seen.up[:, 1]).rad2deg()
    precision = float((seen.weight / _SWAY**2).sum())
    if precision == 0:
        return 0.0, PRIOR_ROLL_DEG
    mean = float((seen.weight * lean).sum() / seen.weight.sum())
    told = 1 / (1 / precision + _SWAY_BIAS**2)
    total = told + 1 / PRIOR_ROLL_DEG**2
    return mean * told / total, total**-0.5


def _judge_pitches(
    seen: _Glimpses, pitches: Float[Tensor, " pitch"], roll_deg: float
) -> tuple[Float[Tensor, " pitch"], Float[Tensor, " pitch"], Float[Tensor, " pitch"]]:
    """For every pitch: minus twice the log likelihood, and mean and variance of the height's logarithm."""
    mean, sd = math.log(PRIOR_HEIGHT[0]), PRIOR_HEIGHT[1]
    if not len(seen.weight):
        return torch.zeros_like(pitches), torch.full_like(pitches, mean), torch.full_like(pitches, sd**2)
    lean = torch.atan2(seen.up[:, 2], seen.up[:, :2].norm(dim=-1)).rad2deg()
    cost, _, _ = _integrate_shared(lean[None] - pitches[:, None], seen.weight / _LEAN**2, (0.0, _LEAN_BIAS))
    # The rows of `leveling_rotation` that give the up direction.
    roll, tip = math.radians(roll_deg), pitches.deg2rad()
    normals = torch.stack([-math.sin(roll) * tip.cos(), math.cos(roll) * tip.cos(), tip.sin()], dim=1)
    below = torch.einsum("pi,tfi->ptf", -normals, seen.soles).amax(-1) + _FLESH
    # People do not walk on a floor above the lens: clamp the logarithm.
    drops = below.clamp(min=0.05).log()
    more, height, variance = _integrate_shared(drops, seen.weight / _DISTANCE**2, (mean, sd))
    return cost + more, height, variance


def _integrate_shared(
    values: Float[Tensor, "pitch frame"], precision: Float[Tensor, " frame"], prior: tuple[float, float]
) -> tuple[Float[Tensor, " pitch"], Float[Tensor, " pitch"], Float[Tensor, " pitch"]]:
    """Minus twice the log evidence of values that are one number plus errors, and the number's mean and variance.

    Args:
        values: Measured values.
        precision: One over the variance of each error.
        prior: Mean and standard deviation of the number.
    """
    total = precision.sum() + 1 / prior[1] ** 2
    mean = ((precision * values).sum(-1) + prior[0] / prior[1] ** 2) / total
    cost = (precision * (values - mean[:, None]) ** 2).sum(-1) + ((mean - prior[0]) / prior[1]) ** 2
    return cost, mean, torch.full_like(mean, float(1 / total))
