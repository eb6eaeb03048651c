"""Measure speed, exactness and memory of avatar packs and their importers: `python -m benchmarks.avatars`.

1. Opening packs.
2. A full-size synthetic ExAvatar checkpoint: the imported person against the slow transcription of ExAvatar's code, and
   the peak memory of the import in a process of its own.
3. Scans of procedural people, plain and damaged: the imported person in new poses, against the original.

Takes some five minutes on one core and 6 GB of memory; every stage prints when it starts. Times with `_cpu_` are CPU
times of the process.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.importers.exavatar import ExAvatarImporter
from synthaug.avatars.importers.files.smplx_body import LIP_RING
from synthaug.avatars.importers.ply import PlyImporter
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.exporting import pose_pack
from synthaug.avatars.pack.format import SUFFIX, Pack, read_pack, write_pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.avatars.pack.splats import write_ply
from synthaug.avatars.packs import PackedPerson, Packs
from synthaug.body.skeleton import centre_of, resample, retarget
from synthaug.body.skeleton import mean_skeleton as mean_person
from synthaug.body.skinning import pose_frame
from synthaug.motions.actions import ACTIONS, Actions
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Gaussians, Motion, Record, Rendering
from synthaug.testing.exavatar import animate, smplx, write_checkpoint
from synthaug.testing.scans import Up, scan_person, spoil

SIDE = 256
"""Height and width of the compared pictures, pixels; the person is about 200 pixels tall."""
UPS: tuple[Up, ...] = ("y", "z", "-y")


def measure_packs(folder: Path) -> dict[str, float]:
    """Milliseconds to open a person of 32,000 Gaussians, seconds to index a thousand packs, and memory of a person.

    The memory is what each of a hundred open people adds to this process alone, as a share of a pack's size.
    """
    person = AnnyPerson("studio", 3, gaussians=32_000)
    rest = person.pose(still())
    pack = Pack(About("x", Provenance("anny")), AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))
    first = folder / f"0000{SUFFIX}"
    write_pack(first, pack)
    for number in range(1, 1000):
        os.link(first, folder / f"{number:04d}{SUFFIX}")
    times = []
    for _ in range(9):
        start = time.perf_counter(), time.process_time()
        PackedPerson(first)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    loading, loading_cpu = np.median(times, axis=0) * 1e3
    pool, start = Packs(folder, kept=200), (time.perf_counter(), time.process_time())
    assert len(pool.headers) == 1000
    indexing, indexing_cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    pool.load("0000")
    before = count_private_bytes()
    for number in range(1, 101):
        pool.load(f"{number:04d}")
    share = (count_private_bytes() - before) / 100 / first.stat().st_size
    return {"pack_load_ms": float(loading), "index_1000_s": indexing, "pack_load_cpu_ms": float(loading_cpu),
            "index_1000_cpu_s": indexing_cpu, "private_share": share}  # fmt: skip


def count_private_bytes() -> int:
    """Memory that this process shares with no other, as Linux counts it; 0 on other systems."""
    rollup = Path("/proc/self/smaps_rollup")
    lines = rollup.read_text().splitlines() if rollup.exists() else []
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def measure_exavatar(folder: Path, vertices: int) -> dict[str, float]:
    """Largest distance from the transcription in metres, and the cost of an import in a process of its own."""
    lips = LIP_RING if vertices > max(LIP_RING) else tuple(range(8, 88, 10))
    print_stage("writing a checkpoint")
    network = write_checkpoint(folder, vertices=vertices, lips=lips)
    print_stage("importing it in a process of its own")
    command = [sys.executable, "-m", "benchmarks.avatars", "--importing", str(folder), "--vertices", str(vertices)]
    cost = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    pack = read_pack(folder / f"x{SUFFIX}")
    rng = np.random.default_rng(0)
    sizes = {"root_pose": 1, "body_pose": 21, "jaw_pose": 1, "leye_pose": 1, "reye_pose": 1, "lhand_pose": 15,
             "rhand_pose": 15}  # fmt: skip
    frame = {name: 0.4 * rng.standard_normal((count, 3)) for name, count in sizes.items()}
    pose = np.concatenate([frame[name] for name in sizes])
    layer = {key.removeprefix("smplx_layer."): value.double().numpy() for key, value in network.items()
             if key.startswith("smplx_layer.")}  # fmt: skip
    pose[25:] += np.concatenate([layer["left_hand_mean"], layer["right_hand_mean"]]).reshape(30, 3)
    face = np.array(json.loads((folder / "face_offset.json").read_text()))
    offset = network["human_gaussian.joint_offset"].double().numpy().copy()
    offset[0] = 0
    betas = network["human_gaussian.shape_param"].double().numpy()
    root = smplx(layer, betas, face, offset, np.zeros((55, 3)))[2][0]
    motion = Motion.from_pose(torch.from_numpy(pose)[None].float(), torch.from_numpy(root)[None].float(), fps=1.0)
    print_stage("animating it by the transcription")
    expression = rng.standard_normal(50)
    truth = animate(network, face, {**frame, "expr": expression, "trans": np.zeros(3)}, lips)
    motion = replace(motion, expression=torch.from_numpy(expression)[None].float())
    ours = pose_frame(pose_pack(pack, motion, 0), 0).means.double().numpy()
    return {"exavatar_max_error_m": float(np.linalg.norm(ours - truth, axis=1).max()),
            "exavatar_gaussians": float(len(ours)), **cost}  # fmt: skip


def measure_import(folder: Path, vertices: int) -> dict[str, float]:
    """Seconds and peak memory of one import in this process."""
    torch.set_num_threads(1)
    lips = LIP_RING if vertices > max(LIP_RING) else tuple(range(8, 88, 10))
    start = time.perf_counter(), time.process_time()
    pack = ExAvatarImporter(identity=folder, lips=lips).import_person(folder / "snapshot_4.pth", "x")
    write_pack(folder / f"x{SUFFIX}", pack)
    seconds, own = time.perf_counter() - start[0], time.process_time() - start[1]
    return {"import_s": seconds, "import_cpu_s": own, "import_peak_gb": find_peak_bytes() / 1e9}


def find_peak_bytes() -> int:
    """Peak memory of this process.

    On Linux it is VmHWM: `ru_maxrss` survives fork and exec there, so a child of this benchmark would report the memory
    with which its parent wrote the checkpoint.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_scans(folder: Path, people: range, spoilt: int, table: Table) -> dict[str, float]:
    """Worst and mean errors of scanned people over people and motions; the first `spoilt` are also scanned damaged."""
    errors, ratios = [], []
    for number, seed in enumerate(people):
        for floaters, holes in ((0, 0), (500, 4))[: 1 + (number < spoilt)]:
            person, splats, truth, height = scan_person(seed, up=UPS[seed % 3])
            if floaters:
                splats = spoil(splats, truth, floaters=floaters, holes=holes, seed=seed)
            write_ply(folder / "scan.ply", splats)
            start = time.process_time()
            pack = PlyImporter(height).import_person(folder / "scan.ply", "x")
            seconds = time.process_time() - start
            away = (pack.rig.joints - person.skeleton.joints)[:22].norm(dim=1)
            found = [psnr(*render_both(person, pack, motion)) for motion in performances(person)]
            errors.append(float(away.mean()))
            ratios.append(found)
            kind = "spoiled" if floaters else "plain"
            row = (f"{seed} {UPS[seed % 3]} {kind}", f"{1e3 * away.mean():.1f}", f"{1e3 * away.max():.1f}",
                   f"{min(found):.1f}", f"{np.mean(found):.1f}", f"{seconds:.0f}")  # fmt: skip
            table.add_row(*row)
            print("  ".join(row), flush=True)
    return {
        "ply_joint_error_m": max(errors), "ply_psnr_db": float(np.min(ratios)),
        "ply_joint_error_mean_m": float(np.mean(errors)), "ply_psnr_mean_db": float(np.mean(ratios)),
    }  # fmt: skip


def performances(person: AnnyPerson) -> list[Motion]:
    """Ten actions on this person's body, four frames each, at the origin."""
    source, found = Actions(), []
    for name in list(ACTIONS)[:10]:
        whole = source.load(Record(f"{name}/studio/0", Path(name), 0, "", "", 0.0, 3.0)).motion
        motion = retarget(resample(whole, 0.4 + 0.6 * torch.arange(4)), mean_person(), person.skeleton)
        centre = centre_of(motion) * torch.tensor([1.0, 0.0, 1.0])
        found.append(replace(motion, transl=motion.transl - centre))
    return found


def render_both(person: AnnyPerson, pack: Pack, motion: Motion) -> tuple[Rendering, Rendering]:
    """The original and the imported person in the same motion."""
    imported = replace(pack.levels[0], T_world_rest=pack.rig.transforms(motion))
    original = replace(person.pose(motion), levels=())
    return render(original), render(imported)


def render(person: Gaussians) -> Rendering:
    """The person in front of a fixed camera."""
    frames = person.num_frames
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0.9], [0, 0, -1, 4.0], [0, 0, 0, 1]])
    K = torch.tensor([[1.7 * SIDE, 0, SIDE / 2], [0, 1.7 * SIDE, SIDE / 2], [0, 0, 1]])
    camera = Camera(viewmat.repeat(frames, 1, 1), K.repeat(frames, 1, 1), SIDE, SIDE)
    return CpuRenderer().render((person,), camera)


def psnr(ours: Rendering, theirs: Rendering) -> float:
    """PSNR in dB over the whole picture, with mid-grey behind the people."""
    a, b = (one.rgb.float() + (255 - one.alpha.float()) / 255 * 128 for one in (ours, theirs))
    return float(10 * torch.log10(255**2 / ((a - b) ** 2).mean()))


def print_stage(stage: str) -> None:
    """Print the stage that begins, and the CPU seconds of this process so far."""
    print(f"{time.process_time():6.0f} s  {stage}", flush=True)


def still() -> Motion:
    return Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=3, help="people to scan (3)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first person (0)")
    parser.add_argument(
        "--spoiled", type=int, default=3, help="how many of them are also scanned with floaters and holes (3)"
    )
    parser.add_argument(
        "--only-scans", action="store_true", help="scans alone; the last line then has no other figures"
    )
    parser.add_argument("--vertices", type=int, default=10_475, help="vertices of the synthetic ExAvatar body (10475)")
    parser.add_argument("--importing", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.importing is not None:
        print(json.dumps(measure_import(chosen.importing, chosen.vertices)))
        return
    table = Table(title=f"Scans (load {os.getloadavg()[0]:.1f})", title_justify="left")
    for column in ("scan", "joints, mean mm", "worst mm", "PSNR, worst dB", "mean dB", "CPU s"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("packs", "exavatar", "scans"):
            (place / name).mkdir()
        figures: dict[str, float] = {}
        if not chosen.only_scans:
            print_stage("opening packs")
            figures |= measure_packs(place / "packs")
            figures |= measure_exavatar(place / "exavatar", chosen.vertices)
            print(figures, flush=True)
        print_stage("scans")
        people = range(chosen.first, chosen.first + chosen.people)
        figures |= measure_scans(place / "scans", people, chosen.spoiled, table)
    Console().print(table)
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


if __name__ == "__main__":
    main()
