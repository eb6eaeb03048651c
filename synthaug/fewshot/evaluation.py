"""Few-shot classification of held-out clips, task by task, from filmed examples and from synthetic ones beside them.

After the DataModule and the recognizer; nothing is trained here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from rich.progress import track
from torch import Tensor

from synthaug.datamodule.batches import normalized
from synthaug.datamodule.clips import FilmedClips
from synthaug.datamodule.guards import mirror_labels
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.datasets import LeakError
from synthaug.fewshot.episodes import Episodes, Task, tasks
from synthaug.fewshot.prototypes import class_means, nearest_mean
from synthaug.files import user_cache
from synthaug.recognizers import Recognizer
from synthaug.structures import Record
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.references import extract_references, filter_references

_BATCH = 16


@dataclass(frozen=True)
class Outcome:
    """How a task went.

    Attributes:
        filmed: Share of queries named right from the filmed support alone.
        extended: The same with synthetic clips of that support beside it; None where none were asked for.
        synthetic_clips: How many there were.
    """

    filmed: float
    extended: float | None
    synthetic_clips: int


def outcomes(
    recognizer: Recognizer, data: SynthAugDataModule, episodes: Episodes, *, per_class: int = 0
) -> list[Outcome]:
    """Play every task on the test clips of a data module.

    Each class's prototype is the mean feature of its support; with synthetic clips, the mean of that and of their own
    mean, so that many of them do not outweigh the few filmed ones. They are made of the task's support alone, with
    the people, views and places of the data module's synthesis.

    Args:
        recognizer: Gives the features; left in evaluation mode.
        data: After `setup`; its recognizer must not have learnt from its test part.
        episodes: Which tasks.
        per_class: Synthetic clips of each class of a task; 0 makes none.

    Raises:
        ValueError: If synthetic clips are asked for and the data module has no synthesis.
        LeakError: If anything but the support would be performed.
    """
    drawn = tasks(data.split.test, episodes)
    recognizer.eval()
    records = {record.key: record for task in drawn for record in (*task.support, *task.query)}
    filmed = _filmed_features(recognizer, tuple(records.values()), data)
    made = (
        _Made(data, tuple(dict.fromkeys(r for task in drawn for r in task.support)), per_class) if per_class else None
    )
    played = track(drawn, "Playing tasks", transient=True, disable=len(drawn) < 4)
    return [_played(recognizer, task, filmed, made, number) for number, task in enumerate(played)]


def _played(
    recognizer: Recognizer, task: Task, filmed: Mapping[str, Tensor], made: "_Made | None", number: int
) -> Outcome:
    place = {label: index for index, label in enumerate(task.classes)}
    support, query = (
        (torch.stack([filmed[r.key] for r in part]), torch.tensor([place[r.label] for r in part]))
        for part in (task.support, task.query)
    )
    means = class_means(*support, num_classes=len(place))
    alone = _share(nearest_mean(query[0], means), query[1])
    if made is None:
        return Outcome(alone, None, 0)
    videos, labels = made.clips(task, number)
    own = torch.tensor([place[label] for label in labels])
    features = _features(recognizer, videos)
    present = own.unique()
    extended = means.clone()
    sums = torch.zeros_like(means).index_add(0, own, features)
    extended[present] = (means[present] + sums[present] / torch.bincount(own)[present, None]) / 2
    return Outcome(alone, _share(nearest_mean(query[0], extended), query[1]), len(videos))


class _Made:
    """Synthetic clips of one task's support at a time."""

    def __init__(self, data: SynthAugDataModule, support: tuple[Record, ...], per_class: int) -> None:
        if data.synth is None:
            raise ValueError(
                f"per_class={per_class} synthetic clips were asked for of a data module without `synth`; a Synthesis "
                "was wanted. Give one, or per_class=0."
            )
        self.data = data
        self.plan: Synthesis = replace(data.synth, per_class=per_class)
        self.images = mirror_labels(data.dataset)
        self.found = extract_references(support, data.synth.motion, cache=user_cache() / "motions")

    def clips(self, task: Task, number: int) -> tuple[list[UInt8[Tensor, "time 3 height width"]], list[int]]:
        """Videos and labels; none of classes whose support gives no motion.

        Raises:
            LeakError: If a recipe performs anything but the support.
        """
        keys = {record.key for record in task.support}
        # What is a query in this task was support in another: it must not say which way is up here.
        references = filter_references(
            self.found.select(keys), min_quality=self.plan.min_quality, fixed_cameras=self.data.dataset.fixed_cameras
        )
        if not references.records:
            return [], []
        films = [(record, references.by_key[record.key]) for record in references.records]
        background = self.plan.background.prepare(films)
        plan = replace(self.plan, background=background)
        maker = Synthesizer(
            plan, references, self.data.clip, seed=self.data.seed, lineage={"task": number}, mirror_labels=self.images
        )
        recipes = [maker.sample(index) for index in range(len(maker))]
        recipes = [recipe for recipe in recipes if recipe.label in task.classes]
        performed = {actor.motion for recipe in recipes for actor in recipe.actors}
        strangers = (performed | set(background.sources)) - keys
        if strangers:
            raise LeakError(
                f"Task {number} would learn from '{sorted(strangers)[0]}', which is not in its support. Only the "
                "support may be re-enacted; report this, since nothing that a user sets should lead here."
            )
        return [maker.render(recipe).video for recipe in recipes], [recipe.label for recipe in recipes]


def _filmed_features(
    recognizer: Recognizer, records: tuple[Record, ...], data: SynthAugDataModule
) -> dict[str, Float[Tensor, " feature"]]:
    clips = FilmedClips(records, data.clip)
    videos = (clips[0, index]["video"] for index in range(len(clips)))
    return dict(zip([record.key for record in records], _features(recognizer, list(videos)), strict=True))


@torch.inference_mode()
def _features(recognizer: Recognizer, videos: Sequence[object]) -> Float[Tensor, "clip feature"]:
    """Features of clips, on the device where the recognizer is; back in main memory."""
    device = next(recognizer.parameters()).device
    found = [torch.zeros(0, recognizer.num_features)]
    for start in range(0, len(videos), _BATCH):
        batch = torch.stack([video for video in videos[start : start + _BATCH] if isinstance(video, Tensor)])
        found.append(recognizer.features(normalized(batch.to(device)).transpose(1, 2)).float().cpu())
    return torch.cat(found)


def _share(predicted: Tensor, label: Tensor) -> float:
    return float((predicted == label).float().mean())
