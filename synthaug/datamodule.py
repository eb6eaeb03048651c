"""Filmed and synthetic clips, mixed into batches: the drop-in LightningDataModule.

Between data sets and synthesis on one side and any recognizer on the other. The one permutation to channel-first
video and the one normalisation are here.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import lightning
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from synthaug.augmentation import Augmentation
from synthaug.datasets import ActionDataset, LeakError, Protocol, Split
from synthaug.datasets.leaks import assert_disjoint, assert_strangers
from synthaug.files import user_cache
from synthaug.references import References, gather
from synthaug.structures import Batch, Clip, ClipFormat, Recipe, Record
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.video import read_clip
from synthaug.workers import single_threaded

logger = logging.getLogger(__name__)

Ticket = tuple[int, int]
"""Epoch and index of one clip; filmed clips come first, synthetic ones after them."""
LAYOUTS = ("video", "tuple", "pixel_values")
_ORDER, _WINDOW = 11, 12
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
        start_method: How workers start. fork shares avatars and compiled kernels; named here, since Python 3.14
            changes the default.
    """

    batch_size: int = 16
    num_workers: int = 2
    layout: str = "video"
    start_method: str = "fork"

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout={self.layout!r} was given; one of {', '.join(LAYOUTS)} was wanted.")
        if self.batch_size < 1 or self.num_workers < 0:
            raise ValueError(
                f"batch_size={self.batch_size} and num_workers={self.num_workers} were given; "
                "at least 1 and at least 0 were wanted."
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
    def synthesizer(self) -> Synthesizer | None:
        """Makes the synthetic clips, after `setup`; None without `synth`."""
        return self._synthesizer

    def prepare_data(self) -> None:
        """Bring data set and motions into being, in one process; keeps no state but files."""
        self.dataset.prepare()
        self._gather(self._divide())

    def setup(self, stage: str | None = None) -> None:
        """Divide the data and lay out the synthetic set. Idempotent.

        Raises:
            LeakError: If anything synthetic would come from a clip that is not for training.
        """
        if self._split is not None:
            return
        split = self._divide()
        if self.synth is not None:
            references = self._gather(split)
            if references.dropped:
                count, total = len(references.dropped), len(split.train)
                logger.warning("%d of %d training clips give no motion; motions.json says why.", count, total)
            self._synthesizer = _synthesizer(self.synth, references, self.clip, self.seed)
            self._synthesizer.meet()
            check_references(references, split, self.protocol.separates)
            people = self._synthesizer.identities
            assert_strangers({name: self.synth.avatar.subject(name) for name in people}, split)
        self._split = split

    def recipes(self, generation: int = 0) -> list[Recipe]:
        """Every synthetic clip of the training set: what recipes.jsonl holds."""
        synthesizer = self._synthesizer
        if synthesizer is None:
            return []
        return [synthesizer.sample(index, generation=generation) for index in range(len(synthesizer))]

    @property
    def synthetic_share(self) -> float:
        """Share of synthetic clips in the training batches as they really are, rounding included."""
        plan, filmed = self.synth, len(self.split.train)
        synthetic = 0 if self._synthesizer is None else len(self._synthesizer)
        if plan is None or synthetic == 0:
            return 0.0
        if plan.ratio is None:
            return synthetic / (filmed + synthetic)
        return synthetic_places(self.loading.batch_size, plan.ratio) / self.loading.batch_size

    def train_dataloader(self) -> "Batches":
        """Mixed batches, in an order that depends on the seed and the epoch alone."""
        clips = TrainingClips(self)
        ratio = None if self.synth is None else self.synth.ratio
        order = MixedBatches(
            clips.num_filmed, clips.num_synthetic, batch_size=self.loading.batch_size, ratio=ratio, seed=self.seed
        )
        return Batches(_loader(clips, order, self.loading), order, self.loading.layout)

    def val_dataloader(self) -> "Batches":
        """Validation clips in order; none where the protocol has no validation part."""
        return self._held_out(self.split.val)

    def test_dataloader(self) -> "Batches":
        """Test clips in order."""
        return self._held_out(self.split.test)

    def _held_out(self, records: Sequence[Record]) -> "Batches":
        clips = FilmedClips(tuple(records), self.clip)
        order = InOrder(len(clips), self.loading.batch_size)
        return Batches(_loader(clips, order, self.loading), order, self.loading.layout)

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


def _synthesizer(plan: Synthesis, references: References, clip: ClipFormat, seed: int) -> Synthesizer:
    films = [(record, references.takes[record.key]) for record in references.records]
    if films:
        plan = replace(plan, background=plan.background.among(films))
    return Synthesizer(plan, references, clip, seed=seed)


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
    """

    def __init__(self, records: tuple[Record, ...], clip: ClipFormat) -> None:
        self.records = records
        self.clip = clip

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, ticket: Ticket) -> dict[str, Tensor | int | str]:
        return _sample(_window(self.records[ticket[1]], self.clip, 0.5))


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
        self.synthesizer = data.synthesizer
        self.resample_every = 0 if data.synth is None else data.synth.resample_every

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
        epoch, index = ticket
        rng = np.random.default_rng([self.seed, _WINDOW, epoch, index])
        clip = self.clip_at(epoch, index, rng)
        if self.augmentation is None:
            return _sample(clip)
        video = self.augmentation.apply(clip.video, self.augmentation.sample(rng))
        return {**_sample(clip), "video": video.contiguous()}

    def clip_at(self, epoch: int, index: int, rng: np.random.Generator) -> Clip:
        """The clip behind a ticket, before augmentation."""
        if index < self.num_filmed:
            return _window(self.records[index], self.clip, float(rng.uniform()))
        assert self.synthesizer is not None
        generation = epoch // self.resample_every if self.resample_every else 0
        return self.synthesizer.render(self.synthesizer.sample(index - self.num_filmed, generation=generation))


def _window(record: Record, clip: ClipFormat, share: float) -> Clip:
    """The clip at this share (0 to 1) of the room that its interval leaves; all of it, looped, where there is none."""
    spare = max(record.end - record.start - clip.seconds, 0.0)
    size = (clip.size, clip.size)
    return read_clip(record, offset=share * spare, fps=clip.fps, num_frames=clip.num_frames, size=size)


def _sample(clip: Clip) -> dict[str, Tensor | int | str]:
    return {"video": clip.video, "label": clip.label, "synthetic": int(clip.recipe is not None), "key": clip.key}


class MixedBatches(Sampler[list[Ticket]]):
    """Tickets of each batch, a pure function of seed and epoch.

    Every batch is full: a pool that ends starts over in a new order, so that no clip waits and none is lost. The
    filmed pool's order does not depend on the synthetic one.

    Args:
        num_filmed: Size of the filmed pool.
        num_synthetic: Size of the synthetic pool.
        batch_size: Clips a batch and process.
        ratio: Share of synthetic clips in a batch; None shuffles both pools as one.
        seed: Decides the order.
    """

    def __init__(self, num_filmed: int, num_synthetic: int, *, batch_size: int, ratio: float | None, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self.start = 0
        world = _world()
        total = batch_size * world[1]
        if ratio is None or num_synthetic == 0:
            self._pools = [(0, num_filmed + num_synthetic, total)]
        else:
            share = synthetic_places(total, ratio)
            self._pools = [(0, num_filmed, total - share), (num_filmed, num_synthetic, share)]
            self._pools = [pool for pool in self._pools if pool[2] > 0]

    def __len__(self) -> int:
        return max(-(-size // count) for _, size, count in self._pools)

    def __iter__(self) -> Iterator[list[Ticket]]:
        rank, world = _world()
        for batch in range(self.start, len(self)):
            indices = [index for number, pool in enumerate(self._pools) for index in self._taken(number, pool, batch)]
            yield [(self.epoch, index) for index in indices[rank::world]]

    def _taken(self, number: int, pool: tuple[int, int, int], batch: int) -> list[int]:
        first, size, count = pool
        places = range(batch * count, (batch + 1) * count)
        orders = {lap: self._order(number, size, lap) for lap in {place // size for place in places}}
        return [first + int(orders[place // size][place % size]) for place in places]

    def _order(self, number: int, size: int, lap: int) -> np.ndarray:
        return np.random.default_rng([self.seed, _ORDER, number, self.epoch, lap]).permutation(size)


class InOrder(Sampler[list[Ticket]]):
    """Tickets of held-out clips, in order, the last batch as it comes.

    Args:
        size: Number of clips.
        batch_size: Clips a batch.
    """

    def __init__(self, size: int, batch_size: int) -> None:
        self.size = size
        self.batch_size = batch_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[Ticket]]:
        for first in range(0, self.size, self.batch_size):
            yield [(0, index) for index in range(first, min(first + self.batch_size, self.size))]


def synthetic_places(batch_size: int, ratio: float) -> int:
    """Synthetic clips in a batch: at least one and not all, so that rounding never drops a pool in silence."""
    if ratio == 0:
        return 0
    return min(max(round(batch_size * ratio), 1), batch_size - 1)


def _world() -> tuple[int, int]:
    """Rank and number of processes, read late: the data module is built before they are known."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _loader(clips: Dataset, order: Sampler[list[Ticket]], loading: Loading) -> DataLoader:
    workers = loading.num_workers
    return DataLoader(
        clips,
        batch_sampler=order,
        num_workers=workers,
        multiprocessing_context=loading.start_method if workers else None,
        persistent_workers=workers > 0,
        worker_init_fn=single_threaded,
    )


class Batches:
    """What Lightning iterates: normalised batches in the user's layout, resumable by consumed batches.

    A wrapper around the loader and not a hook of the data module, so that `on_after_batch_transfer` stays the user's.

    Args:
        loader: Gives collated uint8 batches.
        order: The loader's batch sampler, told which epoch it is.
        layout: One of LAYOUTS.
    """

    def __init__(self, loader: DataLoader, order: MixedBatches | InOrder, layout: str) -> None:
        self.loader = loader
        self.order = order
        self.layout = layout
        self.epoch = 0
        self.consumed = 0
        self._placed = False
        self._told: int | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch | tuple[Tensor, Tensor]]:
        self._turn()
        for batch in self.loader:
            self.consumed += 1
            yield arranged(batch, self.layout)

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
    pixels = normalized(video)
    if layout == "pixel_values":
        return {"pixel_values": pixels, "labels": label}
    pixels = pixels.transpose(1, 2).contiguous()
    return (pixels, label) if layout == "tuple" else {**batch, "video": pixels}


def normalized(video: UInt8[Tensor, "batch time 3 height width"]) -> Float[Tensor, "batch time 3 height width"]:
    """Standardised by the mean and deviation of Kinetics-400, as torchvision's video weights expect."""
    mean = torch.tensor(_MEAN, device=video.device)[:, None, None] * 255
    std = torch.tensor(_STD, device=video.device)[:, None, None] * 255
    return (video - mean) / std


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
