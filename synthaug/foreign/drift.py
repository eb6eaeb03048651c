"""How far a clip's motion is from the motion that it was made to re-enact. Pure functions between two references."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton, resample
from synthaug.structures import Reference

LIMBS = tuple(
    JOINT[f"{side}_{name}"]
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)
"""The joints that are compared: those that detectors find best."""
STATURE = 1.7
"""Metres: the mean body's, and so that of every motion."""
RATE = 10.0
"""Instants compared in a second."""
MAX_LAG = 1.0
"""Seconds by which a clip may be early or late for the better time to be named."""
_FEWEST = 6
"""Joints that both pictures show, below which an instant is not compared: scale and shift would explain most of it."""
_SHARED = 0.5
"""Share of the clip's instants that must be comparable."""


@dataclass(frozen=True)
class Drift:
    """How far a clip is from its reference; shares of the person's height.

    Attributes:
        pose: Median over time of the mean distance of joints in the picture.
        limb: Distance of the joint that is farthest away, over half a second, which a tenth of the time exceeds: an arm
            alone makes many actions, and moves the mean of all joints by little.
    """

    pose: float
    limb: float


def measure_drift(theirs: Reference, ours: Reference, *, ahead: float = 0.0, same_view: bool = True) -> Drift | None:
    """Compare a clip's motion with its reference's, as each is seen by its own camera.

    The best scale and shift of each instant are taken out, because bodies differ in size and generators move people
    in the picture: only the pose is measured. None if they have too little in common: less than half of the clip's
    instants with joints inside both pictures.

    Args:
        theirs: Motion found in the clip; `offset` in its notes is where in the clip it begins, in seconds.
        ours: Motion of the reference clip, with the same note.
        ahead: Seconds into the reference clip that the clip begins with.
        same_view: Whether both are seen from one direction. Otherwise they are compared in space, after the best turn
            about the vertical; what a single view says of depth then counts as well.
    """
    offsets = _compare(theirs, ours, ahead, same_view)
    if offsets is None:
        return None
    return Drift(float(offsets.norm(dim=-1).nanmean(dim=1).median()), _find_farthest(offsets))


def find_lag(theirs: Reference, ours: Reference, *, ahead: float = 0.0, same_view: bool = True) -> tuple[float, float]:
    """By how many seconds the clip is later than its reference where they fit best, and `Drift.limb` there.

    Arguments as for `measure_drift`, which must have found something. Negative if the clip is earlier.
    """
    found = {}
    for step in range(-round(MAX_LAG * RATE), round(MAX_LAG * RATE) + 1):
        lag = step / RATE
        if (drift := measure_drift(theirs, ours, ahead=ahead - lag, same_view=same_view)) is not None:
            found[lag] = drift.limb
    best = min(found, key=lambda lag: (found[lag], abs(lag)))
    return best, found[best]


def _find_farthest(offsets: Float[Tensor, "time joint axis"]) -> float:
    """What `Drift.limb` says: jitter averages out over half a second, a limb that does something else does not."""
    length = min(round(RATE / 2), len(offsets))
    smooth = offsets.unfold(0, length, 1).nanmean(dim=-1)  # window joint axis
    return float(smooth.norm(dim=-1).nan_to_num().max(dim=1).values.quantile(0.9))


def _compare(
    theirs: Reference, ours: Reference, ahead: float, same_view: bool
) -> Float[Tensor, "time joint axis"] | None:
    """Offsets at the instants that both show, share of the person's height; NaN for joints outside a picture."""
    start, begin = (one.notes.get("offset", 0.0) for one in (theirs, ours))
    count = int(theirs.motion.duration * RATE)
    times = (torch.arange(count, dtype=torch.float64) + 0.5) / RATE  # of the motion found in the clip
    there = times + start + ahead - begin
    common = (there >= 0) & (there < ours.motion.duration)
    a, b = _look(theirs, times[common]), _look(ours, there[common])
    both = a.inside & b.inside
    usable = both.sum(dim=1) >= _FEWEST
    if usable.sum() < max(1.0, _SHARED * count):
        return None
    both, tall = both[usable], b.tall[usable, None, None] if same_view else STATURE
    one, other = (look.pixels if same_view else look.joints for look in (a, b))
    offsets = (_align(one[usable], other[usable], both) - other[usable]) / tall
    return torch.where(both[..., None], offsets, torch.nan).float()


class _Look(NamedTuple):
    """Joints over time, as a camera sees them."""

    joints: Float[Tensor, "time joint 3"]
    """World frame, metres."""
    pixels: Float[Tensor, "time joint 2"]
    inside: Bool[Tensor, "time joint"]
    """Whether they lie in the picture."""
    tall: Float[Tensor, " time"]
    """The person's height, pixels."""


def _look(one: Reference, times: Float[Tensor, " time"]) -> _Look:
    motion, camera = one.motion, one.camera
    joints = joint_positions(resample(motion, times), mean_skeleton())[:, LIMBS].double()
    frames = (times * motion.fps).long().clamp(max=motion.num_frames - 1)
    viewmats, Ks = camera.viewmats[frames].double(), camera.Ks[frames].double()
    local = joints @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    depth, flat = local[..., 2], local @ Ks.mT
    pixels = flat[..., :2] / flat[..., 2:].clamp(min=1e-3)
    inside = (depth > 0) & ((pixels >= 0) & (pixels < pixels.new_tensor([camera.width, camera.height]))).all(dim=-1)
    return _Look(joints, pixels, inside, STATURE * Ks[:, 1, 1] / depth.mean(dim=1).clamp(min=1e-3))


def _align(
    a: Float[Tensor, "time joint axis"], b: Float[Tensor, "time joint axis"], both: Bool[Tensor, "time joint"]
) -> Float[Tensor, "time joint axis"]:
    """`a` after the scale and shift of each instant that bring its joints nearest to those of `b`.

    In space, one turn about the vertical for all instants comes before: two people seen from two sides.
    """
    weights = both[..., None].double()
    middles = [(points * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True) for points in (a, b)]
    a, b = ((points - middle) * weights for points, middle in zip((a, b), middles, strict=True))
    if a.shape[-1] == 3:
        angle = torch.atan2((a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]).sum(),
                            (a[..., 0] * b[..., 0] + a[..., 2] * b[..., 2]).sum())  # fmt: skip
        cos, sin = angle.cos(), angle.sin()
        a = torch.stack([cos * a[..., 0] + sin * a[..., 2], a[..., 1], cos * a[..., 2] - sin * a[..., 0]], dim=-1)
    scale = ((a * b).sum((1, 2)) / (a * a).sum((1, 2)).clamp(min=1e-9)).clamp(min=0)
    return a * scale[:, None, None] + middles[1]
