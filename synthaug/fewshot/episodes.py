"""n-way n-shot tasks: a list that depends on the seed alone.

Between a data set's records and few-shot classification; pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthaug.structures import TRAITS, Record, Trait

_TASKS = 31
"""Stream of chance."""


@dataclass(frozen=True)
class Episodes:
    """Which tasks are drawn.

    Attributes:
        n_way: Classes in a task.
        n_shot: Support clips of each class.
        n_query: Query clips of each class, at most; as many as there are where there are fewer.
        n_tasks: Number of tasks.
        apart: What support and query of a task never share: a field of Record.
        seed: Decides all tasks.
    """

    n_way: int = 5
    n_shot: int = 1
    n_query: int = 5
    n_tasks: int = 200
    apart: Trait = "subject"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.n_way - 1, self.n_shot, self.n_query, self.n_tasks) < 1:
            raise ValueError(
                f"n_way={self.n_way}, n_shot={self.n_shot}, n_query={self.n_query}, n_tasks={self.n_tasks} were given; "
                "at least 2, 1, 1 and 1 were wanted. Raise them."
            )


def episodes_of(asked: Mapping[str, object]) -> Episodes:
    """Episodes as words on a command line ask for them.

    Raises:
        ValueError: If a name is unknown, or a value of another kind.
    """
    names = [name for name in Episodes.__dataclass_fields__ if name != "apart"]
    whole = {name: value for name, value in asked.items() if type(value) is int and name in names}
    wrong = {name: value for name, value in asked.items() if name not in (*whole, "apart")}
    apart = next((trait for trait in TRAITS if trait == asked.get("apart", "subject")), None)
    if wrong or apart is None:
        given = ", ".join(f"{name}={value}" for name, value in {**asked, **wrong}.items())
        raise ValueError(
            f"{given} was given; {', '.join(names)} as whole numbers, and for apart one of {', '.join(TRAITS)}, were "
            "wanted. Correct them."
        )
    return Episodes(apart=apart, **whole)


@dataclass(frozen=True)
class Task:
    """Some classes to be told apart by a few examples of each.

    Attributes:
        classes: Labels in the data set; a clip's class in the task is its place here.
        support: Examples, `n_shot` of each class.
        query: What is to be named.
    """

    classes: tuple[int, ...]
    support: tuple[Record, ...]
    query: tuple[Record, ...]


def tasks(records: Sequence[Record], episodes: Episodes) -> list[Task]:
    """Draw tasks out of records.

    In each task the people (cameras, files) are divided by lot: one half shows the support, the other the query.
    The order of classes, people and clips is drawn once a task, and shots are taken from its beginning: the tasks of
    fewer shots are those of more shots with less support and the same query.

    Args:
        records: Clips that the recognizer has not learnt from.
        episodes: Which tasks.

    Raises:
        ValueError: If there are fewer classes than ways, or a task cannot be filled.
    """
    labels = sorted({record.label for record in records})
    if len(labels) < episodes.n_way:
        raise ValueError(
            f"Tasks of n_way={episodes.n_way} classes were asked for; the records show {len(labels)}. "
            f"Set episodes.n_way to {len(labels)} or less."
        )
    ordered = sorted(records, key=lambda record: record.key)
    return [_task(ordered, labels, episodes, number) for number in range(episodes.n_tasks)]


def _task(records: Sequence[Record], labels: Sequence[int], episodes: Episodes, number: int) -> Task:
    rng = np.random.default_rng([episodes.seed, _TASKS, number])
    classes = tuple(int(labels[place]) for place in rng.permutation(len(labels))[: episodes.n_way])
    groups = sorted({_group(record, episodes) for record in records})
    shuffled = [groups[place] for place in rng.permutation(len(groups))]
    shown = set(shuffled[: (len(shuffled) + 1) // 2])
    support: list[Record] = []
    query: list[Record] = []
    for label in classes:
        clips = [records[place] for place in rng.permutation(len(records)) if records[place].label == label]
        if episodes.apart == "key":
            # Clips belong to one class each, so that every class can be divided into equal halves.
            shown = {record.key for record in clips[: (len(clips) + 1) // 2]}
        ours = [record for record in clips if _group(record, episodes) in shown]
        theirs = [record for record in clips if _group(record, episodes) not in shown]
        if len(ours) < episodes.n_shot or not theirs:
            raise ValueError(
                f"Task {number} finds {len(ours)} clips of class {label} for its support and {len(theirs)} for its "
                f"query, which share no {episodes.apart}; {episodes.n_shot} and at least 1 were wanted. Lower "
                "episodes.n_shot, leave the class out, or set episodes.apart=key."
            )
        support += ours[: episodes.n_shot]
        query += theirs[: episodes.n_query]
    return Task(classes, tuple(support), tuple(query))


def _group(record: Record, episodes: Episodes) -> str:
    return str(getattr(record, episodes.apart))
