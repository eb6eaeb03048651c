"""`synthaug episodes`: few-shot tasks on a run's test clips, with and without synthetic clips of their support."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synthaug.cli.arguments import add_command, add_overrides, split_run

if TYPE_CHECKING:
    from synthaug.fewshot.evaluation import TaskOutcome


def add_episodes(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    parser = add_command(commands, "episodes", _episodes, "few-shot tasks on a run's test clips")
    add_overrides(parser, help="run=FOLDER n_way=5 n_shot=1 n_query=5 n_tasks=200 apart=subject seed=0 per_class=0")


def _episodes(chosen: argparse.Namespace) -> int:
    _refuse_unknown_options(chosen.overrides)
    folder, words = split_run(chosen.overrides)
    from dataclasses import asdict

    import torch
    from omegaconf import OmegaConf
    from rich.console import Console

    from synthaug.cli.configs import build_run, load_config
    from synthaug.fewshot.episodes import parse_episodes
    from synthaug.files import write_atomic
    from synthaug.runs.fewshot import evaluate_tasks
    from synthaug.training import loops

    options = OmegaConf.to_container(OmegaConf.from_cli(words))
    assert isinstance(options, dict)
    per_class = options.pop("per_class", 0)
    if not isinstance(per_class, int) or per_class < 0:
        raise ValueError(f"Expected per_class to be a number of synthetic clips, got {per_class}. Write per_class=10.")
    episodes = parse_episodes({str(name): value for name, value in options.items()})
    checkpoint = loops.find_checkpoint(folder)
    run = build_run(load_config(folder / "config.yaml"), folder / "evaluation")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    run.training.load_state_dict(state["state_dict"])
    played = evaluate_tasks(run.training.recognizer, run.data, episodes, per_class=per_class)
    for name, figures in _summarize(played, episodes.n_way).items():
        Console().print(name, figures)
    content = {"episodes": asdict(episodes), "per_class": per_class, "outcomes": [asdict(one) for one in played]}
    write_atomic(folder / "episodes.json", (json.dumps(content, indent=1) + "\n").encode())
    return 0


def _refuse_unknown_options(words: Sequence[str]) -> None:
    """Refuse words that are none of the options; this is told before the run is looked for."""
    from difflib import get_close_matches

    from synthaug.fewshot.episodes import Episodes

    known = ["run", *Episodes.__dataclass_fields__, "per_class"]
    for word in words:
        name, equals, value = word.partition("=")
        if name not in known or not equals:
            near = get_close_matches(name, known, n=1)
            advice = f"Did you mean {near[0]}={value or 'VALUE'}?" if near else "Choose from these."
            raise ValueError(f"Expected NAME=VALUE with one of {', '.join(known)}, got {word}. {advice}")


def _summarize(played: "Sequence[TaskOutcome]", n_way: int) -> dict[str, object]:
    """Both accuracies and their difference over tasks, each with its interval, and that of guessing."""
    from dataclasses import asdict

    from synthaug.reports.statistics import estimate, paired_difference

    filmed: dict[tuple[str, ...], float] = {(str(number),): one.filmed for number, one in enumerate(played)}
    extended: dict[tuple[str, ...], float] = {
        (str(number),): one.extended for number, one in enumerate(played) if one.extended is not None
    }
    figures: dict[str, object] = {"filmed": asdict(estimate(filmed)), "chance": 1 / n_way}
    if extended:
        figures["extended"] = asdict(estimate(extended))
        difference = paired_difference(extended, filmed)
        figures["difference"] = None if difference is None else asdict(difference)
    return {
        name: {key: value for key, value in one.items() if key != "values"} if isinstance(one, dict) else one
        for name, one in figures.items()
    }
