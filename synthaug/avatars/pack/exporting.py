"""Export packs for other viewers: static splats as .ply, whole motions as .npz of posed Gaussians."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.avatars.pack.format import Pack, read_pack
from synthaug.avatars.pack.splats import Splats, write_ply
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat
from synthaug.body.skinning import pose_frame
from synthaug.files import write_atomic
from synthaug.structures import Gaussians, Motion

MAX_EXPORT_BYTES = 4 * 2**30


def export_pack(path: Path, to: Path, *, motion: Motion | None = None, frame: int = 0) -> str:
    """Write a pack for other viewers, and return a description of what was written.

    Args:
        path: The pack.
        to: A .ply in INRIA's layout (in the canonical pose, or in one frame of the motion), or an .npz of all frames of
            the motion: `means`, `covariances`, `opacities`, `rgbs` (viser's `add_gaussian_splats`) and `fps`.
        motion: None is the canonical pose.
        frame: Frame of the motion, for .ply.

    Raises:
        ValueError: If the suffix is another one, the frame does not exist, or the result would be too large.
        PackError: If the pack is damaged.
    """
    pack = read_pack(path)
    if motion is not None and not 0 <= frame < motion.num_frames:
        last = motion.num_frames - 1
        raise ValueError(f"Expected --frame to be 0 to {last}, the motion's last frame, got {frame}. Choose another.")
    if to.suffix == ".ply":
        write_ply(to, to_splats(pack, motion, frame))
        where = "the canonical pose" if motion is None else f"that frame{_describe_faces(pack, motion)}"
        return f"{len(pack.levels[0].means):,} Gaussians in {where}"
    if to.suffix != ".npz" or motion is None:
        raise ValueError(f"Expected --to to end in .ply, or in .npz with --motion, got '{to}'. Rename it.")
    size = motion.num_frames * len(pack.levels[0].means) * 48
    if size > MAX_EXPORT_BYTES:
        limit = MAX_EXPORT_BYTES / 1e9
        raise ValueError(f"Expected at most {limit:.1f} GB to write, got {size / 1e9:.1f} GB. Give a shorter motion.")
    posed = [pose_frame(pose_pack(pack, motion, index), index) for index in range(motion.num_frames)]
    buffer = io.BytesIO()
    np.savez(
        buffer, allow_pickle=False, means=torch.stack([one.means for one in posed]).numpy(),
        covariances=torch.stack([one.covars for one in posed]).numpy(), opacities=pack.levels[0].opacities.numpy(),
        rgbs=pack.levels[0].colors.numpy(), fps=np.float32(motion.fps),
    )  # fmt: skip
    write_atomic(to, buffer.getvalue())
    return f"{motion.num_frames} frames of {len(pack.levels[0].means):,} Gaussians{_describe_faces(pack, motion)}"


def _describe_faces(pack: Pack, motion: Motion) -> str:
    """How expressions were read, in words: coefficients of another basis would distort the face."""
    if pack.extras.expression_dirs is None or not bool(motion.expression.any()):
        return ""
    basis = "FLAME 2020's" if pack.about.provenance.kind == "exavatar" else "the pack's own"
    return f", expressions read as coefficients of {basis} basis"


def pose_pack(pack: Pack, motion: Motion, frame: int) -> Gaussians:
    """The finest level in a motion, with the displacements of expressions and pose correctives in this frame."""
    level, extras = pack.levels[0], pack.extras
    means = level.means
    if extras.expression_rows is not None and extras.expression_dirs is not None:
        count = min(motion.expression.shape[1], extras.expression_dirs.shape[2])
        moved = extras.expression_dirs[:, :, :count] @ motion.expression[frame, :count].to(means)
        means = means.index_add(0, extras.expression_rows.long(), moved)
    if extras.corrective_dirs is not None and extras.corrective_features is not None:
        means = means + extras.corrective_dirs @ (extras.corrective_features @ _pose_feature(motion, frame).to(means))
    return replace(level, means=means, T_world_rest=pack.rig.transforms(motion))


def _pose_feature(motion: Motion, frame: int) -> Float[Tensor, "486"]:
    return (axis_angle_to_matrix(motion.pose[frame, 1:]) - torch.eye(3)).flatten()


def to_splats(pack: Pack, motion: Motion | None, frame: int) -> Splats:
    """The finest level as a static splat: canonical with its harmonics, or in one frame without them."""
    level = pack.levels[0]
    none = np.zeros((len(level.means), 0, 3), np.float32)
    if motion is None:
        sh = none if pack.extras.sh is None else pack.extras.sh.numpy()
        return Splats(level.means.numpy(), level.quats.numpy(), level.scales.numpy(), level.opacities.numpy(),
                      level.colors.numpy(), sh)  # fmt: skip
    posed = pose_frame(pose_pack(pack, motion, frame), frame)
    quats, scales = _principal_axes(posed.covars)
    return Splats(posed.means.numpy(), quats, scales, level.opacities.numpy(), level.colors.numpy(), none)


def _principal_axes(covars: Float[Tensor, "gaussian 3 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Quaternions and standard deviations of covariances."""
    values, axes = torch.linalg.eigh(covars.double())
    axes[torch.linalg.det(axes) < 0, :, 0] *= -1
    return matrix_to_quat(axes).float().numpy(), values.clamp(min=1e-12).sqrt().float().numpy()
