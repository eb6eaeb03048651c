"""Measure what training costs, and what synthetic clips add to it: `python -m benchmarks.training [OVERRIDE ...]`.

The demo is trained on filmed clips alone and on half synthetic ones, in turn, with the same network, steps, batches and
two loader processes; the first steps, in which processes start, do not count. Then one batch goes through the parts of
a step, for the small network and for ResNet-18: CPU milliseconds of one thread, medians.

The last line is one JSON object:

mixed_over_real     wall clock of half synthetic training over real-only training, means of the rounds; the first epoch
                    renders its clips, later ones take them from memory
step_ms             wall clock of a step of half synthetic training
wait_ms             of it, waiting for the loader, over the last steps
parts_ms            CPU milliseconds of the parts of a step: mix (mixup), forward, backward, update
parts_ms_resnet18   the same for ResNet-18
load                of the machine, at the end
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import one_hot

from synthaug.cli.configs import build_data, compose_config
from synthaug.datamodule.batches import Batches, LoaderMonitor
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.recognizers import Recognizer
from synthaug.recognizers.resnet import ResNet2D
from synthaug.recognizers.small import SmallResNet
from synthaug.training.mixing import Mix, mix_clips
from synthaug.training.module import Training, parameter_groups
from synthaug.training.muon import Muon

ARMS = {"real": "mixture.ratio=0.0", "mixed": "mixture.ratio=0.5"}
_WARM = 10
"""Steps at the start that do not count."""
_PASSES = 15
"""How often a batch goes through the parts of a step; the first three do not count."""


class Clock(Callback):
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    @property
    def step_ms(self) -> float:
        """Mean of the steps that count."""
        return 1e3 * (self.ends[-1] - self.ends[_WARM - 1]) / (len(self.ends) - _WARM)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="steps of each training (300)")
    parser.add_argument("--rounds", type=int, default=2, help="how often both are trained (2)")
    parser.add_argument("overrides", nargs="*", help="settings of both, such as dataset=folder dataset.root=DIR")
    chosen = parser.parse_args()
    if chosen.steps <= _WARM:
        parser.error(f"Expected more than {_WARM} steps, got {chosen.steps}.")
    torch.set_num_threads(1)
    data = {name: prepare([*chosen.overrides, word]) for name, word in ARMS.items()}
    found: dict[str, list[float]] = {name: [] for name in ARMS}
    wait = 0.0
    for number in range(chosen.rounds):
        for name in list(ARMS)[:: 1 if number % 2 == 0 else -1]:
            step, waited = train(data[name], chosen.steps)
            found[name].append(step)
            wait = waited if name == "mixed" else wait
    means = {name: statistics.mean(values) for name, values in found.items()}
    batch = next(iter(data["mixed"].train_dataloader()))
    assert isinstance(batch, dict) and isinstance(batch["video"], Tensor)
    classes = data["mixed"].num_classes
    networks: dict[str, Recognizer] = {
        "small": SmallResNet(classes, focus=64),
        "resnet18": ResNet2D(classes, depth=18),
    }
    parts = {name: measure_parts(network, batch["video"]) for name, network in networks.items()}
    print_parts(parts)
    figures = {
        "mixed_over_real": round(means["mixed"] / means["real"], 3),
        "step_ms": round(means["mixed"], 1),
        "wait_ms": round(wait, 1),
        "parts_ms": parts["small"],
        "parts_ms_resnet18": parts["resnet18"],
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))


def prepare(words: Sequence[str]) -> SynthAugDataModule:
    """The data of one training."""
    data = build_data(compose_config(words))
    data.prepare_data()
    data.setup()
    return data


def train(data: SynthAugDataModule, steps: int) -> tuple[float, float]:
    """Wall clock milliseconds of a step, and of waiting in it, of a fresh small network; memory is empty again."""
    torch.manual_seed(0)
    clock = Clock()
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0, callbacks=[clock, LoaderMonitor()],
    )  # fmt: skip
    trainer.fit(Training(SmallResNet(data.num_classes, focus=64), optimizer=Muon), datamodule=data)
    batches = trainer.train_dataloader
    assert isinstance(batches, Batches)
    return clock.step_ms, batches.milliseconds["wait"]


def measure_parts(network: Recognizer, video: Tensor) -> dict[str, float]:
    """CPU milliseconds of the parts of a training step on this batch."""
    network.train()
    optimizer = Muon(parameter_groups(network))
    label = torch.arange(len(video)) % network.num_classes
    synthetic = torch.arange(len(video)) % 2 == 0
    times: dict[str, list[float]] = {}

    def clock(name: str, work: Callable[[], Tensor]) -> Tensor:
        start = time.process_time()
        result = work()
        times.setdefault(name, []).append(1e3 * (time.process_time() - start))
        return result

    targets = one_hot(label, network.num_classes).float()
    for _ in range(_PASSES):
        mixed = clock("mix", lambda: mix_clips(video, targets, synthetic, mix=Mix(0.3, None))[0])
        logits = clock("forward", lambda mixed=mixed: network(mixed))  # type: ignore[misc]
        loss = torch.nn.functional.cross_entropy(logits, label)
        optimizer.zero_grad()
        clock("backward", lambda loss=loss: (loss.backward(), loss)[1])  # type: ignore[misc]
        clock("update", lambda loss=loss: (optimizer.step(), loss)[1])  # type: ignore[misc]
    return {name: round(statistics.median(values[3:]), 1) for name, values in times.items()}


def print_parts(parts: dict[str, dict[str, float]]) -> None:
    """A table of the parts of a step."""
    table = Table(title="CPU milliseconds of a step")
    names = list(next(iter(parts.values())))
    for name in ("network", *names, "all"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for network, found in parts.items():
        table.add_row(network, *(f"{found[name]:.1f}" for name in names), f"{sum(found.values()):.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
