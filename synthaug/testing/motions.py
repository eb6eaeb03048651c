"""Check the contracts of motion sources and motion variations, in plug-ins and in this package's own tests."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import joint_positions, lowest_heights, mean_skeleton
from synthaug.motions import MotionSource, MotionVariation
from synthaug.structures import Motion, Record

_OVER_TIME = tuple(f.name for f in fields(Motion) if f.name not in ("betas", "fps"))


def same_motion(one: Motion, other: Motion) -> bool:
    """Whether two motions are equal to the last bit."""
    tensors = all(torch.equal(getattr(one, name), getattr(other, name)) for name in (*_OVER_TIME, "betas"))
    return tensors and one.fps == other.fps


def check_motion(motion: Motion) -> None:
    """Raise AssertionError unless the motion is valid: finite, all fields equally long, a positive rate."""
    assert 0 < motion.fps < 10_000, f"fps is {motion.fps}"
    assert motion.num_frames > 0, "there is no frame"
    for name in _OVER_TIME:
        field = getattr(motion, name)
        assert len(field) == motion.num_frames, f"{name} has {len(field)} frames, transl has {motion.num_frames}"
        assert torch.isfinite(field).all(), f"{name} is not finite"
        assert field.dtype == motion.transl.dtype, f"{name} is {field.dtype}, transl is {motion.transl.dtype}"
    assert torch.isfinite(motion.betas).all(), "betas are not finite"


def check_motion_source(source: MotionSource, record: Record, *, reads_files: bool = True) -> None:
    """Raise AssertionError unless the source keeps its contract on a record that it can load.

    Checked: the motion is finite, its fields are equally long, its rate is positive; the camera has a view for every
    frame; quality is None or within 0..1; the same record gives the same motion; loading does not change the
    fingerprint; the error for a missing file names it.

    Args:
        source: The source to check.
        record: A record that it can load.
        reads_files: False for sources that never open the record's file.
    """
    fingerprint = source.fingerprint
    assert fingerprint, "the fingerprint is empty"
    assert all(path.exists() for path in source.reads(record)), "reads() names a file that does not exist"
    reference = source.load(record)
    motion, camera = reference.motion, reference.camera
    check_motion(motion)
    assert len(camera.viewmats) == len(camera.Ks) == motion.num_frames, "the camera and the motion differ in length"
    assert camera.width > 0 and camera.height > 0, "the camera's picture is empty"
    rotations = camera.viewmats[:, :3, :3]
    turned = rotations @ rotations.mT - torch.eye(3)
    assert turned.abs().max() < 1e-4, "the rotation of a viewmat is not orthonormal"
    assert reference.quality is None or 0 <= reference.quality <= 1, f"quality is {reference.quality}"
    again = source.load(record)
    assert same_motion(motion, again.motion), "the same record gave another motion"
    assert torch.equal(camera.viewmats, again.camera.viewmats), "the same record gave another camera"
    assert source.fingerprint == fingerprint, "loading changed the fingerprint"
    if reads_files:
        _check_missing(source, record)


def _check_missing(source: MotionSource, record: Record) -> None:
    """Raise AssertionError unless a missing file is named in a FileNotFoundError."""
    nowhere = Path(record.path.parent) / f"missing-{record.path.name}"
    try:
        source.load(replace(record, path=nowhere))
    except FileNotFoundError as error:
        assert nowhere.stem in str(error), f"the error doesn't name the missing file: {error}"
    else:
        raise AssertionError("a missing file gave a motion")


def frame_times(motion: Motion) -> Float[Tensor, " time"]:
    """Seconds at which the frames of a motion lie."""
    return torch.arange(motion.num_frames, dtype=torch.float64) / motion.fps


def check_motion_variation(variation: MotionVariation, motion: Motion, *, samples: int = 5) -> None:
    """Raise AssertionError unless the variation keeps its contract on a motion.

    Checked: the same generator state samples the same values; values survive a round trip through JSON; equal values
    give equal motions, whatever was sampled in between; `seconds` increases and keeps both ends; a frame does not
    depend on the other requested frames; the lowest point of the body stays within 2 cm of its original heights; the
    motion is not changed in place.

    Args:
        variation: The variation to check.
        motion: A motion on the mean skeleton.
        samples: Number of sampled values.
    """
    before = {name: getattr(motion, name).clone() for name in (*_OVER_TIME, "betas")}
    clearance = lowest_heights(joint_positions(motion, mean_skeleton()))
    times = frame_times(motion)
    part = times[1::2] + 3 * motion.duration
    for seed in range(samples):
        values = variation.sample(np.random.default_rng(seed))
        assert variation.sample(np.random.default_rng(seed)) == values, "the same generator state sampled other values"
        first = variation.vary(motion, values, times)
        variation.vary(motion, variation.sample(np.random.default_rng(seed + 1000)), times)
        again = variation.vary(motion, json.loads(json.dumps(values, allow_nan=False)), times)
        assert same_motion(first, again), "values changed on their way through JSON, or vary() is random"
        check_motion(first)
        shown = variation.seconds(motion, values, times)
        assert (shown.diff() > 0).all(), "time stands still or runs backwards"
        assert abs(float(shown[0])) < 1e-6 and abs(float(shown[-1] - times[-1])) < 1e-6, "an end was cut off or moved"
        assert abs(first.fps - motion.fps) < 1e-3 * motion.fps, "the frame rate is not that of the times"
        later = joint_positions(variation.vary(motion, values, part), mean_skeleton())
        assert torch.allclose(later, joint_positions(first, mean_skeleton())[1::2], atol=1e-3), (
            "a frame depends on the other requested frames, or the performance does not start over at its end"
        )
        height = lowest_heights(joint_positions(first, mean_skeleton()))
        assert height.amin() > clearance.amin() - 0.02, (
            f"the body sinks by {float(clearance.amin() - height.amin()):.3f} m"
        )
        assert height.amax() < clearance.amax() + 0.02, (
            f"the body floats by {float(height.amax() - clearance.amax()):.3f} m"
        )
    for name, tensor in before.items():
        assert torch.equal(getattr(motion, name), tensor), f"{name} was changed in place"
