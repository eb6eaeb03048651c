"""Clips by ticket, one at a time: filmed ones cut out of their films, synthetic ones made of their recipes.

Between the data module, which says which clips there are, and its loaders' processes, which ask for them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from synthaug.datamodule.gpu import Undrawn, packed
from synthaug.datamodule.memory import finished_clips, held
from synthaug.datamodule.order import Ticket
from synthaug.structures import Clip, ClipFormat, Recipe, Record, Rendering, Values
from synthaug.synthesis.synthesizer import Synthesizer
from synthaug.video import read_clip

if TYPE_CHECKING:
    from synthaug.datamodule.module import SynthAugDataModule

_WINDOW = 12
"""Stream of chance of windows and augmentation."""


class FilmedClips(Dataset):
    """Held-out clips: the middle of each interval, or windows from its start to its end; looped where it is short.

    Args:
        records: Which intervals, in which order.
        clip: How clips are cut.
        windows: Clips of each interval that is a frame longer than one, evenly spread; a single one is the middle.
        memory_mb: Films are kept in memory if all of them fit into this.
    """

    def __init__(
        self, records: tuple[Record, ...], clip: ClipFormat, *, windows: int = 1, memory_mb: float = 0.0
    ) -> None:
        self.clip = clip
        shares = [0.5] if windows == 1 else np.linspace(0.0, 1.0, windows).tolist()
        # Less room than a frame shows the same frames again.
        longer = {record: _spare(record, clip) * clip.fps >= 1 for record in records}
        self.cuts = tuple((record, share) for record in records for share in (shares if longer[record] else [0.5]))
        self.held = held(records, size=(clip.size, clip.size), limit_mb=memory_mb)

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, ticket: Ticket) -> dict[str, Tensor | int | str]:
        record, share = self.cuts[ticket[1]]
        return _sample(_window(record, self.clip, share, self.held))


class TrainingClips(Dataset):
    """Training clips by ticket: filmed ones at a window drawn for the epoch, then synthetic ones.

    Args:
        data: The data module, after `setup`.
    """

    def __init__(self, data: "SynthAugDataModule") -> None:
        self.records = data.split.train
        self.clip = data.clip
        self.seed = data.seed
        self.augmentation = data.augmentation
        self.images = data.mirror_labels
        self.synthesizer = data.synthesizer
        self.resample_every = 0 if data.synth is None else data.synth.resample_every
        size = (self.clip.size, self.clip.size)
        self.held = held(self.records, size=size, limit_mb=data.loading.memory_mb)
        # Of a set that is drawn anew, or by workers that are not forked, nothing would be found again.
        shared = data.loading.num_workers == 0 or data.loading.start_method == "fork"
        limit = 0.0 if self.resample_every or not shared else data.loading.memory_mb
        self.finished = finished_clips(self.num_synthetic, self.clip, limit_mb=limit)

    @property
    def num_filmed(self) -> int:
        """Filmed clips, at the first indices."""
        return len(self.records)

    @property
    def num_synthetic(self) -> int:
        """Synthetic clips, at the indices that follow."""
        return 0 if self.synthesizer is None else len(self.synthesizer)

    def __len__(self) -> int:
        return self.num_filmed + self.num_synthetic

    def __getitem__(self, ticket: Ticket) -> dict[str, Tensor | int | str]:
        rng = self.chance(ticket)
        if ticket[1] < self.num_filmed:
            clip = _window(self.records[ticket[1]], self.clip, float(rng.uniform()), self.held)
            key, made, video = clip.key, 0, clip.video
            changes, label = self.changes(clip.label, rng)
        else:
            recipe = self.recipe_at(ticket)
            key, made, video = recipe.key, 1, self.rendered(recipe, ticket[1] - self.num_filmed)
            changes, label = self.changes(recipe.label, rng)
        return {"video": self.augmented(video, changes), "label": label, "synthetic": made, "key": key}

    def changes(self, label: int, rng: np.random.Generator) -> tuple[Values, int]:
        """How this draw changes a clip of this label, and the label that it bears then: its mirror image's, perhaps."""
        if self.augmentation is None:
            return {}, label
        values = self.augmentation.sample(rng)
        mirrored = bool(values["mirrored"]) and label in self.images
        return {**values, "mirrored": mirrored}, self.images[label] if mirrored else label

    def augmented(
        self, video: UInt8[Tensor, "time 3 height width"], changes: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The video so changed."""
        return video if self.augmentation is None else self.augmentation.apply(video, changes).contiguous()

    def rendered(self, recipe: Recipe, place: int) -> UInt8[Tensor, "time 3 height width"]:
        """The synthetic clip at this place of the set, before augmentation: as it was kept, or made now."""
        assert self.synthesizer is not None
        video = None if self.finished is None else self.finished.get(place)
        if video is None:
            video = self.synthesizer.render(recipe).video
            if self.finished is not None:
                self.finished.put(place, video)
        return video

    def recipe_at(self, ticket: Ticket) -> Recipe:
        """The recipe behind a synthetic clip's ticket."""
        assert self.synthesizer is not None
        generation = ticket[0] // self.resample_every if self.resample_every else 0
        return self.synthesizer.sample(ticket[1] - self.num_filmed, generation=generation)

    def chance(self, ticket: Ticket) -> np.random.Generator:
        """What decides a clip's window and augmentation."""
        return np.random.default_rng([self.seed, _WINDOW, *ticket])


class StagedClips(Dataset):
    """Training clips for a loader whose batches are drawn in the main process; the same clips in the end.

    Filmed clips, and synthetic ones that the cache has, come with their pixels. The others come undrawn: `video` is
    the bare place, and `undrawn` what is missing from it.

    Args:
        clips: The clips as they are alone.
        synthesizer: Theirs.
    """

    def __init__(self, clips: TrainingClips, synthesizer: Synthesizer) -> None:
        self.clips = clips
        self.synthesizer = synthesizer

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, ticket: Ticket) -> dict[str, Tensor | int | str | bytes]:
        if ticket[1] < self.clips.num_filmed:
            return {**self.clips[ticket], "undrawn": b""}
        recipe = self.clips.recipe_at(ticket)
        clip = Undrawn(ticket, recipe, self.synthesizer.stage(recipe))
        rendering = self.synthesizer.read_cache(clip.staged)
        drawn = rendering is not None
        _, label = self.clips.changes(recipe.label, self.clips.chance(ticket))
        return {
            "video": clip.staged.scene.frames if rendering is None else self.finished(clip, rendering),
            "label": label, "synthetic": 1, "key": recipe.key, "undrawn": b"" if drawn else packed(clip),
        }  # fmt: skip

    def finished(self, clip: Undrawn, rendering: Rendering) -> UInt8[Tensor, "time 3 height width"]:
        """The clip's video, once its people are rendered."""
        video = self.synthesizer.finish(clip.recipe, clip.staged, rendering).video
        changes, _ = self.clips.changes(clip.recipe.label, self.clips.chance(clip.ticket))
        return self.clips.augmented(video, changes)


def _window(record: Record, clip: ClipFormat, share: float, held: Mapping[Path, Tensor]) -> Clip:
    """The clip at this share (0 to 1) of the room that its interval leaves; all of it, looped, where there is none."""
    size, offset = (clip.size, clip.size), share * _spare(record, clip)
    return read_clip(record, offset=offset, fps=clip.fps, num_frames=clip.num_frames, size=size, held=held)


def _spare(record: Record, clip: ClipFormat) -> float:
    """Seconds by which an interval is longer than a clip."""
    return max(record.end - record.start - clip.seconds, 0.0)


def _sample(clip: Clip) -> dict[str, Tensor | int | str]:
    return {"video": clip.video, "label": clip.label, "synthetic": int(clip.recipe is not None), "key": clip.key}
