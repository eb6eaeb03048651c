"""What every renderer refuses before it draws. Between the interface and the concrete renderers.

One place, so that all renderers refuse the same scenes in the same words; compiled kernels depend on it, since an index
or a depth that is no number would make them write outside their arrays.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from synthaug.structures import Camera, Gaussians, PosedGaussians

LARGEST = 32_767
"""Pixels a side: compiled kernels keep two of them in 32 bits."""


def check_frames(people: Sequence[Gaussians], camera: Camera) -> None:
    """Refuse what differs from clip to clip: frame counts, sizes, joint transforms and camera.

    Raises:
        ValueError: If frame counts or shapes differ, or a value is not finite.
    """
    frames = camera.viewmats.shape[0]
    if camera.viewmats.shape != (frames, 4, 4) or camera.Ks.shape != (frames, 3, 3):
        raise ValueError(
            f"The camera has viewmats {tuple(camera.viewmats.shape)} and Ks {tuple(camera.Ks.shape)}; "
            "[time 4 4] and [time 3 3] were wanted. Give one of each for every frame."
        )
    _check_size(height=camera.height, width=camera.width)
    _check_finite("camera.viewmats", camera.viewmats)
    _check_focal_lengths("camera.Ks", camera.Ks)
    for index, person in enumerate(people):
        _check_person(index, person, frames)


def _check_person(index: int, person: Gaussians, frames: int) -> None:
    T = person.T_world_rest
    if T.ndim != 4 or T.shape[2:] != (4, 4):
        raise ValueError(
            f"people[{index}].T_world_rest has shape {tuple(T.shape)}; [time joint 4 4] was wanted. "
            "Give rest-to-world matrices, as synthaug.body.skeleton.rest_to_world does."
        )
    if T.shape[0] != frames:
        raise ValueError(
            f"people[{index}] has {T.shape[0]} frames and the camera {frames}; equal counts were wanted. "
            "Resample the motion or the camera path before rendering."
        )
    _check_finite(f"people[{index}].T_world_rest", T)
    if person.light is not None:
        numbers = [*person.light.direction, *person.light.key, *person.light.sky, *person.light.ground]
        _check_finite(f"people[{index}].light", torch.tensor(numbers))


def check_rest(person: Gaussians) -> None:
    """Refuse what stays the same through a clip: rest Gaussians and skinning.

    Scales may be zero: discs are flat. Quaternions need not be of unit length, but zero has no direction. Colours and
    weights may be any finite numbers: the one are never clamped, the others taken as they are.

    Raises:
        ValueError: If shapes disagree, a joint does not exist, a value is not finite, a scale is negative, a quaternion
            is zero, or an opacity lies outside 0..1.
    """
    if person.joint_ids.ndim != 2:
        raise ValueError(
            f"Gaussians.joint_ids has shape {tuple(person.joint_ids.shape)}; [gaussian k] was wanted. "
            "Give each Gaussian a row of the joints that move it, also where that is one."
        )
    count, k = person.joint_ids.shape
    wanted = {"means": (count, 3), "quats": (count, 4), "scales": (count, 3), "opacities": (count,)}
    wanted |= {"colors": (count, 3), "weights": (count, k)}
    for name, shape in wanted.items():
        value: Tensor = getattr(person, name)
        if tuple(value.shape) != shape:
            raise ValueError(
                f"Gaussians.{name} has shape {tuple(value.shape)}; {shape} was wanted, since joint_ids has "
                f"{tuple(person.joint_ids.shape)}. Give every Gaussian one row in every field."
            )
        _check_finite(f"Gaussians.{name}", value)
    if person.normals is not None:
        if tuple(person.normals.shape) != (count, 3):
            raise ValueError(
                f"Gaussians.normals has shape {tuple(person.normals.shape)}; {(count, 3)} was wanted. Give every "
                "Gaussian a normal, or leave normals None."
            )
        _check_finite("Gaussians.normals", person.normals)
    _check_shapes_of_gaussians(person)
    _check_opacities("Gaussians.opacities", person.opacities)
    joints = person.T_world_rest.shape[1]
    if count * k > 0 and not 0 <= int(person.joint_ids.min()) <= int(person.joint_ids.max()) < joints:
        raise ValueError(
            f"Gaussians.joint_ids reach from {int(person.joint_ids.min())} to {int(person.joint_ids.max())}; 0 to "
            f"{joints - 1} was wanted, for T_world_rest has {joints} joints. Fill unused slots with joint 0, weight 0."
        )


def check_posed(posed: PosedGaussians, viewmat: Tensor, K: Tensor, *, height: int, width: int) -> None:
    """Refuse one frame that compiled kernels cannot take as it is.

    Raises:
        ValueError: If shapes, precisions or devices disagree, a value is not finite, an opacity lies outside 0..1, a
            focal length is not positive, or the picture has no inside.
    """
    count = len(posed.means)
    wanted = {"posed.means": (posed.means, (count, 3)), "posed.covars": (posed.covars, (count, 3, 3))}
    wanted |= {"posed.opacities": (posed.opacities, (count,)), "posed.colors": (posed.colors, (count, 3))}
    wanted |= {"viewmat": (viewmat, (4, 4)), "K": (K, (3, 3))}
    for name, (value, shape) in wanted.items():
        if tuple(value.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}; {shape} was wanted, since posed.means has {count} rows. "
                "Give every Gaussian one row in every field, and one frame's camera."
            )
        if value.dtype != posed.means.dtype or value.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{name} is {value.dtype} and posed.means {posed.means.dtype}; all float32 or all float64 was wanted. "
                "Convert them with .float() or .double()."
            )
        if value.device.type != "cpu":
            raise ValueError(
                f"{name} is on {value.device}; main memory was wanted, for these kernels run on the CPU. "
                "Move it with .cpu(), or rasterise with gsplat."
            )
        _check_finite(name, value)
    _check_opacities("posed.opacities", posed.opacities)
    _check_focal_lengths("K", K[None])
    _check_size(height=height, width=width)


def _check_shapes_of_gaussians(person: Gaussians) -> None:
    if not len(person.scales):
        return
    least = float(person.scales.detach().min())
    if least < 0:
        raise ValueError(
            f"Gaussians.scales reach down to {least:.4g}; standard deviations in metres, 0 or more, were wanted. "
            "If they are logarithms, as in .ply files, take their exponential."
        )
    # 1e-6: far above where the square of a float32 becomes denormal, far below anything that was a rotation.
    shortest = float(person.quats.detach().norm(dim=1).min())
    if shortest < 1e-6:
        raise ValueError(
            f"Gaussians.quats has one of length {shortest:.4g}; a direction was wanted, at best of length 1. "
            "Use (1, 0, 0, 0) for Gaussians that are not rotated."
        )


def _check_opacities(name: str, value: Tensor) -> None:
    if not len(value):
        return
    low, high = (float(bound) for bound in torch.aminmax(value.detach()))
    if low < 0 or high > 1:
        raise ValueError(
            f"{name} reach from {low:.6g} to {high:.6g}; 0 to 1 was wanted. "
            "If they are logits, as in .ply files and optimisers, take their sigmoid; otherwise clamp them."
        )


def _check_focal_lengths(name: str, Ks: Tensor) -> None:
    _check_finite(name, Ks)
    shortest = float(Ks.detach()[:, [0, 1], [0, 1]].min()) if len(Ks) else 1.0
    if shortest <= 0:
        raise ValueError(
            f"{name} has a focal length of {shortest:.4g} pixels; more than 0 was wanted. "
            "Mirror the picture, not the lens; and look whether the matrix is transposed or empty."
        )


def _check_size(*, height: int, width: int) -> None:
    if width < 1 or height < 1:
        raise ValueError(
            f"A picture of {width} x {height} pixels has no inside; both sides must be 1 or more. "
            "Set the camera's width and height."
        )
    if max(width, height) > LARGEST:
        raise ValueError(
            f"A picture of {width} x {height} pixels was asked for; at most {LARGEST} a side "
            "were wanted. Render parts of it."
        )


def _check_finite(name: str, value: Tensor) -> None:
    # A finite sum proves finite terms and costs a tenth of the elementwise test, which decides only where it overflows.
    if not bool(torch.isfinite(value.sum())) and not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(
            f"{name} holds {bad} values that are NaN or infinite; finite numbers were wanted. "
            "Look where they come from: a motion that diverged, a damaged avatar file, or a camera's path."
        )
