"""What a pose estimator would have made of a motion that is known: truth, spoilt as estimators spoil it, fitted again.

So that synthetic films are extended from estimates, as filmed ones are, without running a network on each.
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
from synthaug.motions.fitting.corruption import planted
from synthaug.motions.fitting.fit import Beliefs, fit
from synthaug.motions.fitting.markers import Track, joint_markers
from synthaug.motions.fitting.quality import assess
from synthaug.structures import Camera, Record, Reference

_VERSION = 3
"""Raised whenever the same truth would yield another estimate."""

_SPREAD: dict[str, float] = {
    "pelvis": 0.6, "left_hip": 0.7, "right_hip": 0.7, "spine3": 0.7, "neck": 0.7, "head": 0.9,
    "left_shoulder": 0.8, "right_shoulder": 0.8, "left_elbow": 1.1, "right_elbow": 1.1, "left_wrist": 1.4,
    "right_wrist": 1.4, "left_middle1": 1.6, "right_middle1": 1.6, "left_index1": 1.6, "right_index1": 1.6,
    "left_knee": 1.0, "right_knee": 1.0, "left_ankle": 1.3, "right_ankle": 1.3, "left_foot": 1.5, "right_foot": 1.5,
    "left_eye_smplhf": 0.9, "right_eye_smplhf": 0.9,
}  # fmt: skip
"""Markers and how large their error is against the mean: estimators are worst at the extremities."""
_NAMES = tuple(_SPREAD)
_IDS = [JOINT[name] for name in _NAMES]
_PAIRS = [
    [_NAMES.index(f"{side}_{part}") for side in ("left", "right") for part in limb]
    for limb in (("elbow", "wrist", "middle1", "index1"), ("knee", "ankle", "foot"))
]
"""Markers of both arms and of both legs, the left half first: what estimators take for each other."""

_DEPTH = 1.6
"""Error along the line of sight over that across it, before both are scaled to the mean asked for."""
_SLOW = 0.7
"""Share of the error's variance that drifts instead of shaking."""
_DRIFT = 0.15
"""Seconds over which the drifting part keeps its sign: a tracker's box and lag move so slowly."""
_BLIND = 0.25
"""Seconds that a marker stays unseen, on average."""


@dataclass(frozen=True, eq=False)
class Slips:
    """An estimator's mistakes about one clip.

    Attributes:
        errors: Metres, camera axes (across, down, along the line of sight).
        unseen: Markers of no confidence.
        swapped: Frames in which arms, and legs, are taken for each other.
    """

    errors: Float[Tensor, "time marker 3"]
    unseen: Bool[Tensor, "time marker"]
    swapped: Bool[Tensor, "time 2"]


def draw_slips(rng: np.random.Generator, *, num_frames: int, fps: float, noise_mm: float, dropout: float) -> Slips:
    """Mistakes of the size asked for, correlated over time.

    Args:
        rng: Where chance comes from.
        num_frames: Of the clip.
        fps: Of the clip.
        noise_mm: Root mean square over markers and axes, millimetres.
        dropout: Share of markers unseen; a tenth as often, limbs are swapped.
    """
    spread = np.array(list(_SPREAD.values()))[:, None] * np.array([1.0, 1.0, _DEPTH])
    spread *= noise_mm / 1000 / np.sqrt((spread**2).mean())
    shape = (num_frames, len(_NAMES), 3)
    keep = np.exp(-1 / (fps * _DRIFT))
    slow = np.empty(shape)
    slow[0] = rng.normal(size=shape[1:])
    for frame in range(1, num_frames):
        slow[frame] = keep * slow[frame - 1] + np.sqrt(1 - keep**2) * rng.normal(size=shape[1:])
    errors = (np.sqrt(_SLOW) * slow + np.sqrt(1 - _SLOW) * rng.normal(size=shape)) * spread
    unseen = _bursts(rng, (num_frames, len(_NAMES)), dropout, fps)
    swapped = _bursts(rng, (num_frames, len(_PAIRS)), dropout / 10, fps)
    return Slips(torch.from_numpy(errors).float(), torch.from_numpy(unseen), torch.from_numpy(swapped))


def _bursts(rng: np.random.Generator, shape: tuple[int, int], share: float, fps: float) -> np.ndarray:
    """Boolean columns that are true for this share of the time, a quarter second at a stretch on average."""
    leave = min(1.0, 1 / (fps * _BLIND))
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
    """What an estimator would have made of this reference, seen through its own camera.

    Args:
        reference: The truth.
        rng: Where the mistakes come from.
        noise_mm: Their size, root mean square along each axis, millimetres.
        dropout: Share of markers unseen.
        spoiled: Chance that a part of the clip is measured utterly wrong (`synthaug.motions.fitting.corruption`).

    Returns:
        A fitted motion of the same length and rate with the same camera; hands and face are at rest. `quality` is
        judged without looking at the truth, as that of every measured motion (`synthaug.motions.fitting.quality`),
        whose parts notes hold, beside `error` (metres from the truth over 22 joints, mean).

    Raises:
        ValueError: If the reference has companions.
    """
    if reference.companions:
        raise ValueError(
            f"A reference with {len(reference.companions)} companions was given; one of a person alone was wanted. "
            "Leave the companions out: Reference(motion, camera)."
        )
    motion = reference.motion
    slips = draw_slips(rng, num_frames=motion.num_frames, fps=motion.fps, noise_mm=noise_mm, dropout=dropout)
    track = _track(reference, slips)
    if rng.random() < spoiled:
        track = planted(track, joint_markers(_NAMES, mean_skeleton()), rng)
    return _fitted(reference, track)


def refitted(reference: Reference, slips: Slips) -> Reference:
    """The reference as measured with these mistakes and fitted again; draws nothing."""
    return _fitted(reference, _track(reference, slips))


def _track(reference: Reference, slips: Slips) -> Track:
    """What was measured."""
    points = _measured(joint_positions(reference.motion, mean_skeleton()), reference.camera, slips)
    confidence = (~slips.unseen).float()
    for limb, pair in enumerate(_PAIRS):
        # Estimators that swap limbs are unsure of them.
        confidence[:, pair] = torch.where(slips.swapped[:, limb, None], confidence[:, pair] * 0.3, confidence[:, pair])
    if not confidence.any():
        # A clip of a frame or two whose markers all dropped out: an estimator would report them, unsure.
        confidence = torch.full_like(confidence, 0.1)
    floor = torch.tensor([0.0, 1.0, 0.0, 0.0])
    return Track(points, confidence, reference.motion.fps, floor=floor)


def _fitted(reference: Reference, track: Track) -> Reference:
    """A body fitted to what was measured, graded by what was measured."""
    skeleton = mean_skeleton()
    markers = joint_markers(_NAMES, skeleton)
    motion = fit(track, markers, skeleton, beliefs=Beliefs())
    quality = assess(track, motion, markers, skeleton)
    strayed = joint_positions(motion, skeleton) - joint_positions(reference.motion, skeleton)
    error = float(strayed[:, :22].norm(dim=-1).mean())
    notes = {**quality.notes(), "error": error}
    return Reference(motion=motion, camera=reference.camera, quality=quality.score, notes=notes)


def _measured(joints: Float[Tensor, "time 55 3"], camera: Camera, slips: Slips) -> Float[Tensor, "time marker 3"]:
    """Joints with their errors along the camera's axes, and with the limbs that were taken for each other."""
    points = joints[:, _IDS] + torch.einsum("tij,tmi->tmj", camera.viewmats[:, :3, :3], slips.errors)
    for limb, pair in enumerate(_PAIRS):
        half = len(pair) // 2
        other = points[:, pair[half:] + pair[:half]]
        points[:, pair] = torch.where(slips.swapped[:, limb, None, None], other, points[:, pair])
    return points


@final
class EstimatedMotion(MotionSource):
    """Another source's known motions as an estimator would have seen them.

    Each record has mistakes of its own, drawn from the seed and its key: the same on every machine and in every
    order. Hands, jaw and eyes are zeros, whatever the truth has.

    Args:
        truth: Gives the known motions.
        noise_mm: Size of the mistakes, root mean square along each axis, millimetres. 15 is what mediapipe leaves on
            good film after its bias is taken out; 0 leaves only the fit's own error.
        dropout: Share of markers unseen.
        spoiled: Share of clips of which a part is measured utterly wrong: sides swapped, limbs frozen, somebody else.
        seed: Other seeds, other mistakes.
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
                f"noise_mm={noise_mm}, dropout={dropout} and spoiled={spoiled} were given. A size of 0 or more, a "
                "share from 0 to below 1 and one from 0 to 1 were wanted. Correct the value."
            )
        self._truth = truth
        self._noise_mm = float(noise_mm)
        self._dropout = float(dropout)
        self._spoiled = float(spoiled)
        self._seed = seed

    @property
    def fingerprint(self) -> str:
        """The truth's own, and what is done to it."""
        body = hashlib.blake2b(mean_skeleton().joints.numpy().tobytes(), digest_size=8).hexdigest()
        own = f"estimated-{_VERSION}:{self._noise_mm}:{self._dropout}:{self._spoiled}:{self._seed}:{body}"
        return f"{own}({self._truth.fingerprint})"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """What the truth is read from."""
        return self._truth.reads(record)

    def load(self, record: Record) -> Reference:
        """The record's motion as estimated.

        Raises:
            UnusableClipError: If the truth has none.
            FileNotFoundError: If the truth's file is not there.
        """
        digest = hashlib.blake2b(record.key.encode(), digest_size=16).digest()
        rng = np.random.default_rng([self._seed, *np.frombuffer(digest, dtype="<u4").tolist()])
        truth = self._truth.load(record)
        return estimate(truth, rng=rng, noise_mm=self._noise_mm, dropout=self._dropout, spoiled=self._spoiled)
