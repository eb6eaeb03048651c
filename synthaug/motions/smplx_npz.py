"""Read motions stored as SMPL-X or SMPL+H parameters in npz files, in AMASS's layouts or under smplx's names.

A file is read member by member, and each is checked before it is unpacked.
"""

import functools
import logging
import math
import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug import files
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import joint_positions, mean_skeleton, move_motion
from synthaug.files import UNREADABLE_ZIP, digest_of
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.files.footing import resize_performer
from synthaug.motions.files.recognition import array_names
from synthaug.motions.files.recordings import FlawError, cut_motion, frames_between, parse_npy
from synthaug.motions.files.smplx_models import NEUTRAL_PELVIS
from synthaug.motions.files.smplx_models import rest_pelvis as rest_pelvis_of
from synthaug.motions.files.views import overlooking_camera
from synthaug.structures import Motion, Record, Reference

logger = logging.getLogger(__name__)

VERSION = 2
"""Raised whenever the same file would give another motion; part of every cache key."""
MAX_BYTES = 256 * 2**20
"""Largest unpacked size of all arrays that are read: four hours of motion at 30 frames a second."""
_NPY_PREFIX = 10
"""Bytes before the header of an npy file: magic word, version and length. The header ends its line."""
MAX_MEMBERS = 256
"""Largest number of arrays in one file; AMASS has about ten."""
MAX_BETAS = 400

# Other names for smplx's own: AMASS (SMPL+H, and SMPL-X "neutral" packs), ExAvatar, and people's own exports.
_NAMES: dict[str, tuple[str, ...]] = {
    "global_orient": ("global_orient", "root_orient", "root_pose", "pose_root"),
    "body_pose": ("body_pose", "pose_body"),
    "left_hand_pose": ("left_hand_pose", "lhand_pose", "pose_lhand", "pose_left_hand", "left_hand"),
    "right_hand_pose": ("right_hand_pose", "rhand_pose", "pose_rhand", "pose_right_hand", "right_hand"),
    "hands": ("pose_hand", "pose_hands", "hand_pose", "hands_pose"),
    "jaw_pose": ("jaw_pose", "pose_jaw"),
    "leye_pose": ("leye_pose", "pose_leye", "left_eye_pose"),
    "reye_pose": ("reye_pose", "pose_reye", "right_eye_pose"),
    "eyes": ("pose_eye", "pose_eyes", "eye_pose", "eyes_pose"),
    "poses": ("poses",),
    "transl": ("transl", "trans"),
    "betas": ("betas",),
    "expression": ("expression",),
    "fps": ("fps", "mocap_framerate", "mocap_frame_rate", "framerate", "frame_rate"),
}
_POSE_NAME = re.compile(r"poses?_.*|.*_poses?|.*hand.*", re.IGNORECASE)
"""Arrays of other names that may hold a part of the body's pose."""
_GENDERS = {"neutral": "neutral", "n": "neutral", "male": "male", "m": "male", "man": "male", "female": "female",
            "f": "female", "woman": "female"}  # fmt: skip
_WIDTHS = {
    "global_orient": 3, "body_pose": 63, "left_hand_pose": 45, "right_hand_pose": 45, "hands": 90, "jaw_pose": 3,
    "leye_pose": 3, "reye_pose": 3, "eyes": 6, "transl": 3,
}  # fmt: skip


@dataclass(frozen=True)
class Axes:
    """How to interpret the numbers of a file.

    Attributes:
        up: The axis that points up: "z" in AMASS, "y" here; None guesses it from the body.
        transl_is_pelvis: True where `transl` is the position of the pelvis; False where it is what smplx adds after
            posing about its rest pelvis, as in AMASS and in everything fitted with smplx.
        rest_pelvis: The model's rest pelvis, metres, in the model's own frame, added to `transl` unless
            `transl_is_pelvis`. The default is SMPL-X's for neutral gender and mean shape; other betas move it by
            centimetres.
        models: Folder of the user's own SMPL-X model files, which give the rest pelvis for the file's own gender and
            betas; None takes `rest_pelvis`.
    """

    up: str | None = "y"
    transl_is_pelvis: bool = False
    rest_pelvis: tuple[float, float, float] = NEUTRAL_PELVIS
    models: Path | None = None

    def __post_init__(self) -> None:
        if self.up not in ("y", "z", None):
            raise ValueError(f"Expected up to be 'y', 'z' or None, got {self.up!r}. Set up='z' for AMASS files.")
        if len(self.rest_pelvis) != 3 or not all(math.isfinite(x) for x in self.rest_pelvis):
            raise ValueError(
                f"Expected rest_pelvis to be three finite numbers of metres, got {self.rest_pelvis}. "
                "Correct rest_pelvis."
            )


@final
class SmplxNpz(MotionSource):
    """Reads npz files of AMASS or smplx and converts them to our frame: y up, `transl` is the pelvis.

    File format:
        Either `poses` (time, 156 or 165, or time, 52 or 55, 3: root, 21 body joints, for 55 also jaw and eyes, both
        hands), or smplx's names (`global_orient`, `body_pose`, ... with (time, 3 x joints) or (time, joints, 3)), or
        AMASS's (`root_orient`, `pose_body`, `pose_hand`, ...), or with `pose_lhand` and `pose_rhand` or `lhand_pose`
        and `rhand_pose` for the hands. `transl` or `trans`. Optional: `betas`, `expression`, the frame rate as `fps`,
        `mocap_framerate` or `mocap_frame_rate`, and `gender`, which is used only with `models`. Other arrays are
        ignored; those whose names look like poses are logged and counted in the note `unread_poses`. Hands are relative
        to the flat hand. Hands, jaw, eyes and expression are zeros where the file has none.

    Where the floor is at 0, the path is brought onto the mean skeleton's legs (`footing.resize_performer`), so that
    soles of children and giants are on it; the notes `size` and `unit_m` say the performer's size against the mean
    adult, and the metres in a unit of the path.

    Args:
        up: The axis of the file that points up, "y" or "z"; None guesses it from the body and fails if unclear.
        transl_is_pelvis: Whether `transl` is the pelvis's position; see `Axes`.
        rest_pelvis: See `Axes`.
        models: See `Axes`.
        fps: Frame rate of files that do not store one, or that store several.
    """

    looks: ClassVar[str] = "an npz with poses and transl, as AMASS and smplx write them"

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
            raise ValueError(f"Expected fps to be a positive number or None, got {fps}. Correct synth.motion.fps.")
        self._fps = fps

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is an npz with poses that is not one of synthaug."""
        names = array_names(path)
        return bool(names & {"poses", "body_pose", "pose_body"}) and not {"about", "viewmats", "Ks"} <= names

    @property
    def fingerprint(self) -> str:
        """Version and settings that decide the motion."""
        return f"smplx_npz-{VERSION}-{digest_of(repr(self._axes), repr(self._fps))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """No other files: the record's own path is the motion."""
        return ()

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, with a frontal camera; quality is None (motion capture).

        Raises:
            FileNotFoundError: If the file is missing.
            UnusableClipError: If it has another layout, is damaged or too large, or has no frame in the interval.
        """
        whole = read_smplx_npz(record.path, self._axes, fps=self._fps)
        try:
            first, last = frames_between(record, whole.num_frames, whole.fps)
        except FlawError as error:
            raise UnusableClipError(
                f"Cannot read a motion from '{record.path}': {error}. Correct the record's start and end."
            ) from error
        whole, notes = resize_performer(whole)
        motion = cut_motion(whole, first, last)
        unread = _tell_unread(record.path.parent, _unread_poses(array_names(record.path)))
        notes |= {"unread_poses": float(unread)} if unread else {}
        return Reference(motion=motion, camera=overlooking_camera(motion), notes=notes)


def read_smplx_npz(path: Path, axes: Axes, *, fps: float | None = None) -> Motion:
    """Read the whole motion of a file into our frame.

    Raises:
        FileNotFoundError: If the file is missing.
        UnusableClipError: If it has another layout, is damaged or too large.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"No such file: '{path}'. Check the data set's root; it should hold npz files of SMPL-X parameters."
        )
    try:
        # Gender decides the rest pelvis of the user's own model files and nothing else.
        matters = axes.models is not None and not axes.transl_is_pelvis
        gender = _read_gender(path) if matters else "neutral"
        return _build_motion(_read_arrays(path, fps), gender, axes, fps)
    except (ValueError, KeyError, *UNREADABLE_ZIP) as error:
        raise UnusableClipError(
            f"Cannot read a motion from '{path}': {error}. Replace it by an npz with poses and transl, as AMASS or "
            "smplx write them, or leave the clip out."
        ) from error


def _read_arrays(path: Path, fps: float | None) -> dict[str, np.ndarray]:
    """Read the arrays with known names, after checking number, type and size.

    Where a file holds one part under two names, both must say the same, except for rates where one is given.
    """
    known = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
    arrays: dict[str, np.ndarray] = {}
    taken: dict[str, str] = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise ValueError(f"expected at most {MAX_MEMBERS} arrays, got {len(entries)}")
        needed = {entry: known[entry.filename[:-4]] for entry in entries if entry.filename[:-4] in known}
        size = sum(entry.file_size for entry in needed)
        if size > MAX_BYTES:
            raise ValueError(f"expected arrays that unpack to at most {MAX_BYTES} bytes, got {size}")
        for entry, name in needed.items():
            with archive.open(entry) as member:
                # A damaged directory may understate the size: one byte beyond it is too much.
                content = member.read(entry.file_size + 1)
            array, alias = parse_npy(content, entry.filename), entry.filename[:-4]
            if name in arrays and not _agree(arrays[name], array, atol=0.02 if name == "fps" else 1e-4):
                if name != "fps":
                    raise ValueError(f"expected {name} once, got {taken[name]} and {alias} with other numbers")
                if fps is None:
                    rates = f"{taken[name]} {arrays[name].ravel()[:1]} and {alias} {array.ravel()[:1]}"
                    raise ValueError(f"expected one frame rate, got {rates}; set fps to the right one")
                array = np.array(fps)
            arrays[name], taken[name] = array, alias
    return arrays


def _agree(one: np.ndarray, other: np.ndarray, *, atol: float) -> bool:
    return one.size == other.size and np.allclose(one.ravel(), other.ravel(), rtol=0, atol=atol, equal_nan=True)


def _unread_poses(names: set[str]) -> tuple[str, ...]:
    """Arrays that are not read although their names look like poses."""
    known = {alias for aliases in _NAMES.values() for alias in aliases}
    return tuple(sorted(name for name in names - known if _POSE_NAME.fullmatch(name)))


@functools.lru_cache(maxsize=256)
def _tell_unread(folder: Path, names: tuple[str, ...]) -> int:
    """Log, once for a folder, which arrays that look like poses are not read; returns their number."""
    if names:
        logger.warning(
            "Expected poses under the names of smplx or AMASS in '%s', found %s too, which were not read. Rename them "
            "(such as left_hand_pose and right_hand_pose) if they are parts of the body.",
            folder,
            ", ".join(names),
        )
    return len(names)


def _build_motion(arrays: dict[str, np.ndarray], gender: str, axes: Axes, fps: float | None) -> Motion:
    """Build the motion in our frame from the arrays of a file."""
    parts = _motion_parts(arrays)
    frames = {name: len(part) for name, part in parts.items()}
    if len(set(frames.values())) != 1 or not parts["transl"].shape[0]:
        raise ValueError(f"expected arrays of one length and at least one frame, got {frames}")
    bad = [name for name, part in parts.items() if not torch.isfinite(part).all()]
    if bad:
        raise ValueError(f"expected finite numbers, got nan or inf in {', '.join(bad)}")
    betas = torch.from_numpy(_read_betas(arrays, len(parts["transl"])).astype(np.float32))
    motion = Motion(fps=_frame_rate(arrays, fps), betas=betas, **parts)
    if not axes.transl_is_pelvis:
        pelvis = axes.rest_pelvis
        if axes.models is not None:
            pelvis = rest_pelvis_of(axes.models, gender, betas.double().numpy())
        motion = _shift_motion(motion, pelvis)
    if (axes.up or guess_up_axis(motion)) == "z":
        # -90 degrees about x: z becomes y, y becomes -z.
        quarter = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
        motion = move_motion(motion, quarter, torch.zeros(3))
    return motion


def guess_up_axis(motion: Motion) -> str:
    """Guess which axis of a file is up, "y" or "z": the one along the trunk, with the feet on a floor near 0.

    Raises:
        FlawError: If trunk and floor disagree, as in clips of people lying, or neither is clear.
    """
    trunk = axis_angle_to_matrix(motion.global_orient)[:, :, 1]
    joints = joint_positions(motion, mean_skeleton())
    upright = {axis: float((trunk[:, k] > 0.7).float().mean()) for k, axis in ((1, "y"), (2, "z"))}
    # 30 cm allows for soles and an inexact floor, but not for a table.
    grounded = {axis: abs(float(joints[..., k].amin(dim=1).quantile(0.1))) < 0.3 for k, axis in ((1, "y"), (2, "z"))}
    for axis, other in (("y", "z"), ("z", "y")):
        if upright[axis] > 0.5 and (grounded[axis] or not grounded[other]):
            return axis
    raise FlawError(
        "expected a trunk that is upright along one axis, got one that rises along y in "
        f"{upright['y']:.0%} of the frames and along z in {upright['z']:.0%}; set up='y' or up='z'"
    )


def _read_betas(arrays: dict[str, np.ndarray], frames: int) -> Float[np.ndarray, " beta"]:
    """The performer's shape: a row, a column, or the first of a row for each frame; zeros without one."""
    betas = arrays.get("betas", np.zeros(0))
    if not betas.size:
        return np.zeros(10)
    rows = betas.reshape(-1, betas.shape[-1]) if betas.ndim else betas.reshape(1, 1)
    column = rows.shape[1] == 1 and not (len(rows) == frames and (rows == rows[0]).all())
    shape = rows[:, 0] if column else rows[0]
    if len(shape) > MAX_BETAS or not np.isfinite(shape).all():
        raise ValueError(f"expected 1 to {MAX_BETAS} finite betas, got an array of {betas.shape}")
    return shape


def _read_gender(path: Path) -> str:
    """The file's gender, "neutral" if it has none."""
    with zipfile.ZipFile(path) as archive:
        entry = next((entry for entry in archive.infolist() if entry.filename == "gender.npy"), None)
        if entry is None:
            return "neutral"
        if entry.file_size > 4096:
            raise FlawError(f"expected gender to be a word, got {entry.file_size} bytes")
        with archive.open(entry) as member:
            words = _parse_words(member.read(4097))
    found = {_GENDERS[word] for word in words if word in _GENDERS}
    if len(found) != 1:
        raise FlawError(
            f"expected gender to be 'neutral', 'male' or 'female', got {', '.join(words)[:40]!r}; the rest pelvis of "
            "the models depends on it: write it into the file, or set models=null for the mean body"
        )
    return found.pop()


def _parse_words(content: bytes) -> tuple[str, ...]:
    """The words of a small npy file, in lower case; those of pickled objects are looked up without unpickling them."""
    try:
        array = files.parse_npy(content, kinds="fiubUS").reshape(-1)
    except ValueError:
        pickled = content[_NPY_PREFIX:].partition(b"\n")[2]
        values = [value for _, value, _ in pickletools.genops(pickled) if isinstance(value, str | bytes)]
        # The other words are numpy's own: how to make an array of objects.
        return tuple(word for word in map(_to_word, values) if word in _GENDERS)
    return tuple(dict.fromkeys(_to_word(value) for value in array.tolist()))


def _to_word(value: object) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.removeprefix("b'").removesuffix("'").strip().lower()


def _shift_motion(motion: Motion, shift: tuple[float, float, float]) -> Motion:
    """The motion shifted in space."""
    return move_motion(motion, torch.eye(3), torch.tensor(shift))


def _frame_rate(arrays: dict[str, np.ndarray], fallback: float | None) -> float:
    """Frames per second: the file's own, or the fallback."""
    own = arrays.get("fps")
    if own is None and fallback is None:
        raise ValueError("expected a frame rate, found none in the file; set fps")
    rate = fallback if own is None else float(own.reshape(-1)[0]) if own.size == 1 else math.nan
    if rate is None or not 1 <= rate < 1000:
        raise ValueError(f"expected a frame rate of 1 to 1000 frames a second, got {own if fallback is None else rate}")
    # Rates that were measured or went through float32 come as 30.00003 or 119.99.
    return float(round(rate)) if abs(rate - round(rate)) < 0.02 else rate


def _motion_parts(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """All fields of `Motion` except betas and fps, float32, zeros where the file lacks one."""
    arrays = dict(arrays)
    if "poses" in arrays:
        _add_parts(arrays, _split_poses(arrays["poses"]), "poses")
    for name, halves in (("hands", ("left_hand_pose", "right_hand_pose")), ("eyes", ("leye_pose", "reye_pose"))):
        if name in arrays:
            pair = np.split(_flatten(arrays, name), 2, axis=1)
            _add_parts(arrays, dict(zip(halves, pair, strict=True)), name)
    missing = [name for name in ("global_orient", "body_pose", "transl") if name not in arrays]
    if missing:
        raise ValueError(f"expected {' and '.join(missing)}, found none in the file")
    frames = len(arrays["transl"])
    fields = ("global_orient", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose")
    parts = {name: _to_tensor(_flatten(arrays, name, frames=frames)) for name in (*fields, "transl")}
    for name in ("body_pose", "left_hand_pose", "right_hand_pose"):
        parts[name] = parts[name].unflatten(1, (-1, 3))
    expression = arrays.get("expression", np.zeros((frames, 10)))
    if expression.ndim != 2:
        raise ValueError(f"expected expression to be (time, coefficients), got {expression.shape}")
    return parts | {"expression": _to_tensor(expression)}


def _add_parts(arrays: dict[str, np.ndarray], parts: dict[str, np.ndarray], whole: str) -> None:
    """Add the parts of one array; where the file has a part on its own too, both must say the same."""
    for name, part in parts.items():
        if name in arrays and not _agree(arrays[name], part, atol=1e-4):
            raise ValueError(f"expected {name} once, got it and another one in {whole}")
        arrays[name] = part


def _to_tensor(array: np.ndarray) -> Float[Tensor, "*shape"]:
    """Copy an array into a float32 tensor."""
    return torch.from_numpy(array.astype(np.float32))


def _flatten(arrays: dict[str, np.ndarray], name: str, *, frames: int = 0) -> np.ndarray:
    """An array as (time, width); zeros if the file lacks it."""
    width = _WIDTHS[name]
    array = arrays.get(name, np.zeros((frames, width)))
    if array.ndim < 2 or math.prod(array.shape[1:]) != width:
        raise ValueError(f"expected {name} to be (time, {width}), got {array.shape}")
    return array.reshape(len(array), width)


def _split_poses(poses: np.ndarray) -> dict[str, np.ndarray]:
    """Split one array of SMPL+H's 52 or SMPL-X's 55 joints into parts."""
    if poses.ndim == 3 and poses.shape[2] == 3:
        poses = poses.reshape(len(poses), -1)
    if poses.ndim != 2 or poses.shape[1] not in (156, 165):
        raise ValueError(f"expected poses to be (time, 156) for SMPL+H or (time, 165) for SMPL-X, got {poses.shape}")
    hands = poses.shape[1] - 90
    parts = {
        "global_orient": poses[:, :3], "body_pose": poses[:, 3:66], "left_hand_pose": poses[:, hands : hands + 45],
        "right_hand_pose": poses[:, hands + 45 :],
    }  # fmt: skip
    if hands == 75:
        parts |= {"jaw_pose": poses[:, 66:69], "leye_pose": poses[:, 69:72], "reye_pose": poses[:, 72:75]}
    return parts
