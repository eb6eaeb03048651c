"""Train a recognizer on filmed and synthetic clips: compose, build, fit, test, report."""

from dataclasses import asdict
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from synthaug.failures import plain_words


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    """One run; returns the mean class accuracy on test clips, so that sweepers can maximise it."""
    from evaluate import build
    from synthaug.recognizers import loops
    from synthaug.runs import leave_after, leave_before, leave_failure

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        OmegaConf.save(config, folder / "config.yaml", resolve=True)
        run = build(config, folder)
        leave_before(run.data, folder)
        fitted = loops.fit(run.trainer, run.training, run.data)
        facts = {**asdict(fitted), "seed": config.seed, "overrides": list(HydraConfig.get().overrides.task)}
        predictions = loops.test(run.trainer, run.training, run.data, fitted.checkpoint)
        return leave_after(run.data, predictions, folder, facts).mean_class_accuracy
    except Exception as error:
        words = plain_words(error)
        leave_failure(folder, words or repr(error))
        if words is None or HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        raise SystemExit(f"\n{words}") from error


class SweepTable(Callback):
    """Prints a sweep's table of arms when its last job has ended, of whatever finished."""

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Read what the jobs left and print it."""
        from synthaug.reports import print_sweep

        print_sweep(Path(config.hydra.sweep.dir))


if __name__ == "__main__":
    main()
