"""Film a synthetic clip beside the clip that it re-enacts and the motion that was found there, in step."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from synthaug.body.skeleton import joint_positions, mean_skeleton, resample
from synthaug.files import write_atomic
from synthaug.runs.inspection import crop_to_people, paint_people
from synthaug.structures import Recipe, Record, Reference
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.staging import camera_at
from synthaug.video import indices_at, probe, read_frames, write_video

SIDE = 160
"""Side of a picture, pixels; a film has three beside each other."""
_ROOM, _DIM = 1.9, 0.45
"""How much of the film around people is shown, in their extents; brightness of the film under a motion."""
_CRF = 24
"""Small, and still without visible blocks at this size."""


def paint_triptych(
    synthesizer: Synthesizer, recipe: Recipe, *, side: int = SIDE
) -> UInt8[Tensor, "time 3 height width"]:
    """The film, the motion found in it, and the synthetic clip, left to right, at the same instants.

    Where the performance varies in tempo, film and motion are shown at the moments that the clip shows. Both are
    cropped to the people. The motion of a stranger is in no film; it is painted over that of the filmed person.

    Args:
        synthesizer: Of the run that the recipe is of.
        recipe: The clip.
        side: Side of a picture, pixels.
    """
    actor, references = recipe.actors[0], synthesizer.references
    reference = references.by_key[actor.motion]
    record = next(one for one in references.records if one.key == actor.motion)
    times = recipe.start + torch.arange(recipe.num_frames, dtype=torch.float64) / recipe.fps
    shown = synthesizer.synthesis.variation.seconds(reference.motion, actor.variation, times)
    joints = [joint_positions(resample(motion, shown), mean_skeleton()) for motion in reference.people]
    camera = camera_at(reference, shown, (reference.camera.height, reference.camera.width))
    crop = crop_to_people(torch.cat(joints, dim=1), camera, side, room=_ROOM)
    film = crop.film(_read_film(record, reference, shown), side)
    motion = paint_people((film * _DIM).to(torch.uint8), joints, crop.camera(camera, side))
    clip = _resize(synthesizer.render(recipe).video, side)
    return torch.cat([film, motion, clip], dim=3)


def _read_film(
    record: Record, reference: Reference, seconds: Float[Tensor, " time"]
) -> UInt8[Tensor, "time 3 height width"]:
    """The film at these seconds of the motion, looped as the motion is, in the size of the reference's camera."""
    info = probe(record.path)
    begin = record.start + reference.notes.get("offset", 0.0)
    times = begin + torch.remainder(seconds, reference.motion.duration)
    size = (reference.camera.height, reference.camera.width)
    return read_frames(record.path, indices_at(info, times.tolist()), info=info, size=size)


def _resize(video: UInt8[Tensor, "time 3 height width"], side: int) -> UInt8[Tensor, "time 3 side side"]:
    """The whole picture in a square of this side; dark bars beside what is not square."""
    height, width = video.shape[2:]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    result = np.zeros((len(video), side, side, 3), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    for row, frame in zip(result, video.permute(0, 2, 3, 1).numpy(), strict=True):
        row[top : top + size[1], left : left + size[0]] = cv2.resize(
            np.ascontiguousarray(frame), size, interpolation=how
        )
    return torch.from_numpy(result).permute(0, 3, 1, 2).contiguous()


class FilmJobs(Dataset):
    """Clips to film, for a DataLoader's processes; an item is whether anything had to be done.

    Args:
        synthesizer: Of the run that the recipes are of.
        recipes: The clips.
        folder: Where `<digest>.mp4` and `<digest>.json`, the recipe, are written. A film that is there is kept.
    """

    def __init__(self, synthesizer: Synthesizer, recipes: Sequence[Recipe], folder: Path) -> None:
        self._synthesizer, self._recipes, self._folder = synthesizer, list(recipes), folder

    def __len__(self) -> int:
        return len(self._recipes)

    def __getitem__(self, index: int) -> bool:
        recipe = self._recipes[index]
        film = self._folder / f"{recipe.digest}.mp4"
        if film.exists():
            return False
        write_atomic(film.with_suffix(".json"), f"{recipe.to_json()}\n".encode())
        video = paint_triptych(self._synthesizer, recipe)
        write_video(film, video, fps=recipe.fps, crf=_CRF, metadata={"comment": recipe.to_json()})
        return True
