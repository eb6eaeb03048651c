"""How fast is rendering? `python -m benchmarks.render` times the CPU renderer on people and on clouds.

Interleaved rounds, least and median CPU time of this thread: on a busy machine the least is nearer to the truth, and
only ratios carry over to another machine. Prints a table, then one line of JSON.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.torch import TorchRenderer
from synthaug.structures import Camera, Gaussians
from synthaug.testing.renderers import psnr

FRAMES = 16


def person_like(count: int, *, frames: int) -> Gaussians:
    """Discs on a body-sized ellipsoid, 1.7 m tall, swaying on 55 joints: stands for an avatar of `count` Gaussians."""
    generator = torch.Generator().manual_seed(count)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    means = normals * torch.tensor([0.22, 0.85, 0.16])
    # 1.9 square metres of skin shared out: the spacing of the discs, and their sigma.
    spacing = (1.9 / max(count, 1)) ** 0.5
    first = ((means[:, 1] + 0.85) / 1.7 * 50).long().clamp(0, 51)
    weights = torch.rand(count, 4, generator=generator) + 0.05
    T = torch.eye(4).repeat(frames, 55, 1, 1)
    sway = torch.linspace(0, 1, frames)[:, None] * torch.linspace(-0.3, 0.3, 55)
    T[..., 0, 0], T[..., 0, 2], T[..., 2, 0], T[..., 2, 2] = sway.cos(), sway.sin(), -sway.sin(), sway.cos()
    half = (1 + normals[:, 2:]).clamp(min=1e-6)
    quats = torch.cat([half, -normals[:, 1:2], normals[:, :1], torch.zeros(count, 1)], dim=1)
    return Gaussians(
        means=means,
        quats=torch.nn.functional.normalize(quats, dim=1),
        scales=spacing * torch.tensor([0.7, 0.7, 0.15]).repeat(count, 1),
        opacities=0.9 + 0.1 * torch.rand(count, generator=generator),
        colors=torch.rand(count, 3, generator=generator),
        joint_ids=first[:, None] + torch.arange(4),
        weights=weights / weights.sum(dim=1, keepdim=True),
        T_world_rest=T,
        normals=normals,
    )


def view(size: int, *, frames: int) -> Camera:
    """3 m away, the person filling 70 percent of the frame's height."""
    viewmat = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    viewmat[2, 3] = 3.0
    focal = 0.7 * size * 3.0 / 1.7
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Camera(viewmat.repeat(frames, 1, 1), K.repeat(frames, 1, 1), width=size, height=size)


def interleaved(tasks: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds of each task in each round; the first, which compiles, is not counted."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            start = time.thread_time()
            task()
            if number > 0:
                times[name].append(1e3 * (time.thread_time() - start))
    return times


def agreement(people: list[Gaussians], size: int) -> float:
    """PSNR of the first frame against the specification, dB in uint8."""
    first = [dataclasses.replace(person, T_world_rest=person.T_world_rest[:1]) for person in people]
    camera = view(size, frames=1)
    return psnr(CpuRenderer().render(first, camera).rgb, TorchRenderer().render(first, camera).rgb)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaussians", type=int, nargs="+", default=[4_000, 8_000, 32_000])
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 224])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    renderer, tasks, cases = CpuRenderer(Splatting()), {}, {}
    for count in options.gaussians:
        people = [person_like(count, frames=FRAMES)]
        for size in options.sizes:
            camera = view(size, frames=FRAMES)
            cases[f"{count} @ {size}"] = (count, size, agreement(people, size))
            tasks[f"{count} @ {size}"] = lambda people=people, camera=camera: renderer.render(people, camera)
    load = os.getloadavg()[0]
    times = interleaved(tasks, rounds=options.rounds)

    table = Table("Gaussians @ pixels", "ms a frame, least", "median", "frames/s, least", "dB to specification")
    rows = []
    for name, (count, size, decibels) in cases.items():
        least, median = (f(times[name]) / FRAMES for f in (min, statistics.median))
        table.add_row(name, f"{least:.2f}", f"{median:.2f}", f"{1e3 / least:.0f}", f"{decibels:.1f}")
        rows.append({"gaussians": count, "size": size, "ms": round(least, 4), "median_ms": round(median, 4)})
    Console().print(table)
    print(json.dumps({"renders": rows, "frames": FRAMES, "load": round(load, 2), "machine": platform.machine()}))


if __name__ == "__main__":
    main()
