"""Motions as LHM keeps them: SMPL-X parameters and the camera in one JSON a frame.

A motion source for what LHM's `video2motion` made of film, and for the motions that LHM ships.
"""

from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
import torch

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.paramfiles import (
    ParamFrames,
    at_the_pelvis,
    folder_of,
    found_folders,
    lens,
    on_a_clock,
    read_frames,
    sized,
    stood_up,
)
from synthaug.motions.files.recordings import FlawError, cut, finite, frames_between, positive, reading
from synthaug.motions.files.smplx_models import rest_pelvis
from synthaug.structures import Camera, Record, Reference

_VERSION = 1
_INSIDE = "smplx_params"


@final
class Lhm(MotionSource):
    """Reads an LHM motion's directory.

    File format:
        `smplx_params/{frame}.json`, five digits, with `betas` [10], the poses of ExAvatar's files but hands relative
        to the *flat* hand, `trans` [3], `focal` [2], `princpt` [2], `img_size_wh` [2] and `pad_ratio`. Size and
        principal point are of the padded picture, which is 1 + pad_ratio times the film's; both are given back
        without it. Frames in which nobody was followed have no file and are filled in for up to a second.

    The person stands in the axes of a camera that does not move. Up and the floor are estimated from the body.
    Expression is zeros: `flame_params/` is of FLAME's basis.

    Args:
        root: Folder of such directories, named like the films; None takes the record's own.
        fps: Frame rate of the film; the files do not say it.
        models: Folder of the user's own SMPL-X model files, for the performer's rest pelvis; None takes the neutral
            mean body's.
    """

    def __init__(self, *, root: str | None = None, fps: float = 30.0, models: str | None = None) -> None:
        positive("fps", fps)
        self._root = None if root is None else Path(root).expanduser()
        self._fps = float(fps)
        self._models = None if models is None else Path(models).expanduser()

    @property
    def fingerprint(self) -> str:
        """Version and settings."""
        return f"lhm-{_VERSION}-{digest_of(repr(self._fps), repr(self._models))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The folder that was fitted."""
        return found_folders(record, _INSIDE, root=self._root)

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, and the camera that saw it.

        Raises:
            FileNotFoundError: If the directory is not there.
            UnusableClipError: If a file in it is damaged, or nothing is in the interval.
        """
        folder = folder_of(record, _INSIDE, root=self._root)
        with reading(folder):
            inside = folder / _INSIDE
            frames = read_frames(inside if inside.is_dir() else folder)
            clocked = on_a_clock(frames, fps=self._fps)
            betas = _first(frames, "betas", 10)
            motion = at_the_pelvis(clocked.motion, rest_pelvis(self._models, "neutral", betas))
            first, last = frames_between(record, motion.num_frames, motion.fps)
            camera = _camera(frames, clocked.nearest[first:last])
        motion = replace(cut(motion, first, last), betas=torch.from_numpy(betas).float())
        return stood_up(motion, camera, clocked.known[first:last])


def _first(frames: ParamFrames, name: str, count: int) -> np.ndarray:
    """A field of the first frame, of which there is one for the whole clip."""
    return finite(frames.documents[0].get(name), count, field=f"{name} of frame {frames.numbers[0]}")


def _camera(frames: ParamFrames, entries: tuple[int, ...]) -> Camera:
    Ks = []
    sizes = set()
    for entry in entries:
        document, at = frames.documents[entry], f"of frame {frames.numbers[entry]}"
        focal = finite(document.get("focal"), 2, field=f"focal {at}")
        size = finite(document.get("img_size_wh"), 2, field=f"img_size_wh {at}")
        pad = float(finite(document.get("pad_ratio", 0.0), 1, field=f"pad_ratio {at}")[0])
        if focal.min() <= 0 or not 0 <= pad < 10:
            raise FlawError(
                f"focal {at} is {focal.tolist()} and pad_ratio {pad:g}; positive pixels and a share from 0 to below 10 "
                "were wanted"
            )
        width, height = sized(*(size / (1 + pad)))
        sizes.add((width, height))
        margin = (size - np.array([width, height])) // 2
        Ks.append(lens(focal, finite(document.get("princpt"), 2, field=f"princpt {at}") - margin))
    if len(sizes) > 1:
        raise FlawError(
            f"img_size_wh changes from frame to frame ({sorted(sizes)[:3]}); one size for the clip was wanted"
        )
    return Camera(torch.eye(4).repeat(len(Ks), 1, 1), torch.stack(Ks), *sizes.pop())
