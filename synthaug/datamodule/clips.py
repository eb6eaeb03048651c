"""Data sets of single clips: held-out clips, training clips, and training clips that a GPU has still to render."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from synthaug.datamodule.augmentation import LabelledAugmentation
from synthaug.datamodule.gpu import PendingClip, pack_clip
from synthaug.datamodule.memory import FinishedClips
from synthaug.datamodule.order import SampleIndex
from synthaug.datamodule.packed import PackedClips
from synthaug.structures import Clip, ClipFormat, Recipe, Record, Rendering
from synthaug.synthesis import Synthesizer
from synthaug.video import read_clip

WINDOW_STREAM = 12
"""Random stream of the windows and the augmentation of training clips."""


@dataclass(frozen=True, eq=False)
class FilmedClips:
    """Labelled intervals of film, and how clips are cut from them.

    Attributes:
        records: The intervals.
        clip: Format of the clips.
        films: Films that are already in memory, by path; others are read from their files.
    """

    records: tuple[Record, ...]
    clip: ClipFormat
    films: Mapping[Path, UInt8[Tensor, "_time 3 height width"]] = field(default_factory=dict)

    def read(self, record: Record, share: float, *, speed: float = 1.0) -> Clip:
        """Cut a clip from an interval; an interval shorter than a clip is looped.

        Args:
            record: The interval.
            share: Where the clip lies: 0 at the start of the interval, 1 at its end.
            speed: How fast the film is played: at 2 the clip shows twice as many of its seconds.
        """
        offset = share * self.spare_seconds(record, speed=speed)
        size, fps = (self.clip.size, self.clip.size), self.clip.fps / speed
        return read_clip(record, offset=offset, fps=fps, num_frames=self.clip.num_frames, size=size, held=self.films)

    def spare_seconds(self, record: Record, *, speed: float = 1.0) -> float:
        """Seconds of film by which an interval is longer than a clip."""
        return max(record.end - record.start - self.clip.seconds * speed, 0.0)


class HeldOutClips(Dataset):
    """Clips for validation and tests: the middle of each interval, or several windows from its start to its end.

    Args:
        filmed: The intervals.
        windows: Number of evenly spread clips from each interval that is longer than a clip by a frame or more; 1
            takes the middle.
    """

    def __init__(self, filmed: FilmedClips, *, windows: int = 1) -> None:
        self.filmed = filmed
        shares = [0.5] if windows == 1 else np.linspace(0.0, 1.0, windows).tolist()
        # Windows that differ by less than a frame would show the same frames.
        longer = {record: filmed.spare_seconds(record) * filmed.clip.fps >= 1 for record in filmed.records}
        self.cuts = tuple(
            (record, share) for record in filmed.records for share in (shares if longer[record] else [0.5])
        )

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, index: SampleIndex) -> dict[str, Tensor | int | str]:
        clip = self.read(index.index)
        return {"video": clip.video, "label": clip.label, "synthetic": 0, "key": clip.key}

    def read(self, place: int) -> Clip:
        """Read the clip at this place, 0 to `len(self)` - 1."""
        return self.filmed.read(*self.cuts[place])


@dataclass(frozen=True, eq=False)
class SyntheticClips:
    """The synthetic part of a training set.

    Attributes:
        synthesizer: Samples and renders the clips.
        resample_every: Epochs after which all recipes are sampled again; 0 never does.
        finished: Keeps finished clips in memory; None renders or composites them every time.
    """

    synthesizer: Synthesizer
    resample_every: int = 0
    finished: FinishedClips | None = None

    def __len__(self) -> int:
        return len(self.synthesizer)

    def sample(self, place: int, *, epoch: int) -> Recipe:
        """The recipe of the clip at this place of the set, in this epoch."""
        generation = epoch // self.resample_every if self.resample_every else 0
        return self.synthesizer.sample(place, generation=generation)

    def render(self, recipe: Recipe, place: int) -> UInt8[Tensor, "time 3 height width"]:
        """The finished clip of a recipe, before augmentation, from memory if it is kept there.

        Args:
            recipe: What `sample` gave for this place.
            place: Place of the clip in the set.
        """
        video = None if self.finished is None else self.finished.get(place)
        if video is None:
            video = self.synthesizer.render(recipe).video
            if self.finished is not None:
                self.finished.put(place, video)
        return video


class TrainingClips(Dataset):
    """The training set: filmed clips, cut at a window sampled for each epoch, then synthetic clips.

    Args:
        filmed: The filmed clips, at the first indices.
        synthetic: The synthetic clips, at the indices that follow; None without synthesis.
        augmentation: Changes the clips, and their labels where it mirrors them.
        seed: Decides windows and augmentation, together with the sample index.
    """

    def __init__(
        self,
        filmed: FilmedClips,
        synthetic: SyntheticClips | PackedClips | None,
        *,
        augmentation: LabelledAugmentation,
        seed: int,
    ) -> None:
        self.filmed = filmed
        self.synthetic = synthetic
        self.augmentation = augmentation
        self.seed = seed

    @property
    def num_filmed(self) -> int:
        """Number of filmed clips."""
        return len(self.filmed.records)

    @property
    def num_synthetic(self) -> int:
        """Number of synthetic clips."""
        return 0 if self.synthetic is None else len(self.synthetic)

    def __len__(self) -> int:
        return self.num_filmed + self.num_synthetic

    def __getitem__(self, index: SampleIndex) -> dict[str, Tensor | int | str]:
        rng = self.random_generator(index)
        if index.index < self.num_filmed:
            share, speed = float(rng.uniform()), self.augmentation.sample_speed(rng)
            clip = self.filmed.read(self.filmed.records[index.index], share, speed=speed)
            key, synthetic, video = clip.key, 0, clip.video
            values, label = self.augmentation.sample(clip.label, rng)
        else:
            assert self.synthetic is not None
            recipe = self.sample_recipe(index)
            key, synthetic, video = recipe.key, 1, self.synthetic.render(recipe, index.index - self.num_filmed)
            values, label = self.augmentation.sample(recipe.label, rng)
        return {"video": self.augmentation.apply(video, values), "label": label, "synthetic": synthetic, "key": key}

    def sample_recipe(self, index: SampleIndex) -> Recipe:
        """The recipe of a synthetic clip."""
        assert self.synthetic is not None
        return self.synthetic.sample(index.index - self.num_filmed, epoch=index.epoch)

    def random_generator(self, index: SampleIndex) -> np.random.Generator:
        """The generator that decides the window and the augmentation of a clip."""
        return np.random.default_rng([self.seed, WINDOW_STREAM, *index.entropy])


class UnrenderedClips(Dataset):
    """The training set for a loader whose synthetic clips are rendered in the main process; the same clips in the end.

    Filmed clips, and synthetic clips whose people are in the cache, come with their pixels. The others are pending:
    `video` is the background alone, and `pending` holds what rendering needs.

    Args:
        clips: The training set.
        synthesizer: Stages its synthetic clips.
    """

    def __init__(self, clips: TrainingClips, synthesizer: Synthesizer) -> None:
        self.clips = clips
        self.synthesizer = synthesizer

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: SampleIndex) -> dict[str, Tensor | int | str | bytes]:
        if index.index < self.clips.num_filmed:
            return {**self.clips[index], "pending": b""}
        recipe = self.clips.sample_recipe(index)
        clip = PendingClip(index, recipe, self.synthesizer.stage(recipe))
        rendering = self.synthesizer.read_cache(clip.job)
        _, label = self.clips.augmentation.sample(recipe.label, self.clips.random_generator(index))
        return {
            "video": clip.job.scene.frames if rendering is None else self.finish(clip, rendering),
            "label": label,
            "synthetic": 1,
            "key": recipe.key,
            "pending": pack_clip(clip) if rendering is None else b"",
        }

    def finish(self, clip: PendingClip, rendering: Rendering) -> UInt8[Tensor, "time 3 height width"]:
        """Composite a clip whose people are rendered, and augment it."""
        video = self.synthesizer.finish(clip.recipe, clip.job, rendering).video
        augmentation = self.clips.augmentation
        values, _ = augmentation.sample(clip.recipe.label, self.clips.random_generator(clip.index))
        return augmentation.apply(video, values)
