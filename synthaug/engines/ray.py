"""Ray Data: items go through `map_batches` of a cluster's workers."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.engines import Engine, EngineError, Job, Outcome, do_item, read_reason

if TYPE_CHECKING:
    import numpy as np

_BLOCKS = 50  # for each worker
_PATIENCE = 10.0  # seconds until something must listen at an address


class DoItems:
    """A class for `ray.data.Dataset.map_batches`: does the items in the column `item`, and adds what came of each.

    Args:
        job: What to do; opened once in each worker.
        folder: Where relative paths begin; None leaves that as it is.
    """

    def __init__(self, job: Job, folder: Path | None = None) -> None:
        from synthaug.workers import use_single_thread

        use_single_thread()
        if folder is not None:
            os.chdir(folder)
        self._doing = job.open()

    def __call__(self, batch: dict[str, "np.ndarray[Any, Any]"]) -> dict[str, list[str] | list[float]]:
        """Do a batch.

        Args:
            batch: `item`: names of items.

        Returns:
            The columns of `Outcome`.
        """
        done = [do_item(self._doing, str(item)) for item in batch["item"]]
        return {
            "item": [one.item for one in done],
            "seconds": [one.seconds for one in done],
            "fault": [one.fault for one in done],
            "said": [one.said for one in done],
            "machine": [one.machine for one in done],
        }


@dataclass(frozen=True)
class Ray(Engine):
    """A Ray cluster: one that runs already, or this machine's cores.

    Attributes:
        address: Address of the cluster, or auto for the one that this machine belongs to; none starts one here.
        processes: Processes in the whole cluster, of one core each; none takes one for each core.
        batch: Items that a worker takes at a time; what it had begun is done again if it is lost.
    """

    address: str | None = None
    processes: int | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        for name in ("processes", "batch"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise EngineError(f"Expected --{name} to be at least 1, got {given}. Leave it out for the default.")

    def run(self, job: Job, items: Sequence[str]) -> Iterator[Outcome]:
        """Do all items; arguments and errors as for `Engine.run`."""
        ray = _import_ray()
        from ray.exceptions import RayError

        ours = not ray.is_initialized()
        if ours:
            _connect(ray, self.address)
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)  # its plans and hints are not the user's
            # A worker that is killed is started again, and its batch given to another: each may be done twice.
            ray.data.DataContext.get_current().actor_task_retry_on_errors = True
            cores = int(ray.cluster_resources().get("CPU", 1))
            batches = -(-len(items) // self.batch)
            workers = max(1, min(self.processes or cores, cores, batches))
            # A block is what a lost worker begins again; each costs the cluster some bookkeeping.
            blocks = min(batches, _BLOCKS * workers)
            rows = ray.data.from_items([{"item": item} for item in items], override_num_blocks=blocks)
            done = rows.map_batches(
                DoItems, fn_constructor_args=(job, Path.cwd()), batch_size=self.batch, num_cpus=1,
                compute=ray.data.ActorPoolStrategy(size=workers),
            )  # fmt: skip
            for row in done.iter_rows():
                yield Outcome(row["item"], row["seconds"], row["fault"], row["said"], row["machine"])
        except RayError as error:
            raise EngineError(
                f"Expected Ray's workers to do all items, got {read_reason(str(error))} Start again: what is done is "
                "kept."
            ) from error
        finally:
            if ours:
                ray.shutdown()


def _import_ray() -> Any:
    # Under `uv run`, Ray would build an environment for each worker; machines that see the same folders have one.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineError(
            f"Expected Ray for --engine ray, got no such package ({error}). Run pip install 'synthaug[ray]'."
        ) from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    ours = {name: value for name, value in os.environ.items() if name.startswith("SYNTHAUG_") or name == "PYTHONPATH"}
    options = {"runtime_env": {"env_vars": ours}, "log_to_driver": False, "configure_logging": False}
    try:
        _knock(address)
        ray.init(address=address, **options, **({} if address else {"include_dashboard": False}))
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(
            f"Expected a Ray cluster at {address or 'this machine'}, got {read_reason(str(error))} Start one with `ray "
            "start --head`, or leave --address out for this machine alone."
        ) from error


def _knock(address: str | None) -> None:
    """Refuse an address where nothing listens, which Ray would try for minutes."""
    host, _, port = (address or "").rpartition("/")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
