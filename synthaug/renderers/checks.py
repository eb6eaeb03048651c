"""What every renderer refuses before it draws. Between the interface and the concrete renderers.

One place, so that all renderers refuse the same scenes in the same words; compiled kernels depend on it, since an index
or a depth that is no number would make them write outside their arrays.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from synthaug.structures import Camera, Gaussians

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
    if camera.width < 1 or camera.height < 1:
        raise ValueError(
            f"A picture of {camera.width} x {camera.height} pixels has no inside; both sides must be 1 or more. "
            "Set the camera's width and height."
        )
    if max(camera.width, camera.height) > LARGEST:
        raise ValueError(
            f"A picture of {camera.width} x {camera.height} pixels was asked for; at most {LARGEST} a side "
            "were wanted. Render parts of it."
        )
    _check_finite("camera.viewmats", camera.viewmats)
    _check_finite("camera.Ks", camera.Ks)
    for index, person in enumerate(people):
        _check_person(index, person, frames)


def _check_person(index: int, person: Gaussians, frames: int) -> None:
    T = person.T_world_rest
    if T.ndim != 4 or T.shape[2:] != (4, 4):
        raise ValueError(
            f"people[{index}].T_world_rest has shape {tuple(T.shape)}; [time joint 4 4] was wanted. "
            "Give rest-to-world matrices, as synthaug.body.rest_to_world does."
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

    Raises:
        ValueError: If shapes disagree, a joint does not exist, or a value is not finite.
    """
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
    joints = person.T_world_rest.shape[1]
    if count * k > 0 and not 0 <= int(person.joint_ids.min()) <= int(person.joint_ids.max()) < joints:
        raise ValueError(
            f"Gaussians.joint_ids reach from {int(person.joint_ids.min())} to {int(person.joint_ids.max())}; 0 to "
            f"{joints - 1} was wanted, for T_world_rest has {joints} joints. Fill unused slots with joint 0, weight 0."
        )


def _check_finite(name: str, value: Tensor) -> None:
    # A finite sum proves finite terms and costs a tenth of the elementwise test, which decides only where it overflows.
    if not bool(torch.isfinite(value.sum())) and not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(
            f"{name} holds {bad} values that are NaN or infinite; finite numbers were wanted. "
            "Look where they come from: a motion that diverged, a damaged avatar file, or a camera's path."
        )
