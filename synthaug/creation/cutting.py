"""Choose the frames of identity film that teach most, and cut them to the person."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.creation import CreationError, Cutouts
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import VideoInfo, indices_at, probe, read_frames

_BODY = 22
MARGIN = 0.25
"""Metres of flesh, hair, shoes and clothes around the joints, on each side."""
_INSIDE = 0.85
"""Share of the joints that must lie in the picture."""
_MIN_STATURE = 60.0
"""Pixels of a person's height below which film shows no more than a blur."""
_CHUNK = 32


@dataclass(frozen=True)
class Choice:
    """Which frames are taken.

    Attributes:
        frames: At most how many; the published optimum is 320.
        side: Side of a cutout, pixels.
    """

    frames: int = 320
    side: int = 256


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Frames of all films in which the person was found.

    Attributes:
        motion: Poses.
        camera: Views of whole frames; all of one size.
        film: Which file.
        indices: Which frame.
        times: Seconds into the file.
        joints: Pixels of the body's joints.
        depth: Metres from the camera to the pelvis.
    """

    motion: Motion
    viewmats: Float[Tensor, "frame 4 4"]
    Ks: Float[Tensor, "frame 3 3"]
    film: NDArray[np.int64]
    indices: NDArray[np.int64]
    times: NDArray[np.float64]
    joints: NDArray[np.float64]
    depth: NDArray[np.float64]


def cut_films(films: Sequence[tuple[Record, Reference]], choice: Choice) -> Cutouts:
    """The best frames of one person's films, in the order of films and times.

    Args:
        films: Each with the motion and camera found in it. Further performances (`Reference.others`) count too.
        choice: How many, and how large.

    Raises:
        CreationError: If no frame shows the person well.
    """
    paths = tuple(dict.fromkeys(record.path for record, _ in films))
    infos = {path: probe(path) for path in paths}
    found = _collect(films, paths, infos)
    fits = _judge(found, [infos[path] for path in paths])
    rows = np.flatnonzero(fits)
    if len(rows) < 8:
        raise CreationError(
            f"Expected at least 8 frames that show one person of {_MIN_STATURE:.0f} pixels or more from head to foot "
            f"in {', '.join(path.name for path in paths)}, got {len(rows)} of {len(fits)}. Film the person nearer, "
            "whole, and alone."
        )
    rows = rows[spread_out(_describe(found)[rows], choice.frames)]
    return _cut(found, rows, paths, infos, choice.side)


def _collect(
    films: Sequence[tuple[Record, Reference]], paths: tuple[Path, ...], infos: dict[Path, VideoInfo]
) -> _Candidates:
    poses, transl, viewmats, Ks, film, indices, times = [], [], [], [], [], [], []
    for record, reference in films:
        info = infos[record.path]
        for one in (reference, *reference.others):
            motion, count = one.motion, one.motion.num_frames
            start = record.start + one.notes.get("offset", 0.0)
            at = start + np.arange(count) / motion.fps
            camera = one.camera.scaled(height=info.height, width=info.width)
            views = torch.arange(count).clamp(max=len(camera.viewmats) - 1)
            poses.append(motion.pose)
            transl.append(motion.transl)
            viewmats.append(camera.viewmats[views])
            Ks.append(camera.Ks[views])
            film.append(np.full(count, paths.index(record.path)))
            indices.append(np.array(indices_at(info, [float(time) for time in at])))
            times.append(at)
    motion = Motion.from_pose(torch.cat(poses), torch.cat(transl), fps=films[0][1].motion.fps)
    R, lenses = torch.cat(viewmats), torch.cat(Ks)
    places = joint_positions(motion, mean_skeleton())[:, :_BODY]
    pixels, depth = project(places, R, lenses)
    return _Candidates(
        motion, R, lenses, np.concatenate(film), np.concatenate(indices), np.concatenate(times),
        pixels.double().numpy(), depth[:, 0].double().numpy(),
    )  # fmt: skip


def project(
    places: Float[Tensor, "frame point 3"], viewmats: Float[Tensor, "frame 4 4"], Ks: Float[Tensor, "frame 3 3"]
) -> tuple[Float[Tensor, "frame point 2"], Float[Tensor, "frame point"]]:
    """Pixels of points in each frame, and their depth in metres."""
    seen = torch.einsum("tij,tkj->tki", viewmats[:, :3, :3], places) + viewmats[:, None, :3, 3]
    depth = seen[..., 2]
    return torch.einsum("tij,tkj->tki", Ks, seen / depth.clamp(min=0.05)[..., None])[..., :2], depth


def _judge(found: _Candidates, infos: list[VideoInfo]) -> NDArray[np.bool_]:
    """Which frames show the whole person, large enough; one row for each frame of a film."""
    sizes = np.array([[infos[film].width, infos[film].height] for film in found.film])
    inside = ((found.joints >= 0) & (found.joints < sizes[:, None])).all(-1).mean(1)
    focal = found.Ks[:, 0, 0].double().numpy()
    stature = 1.6 * focal / np.maximum(found.depth, 0.1)
    fits = (inside >= _INSIDE) & (stature >= _MIN_STATURE) & (found.depth > 0.3)
    keys = found.film * 10**9 + found.indices
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return np.asarray(fits & first)


def _describe(found: _Candidates) -> NDArray[np.float64]:
    """What makes frames different: joints about the pelvis as the camera sees them, metres."""
    places = joint_positions(found.motion, mean_skeleton())[:, :_BODY]
    about = torch.einsum("tij,tkj->tki", found.viewmats[:, :3, :3], places - places[:, :1])
    return np.asarray(about.reshape(len(about), -1).double().numpy())


def spread_out(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Rows of at most `count` points, ascending: each next one is farthest from those before it (Gonzalez 1985)."""
    if len(points) <= count:
        return np.arange(len(points))
    chosen = [len(points) // 2]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.sort(np.array(chosen))


def _cut(
    found: _Candidates, rows: NDArray[np.int64], paths: tuple[Path, ...], infos: dict[Path, VideoInfo], side: int
) -> Cutouts:
    focal = found.Ks[:, 0, 0].double().numpy()
    margin = MARGIN * focal[rows] / found.depth[rows]
    low, high = found.joints[rows].min(1) - margin[:, None], found.joints[rows].max(1) + margin[:, None]
    middle, wide = (low + high) / 2, (high - low).max(1)
    scales = side / wide
    corners = middle - wide[:, None] / 2
    pictures = torch.zeros(len(rows), 3, side, side, dtype=torch.uint8)
    for number, path in enumerate(paths):
        own = np.flatnonzero(found.film[rows] == number)
        for first in range(0, len(own), _CHUNK):
            part = own[first : first + _CHUNK]
            frames = read_frames(path, [int(found.indices[rows[k]]) for k in part], info=infos[path])
            for k, frame in zip(part, frames, strict=True):
                picture = frame.permute(1, 2, 0).numpy()
                pictures[k] = torch.from_numpy(cut_square(picture, corners[k], scales[k], side)).permute(2, 0, 1)
    Ks = found.Ks[rows].clone()
    Ks[:, :2, 2] -= torch.from_numpy(corners).to(Ks)
    Ks[:, :2] *= torch.from_numpy(scales).to(Ks)[:, None, None]
    motion = Motion.from_pose(found.motion.pose[rows], found.motion.transl[rows], fps=found.motion.fps)
    return Cutouts(
        pictures=pictures,
        camera=Camera(found.viewmats[rows], Ks, side, side),
        motion=motion,
        films=paths,
        film=torch.from_numpy(found.film[rows]),
        indices=torch.from_numpy(found.indices[rows]),
        times=torch.from_numpy(found.times[rows]).float(),
        corners=torch.from_numpy(corners).float(),
        scales=torch.from_numpy(scales).float(),
        inside=torch.from_numpy(_mark_inside(corners, scales, side, [infos[paths[k]] for k in found.film[rows]])),
    )


def _mark_inside(
    corners: NDArray[np.float64], scales: NDArray[np.float64], side: int, infos: list[VideoInfo]
) -> NDArray[np.bool_]:
    """Pixels of each cutout that lie in the picture of its film."""
    middles = np.arange(side) + 0.5
    x, y = (corners[:, k, None] + middles / scales[:, None] for k in (0, 1))
    across = (x >= 0) & (x < np.array([info.width for info in infos])[:, None])
    down = (y >= 0) & (y < np.array([info.height for info in infos])[:, None])
    return np.asarray(down[:, :, None] & across[:, None, :])


def cut_square(picture: NDArray[np.uint8], corner: NDArray[np.float64], scale: float, side: int) -> NDArray[np.uint8]:
    """The square of a picture whose left upper edge is at `corner`, scaled to `side`; edges are repeated outside."""
    # Pixel centres lie at half-integers on both sides.
    shift = -corner * scale + 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    # warpAffine does not average, so what is made smaller is blurred first.
    sigma = 0.5 * (1 / scale - 1)
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.2 else picture
    moved = cv2.warpAffine(blurred, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
