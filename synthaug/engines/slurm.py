"""Slurm: a job array of submitit, each task of which does one part of the items."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthaug.engines import Engine, EngineError, Job, Outcome, add_outcome, do_item, read_outcomes, read_reason

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

logger = logging.getLogger(__name__)
_ATTEMPTS = 100
"""How often a task may be preempted or run out of time: each attempt goes on where the last one stopped."""
_POLL = {"slurm": 10.0, "local": 0.5}
"""Seconds between two looks at the tasks."""


@dataclass(frozen=True)
class Part:
    """One task of the array; called on the machine that Slurm chose.

    Attributes:
        job: What to do.
        items: The part's items.
        done: File of outcomes, which this task alone writes.
    """

    job: Job
    items: tuple[str, ...]
    done: Path

    def __call__(self) -> int:
        """Do what no earlier attempt of this task did; returns for how many items there is an outcome."""
        from synthaug.workers import use_single_thread

        use_single_thread()
        known = {outcome.item for outcome in read_outcomes(self.done)}
        left = [item for item in self.items if item not in known]
        doing = self.job.open() if left else None
        for item in left:
            assert doing is not None
            add_outcome(self.done, do_item(doing, item))
        return len(self.items)

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit submits again after preemption or the end of the allowed time: the same, which goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True)
class Slurm(Engine):
    """A Slurm job array, submitted by submitit from a machine that can submit.

    Attributes:
        machines: Tasks of the array, each with one core; items are dealt to them in turn.
        partition: Slurm's partition; none takes the cluster's own.
        account: Slurm's account; none takes your own.
        minutes: Minutes that a task may take; one that takes longer is submitted again and goes on.
        memory_gb: Memory of a task, in GB.
        at_once: Tasks that may run at the same time.
        logs: Folder of submitit's logs, which all machines see.
        cluster: slurm, or local for processes of this machine.
    """

    machines: int = 8
    partition: str | None = None
    account: str | None = None
    minutes: int = 240
    memory_gb: float = 4.0
    at_once: int = 256
    logs: Path = Path("slurm")
    cluster: Literal["slurm", "local"] = "slurm"

    def __post_init__(self) -> None:
        for name in ("machines", "minutes", "at_once"):
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise EngineError(
                    f"Expected --{flag} to be at least 1, got {getattr(self, name)}. Leave it out for the default."
                )

    def run(self, job: Job, items: Sequence[str]) -> Iterator[Outcome]:
        """Do all items; arguments and errors as for `Engine.run`. Outcomes come whenever a task ends."""
        submitit = _import_submitit()
        executor = self._make_executor(submitit)
        parts = self._deal(job, items)
        with executor.batch():
            tasks = [executor.submit(part) for part in parts]
        logger.info("%s: submitted %s as %d tasks, logs in %s.", job.title, tasks[0].job_id, len(tasks), self.logs)
        by_task = {task.job_id: part for task, part in zip(tasks, parts, strict=True)}
        lost = []
        for task in submitit.helpers.as_completed(tasks, poll_frequency=_POLL[self.cluster]):
            yield from read_outcomes(by_task[task.job_id].done)
            if (error := task.exception()) is not None:
                lost.append(f"{task.job_id}: {_find_reason(error)}")
        if lost:
            raise EngineError(
                f"Expected all {len(parts)} tasks to end, got {len(lost)} that failed, the first of them {lost[0]} "
                f"Read its log in {self.logs}, and start again: what is done is kept."
            )

    def _make_executor(self, submitit: Any) -> Any:
        try:
            executor = submitit.AutoExecutor(self.logs, cluster=self.cluster, slurm_max_num_timeout=_ATTEMPTS)
        except RuntimeError as error:
            raise EngineError(
                "Expected --engine slurm on a machine that can submit, got one without Slurm's commands. Log in to "
                "your cluster, or use --cluster local for processes of this machine."
            ) from error
        options = {"slurm_partition": self.partition, "slurm_account": self.account}
        executor.update_parameters(
            name="synthaug", timeout_min=self.minutes, cpus_per_task=1, mem_gb=self.memory_gb,
            slurm_array_parallelism=self.at_once, **{name: value for name, value in options.items() if value},
        )  # fmt: skip
        return executor

    def _deal(self, job: Job, items: Sequence[str]) -> list[Part]:
        """Deal items to tasks in turn, so that films of one kind, which lie together, do not meet in one task."""
        folder = Path(tempfile.mkdtemp(prefix="outcomes-", dir=_make(self.logs)))
        count = min(self.machines, len(items))
        return [Part(job, tuple(items[k::count]), folder / f"{k}.jsonl") for k in range(count)]


def _import_submitit() -> Any:
    try:
        import submitit
        import submitit.helpers
    except ImportError as error:
        raise EngineError(
            f"Expected submitit for --engine slurm, got no such package ({error}). Run pip install "
            "'synthaug[launchers]'."
        ) from error
    return submitit


def _find_reason(error: BaseException) -> str:
    """What a task raised, which submitit reports between rules; one that was killed left nothing to report."""
    report = str(error).split("-" * 22)
    return read_reason(report[1]) if len(report) > 2 else "it was killed, or its machine was lost."


def _make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()
