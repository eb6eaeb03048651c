"""Filmed and synthetic clips, mixed into batches: the drop-in LightningDataModule.

Between data sets and synthesis on one side and any recognizer on the other.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import lightning
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from synthaug.datamodule.augmentation import Augmentation
from synthaug.datamodule.batches import LAYOUTS, Batches
from synthaug.datamodule.clips import FilmedClips, StagedClips, TrainingClips
from synthaug.datamodule.gpu import Drawing
from synthaug.datamodule.guards import check_flips, check_leaks, mirror_labels
from synthaug.datamodule.order import (
    LAST,
    BatchMixture,
    EpochEnd,
    InOrder,
    MixedBatches,
    Ticket,
    synthetic_places,
    world,
)
from synthaug.datasets import ActionDataset, Protocol, Split
from synthaug.datasets.leaks import assert_disjoint, assert_named
from synthaug.files import user_cache
from synthaug.renderers import BatchRenderer
from synthaug.structures import ClipFormat, Recipe, Record
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.references import References, gather
from synthaug.workers import single_threaded

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loading:
    """How clips become batches.

    Attributes:
        batch_size: Clips a batch and process.
        num_workers: Loader processes; 0 loads in the main one. The data do not depend on it.
        layout: "video": a dict with `video` [B 3 T H W], `label`, `synthetic`, `key`. "tuple": (video, label).
            "pixel_values": a dict with `pixel_values` [B T 3 H W] and `labels`, as Hugging Face models take.
        memory_mb: Training films, validation films and finished synthetic clips are kept, at the size of clips, if each
            of the three sets fits into so many megabytes; forked workers share them. 0 reads and composes them anew
            every time.
        ahead: Batches drawn while the step before them runs, where a GPU draws; 0 draws when asked.
        start_method: How workers start. fork shares avatars and compiled kernels; named here, since Python 3.14
            changes the default.
        last: The batch that an epoch ends with: "full", filled with clips of the next lap, or "short", what is left.
        test_clips: Windows of each test interval that is longer than a clip, spread evenly from its start to its end.
            They share a key; `Training` averages their scores, other modules see them one by one. 1 shows the middle
            alone, which misses actions that come early or late.

    Source:
        Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, section 4: several clips, uniformly
        along the time of a film, of which the scores are averaged (`test_clips`).
    """

    batch_size: int = 16
    num_workers: int = 2
    layout: str = "video"
    memory_mb: float = 512.0
    ahead: int = 1
    start_method: str = "fork"
    last: str = "full"
    test_clips: int = 1

    def __post_init__(self) -> None:
        if self.last not in LAST:
            raise ValueError(f"last={self.last!r} was given; one of {', '.join(LAST)} was wanted. Choose one.")
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout={self.layout!r} was given; one of {', '.join(LAYOUTS)} was wanted.")
        if min(self.batch_size, self.test_clips) < 1 or min(self.num_workers, self.ahead, self.memory_mb) < 0:
            raise ValueError(
                f"batch_size={self.batch_size}, test_clips={self.test_clips}, num_workers={self.num_workers}, ahead="
                f"{self.ahead} and memory_mb={self.memory_mb} were given; at least 1, 1, 0, 0 and 0 were wanted."
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
        mixture: How filmed and synthetic clips share training batches.
        augmentation: Changes training clips between epochs; None leaves them.
        seed: Decides recipes, order, windows and augmentation.
    """

    def __init__(  # noqa: PLR0913 - one argument for each choice of a run
        self,
        dataset: ActionDataset,
        protocol: Protocol,
        *,
        synth: Synthesis | None = None,
        clip: ClipFormat = ClipFormat(),  # noqa: B008 - frozen
        loading: Loading = Loading(),
        mixture: BatchMixture = BatchMixture(),  # noqa: B008 - frozen
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.protocol = protocol
        self.synth = synth
        self.clip = clip
        self.loading = loading
        self.mixture = mixture
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
            self._synthesizer.preload_avatars()
            check_leaks(self._synthesizer, split, self.protocol.separates)
        self._split = split

    def recipes(self, generation: int = 0) -> list[Recipe]:
        """Every synthetic clip of the training set: what recipes.jsonl holds."""
        synthesizer = self._synthesizer
        if synthesizer is None:
            return []
        return [synthesizer.sample(index, generation=generation) for index in range(len(synthesizer))]

    def synthetic_share(self, *, processes: int | None = None) -> float:
        """Share of synthetic clips in mixed training batches of all processes together, rounding included.

        Args:
            processes: That share a batch; None takes those of torch.distributed, in which this one is.

        Where batches are of one kind throughout (`pretrain_batches`), `order().exposure` counts them.
        """
        filmed = len(self.split.train)
        synthetic = 0 if self._synthesizer is None else len(self._synthesizer)
        if synthetic == 0:
            return 0.0
        if self.mixture.ratio is None:
            return synthetic / (filmed + synthetic)
        total = self.loading.batch_size * (world()[1] if processes is None else processes)
        return synthetic_places(total, self.mixture.ratio) / total

    def order(self, *, processes: int | None = None) -> MixedBatches:
        """Which clips make up each training batch; its `exposure` counts what training comes to see.

        Args:
            processes: That share a batch; None takes those of torch.distributed, in which this one is.
        """
        filmed, synthetic = len(self.split.train), 0 if self._synthesizer is None else len(self._synthesizer)
        # Lightning steps at an epoch's end, however few batches have accumulated by then: epochs are made to fit.
        multiple = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        end = EpochEnd(last=self.loading.last, epoch_multiple=multiple)
        return MixedBatches(
            filmed,
            synthetic,
            batch_size=self.loading.batch_size,
            mixture=self.mixture,
            end=end,
            seed=self.seed,
            ranks=processes,
        )

    def filmed_exposure(self, batches: int, *, processes: int | None = None) -> float:
        """How often so many training batches of each process show each filmed clip, on average."""
        return round(self.order(processes=processes).exposure(batches)[0] / len(self.split.train), 2)

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
        """Test clips in order, the windows of one after the other."""
        return self._held_out(self.split.test, windows=self.loading.test_clips)

    def _held_out(self, records: Sequence[Record], *, windows: int = 1, memory_mb: float = 0.0) -> "Batches":
        clips = FilmedClips(tuple(records), self.clip, windows=windows, memory_mb=memory_mb)
        return self._batches(clips, InOrder(len(clips), self.loading.batch_size))

    def _batches(self, clips: Dataset, order: "MixedBatches | InOrder", drawing: Drawing | None = None) -> "Batches":
        # In plain Python, without a trainer, batches stay in main memory.
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        loader = _loader(clips, order, self.loading, pinned=device.type == "cuda")
        return Batches(loader, order, layout=self.loading.layout, drawing=drawing, device=device)

    def _divide(self) -> Split:
        split = self.protocol.split(self.dataset.records, self.dataset.classes)
        assert_named(split, self.protocol.separates, self.dataset.unnamed)
        assert_disjoint(split, self.protocol.separates)
        return split

    def _gather(self, split: Split) -> References:
        plan = self.synth
        wanted = plan is not None and plan.identities * plan.backgrounds > 0 and plan.per_class != 0
        if plan is None or not wanted:
            return References((), {}, {})
        return gather(
            split.train, plan.motion, cache=user_cache() / "motions", min_quality=plan.min_quality,
            fixed_cameras=self.dataset.fixed_cameras,
        )  # fmt: skip


def _synthesizer(
    synthesis: Synthesis, references: References, clip: ClipFormat, seed: int, images: dict[int, int] | None
) -> Synthesizer:
    films = [(record, references.by_key[record.key]) for record in references.records]
    if films:
        synthesis = replace(synthesis, background=synthesis.background.prepare(films))
    return Synthesizer(synthesis, references, clip, seed=seed, mirror_labels=images)


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
