"""Samples n-way n-shot tasks from records; the list of tasks depends on the seed alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthaug.structures import TRAITS, Record, Trait

TASK_STREAM = 31
"""Random stream of the tasks."""


@dataclass(frozen=True)
class Episodes:
    """Which tasks are sampled.

    Attributes:
        n_way: Number of classes in a task.
        n_shot: Number of support clips of each class.
        n_query: Largest number of query clips of each class; fewer if there are fewer.
        n_tasks: Number of tasks.
        apart: Field of Record that support and query of a task never share.
        seed: Decides all tasks.
    """

    n_way: int = 5
    n_shot: int = 1
    n_query: int = 5
    n_tasks: int = 200
    apart: Trait = "subject"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_way", 2), ("n_shot", 1), ("n_query", 1), ("n_tasks", 1)):
            if (given := getattr(self, name)) < least:
                raise ValueError(f"Expected {name} to be at least {least}, got {given}. Raise {name}.")


def parse_episodes(options: Mapping[str, object]) -> Episodes:
    """Make Episodes from options of a command line.

    Raises:
        ValueError: If an option is unknown, or its value is of the wrong type.
    """
    names = [name for name in Episodes.__dataclass_fields__ if name != "apart"]
    numbers = {name: value for name, value in options.items() if type(value) is int and name in names}
    wrong = [f"{name}={value}" for name, value in options.items() if name not in (*numbers, "apart")]
    if wrong:
        raise ValueError(
            f"Expected whole numbers for {', '.join(names)}, got {', '.join(wrong)}. Correct or remove these options."
        )
    apart = next((trait for trait in TRAITS if trait == options.get("apart", "subject")), None)
    if apart is None:
        raise ValueError(
            f"Expected apart to be one of {', '.join(TRAITS)}, got {options['apart']!r}. Choose one of them."
        )
    return Episodes(apart=apart, **numbers)


@dataclass(frozen=True)
class Task:
    """A few-shot task: some classes, a few examples of each, and clips to classify.

    Attributes:
        classes: Labels in the data set; a clip's label within the task is the place of its class here.
        support: Examples, `n_shot` of each class.
        query: Clips to classify.
    """

    classes: tuple[int, ...]
    support: tuple[Record, ...]
    query: tuple[Record, ...]


def sample_tasks(records: Sequence[Record], episodes: Episodes) -> list[Task]:
    """Sample tasks from records.

    In each task the people (or cameras, or files) are split at random: one half is in the support, the other in the
    query. The order of classes, people and clips is sampled once for each task, and the support takes the first
    `n_shot` clips. With fewer shots, tasks therefore have the same query clips and a part of the support.

    Args:
        records: Clips that the recognizer has not learnt from.
        episodes: Which tasks to sample.

    Raises:
        ValueError: If there are fewer classes than `n_way`, or too few clips for a task.
    """
    labels = sorted({record.label for record in records})
    if len(labels) < episodes.n_way:
        raise ValueError(
            f"Expected at least n_way={episodes.n_way} classes in the test part, got {len(labels)}. "
            f"Set n_way={len(labels)} or less."
        )
    ordered = sorted(records, key=lambda record: record.key)
    return [_sample_task(ordered, labels, episodes, number) for number in range(episodes.n_tasks)]


def _sample_task(records: Sequence[Record], labels: Sequence[int], episodes: Episodes, number: int) -> Task:
    rng = np.random.default_rng([episodes.seed, TASK_STREAM, number])
    classes = tuple(int(labels[place]) for place in rng.permutation(len(labels))[: episodes.n_way])
    traits = sorted({_trait_of(record, episodes) for record in records})
    shuffled = [traits[place] for place in rng.permutation(len(traits))]
    shown = set(shuffled[: (len(shuffled) + 1) // 2])
    support: list[Record] = []
    query: list[Record] = []
    for label in classes:
        clips = [records[place] for place in rng.permutation(len(records)) if records[place].label == label]
        if episodes.apart == "key":
            # Each clip belongs to one class, so every class can be split into halves of its own.
            shown = {record.key for record in clips[: (len(clips) + 1) // 2]}
        support_clips = [record for record in clips if _trait_of(record, episodes) in shown]
        query_clips = [record for record in clips if _trait_of(record, episodes) not in shown]
        if len(support_clips) < episodes.n_shot or not query_clips:
            raise ValueError(
                f"Expected {episodes.n_shot} support clips and a query clip of class {label} in task {number}, with "
                f"no {episodes.apart} in both, got {len(support_clips)} and {len(query_clips)}. Lower n_shot, leave "
                "the class out, or set apart=key."
            )
        support += support_clips[: episodes.n_shot]
        query += query_clips[: episodes.n_query]
    return Task(classes, tuple(support), tuple(query))


def _trait_of(record: Record, episodes: Episodes) -> str:
    return str(getattr(record, episodes.apart))
