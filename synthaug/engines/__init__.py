"""The interface of engines: they do the same work for many items, on many machines that see the same folders.

Whatever an engine does, a job keeps one contract: an item may be done twice or be interrupted, its result appears whole
or not at all, and a job that is started again does only what is missing.
"""

import json
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Doing = Callable[[str], str]
"""Does one item, keeps what it makes where all machines see it, and returns what there is to say of it, or nothing."""


class EngineError(ValueError):
    """An engine cannot work; the message says why."""


class Job(ABC):
    """Work to be done for many items, described by plain values: it is pickled on its way to a machine.

    Subclasses are frozen dataclasses.
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """What it does: "Rendering"."""

    @abstractmethod
    def list_missing(self) -> Sequence[str]:
        """The items that are not done yet, in the same order wherever it is asked."""

    @abstractmethod
    def open(self) -> Doing:
        """Prepare what all items share, in the process that will do them.

        What is returned raises ValueError, OSError or RuntimeError for an item that cannot be done.
        """


@dataclass(frozen=True)
class Outcome:
    """What came of one item.

    Attributes:
        item: The item.
        seconds: How long it took.
        fault: Why it was not done; empty if it was.
        said: What the work returned.
        machine: Name of the machine that did it.
    """

    item: str
    seconds: float = 0.0
    fault: str = ""
    said: str = ""
    machine: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


class Engine(ABC):
    """Does the items of a job somewhere. Subclasses are frozen dataclasses; their fields become options of commands."""

    @abstractmethod
    def run(self, job: Job, items: Sequence[str]) -> Iterator[Outcome]:
        """Do all items; yield each as soon as its outcome is known, in any order, and none twice.

        A machine that is lost costs time and no items.

        Raises:
            EngineError: If the machines cannot be reached, or items stay undone.
        """


def run_job(engine: Engine, job: Job, items: Sequence[str], *, log: Path) -> Iterator[Outcome]:
    """Do items of a job; yield each outcome, after it was added to a file.

    Args:
        engine: Where.
        job: What.
        items: For what: `Job.list_missing`.
        log: A file of one JSON line for each outcome; lines are added.

    Raises:
        EngineError: If the engine cannot work, or left items without an outcome.
    """
    left = dict.fromkeys(items)
    for outcome in engine.run(job, tuple(left)) if left else ():
        if outcome.item not in left:
            continue  # done twice by machines of which one was thought to be lost
        del left[outcome.item]
        add_outcome(log, outcome)
        yield outcome
    if left:
        raise EngineError(
            f"Expected an outcome for every item, got none for {len(left)}, such as {next(iter(left))}. Look at the "
            "engine's own log, and start again: what is done is kept."
        )


def do_item(doing: Doing, item: str) -> Outcome:
    """Do one item here; what it raises becomes the outcome's fault."""
    started, fault, said = time.perf_counter(), "", ""
    try:
        said = doing(item)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        fault = str(error) or type(error).__name__
    return Outcome(item, round(time.perf_counter() - started, 3), fault, said, platform.node())


def add_outcome(file: Path, outcome: Outcome) -> None:
    """Add an outcome to a file of them, which this process alone writes."""
    from synthaug.files import append_line

    append_line(file, outcome.to_json())


def read_outcomes(file: Path) -> list[Outcome]:
    """The outcomes in a file; a line that was cut off, because its writer was killed, is left out."""
    outcomes = []
    for line in file.read_text("utf-8").splitlines() if file.is_file() else ():
        try:
            outcomes.append(Outcome(**json.loads(line)))
        except (ValueError, TypeError):
            continue  # the item is done again
    return outcomes


def read_reason(report: str) -> str:
    """What a traceback of another process ends with: its last line, as a sentence."""
    lines = report.strip().splitlines() or ["no reason"]
    reason = lines[-1].strip().removeprefix("ValueError: ")
    return reason if reason.endswith(".") else f"{reason}."
