"""Grade a measured motion without ground truth: parts between 0 and 1, their product, and a gate.

Uses only joints over time and the body fitted to them. Every part is 1 for a good estimator's usual noise and falls
with what cannot be a person's movement: swapped sides, limbs that are exactly still, bones that grow, trunks that leap.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.limits import excess
from synthaug.body.skeleton import JOINT, Skeleton, joint_positions
from synthaug.motions.fitting.markers import NUM_BODY, Markers, Sighting, Track, noise
from synthaug.structures import Motion

_LIMBS = {
    f"{side}_{limb}": [f"{side}_{part}" for part in parts]
    for side in ("left", "right")
    for limb, parts in (("arm", ("elbow", "wrist")), ("leg", ("knee", "ankle")))
}
_TRUNK = ("pelvis", "left_hip", "right_hip", "left_shoulder", "right_shoulder", "neck", "spine3")
_BONES = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
_ROOTS = {"arm": "shoulder", "leg": "hip"}
_GUESS_ERROR = 0.15
"""Metres, beside twice the noise, within which a fitted body agrees with doubtful joints: inferred arms lag."""
_GUESS_COST = 0.12
"""What a limb costs that is a good guess all the time."""
_EXACT = 5e-6
"""Metres that rounding moves a point which is exactly still: seven digits, a few metres away."""
_BLINK = 0.15
"""Longest gap in seconds after which a point is still compared with its last position."""


@dataclass(frozen=True)
class Quality:
    """A motion's score and its parts, 0 (useless) to 1 (no fault).

    Attributes:
        parts: By name: `detection` (share of frames with a person), `visibility` (of the worst seen limb),
            `rigidity` (bones keep their length), `size` (the whole body keeps its size), `sides` (left stays left),
            `life` (limbs are never exactly still), `continuity` (the trunk does not leap), `steadiness` (little noise),
            `limits` (joints stay within their range), `agreement` (a body fits the points), and for pictures `inside`
            (joints within the picture) and `landing` (the fitted body projects onto the seen points).
    """

    parts: Mapping[str, float]

    @property
    def score(self) -> float:
        """Product of all parts, so that a single fatal fault is enough."""
        return math.prod(self.parts.values())

    @property
    def worst(self) -> str:
        """Name of the lowest part."""
        return min(self.parts, key=lambda name: self.parts[name])

    def notes(self) -> dict[str, float]:
        """The parts under the names that they have in a reference's notes."""
        return {f"part_{name}": value for name, value in self.parts.items()}


@dataclass(frozen=True)
class QualityGate:
    """Which motions are used, and with which weight.

    Attributes:
        drop: Motions with lower scores are dropped.
        keep: Motions with at least this score have weight 1; between the two bounds the weight is linear.
    """

    drop: float = 0.25
    keep: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.drop <= self.keep <= 1:
            raise ValueError(
                f"Expected 0 <= drop <= keep <= 1, got drop={self.drop} and keep={self.keep}. Swap or lower them."
            )

    def judge(self, quality: Quality) -> "Verdict":
        """The weight of a motion and, if it is below 1, the worst part."""
        if quality.score >= self.keep:
            return Verdict(1.0, "")
        if quality.score < self.drop:
            return Verdict(0.0, quality.worst)
        span = self.keep - self.drop
        return Verdict((quality.score - self.drop) / span if span else 1.0, quality.worst)


@dataclass(frozen=True)
class Verdict:
    """A gate's decision: weight 0 (dropped) to 1, and the worst part if it is below 1."""

    weight: float
    reason: str


@dataclass(frozen=True)
class Tally:
    """A gate's effect on a set: number of motions kept, and of those lowered or dropped by reason."""

    kept: int
    lowered: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)


def count_verdicts(verdicts: Iterable[Verdict]) -> Tally:
    """Count verdicts by reason."""
    kept, lowered, dropped = 0, Counter[str](), Counter[str]()
    for verdict in verdicts:
        if verdict.weight == 1:
            kept += 1
        else:
            (dropped if verdict.weight == 0 else lowered)[verdict.reason] += 1
    return Tally(kept, dict(lowered), dict(dropped))


def assess(track: Track, motion: Motion, markers: Markers, skeleton: Skeleton) -> Quality:
    """Grade a motion that was fitted to a track of 3D points.

    Args:
        track: The measured points.
        motion: The fitted motion.
        markers: Positions of the points on the body.
        skeleton: The fitted skeleton.
    """
    points = _Points(track, motion, markers, skeleton)
    return Quality(
        {
            "detection": points.detection(),
            "visibility": points.visibility(),
            "rigidity": points.rigidity(),
            "size": points.size(),
            "sides": points.sides(),
            "life": points.life(),
            "continuity": points.continuity(),
            "steadiness": _fall_off(points.sigma, 0.03, 0.03),
            "limits": _limits_score(motion),
            "agreement": _agreement_score(track, motion, markers, skeleton),
        }
    )


def assess_lifted(sight: Sighting, motion: Motion, *, reprojection: float) -> Quality:
    """Grade a motion that was lifted from one view.

    Args:
        sight: The measured points in the picture.
        motion: The lifted motion.
        reprojection: Distance between both in the picture, as a share of the person's height.
    """
    seen = (sight.confidence > 0.1) & sight.pixels.isfinite().all(-1)
    sure = sight.confidence[seen]
    return Quality(
        {
            "detection": float((seen.float().mean(1) >= 0.3).float().mean()) ** 2,
            "visibility": float(sure.mean()) ** 0.5 if len(sure) else 0.0,
            "inside": inside_share(sight.pixels, seen, width=sight.camera.width, height=sight.camera.height),
            "limits": _limits_score(motion),
            "landing": _fall_off(reprojection, 0.02, 0.03),
        }
    )


def assess_filmed(
    measured: Track, fitted: Track, motion: Motion, markers: Markers, skeleton: Skeleton, *, reprojection: float
) -> Quality:
    """Grade a motion that was fitted to a network's points of a film, in 3D and in the picture.

    Has the parts of `assess`, except `size`, and those of `assess_lifted`.

    Args:
        measured: The network's points, whose bone lengths may vary, with their sighting.
        fitted: The points that the body was fitted to.
        motion: The fitted motion.
        markers: Positions of the points on the body.
        skeleton: The fitted skeleton.
        reprojection: Distance between fitted and seen body in the picture, as a share of the person's height.

    Raises:
        ValueError: If the track has no sighting.
    """
    sight = measured.sighting
    if sight is None:
        raise ValueError("Expected a track with a sighting, got one without a picture. Use `assess` for it.")
    found = (measured.confidence > 0).any(1)
    seen = (sight.confidence > 0.1) & sight.pixels.isfinite().all(-1)
    parts = dict(assess(measured, motion, markers, skeleton).parts)
    # The network's body size varies with the view and is not used by the fit; low confidence is not a lost limb.
    del parts["size"]
    parts["visibility"] = float(sight.confidence[found].mean()) ** 0.5 if found.any() else 0.0
    parts["agreement"] = _agreement_score(_move_to_body(fitted, motion, markers, skeleton), motion, markers, skeleton)
    parts["inside"] = inside_share(sight.pixels, seen, width=sight.camera.width, height=sight.camera.height)
    parts["landing"] = _fall_off(reprojection, 0.02, 0.03)
    return Quality(parts)


def _move_to_body(track: Track, motion: Motion, markers: Markers, skeleton: Skeleton) -> Track:
    """Move the track to the body frame by frame, since a picture shows shape better than distance."""
    direct = markers.direct
    apart = joint_positions(motion, skeleton)[:, list(direct)] - track.points[:, list(direct.values())]
    weight = torch.where(apart.isfinite().all(-1), track.confidence[:, list(direct.values())], 0)[..., None]
    shift = (torch.nan_to_num(apart) * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
    return replace(track, points=track.points + shift[:, None])


def _fall_off(value: float, tolerated: float, scale: float) -> float:
    """1 up to the tolerated value, then falling to 1 / e at one scale beyond."""
    return math.exp(-max(0.0, value - tolerated) / scale)


def _limits_score(motion: Motion) -> float:
    beyond = torch.stack(list(excess(motion).values()))
    # Estimators overshoot by ten degrees. The mean over the worse half of the frames, so that a bad part shows.
    worst = beyond.clamp(max=60).amax(0).sort().values
    return _fall_off(float(worst[len(worst) // 2 :].mean()), 15.0, 25.0)


def _agreement_score(track: Track, motion: Motion, markers: Markers, skeleton: Skeleton) -> float:
    """How well the fitted body matches the points in its worst third of a second."""
    direct = markers.direct
    apart = (joint_positions(motion, skeleton)[:, list(direct)] - track.points[:, list(direct.values())]).norm(dim=-1)
    seen = (track.confidence[:, list(direct.values())] > 0) & apart.isfinite()
    frame = torch.where(seen, apart, 0).sum(1) / seen.sum(1).clamp(min=1)
    window = max(1, round(track.fps / 3))
    smooth = torch.nn.functional.avg_pool1d(frame[None, None], min(window, len(frame)), 1)[0, 0]
    return _fall_off(float(smooth.max()), 0.06, 0.06)


class _Points:
    """The measured joints in numpy, with values that several parts need."""

    def __init__(self, track: Track, motion: Motion, markers: Markers, skeleton: Skeleton) -> None:
        direct = markers.direct
        self.direct = {name: direct[JOINT[name]] for name in JOINT if JOINT[name] in direct and JOINT[name] < NUM_BODY}
        self.at = track.points.numpy().astype(np.float64)
        self.seen = ((track.confidence > 0) & track.points.isfinite().all(-1)).numpy()
        self.at[~self.seen] = np.nan
        self.confidence = np.where(self.seen, track.confidence.numpy(), 0.0)
        self.strayed = np.full(self.seen.shape, np.nan)
        known = list(direct.values())
        fitted = joint_positions(motion, skeleton)[:, list(direct)].numpy()
        self.strayed[:, known] = np.linalg.norm(fitted - self.at[:, known], axis=-1)
        self.full = np.maximum(self.confidence.max(0), 1e-6)
        self.fps = track.fps
        self.sigma = float(noise(track.points, track.confidence))
        self.still = max(1, round(0.2 * track.fps))

    def pick(self, names: Iterable[str]) -> list[int]:
        return [self.direct[name] for name in names if name in self.direct]

    def detection(self) -> float:
        """Squared share of frames with half of the joints that the source ever has."""
        given = self.pick(self.direct)
        given = [k for k in given if self.seen[:, k].any()]
        if not given:
            return 0.0
        return float((self.seen[:, given].mean(1) >= 0.5).mean()) ** 2

    def visibility(self) -> float:
        """Falls with the share of frames (beyond 5 %) in which the worst limb is lost, and slowly with guesses.

        A limb is lost where all its joints are unseen, or have below half their usual confidence while the fitted body
        contradicts them. Doubtful joints that a body fits are a sensor's inferences (sleeves hide wrists, bodies hide
        arms): good guesses.
        """
        lost, guessed = [1.0], [0.0]
        for names in _LIMBS.values():
            joints = self.pick(names)
            if joints:
                weak = (self.confidence[:, joints] < 0.5 * self.full[joints]).all(1)
                fits = self.guesses_fit(joints)
                lost.append(float((weak & ~fits).mean()))
                guessed.append(float((weak & fits).mean()))
        missing = min(1.0, max(0.0, max(lost[1:], default=1.0) - 0.05) * 2)
        return (1 - missing) * (1 - _GUESS_COST * max(guessed))

    def guesses_fit(self, joints: list[int]) -> Bool[np.ndarray, " time"]:
        """Whether the body agrees with these joints, and they move as limbs do: inventions are far off, or shake."""
        bends = np.linalg.norm(np.diff(self.at[:, joints], n=2, axis=0), axis=2)
        shaking = np.zeros((len(self.at), len(joints)))
        shaking[1:-1] = np.nan_to_num(bends)
        with np.errstate(invalid="ignore"):
            near = self.strayed[:, joints] < _GUESS_ERROR + 2 * self.sigma
        return (near & (shaking < 0.05 + 30 / self.fps**2 + 5 * self.sigma)).all(1)

    def _log_bones(self) -> NDArray[np.float64]:
        """Logarithms of bone lengths relative to each bone's median, smoothed over 0.2 s; nan if not measured."""
        pairs = [(f"{side}_{a}", f"{side}_{b}") for a, b in _BONES for side in ("left", "right")]
        pairs += [("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")]
        pairs += [("left_shoulder", "left_hip"), ("right_shoulder", "right_hip")]
        ends = [(self.direct[a], self.direct[b]) for a, b in pairs if a in self.direct and b in self.direct]
        if not ends:
            return np.zeros((len(self.at), 0))
        measured = np.where((self.confidence >= 0.5 * self.full)[..., None], self.at, np.nan)
        lengths = np.stack([np.linalg.norm(measured[:, a] - measured[:, b], axis=1) for a, b in ends], axis=1)
        logs = np.log(np.maximum(lengths, 1e-3))
        middle = _reduce_known(np.nanmedian, logs)
        return _running_mean(logs - middle, self.still)

    def size(self) -> float:
        """Falls with the range over time of the body's size, the median over bones."""
        logs = self._log_bones()
        whole = _reduce_known(np.nanmedian, logs.T) if logs.size else np.zeros(1)
        whole = whole[np.isfinite(whole)]
        if len(whole) < 2:
            return 1.0
        low, high = np.quantile(whole, [0.02, 0.98])
        return _fall_off(float(high - low), 0.1 + 1.5 * self.sigma, 0.06)

    def rigidity(self) -> float:
        """Falls with the variation of single limb bones."""
        logs = self._log_bones()[:, : 2 * len(_BONES)]
        if not logs.size:
            return 1.0
        apart = np.abs(logs)
        high = _reduce_known(lambda values, axis: np.nanquantile(values, 0.95, axis=axis), apart)
        high = high[np.isfinite(high)]
        return _fall_off(float(high.max()) if len(high) else 0.0, 0.35, 0.3)

    def sides(self) -> float:
        """Falls with each swap of left and right: a step that is short only if both sides are swapped."""
        events = 0
        lag = max(1, round(_BLINK * self.fps))
        for names in (("shoulder", "hip"), ("elbow", "wrist"), ("knee", "ankle")):
            left, right = (self.pick(f"{side}_{name}" for name in names) for side in ("left", "right"))
            if len(left) == len(right) > 0:
                events += _count_swaps(
                    _hold_last(self.at[:, left], lag), _hold_last(self.at[:, right], lag), self.sigma
                )
        return math.exp(-events)

    def _noise_floor(self) -> float:
        """Noise (75th percentile over frames) of the joint at the lower quartile, since sensors hold feet still."""
        third = np.abs(np.diff(self.at[:, self.pick(self.direct)], n=3, axis=0)).max(2)
        high = (
            _reduce_known(lambda values, axis: np.nanquantile(values, 0.75, axis=axis), third)
            if len(third)
            else np.zeros(1)
        )
        high = high[np.isfinite(high)]
        return float(np.quantile(high, 0.25)) / 20**0.5 if len(high) else 0.0

    def life(self) -> float:
        """Falls with the longest time that a whole limb is exactly still while others jitter.

        Still in the room, on the pelvis, or on its shoulder or hip. Only where the source says that it measured the
        limb: sensors infer hidden ones from the body. A foot alone may be still, since people stand on their feet and
        sensors filter them; so may be what moves by more than rounding.
        """
        shaking = self._noise_floor()
        if shaking < 5e-4:
            return 1.0  # no jitter at all: motion capture, or ground truth
        longest = 0
        for limb, names in _LIMBS.items():
            joints = self.pick(names)
            if not joints:
                continue
            side, _, part = limb.partition("_")
            own, measured = self.at[:, joints], self.confidence[:, joints] >= 0.5 * self.full[joints].max()
            anchors = self.pick([f"{side}_{_ROOTS[part]}", "pelvis"])
            for base in [0 * own[:, :1], *(self.at[:, [anchor]] for anchor in anchors)]:
                step = np.linalg.norm(np.diff(own - base, axis=0), axis=2)
                still = (step < _EXACT + 0.002 * shaking) & measured[1:] & measured[:-1]
                longest = max(longest, _longest_run(still.all(1)))
        return _fall_off(longest / self.fps, 0.1, 0.15)

    def continuity(self) -> float:
        """Falls with leaps of the trunk within a frame that muscles and gravity cannot cause."""
        trunk = self.pick(_TRUNK)
        held = _hold_last(self.at[:, trunk], max(1, round(_BLINK * self.fps)))
        if not trunk or len(held) < 3:
            return 1.0
        # Median over joints of each joint's leap, since the mean position moves when joints appear or vanish.
        leaps = _reduce_known(np.nanmedian, np.linalg.norm(np.diff(held, n=2, axis=0), axis=2).T)
        leap = float(np.nanmax(leaps)) if np.isfinite(leaps).any() else 0.0
        known = np.flatnonzero(np.isfinite(self.at[:, trunk]).all(2).any(1))
        last, far = _hold_last(self.at[:, trunk], len(held)), 0.0
        for before, after in zip(known[:-1], known[1:], strict=True):
            if after - before > 1:
                # During a gap the person may have moved at up to 5 m/s.
                step = _reduce_known(
                    np.nanmedian, np.linalg.norm(self.at[after, trunk] - last[after - 1], axis=1)[:, None]
                )
                far = max(far, float(step[0]) - 5 * (after - before) / self.fps) if np.isfinite(step[0]) else far
        return _fall_off(max(leap, far), 0.08 + 30 / self.fps**2 + 3 * self.sigma, 0.06)


def _reduce_known(function: Callable[..., NDArray[np.float64]], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a nan-aware reduction over the first axis; columns without values give nan without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(function(values, axis=0))


def _running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Running means over `width` frames, without unknown ones."""
    known = np.isfinite(values)
    kernel = np.ones(min(width, len(values)))
    total = np.apply_along_axis(np.convolve, 0, np.where(known, values, 0.0), kernel, "same")
    count = np.apply_along_axis(np.convolve, 0, known.astype(float), kernel, "same")
    return np.where(count > 0.5, total / np.maximum(count, 0.5), np.nan)


def _hold_last(points: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Hold the last position of lost points for this number of frames."""
    held = points.copy()
    for _ in range(frames):
        lost = np.isnan(held[1:])
        held[1:] = np.where(lost & ~np.isnan(held[:-1]), held[:-1], held[1:])
    return held


def _count_swaps(left: NDArray[np.float64], right: NDArray[np.float64], sigma: float) -> int:
    """Count frames in which the two sides of a pair of joints swap."""

    def cost(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((a[1:] - b[:-1]) ** 2).sum(-1)

    same, crossed = cost(left, left) + cost(right, right), cost(left, right) + cost(right, left)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(same) & np.isfinite(crossed)
        same, crossed = np.where(known, same, 0).sum(1), np.where(known, crossed, 0).sum(1)
        # 12 cm a side, and far beyond the effect of noise on two pairs of points.
        large = 2 * 0.12**2 + 60 * sigma**2
        return int(((same > large) & (crossed < 0.3 * same)).sum())


def _longest_run(flags: Bool[np.ndarray, " time"]) -> int:
    """Length of the longest run of true values."""
    padded = np.concatenate([[False], flags, [False]]).astype(int)
    edges = np.flatnonzero(np.diff(padded))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def inside_share(
    pixels: Float[Tensor, "time point 2"], seen: Bool[Tensor, "time point"], *, width: int, height: int
) -> float:
    """Share of seen points that lie within the picture."""
    within = (pixels >= 0).all(-1) & (pixels < pixels.new_tensor([width, height])).all(-1)
    return float(within[seen].float().mean()) if seen.any() else 0.0
