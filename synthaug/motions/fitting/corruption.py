"""Corrupt a part of a measured clip with gross errors of several kinds, which a quality gate has to find.

Used to validate gates, and to imitate estimates that fail as real ones do. All randomness comes from the given
generator.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float

from synthaug.body.skeleton import JOINT
from synthaug.motions.fitting.markers import Markers, Track

_SIDED = {
    "arms": ("elbow", "wrist", "middle1", "index1"), "legs": ("knee", "ankle", "foot"),
    "limbs": ("elbow", "wrist", "middle1", "index1", "knee", "ankle", "foot"),
    "body": ("hip", "shoulder", "elbow", "wrist", "middle1", "index1", "knee", "ankle", "foot"),
}  # fmt: skip


def corrupt(track: Track, markers: Markers, rng: np.random.Generator) -> Track:
    """Corrupt a part of the track with a random kind of error."""
    return list(CORRUPTIONS.values())[int(rng.integers(len(CORRUPTIONS)))](track, markers, rng)


def _find_marker(markers: Markers, name: str) -> int | None:
    return markers.direct.get(JOINT[name])


def _sample_stretch(rng: np.random.Generator, time: int) -> slice:
    """Sample a stretch of a quarter to a half of the clip."""
    length = max(2, round(time * rng.uniform(0.25, 0.5)))
    first = int(rng.integers(0, max(1, time - length + 1)))
    return slice(first, first + length)


def _replace_points(
    track: Track, points: Float[np.ndarray, "time marker 3"], confidence: np.ndarray | None = None
) -> Track:
    held = track.confidence if confidence is None else torch.from_numpy(confidence).to(track.confidence)
    return Track(torch.from_numpy(points).to(track.points), held, track.fps, track.sighting, track.floor)


def _swap_columns(values: np.ndarray, a: int, b: int) -> np.ndarray:
    order = np.arange(values.shape[1])
    order[[a, b]] = b, a
    return values[:, order]


def swap_sides(track: Track, markers: Markers, rng: np.random.Generator) -> Track:
    """Swap left and right of arms, legs, all limbs or the whole body for a while."""
    when, points, confidence = (
        _sample_stretch(rng, len(track.points)),
        track.points.numpy().copy(),
        track.confidence.numpy().copy(),
    )
    for name in _SIDED[list(_SIDED)[int(rng.integers(len(_SIDED)))]]:
        a, b = _find_marker(markers, f"left_{name}"), _find_marker(markers, f"right_{name}")
        if a is not None and b is not None:
            points[when] = _swap_columns(points[when], a, b)
            confidence[when] = _swap_columns(confidence[when], a, b)
    return _replace_points(track, points, confidence)


def freeze_limb(track: Track, markers: Markers, rng: np.random.Generator) -> Track:
    """Freeze an arm or a leg for a while, in the room or relative to the trunk."""
    when, points = _sample_stretch(rng, len(track.points)), track.points.numpy().copy()
    confidence = track.confidence.numpy().copy()
    side, limb = ("left", "right")[int(rng.integers(2))], ("arms", "legs")[int(rng.integers(2))]
    base = np.zeros_like(points[when, 0])
    anchor = _find_marker(markers, "pelvis")
    if rng.random() < 0.5 and anchor is not None:
        base = np.nan_to_num(points[when, anchor])
    for name in _SIDED[limb]:
        marker = _find_marker(markers, f"{side}_{name}")
        if marker is not None:
            known = np.flatnonzero(np.isfinite(points[when, marker]).all(1))
            if len(known):
                at = int(known[0])
                points[when, marker] = points[when, marker][at] - base[at] + base
                confidence[when, marker] = 1.0
    return _replace_points(track, points, confidence)


def drop_out(track: Track, markers: Markers, rng: np.random.Generator) -> Track:
    """Remove the person for a while."""
    confidence = track.confidence.numpy().copy()
    confidence[_sample_stretch(rng, len(confidence))] = 0
    return _replace_points(track, track.points.numpy().copy(), confidence)


def replace_person(track: Track, markers: Markers, rng: np.random.Generator) -> Track:
    """Replace the person for a while by the clip's motion at another time, turned, resized, 0.5 to 3 m away."""
    when, points = _sample_stretch(rng, len(track.points)), track.points.numpy().copy()
    length = len(points[when])
    later = np.roll(points, int(rng.integers(1, len(points))), axis=0)[when]
    turn, away = rng.uniform(-np.pi, np.pi), rng.uniform(0.5, 3.0)
    R = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    centre = np.nanmean(points[when], axis=(0, 1))
    angle = rng.uniform(0, 2 * np.pi)
    aside = np.array([np.cos(angle), 0, np.sin(angle)]) * away
    points[when] = ((later - np.nanmean(later, axis=(0, 1))) * rng.uniform(0.85, 1.15)) @ R.T + centre + aside
    assert len(points[when]) == length
    return _replace_points(track, points)


def rescale_suddenly(track: Track, markers: Markers, rng: np.random.Generator) -> Track:
    """Enlarge or shrink the body by 20 to 50 % for a while, about its own middle."""
    when, points = _sample_stretch(rng, len(track.points)), track.points.numpy().copy()
    factor = rng.uniform(1.2, 1.5) ** rng.choice([-1, 1])
    centre = np.nanmedian(points[when], axis=1, keepdims=True)
    points[when] = centre + factor * (points[when] - centre)
    return _replace_points(track, points)


def truncate_legs(track: Track, markers: Markers, rng: np.random.Generator) -> Track:
    """Cut off the legs for a while: lost, or invented with low confidence."""
    when = _sample_stretch(rng, len(track.points))
    points, confidence = track.points.numpy().copy(), track.confidence.numpy().copy()
    invented = rng.random() < 0.5
    for side in ("left", "right"):
        for name in _SIDED["legs"]:
            marker = _find_marker(markers, f"{side}_{name}")
            if marker is not None:
                noise = rng.normal(0, 0.08, points[when, marker].shape)
                points[when, marker] = points[when, marker] + noise
                confidence[when, marker] *= 0.3 if invented else 0.0
    return _replace_points(track, points, confidence)


CORRUPTIONS: Mapping[str, Callable[[Track, Markers, np.random.Generator], Track]] = {
    "swapped sides": swap_sides,
    "frozen limb": freeze_limb,
    "dropout": drop_out,
    "other person": replace_person,
    "sudden scale": rescale_suddenly,
    "truncated legs": truncate_legs,
}
"""Corruptions by name; each takes a clean track and returns one with an error in a part of it."""
