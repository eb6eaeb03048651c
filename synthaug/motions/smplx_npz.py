"""Motions kept as SMPL-X or SMPL+H parameters in npz files: AMASS's layouts and smplx's own names.

A motion source for captured motion. The file is read member by member, each checked before it is unpacked.
"""

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import joint_positions, mean_skeleton, moved
from synthaug.files import digest_of
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.files.recordings import FlawError, cut, frames_between, npy
from synthaug.motions.files.smplx_models import NEUTRAL_PELVIS
from synthaug.motions.files.smplx_models import rest_pelvis as rest_pelvis_of
from synthaug.motions.files.views import overlooking
from synthaug.structures import Motion, Record, Reference

VERSION = 1
"""Raised whenever the same file would give another motion; part of every cache key."""
MAX_BYTES = 256 * 2**20
"""Unpacked size of one array, or of all that are read: four hours of motion at 30 frames a second."""
MAX_MEMBERS = 256
"""Arrays in one file; AMASS has about ten."""

# Other names for smplx's own: AMASS (SMPL+H, and SMPL-X "neutral" packs) on the right.
_NAMES: dict[str, tuple[str, ...]] = {
    "global_orient": ("global_orient", "root_orient"),
    "body_pose": ("body_pose", "pose_body"),
    "left_hand_pose": ("left_hand_pose",),
    "right_hand_pose": ("right_hand_pose",),
    "hands": ("pose_hand",),
    "jaw_pose": ("jaw_pose", "pose_jaw"),
    "leye_pose": ("leye_pose",),
    "reye_pose": ("reye_pose",),
    "eyes": ("pose_eye",),
    "poses": ("poses",),
    "transl": ("transl", "trans"),
    "betas": ("betas",),
    "expression": ("expression",),
    "fps": ("fps", "mocap_framerate", "mocap_frame_rate"),
}
_WIDTHS = {
    "global_orient": 3, "body_pose": 63, "left_hand_pose": 45, "right_hand_pose": 45, "hands": 90, "jaw_pose": 3,
    "leye_pose": 3, "reye_pose": 3, "eyes": 6, "transl": 3,
}  # fmt: skip


@dataclass(frozen=True)
class Axes:
    """What a file means by its numbers.

    Attributes:
        up: The axis that points up: "z" in AMASS, "y" here; None has it told from the body.
        transl_is_pelvis: True where `transl` is where the pelvis is; False where it is what smplx adds after posing
            about its rest pelvis, as in AMASS and in everything fitted with smplx.
        rest_pelvis: The model's rest pelvis, metres, in the model's own frame, added to `transl` if that is not the
            pelvis. The default is SMPL-X's for neutral gender and mean shape; other betas move it by centimetres.
        models: Folder of the user's own SMPL-X model files, from which the rest pelvis of the file's own gender and
            betas is taken; None takes `rest_pelvis`.
    """

    up: str | None = "y"
    transl_is_pelvis: bool = False
    rest_pelvis: tuple[float, float, float] = NEUTRAL_PELVIS
    models: Path | None = None

    def __post_init__(self) -> None:
        if self.up not in ("y", "z", None):
            raise ValueError(f"up={self.up!r} was given; 'y', 'z' or None was wanted. AMASS files need 'z'.")
        if len(self.rest_pelvis) != 3 or not all(math.isfinite(x) for x in self.rest_pelvis):
            raise ValueError(f"rest_pelvis={self.rest_pelvis} was given; three finite metres were wanted. Correct it.")


@final
class SmplxNpz(MotionSource):
    """Reads npz files of AMASS or smplx and converts them to our frame: y up, `transl` is the pelvis.

    File format:
        Either `poses` (time, 156 or 165, or time, 52 or 55, 3: root, 21 body joints, for 55 also jaw and eyes, both
        hands), or smplx's names (`global_orient`, `body_pose`, ... with (time, 3 x joints) or (time, joints, 3)), or
        AMASS's (`root_orient`, `pose_body`, `pose_hand`, ...). `transl` or `trans`. Optional: `betas`, `expression`,
        the frame rate as `fps`, `mocap_framerate` or `mocap_frame_rate`, and `gender`, which matters with `models`
        alone. Anything else is ignored. Hands are taken relative to the flat hand, and are zeros where the file has
        none, as are jaw, eyes and expression.

    Args:
        up: The axis of the file that points up, "y" or "z"; None has it told from the body, where that is clear.
        transl_is_pelvis: Whether `transl` is the pelvis's position; see `Axes`.
        rest_pelvis: See `Axes`.
        models: See `Axes`.
        fps: Frame rate of files that don't say theirs.
    """

    def __init__(
        self,
        *,
        up: str | None = "y",
        transl_is_pelvis: bool = False,
        rest_pelvis: tuple[float, float, float] = NEUTRAL_PELVIS,
        models: str | None = None,
        fps: float | None = None,
    ) -> None:
        folder = None if models is None else Path(models).expanduser()
        self._axes = Axes(up, transl_is_pelvis, (rest_pelvis[0], rest_pelvis[1], rest_pelvis[2]), folder)
        if fps is not None and not 0 < fps < math.inf:
            raise ValueError(f"fps={fps} was given; a positive number, or None, was wanted. Correct it.")
        self._fps = fps

    @property
    def fingerprint(self) -> str:
        """Version and meaning of the numbers."""
        return f"smplx_npz-{VERSION}-{digest_of(repr(self._axes), repr(self._fps))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """Nothing: the record is the motion."""
        return ()

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, seen by a camera before it; quality is None (captured).

        Raises:
            FileNotFoundError: If the file is not there.
            UnusableClipError: If it is no such file, damaged, too large, or has no frame in the interval.
        """
        whole = read_smplx_npz(record.path, self._axes, fps=self._fps)
        try:
            first, last = frames_between(record, whole.num_frames, whole.fps)
        except FlawError as error:
            raise UnusableClipError(f"'{record.path}': {error}. Correct the record's start and end.") from error
        motion = cut(whole, first, last)
        return Reference(motion=motion, camera=overlooking(motion))


def read_smplx_npz(path: Path, axes: Axes, *, fps: float | None = None) -> Motion:
    """The whole motion of a file, in our frame.

    Raises:
        FileNotFoundError: If the file is not there.
        UnusableClipError: If it is no such file, damaged or too large.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"There is no '{path}'. An npz of SMPL-X parameters was wanted. Check the data set's root, or bring it."
        )
    try:
        return _motion(_arrays(path), _gender(path), axes, fps)
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise UnusableClipError(
            f"'{path}' holds no motion that could be read: {error}. An npz with poses and transl as AMASS or smplx "
            "write them was wanted. Bring the file again, or leave it out."
        ) from error


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays that are known by name, numeric, none larger than it may be."""
    known = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise ValueError(f"it has {len(entries)} arrays, more than {MAX_MEMBERS}")
        wanted = {entry: known[entry.filename[:-4]] for entry in entries if entry.filename[:-4] in known}
        size = sum(entry.file_size for entry in wanted)
        if size > MAX_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, more than {MAX_BYTES}")
        for entry, name in wanted.items():
            with archive.open(entry) as member:
                # A damaged directory may promise less than there is: one byte more than promised is too much.
                content = member.read(entry.file_size + 1)
            arrays[name] = npy(content, entry.filename)
    return arrays


def _motion(arrays: dict[str, np.ndarray], gender: str, axes: Axes, fps: float | None) -> Motion:
    """The motion in our frame out of the arrays of a file."""
    parts = _parts(arrays)
    frames = {name: len(part) for name, part in parts.items()}
    if len(set(frames.values())) != 1 or not parts["transl"].shape[0]:
        raise ValueError(f"its arrays have {frames} frames; all alike, and one at least, were wanted")
    bad = [name for name, part in parts.items() if not torch.isfinite(part).all()]
    if bad:
        raise ValueError(f"{', '.join(bad)} hold numbers that are not finite")
    betas = torch.from_numpy(np.atleast_2d(arrays.get("betas", np.zeros(10)))[0].astype(np.float32))
    motion = Motion(fps=_rate(arrays, fps), betas=betas, **parts)
    if not axes.transl_is_pelvis:
        pelvis = axes.rest_pelvis
        if axes.models is not None:
            pelvis = rest_pelvis_of(axes.models, gender, betas.double().numpy())
        motion = _shifted(motion, pelvis)
    if (axes.up or told_up(motion)) == "z":
        # -90 degrees about x: z becomes y, y becomes -z.
        quarter = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
        motion = moved(motion, quarter, torch.zeros(3))
    return motion


def told_up(motion: Motion) -> str:
    """Which of a file's axes is up, "y" or "z": the one that the trunk rises along, from feet on a floor near 0.

    Raises:
        FlawError: If the two disagree, as in clips of people lying, or neither is seen.
    """
    trunk = axis_angle_to_matrix(motion.global_orient)[:, :, 1]
    joints = joint_positions(motion, mean_skeleton())
    upright = {axis: float((trunk[:, k] > 0.7).float().mean()) for k, axis in ((1, "y"), (2, "z"))}
    # 30 cm: soles and the fit's own floor, but no table.
    grounded = {axis: abs(float(joints[..., k].amin(dim=1).quantile(0.1))) < 0.3 for k, axis in ((1, "y"), (2, "z"))}
    for axis, other in (("y", "z"), ("z", "y")):
        if upright[axis] > 0.5 and (grounded[axis] or not grounded[other]):
            return axis
    raise FlawError(
        f"its trunk rises along y in {upright['y']:.0%} of the frames and along z in {upright['z']:.0%}, which does "
        "not say what is up; up='y' or up='z' was wanted"
    )


def _gender(path: Path) -> str:
    """The file's gender, "neutral" where it says nothing."""
    with zipfile.ZipFile(path) as archive:
        entry = next((entry for entry in archive.infolist() if entry.filename == "gender.npy"), None)
        if entry is None:
            return "neutral"
        if entry.file_size > 4096:
            raise FlawError(f"gender unpacks to {entry.file_size} bytes; a word was wanted")
        with archive.open(entry) as member:
            word = str(np.load(io.BytesIO(member.read(4097)), allow_pickle=False).reshape(-1)[0])
    word = word.removeprefix("b'").removesuffix("'").lower()
    if word not in ("neutral", "male", "female"):
        raise FlawError(f"its gender is {word[:40]!r}; 'neutral', 'male' or 'female' was wanted")
    return word


def _shifted(motion: Motion, shift: tuple[float, float, float]) -> Motion:
    """The motion somewhere else."""
    return moved(motion, torch.eye(3), torch.tensor(shift))


def _rate(arrays: dict[str, np.ndarray], fallback: float | None) -> float:
    """Frames per second: the file's own, to a hundredth, or what was said."""
    own = arrays.get("fps")
    if own is None and fallback is None:
        raise ValueError("it doesn't say its frame rate, and no fps was given")
    rate = fallback if own is None else float(own.reshape(-1)[0]) if own.size == 1 else math.nan
    if rate is None or not 0 < rate < 1000:
        raise ValueError(f"its frame rate {own} is none")
    # Rates that were measured or went through float32 come as 30.00003 or 119.99.
    return float(round(rate)) if abs(rate - round(rate)) < 0.02 else rate


def _parts(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Motion's fields but betas and fps, float32, zeros where the file has nothing."""
    arrays = dict(arrays)
    if "poses" in arrays:
        arrays |= _split(arrays["poses"])
    if "hands" in arrays:
        arrays["left_hand_pose"], arrays["right_hand_pose"] = np.split(_flat(arrays, "hands"), 2, axis=1)
    if "eyes" in arrays:
        arrays["leye_pose"], arrays["reye_pose"] = np.split(_flat(arrays, "eyes"), 2, axis=1)
    missing = [name for name in ("global_orient", "body_pose", "transl") if name not in arrays]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    frames = len(arrays["transl"])
    fields = ("global_orient", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose")
    parts = {name: _tensor(_flat(arrays, name, frames=frames)) for name in (*fields, "transl")}
    for name in ("body_pose", "left_hand_pose", "right_hand_pose"):
        parts[name] = parts[name].unflatten(1, (-1, 3))
    expression = arrays.get("expression", np.zeros((frames, 10)))
    if expression.ndim != 2:
        raise ValueError(f"expression is {expression.shape}; (time, coefficients) was wanted")
    return parts | {"expression": _tensor(expression)}


def _tensor(array: np.ndarray) -> Float[Tensor, "*shape"]:
    """A float32 tensor of its own."""
    return torch.from_numpy(array.astype(np.float32))


def _flat(arrays: dict[str, np.ndarray], name: str, *, frames: int = 0) -> np.ndarray:
    """An array as (time, width); zeros if the file lacks it."""
    width = _WIDTHS[name]
    array = arrays.get(name, np.zeros((frames, width)))
    if array.ndim < 2 or math.prod(array.shape[1:]) != width:
        raise ValueError(f"{name} is {array.shape}; (time, {width}) was wanted")
    return array.reshape(len(array), width)


def _split(poses: np.ndarray) -> dict[str, np.ndarray]:
    """SMPL+H's 52 or SMPL-X's 55 joints in one array, taken apart."""
    if poses.ndim == 3 and poses.shape[2] == 3:
        poses = poses.reshape(len(poses), -1)
    if poses.ndim != 2 or poses.shape[1] not in (156, 165):
        raise ValueError(f"poses is {poses.shape}; (time, 156) for SMPL+H or (time, 165) for SMPL-X was wanted")
    hands = poses.shape[1] - 90
    parts = {
        "global_orient": poses[:, :3], "body_pose": poses[:, 3:66], "left_hand_pose": poses[:, hands : hands + 45],
        "right_hand_pose": poses[:, hands + 45 :],
    }  # fmt: skip
    if hands == 75:
        parts |= {"jaw_pose": poses[:, 66:69], "leye_pose": poses[:, 69:72], "reye_pose": poses[:, 72:75]}
    return parts
