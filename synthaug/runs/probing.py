"""Fits a recognizer's classifier exactly, on features that are computed once and kept, in the place of training.

Where the backbone is frozen, steps only approach what a linear probe finds at once, and every step pays for the
backbone again. Here each clip pays once, on whatever run sees it first.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from synthaug.datamodule.clips import HeldOutClips
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.datamodule.order import SampleIndex
from synthaug.files import user_cache
from synthaug.progress import track
from synthaug.renderers import BatchRenderer
from synthaug.runs.feature_store import FeatureStore
from synthaug.structures import Record
from synthaug.training.linear_probe import Features, Part, choose_decay, fit_parts
from synthaug.training.module import Training
from synthaug.workers import use_single_thread

logger = logging.getLogger(__name__)

FOLDS = 5
"""Parts into which the clips of the only person who teaches are divided."""


@dataclass(frozen=True)
class LinearProbe:
    """How the classifier is fitted.

    Attributes:
        views: How often each filmed clip is cut and augmented anew. Synthetic clips are seen once.
        decays: Among which the regularisation of `fit_classifier` is chosen: by the validation part, else by the people
            who teach, each left out in turn with all clips that show them or their motion. A single one is taken as it
            is.
        cache: Folder that keeps features; None is `features` in the user's cache.
    """

    views: int = 8
    decays: Sequence[float] = (0.001, 0.01, 0.1, 1.0)
    cache: str | None = None

    def __post_init__(self) -> None:
        if self.views < 1 or not self.decays or not all(decay > 0 for decay in self.decays):
            raise ValueError(
                f"Expected probe.views of 1 or more and positive probe.decays, got views={self.views} and "
                f"decays={list(self.decays)}. probe.views=8 is usual."
            )

    @property
    def folder(self) -> Path:
        """Where features are kept."""
        return Path(self.cache).expanduser() if self.cache else user_cache() / "features"


@dataclass(frozen=True)
class ProbeResult:
    """What a fit found.

    Attributes:
        seconds: Wall clock time.
        decay: The regularisation that was chosen.
        grade: The accuracy by which it was chosen; None where there was no choice.
        filmed_exposure: How often each filmed clip was seen.
    """

    seconds: float
    decay: float
    grade: float | None
    filmed_exposure: float


def fit_probe(probe: LinearProbe, training: Training, data: SynthAugDataModule, *, device: torch.device) -> ProbeResult:
    """Fit the recognizer's classifier in place.

    Filmed and synthetic clips count as `mixture.ratio` has it, and synthetic ones as `training.synthetic_weight` says.
    What mixes the clips of a batch (mixup, cutmix, StillMix, FAME) is left out.

    Args:
        probe: How.
        training: Holds the recognizer.
        data: Set up.
        device: Where features are computed; the recognizer stays there.

    Raises:
        ValueError: If there are batches of one kind first.
    """
    start = time.perf_counter()
    if data.mixture.pretrain_batches:
        raise ValueError(
            "Expected mixture.pretrain_batches=0 for probe=exact, which sees all clips at once, got "
            f"{data.mixture.pretrain_batches}. Leave that out, or leave probe=exact out to train by steps."
        )
    if training.mixing.mixup_alpha or training.mixing.cutmix_alpha or training.scenes.still or training.scenes.merge:
        logger.info("The probe sees clips one by one: mixup, cutmix, StillMix and FAME are left out.")
    recognizer = training.recognizer.to(device)
    mode = recognizer.training
    recognizer.eval()
    store = FeatureStore(probe.folder, recognizer)
    parts = _collect_parts(probe, training, data, store)
    decay, grade = _choose(probe, parts, data, store)
    fitted = fit_parts(parts, recognizer.num_classes, decay=decay)
    recognizer.train(mode)
    with torch.no_grad():
        recognizer.classifier.weight.copy_(fitted.weight)
        recognizer.classifier.bias.copy_(fitted.bias)
    seen = float(probe.views) if data.mixture.ratio != 1 else 0.0
    return ProbeResult(round(time.perf_counter() - start, 1), decay, grade, seen)


def _collect_parts(probe: LinearProbe, training: Training, data: SynthAugDataModule, store: FeatureStore) -> list[Part]:
    """What the classifier learns from: views of the film, and synthetic clips."""
    clips, ratio = data.training_clips(), data.mixture.ratio
    group = group_records(data.split.train)
    filmed = [SampleIndex(view, place) for view in range(probe.views) for place in range(clips.num_filmed)]
    made = [SampleIndex(0, clips.num_filmed + place) for place in range(clips.num_synthetic)]
    weight = training.synthetic_weight
    if not made:
        shares = 1.0, 0.0
    elif ratio is None:
        shares = float(clips.num_filmed), weight * clips.num_synthetic
    else:
        shares = 1 - ratio, weight * ratio
    parts = []
    if shares[0] > 0:
        found = _look_at(clips, filmed, data, store, title="Looking at film")
        shown = tuple(group[data.split.train[index.index].key] for index in filmed)
        parts.append(Part(found, shown, shares[0]))
    if shares[1] > 0:
        found = _look_at(clips, made, data, store, title="Looking at synthetic clips")
        parts.append(Part(found, tuple(group[key] for key in find_sources(data)), shares[1]))
    return parts


def _choose(
    probe: LinearProbe, parts: Sequence[Part], data: SynthAugDataModule, store: FeatureStore
) -> tuple[float, float | None]:
    """The regularisation, and the accuracy by which it was chosen."""
    if len(probe.decays) == 1:
        return probe.decays[0], None
    validated = bool(data.split.val)
    testable = find_testable(data.split.train)
    if not validated and not testable:
        raise ValueError(
            "Expected some class that two who teach show, so that leaving one out can choose among "
            f"{len(probe.decays)} values of probe.decays, got none in {len(data.split.train)} training clips. Give "
            "one, as in 'probe.decays=[0.01]', or more clips, as with protocol.n_shot."
        )
    group = group_records(data.split.train)
    records = data.split.val or [record for record in data.split.train if group[record.key] in testable]
    filmed = data.training_clips().filmed
    held = HeldOutClips(type(filmed)(tuple(records), filmed.clip, filmed.films))
    indices = [SampleIndex(0, place) for place in range(len(held))]
    found = _look_at(held, indices, data, store, title="Looking at film as it is")
    shown = Part(found, tuple(group.get(key, "") for key in found.keys))
    grade, decay = choose_decay(parts, shown, data.num_classes, probe.decays, left_out=not validated)
    return decay, round(grade, 4)


def find_sources(data: SynthAugDataModule) -> list[str]:
    """Key of the training clip whose motion each synthetic clip shows, in their order."""
    if data.packed is not None:
        return [str(row["sources"][0]) for row in data.packed.pack.rows]  # type: ignore[index]
    synthesizer = data.synthesizer
    if synthesizer is None:
        return []
    return [synthesizer.references.clip_of(recipe.actors[0].motion) for recipe in data.recipes()]


def group_records(records: Sequence[Record]) -> dict[str, str]:
    """What a clip is left out with: its person or, if only one teaches, a fifth of each class."""
    people = {record.subject for record in records}
    if len(people) > 1:
        return {record.key: record.subject for record in records}
    in_order = sorted(records, key=lambda record: (record.label, record.key))
    return {record.key: f"part {place % FOLDS}" for place, record in enumerate(in_order)}


def find_testable(records: Sequence[Record]) -> list[str]:
    """The groups of `group_records`, sorted, that show a class that others show too.

    Whoever is the only one to show each of their classes cannot be graded when they are left out: nothing else teaches
    these. With one shot of each class that is everybody.
    """
    group, showing = group_records(records), dict[int, set[str]]()
    for record in records:
        showing.setdefault(record.label, set()).add(group[record.key])
    return sorted({one for groups in showing.values() if len(groups) > 1 for one in groups})


def _look_at(
    clips: Dataset, indices: Sequence[SampleIndex], data: SynthAugDataModule, store: FeatureStore, *, title: str
) -> Features:
    """Features of these clips of a set."""
    synth, loading = data.synth, data.loading
    # A renderer on a GPU works in this process alone.
    workers = 0 if synth is not None and isinstance(synth.renderer, BatchRenderer) else loading.num_workers
    size = loading.batch_size
    loader = DataLoader(
        clips,
        batch_sampler=[list(indices[k : k + size]) for k in range(0, len(indices), size)],  # type: ignore[arg-type]
        num_workers=workers,
        multiprocessing_context=loading.start_method if workers else None,
        worker_init_fn=use_single_thread,
    )
    found = [
        Features(store.look(batch["video"]), batch["label"], tuple(batch["key"]))
        for batch in track(loader, title, len(loader))
    ]
    return Features.join(found)
