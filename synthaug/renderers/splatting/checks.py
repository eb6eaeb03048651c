"""Checks of the input of renderers.

They are in one place, so that all renderers refuse the same scenes with the same errors. Compiled kernels depend on
them: an index out of range or a depth of NaN would make them write outside their arrays.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from synthaug.structures import Camera, Gaussians, PosedGaussians

LARGEST = 32_767
"""Pixels per side: compiled kernels keep two coordinates in 32 bits."""


def check_frames(people: Sequence[Gaussians], camera: Camera) -> None:
    """Check what differs from clip to clip: frame counts, sizes, joint transforms and camera.

    Raises:
        ValueError: If frame counts or shapes differ, or a value is not finite.
    """
    frames = camera.viewmats.shape[0]
    if camera.viewmats.shape != (frames, 4, 4) or camera.Ks.shape != (frames, 3, 3):
        raise ValueError(
            "Expected camera.viewmats [time 4 4] and camera.Ks [time 3 3], got shapes "
            f"{tuple(camera.viewmats.shape)} and {tuple(camera.Ks.shape)}. Pass one of each for every frame."
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
            f"Expected people[{index}].T_world_rest to be [time joint 4 4], got shape {tuple(T.shape)}. "
            "Pass rest-to-world matrices, as synthaug.body.skeleton.rest_to_world returns them."
        )
    if T.shape[0] != frames:
        raise ValueError(
            f"Expected people[{index}] to have as many frames as the camera ({frames}), got {T.shape[0]}. "
            "Resample the motion or the camera path before rendering."
        )
    _check_finite(f"people[{index}].T_world_rest", T)
    if person.light is not None:
        numbers = [*person.light.direction, *person.light.key, *person.light.sky, *person.light.ground]
        _check_finite(f"people[{index}].light", torch.tensor(numbers))


def check_rest(person: Gaussians) -> None:
    """Check what stays the same through a clip: Gaussians at rest and skinning.

    Scales may be zero, as in flat discs. Quaternions need not be of unit length, but must not be zero. Colours and
    weights may be any finite numbers.

    Raises:
        ValueError: If shapes disagree, a joint does not exist, a value is not finite, a scale is negative, a quaternion
            is zero, or an opacity lies outside 0..1.
    """
    if person.joint_ids.ndim != 2:
        raise ValueError(
            f"Expected Gaussians.joint_ids to be [gaussian k], got shape {tuple(person.joint_ids.shape)}. "
            "Give each Gaussian a row of the joints that move it, even if there is only one."
        )
    count, k = person.joint_ids.shape
    shapes = {"means": (count, 3), "quats": (count, 4), "scales": (count, 3), "opacities": (count,)}
    shapes |= {"colors": (count, 3), "weights": (count, k)}
    for name, shape in shapes.items():
        value: Tensor = getattr(person, name)
        if tuple(value.shape) != shape:
            raise ValueError(
                f"Expected Gaussians.{name} to have shape {shape}, since joint_ids is {tuple(person.joint_ids.shape)}, "
                f"got {tuple(value.shape)}. Give every Gaussian one row in every field."
            )
        _check_finite(f"Gaussians.{name}", value)
    if person.normals is not None:
        if tuple(person.normals.shape) != (count, 3):
            raise ValueError(
                f"Expected Gaussians.normals to have shape {(count, 3)}, got {tuple(person.normals.shape)}. "
                "Give every Gaussian a normal, or leave normals None."
            )
        _check_finite("Gaussians.normals", person.normals)
    _check_scales_and_quats(person)
    _check_opacities("Gaussians.opacities", person.opacities)
    joints = person.T_world_rest.shape[1]
    if count * k > 0 and not 0 <= int(person.joint_ids.min()) <= int(person.joint_ids.max()) < joints:
        raise ValueError(
            f"Expected Gaussians.joint_ids from 0 to {joints - 1}, since T_world_rest has {joints} joints, got "
            f"{int(person.joint_ids.min())} to {int(person.joint_ids.max())}. Fill unused slots with joint 0, weight 0."
        )


def check_posed(posed: PosedGaussians, viewmat: Tensor, K: Tensor, *, height: int, width: int) -> None:
    """Check one frame of posed Gaussians for compiled kernels.

    Raises:
        ValueError: If shapes, precisions or devices disagree, a value is not finite, an opacity lies outside 0..1, a
            focal length is not positive, or the picture has no pixels.
    """
    count = len(posed.means)
    shapes = {"posed.means": (posed.means, (count, 3)), "posed.covars": (posed.covars, (count, 3, 3))}
    shapes |= {"posed.opacities": (posed.opacities, (count,)), "posed.colors": (posed.colors, (count, 3))}
    shapes |= {"viewmat": (viewmat, (4, 4)), "K": (K, (3, 3))}
    for name, (value, shape) in shapes.items():
        if tuple(value.shape) != shape:
            raise ValueError(
                f"Expected {name} to have shape {shape}, since posed.means has {count} rows, got {tuple(value.shape)}. "
                "Give every Gaussian one row in every field, and pass the camera of one frame."
            )
        if value.dtype != posed.means.dtype or value.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"Expected all tensors to be float32 or all float64, got {value.dtype} for {name} and "
                f"{posed.means.dtype} for posed.means. Convert them with .float() or .double()."
            )
        if value.device.type != "cpu":
            raise ValueError(
                f"Expected {name} in main memory, since these kernels run on the CPU, got {value.device}. "
                "Move it with .cpu(), or rasterise with gsplat."
            )
        _check_finite(name, value)
    _check_opacities("posed.opacities", posed.opacities)
    _check_focal_lengths("K", K[None])
    _check_size(height=height, width=width)


def _check_scales_and_quats(person: Gaussians) -> None:
    if not len(person.scales):
        return
    least = float(person.scales.detach().min())
    if least < 0:
        raise ValueError(
            f"Expected Gaussians.scales to be standard deviations in metres, 0 or more, got {least:.4g}. "
            "If they are logarithms, as in .ply files, take their exponential."
        )
    # 1e-6: far above where the square of a float32 becomes denormal, far below the length of any rotation.
    shortest = float(person.quats.detach().norm(dim=1).min())
    if shortest < 1e-6:
        raise ValueError(
            f"Expected Gaussians.quats to be rotations, got a quaternion of length {shortest:.4g}. "
            "Use (1, 0, 0, 0) for Gaussians that are not rotated."
        )


def _check_opacities(name: str, value: Tensor) -> None:
    if not len(value):
        return
    low, high = (float(bound) for bound in torch.aminmax(value.detach()))
    if low < 0 or high > 1:
        raise ValueError(
            f"Expected {name} from 0 to 1, got {low:.6g} to {high:.6g}. "
            "If they are logits, as in .ply files and optimisers, take their sigmoid; otherwise clamp them."
        )


def _check_focal_lengths(name: str, Ks: Tensor) -> None:
    _check_finite(name, Ks)
    shortest = float(Ks.detach()[:, [0, 1], [0, 1]].min()) if len(Ks) else 1.0
    if shortest <= 0:
        raise ValueError(
            f"Expected focal lengths of {name} above 0 pixels, got {shortest:.4g}. "
            "Check whether the matrix is transposed or empty. To mirror a clip, mirror the picture."
        )


def _check_size(*, height: int, width: int) -> None:
    if width < 1 or height < 1:
        raise ValueError(
            f"Expected a picture of at least 1 x 1 pixels, got {width} x {height}. Set the camera's width and height."
        )
    if max(width, height) > LARGEST:
        raise ValueError(
            f"Expected a picture of at most {LARGEST} pixels a side, got {width} x {height}. Render parts of it."
        )


def _check_finite(name: str, value: Tensor) -> None:
    # A finite sum proves finite terms and costs a tenth of the elementwise test, which decides where the sum overflows.
    if not bool(torch.isfinite(value.sum())) and not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(
            f"Expected finite numbers in {name}, got {bad} that are NaN or infinite. "
            "Check where they come from: a motion that diverged, a damaged avatar file, or a camera path."
        )
