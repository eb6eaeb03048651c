"""Few-shot tasks on a run's test clips: `python episodes.py run=PATH n_way=5 n_shot=1 per_class=10`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from omegaconf import OmegaConf
from rich.console import Console

from evaluate import build
from synthaug.cli.errors import plain_words
from synthaug.cli.main import loaded
from synthaug.fewshot.episodes import Episodes, parse_episodes
from synthaug.files import write_atomic
from synthaug.reports.statistics import estimate, paired
from synthaug.runs.fewshot import evaluate_tasks
from synthaug.training import loops


def main(words: list[str]) -> None:
    """Play the tasks with the run's checkpoint, print both accuracies with their intervals, keep them in its folder.

    Options are the fields of `Episodes`, and `per_class`: synthetic clips of each class of a task, of its support.
    """
    asked = OmegaConf.to_container(OmegaConf.from_cli(words))
    assert isinstance(asked, dict)
    folder, per_class = Path(str(asked.pop("run", ""))), asked.pop("per_class", 0)
    if not isinstance(per_class, int) or not (folder / "config.yaml").is_file():
        raise SystemExit(
            f"'{' '.join(words)}' was given; run=FOLDER with the config.yaml that train.py left, per_class=N and "
            f"{', '.join(f'{name}=...' for name in Episodes.__dataclass_fields__)} were wanted."
        )
    episodes = parse_episodes({str(name): value for name, value in asked.items()})
    checkpoint = loops.find_checkpoint(folder)
    run = build(loaded(folder / "config.yaml"), folder / "evaluation")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    run.training.load_state_dict(state["state_dict"])
    played = evaluate_tasks(run.training.recognizer, run.data, episodes, per_class=per_class)
    filmed: dict[tuple[str, ...], float] = {(str(number),): one.filmed for number, one in enumerate(played)}
    extended: dict[tuple[str, ...], float] = {
        (str(number),): one.extended for number, one in enumerate(played) if one.extended is not None
    }
    said = {"filmed": asdict(estimate(filmed)), "chance": 1 / episodes.n_way}
    if extended:
        said["extended"] = asdict(estimate(extended))
        difference = paired(extended, filmed)
        said["difference"] = None if difference is None else asdict(difference)
    for name, figures in said.items():
        Console().print(
            name, {k: v for k, v in figures.items() if k != "values"} if isinstance(figures, dict) else figures
        )
    kept = {"episodes": asdict(episodes), "per_class": per_class, "outcomes": [asdict(one) for one in played]}
    write_atomic(folder / "episodes.json", (json.dumps(kept, indent=1) + "\n").encode())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        told = plain_words(error)
        if told is None:
            raise
        raise SystemExit(f"\n{told}") from error
