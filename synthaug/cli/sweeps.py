"""Hydra's callback that reports a sweep when its last job has ended."""

from collections.abc import Sequence
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepTable(Callback):
    """Print a sweep's table and write its report when its last job has ended.

    Args:
        over: Overrides that distinguish folds, such as protocol.test_subjects; figures are averaged over the folds.
        baselines: What arms are compared with, such as arm=none; the usual controls if none is named.
    """

    def __init__(self, over: Sequence[str] = (), baselines: Sequence[str] = ()) -> None:
        self.over = tuple(over)
        self.baselines = tuple(baselines)

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Keep the sweep's folder, which whoever stops the sweep is told."""
        from synthaug.cli.stopping import remember_place

        remember_place("hydra.sweep.dir", Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Read what the jobs left, print it and write report.html beside them; failed jobs fail the sweep."""
        from synthaug.runs.folder import close_sweep

        if not close_sweep(Path(config.hydra.sweep.dir), over=self.over, baselines=self.baselines):
            raise SystemExit(1)
