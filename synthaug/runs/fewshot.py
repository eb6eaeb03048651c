"""Evaluates a recognizer on few-shot tasks from the test clips of a data module; nothing is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.datamodule.batches import normalize
from synthaug.datamodule.clips import FilmedClips, HeldOutClips
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.datamodule.support import ForeignSupport, SupportSynthesis
from synthaug.datasets import Split
from synthaug.fewshot.episodes import Episodes, Task, sample_tasks
from synthaug.fewshot.evaluation import LabelledFeatures, TaskOutcome, extract_features, score_task
from synthaug.foreign import ForeignClips
from synthaug.progress import track
from synthaug.recognizers import Recognizer
from synthaug.structures import Record

BATCH_SIZE = 16
Video = UInt8[Tensor, "time 3 height width"]


def evaluate_tasks(
    recognizer: Recognizer, data: SynthAugDataModule, episodes: Episodes, *, per_class: int = 0
) -> list[TaskOutcome]:
    """Classify the queries of every task, from its filmed support and from synthetic clips of that support.

    Each class's prototype is the mean feature of its support; with synthetic clips, the mean of that and of their mean
    feature. Synthetic clips re-enact the task's support alone, with the avatars, cameras and backgrounds of the data
    module's synthesis.

    Args:
        recognizer: Gives the features; left in evaluation mode.
        data: After `setup`. The recognizer must not have learnt from its test clips.
        episodes: Which tasks to evaluate.
        per_class: Number of synthetic clips of each class of a task; 0 makes none.

    Raises:
        ValueError: If synthetic clips are asked for and the data module has no synthesis.
        LeakError: If a synthetic clip would show anything but the support.
    """
    tasks = sample_tasks(data.split.test, episodes)
    synthesis = _make_synthesis(data, tasks, per_class) if per_class else None
    recognizer.eval()
    records = {record.key: record for task in tasks for record in (*task.support, *task.query)}
    filmed = HeldOutClips(FilmedClips(tuple(records.values()), data.clip))
    found = _features_of(recognizer, [filmed.read(place).video for place in range(len(filmed))])
    features = dict(zip(records, found, strict=True))
    outcomes = []
    for number, task in enumerate(track(tasks, "Evaluating tasks")):
        synthetic = None if synthesis is None else _synthetic_features(recognizer, synthesis, task, number)
        support, query = (
            LabelledFeatures(torch.stack([features[record.key] for record in part]), _labels_in_task(task, part))
            for part in (task.support, task.query)
        )
        outcomes.append(score_task(support, query, n_way=len(task.classes), synthetic=synthetic))
    return outcomes


def _make_synthesis(
    data: SynthAugDataModule, tasks: Sequence[Task], per_class: int
) -> SupportSynthesis | ForeignSupport:
    support = tuple(dict.fromkeys(record for task in tasks for record in task.support))
    if isinstance(data.pack, ForeignClips):
        split = Split(support, (), data.split.test)
        return ForeignSupport(data.pack, data.describe_training(split), per_class=per_class)
    if data.pack is not None:
        raise ValueError(
            f"Expected clips that are rendered for each task, got a pack of finished ones, with per_class={per_class}. "
            "Leave pack out, or set per_class=0."
        )
    if data.synth is None:
        raise ValueError(
            f"Expected a data module with synth, got none, with per_class={per_class}. Give it a Synthesis, or set "
            "per_class=0."
        )
    return SupportSynthesis(
        replace(data.synth, per_class=per_class), data.dataset, data.clip, seed=data.seed, support=support,
        num_workers=data.loading.num_workers,
    )  # fmt: skip


def _synthetic_features(
    recognizer: Recognizer, synthesis: SupportSynthesis | ForeignSupport, task: Task, number: int
) -> LabelledFeatures:
    clips = synthesis.render_clips(task, number)
    labels = torch.tensor([task.classes.index(clip.label) for clip in clips], dtype=torch.int64)
    return LabelledFeatures(_features_of(recognizer, [clip.video for clip in clips]), labels)


def _labels_in_task(task: Task, records: Sequence[Record]) -> Tensor:
    return torch.tensor([task.classes.index(record.label) for record in records])


def _features_of(recognizer: Recognizer, videos: Sequence[Video]) -> Float[Tensor, "clip feature"]:
    return extract_features(recognizer, _normalized_batches(videos, next(recognizer.parameters()).device))


def _normalized_batches(videos: Sequence[Video], device: torch.device) -> Iterator[Tensor]:
    for start in range(0, len(videos), BATCH_SIZE):
        batch = torch.stack(list(videos[start : start + BATCH_SIZE])).to(device)
        yield normalize(batch).transpose(1, 2)
