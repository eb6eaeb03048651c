"""`synthaug evaluate`: test a run's checkpoint again, with other windows, on another machine or on moved films.

The run's own configuration is used; you can change only how clips are loaded, on what machine, and where the data are.
"""

import argparse

from synthaug.cli.arguments import add_command, add_overrides, split_run


def add_evaluate(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    parser = add_command(commands, "evaluate", _evaluate, "test a run's checkpoint again")
    add_overrides(parser, help="run=FOLDER, and what changes: loading.*, trainer.*, dataset.root, dataset.cache")


def _evaluate(chosen: argparse.Namespace) -> int:
    folder, overrides = split_run(chosen.overrides)
    # Heavy imports come after the folder was found: mistakes are reported at once.
    from synthaug.cli.configs import build_run, load_config
    from synthaug.runs.folder import leave_after
    from synthaug.training import loops

    checkpoint = loops.find_checkpoint(folder)
    run = build_run(load_config(folder / "config.yaml", overrides), folder / "evaluation")
    loops.check_processes(run.trainer, val=0, test=len(run.data.split.test))
    predictions = loops.test(run.trainer, run.training, run.data, checkpoint)
    leave_after(run.data, predictions, folder / "evaluation", {"checkpoint": checkpoint, "overrides": overrides})
    return 0
