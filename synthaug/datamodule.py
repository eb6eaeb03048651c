"""Filmed and synthetic clips, mixed into batches: the drop-in LightningDataModule.

Between data sets and synthesis on one side and any recognizer on the other. The one permutation to channel-first
video and the one normalisation are here.
"""

import functools
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import lightning
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from synthaug.augmentation import Augmentation
from synthaug.datasets import ActionDataset, LeakError, Protocol, Split
from synthaug.datasets.leaks import assert_disjoint, assert_strangers, overlaps
from synthaug.drawing import Drawing, Undrawn, packed
from synthaug.files import user_cache
from synthaug.holding import held
from synthaug.references import References, gather
from synthaug.renderers import BatchRenderer
from synthaug.sampling import LAST, InOrder, MixedBatches, Mixture, Ticket, synthetic_places
from synthaug.structures import Batch, Clip, ClipFormat, Plain, Recipe, Record, Rendering, Values
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.video import read_clip
from synthaug.workers import single_threaded

logger = logging.getLogger(__name__)

LAYOUTS = ("video", "tuple", "pixel_values")
_WINDOW = 12
_STEPS = 50
"""Over which times are averaged: Lightning's own interval between two logs."""
_MEAN = (0.43216, 0.394666, 0.37645)
_STD = (0.22803, 0.22145, 0.216989)
"""Of Kinetics-400, as torchvision's video weights were trained with."""


@dataclass(frozen=True)
class Loading:
    """How clips become batches.

    Attributes:
        batch_size: Clips a batch and process.
        num_workers: Loader processes; 0 loads in the main one. The data do not depend on it.
        layout: "video": a dict with `video` [B 3 T H W], `label`, `synthetic`, `key`. "tuple": (video, label).
            "pixel_values": a dict with `pixel_values` [B T 3 H W] and `labels`, as Hugging Face models take.
        memory_mb: Training and validation films are kept decoded, at the size of clips, if each of the two sets fits
            into so many megabytes, as few-shot sets do; forked workers share them. 0 reads films anew every time.
        ahead: Batches drawn while the step before them runs, where a GPU draws; 0 draws when asked.
        start_method: How workers start. fork shares avatars and compiled kernels; named here, since Python 3.14
            changes the default.
        last: The batch that an epoch ends with: "full", filled with clips of the next lap, or "short", what is left.
    """

    batch_size: int = 16
    num_workers: int = 2
    layout: str = "video"
    memory_mb: float = 256.0
    ahead: int = 1
    start_method: str = "fork"
    last: str = "full"

    def __post_init__(self) -> None:
        if self.last not in LAST:
            raise ValueError(f"last={self.last!r} was given; one of {', '.join(LAST)} was wanted. Choose one.")
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout={self.layout!r} was given; one of {', '.join(LAYOUTS)} was wanted.")
        if self.batch_size < 1 or min(self.num_workers, self.ahead, self.memory_mb) < 0:
            raise ValueError(
                f"batch_size={self.batch_size}, num_workers={self.num_workers}, ahead={self.ahead} and memory_mb="
                f"{self.memory_mb} were given; at least 1, 0, 0 and 0 were wanted."
            )


class SynthAugDataModule(lightning.LightningDataModule):
    """Real and synthetic clips of one data set under one protocol.

    Works in plain Python, under LightningCLI and under Hydra, and feeds any LightningModule.

    Args:
        dataset: The filmed clips.
        protocol: Divides them.
        synth: What to synthesise; None, like `identities=0`, gives filmed clips alone.
        clip: How clips are cut.
        loading: How they become batches.
        augmentation: Changes training clips between epochs; None leaves them.
        seed: Decides recipes, order, windows and augmentation.
    """

    def __init__(
        self,
        dataset: ActionDataset,
        protocol: Protocol,
        *,
        synth: Synthesis | None = None,
        clip: ClipFormat = ClipFormat(),  # noqa: B008 - frozen
        loading: Loading = Loading(),  # noqa: B008 - frozen
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.protocol = protocol
        self.synth = synth
        self.clip = clip
        self.loading = loading
        self.augmentation = augmentation
        self.seed = seed
        self._split: Split | None = None
        self._images: Mapping[int, int] = {}
        self._synthesizer: Synthesizer | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes, known once the data are prepared."""
        return len(self.dataset.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label."""
        return self.dataset.classes

    @property
    def class_weights(self) -> Float[Tensor, " class"]:
        """Inverse frequency of each class among the filmed training clips, mean 1; 0 where there is none."""
        counts = torch.bincount(torch.tensor([record.label for record in self.split.train]), minlength=self.num_classes)
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), torch.zeros(self.num_classes))
        return weights / weights.sum() * self.num_classes

    @property
    def split(self) -> Split:
        """The division of the data set, after `setup`."""
        if self._split is None:
            raise RuntimeError("The data are not divided yet. Call prepare_data() and setup('fit') first.")
        return self._split

    @property
    def mirror_labels(self) -> Mapping[int, int]:
        """Label of the mirror image, by label, after `setup`; a class that is not among them is never mirrored."""
        return self._images

    @property
    def synthesizer(self) -> Synthesizer | None:
        """Makes the synthetic clips, after `setup`; None without `synth`."""
        return self._synthesizer

    def prepare_data(self) -> None:
        """Bring data set, motions and a GPU's kernels into being, in one process; keeps no state but files."""
        self.dataset.prepare()
        self._gather(self._divide())
        if self.synth is not None and isinstance(self.synth.renderer, BatchRenderer):
            self.synth.renderer.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Divide the data and lay out the synthetic set. Idempotent.

        Raises:
            LeakError: If anything synthetic would come from a clip that is not for training.
        """
        if self._split is not None:
            return
        split = self._divide()
        images = mirror_labels(self.dataset)
        check_flips(self.augmentation, images)
        self._images = images or {}
        if self.synth is not None:
            references = self._gather(split)
            if references.dropped:
                count, total = len(references.dropped), len(split.train)
                logger.warning("%d of %d training clips give no motion; motions.json says why.", count, total)
            self._synthesizer = _synthesizer(self.synth, references, self.clip, self.seed, images)
            self._synthesizer.meet()
            check_leaks(self._synthesizer, split, self.protocol.separates)
        self._split = split

    def recipes(self, generation: int = 0) -> list[Recipe]:
        """Every synthetic clip of the training set: what recipes.jsonl holds."""
        synthesizer = self._synthesizer
        if synthesizer is None:
            return []
        return [synthesizer.sample(index, generation=generation) for index in range(len(synthesizer))]

    @property
    def synthetic_share(self) -> float:
        """Share of synthetic clips in mixed training batches as they really are, rounding included.

        Where batches are of one kind throughout (`pretrain_batches`), `order().exposure` counts them.
        """
        plan, filmed = self.synth, len(self.split.train)
        synthetic = 0 if self._synthesizer is None else len(self._synthesizer)
        if plan is None or synthetic == 0:
            return 0.0
        if plan.ratio is None:
            return synthetic / (filmed + synthetic)
        return synthetic_places(self.loading.batch_size, plan.ratio) / self.loading.batch_size

    def order(self) -> MixedBatches:
        """Which clips make up each training batch; its `exposure` counts what training comes to see."""
        filmed, synthetic = len(self.split.train), 0 if self._synthesizer is None else len(self._synthesizer)
        mixture = Mixture(last=self.loading.last)
        if self.synth is not None:
            mixture = replace(mixture, ratio=self.synth.ratio, pretrain_batches=self.synth.pretrain_batches)
        return MixedBatches(filmed, synthetic, batch_size=self.loading.batch_size, mixture=mixture, seed=self.seed)

    def filmed_exposure(self, batches: int) -> float:
        """How often so many training batches show each filmed clip, on average."""
        return round(self.order().exposure(batches)[0] / len(self.split.train), 2)

    def train_dataloader(self) -> "Batches":
        """Mixed batches, in an order that depends on the seed and the epoch alone."""
        clips, order = TrainingClips(self), self.order()
        plan, synthesizer = self.synth, self._synthesizer
        if plan is None or synthesizer is None or not isinstance(plan.renderer, BatchRenderer):
            return self._batches(clips, order)
        staged = StagedClips(clips, synthesizer)
        threads, ahead = max(1, self.loading.num_workers), self.loading.ahead
        drawing = Drawing(plan.renderer, synthesizer, staged.finished, threads=threads, ahead=ahead)
        return self._batches(staged, order, drawing)

    def val_dataloader(self) -> "Batches":
        """Validation clips in order; none where the protocol has no validation part."""
        return self._held_out(self.split.val, memory_mb=self.loading.memory_mb)

    def test_dataloader(self) -> "Batches":
        """Test clips in order."""
        return self._held_out(self.split.test, memory_mb=0.0)

    def _held_out(self, records: Sequence[Record], *, memory_mb: float) -> "Batches":
        clips = FilmedClips(tuple(records), self.clip, memory_mb=memory_mb)
        return self._batches(clips, InOrder(len(clips), self.loading.batch_size))

    def _batches(self, clips: Dataset, order: "MixedBatches | InOrder", drawing: Drawing | None = None) -> "Batches":
        # In plain Python, without a trainer, batches stay in main memory.
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        loader = _loader(clips, order, self.loading, pinned=device.type == "cuda")
        return Batches(loader, order, layout=self.loading.layout, drawing=drawing, device=device)

    def _divide(self) -> Split:
        split = self.protocol.split(self.dataset.records, self.dataset.classes)
        assert_disjoint(split, self.protocol.separates)
        return split

    def _gather(self, split: Split) -> References:
        plan = self.synth
        wanted = plan is not None and plan.identities * plan.backgrounds > 0 and plan.per_class != 0
        if plan is None or not wanted:
            return References((), {}, {})
        return gather(split.train, plan.motion, cache=user_cache() / "motions", min_quality=plan.min_quality)


def mirror_labels(dataset: ActionDataset) -> dict[int, int] | None:
    """Label of the mirror image, by label, of the classes that have one; None where the data set does not say.

    Raises:
        ValueError: If a class is named that is not there, or two classes claim one image.
    """
    pairs, classes = dataset.mirrored_classes, dataset.classes
    if pairs is None:
        return None
    images: dict[str, str | None] = dict(pairs)
    for one, other in pairs.items():
        back = images.setdefault(other, one) if other is not None else one
        if not {one, other} - {None} <= set(classes) or back != one:
            raise ValueError(
                f"mirrored_classes says {one!r}: {other!r} and {other!r}: {back!r}, among the classes "
                f"{', '.join(classes)}. Names of classes were wanted, in pairs that are each other's mirror images, or "
                "None for a class without one. Mend dataset.mirrored_classes."
            )
    shown = {name: images.get(name, name) for name in classes}
    return {classes.index(name): classes.index(other) for name, other in shown.items() if other is not None}


def check_flips(augmentation: Augmentation | None, images: Mapping[int, int] | None) -> None:
    """Refuse to mirror clips of which nobody knows what their mirror images show.

    Raises:
        ValueError: Saying which two settings contradict each other.
    """
    if augmentation is not None and augmentation.flip > 0 and images is None:
        raise ValueError(
            f"augmentation.flip={augmentation.flip} was given for a data set that does not say which class the mirror "
            "image of each belongs to. Set dataset.mirrored_classes ({} if left and right mean nothing), or "
            "augmentation.flip=0."
        )


def _synthesizer(
    plan: Synthesis, references: References, clip: ClipFormat, seed: int, images: dict[int, int] | None
) -> Synthesizer:
    films = [(record, references.takes[record.key]) for record in references.records]
    if films:
        plan = replace(plan, background=plan.background.among(films))
    return Synthesizer(plan, references, clip, seed=seed, images=images)


def check_leaks(synthesizer: Synthesizer, split: Split, separates: str) -> None:
    """Refuse synthetic clips in which anything held out is performed, or anybody whom the test is about performs.

    Raises:
        LeakError: Naming the offender.
    """
    check_references(synthesizer.references, split, separates)
    avatar = synthesizer.plan.avatar
    assert_strangers({name: avatar.subject(name) for name in synthesizer.identities}, split)


def check_references(references: References, split: Split, separates: str) -> None:
    """Refuse references that are not training clips, or whose person or camera the test is about.

    Raises:
        LeakError: Naming the offender.
    """
    train = {record.key for record in split.train}
    tested = {getattr(record, separates) for record in split.test}
    for record in references.records:
        if record.key not in train or getattr(record, separates) in tested:
            raise LeakError(
                f"The motion of '{record.key}' ({separates} {getattr(record, separates)!r}) would reach training, but "
                "it belongs to the held-out part. Only training clips may be re-enacted; mend the protocol's lists."
            )


class FilmedClips(Dataset):
    """Held-out clips: the middle of each interval, looped where it is short.

    Args:
        records: Which clips, in which order.
        clip: How they are cut.
        memory_mb: Films are kept in memory if all of them fit into this.
    """

    def __init__(self, records: tuple[Record, ...], clip: ClipFormat, *, memory_mb: float = 0.0) -> None:
        self.records = records
        self.clip = clip
        self.held = held(records, size=(clip.size, clip.size), limit_mb=memory_mb)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, ticket: Ticket) -> dict[str, Tensor | int | str]:
        return _sample(_window(self.records[ticket[1]], self.clip, 0.5, self.held))


class TrainingClips(Dataset):
    """Training clips by ticket: filmed ones at a window drawn for the epoch, then synthetic ones.

    Args:
        data: The data module, after `setup`.
    """

    def __init__(self, data: SynthAugDataModule) -> None:
        self.records = data.split.train
        self.clip = data.clip
        self.seed = data.seed
        self.augmentation = data.augmentation
        self.images = data.mirror_labels
        self.synthesizer = data.synthesizer
        self.resample_every = 0 if data.synth is None else data.synth.resample_every
        size = (self.clip.size, self.clip.size)
        self.held = held(self.records, size=size, limit_mb=data.loading.memory_mb)

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
        clip = self.clip_at(ticket, rng)
        changes, label = self.changes(clip.label, rng)
        return {**_sample(clip), "label": label, "video": self.augmented(clip.video, changes)}

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

    def clip_at(self, ticket: Ticket, rng: np.random.Generator) -> Clip:
        """The clip behind a ticket, before augmentation."""
        if ticket[1] < self.num_filmed:
            return _window(self.records[ticket[1]], self.clip, float(rng.uniform()), self.held)
        assert self.synthesizer is not None
        return self.synthesizer.render(self.recipe_at(ticket))

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
        rendering = self.synthesizer.kept(clip.staged)
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
    spare = max(record.end - record.start - clip.seconds, 0.0)
    size = (clip.size, clip.size)
    offset = share * spare
    return read_clip(record, offset=offset, fps=clip.fps, num_frames=clip.num_frames, size=size, held=held)


def _sample(clip: Clip) -> dict[str, Tensor | int | str]:
    return {"video": clip.video, "label": clip.label, "synthetic": int(clip.recipe is not None), "key": clip.key}


def _loader(clips: Dataset, order: Sampler[list[Ticket]], loading: Loading, *, pinned: bool) -> DataLoader:
    workers = loading.num_workers
    return DataLoader(
        clips,
        batch_sampler=order,
        num_workers=workers,
        multiprocessing_context=loading.start_method if workers else None,
        persistent_workers=workers > 0,
        pin_memory=pinned,
        worker_init_fn=single_threaded,
    )


class Batches:
    """What Lightning iterates: normalised batches in the user's layout, resumable by consumed batches.

    A wrapper around the loader and not a hook of the data module, so that `on_after_batch_transfer` stays the user's.
    Where the renderer draws on a GPU, workers send staged recipes, and whole batches are drawn here, one ahead.

    Args:
        loader: Gives collated uint8 batches.
        order: The loader's batch sampler, told which epoch it is.
        layout: One of LAYOUTS.
        drawing: Draws what workers left undrawn; None where they draw.
        device: Where batches are delivered.
    """

    def __init__(
        self,
        loader: DataLoader,
        order: MixedBatches | InOrder,
        *,
        layout: str,
        drawing: Drawing | None,
        device: torch.device,
    ) -> None:
        self.loader = loader
        self.order = order
        self.layout = layout
        self.drawing = drawing
        self.device = device
        self.epoch = 0
        self.consumed = 0
        self._placed = False
        self._told: int | None = None
        self._times: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch | tuple[Tensor, Tensor]]:
        self._turn()
        asked = time.perf_counter()
        for batch in self._whole():
            done = arranged(_moved(batch, self.device), self.layout)
            given = time.perf_counter()
            self._note("wait", given - asked)
            self.consumed += 1
            yield done
            asked = time.perf_counter()
            self._note("step", asked - given)

    @property
    def milliseconds(self) -> dict[str, float]:
        """Means over the last steps: `wait` for a batch, `step` from one to the next, `render` where a GPU draws.

        By the host's clock: a step that only queues work for a GPU looks short until the queue is full.
        """
        return {name: 1e3 * sum(times) / len(times) for name, times in self._times.items()}

    def _whole(self) -> Iterator[Batch]:
        if self.drawing is None:
            yield from self.loader
            return
        for batch, seconds in self.drawing.whole(self.loader):
            self._note("render", seconds)
            yield batch

    def _note(self, name: str, seconds: float) -> None:
        self._times.setdefault(name, deque(maxlen=_STEPS)).append(seconds)

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for `set_epoch`: at the sampler of a loader's batch sampler."""
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; a loaded state that stands in the middle of it stays there."""
        self._told = epoch

    def _turn(self) -> None:
        """Begin the epoch that we were told or the next one, or go on in the one that a loaded state stands in.

        An iterator that was left early ends its epoch too: Lightning never asks for more than the last batch, and so
        never reaches an iterator's end. And it loads no loader's state from an epoch's end, but tells the epoch.
        """
        epoch = self.epoch
        if self._told is not None:
            epoch = self._told
        elif self.consumed >= len(self) or (self.consumed > 0 and not self._placed):
            epoch += 1
        if epoch != self.epoch or not self._placed:
            self.epoch, self.consumed = epoch, 0
        self._placed, self._told = False, None
        self.order.epoch, self.order.start = self.epoch, self.consumed

    def state_dict(self) -> dict[str, int]:
        """Where training stands, in consumed batches, not in prefetched ones."""
        return {"epoch": self.epoch, "consumed": self.consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken."""
        self.epoch, self.consumed = state["epoch"], state["consumed"]
        self._placed = True


def arranged(batch: Batch, layout: str) -> Batch | tuple[Tensor, Tensor]:
    """A collated uint8 batch, normalised, in one of LAYOUTS."""
    video, label = batch["video"], batch["label"]
    assert isinstance(video, Tensor) and isinstance(label, Tensor)
    if layout == "pixel_values":
        return {"pixel_values": normalized(video), "labels": label}
    mean, std = _standard(video.device)
    pixels = _standardised(video.transpose(1, 2).contiguous(), (mean[:, None], std[:, None]))
    return (pixels, label) if layout == "tuple" else {**batch, "video": pixels}


def normalized(video: UInt8[Tensor, "batch time 3 height width"]) -> Float[Tensor, "batch time 3 height width"]:
    """Standardised by the mean and deviation of Kinetics-400, as torchvision's video weights expect."""
    return _standardised(video, _standard(video.device))


def _standardised(video: Tensor, standard: tuple[Tensor, Tensor]) -> Tensor:
    mean, std = standard
    # In place: a batch is tens of megabytes, whose first touch costs more than the arithmetic.
    return video.float().sub_(mean).div_(std)


@functools.cache
def _standard(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a pixel in 0..255, sent once: every sending would wait for the device's whole queue."""
    mean, std = (torch.tensor(values, device=device)[:, None, None] * 255 for values in (_MEAN, _STD))
    return mean, std


def _moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; from pinned memory this waits for nothing."""
    if device.type == "cpu":
        return batch
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


class LoaderMonitor(lightning.Callback):
    """Logs what training waits for: loader/wait_ms, loader/step_ms and, where a GPU draws, loader/render_ms.

    A callback for `Trainer(callbacks=[LoaderMonitor()])`, as Lightning's own monitors of devices and learning rates
    are; the LightningModule need not know. See `Batches.milliseconds`.
    """

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Log the means over the last steps.

        Raises:
            TypeError: If the trainer's batches are not a SynthAugDataModule's.
        """
        batches = trainer.train_dataloader
        if not isinstance(batches, Batches):
            raise TypeError(
                f"LoaderMonitor found a train dataloader of type {type(batches).__name__}; the Batches of a "
                "SynthAugDataModule were wanted. Fit with trainer.fit(module, datamodule=...), or leave it out."
            )
        pl_module.log_dict({f"loader/{name}_ms": value for name, value in batches.milliseconds.items()})


def motion_report(data: SynthAugDataModule) -> dict[str, dict[str, float | None] | dict[str, str]]:
    """Grades of the references and the reasons for those dropped, by key: what motions.json holds."""
    synthesizer = data.synthesizer
    if synthesizer is None:
        return {"quality": {}, "dropped": {}}
    references = synthesizer.references
    return {
        "quality": {key: take.quality for key, take in references.takes.items()},
        "dropped": dict(references.dropped),
    }


def leak_report(data: SynthAugDataModule) -> dict[str, Plain]:
    """What was checked, what was found, and what the protocol itself lets training and test share: leakage.json."""
    split, synthesizer, separates = data.split, data.synthesizer, data.protocol.separates
    violations: list[Plain] = []
    try:
        assert_disjoint(split, separates)
        if synthesizer is not None:
            check_leaks(synthesizer, split, separates)
    except LeakError as error:
        violations.append(str(error))
    trained = {record.key for record in split.train}
    performed = {actor.motion for recipe in data.recipes() for actor in recipe.actors}
    violations += [f"A recipe performs '{key}', which is no training clip." for key in sorted(performed - trained)]
    counts = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    made = 0 if synthesizer is None else len(synthesizer.identities)
    shared: dict[str, Plain] = dict(overlaps(split).items())
    return {
        "protocol": type(data.protocol).__name__, "separates": separates, "violations": violations, "overlaps": shared,
        "checked": {**counts, "references": len(performed), "identities": made, "recipes": len(data.recipes())},
    }  # fmt: skip
