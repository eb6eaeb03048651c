"""Measure the speed of gradients: `python -m benchmarks.gradients` times forward and backward of one frame.

It compares the compiled kernels with the specification's autograd, with skinning (by torch for both) and without, in
interleaved rounds of this thread's CPU time. Prints a table, then one line of JSON. `agreement` is the norm of the
difference of the two float32 gradients over the norm of the specification's: the worst of all fields.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Callable
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.render import at, performance, view
from benchmarks.timing import interleave
from synthaug.body.skinning import pose_frame
from synthaug.renderers import Splatting
from synthaug.renderers import torch as specification
from synthaug.renderers.splatting import gradients
from synthaug.structures import Camera, Gaussians, PosedGaussians

FITTED = ("means", "quats", "scales", "opacities", "colors")


def run_backward(splat: Callable, posed: PosedGaussians, camera: Camera) -> None:
    values = splat(
        posed, camera.viewmats[0], camera.Ks[0], height=camera.height, width=camera.width, splatting=Splatting()
    )
    # A loss that weights all pixels and channels differently, as one against a photograph does.
    sum((value * torch.linspace(-1, 1, value.numel()).view_as(value)).sum() for value in values).backward()


def differentiate_person(splat: Callable, person: Gaussians, camera: Camera) -> dict[str, Tensor]:
    """Gradients of all fields of a person, through skinning."""
    leaves = {name: getattr(person, name).clone().requires_grad_() for name in FITTED}
    run_backward(splat, pose_frame(dataclasses.replace(person, **leaves), 0), camera)
    return {name: leaf.grad for name, leaf in leaves.items()}


def differentiate_posed(splat: Callable, posed: PosedGaussians, camera: Camera) -> None:
    fields = {f.name: getattr(posed, f.name).clone().requires_grad_() for f in dataclasses.fields(posed)}
    run_backward(splat, PosedGaussians(**fields), camera)


def compare_gradients(person: Gaussians, camera: Camera) -> float:
    a, b = (differentiate_person(module.splat, person, camera) for module in (gradients, specification))
    return max(float((a[name] - b[name]).norm() / b[name].norm()) for name in FITTED)


def _called(task: Callable[[], object], number: int) -> object:
    return task()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--gaussians",
        type=int,
        nargs="+",
        default=[4_000, 8_000, 16_000],
        help="numbers of Gaussians; the nearest levels are taken",
    )
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load, camera = os.getloadavg()[0], view(options.size)
    detailed = performance(1, "hand waving", frames=1)
    table = Table(
        f"Gaussians @ {options.size} px", "ms a frame, median", "specification", "ratio", "posed", "agreement"
    )
    rows = []
    for asked in options.gaussians:
        person = at(detailed, asked)
        count, posed = len(person.means), pose_frame(person, 0)
        tasks: dict[str, Callable[[int], object]] = {
            "ms": partial(_called, partial(differentiate_person, gradients.splat, person, camera)),
            "specification_ms": partial(_called, partial(differentiate_person, specification.splat, person, camera)),
            "posed_ms": partial(_called, partial(differentiate_posed, gradients.splat, posed, camera)),
        }
        times = interleave(tasks, rounds=options.rounds)
        row = {name: statistics.median(values) for name, values in times.items()}
        # The ratio of each round, since other processes slow both.
        pairs = zip(times["specification_ms"], times["ms"], strict=True)
        row |= {"ratio": statistics.median(slow / fast for slow, fast in pairs)}
        row |= {"agreement": compare_gradients(person, camera)}
        columns = ("ms", "specification_ms", "ratio", "posed_ms")
        table.add_row(str(count), *(f"{row[name]:.1f}" for name in columns), f"{row['agreement']:.1e}")
        rows.append({"gaussians": count} | {name: float(f"{value:.3g}") for name, value in row.items()})
    Console().print(table)
    print(json.dumps({"gradients": rows, "size": options.size, "load": round(load, 2), "machine": platform.machine()}))


if __name__ == "__main__":
    main()
