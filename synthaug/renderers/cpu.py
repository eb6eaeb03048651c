"""The compiled renderer: the pictures of `renderers/torch.py` on one CPU core.

It runs in DataLoader workers and threads. It holds no interpreter lock and starts no threads of its own: parallelism is
over clips. This file brings people into the memory layout of the compiled loops in `splatting/kernels.py`.
"""

import functools
import operator
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.rotations import quat_to_matrix
from synthaug.levels import choose_level
from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.splatting.checks import LARGEST, check_frames, check_rest
from synthaug.renderers.splatting.kernels import (
    LANES,
    PITCH,
    PITCHES,
    SLOTS,
    SPAN,
    ClipBuffers,
    Model,
    Rest,
    Variant,
    Views,
    render_clip,
    render_clip_framebuffer,
)
from synthaug.renderers.splatting.rigid import fill_rigid
from synthaug.structures import Camera, Gaussians, Light, Rendering


@dataclass(frozen=True)
class CpuRenderer(Renderer):
    """Renders on one core, fast enough for DataLoader workers; agrees with the specification to one step of uint8.

    It is serial, holds no lock and starts no threads: run several in processes or threads, one clip each.

    Attributes:
        splatting: The image model.
    """

    splatting: Splatting = Splatting()

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name of the renderer and its image model."""
        return f"cpu 2 {self.splatting}"

    def render(
        self, people: Sequence[Gaussians], camera: Camera, *, depth: bool = False, labels: bool = False
    ) -> Rendering:
        """Render people together; see `Renderer.render`."""
        shape = (_check_views(people, camera), 1, camera.height, camera.width)
        extras = (True, True) if labels else (True,) if depth else ()
        buffers = ClipBuffers(
            rgb=np.zeros((shape[0], 3, *shape[2:]), np.uint8),
            alpha=np.zeros(shape, np.uint8),
            depth=np.zeros(shape if extras else (0, 1, 1, 1), np.float32),
            labels=np.zeros(shape if labels else (0, 1, 1, 1), np.int16),
        )
        people = [choose_level(person, camera, self.splatting.per_pixel) for person in people]
        if people:
            views, finite = _views(people, camera)
            if not finite:
                check_frames(people, camera)
            model, variant = _model(self.splatting, camera.width, camera.height), _variant(camera.width, extras)
            render_clip(_join(people), views, model, buffers, variant)
        return Rendering(
            rgb=torch.from_numpy(buffers.rgb),
            alpha=torch.from_numpy(buffers.alpha),
            depth=torch.from_numpy(buffers.depth) if depth else None,
            labels=torch.from_numpy(buffers.labels) if labels else None,
        )


def render_framebuffer(
    people: Sequence[Gaussians], camera: Camera, splatting: Splatting
) -> Float[Tensor, "time 4 height width"]:
    """Premultiplied colour and alpha as float32, before they become uint8; for measurements and tests."""
    out = np.zeros((len(camera.viewmats), 4, camera.height, camera.width), np.float32)
    views, model = _views(people, camera)[0], _model(splatting, camera.width, camera.height)
    render_clip_framebuffer(_join(people), views, model, out, _variant(camera.width, ()))
    return torch.from_numpy(out)


@functools.cache
def _variant(width: int, extras: tuple[bool, ...]) -> Variant:
    pitch = next(pitch for pitch in PITCHES if PITCH * pitch >= width + SPAN)
    return Variant(pitch=(True,) * pitch, extras=extras)


@functools.lru_cache(maxsize=16)
def _model(splatting: Splatting, width: int, height: int) -> Model:
    return Model(
        width=np.float32(width),
        height=np.float32(height),
        eps2d=np.float32(splatting.eps2d),
        max_alpha=np.float32(splatting.max_alpha),
        near=np.float32(splatting.near),
        far=np.float32(splatting.far),
        antialiased=splatting.antialiased,
    )


def _check_views(people: Sequence[Gaussians], camera: Camera) -> int:
    """Number of frames, if shapes and sizes agree; whether all is finite is known when joints are in camera axes.

    Raises:
        ValueError: As `check_frames`, which is asked in every case of doubt.
    """
    frames = camera.viewmats.shape[0]
    sound = camera.viewmats.shape == (frames, 4, 4) and camera.Ks.shape == (frames, 3, 3)
    sound = sound and 0 < camera.width <= LARGEST and 0 < camera.height <= LARGEST
    for person in people:
        shape = person.T_world_rest.shape
        sound = sound and len(shape) == 4 and shape[0] == frames and shape[2:] == (4, 4) and person.light is None
    if not sound or not people:
        check_frames(people, camera)
    return frames


def _views(people: Sequence[Gaussians], camera: Camera) -> tuple[Views, bool]:
    """Bring all joints into the camera frame, and say whether all numbers are finite and focal lengths positive.

    In float64, since people may stand far from the world's origin. The camera's translation stays separate: blended
    with the joints, it would be wrong where weights do not sum to 1.
    """
    viewmats = np.ascontiguousarray(camera.viewmats.numpy(force=True), np.float64)
    Ks, time = np.ascontiguousarray(camera.Ks.numpy(force=True), np.float64), viewmats.shape[0]
    count = 0
    for person in people:
        count += person.T_world_rest.shape[1]
    joints, lenses = np.empty((time, 12 * count), np.float32), np.empty((time, 7), np.float32)
    lamps, lit = np.zeros((time, len(people), 15), np.float32), np.zeros(len(people), np.bool_)
    finite, first = _write_lenses(viewmats, Ks, lenses), 0
    for index, person in enumerate(people):
        T = person.T_world_rest.contiguous().numpy(force=True)
        finite &= _turn_joints(T, viewmats, first, joints)
        first += T.shape[1]
        if person.light is not None and person.normals is not None:
            lamps[:, index], lit[index] = _lamp(person.light, viewmats[:, :3, :3]), True
    return Views(joints=joints, lenses=lenses, lamps=lamps, lit=lit), finite


@no_type_check
@numba.njit(nogil=True, cache=True)
def _write_lenses(viewmats, Ks, lenses):
    """Write focal lengths, principal points and translations; whether views and intrinsics can be rendered."""
    total, shortest = 0.0, 1.0
    for t in range(len(viewmats)):
        lenses[t, 0], lenses[t, 1], lenses[t, 2], lenses[t, 3] = Ks[t, 0, 0], Ks[t, 1, 1], Ks[t, 0, 2], Ks[t, 1, 2]
        lenses[t, 4], lenses[t, 5], lenses[t, 6] = viewmats[t, 0, 3], viewmats[t, 1, 3], viewmats[t, 2, 3]
        shortest = min(shortest, min(Ks[t, 0, 0], Ks[t, 1, 1]))
        for r in range(4):
            for c in range(4):
                total += viewmats[t, r, c] - viewmats[t, r, c] + (Ks[t, r, c] - Ks[t, r, c] if max(r, c) < 3 else 0.0)
    return total == 0 and shortest > 0


@no_type_check
@numba.njit(nogil=True, cache=True)
def _turn_joints(T, viewmats, first, joints):
    """Write rest to world of all joints, rotated into camera axes, from a joint on; whether all is finite."""
    total = np.float64(0)
    for t in range(T.shape[0]):
        for j in range(T.shape[1]):
            at = 12 * (first + j)
            for r in range(3):
                for c in range(4):
                    value = viewmats[t, r, 0] * T[t, j, 0, c] + viewmats[t, r, 1] * T[t, j, 1, c]
                    value += viewmats[t, r, 2] * T[t, j, 2, c]
                    joints[t, at + 4 * r + c] = value
                    # A difference of what is not finite is NaN, which no sum gets rid of.
                    total += value - value
            for c in range(4):
                total += T[t, j, 3, c] - T[t, j, 3, c]
    return total == 0


def _lamp(light: Light | None, rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """A light in camera axes, [time, 15]: direction towards it, up, key, sky, ground."""
    lamp = np.zeros((len(rotations), 15))
    if light is not None:
        direction = np.asarray(light.direction, np.float64)
        lamp[:, 0:3] = rotations @ (direction / max(float(np.linalg.norm(direction)), 1e-6))
        lamp[:, 3:6] = rotations[:, :, 1]
        lamp[:, 6:] = [*light.key, *light.sky, *light.ground]
    return lamp


_VERSION, _referent = operator.attrgetter("_version"), operator.methodcaller("__call__")
_MAX_PREPARED = 64
"""People that are kept prepared: more than a training run revisits. A person of 8,000 Gaussians takes 1 MB."""
_prepared_people: dict[tuple[int, ...], tuple[tuple["weakref.ref[torch.Tensor]", ...], tuple[int, ...], Rest]] = {}


def _prepare_once(person: Gaussians) -> Rest:
    """Return the person's Gaussians in the kernels' layout, prepared once for as long as the same tensors are passed.

    A tensor that was changed in place counts as another one (torch keeps a version number for autograd).
    """
    normals = person.means if person.normals is None else person.normals
    tensors = (person.means, person.quats, person.scales, person.opacities, person.colors, person.joint_ids,
               person.weights, normals)  # fmt: skip
    key = (person.T_world_rest.shape[1], person.normals is None, *map(id, tensors))
    versions = tuple(map(_VERSION, tensors))
    found = _prepared_people.get(key)
    if found and found[1] == versions and all(map(operator.is_, map(_referent, found[0]), tensors)):
        return found[2]
    rest = _prepare(person)
    for old in [k for k, (refs, _, _) in list(_prepared_people.items()) if any(ref() is None for ref in refs)]:
        _prepared_people.pop(old, None)
    for old in list(_prepared_people)[: max(0, len(_prepared_people) - _MAX_PREPARED + 1)]:
        _prepared_people.pop(old, None)
    _prepared_people[key] = (tuple(map(weakref.ref, tensors)), versions, rest)
    return rest


def _prepare(person: Gaussians) -> Rest:
    """Check Gaussians, sort them by joints, pad to blocks of 16, and list each block's joints and their weights.

    Raises:
        ValueError: As `check_rest`.
    """
    if _is_rigid(person):
        return _prepare_rigid(person)
    check_rest(person)
    count, k = person.joint_ids.shape
    ids = person.joint_ids.numpy(force=True).astype(np.int64)
    weights = person.weights.numpy(force=True).astype(np.float32)
    strongest = (
        np.take_along_axis(ids, weights.argmax(axis=1)[:, None], axis=1) if k else np.zeros((count, 1), np.int64)
    )
    used = np.sort(np.where(weights != 0, ids, strongest), axis=1)
    order = np.lexsort((*used.T[::-1], strongest[:, 0]))
    blocks = -(-count // LANES)

    def pad(rows: NDArray[np.floating]) -> NDArray[np.float32]:
        full = np.zeros((blocks * LANES, rows.shape[1]), np.float32)
        full[:count] = rows[order]
        return full

    M = quat_to_matrix(person.quats) * person.scales[:, None, :]
    S = (M @ M.mT).numpy(force=True).astype(np.float32)[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    means = person.means.numpy(force=True)
    normals = np.zeros_like(means) if person.normals is None else person.normals.numpy(force=True)
    floats = pad(np.column_stack([means, S, person.opacities.numpy(force=True), normals]))
    starts, joints, shares = _entries(ids[order], weights[order], blocks)
    return Rest(
        floats=_planar(floats),
        starts=starts,
        joints=joints,
        weights=shares,
        colors=_planar(pad(person.colors.numpy(force=True))),
        labels=pad(1.0 + strongest).ravel(),
        owners=np.zeros(blocks, np.int64),
        slots=np.argsort(order),
    )


def _is_rigid(person: Gaussians) -> bool:
    """Whether this is a thing or a seat, which one joint moves, and has a row for each Gaussian in every field."""
    count = len(person.means)
    shapes = {"means": (count, 3), "quats": (count, 4), "scales": (count, 3), "opacities": (count,),
              "colors": (count, 3), "weights": (count, 1), "joint_ids": (count, 1)}  # fmt: skip
    return (
        person.T_world_rest.shape[1] == 1
        and all(getattr(person, name).shape == shape for name, shape in shapes.items())
        and (person.normals is None or person.normals.shape == (count, 3))
    )


def _prepare_rigid(person: Gaussians) -> Rest:
    """The same of what one joint moves: it is in order as it comes, and checked as it is filled in."""
    count = len(person.means)
    blocks = -(-count // LANES)
    floats, colors = np.empty((blocks, 13, LANES), np.float32), np.zeros((blocks, 3, LANES), np.float32)
    weights = np.zeros((blocks, SLOTS, LANES), np.float32)
    shape = (person.means, person.quats, person.scales, person.opacities, person.colors, person.weights)
    normals = torch.zeros_like(person.means) if person.normals is None else person.normals
    arrays = tuple(np.ascontiguousarray(part.numpy(force=True), np.float32) for part in (*shape, normals))
    if not fill_rigid(arrays, (floats, colors, weights)) or bool(person.joint_ids.any()):
        check_rest(person)  # which says what is wrong
    labels = np.zeros(blocks * LANES, np.float32)
    labels[:count] = 1.0
    return Rest(
        floats=floats.ravel(),
        starts=np.arange(blocks + 1) * SLOTS,
        joints=np.zeros(blocks * SLOTS, np.int64),
        weights=weights.ravel(),
        colors=colors.ravel(),
        labels=labels,
        owners=np.zeros(blocks, np.int64),
        slots=np.arange(count),
    )


def _planar(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of Gaussians as [block, column, 16], flat."""
    return np.ascontiguousarray(rows.reshape(-1, LANES, rows.shape[1]).transpose(0, 2, 1)).ravel()


def _entries(
    ids: NDArray[np.int64], weights: NDArray[np.float32], blocks: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Starts, joints and weights of each block; a block has at least SLOTS joints."""
    count, k = ids.shape
    block, lane = np.divmod(np.arange(count).repeat(k), LANES)
    entered = weights.ravel() != 0
    stride = int(ids.max(initial=0)) + 1
    pairs, entry = np.unique((block * stride + ids.ravel())[entered], return_inverse=True)
    owner = pairs // stride
    given = np.bincount(owner, minlength=blocks)
    starts = np.concatenate([[0], np.cumsum(np.maximum(given, SLOTS))])
    # The place of each pair: its rank within its block, after the padding of the blocks before.
    place = starts[owner] + np.arange(len(pairs)) - np.concatenate([[0], np.cumsum(given)])[owner]
    joints = np.zeros(starts[-1], np.int64)
    joints[place] = pairs % stride
    spots = place[entry.reshape(-1)] * LANES + lane[entered]
    shares = np.bincount(spots, weights.ravel()[entered], int(starts[-1]) * LANES)
    return starts.astype(np.int64), joints, shares.astype(np.float32)


def _join(people: Sequence[Gaussians]) -> Rest:
    """The Gaussians of all people, prepared."""
    if len(people) == 1:
        return _prepare_once(people[0])
    return _concatenate([_prepare_once(person) for person in people], [p.T_world_rest.shape[1] for p in people])


def _concatenate(people: Sequence[Rest], joints: Sequence[int]) -> Rest:
    """Join several people into one set of Gaussians, so that one depth order decides who hides whom."""
    places = np.cumsum([0, *(len(person.labels) for person in people)])
    entries = np.cumsum([0, *(len(person.joints) for person in people)])
    moved = np.cumsum([0, *joints])
    starts = [person.starts[:-1] + entries[i] for i, person in enumerate(people)]
    return Rest(
        floats=np.concatenate([person.floats for person in people]),
        starts=np.concatenate([*starts, entries[-1:]]),
        joints=np.concatenate([person.joints + moved[i] for i, person in enumerate(people)]),
        weights=np.concatenate([person.weights for person in people]),
        colors=np.concatenate([person.colors for person in people]),
        labels=np.concatenate([person.labels + np.float32(moved[i]) for i, person in enumerate(people)]),
        owners=np.concatenate([person.owners + i for i, person in enumerate(people)]),
        slots=np.concatenate([person.slots + places[i] for i, person in enumerate(people)]),
    )
