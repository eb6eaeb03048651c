"""Measure rendering on a GPU: `python -m benchmarks.render_gpu` times batches of clips and training steps.

Needs CUDA and gsplat's kernels; without CUDA it says so and succeeds. Clips have 16 frames at 224 px with people at
three metres, and are timed in whole batches from joints to uint8 in main memory. Training is r3d_18 on the demo data at
224 px: with clips rendered on the fly (no cache), and with filmed clips alone. The last line is one JSON object.
"""

import argparse
import dataclasses
import json
import os
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import lightning
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.render import FRAMES, view
from synthaug.avatars.anny import AnnyPeople
from synthaug.body.rotations import quat_to_matrix
from synthaug.body.skeleton import mean_skeleton, resample, retarget
from synthaug.datamodule.batches import Batches
from synthaug.levels import Pyramid
from synthaug.motions.actions import ACTIONS, Actions
from synthaug.renderers import Shot, Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.gsplat import GsplatRenderer
from synthaug.structures import Gaussians, Light, Motion, Record
from synthaug.testing.renderers import psnr

SIZE = 224
FULL, PIECES = 34_000, 5
"""Gaussians of a procedural person, and pieces into which each is cut: 170,000 in all, as in ExAvatar's people."""
PEOPLE = 4
"""Identities in a batch."""


def cut(person: Gaussians) -> Gaussians:
    """The person with each Gaussian cut into PIECES that cover the same extent; levels of detail stay as they are."""
    parts = {
        name: getattr(person, name).repeat_interleave(PIECES, dim=0)
        for name in ("means", "quats", "scales", "opacities", "colors", "joint_ids", "weights", "normals")
    }
    spread = torch.randn(parts["means"].shape, generator=torch.Generator().manual_seed(0))
    local = spread * parts["scales"] * (1 - 1 / PIECES) ** 0.5
    parts["means"] = parts["means"] + (quat_to_matrix(parts["quats"]) @ local[:, :, None])[:, :, 0]
    return dataclasses.replace(person, **{**parts, "scales": parts["scales"] / PIECES**0.5})


def shots(count: int) -> list[Shot]:
    """Clips of different people with levels of detail and light, each with another action."""
    people, camera = AnnyPeople(gaussians=FULL, levels=Pyramid(refine=None)), view(SIZE)
    skins = [cut(people.load(f"studio-{number:06d}").pose(_still())) for number in range(PEOPLE)]
    light = Light((0.3, 0.8, 0.5), (0.5, 0.5, 0.5), (0.7, 0.7, 0.7), (0.5, 0.5, 0.5))
    times, clips = torch.linspace(0.2, 3.6, FRAMES, dtype=torch.float64), []
    for number in range(count):
        person = people.load(f"studio-{number % PEOPLE:06d}")
        action = ACTIONS[number % len(ACTIONS)]
        reference = Actions().load(Record(f"{action}/studio/{number}", Path(), 0, "", "", 0.0, 4.0))
        T = person.pose(retarget(resample(reference.motion, times), mean_skeleton(), person.skeleton)).T_world_rest
        clips.append(Shot((dataclasses.replace(skins[number % PEOPLE], T_world_rest=T, light=light),), camera))
    return clips


def _still() -> Motion:
    return Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0)


def clips_per_second(renderers: dict[str, tuple[GsplatRenderer, list[Shot]]], *, rounds: int) -> dict[str, list[float]]:
    """Clips a second of each renderer on its batch, in interleaved rounds; the first warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in renderers}
    for number in range(rounds + 1):
        for name, (renderer, batch) in renderers.items():
            start = time.perf_counter()
            renderer.render_clips(batch)  # returns when its results are in main memory
            if number > 0:
                found[name].append(len(batch) / (time.perf_counter() - start))
    return found


def parity(batch: list[Shot]) -> float:
    """Worst PSNR in dB of a clip against the CPU renderer, in uint8."""
    clips = batch[:PEOPLE]
    renderings = GsplatRenderer().render_clips(clips)
    return min(
        psnr(one.rgb, CpuRenderer().render(clip.people, clip.camera).rgb)
        for one, clip in zip(renderings, clips, strict=True)
    )


class StepTimer(lightning.Callback):
    """Measures the seconds of each step after the first ones, including the wait for its batch."""

    def __init__(self, skipped: int) -> None:
        self.skipped = skipped
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        """Note the time when the GPU has finished the step."""
        torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        """Seconds from the end of one step to the end of the next."""
        ends = self.ends[self.skipped :]
        return [after - before for before, after in zip(ends, ends[1:], strict=False)]


class Learner(lightning.LightningModule):
    """Trains r3d_18 by SGD."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        from torchvision.models.video import r3d_18

        self.net = r3d_18(num_classes=classes)

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        """Cross entropy."""
        return torch.nn.functional.cross_entropy(self.net(batch["video"]), batch["label"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


def training(identities: int, *, steps: int, workers: int) -> tuple[list[float], dict[str, float]]:
    """Seconds of each step, and the timings that the loader reports."""
    from synthaug.cli.configs import build_data, compose_config

    overrides = ["clip=standard", "synth/renderer=gsplat", "synth/background=plates", "synth.cache=null"]
    sizes = [f"synth.identities={identities}", "loading.batch_size=16", f"loading.num_workers={workers}"]
    data = build_data(compose_config([*overrides, *sizes]))
    timer = StepTimer(skipped=10)
    trainer = lightning.Trainer(
        accelerator="gpu", devices=1, precision="bf16-mixed", max_steps=steps, max_epochs=-1, logger=False,
        callbacks=[timer], enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        limit_val_batches=0,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    trainer.fit(Learner(data.num_classes), datamodule=data)
    batches = trainer.train_dataloader
    assert isinstance(batches, Batches)
    return timer.seconds, batches.milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=32, help="clips in a batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60, help="training steps of each run; 0 leaves training out")
    parser.add_argument("--workers", type=int, default=max(1, min(12, (os.cpu_count() or 2) - 2)))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("Nothing was measured: torch sees no CUDA device, and gsplat renders on NVIDIA GPUs only.")
        print(json.dumps({"measured": False, "why": "torch sees no CUDA device"}))
        return
    load = os.getloadavg()[0]
    batch = shots(options.clips)
    tasks = {
        "full": (GsplatRenderer(Splatting(per_pixel=None)), batch),
        "lod": (GsplatRenderer(), batch),
    }
    rates = clips_per_second(tasks, rounds=options.rounds)
    table = Table("Gaussians", "clips/s, median", "best")
    for name, found in rates.items():
        table.add_row(name, f"{statistics.median(found):.0f}", f"{max(found):.0f}")
    Console().print(table)
    figures: dict[str, object] = {
        f"clips_per_s_224_{name}": round(statistics.median(f), 1) for name, f in rates.items()
    }
    figures["parity_db"] = round(parity(batch), 2)
    figures["step_overhead"] = None
    if options.steps:
        # Filmed, mixed, filmed, mixed: what else the machine does then affects both.
        arms = [(n, training(n, steps=options.steps, workers=options.workers)) for n in (0, 10, 0, 10)]
        filmed, mixed = (statistics.median([s for n, (all_s, _) in arms if n == of for s in all_s]) for of in (0, 10))
        figures["step_overhead"] = round(mixed / filmed - 1, 4)
        figures["step_ms"] = {"filmed": round(1e3 * filmed, 2), "mixed": round(1e3 * mixed, 2)}
        figures["loader_ms"] = {name: round(value, 2) for name, value in arms[-1][1][1].items()}
    machine = {"device": torch.cuda.get_device_name(), "gsplat": version("gsplat"), "torch": torch.__version__}
    print(json.dumps({**figures, "measured": True, **machine, "load": round(load, 2), "clips": options.clips}))


if __name__ == "__main__":
    main()
