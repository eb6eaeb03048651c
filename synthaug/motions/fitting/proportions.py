"""The performer's own bone lengths, solved once from all frames of a clip. Pure functions below recovery."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, JOINT_NAMES, PARENTS, Skeleton
from synthaug.motions.fitting.markers import Markers, noise

_BONES: dict[str, tuple[str, str]] = {
    "knee": ("hip", "knee"), "ankle": ("knee", "ankle"), "elbow": ("shoulder", "elbow"), "wrist": ("elbow", "wrist"),
}  # fmt: skip
"""Joint whose offset a limb bone is, and the joints at its ends, without their side."""
_TRUNK = ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar")
_VARIETY = 0.05
"""Usual deviation of one bone's share of the body from the mean adult's (Drillis and Contini 1966, Gordon 1988)."""
_FLOOR = 0.01
"""Metres; no median over a clip is more exact than joints are defined alike."""
_MIN_SIZE, _MAX_SIZE = 0.55, 1.5
"""Sizes against the mean adult: a child of two and somebody of 2.5 m."""


@dataclass(frozen=True, eq=False)
class Proportions:
    """A performer's build.

    Attributes:
        skeleton: With the performer's bones.
        size: Median factor of the bones against those of the mean adult.
        variation: How much measured limb bones vary over time: standard deviation over mean, averaged over limbs,
            after the measurement's noise is taken out. Bones do not: this is how far points contradict a body.
    """

    skeleton: Skeleton
    size: float
    variation: float


def solve_proportions(
    points: Float[Tensor, "time marker 3"], confidence: Float[Tensor, "time marker"], markers: Markers, mean: Skeleton
) -> Proportions:
    """The skeleton whose bones are as long as the measured ones, left and right alike.

    Each bone is the median over frames of the distance of its ends, less what noise adds to a distance
    (|b + n| is |b| + s^2 / |b| on average, for errors of standard deviation s along each axis of the difference),
    and is drawn towards the whole body's size by how usual it is for bones to differ and how badly it was measured.
    Bones whose ends are not measured take the whole body's size.

    Raises:
        ValueError: If the body is of no human size, as with points in millimetres.
    """
    sigma = noise(points, confidence).item()
    limbs = {end: _measure_limb(points, confidence, markers, *ends, sigma=sigma) for end, ends in _BONES.items()}
    ends = {end: JOINT[f"left_{bone[0]}"] for end, bone in _BONES.items()}
    rest = {end: float((mean.joints[JOINT[f"left_{end}"]] - mean.joints[ends[end]]).norm()) for end in _BONES}
    factors = {end: limb.length / rest[end] for end, limb in limbs.items() if limb is not None}
    widths = _measure_widths(points, confidence, markers, mean, sigma)
    known = [*factors.values(), *widths.values()]
    size = float(torch.tensor(known).median()) if known else 1.0
    if not _MIN_SIZE <= size <= _MAX_SIZE:
        raise ValueError(
            f"The measured bones are {size:.3g} times as long as an adult's. Points in metres of a person between "
            f"{_MIN_SIZE} and {_MAX_SIZE} times the mean adult were wanted. Are they in millimetres, normalised, or of "
            "another layout?"
        )
    drawn = {
        name: size + (factor - size) * _VARIETY**2 / (_VARIETY**2 + (_FLOOR / 0.25) ** 2)
        for name, factor in {**factors, **widths}.items()
    }
    variations = [limb.variation for limb in limbs.values() if limb is not None]
    return Proportions(
        skeleton=_scale_skeleton(mean, size, drawn),
        size=size,
        variation=sum(variations) / len(variations) if variations else 0.0,
    )


@dataclass(frozen=True)
class _LimbMeasure:
    length: float
    variation: float


def _measure_limb(
    points: Tensor, confidence: Tensor, markers: Markers, upper: str, lower: str, *, sigma: float
) -> _LimbMeasure | None:
    """Length of a bone that both sides have, over both sides and all frames."""
    direct = markers.direct
    lengths, spreads = [], []
    for side in ("left", "right"):
        a, b = JOINT[f"{side}_{upper}"], JOINT[f"{side}_{lower}"]
        if a not in direct or b not in direct:
            continue
        apart = (points[:, direct[a]] - points[:, direct[b]]).norm(dim=-1)
        good = (torch.minimum(confidence[:, direct[a]], confidence[:, direct[b]]) > 0.3) & apart.isfinite()
        if not good.any():
            continue
        lengths.append(apart[good])
        excess = (apart[good].var(correction=0) - 2 * sigma**2).clamp(min=0)
        spreads.append(float(excess.sqrt() / apart[good].mean().clamp(min=1e-6)))
    if not lengths:
        return None
    return _LimbMeasure(_remove_noise(float(torch.cat(lengths).median()), sigma), sum(spreads) / len(spreads))


def _measure_widths(
    points: Tensor, confidence: Tensor, markers: Markers, mean: Skeleton, sigma: float
) -> dict[str, float]:
    """Factors of the girdles' widths and of the trunk's length, where both sides are measured."""
    direct = markers.direct
    girdles = {name: [JOINT[f"left_{name}"], JOINT[f"right_{name}"]] for name in ("hip", "shoulder")}
    factors: dict[str, float] = {}
    middles = {}
    for name, pair in girdles.items():
        if not set(pair) <= direct.keys():
            continue
        ends = [direct[j] for j in pair]
        good = (confidence[:, ends].amin(1) > 0.3) & points[:, ends].isfinite().all(-1).all(-1)
        middles[name] = torch.where(good[:, None], points[:, ends].mean(1), torch.nan)
        if good.any():
            width = (points[good][:, ends[0]] - points[good][:, ends[1]]).norm(dim=-1).median()
            factors[name] = _remove_noise(float(width), sigma) / float(
                (mean.joints[pair[0]] - mean.joints[pair[1]]).norm()
            )
    if len(middles) == 2:
        length = (middles["hip"] - middles["shoulder"]).norm(dim=-1)
        length = length[length.isfinite()]
        if len(length):
            rest = mean.joints[girdles["hip"]].mean(0) - mean.joints[girdles["shoulder"]].mean(0)
            # A stooping trunk is shorter than its spine: the longest tenth has it upright.
            factors["trunk"] = float(length.quantile(0.9)) / float(rest.norm())
    return factors


def _remove_noise(apart: float, sigma: float) -> float:
    """The length whose ends, each with this much noise along each axis, lie so far apart on average."""
    return 0.5 * (apart + max(0.0, apart**2 - 8 * sigma**2) ** 0.5)


def _scale_skeleton(mean: Skeleton, size: float, factors: dict[str, float]) -> Skeleton:
    """The mean skeleton with each bone as long as its factor says; those without one have the body's size."""
    joints = [mean.joints[0]]
    for joint in range(1, len(PARENTS)):
        name = JOINT_NAMES[joint]
        part = name.removeprefix("left_").removeprefix("right_")
        factor = mean.joints.new_full((3,), factors.get(part, size) if part in _BONES else size)
        if part in ("hip", "shoulder", "collar"):
            factor[0] = factors.get("hip" if part == "hip" else "shoulder", size)
        if name in _TRUNK:
            factor[1] = factors.get("trunk", size)
        joints.append(joints[PARENTS[joint]] + factor * (mean.joints[joint] - mean.joints[PARENTS[joint]]))
    return Skeleton(joints=torch.stack(joints))
