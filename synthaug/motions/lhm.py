"""Read LHM's motions: SMPL-X parameters and the camera, one JSON for each frame.

LHM's `video2motion` writes them from film, and LHM ships some.
"""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.paramfiles import (
    ParamFrames,
    fill_gaps,
    film_rate,
    find_folders,
    folder_of,
    move_to_pelvis,
    pinhole,
    read_frames,
    stand_upright,
    take_appearance,
    whole_pixels,
)
from synthaug.motions.files.recognition import first_frame
from synthaug.motions.files.recordings import (
    FlawError,
    check_positive,
    cut_motion,
    parse_finite,
    reading,
)
from synthaug.motions.files.smplx_models import rest_pelvis
from synthaug.structures import Camera, Record, Reference

_VERSION = 2
_INSIDE = "smplx_params"


@final
class Lhm(MotionSource):
    """Reads an LHM motion's directory.

    File format:
        `smplx_params/{frame}.json`, five digits, with `betas` [10], the poses of ExAvatar's files but hands relative
        to the *flat* hand, `trans` [3], `focal` [2], `princpt` [2], `img_size_wh` [2] and `pad_ratio`. Size and
        principal point refer to the padded picture, which is 1 + pad_ratio times as large as the film's; the padding
        is removed. Frames without a person have no file; gaps of up to a second are interpolated. The files' numbers
        count the film's frames from its beginning (from 1 where the first file is 1): file 60 of a film of 30 fps shows
        second 2.0. The note `offset` is the time from the record's start to the first frame, in seconds.

    The person is stored in the axes of a static camera. The up direction and the floor are estimated from the body.
    Expression is zeros: `flame_params/` is in FLAME's basis.

    Args:
        root: Folder of such directories, named like the films; None takes the record's own.
        fps: Frames a second that the files' numbers count; None takes the film's, or 30 where there is no film.
        models: Folder of the user's own SMPL-X model files, for the performer's rest pelvis; None takes the neutral
            mean body's.
    """

    looks: ClassVar[str] = "a directory with smplx_params, whose files have betas and focal"

    def __init__(self, *, root: str | None = None, fps: float | None = None, models: str | None = None) -> None:
        check_positive("fps", fps)
        self._root = None if root is None else Path(root).expanduser()
        self._fps = fps
        self._models = None if models is None else Path(models).expanduser()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is a folder with smplx_params, or a folder of such frames."""
        frame = first_frame(path)
        bare = isinstance(frame, dict) and {"root_pose", "betas", "focal"} <= frame.keys()
        return bare or (path / _INSIDE).is_dir()

    @property
    def fingerprint(self) -> str:
        """Version and settings that decide the motion."""
        return f"lhm-{_VERSION}-{digest_of(repr(self._fps), repr(self._models))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The folder of parameters."""
        return find_folders(record, _INSIDE, root=self._root)

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, and the camera that saw it.

        Raises:
            FileNotFoundError: If the directory is missing.
            UnusableClipError: If a file in it is damaged, or it has no frame in the interval.
        """
        folder = folder_of(record, _INSIDE, root=self._root)
        with reading(folder):
            inside = folder / _INSIDE
            fps = film_rate(record, self._fps)
            frames = take_appearance(read_frames(inside if inside.is_dir() else folder), record, fps)
            clocked = fill_gaps(frames, fps=fps)
            betas = _first_field(frames, "betas", 10)
            motion = move_to_pelvis(clocked.motion, rest_pelvis(self._models, "neutral", betas))
            first, last, offset = clocked.within(record)
            camera = _read_camera(frames, clocked.nearest[first:last])
        motion = replace(cut_motion(motion, first, last), betas=torch.from_numpy(betas).float())
        return stand_upright(motion, camera, clocked.known[first:last], offset=offset)


def _first_field(frames: ParamFrames, name: str, count: int) -> np.ndarray:
    """A field of the first frame that holds for the whole clip."""
    return parse_finite(frames.documents[0].get(name), count, field=f"{name} of frame {frames.numbers[0]}")


def _read_camera(frames: ParamFrames, entries: tuple[int, ...]) -> Camera:
    Ks = []
    sizes = set()
    for entry in entries:
        document, at = frames.documents[entry], f"of frame {frames.numbers[entry]}"
        focal = parse_finite(document.get("focal"), 2, field=f"focal {at}")
        size = parse_finite(document.get("img_size_wh"), 2, field=f"img_size_wh {at}")
        pad = float(parse_finite(document.get("pad_ratio", 0.0), 1, field=f"pad_ratio {at}")[0])
        if focal.min() <= 0 or not 0 <= pad < 10:
            raise FlawError(
                f"expected positive pixels as focal {at} and a pad_ratio from 0 to below 10, got {focal.tolist()} and "
                f"{pad:g}"
            )
        width, height = whole_pixels(*(size / (1 + pad)))
        sizes.add((width, height))
        margin = (size - np.array([width, height])) // 2
        Ks.append(pinhole(focal, parse_finite(document.get("princpt"), 2, field=f"princpt {at}") - margin))
    if len(sizes) > 1:
        raise FlawError(f"expected one img_size_wh for the whole clip, got several ({sorted(sizes)[:3]})")
    return Camera(torch.eye(4).repeat(len(Ks), 1, 1), torch.stack(Ks), *sizes.pop())
