"""The LightningDataModule that mixes filmed and synthetic clips, for any recognizer and any LightningModule."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from synthaug.datamodule.augmentation import Augmentation, LabelledAugmentation
from synthaug.datamodule.batches import LAYOUTS, Batches
from synthaug.datamodule.clips import FilmedClips, HeldOutClips, SyntheticClips, TrainingClips, UnrenderedClips
from synthaug.datamodule.gpu import BatchRendering
from synthaug.datamodule.guards import check_exclusions, check_flips, check_leaks, find_mirror_labels
from synthaug.datamodule.memory import allocate_finished_clips, hold_films
from synthaug.datamodule.order import (
    LAST_BATCHES,
    BatchMixture,
    EpochEnd,
    HeldOutBatches,
    MixedBatches,
    SampleIndex,
    rank_and_world_size,
)
from synthaug.datamodule.packed import PackedClips, open_clips
from synthaug.datasets import ActionDataset, Protocol, Split
from synthaug.datasets.leaks import check_split
from synthaug.exports import Pack
from synthaug.files import user_cache
from synthaug.foreign import ForeignClips
from synthaug.foreign.gathering import Training
from synthaug.renderers import BatchRenderer
from synthaug.structures import ClipFormat, Recipe, Record
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.preparing import prepare_synthesis
from synthaug.synthesis.recipes import check_mirroring
from synthaug.synthesis.references import (
    Extraction,
    References,
    extract_references,
    gather,
    refuse_shared_recordings,
    take_shard,
)
from synthaug.synthesis.strangers import add_strangers
from synthaug.workers import use_single_thread

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loading:
    """How clips become batches.

    Attributes:
        batch_size: Clips in a batch, per process.
        num_workers: Number of loader processes; 0 loads in the main one. Motions are extracted by as many processes
            before. The data do not depend on it.
        layout: "video": a dict with `video` [B 3 T H W], `label`, `synthetic`, `key`. "tuple": (video, label).
            "pixel_values": a dict with `pixel_values` [B T 3 H W] and `labels`, as Hugging Face models take.
        memory_mb: Training films, validation films and finished synthetic clips are kept in memory, at the size of
            clips, if each of the three sets fits into this many megabytes; forked workers share them. 0 reads films and
            composites clips every time.
        ahead: Batches rendered while training uses the one before, if a GPU renders; 0 renders each when it is needed.
        start_method: How workers start. fork shares avatars and compiled kernels with them; set here, because Python
            3.14 changes the default.
        last: How an epoch ends: "full" fills the last batch with clips of the next round, "short" leaves it short.
        test_clips: Number of windows from each test interval that is longer than a clip, spread evenly from its start
            to its end. They share a key; `Training` averages their scores, other modules see them one by one. 1 takes
            the middle alone, which misses actions that come early or late.

    Source:
        Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, section 4: scores averaged over
        several clips, spread uniformly over the time of a film (`test_clips`).
    """

    batch_size: int = 12
    num_workers: int = 2
    layout: str = "video"
    memory_mb: float = 512.0
    ahead: int = 1
    start_method: str = "fork"
    last: str = "full"
    test_clips: int = 3

    def __post_init__(self) -> None:
        for name, choices in (("last", LAST_BATCHES), ("layout", LAYOUTS)):
            if (chosen := getattr(self, name)) not in choices:
                raise ValueError(
                    f"Expected loading.{name} to be one of {', '.join(choices)}, got {chosen!r}. Choose one of them."
                )
        for name, least in (("batch_size", 1), ("test_clips", 1), ("num_workers", 0), ("ahead", 0), ("memory_mb", 0)):
            if (given := getattr(self, name)) < least:
                raise ValueError(f"Expected loading.{name} to be at least {least}, got {given}. Raise loading.{name}.")


class SynthAugDataModule(lightning.LightningDataModule):
    """Filmed and synthetic clips of one data set under one protocol.

    It works in plain Python, under LightningCLI and under Hydra, and feeds any LightningModule.

    Args:
        dataset: The filmed clips.
        protocol: Splits them into training, validation and test clips.
        synth: What to synthesise, or finished clips to read instead: an export's, or another generator's. None, like
            `identities=0`, gives filmed clips alone.
        clip: How clips are cut.
        loading: How clips become batches.
        mixture: How filmed and synthetic clips share training batches.
        augmentation: Changes training clips between epochs; None does not.
        seed: Decides recipes, order, windows and augmentation.
    """

    def __init__(  # noqa: PLR0913 - one argument for each choice of a run
        self,
        dataset: ActionDataset,
        protocol: Protocol,
        *,
        synth: Synthesis | Pack | ForeignClips | None = None,
        clip: ClipFormat = ClipFormat(),  # noqa: B008 - frozen
        loading: Loading = Loading(),
        mixture: BatchMixture = BatchMixture(),  # noqa: B008 - frozen
        augmentation: Augmentation | None = Augmentation(),  # noqa: B008 - frozen
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.protocol = protocol
        self.synth = None if isinstance(synth, Pack | ForeignClips) else synth
        self.pack = synth if isinstance(synth, Pack | ForeignClips) else None
        self.clip = clip
        self.loading = loading
        self.mixture = mixture
        self.augmentation = augmentation
        self.seed = seed
        self._split: Split | None = None
        self._mirror_labels: Mapping[int, int] = {}
        self._synthesizer: Synthesizer | None = None
        self._packed: PackedClips | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes, known after `prepare_data`."""
        return len(self.dataset.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.dataset.classes

    @property
    def class_weights(self) -> Float[Tensor, " class"]:
        """Inverse frequency of each class among the filmed training clips, mean 1; 0 for a class without clips."""
        counts = torch.bincount(torch.tensor([record.label for record in self.split.train]), minlength=self.num_classes)
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), torch.zeros(self.num_classes))
        return weights / weights.sum() * self.num_classes

    @property
    def split(self) -> Split:
        """Training, validation and test records, after `setup`."""
        if self._split is None:
            raise RuntimeError("The data are not split yet. Call prepare_data() and setup('fit') first.")
        return self._split

    @property
    def mirror_labels(self) -> Mapping[int, int]:
        """Label of the mirror image, by label, after `setup`; a class that is not in it is never mirrored."""
        return self._mirror_labels

    @property
    def synthesizer(self) -> Synthesizer | None:
        """Samples and renders the synthetic clips, after `setup`; None where `synth` renders nothing."""
        return self._synthesizer

    @property
    def packed(self) -> PackedClips | None:
        """The synthetic clips that are read, after `setup`; None if `synth` renders them, or is none."""
        return self._packed

    @property
    def classes_without_synthetic(self) -> tuple[str, ...]:
        """Names of the classes that are filmed for training and have no synthetic clip, after `setup`.

        Empty where nothing is synthesised: then no class lacks anything.
        """
        made = set(self._synthetic_labels())
        filmed = {record.label for record in self.split.train}
        return tuple(self.class_names[label] for label in sorted(filmed - set(made))) if made else ()

    def prepare_data(self) -> None:
        """Prepare the data set, extract motions and compile GPU kernels, in one process; only files are kept."""
        self.dataset.prepare()
        split = self._split_dataset()
        self._check_mirroring()  # before minutes of extraction
        self._gather_references(split)
        if self.pack is not None:
            open_clips(self.pack, self.describe_training(split))
        if self.synth is not None and isinstance(self.synth.renderer, BatchRenderer):
            self.synth.renderer.prepare()

    def _check_mirroring(self) -> dict[int, int] | None:
        """Labels of mirror images; None if the data set does not say, and nobody asks for them."""
        labels = find_mirror_labels(self.dataset)
        check_flips(self.augmentation, labels)
        if self.synth is not None and self.pack is None:
            check_mirroring(self.synth.mirror, labels)
        return labels

    def extract_motions(self, shard: tuple[int, int] = (1, 1)) -> References:
        """Extract the motions of one part of the training clips into the cache, where `setup` finds them.

        Quality does not matter here, and cameras are not aligned, since both need all clips.

        Args:
            shard: Number of the part, from 1, and number of parts (`references.take_shard`).

        Raises:
            ValueError: If nothing is synthesised, or there is no such part.
        """
        found = self.open_extraction()
        records = take_shard([*found.records.values()], *shard)
        return extract_references(records, found.source, cache=found.cache, num_workers=self.loading.num_workers)

    def open_extraction(self) -> Extraction:
        """The training clips whose motions `setup` will look for in the cache, to be extracted one by one.

        Raises:
            ValueError: If nothing is synthesised.
        """
        if self.pack is not None:
            raise ValueError("Expected synth to re-enact motions, got finished clips. Choose synth=default.")
        if self.synth is None:
            raise ValueError("Expected a configuration with synth, got synth=null. Leave synth=null out.")
        self.dataset.prepare()
        records = self._split_dataset().train
        return Extraction(self.synth.motion, {record.key: record for record in records}, _motion_cache())

    def setup(self, stage: str | None = None) -> None:
        """Split the data and plan the synthetic set. Calling it again does nothing.

        Raises:
            LeakError: If a synthetic clip would be made from a clip that is not a training clip.
        """
        if self._split is not None:
            return
        split = self._split_dataset()
        labels = self._check_mirroring()
        self._mirror_labels = labels or {}
        if self.pack is not None:
            self._packed = open_clips(self.pack, self.describe_training(split))
            for words in self._packed.warnings:
                logger.warning("%s", words)
        elif self.synth is not None:
            references = self._gather_references(split)
            check_exclusions(self.synth, self.dataset)
            _warn_of_dropped(references, len(split.train))
            named = self.synth.name_classes(self.dataset.classes)
            self._synthesizer = _make_synthesizer(named, references, self.clip, self.seed, labels)
            self._synthesizer.preload_avatars()
            check_leaks(self._synthesizer, split, self.protocol.separates)
        self._split = split

    def recipes(self, generation: int = 0) -> list[Recipe]:
        """Sample the recipe of every synthetic clip of the training set: what recipes.jsonl holds."""
        synthesizer, packed = self._synthesizer, self._packed
        if packed is not None:
            return [packed.sample(place) for place in range(len(packed))]
        if synthesizer is None:
            return []
        return [synthesizer.sample(index, generation=generation) for index in range(len(synthesizer))]

    def synthetic_share(self, *, processes: int | None = None) -> float:
        """Share of synthetic clips in mixed training batches, over all processes, after rounding.

        With `pretrain_batches`, batches are of one kind: then `order().exposure` counts both kinds.

        Args:
            processes: Number of processes that share a batch; None asks torch.distributed.
        """
        count = rank_and_world_size()[1] if processes is None else processes
        return self.order(processes=count).synthetic_share()

    def order(self, *, processes: int | None = None) -> MixedBatches:
        """Which clips make up each training batch; its `exposure` counts the clips of each kind.

        Args:
            processes: Number of processes that share a batch; None asks torch.distributed.
        """
        # At an epoch's end Lightning steps, however few batches have accumulated: so epochs must be whole multiples.
        multiple = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        end = EpochEnd(last=self.loading.last, epoch_multiple=multiple)
        return MixedBatches(
            [record.label for record in self.split.train],
            self._synthetic_labels(),
            batch_size=self.loading.batch_size,
            mixture=self.mixture,
            end=end,
            seed=self.seed,
            ranks=processes,
        )

    def filmed_exposure(self, batches: int, *, processes: int | None = None) -> float:
        """How often each filmed clip is seen, on average, in this many training batches of each process."""
        return round(self.order(processes=processes).exposure(batches)[0] / len(self.split.train), 2)

    def training_clips(self) -> TrainingClips:
        """The training set as a map-style data set: filmed clips, then synthetic ones, augmented, in uint8."""
        return TrainingClips(
            self._filmed_clips(self.split.train, memory_mb=self.loading.memory_mb),
            self._synthetic_clips(),
            augmentation=LabelledAugmentation(self.augmentation, self.mirror_labels),
            seed=self.seed,
        )

    def train_dataloader(self) -> Batches:
        """Mixed batches, in an order that depends on the seed and the epoch alone."""
        clips, order = self.training_clips(), self.order()
        synth, synthesizer = self.synth, self._synthesizer
        if synth is None or synthesizer is None or not isinstance(synth.renderer, BatchRenderer):
            return self._make_batches(clips, order)
        unrendered = UnrenderedClips(clips, synthesizer)
        threads, ahead = max(1, self.loading.num_workers), self.loading.ahead
        rendering = BatchRendering(synth.renderer, synthesizer, unrendered.finish, threads=threads, ahead=ahead)
        return self._make_batches(unrendered, order, rendering)

    def val_dataloader(self) -> Batches:
        """Validation clips in order; no batches if the protocol has no validation part."""
        return self._make_held_out_batches(self.split.val, memory_mb=self.loading.memory_mb)

    def test_dataloader(self) -> Batches:
        """Test clips in order, all windows of one after the other."""
        return self._make_held_out_batches(self.split.test, windows=self.loading.test_clips)

    def _filmed_clips(self, records: Sequence[Record], *, memory_mb: float) -> FilmedClips:
        films = hold_films(records, size=(self.clip.size, self.clip.size), limit_mb=memory_mb)
        return FilmedClips(tuple(records), self.clip, films)

    def _synthetic_labels(self) -> Sequence[int]:
        """Class of every synthetic clip."""
        if self._packed is not None:
            return self._packed.labels
        synthesizer = self._synthesizer
        return [] if synthesizer is None else [synthesizer.label(index) for index in range(len(synthesizer))]

    def _synthetic_clips(self) -> SyntheticClips | PackedClips | None:
        # Caching is pointless if recipes are resampled, and impossible if workers do not share memory (spawn).
        shared = self.loading.num_workers == 0 or self.loading.start_method == "fork"
        if self._packed is not None:
            limit_mb = self.loading.memory_mb if shared else 0.0
            return replace(
                self._packed, finished=allocate_finished_clips(len(self._packed), self.clip, limit_mb=limit_mb)
            )
        if self.synth is None or self._synthesizer is None:
            return None
        limit_mb = 0.0 if self.synth.resample_every or not shared else self.loading.memory_mb
        finished = allocate_finished_clips(len(self._synthesizer), self.clip, limit_mb=limit_mb)
        return SyntheticClips(self._synthesizer, self.synth.resample_every, finished)

    def _make_held_out_batches(self, records: Sequence[Record], *, windows: int = 1, memory_mb: float = 0.0) -> Batches:
        clips = HeldOutClips(self._filmed_clips(records, memory_mb=memory_mb), windows=windows)
        return self._make_batches(clips, HeldOutBatches(len(clips), self.loading.batch_size))

    def _make_batches(
        self, clips: Dataset, order: MixedBatches | HeldOutBatches, rendering: BatchRendering | None = None
    ) -> Batches:
        # In plain Python, without a trainer, batches stay in main memory.
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        loader = _make_loader(clips, order, self.loading, pinned=device.type == "cuda")
        return Batches(loader, order, layout=self.loading.layout, rendering=rendering, device=device)

    def _split_dataset(self) -> Split:
        split = self.protocol.split(self.dataset.records, self.dataset.classes)
        dataset = self.dataset
        check_split(split, self.protocol.separates, dataset.unnamed, published=dataset.published)
        return split

    def describe_training(self, split: Split) -> Training:
        """What a choice of finished clips depends on, if these clips were trained on and tested."""
        return Training(
            self.dataset.records, self.class_names, split, self.protocol.separates, self.clip, self.seed,
            _motion_cache(), self.loading.num_workers,
        )  # fmt: skip

    def _gather_references(self, split: Split) -> References:
        synth = self.synth
        if synth is None or synth.identities * synth.backgrounds == 0 or synth.per_class == 0:
            return References((), {}, {})
        refuse_shared_recordings((*split.train, *split.val, *split.test), synth.motion)
        found = gather(
            split.train,
            synth.motion,
            cache=_motion_cache(),
            min_quality=synth.min_quality,
            fixed_cameras=self.dataset.fixed_cameras,
            num_workers=self.loading.num_workers,
        )
        found = found.drop_glimpses(self.clip.seconds / 2)
        return add_strangers(found, synth, self.dataset.classes, seed=self.seed)


def _motion_cache() -> Path:
    return user_cache() / "motions"


def _warn_of_dropped(references: References, total: int) -> None:
    usable = {references.clip_of(record.key) for record in references.records}
    reasons: dict[str, str] = {}
    for key, reason in references.dropped.items():
        reasons.setdefault(references.clip_of(key), reason)
    left_out = [reason for clip, reason in reasons.items() if clip not in usable]
    if not left_out:
        return
    logger.warning("%d of %d training clips give no motion. The first: %s", len(left_out), total, left_out[0])
    if not references.records:
        logger.warning("No training clip gives a motion: there are no synthetic clips, and training sees film alone.")


def _make_synthesizer(
    synthesis: Synthesis, references: References, clip: ClipFormat, seed: int, labels: dict[int, int] | None
) -> Synthesizer:
    synthesis = prepare_synthesis(synthesis, references, clip, seed=seed, mirror_labels=labels)
    return Synthesizer(synthesis, references, clip, seed=seed, mirror_labels=labels)


def _make_loader(clips: Dataset, order: Sampler[list[SampleIndex]], loading: Loading, *, pinned: bool) -> DataLoader:
    workers = loading.num_workers
    return DataLoader(
        clips,
        batch_sampler=order,
        num_workers=workers,
        multiprocessing_context=loading.start_method if workers else None,
        persistent_workers=workers > 0,
        pin_memory=pinned,
        worker_init_fn=use_single_thread,
    )
