"""Load filmed and synthetic clips for hours, and watch memory and open files: `python -m benchmarks.soak`.

A data module of the demo, with two processes that load, renders, caches and decodes epoch after epoch; each epoch takes
other recipes. Memory is what the process and its children have for themselves (proportional set size). The first
quarter of the time warms up: decoded films and scenes are kept up to `loading.memory_mb`.

The last line is one JSON object: `soak_growth`, the line through memory after warming up, as its growth over the
whole remaining time; `more_files`, open files at the end minus after warming up; `minutes`; `clips`.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import synthaug as sa
from synthaug.motions.sidecar import Sidecar

_LOOKS = 200
"""How often memory is looked at."""


def make_data(folder: Path) -> sa.SynthAugDataModule:
    """Two actions by three people, small, with a cache on disk."""
    films = sa.PseudoReal(
        classes=["bow", "clapping"], performers=3, footage=sa.Footage(size=64, seconds=1.5), num_workers=0
    )
    return sa.SynthAugDataModule(
        sa.Demo(films, root=folder / "films"),
        sa.CrossSubject(["p02"]),
        synth=sa.default_synthesis(
            motion=Sidecar(), avatar=sa.default_avatars(gaussians=2000), identities=2, backgrounds=1
        ),
        clip=sa.ClipFormat(num_frames=6, fps=5.0, size=64),
        loading=sa.Loading(batch_size=4, num_workers=2, memory_mb=64),
    )


def load_batches(data: sa.SynthAugDataModule) -> Iterator[int]:
    """Numbers of clips of one batch after the other, epoch after epoch, without end."""
    loader = data.train_dataloader()
    while True:
        for batch in loader:
            yield len(batch[0] if isinstance(batch, tuple) else batch["video"])


def look() -> tuple[int, int]:
    """Bytes and open files of this process and its children."""
    processes = [os.getpid(), *_children(os.getpid())]
    bytes_used = files = 0
    for process in processes:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            bytes_used += 1024 * int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])
            files += len(os.listdir(f"/proc/{process}/fd"))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            continue  # it has just ended
    return bytes_used, files


def _children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [child for word in text.split() for child in (int(word), *_children(int(word)))]


def soak(minutes: float) -> dict[str, float]:
    """Load for some minutes and say what was used."""
    torch.set_num_threads(1)
    seconds, clips = 60 * minutes, 0
    looks: list[tuple[float, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder))
        data.prepare_data()
        data.setup("fit")
        begun = time.perf_counter()
        for count in load_batches(data):
            clips += count
            passed = time.perf_counter() - begun
            if passed > len(looks) * seconds / _LOOKS:
                looks.append((passed, *look()))
            if passed > seconds:
                break
    return {**judge(looks, seconds), "minutes": minutes, "clips": clips}


def judge(looks: list[tuple[float, int, int]], seconds: float) -> dict[str, float]:
    """Growth after warming up, by a line that single high looks do not move (Theil and Sen)."""
    warm = np.array([one for one in looks if one[0] > seconds / 4])
    pairs = [(i, j) for i in range(len(warm)) for j in range(i + 1, len(warm))]
    slope = np.median([(warm[j, 1] - warm[i, 1]) / (warm[j, 0] - warm[i, 0]) for i, j in pairs])
    tenth = max(1, len(warm) // 10)
    more = np.median(warm[-tenth:, 2]) - np.median(warm[:tenth, 2])
    growth = slope * (warm[-1, 0] - warm[0, 0]) / np.median(warm[:tenth, 1])
    return {"soak_growth": round(float(growth), 4), "more_files": int(more), "mb": round(float(warm[-1, 1]) / 1e6)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0, help="how long (120)")
    print(json.dumps(soak(parser.parse_args().minutes)))
