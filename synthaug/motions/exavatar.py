"""Read motions that ExAvatar fitted to film: smoothed SMPL-X parameters and cameras, one JSON for each frame."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.hands import hand_pose
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.paramfiles import (
    ParamFrames,
    change_hands,
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
    parse_object,
    read_json,
    reading,
)
from synthaug.motions.files.smplx_models import hand_means, rest_pelvis
from synthaug.structures import Camera, Motion, Record, Reference

_VERSION = 2
_SMOOTHED = "smplx_optimized/smplx_params_smoothed"


@final
class ExAvatar(MotionSource):
    """Reads an ExAvatar subject's or motion's directory.

    File format:
        `smplx_optimized/smplx_params_smoothed/{frame}.json` with `root_pose` [3], `body_pose` [21][3], `jaw_pose`,
        `leye_pose`, `reye_pose` [3], `lhand_pose`, `rhand_pose` [15][3] (nested or flat, axis-angle) and `trans` [3];
        `cam_params/{frame}.json` with `R` [3][3], `t` [3], `focal` [2], `princpt` [2]. The picture's size is that of
        `frames/{frame}.png`, or without one, twice the principal point, as ExAvatar's virtual camera has it.
        `smplx_optimized/shape_param.json` has the betas. Hands, jaw and eyes may be missing and are then at rest. The
        files' numbers count the film's frames from its beginning (from 1 where the first file is 1): file 60 of a film
        of 30 fps shows second 2.0. The note `offset` is the time from the record's start to the first frame, in
        seconds.

    Each frame stores the person in the axes of its own camera. If the camera moves, all frames are transformed into the
    first camera's axes. The up direction and the floor are estimated from the body. Hands are stored relative to
    SMPL-X's mean hand, which is added as smplx does: SMPL-X's own with `models`, else our relaxed hand (note
    `hand_mean` is then 0). `expr` is in FLAME's basis and not in SMPL-X's, so expression is zeros.

    Args:
        root: Folder of such directories, named like the films; None takes the record's own.
        fps: Frames a second that the files' numbers count; None takes the film's, or 30 where there is no film.
        models: Folder of the user's own SMPL-X model files, for the mean hand and the performer's rest pelvis.
        gender: Gender of the fitted model; ExAvatar's is male.
    """

    looks: ClassVar[str] = "a directory with smplx_optimized/smplx_params_smoothed"

    def __init__(
        self, *, root: str | None = None, fps: float | None = None, models: str | None = None, gender: str = "male"
    ) -> None:
        check_positive("fps", fps)
        if gender not in ("neutral", "male", "female"):
            raise ValueError(
                f"Expected gender to be 'neutral', 'male' or 'female', got {gender!r}. Correct synth.motion.gender."
            )
        self._root = None if root is None else Path(root).expanduser()
        self._fps = fps
        self._models = None if models is None else Path(models).expanduser()
        self._gender = gender

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is a folder with smoothed parameters, or a folder of such frames."""
        frame = first_frame(path)
        bare = isinstance(frame, dict) and "root_pose" in frame and not {"betas", "focal"} <= frame.keys()
        return bare or (path / _SMOOTHED).is_dir()

    @property
    def fingerprint(self) -> str:
        """Version and settings that decide the motion."""
        return f"exavatar-{_VERSION}-{digest_of(repr(self._fps), repr(self._models), self._gender)}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The folder of parameters."""
        return find_folders(record, _SMOOTHED, root=self._root)

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, and the cameras that saw it.

        Raises:
            FileNotFoundError: If the directory is missing.
            UnusableClipError: If a file in it is damaged, or it has no frame in the interval.
        """
        folder = folder_of(record, _SMOOTHED, root=self._root)
        with reading(folder):
            inside = folder / _SMOOTHED
            fps = film_rate(record, self._fps)
            frames = take_appearance(read_frames(inside if inside.is_dir() else folder), record, fps)
            top = folder if inside.is_dir() else folder.parents[1]
            betas = _read_betas(top / "smplx_optimized" / "shape_param.json")
            clocked = fill_gaps(frames, fps=fps)
            pelvis = rest_pelvis(self._models, self._gender, betas.numpy().astype(np.float64))
            motion = move_to_pelvis(clocked.motion, pelvis)
            first, last, offset = clocked.within(record)
            views, Ks, size = _read_cameras(top, frames, clocked.nearest[first:last])
        motion = replace(self._add_mean_hands(cut_motion(motion, first, last)), betas=betas)
        motion, viewmats = _into_first_camera(motion, views)
        reference = stand_upright(motion, Camera(viewmats, Ks, *size), clocked.known[first:last], offset=offset)
        notes = {**reference.notes, "hand_mean": float(self._models is not None)}
        return replace(reference, notes=notes)

    def _add_mean_hands(self, motion: Motion) -> Motion:
        if self._models is None:
            means = {side: hand_pose("relaxed", side) for side in ("left", "right")}
        else:
            left, right = hand_means(self._models, self._gender)
            means = {"left": torch.from_numpy(left), "right": torch.from_numpy(right)}
        return change_hands(motion, lambda pose, side: pose + means[side].to(pose))


def _read_betas(path: Path) -> Float[Tensor, " beta"]:
    """The performer's shape; zeros without a file."""
    if not path.exists():
        return torch.zeros(10)
    value = read_json(path)
    count = len(value) if isinstance(value, list) else 0
    if not 0 < count <= 400:
        raise FlawError(f"expected a list of 1 to 400 betas in {path.name}, got something else")
    return torch.from_numpy(parse_finite(value, count, field=path.name)).float()


def _read_cameras(
    folder: Path, frames: ParamFrames, entries: tuple[int, ...]
) -> tuple[Float[Tensor, "time 4 4"], Float[Tensor, "time 3 3"], tuple[int, int]]:
    """World to camera and intrinsics for every frame, width and height."""
    if not (folder / "cam_params").is_dir():
        more = " (sparse/ is COLMAP's; export it with ExAvatar's tool)" if (folder / "sparse").is_dir() else ""
        raise FlawError(f"expected cam_params/ with one JSON for each frame, found no such folder{more}")
    read = {
        entry: _read_camera(folder / "cam_params" / f"{frames.names[entry]}.json") for entry in sorted(set(entries))
    }
    views = torch.stack([read[entry][0] for entry in entries])
    Ks = torch.stack([read[entry][1] for entry in entries])
    return views, Ks, _picture_size(folder / "frames", frames.names[entries[0]], Ks[0])


def _read_camera(path: Path) -> tuple[Float[Tensor, "4 4"], Float[Tensor, "3 3"]]:
    where = f"{path.parent.name}/{path.name}"
    if not path.exists():
        raise FlawError(f"expected a camera for each frame, found no {where}")
    document = parse_object(read_json(path), field=where)
    R = parse_finite(document.get("R"), 9, field=f"R of {where}").reshape(3, 3)
    if abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise FlawError(f"expected R of {where} to be a rotation (orthonormal, determinant 1), got another matrix")
    focal = parse_finite(document.get("focal"), 2, field=f"focal of {where}")
    if focal.min() <= 0:
        raise FlawError(f"expected two positive numbers of pixels as focal of {where}, got {focal.tolist()}")
    view = torch.eye(4)
    view[:3, :3] = torch.from_numpy(R)
    view[:3, 3] = torch.from_numpy(parse_finite(document.get("t"), 3, field=f"t of {where}"))
    return view, pinhole(focal, parse_finite(document.get("princpt"), 2, field=f"princpt of {where}"))


def _picture_size(frames: Path, name: str, K: Float[Tensor, "3 3"]) -> tuple[int, int]:
    """Width and height of the pictures."""
    for suffix in (".png", ".jpg"):
        path = frames / f"{name}{suffix}"
        if path.exists():
            from PIL import Image

            try:
                with Image.open(path) as picture:  # reads only the header
                    return whole_pixels(*picture.size)
            except (OSError, Image.DecompressionBombError) as error:
                raise FlawError(f"expected frames/{path.name} to be a picture ({error})") from error
    return whole_pixels(2 * float(K[0, 2]), 2 * float(K[1, 2]))


def _into_first_camera(motion: Motion, views: Float[Tensor, "time 4 4"]) -> tuple[Motion, Float[Tensor, "time 4 4"]]:
    """Transform a motion from each frame's own camera into the first camera; returns the views of that frame too."""
    T_first_own = views[:1] @ torch.linalg.inv(views)
    R = T_first_own[:, :3, :3]
    orient = matrix_to_axis_angle(R @ axis_angle_to_matrix(motion.global_orient))
    transl = torch.einsum("tij,tj->ti", R, motion.transl) + T_first_own[:, :3, 3]
    return replace(motion, global_orient=orient, transl=transl), torch.linalg.inv(T_first_own)
