"""Pretrain a recognizer: steps over endless clips, resumable, deterministic by seed."""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from synthaug.files import write_atomic
from synthaug.pretraining.clips import collate
from synthaug.pretraining.tasks import PretrainingHeads, TaskWeights, judge_batch, normalize_clips
from synthaug.recognizers import DenseRecognizer
from synthaug.training.module import parameter_groups, rate_factor
from synthaug.training.muon import Muon
from synthaug.workers import use_single_thread

STATE = "pretraining.pt"
"""File that a stopped run continues from."""
REPORTED = 100
"""Steps between two lines."""
_CLASSIFIER = "fc"
"""What torchvision's networks and ours call their classifier."""


@dataclass(frozen=True)
class PretrainingSteps:
    """How long and how fast.

    Attributes:
        steps: Number of optimizer steps.
        batch_size: Clips in each.
        rate: Highest learning rate.
        warmup: Steps over which it rises.
        save_every: Steps between two states on disk.
        num_workers: Processes that render; 0 renders in this one.
        tasks: How much each task counts.
    """

    steps: int = 20_000
    batch_size: int = 24
    rate: float = 4e-3
    warmup: int = 200
    save_every: int = 500
    num_workers: int = 1
    tasks: TaskWeights = field(default_factory=TaskWeights)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.save_every) < 1 or self.num_workers < 0 or not self.rate > 0:
            raise ValueError(
                "Expected steps, batch_size and save_every of at least 1, num_workers of 0 or more and a positive "
                f"rate, got {self}. Correct the number."
            )


class _Numbers(Sampler[list[int]]):
    """The clips of every batch from one step on."""

    def __init__(self, first: int, plan: PretrainingSteps) -> None:
        self.first, self.plan = first, plan

    def __iter__(self) -> Iterator[list[int]]:
        size = self.plan.batch_size
        return ([step * size + k for k in range(size)] for step in range(self.first, self.plan.steps))

    def __len__(self) -> int:
        return self.plan.steps - self.first


def pretrain(recognizer: DenseRecognizer, clips: Dataset, plan: PretrainingSteps, folder: Path) -> DenseRecognizer:
    """Train a recognizer on endless clips; a run that was stopped continues from its last state.

    Args:
        recognizer: Changed in place; its classifier learns the procedural actions.
        clips: `PretrainingClips`, or other clips by number with the same fields.
        plan: How long.
        folder: Keeps the state, and `curve.jsonl`: the mean loss of each task over every hundred steps.

    Returns:
        The recognizer, in evaluation mode.

    Raises:
        ValueError: If the folder holds the state of another plan.
    """
    sample = clips[0]["video"]
    assert isinstance(sample, Tensor)
    channels = _count_channels(recognizer, sample)
    heads = PretrainingHeads(channels)
    learner = torch.nn.ModuleDict({"recognizer": recognizer, "heads": heads})
    optimizer = Muon(parameter_groups(learner), lr=plan.rate, weight_decay=0.02)
    first = _load_state(folder / STATE, learner, optimizer, plan)
    loader = DataLoader(
        clips,
        batch_sampler=_Numbers(first, plan),
        num_workers=plan.num_workers,
        collate_fn=collate,
        worker_init_fn=use_single_thread,
        multiprocessing_context="fork" if plan.num_workers else None,
        prefetch_factor=4 if plan.num_workers else None,
    )
    learner.train()
    recent: list[dict[str, float]] = []
    start = time.perf_counter()
    for step, batch in enumerate(loader, start=first):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * rate_factor(step, warmup_steps=plan.warmup, total_steps=plan.steps)
        loss, parts = judge_batch(recognizer, heads, batch, plan.tasks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
        optimizer.step()
        recent.append(parts)
        done = step + 1
        if done % REPORTED == 0 or done == plan.steps:
            _report(folder, done, recent, time.perf_counter() - start)
            recent, start = [], time.perf_counter()
        if done % plan.save_every == 0 or done == plan.steps:
            _save_state(folder / STATE, learner, optimizer, done, plan)
    return recognizer.eval()


def export_weights(recognizer: DenseRecognizer, facts: dict[str, str]) -> bytes:
    """The recognizer's tensors, without its classifier, in half precision, as the content of a safetensors file."""
    state = {}
    for name, value in recognizer.state_dict().items():
        if _CLASSIFIER not in name.split("."):
            state[name] = (value.half() if value.is_floating_point() else value.clone()).contiguous()
    return save(state, facts)


def _count_channels(recognizer: DenseRecognizer, video: Tensor) -> int:
    recognizer.eval()
    with torch.no_grad():
        return recognizer.maps(normalize_clips(video[None])).shape[1]


def _report(folder: Path, step: int, recent: list[dict[str, float]], seconds: float) -> None:
    means = {name: round(sum(one[name] for one in recent) / len(recent), 4) for name in recent[0]}
    line = {"step": step, **means, "seconds_a_step": round(seconds / len(recent), 3)}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "curve.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def _save_state(
    path: Path, learner: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, plan: PretrainingSteps
) -> None:
    buffer = io.BytesIO()
    state = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "plan": _name(plan)}
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def _load_state(path: Path, learner: torch.nn.Module, optimizer: torch.optim.Optimizer, plan: PretrainingSteps) -> int:
    """The step to continue from; 0 without a state."""
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["plan"] != _name(plan):
        raise ValueError(
            f"Expected the state of this plan in '{path}', got another's: {state['plan']}. Choose another folder, or "
            "the same numbers as before."
        )
    learner.load_state_dict(state["learner"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _name(plan: PretrainingSteps) -> str:
    """What of a plan decides the weights."""
    settings = asdict(plan)
    for name in ("num_workers", "save_every"):
        settings.pop(name)
    return json.dumps(settings, sort_keys=True)
