"""Read a film for its empty scene: which frames, and where the people in them are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int

from synthaug.backgrounds.plate.removal import REACH, Samples, Uncovered, remove_people
from synthaug.backgrounds.plate.silhouettes import Body, Segmenter, add_changes, outline_people, shows_anybody
from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.structures import Record, Reference
from synthaug.video import VideoInfo, indices_at, read_frames

MAX_SIDE = 544
"""Shorter side in pixels above which plates are made smaller: enough for clips of 512 and their crops."""
FREE = 0.01
"""Share of the picture that wide tubes around people may leave covered before silhouettes are looked for: those show
more of a place, and take a network."""

Film = Sequence[tuple[Record, Reference]]
"""The records of one file, each with the motion and camera found in it. `Reference.others` are seen too."""


@dataclass(frozen=True)
class Effort:
    """How a film is looked at.

    Attributes:
        samples: Frames in which people's places are known, and as many others.
        max_shift: Largest motion of the camera, pixels at a width of 320.
        silhouettes: What finds them: "mediapipe", or "tubes" around the bones.
    """

    samples: int
    max_shift: float
    silhouettes: str


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """Where people are in some frames of a film.

    Attributes:
        indices: Frames of the file, ascending.
        masks: The people, what they hold and their shadows.
        seen: Whether the network found the people where their motions have them; true where there is none to ask.
    """

    indices: Int[np.ndarray, " frame"]
    masks: Bool[np.ndarray, "frame height width"]
    seen: Bool[np.ndarray, " frame"]


def uncover(path: Path, film: Film, info: VideoInfo, effort: Effort, segmenter: Segmenter | None) -> Uncovered:
    """What the intervals of a file show of their place behind the people.

    Raises:
        PlateError: If the camera moves.
        VideoError: If the file cannot be read.
    """
    size = plate_size(info)
    known = np.unique(np.concatenate([film_indices(part, info) for part in performances(film)]))
    shown = np.unique(np.concatenate([_record_indices(record, info) for record, _ in film]))
    unknown = np.setdiff1d(shown, known)
    picked = [_choose_evenly(indices, effort.samples) for indices in (known, unknown)]
    frames = read_frames(path, [*picked[0], *picked[1]], info=info, size=size).permute(0, 2, 3, 1).numpy()
    middle = len(picked[0])
    bodies = find_bodies(film, info, picked[0], size)
    tubes = np.stack([mask_bodies(people, size, REACH) for people in bodies])
    samples = Samples(frames[:middle], tubes, frames[middle:])
    found = remove_people(samples, max_shift=effort.max_shift)
    if segmenter is None or found.hole.mean() <= FREE:
        return found
    seen_by = zip(samples.frames, bodies, strict=True)
    outlines = [outline_people(frame, people, segmenter)[0] for frame, people in seen_by]
    # Close silhouettes leave holes in which somebody may be unseen in frames about which nothing is known.
    nearest = [bodies[int(np.abs(np.array(picked[0]) - index).argmin())] for index in picked[1]]
    empty = [not shows_anybody(frame, people, segmenter) for frame, people in zip(samples.others, nearest, strict=True)]
    samples = replace(samples, others=samples.others[np.array(empty, np.bool_)])
    seen = remove_people(replace(samples, people=np.stack(outlines)), max_shift=effort.max_shift)
    # A first picture shows what was missed: things in hands, and shadows.
    parts = zip(samples.frames, outlines, bodies, strict=True)
    refined = np.stack([add_changes(frame, people, body, seen) for frame, people, body in parts])
    return remove_people(replace(samples, people=refined), max_shift=effort.max_shift)


def find_silhouettes(
    path: Path, film: Film, info: VideoInfo, scene: Uncovered, segmenter: Segmenter | None
) -> Silhouettes:
    """The performers of a file's performances, what they hold, and their shadows, in every frame of these.

    Args:
        path: The file.
        film: Its records and motions.
        info: What `probe` says of it.
        scene: Its place without people, of the size of plates.
        segmenter: Finds silhouettes; None takes wide tubes around bones.
    """
    size = scene.hole.shape
    spans = [film_indices(part, info) for part in performances(film)]
    indices = [int(i) for i in np.unique(np.concatenate([np.arange(at[0], at[-1] + 1) for at in spans]))]
    masks = np.zeros((len(indices), *size), np.bool_)
    bodies = find_bodies(film, info, indices, (size[0], size[1]))
    seen = np.ones(len(indices), np.bool_)
    for first in range(0, len(indices), _CHUNK):
        part = slice(first, first + _CHUNK)
        frames = read_frames(path, indices[part], info=info, size=(size[0], size[1])).permute(0, 2, 3, 1).numpy()
        for k, (frame, people) in enumerate(zip(frames, bodies[part], strict=True), start=first):
            if segmenter is None:
                masks[k] = mask_bodies(people, (size[0], size[1]), REACH)
            else:
                masks[k], seen[k] = outline_people(frame, people, segmenter)
            masks[k] = add_changes(frame, masks[k], people, scene)
    return Silhouettes(np.array(indices), masks, seen)


_CHUNK = 32
"""Frames decoded at once: 29 MB at 640 x 480."""


def performances(film: Film) -> list[tuple[Record, Reference]]:
    """Each performance of the film with the record that shows it."""
    return [(record, one) for record, reference in film for one in (reference, *reference.others)]


def plate_size(info: VideoInfo) -> tuple[int, int]:
    """Height and width of a film's plate."""
    scale = min(MAX_SIDE / min(info.height, info.width), 1.0)
    return round(info.height * scale), round(info.width * scale)


def film_indices(part: tuple[Record, Reference], info: VideoInfo) -> Int[np.ndarray, " time"]:
    """The frame of the file in which each frame of a motion was seen."""
    record, reference = part
    # Motion sources note how many seconds of a bad beginning they cut off.
    start = record.start + reference.notes.get("offset", 0.0)
    times = start + np.arange(reference.motion.num_frames) / reference.motion.fps
    return np.array(indices_at(info, [float(time) for time in times]))


def _record_indices(record: Record, info: VideoInfo) -> Int[np.ndarray, " index"]:
    """The frames of a record's interval."""
    first, after = (int(index) for index in indices_at(info, [record.start, record.end]))
    # An interval that ends with the film ends with its last frame, and others before the frame of their end.
    return np.arange(first, after if record.end < info.duration else info.num_frames)


def _choose_evenly(indices: Int[np.ndarray, " index"], count: int) -> list[int]:
    """At most `count` of these, evenly spaced."""
    places = np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int))
    return [int(index) for index in indices[places]]


def mask_bodies(bodies: Sequence[Body], size: tuple[int, int], reach: float) -> Bool[np.ndarray, "height width"]:
    """All within `reach` metres of the bones of any of these people."""
    people = np.zeros(size, np.bool_)
    for body in bodies:
        people |= body.mask(size, reach)
    return people


def find_bodies(film: Film, info: VideoInfo, indices: Sequence[int], size: tuple[int, int]) -> list[list[Body]]:
    """The people of all motions in each of these frames, as a picture of this height and width shows them."""
    found: list[list[Body]] = [[] for _ in indices]
    for part in performances(film):
        camera = part[1].camera.scaled(height=size[0], width=size[1])
        at = film_indices(part, info)
        inside = [k for k, index in enumerate(indices) if at[0] <= index <= at[-1]]
        if not inside:
            continue
        nearest = torch.tensor([int(np.abs(at - indices[k]).argmin()) for k in inside])
        # A motion may have more frames than its camera, where that stands still.
        views = nearest.clamp(max=len(camera.viewmats) - 1)
        viewmats, Ks = camera.viewmats[views], camera.Ks[views]
        for motion in part[1].people:
            joints = joint_positions(motion, mean_skeleton())[nearest]
            seen = torch.einsum("tij,tkj->tki", viewmats[:, :3, :3], joints) + viewmats[:, None, :3, 3]
            depth = seen[..., 2:]
            pixels = torch.einsum("tij,tkj->tki", Ks, seen / depth.clamp(min=0.05))[..., :2].double().numpy()
            scales = (Ks[:, 0, 0][:, None] / depth[..., 0]).double().numpy()
            for k, where, size_of in zip(inside, pixels, scales, strict=True):
                found[k].append(Body(where, size_of))
    return found
