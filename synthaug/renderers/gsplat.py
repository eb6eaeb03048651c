"""The GPU renderer: gsplat's CUDA kernels render a whole batch of clips in few calls.

This is the only file that imports gsplat, inside one function: gsplat compiles CUDA code at its first call, even on
machines without a GPU, so nothing reaches it before CUDA is known to be available.

Clips of one picture size and length share a call, [clip, frame, gaussian], padded with Gaussians of opacity 0. People
at rest stay on the device between calls; joints, cameras and lights are sent each time. Skinning is written without
matrix products, since those may run in TF32, whose ten bits of precision move a person by millimetres.
"""

import functools
import logging
import math
import os
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from packaging.version import Version
from torch import Tensor
from torch.nn.functional import normalize, pad
from torch.nn.utils.rnn import pad_sequence

from synthaug.body.rotations import quat_to_matrix
from synthaug.levels import choose_level
from synthaug.renderers import BatchRenderer, Shot, Splatting
from synthaug.renderers.splatting.building import BuildError, build_once
from synthaug.renderers.splatting.checks import check_frames, check_rest
from synthaug.structures import Camera, Gaussians, Light, Rendering

logger = logging.getLogger(__name__)

COMPILE_LIMIT_S = 3600.0
"""Time limit of compilation, seconds. Two cores took 11 to 14 minutes for gsplat 1.5.3; this is four times that."""
_DEFAULT_JOBS = 4
"""Compilers at once if MAX_JOBS is not set. gsplat's own default of 10 takes some 20 GB of memory."""
_PIXELS_PER_GAUSSIAN = 10
"""Pixels that take as much GPU memory as one Gaussian: about 40 bytes each against 400."""
_NEUTRAL_LIGHT = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""A light that multiplies colours by exactly 1: direction, key, sky, ground."""
_PROBE = """
import torch
from gsplat import rasterization
eye = torch.eye(4, device="cuda")
K = torch.tensor([[16.0, 0, 8], [0, 16.0, 8], [0, 0, 1]], device="cuda")
_, alpha, _ = rasterization(
    means=torch.tensor([[[0.0, 0, 2]]], device="cuda"), quats=None, scales=None, covars=0.1 * eye[None, None, :3, :3],
    opacities=torch.full((1, 1), 0.9, device="cuda"), colors=torch.ones(1, 1, 3, device="cuda"),
    viewmats=eye[None, None], Ks=K[None, None], width=16, height=16, packed=False,
)
assert 0.5 < float(alpha[0, 0, 8, 8, 0]) < 1, "gsplat renders nothing where a Gaussian is"
"""


@dataclass(frozen=True)
class GsplatRenderer(BatchRenderer):
    """Renders on the GPU, in the main process and never in DataLoader workers.

    gsplat's upper limit of alpha is compiled in. A lower limit is imitated by limiting opacities, which differs by at
    most one percent of coverage on the shoulder of a Gaussian; a higher limit is an error.

    Attributes:
        splatting: The image model.
        gaussians_per_call: Frames times Gaussians in one call of gsplat; ten pixels count as one Gaussian. It limits
            GPU memory to about 400 bytes each (counted from our own arrays and gsplat's, not measured).
        device: A CUDA device; "cuda" is the current one, which Lightning sets for each rank.
    """

    splatting: Splatting = Splatting()
    gaussians_per_call: int = 4_000_000
    device: str = "cuda"

    def __post_init__(self) -> None:
        _check_cuda(self.device)
        if self.gaussians_per_call < 1:
            raise ValueError(
                f"Expected gaussians_per_call to be 1 or more, got {self.gaussians_per_call}. Leave it at its default."
            )
        if self.splatting.max_alpha > compiled_max_alpha():
            raise ValueError(
                f"Expected max_alpha to be at most {compiled_max_alpha()}, the limit of gsplat {version('gsplat')}, "
                f"got {self.splatting.max_alpha}. Lower max_alpha, or choose synth/renderer=cpu."
            )

    @property
    def fingerprint(self) -> str:
        """Name of the renderer, its settings and versions: GPU pictures differ in single bits between versions."""
        return f"gsplat 2 {version('gsplat')} torch {torch.__version__} cuda {torch.version.cuda} {self.splatting}"

    def prepare(self) -> None:
        """Compile gsplat's kernels, once for this machine and these versions, and try them on one Gaussian.

        Raises:
            BuildError: If that fails or takes more than COMPILE_LIMIT_S; the message ends with the compiler's output.
        """
        _check_cuda(self.device)
        if torch.device(self.device).type == "cuda":
            _compile()

    def render(
        self, people: Sequence[Gaussians], camera: Camera, *, depth: bool = False, labels: bool = False
    ) -> Rendering:
        """Render people together; see `Renderer.render`. The result is in main memory.

        Raises:
            ValueError: Also if labels are requested, which gsplat's kernels cannot compute.
        """
        if labels:
            raise ValueError(
                "Expected labels=False, since the gsplat renderer has no labels, got labels=True. "
                "Choose synth/renderer=cpu for ground truth."
            )
        return self.render_clips([Shot(tuple(people), camera, depth)])[0]

    @torch.no_grad()
    def render_clips(self, shots: Sequence[Shot]) -> list[Rendering]:
        """Render clips in few calls of gsplat; see `BatchRenderer.render_clips`. Results are in pinned memory."""
        for shot in shots:
            check_frames(shot.people, shot.camera)
        self.prepare()
        device = torch.device(self.device)
        with _own_stream(device):
            people = [self._choose_levels(shot) for shot in shots]
            counts = [sum(len(person.means) for person in each) for each in people]
            results = [_allocate(shot, count, device) for shot, count in zip(shots, counts, strict=True)]
            for members, part in _group_shots(shots, counts, self.gaussians_per_call):
                rendered = self._rasterize([people[i] for i in members], [shots[i] for i in members], part)
                for place, i in enumerate(members):
                    _copy_frames(results[i], part, [None if plane is None else plane[place] for plane in rendered])
            if device.type == "cuda":
                torch.cuda.current_stream(device).synchronize()
        return results

    def _choose_levels(self, shot: Shot) -> list[Gaussians]:
        """The people at the level of detail that the picture needs; people without Gaussians are left out."""
        chosen = [choose_level(person, shot.camera, self.splatting.per_pixel) for person in shot.people]
        for person in chosen:
            if not len(person.means):
                check_rest(person)
        return [person for person in chosen if len(person.means)]

    def _rasterize(
        self, people: Sequence[Sequence[Gaussians]], shots: Sequence[Shot], part: slice
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Render some frames of clips of one size: uint8 colour and alpha, depth; [clip time channel height width]."""
        # Not at the top of the file: see its docstring.
        from gsplat import rasterization

        device, splatting, camera, depth = torch.device(self.device), self.splatting, shots[0].camera, shots[0].depth
        posed = pose_clips(people, part, device=device)
        clips, frames = posed.means.shape[:2]
        opacities = posed.opacities
        if splatting.max_alpha < compiled_max_alpha():
            opacities = opacities.clamp(max=splatting.max_alpha)
        views = torch.stack([shot.camera.viewmats[part] for shot in shots]).to(device, torch.float32)
        Ks = torch.stack([shot.camera.Ks[part] for shot in shots]).to(device, torch.float32)
        picture, alphas, _ = rasterization(
            means=posed.means.flatten(0, 1),
            quats=None,
            scales=None,
            covars=posed.covars.flatten(0, 1),
            opacities=opacities[:, None].expand(-1, frames, -1).flatten(0, 1),
            colors=posed.colors.flatten(0, 1),
            viewmats=views.flatten(0, 1)[:, None],
            Ks=Ks.flatten(0, 1)[:, None],
            width=camera.width,
            height=camera.height,
            near_plane=splatting.near,
            far_plane=splatting.far,
            eps2d=splatting.eps2d,
            packed=False,
            render_mode="RGB+ED" if depth else "RGB",
            rasterize_mode="antialiased" if splatting.antialiased else "classic",
        )
        picture, alphas = (
            planes[:, 0].permute(0, 3, 1, 2).unflatten(0, (clips, frames)) for planes in (picture, alphas)
        )
        distance = torch.where(alphas > 0, picture[:, :, 3:4], 0.0) if depth else None
        return _to_uint8(picture[:, :, :3]), _to_uint8(alphas), distance


def compiled_max_alpha() -> float:
    """The upper limit of alpha in the installed gsplat's kernels (MAX_ALPHA in its CUDA sources, lowered in 1.6)."""
    return 0.999 if Version(version("gsplat")) < Version("1.6.0.dev0") else 0.99


def _check_cuda(device: str) -> None:
    if not torch.cuda.is_available():
        raise ValueError(
            f"Expected an NVIDIA GPU for the gsplat renderer (device={device!r}), but torch sees no CUDA device. "
            "Choose synth/renderer=cpu, which renders the same pictures, or synth/renderer=auto."
        )


@functools.cache
def _compile() -> None:
    """Compile gsplat's kernels in a process of their own: of many ranks one compiles and the others wait."""
    from torch.utils.cpp_extension import get_default_build_root

    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    names = [version("gsplat"), torch.__version__, torch.version.cuda or "", torch.cuda.get_device_name()]
    marker = folder / ("synthaug-gsplat-" + "-".join("".join(filter(str.isalnum, name)) for name in names) + ".ready")
    if not marker.exists():
        logger.info("Compiling gsplat's kernels, once on this machine; takes some minutes. Lock and marker: %s", marker)
    jobs = os.environ.get("MAX_JOBS") or str(min(_DEFAULT_JOBS, os.cpu_count() or 1))
    try:
        build_once([sys.executable, "-c", _PROBE], marker, limit_s=COMPILE_LIMIT_S, environment={"MAX_JOBS": jobs})
    except BuildError as error:
        raise BuildError(
            f"Expected gsplat {version('gsplat')} to compile on {torch.cuda.get_device_name()}, which needs nvcc and a "
            "C++ compiler. Set CUDA_HOME, install a wheel with its kernels built in, or choose synth/renderer=cpu, "
            f"which renders the same pictures. {error}"
        ) from error


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def _own_stream(device: torch.device) -> AbstractContextManager[object]:
    """Use our own CUDA stream, so that rendering and training on the same GPU do not wait for each other."""
    if device.type != "cuda":
        return nullcontext()
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.stream(_stream(torch.device("cuda", index)))


def _group_shots(shots: Sequence[Shot], counts: Sequence[int], most: int) -> Iterator[tuple[list[int], slice]]:
    """Group clips, and some of their frames, that are rendered together; clips without people are left out."""
    groups: dict[tuple[int, int, bool, int], dict[int, int]] = {}
    for i, (shot, count) in enumerate(zip(shots, counts, strict=True)):
        camera = shot.camera
        if count and len(camera.viewmats):
            key = (camera.height, camera.width, shot.depth, len(camera.viewmats))
            groups.setdefault(key, {})[i] = count
    for (height, width, _, frames), members in groups.items():
        yield from plan_calls(members, frames, pixels=height * width, most=most)


def plan_calls(counts: Mapping[int, int], frames: int, *, pixels: int, most: int) -> Iterator[tuple[list[int], slice]]:
    """Divide clips of one length and size into calls: several whole clips in a call, or one clip in parts.

    Args:
        counts: Gaussians of each clip. Within a call none has less than half of the largest, so that padding never
            doubles the work.
        frames: Frames of every clip.
        pixels: Pixels of every frame; ten count as one Gaussian.
        most: Upper limit of frames times Gaussians in a call; a single frame may exceed it.
    """
    waiting = sorted(counts, key=lambda clip: counts[clip], reverse=True)
    while waiting:
        largest = counts[waiting[0]]
        cost = largest + pixels // _PIXELS_PER_GAUSSIAN
        room = most // (frames * cost)
        together = [clip for clip in waiting[: max(room, 1)] if 2 * counts[clip] >= largest]
        step = frames if room else max(1, most // cost)
        for start in range(0, frames, step):
            yield together, slice(start, min(start + step, frames))
        waiting = waiting[len(together) :]


class PosedClips(NamedTuple):
    """Gaussians of several clips in the world frame, padded with opacity 0."""

    means: Float[Tensor, "clip time gaussian 3"]
    covars: Float[Tensor, "clip time gaussian 3 3"]
    colors: Float[Tensor, "clip time gaussian 3"]
    opacities: Float[Tensor, "clip gaussian"]


def pose_clips(people: Sequence[Sequence[Gaussians]], part: slice, *, device: torch.device) -> PosedClips:
    """Pose all Gaussians of some clips, as `synthaug.body.skinning.pose_frame` does for one person and frame.

    Args:
        people: The people of each clip, one or more; all clips have these frames.
        part: Frames.
        device: Device of the result.
    """
    rest, lamps = _join_people(people, device)
    A = _blend_joints(rest, _joints(people, part).to(device))
    means, axes, normals, colors, opacities = rest.floats.split([3, 9, 3, 3, 1], dim=-1)
    posed = _apply_linear(A, means) + A[..., 3]
    x, y, z = (_apply_linear(A, axis) for axis in axes.split(3, dim=-1))
    covars = _outer_square(x) + _outer_square(y) + _outer_square(z)
    if lamps is not None:
        colors = colors[:, None] * _shade(lamps[:, None], _apply_linear(A, normals))
    colors = colors if lamps is not None else colors[:, None].expand_as(posed)
    return PosedClips(posed, covars, colors, opacities[..., 0])


def _outer_square(axis: Tensor) -> Tensor:
    return axis[..., :, None] * axis[..., None, :]


def _apply_linear(A: Tensor, vectors: Tensor) -> Tensor:
    """Apply the linear part of matrices [clip time gaussian 3 4] to vectors of each clip [clip gaussian 3]."""
    x, y, z = vectors[:, None, :, None].unbind(-1)
    return A[..., 0] * x + A[..., 1] * y + A[..., 2] * z


def _blend_joints(
    rest: "_DeviceRest", T: Float[Tensor, "clip time joint 12"]
) -> Float[Tensor, "clip time gaussian 3 4"]:
    """Skinning matrices. Joints are added one by one, so that memory does not grow with their number."""
    clips, frames, joints = T.shape[:3]
    first = torch.arange(clips * frames, dtype=torch.int32, device=T.device).mul_(joints).view(clips, frames, 1)
    A = T.new_zeros(clips, frames, rest.joint_ids.shape[1], 12)
    for k in range(rest.joint_ids.shape[2]):
        rows = (first + rest.joint_ids[:, None, :, k]).flatten()
        A.addcmul_(T.view(-1, 12).index_select(0, rows).view_as(A), rest.weights[:, None, :, k, None])
    return A.unflatten(-1, (3, 4))


def _joints(people: Sequence[Sequence[Gaussians]], part: slice) -> Float[Tensor, "clip time joint 12"]:
    """Joint matrices, without their last row, of all people of each clip one after the other."""
    clips = [torch.cat([person.T_world_rest[part, :, :3].float() for person in each], dim=1) for each in people]
    most = max(T.shape[1] for T in clips)
    return torch.stack([pad(T.flatten(2), (0, 0, 0, most - T.shape[1])) for T in clips])


class _DeviceRest(NamedTuple):
    """Gaussians at rest on the device, of one person [gaussian ...] or of clips [clip gaussian ...]."""

    floats: Float[Tensor, "*clip gaussian 19"]  # mean, three axes times scale, normal, colour, opacity
    joint_ids: Int[Tensor, "*clip gaussian k"]
    weights: Float[Tensor, "*clip gaussian k"]


def _join_people(people: Sequence[Sequence[Gaussians]], device: torch.device) -> tuple[_DeviceRest, Tensor | None]:
    """Join the people of each clip one after the other, with a light for each Gaussian if anybody has one."""
    rests = [[_send_once(person, device) for person in each] for each in people]
    most = max(rest.weights.shape[1] for each in rests for rest in each)
    clips = []
    for each, persons in zip(rests, people, strict=True):
        firsts = accumulate((person.T_world_rest.shape[1] for person in persons[:-1]), initial=0)
        ids = [rest.joint_ids + first for rest, first in zip(each, firsts, strict=True)]
        clips.append(
            _DeviceRest(
                torch.cat([rest.floats for rest in each]),
                torch.cat([pad(of, (0, most - of.shape[1])) for of in ids]),
                torch.cat([pad(rest.weights, (0, most - rest.weights.shape[1])) for rest in each]),
            )
        )
    rest = _DeviceRest(*(pad_sequence(list(column), batch_first=True) for column in zip(*clips, strict=True)))
    return rest, _lamps(people, device)


def _lamps(people: Sequence[Sequence[Gaussians]], device: torch.device) -> Float[Tensor, "clip gaussian 12"] | None:
    """The light of each Gaussian, in the order of `_NEUTRAL_LIGHT`; None if nobody has one."""
    lights = [[None if person.normals is None else person.light for person in each] for each in people]
    if not any(light for each in lights for light in each):
        return None
    table = iter(torch.tensor([_lamp(light) for each in lights for light in each]).to(device).unbind(0))
    return pad_sequence(
        [torch.cat([next(table).expand(len(person.means), 12) for person in each]) for each in people],
        batch_first=True,
    )


def _lamp(light: Light | None) -> tuple[float, ...]:
    if light is None:
        return _NEUTRAL_LIGHT
    length = max(math.hypot(*light.direction), 1e-6)
    return (*(part / length for part in light.direction), *light.key, *light.sky, *light.ground)


def _shade(lamps: Float[Tensor, "clip 1 gaussian 12"], normals: Float[Tensor, "clip time gaussian 3"]) -> Tensor:
    """`synthaug.body.skinning.shade` with a light for each Gaussian."""
    direction, key, sky, ground = lamps.split(3, dim=-1)
    n = normalize(normals, dim=-1)
    lambert = (((n * direction).sum(-1, keepdim=True) + Light.WRAP) / (1 + Light.WRAP)).clamp(min=0)
    return (ground + (sky - ground) * (0.5 + 0.5 * n[..., 1:2]) + key * lambert).clamp(0, Light.BRIGHTEST)


_MAX_PEOPLE = 64
"""People that are kept on the device; each level counts. 1.3 GB if all had 170,000 Gaussians."""
_people_on_device: dict[tuple[object, ...], tuple[tuple["weakref.ref[Tensor]", ...], tuple[int, ...], _DeviceRest]] = {}


def _send_once(person: Gaussians, device: torch.device) -> _DeviceRest:
    """Return the person at rest on the device, sent once for as long as the same tensors are passed.

    A tensor that was changed in place counts as another one (torch keeps a version number for autograd).
    """
    normals = () if person.normals is None else (person.normals,)
    tensors = (
        person.means, person.quats, person.scales, person.opacities, person.colors, person.joint_ids, person.weights,
        *normals,
    )  # fmt: skip
    index = torch.cuda.current_device() if device.type == "cuda" and device.index is None else device.index
    key = (device.type, index, person.T_world_rest.shape[1], *map(id, tensors))
    versions = tuple(tensor._version for tensor in tensors)
    found = _people_on_device.get(key)
    if found and found[1] == versions and all(ref() is tensor for ref, tensor in zip(found[0], tensors, strict=True)):
        return found[2]
    check_rest(person)
    rest = _send(person, device)
    for old in [k for k, (refs, _, _) in list(_people_on_device.items()) if any(ref() is None for ref in refs)]:
        _people_on_device.pop(old, None)
    for old in list(_people_on_device)[: max(0, len(_people_on_device) - _MAX_PEOPLE + 1)]:
        _people_on_device.pop(old, None)
    _people_on_device[key] = (tuple(map(weakref.ref, tensors)), versions, rest)
    return rest


def _send(person: Gaussians, device: torch.device) -> _DeviceRest:
    axes = quat_to_matrix(person.quats.double()) * person.scales.double()[:, None, :]
    normals = torch.zeros_like(person.means) if person.normals is None else person.normals
    parts = (person.means, axes.mT.flatten(1), normals, person.colors, person.opacities[:, None])
    return _DeviceRest(
        torch.cat([part.float() for part in parts], dim=1).to(device),
        person.joint_ids.to(device, torch.int32),
        person.weights.to(device, torch.float32),
    )


def _allocate(shot: Shot, count: int, device: torch.device) -> Rendering:
    """Allocate main memory for the pictures of a clip; transparent if the clip has no Gaussians."""
    frames, camera = len(shot.camera.viewmats), shot.camera
    make, pinned = (torch.empty if count else torch.zeros), device.type == "cuda"

    def plane(channels: int, dtype: torch.dtype) -> Tensor:
        return make(frames, channels, camera.height, camera.width, dtype=dtype, pin_memory=pinned)

    depth = plane(1, torch.float32) if shot.depth else None
    return Rendering(rgb=plane(3, torch.uint8), alpha=plane(1, torch.uint8), depth=depth)


def _copy_frames(result: Rendering, part: slice, rendered: Sequence[Tensor | None]) -> None:
    """Copy frames of a clip into its result, without waiting for the copy."""
    for plane, new in zip((result.rgb, result.alpha, result.depth), rendered, strict=True):
        if plane is not None and new is not None:
            plane[part].copy_(new, non_blocking=True)


def _to_uint8(values: Float[Tensor, "*axes"]) -> UInt8[Tensor, "*axes"]:
    return torch.floor(255 * values + 0.5).clamp(0, 255).to(torch.uint8, memory_format=torch.contiguous_format)
