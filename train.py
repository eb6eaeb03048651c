"""Train a recognizer on filmed and synthetic clips: compose, build, fit, test, report."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from synthaug.cli.errors import plain_words


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    """One run; returns the mean class accuracy on test clips, so that sweepers can maximise it."""
    from evaluate import build
    from synthaug.cli.main import resolved
    from synthaug.runs.folder import begin, finished, leave_after, leave_before, leave_failure, leave_weights
    from synthaug.training import loops

    folder, start = Path(HydraConfig.get().runtime.output_dir), time.perf_counter()
    try:
        if (done := finished(folder, described := resolved(config))) is not None:
            return done
        begin(folder, described)
        run = build(config, folder)
        loops.check_launch(run.trainer, sweeping=HydraConfig.get().mode == RunMode.MULTIRUN)
        if run.trainer.is_global_zero:
            leave_before(run.data, folder)
        fitted = loops.fit(run.trainer, run.training, run.data, loops.find_start(config.ckpt_path, folder))
        predictions = loops.test(run.trainer, run.training, run.data, fitted.checkpoint)
        if not run.trainer.is_global_zero:  # one of several processes writes
            return float("nan")
        facts = {**asdict(fitted), "seed": config.seed, "overrides": list(HydraConfig.get().overrides.task)}
        facts["seconds_in_all"] = round(time.perf_counter() - start, 1)
        scores = leave_after(run.data, predictions, folder, facts)
        leave_weights(run.data, fitted.checkpoint, folder)
        return scores.mean_class_accuracy
    except Exception as error:
        leave_failure(folder, (words := plain_words(error)) or repr(error))
        if HydraConfig.get().mode == RunMode.MULTIRUN:  # the other jobs and the report go on
            logging.getLogger(__name__).error(words or "This job failed.", exc_info=None if words else error)
            return float("nan")
        if words is None:
            raise
        raise SystemExit(f"\n{words}") from error


class SweepTable(Callback):
    """A sweep's table and report when its last job has ended; `over` tells folds apart, which are averaged over."""

    def __init__(self, over: Sequence[str] = ()) -> None:
        self.over = tuple(over)

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Read what the jobs left, print it and write report.html beside them; failed jobs fail the sweep."""
        from synthaug.runs.folder import close_sweep

        if not close_sweep(Path(config.hydra.sweep.dir), over=self.over):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
