"""Read a few frames of the training films as a recognizer sees them, and measure what their cameras left in them."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.compositing.figures import Figures, measure, measure_blocks, to_luma
from synthaug.compositing.silhouettes import mask_people
from synthaug.files import digest_of, first_state, motion_digest, write_atomic
from synthaug.progress import track
from synthaug.structures import ClipFormat, Record, Reference
from synthaug.video import VideoError, clip_times, indices_at, picture_notes, probe, read_frames

_VERSION = 1
"""Raise when the same film would give other figures."""
_FRAMES = 8
"""Frames of a film that are measured; at most those of a clip."""

Film = tuple[Record, Reference]


@dataclass(frozen=True)
class FilmLook:
    """What the camera of one film left in it.

    Attributes:
        camera: Name of the camera; empty where unknown.
        figures: Of a clip of it.
        blocks: How strongly 8 x 8 blocks show in the file's own pixels, see `measure_blocks`.
        scale: Pixels of a clip for one of the file.
        fps: Frames per second of the file.
    """

    camera: str
    figures: Figures
    blocks: float
    scale: float
    fps: float


def measure_films(films: Sequence[Film], clip: ClipFormat, *, count: int, cache: Path) -> list[FilmLook]:
    """Measure these films, or as many of them, evenly over their cameras; those that cannot be read are left out.

    Args:
        films: Records with the motion found in them.
        clip: Format of the clips.
        count: How many films are measured at most.
        cache: Folder that keeps the figures between runs.
    """
    looks = (_find_look(record, reference, clip, cache) for record, reference in choose_films(films, count))
    return [look for look in track(looks, "Measuring film", min(count, len(films))) if look is not None]


def choose_films(films: Sequence[Film], count: int) -> list[Film]:
    """At most `count` films: evenly many of each camera, evenly over its films in the order of their keys."""
    cameras: dict[str, list[Film]] = {}
    for film in sorted(films, key=lambda film: film[0].key):
        cameras.setdefault(film[0].camera, []).append(film)
    each = max(1, count // max(len(cameras), 1))
    chosen = []
    for name in sorted(cameras)[:count]:
        own = cameras[name]
        places = np.unique(np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(int))
        chosen += [own[place] for place in places]
    return chosen


def near_people(reference: Reference, times: Sequence[float], size: int) -> Bool[np.ndarray, "time height width"]:
    """Where the people of a film are at these seconds of their motion, in a square picture of this side."""
    motion, camera = reference.motion, reference.camera.scaled(height=size, width=size)
    frames = torch.tensor([round(time * motion.fps) for time in times]).clamp(0, motion.num_frames - 1)
    views = frames.clamp(max=len(camera.viewmats) - 1)
    view = replace(camera, viewmats=camera.viewmats[views], Ks=camera.Ks[views])
    return mask_people([joint_positions(one, mean_skeleton())[frames] for one in reference.people], view)


def _find_look(record: Record, reference: Reference, clip: ClipFormat, cache: Path) -> FilmLook | None:
    """The look of one film, from the cache or measured now; None if it cannot be read."""
    try:
        size, changed = map(int, first_state(record.path, cache / "states").split(":"))
        what = repr((_VERSION, record.start, record.end, clip, size, changed))
        what += picture_notes(record.path)
        name = digest_of(record.path.name, what, *map(motion_digest, reference.people), reference.camera.viewmats)
        note = cache / name[:2] / f"{name}.json"
        kept = _read_note(note, record.camera)
        if kept is None:
            kept = _measure_film(record, reference, clip)
            about = {
                "figures": kept.figures.to_plain(), "blocks": kept.blocks, "scale": kept.scale, "fps": kept.fps,
            }  # fmt: skip
            write_atomic(note, json.dumps(about, sort_keys=True).encode())
    except (VideoError, OSError):
        return None
    return kept


def _read_note(note: Path, camera: str) -> FilmLook | None:
    """What the cache holds; nothing if it cannot be trusted."""
    try:
        about = json.loads(note.read_text())
        figures = Figures.from_plain(about["figures"])
        return FilmLook(camera, figures, float(about["blocks"]), float(about["scale"]), float(about["fps"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measure_film(record: Record, reference: Reference, clip: ClipFormat) -> FilmLook:
    """Measure a film where its person is first seen, as the data module would cut a clip there."""
    info, start = probe(record.path), reference.notes.get("offset", 0.0)
    length = record.end - record.start
    # A looped clip would jump; the motion's own length is where its person is known.
    seconds = min(length - start, reference.motion.duration)
    count = max(1, min(_FRAMES, clip.num_frames, math.ceil(seconds * clip.fps - 1e-6)))
    spare = max(seconds - count / clip.fps, 0.0) / 2
    times, _ = clip_times(record.start, record.end, offset=start + spare, fps=clip.fps, num_frames=count)
    indices = indices_at(info, times)
    video = read_frames(record.path, indices, info=info, size=(clip.size, clip.size))
    near = near_people(reference, [spare + k / clip.fps for k in range(count)], clip.size)
    blocks = measure_blocks(to_luma(read_frames(record.path, [indices[count // 2]], info=info)))
    scale = clip.size / min(info.height, info.width)
    return FilmLook(record.camera, measure(video, near), blocks, scale, info.fps)
