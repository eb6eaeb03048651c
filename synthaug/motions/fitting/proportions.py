"""Estimate the performer's bone lengths once from all frames of a clip. Pure functions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, JOINT_NAMES, PARENTS, Skeleton
from synthaug.motions.fitting.markers import Markers, noise

_BONES: dict[str, tuple[str, str]] = {
    "knee": ("hip", "knee"), "ankle": ("knee", "ankle"), "elbow": ("shoulder", "elbow"), "wrist": ("elbow", "wrist"),
}  # fmt: skip
"""Joint at the end of each limb bone, and the joints at both ends, without their side."""
_TRUNK = ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar")
_VARIETY = 0.05
"""Usual relative deviation of a bone from the mean adult's (Drillis and Contini 1966, Gordon 1988)."""
_FLOOR = 0.01
"""Smallest error of a median over a clip, metres, since joints are not defined alike."""
_MIN_SIZE, _MAX_SIZE = 0.44, 1.5
"""Sizes relative to the mean adult: a child of one year, and a person of 2.5 m."""


@dataclass(frozen=True, eq=False)
class Proportions:
    """A performer's build.

    Attributes:
        skeleton: The performer's skeleton.
        size: Median factor of the bones relative to those of the mean adult.
        variation: Variation of measured limb bones over time: standard deviation over mean, averaged over limbs,
            without the measurement's noise. Real bones do not vary, so this shows how far points contradict a body.
    """

    skeleton: Skeleton
    size: float
    variation: float


def solve_proportions(
    points: Float[Tensor, "time marker 3"], confidence: Float[Tensor, "time marker"], markers: Markers, mean: Skeleton
) -> Proportions:
    """Solve the skeleton whose bones are as long as the measured ones, equal on the left and the right.

    Each bone is the median over frames of the distance of its ends, minus what noise adds to a distance (|b + n| is |b|
    + s^2 / |b| on average, for errors of standard deviation s along each axis of the difference). It is shrunk towards
    the whole body's size according to the usual variation of bones and its measurement error. Bones whose ends are not
    measured have the whole body's size.

    Raises:
        ValueError: If the body has no human size, as with points in millimetres.
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
            f"Expected points in metres of a person between {_MIN_SIZE} and {_MAX_SIZE} times the mean adult's size, "
            f"got bones {size:.3g} times as long as an adult's. Check that they are not in millimetres, normalised, or "
            "in another layout."
        )
    shrunk = {
        name: size + (factor - size) * _VARIETY**2 / (_VARIETY**2 + (_FLOOR / 0.25) ** 2)
        for name, factor in {**factors, **widths}.items()
    }
    variations = [limb.variation for limb in limbs.values() if limb is not None]
    return Proportions(
        skeleton=_scale_skeleton(mean, size, shrunk),
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
    """Measure the length of a bone over both sides and all frames."""
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
    """Widths of hips and shoulders, and the trunk's length relative to the mean, where both sides are known."""
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
            # A bent trunk is shorter than the spine: take the 90th percentile.
            factors["trunk"] = float(length.quantile(0.9)) / float(rest.norm())
    return factors


def _remove_noise(apart: float, sigma: float) -> float:
    """The length whose ends, each with this noise along each axis, have this distance on average."""
    return 0.5 * (apart + max(0.0, apart**2 - 8 * sigma**2) ** 0.5)


def _scale_skeleton(mean: Skeleton, size: float, factors: dict[str, float]) -> Skeleton:
    """Scale each bone of the mean skeleton by its factor, or by the body's size if it has none."""
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
