"""Motions as ExAvatar keeps them: smoothed SMPL-X parameters, one JSON a frame, with the cameras beside them.

A motion source for what ExAvatar's fitting made of film.
"""

from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
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
    with_hands,
)
from synthaug.motions.files.recordings import (
    FlawError,
    cut,
    finite,
    frames_between,
    mapping,
    positive,
    read_json,
    reading,
)
from synthaug.motions.files.smplx_models import hand_means, rest_pelvis
from synthaug.motions.procedural.hands import hand_pose
from synthaug.structures import Camera, Motion, Record, Reference

_VERSION = 1
_SMOOTHED = "smplx_optimized/smplx_params_smoothed"


@final
class ExAvatar(MotionSource):
    """Reads an ExAvatar subject's or motion's directory.

    File format:
        `smplx_optimized/smplx_params_smoothed/{frame}.json` with `root_pose` [3], `body_pose` [21][3], `jaw_pose`,
        `leye_pose`, `reye_pose` [3], `lhand_pose`, `rhand_pose` [15][3] (nested or flat, axis-angle) and `trans` [3];
        `cam_params/{frame}.json` with `R` [3][3], `t` [3], `focal` [2], `princpt` [2]; the picture's size from
        `frames/{frame}.png`, and where there is none, twice the principal point, which is what ExAvatar's virtual
        camera has. `smplx_optimized/shape_param.json` gives betas. Where the name of a missing part allows (hands,
        jaw, eyes) the file's rest pose is taken.

    The person stands in the axes of each frame's camera. Where cameras move, all frames are brought into the first
    one's. Up and the floor are estimated from the body. Hands are stored relative to SMPL-X's mean hand and added to
    it, as smplx does; with `models` it is SMPL-X's own, else our relaxed hand stands for it (note `hand_mean` 0).
    `expr` is of FLAME's basis and not of SMPL-X's, so expression is zeros.

    Args:
        root: Folder of such directories, named like the films; None takes the record's own.
        fps: Frame rate of the film that the frames' numbers count; ExAvatar does not keep it.
        models: Folder of the user's own SMPL-X model files, for the mean hand and the performer's rest pelvis.
        gender: Of the model that was fitted: ExAvatar's is male.
    """

    def __init__(
        self, *, root: str | None = None, fps: float = 30.0, models: str | None = None, gender: str = "male"
    ) -> None:
        positive("fps", fps)
        if gender not in ("neutral", "male", "female"):
            raise ValueError(f"gender={gender!r} was given; 'neutral', 'male' or 'female' was wanted. Correct it.")
        self._root = None if root is None else Path(root).expanduser()
        self._fps = float(fps)
        self._models = None if models is None else Path(models).expanduser()
        self._gender = gender

    @property
    def fingerprint(self) -> str:
        """Version and settings."""
        return f"exavatar-{_VERSION}-{digest_of(repr(self._fps), repr(self._models), self._gender)}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The folder that was fitted."""
        return found_folders(record, _SMOOTHED, root=self._root)

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, and the cameras that saw it.

        Raises:
            FileNotFoundError: If the directory is not there.
            UnusableClipError: If a file in it is damaged, or nothing is in the interval.
        """
        folder = folder_of(record, _SMOOTHED, root=self._root)
        with reading(folder):
            inside = folder / _SMOOTHED
            frames = read_frames(inside if inside.is_dir() else folder)
            top = folder if inside.is_dir() else folder.parents[1]
            betas = _betas(top / "smplx_optimized" / "shape_param.json")
            clocked = on_a_clock(frames, fps=self._fps)
            pelvis = rest_pelvis(self._models, self._gender, betas.numpy().astype(np.float64))
            motion = at_the_pelvis(clocked.motion, pelvis)
            first, last = frames_between(record, motion.num_frames, motion.fps)
            views, Ks, size = _cameras(top, frames, clocked.nearest[first:last])
        motion = replace(self._handed(cut(motion, first, last)), betas=betas)
        motion, viewmats = _in_first(motion, views)
        reference = stood_up(motion, Camera(viewmats, Ks, *size), clocked.known[first:last])
        notes = {**reference.notes, "hand_mean": float(self._models is not None)}
        return replace(reference, notes=notes)

    def _handed(self, motion: Motion) -> Motion:
        if self._models is None:
            means = {side: hand_pose("relaxed", side) for side in ("left", "right")}
        else:
            left, right = hand_means(self._models, self._gender)
            means = {"left": torch.from_numpy(left), "right": torch.from_numpy(right)}
        return with_hands(motion, lambda pose, side: pose + means[side].to(pose))


def _betas(path: Path) -> Float[Tensor, " beta"]:
    """The performer's shape; zeros where ExAvatar left none."""
    if not path.exists():
        return torch.zeros(10)
    value = read_json(path)
    count = len(value) if isinstance(value, list) else 0
    if not 0 < count <= 400:
        raise FlawError(f"{path.name} is no list of betas; 1 to 400 numbers were wanted")
    return torch.from_numpy(finite(value, count, field=path.name)).float()


def _cameras(
    folder: Path, frames: ParamFrames, entries: tuple[int, ...]
) -> tuple[Float[Tensor, "time 4 4"], Float[Tensor, "time 3 3"], tuple[int, int]]:
    """World to camera and intrinsics for every frame, width and height."""
    if not (folder / "cam_params").is_dir():
        more = " (sparse/ is COLMAP's; export it with ExAvatar's tool)" if (folder / "sparse").is_dir() else ""
        raise FlawError(f"there is no cam_params/{more}; one JSON for each frame was wanted there")
    read = {entry: _camera(folder / "cam_params" / f"{frames.numbers[entry]}.json") for entry in sorted(set(entries))}
    views = torch.stack([read[entry][0] for entry in entries])
    Ks = torch.stack([read[entry][1] for entry in entries])
    return views, Ks, _size(folder / "frames", frames.numbers[entries[0]], Ks[0])


def _camera(path: Path) -> tuple[Float[Tensor, "4 4"], Float[Tensor, "3 3"]]:
    where = f"{path.parent.name}/{path.name}"
    if not path.exists():
        raise FlawError(f"there is no {where}; a camera for each frame was wanted")
    document = mapping(read_json(path), field=where)
    R = finite(document.get("R"), 9, field=f"R of {where}").reshape(3, 3)
    if abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise FlawError(f"R of {where} is no rotation; an orthonormal matrix of determinant 1 was wanted")
    focal = finite(document.get("focal"), 2, field=f"focal of {where}")
    if focal.min() <= 0:
        raise FlawError(f"focal of {where} is {focal.tolist()}; two positive numbers of pixels were wanted")
    view = torch.eye(4)
    view[:3, :3] = torch.from_numpy(R)
    view[:3, 3] = torch.from_numpy(finite(document.get("t"), 3, field=f"t of {where}"))
    return view, lens(focal, finite(document.get("princpt"), 2, field=f"princpt of {where}"))


def _size(frames: Path, number: int, K: Float[Tensor, "3 3"]) -> tuple[int, int]:
    """Width and height of the pictures."""
    for suffix in (".png", ".jpg"):
        path = frames / f"{number}{suffix}"
        if path.exists():
            from PIL import Image

            try:
                with Image.open(path) as picture:  # reads the header alone
                    return sized(*picture.size)
            except (OSError, Image.DecompressionBombError) as error:
                raise FlawError(f"frames/{path.name} is no picture ({error}); one was wanted") from error
    return sized(2 * float(K[0, 2]), 2 * float(K[1, 2]))


def _in_first(motion: Motion, views: Float[Tensor, "time 4 4"]) -> tuple[Motion, Float[Tensor, "time 4 4"]]:
    """A motion told in each frame's own camera, told in the first one's; and every camera's view of that frame."""
    T_first_own = views[:1] @ torch.linalg.inv(views)
    R = T_first_own[:, :3, :3]
    orient = matrix_to_axis_angle(R @ axis_angle_to_matrix(motion.global_orient))
    transl = torch.einsum("tij,tj->ti", R, motion.transl) + T_first_own[:, :3, 3]
    return replace(motion, global_orient=orient, transl=transl), torch.linalg.inv(T_first_own)
