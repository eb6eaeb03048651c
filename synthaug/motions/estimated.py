"""Imitate a pose estimator on a known motion: add the errors that estimators make, then fit the body again.

The pseudo-real demo is extended from such estimates, as real film is, without running a network on every clip.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.motions import MotionSource
from synthaug.motions.fitting.corruption import corrupt
from synthaug.motions.fitting.fit import Beliefs, fit
from synthaug.motions.fitting.markers import Track, joint_markers
from synthaug.motions.fitting.quality import assess
from synthaug.structures import Camera, Record, Reference

_VERSION = 4
"""Raised whenever the same truth would yield another estimate."""

_ERROR_SIZES: dict[str, float] = {
    "pelvis": 0.6, "left_hip": 0.7, "right_hip": 0.7, "spine3": 0.7, "neck": 0.7, "head": 0.9,
    "left_shoulder": 0.8, "right_shoulder": 0.8, "left_elbow": 1.1, "right_elbow": 1.1, "left_wrist": 1.4,
    "right_wrist": 1.4, "left_middle1": 1.6, "right_middle1": 1.6, "left_index1": 1.6, "right_index1": 1.6,
    "left_knee": 1.0, "right_knee": 1.0, "left_ankle": 1.3, "right_ankle": 1.3, "left_foot": 1.5, "right_foot": 1.5,
    "left_eye_smplhf": 0.9, "right_eye_smplhf": 0.9,
}  # fmt: skip
"""Markers and the size of their error relative to the mean: estimators are worst at the extremities."""
_NAMES = tuple(_ERROR_SIZES)
_IDS = [JOINT[name] for name in _NAMES]
_PAIRS = [
    [_NAMES.index(f"{side}_{part}") for side in ("left", "right") for part in limb]
    for limb in (("elbow", "wrist", "middle1", "index1"), ("knee", "ankle", "foot"))
]
"""Markers of both arms and of both legs, the left half first: estimators confuse the sides."""

_DEPTH_FACTOR = 1.6
"""Error along the line of sight relative to the error across it, before both are scaled to `noise_mm`."""
_DRIFT_SHARE = 0.7
"""Share of the error's variance that drifts slowly instead of jittering."""
_DRIFT_SECONDS = 0.15
"""Correlation time of the drift, seconds: a tracker's box and lag change that slowly."""
_UNSEEN_SECONDS = 0.25
"""Seconds that a marker stays unseen, on average."""


@dataclass(frozen=True, eq=False)
class EstimatorErrors:
    """An estimator's errors on one clip.

    Attributes:
        errors: Metres, camera axes (across, down, along the line of sight).
        unseen: Markers without confidence.
        swapped: Frames in which the arms, and the legs, are swapped.
    """

    errors: Float[Tensor, "time marker 3"]
    unseen: Bool[Tensor, "time marker"]
    swapped: Bool[Tensor, "time 2"]


def sample_errors(
    rng: np.random.Generator, *, num_frames: int, fps: float, noise_mm: float, dropout: float
) -> EstimatorErrors:
    """Sample errors of the given size, correlated over time.

    Args:
        rng: Random generator.
        num_frames: Length of the clip.
        fps: Frame rate of the clip.
        noise_mm: Root mean square over markers and axes, millimetres.
        dropout: Share of markers unseen; limbs are swapped a tenth as often.
    """
    spread = np.array(list(_ERROR_SIZES.values()))[:, None] * np.array([1.0, 1.0, _DEPTH_FACTOR])
    spread *= noise_mm / 1000 / np.sqrt((spread**2).mean())
    shape = (num_frames, len(_NAMES), 3)
    keep = np.exp(-1 / (fps * _DRIFT_SECONDS))
    slow = np.empty(shape)
    slow[0] = rng.normal(size=shape[1:])
    for frame in range(1, num_frames):
        slow[frame] = keep * slow[frame - 1] + np.sqrt(1 - keep**2) * rng.normal(size=shape[1:])
    errors = (np.sqrt(_DRIFT_SHARE) * slow + np.sqrt(1 - _DRIFT_SHARE) * rng.normal(size=shape)) * spread
    unseen = _sample_bursts(rng, (num_frames, len(_NAMES)), dropout, fps)
    swapped = _sample_bursts(rng, (num_frames, len(_PAIRS)), dropout / 10, fps)
    return EstimatorErrors(torch.from_numpy(errors).float(), torch.from_numpy(unseen), torch.from_numpy(swapped))


def _sample_bursts(rng: np.random.Generator, shape: tuple[int, int], share: float, fps: float) -> np.ndarray:
    """Sample boolean columns that are true for this share of the time, in runs of a quarter second on average."""
    leave = min(1.0, 1 / (fps * _UNSEEN_SECONDS))
    enter = min(1.0, leave * share / max(1 - share, 1e-6))
    state = rng.random(shape[1]) < share
    rows = []
    for _ in range(shape[0]):
        rows.append(state)
        chance = rng.random(shape[1])
        state = np.where(state, chance >= leave, chance < enter)
    return np.stack(rows) if rows else np.zeros(shape, bool)


def estimate(
    reference: Reference,
    *,
    rng: np.random.Generator,
    noise_mm: float = 15.0,
    dropout: float = 0.05,
    spoiled: float = 0.0,
) -> Reference:
    """Imitate what an estimator would have made of this reference, seen through the reference's own camera.

    Args:
        reference: The ground truth.
        rng: Random generator for the errors.
        noise_mm: Size of the errors, root mean square along each axis, millimetres.
        dropout: Share of markers unseen.
        spoiled: Probability that a part of the clip is measured grossly wrong (`synthaug.motions.fitting.corruption`).

    Returns:
        A fitted motion of the same length and rate with the same camera; hands and face are at rest. `quality` is
        computed without the ground truth, as for every measured motion (`synthaug.motions.fitting.quality`). The notes
        hold its parts and `error` (mean distance from the ground truth over 22 joints, metres).

    Raises:
        ValueError: If the reference has companions.
    """
    if reference.companions:
        raise ValueError(
            f"Expected a reference of one person, got one with {len(reference.companions)} companions. "
            "Leave the companions out: Reference(motion, camera)."
        )
    motion = reference.motion
    slips = sample_errors(rng, num_frames=motion.num_frames, fps=motion.fps, noise_mm=noise_mm, dropout=dropout)
    track = _measure_track(reference, slips)
    if rng.random() < spoiled:
        track = corrupt(track, joint_markers(_NAMES, mean_skeleton()), rng)
    return _fit_reference(reference, track)


def refit(reference: Reference, slips: EstimatorErrors) -> Reference:
    """Measure the reference with these errors and fit it again. Deterministic."""
    return _fit_reference(reference, _measure_track(reference, slips))


def _measure_track(reference: Reference, slips: EstimatorErrors) -> Track:
    """The markers as measured."""
    points = _measure_points(joint_positions(reference.motion, mean_skeleton()), reference.camera, slips)
    confidence = (~slips.unseen).float()
    for limb, pair in enumerate(_PAIRS):
        # Estimators that swap limbs report low confidence.
        confidence[:, pair] = torch.where(slips.swapped[:, limb, None], confidence[:, pair] * 0.3, confidence[:, pair])
    if not confidence.any():
        # All markers dropped out of a very short clip: an estimator would report them with low confidence.
        confidence = torch.full_like(confidence, 0.1)
    floor = torch.tensor([0.0, 1.0, 0.0, 0.0])
    return Track(points, confidence, reference.motion.fps, floor=floor)


def _fit_reference(reference: Reference, track: Track) -> Reference:
    """Fit a body to the measured markers and grade it by them."""
    skeleton = mean_skeleton()
    markers = joint_markers(_NAMES, skeleton)
    motion = fit(track, markers, skeleton, beliefs=Beliefs())
    quality = assess(track, motion, markers, skeleton)
    strayed = joint_positions(motion, skeleton) - joint_positions(reference.motion, skeleton)
    error = float(strayed[:, :22].norm(dim=-1).mean())
    notes = {**quality.notes(), "error": error}
    return Reference(motion=motion, camera=reference.camera, quality=quality.score, notes=notes)


def _measure_points(
    joints: Float[Tensor, "time 55 3"], camera: Camera, slips: EstimatorErrors
) -> Float[Tensor, "time marker 3"]:
    """Joints with errors along the camera's axes and with swapped limbs."""
    points = joints[:, _IDS] + torch.einsum("tij,tmi->tmj", camera.viewmats[:, :3, :3], slips.errors)
    for limb, pair in enumerate(_PAIRS):
        half = len(pair) // 2
        other = points[:, pair[half:] + pair[:half]]
        points[:, pair] = torch.where(slips.swapped[:, limb, None, None], other, points[:, pair])
    return points


@final
class EstimatedMotion(MotionSource):
    """Another source's ground-truth motions as a pose estimator would have seen them.

    Each record has its own errors, sampled from the seed and the record's key, so they are the same on every machine
    and in every order. Hands, jaw and eyes are zeros, whatever the ground truth has.

    Args:
        truth: Source of the ground-truth motions.
        noise_mm: Size of the errors, root mean square along each axis, millimetres. 15 is what mediapipe has on good
            film after its bias is removed; 0 leaves only the fit's own error.
        dropout: Share of markers unseen.
        spoiled: Share of clips with a part that is measured grossly wrong: sides swapped, limbs frozen, another person.
        seed: Seed of the errors.
    """

    def __init__(
        self,
        truth: MotionSource,
        *,
        noise_mm: float = 15.0,
        dropout: float = 0.05,
        spoiled: float = 0.0,
        seed: int = 0,
    ) -> None:
        if noise_mm < 0 or not 0 <= dropout < 1 or not 0 <= spoiled <= 1:
            raise ValueError(
                "Expected noise_mm of 0 or more, dropout from 0 to below 1 and spoiled from 0 to 1, got "
                f"noise_mm={noise_mm}, dropout={dropout} and spoiled={spoiled}. Correct the value."
            )
        self._truth = truth
        self._noise_mm = float(noise_mm)
        self._dropout = float(dropout)
        self._spoiled = float(spoiled)
        self._seed = seed

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the ground truth, and the settings of the errors."""
        body = hashlib.blake2b(mean_skeleton().joints.numpy().tobytes(), digest_size=8).hexdigest()
        own = f"estimated-{_VERSION}:{self._noise_mm}:{self._dropout}:{self._spoiled}:{self._seed}:{body}"
        return f"{own}({self._truth.fingerprint})"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The files that the ground truth is read from."""
        return self._truth.reads(record)

    def load(self, record: Record) -> Reference:
        """The record's motion as estimated.

        Raises:
            UnusableClipError: If the ground truth has no usable motion.
            FileNotFoundError: If the file of the ground truth is missing.
        """
        digest = hashlib.blake2b(record.key.encode(), digest_size=16).digest()
        rng = np.random.default_rng([self._seed, *np.frombuffer(digest, dtype="<u4").tolist()])
        truth = self._truth.load(record)
        return estimate(truth, rng=rng, noise_mm=self._noise_mm, dropout=self._dropout, spoiled=self._spoiled)
