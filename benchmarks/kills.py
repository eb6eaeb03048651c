"""Kill whatever writes, in the middle of it, and read what is left: `python -m benchmarks.kills [--count 1000]`.

Processes write one thing after the other and say what they finished; they are ended with SIGKILL at a random moment,
and two of them write the same things at once in half of the rounds. What was finished must be there (`lost`), and what
can be read must be what was written (`torn`). Then the same with a full disk and with a folder that may not be written.

The last line is one JSON object: `kills`, over all kinds; `lost`; `torn`; `refused`, kinds that answer a full disk and
a folder without permission in words.
"""

import argparse
import contextlib
import errno
import functools
import itertools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.format import Pack, read_pack, write_pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.datasets.indexing.findings import ScanFinding, ScanLog
from synthaug.files import StorageError, append_line, read_reference, write_lines, write_reference
from synthaug.structures import Motion, Recipe, Reference, Rendering
from synthaug.synthesis.caching import RenderCache
from synthaug.testing.cameras import example_camera
from synthaug.video import VideoError, probe, read_frames, write_video

_PART = 30
"""Processes killed, at least, before the log is written."""
_THINGS = 24
"""Numbers of different things that are written, again and again, so that files are replaced too."""


@dataclass(frozen=True)
class Store:
    """A kind of thing that is written.

    Attributes:
        write: Writes the numbered thing into a folder.
        holds: Whether a folder holds the numbered thing; raises AssertionError if what it holds is something else.
    """

    write: Callable[[Path, int], object]
    holds: Callable[[Path, int], bool]


def _picture(number: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 255, (2, 3, 48, 64), generator=generator, dtype=torch.uint8)


def _key(number: int) -> str:
    return f"{number:02x}" * 8


def _cache(folder: Path) -> RenderCache:
    return RenderCache(folder / "people")


def _write_cached(folder: Path, number: int) -> None:
    rgb = _picture(number)
    _cache(folder).write(_key(number), Rendering(rgb, rgb[:, :1]))


def _holds_cached(folder: Path, number: int) -> bool:
    cache = _cache(folder)
    assert not cache.verify(), f"damaged entries {cache.verify()}"
    found = cache.read(_key(number))
    assert found is None or torch.equal(found.rgb, _picture(number)), "another clip"
    return found is not None


def _write_reference(folder: Path, number: int) -> None:
    pose = torch.zeros(40, 55, 3) + number
    write_reference(
        folder / f"{number}.npz",
        Reference(Motion.from_pose(pose, torch.zeros(40, 3), fps=10.0), example_camera(frames=40)),
    )


def _holds_reference(folder: Path, number: int) -> bool:
    path = folder / f"{number}.npz"
    if not path.exists():
        return False
    assert float(read_reference(path).motion.body_pose.mean()) == number, "another motion"
    return True


def _make_person() -> Pack:
    person = AnnyPerson("studio", 7, gaussians=2500)
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    return Pack(About("anna", Provenance("anny")), AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))


def _store_packs() -> Store:
    pack = _make_person()

    def write(folder: Path, number: int) -> None:
        write_pack(folder / f"{number}.avatar.safetensors", pack)

    def holds(folder: Path, number: int) -> bool:
        path = folder / f"{number}.avatar.safetensors"
        if not path.exists():
            return False
        assert torch.equal(read_pack(path).levels[0].means, pack.levels[0].means), "another person"
        return True

    return Store(write, holds)


def _finding(number: int) -> ScanFinding:
    return ScanFinding((f"/films/{number}.mp4", number, number), None, "cut short" * 2000, {"lost_pictures": number})


def _holds_finding(folder: Path, number: int) -> bool:
    found = ScanLog(folder, "readers").findings()
    key = _finding(number).film
    assert key not in found or found[key] == _finding(number), "another finding"
    return key in found


def _write_film(folder: Path, number: int) -> None:
    write_video(
        folder / f"{number}.mp4", _picture(number), fps=8.0, metadata={"comment": str(number)}, preset="ultrafast"
    )


def _holds_film(folder: Path, number: int) -> bool:
    path = folder / f"{number}.mp4"
    if not path.exists():
        return False
    try:
        assert probe(path).num_frames == 2 and len(read_frames(path, [0, 1])) == 2, "frames are missing"
    except VideoError as error:
        raise AssertionError(str(error)) from error
    return True


def _recipe(number: int) -> Recipe:
    return Recipe(number, (), {"azimuth": float(number)}, {}, {}, 0.0, 8.0, 8, (64, 64), {"seed": number})


def _write_recipes(folder: Path, number: int) -> None:
    write_lines(folder / f"{number}.jsonl", (_recipe(number).to_json() for _ in range(300)))


def _holds_recipes(folder: Path, number: int) -> bool:
    path = folder / f"{number}.jsonl"
    if not path.exists():
        return False
    lines = path.read_text().splitlines()
    assert len(lines) == 300 and all(Recipe.from_json(line) == _recipe(number) for line in lines[-3:]), "cut off"
    return True


@functools.cache
def stores() -> Mapping[str, Store]:
    """Every kind of thing that is written more than once in a run."""
    return {
        "cache": Store(_write_cached, _holds_cached),
        "motions": Store(_write_reference, _holds_reference),
        "packs": _store_packs(),
        "scan": Store(lambda folder, number: ScanLog(folder, "readers").add(_finding(number)), _holds_finding),
        "films": Store(_write_film, _holds_film),
        "recipes": Store(_write_recipes, _holds_recipes),
    }


@dataclass(frozen=True)
class Outcome:
    """What was left after some kills."""

    kills: int
    lost: int
    torn: tuple[str, ...]


def kill_writers(store: Store, folder: Path, *, rounds: int, seed: int = 0) -> Outcome:
    """Kill processes that write into a folder, and look at what they left after each round.

    Args:
        store: What is written.
        folder: Where.
        rounds: How many times; in every second round two processes write at once, and both are killed.
        seed: Of the moments.
    """
    rng = np.random.default_rng(seed)
    store.write(folder, 0)  # so that whatever is loaded or compiled is so before the processes are forked
    begun = time.perf_counter()
    store.write(folder, 0)
    usual = time.perf_counter() - begun
    finished: set[int] = {0}
    kills = lost = 0
    torn: list[str] = []
    for number in range(rounds):
        writers = [_start_writer(store, folder, int(rng.integers(_THINGS))) for _ in range(1 + number % 2)]
        for _, pipe in writers:
            finished |= set(os.read(pipe, 1))  # it writes: now any moment is in the middle
        time.sleep(float(rng.uniform(0, 3 * usual)))
        for process, pipe in writers:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            finished |= set(os.read(pipe, 2**16))
            os.close(pipe)
            kills += 1
        for thing in range(_THINGS) if number % 8 == 0 or number == rounds - 1 else rng.integers(0, _THINGS, 3):
            try:
                lost += not store.holds(folder, int(thing)) and int(thing) in finished
            except (AssertionError, ValueError, OSError) as error:
                torn.append(str(error))
    return Outcome(kills, lost, tuple(torn))


def _start_writer(store: Store, folder: Path, first: int) -> tuple[int, int]:
    """A process that writes until it is killed; its number, and a pipe with a byte for each thing that it finished."""
    receive, send = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            for number in itertools.count(first):
                store.write(folder, number % _THINGS)
                os.write(send, bytes([number % _THINGS]))
        finally:
            os._exit(1)  # nothing of the process that it was forked from may go on here
    os.close(send)
    return process, receive


def refuses(store: Store, folder: Path) -> str:
    """What is wrong with the answers to a full disk and to a folder without permission; empty if nothing is.

    The system's calls are made to fail, since whoever runs this may be allowed to write anywhere.
    """
    store.write(folder, 1)
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS):
        error = OSError(number, os.strerror(number))
        with patch("os.open", side_effect=error), patch("os.replace", side_effect=error):
            wrong = _answer(store, folder, 2)
        if wrong:
            return wrong
    return _look_after(store, folder, {1})


def fills_up(store: Store, folder: Path) -> str:
    """The same on a small disk in memory, written until it is full, and then mounted read-only.

    Raises:
        subprocess.CalledProcessError: If this machine does not let us mount one.
    """
    _mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
    try:
        kept = set()
        for thing in range(_THINGS):
            wrong = _answer(store, folder, thing)
            if wrong:
                return wrong
            kept |= {thing} if store.holds(folder, thing) else set()
        if len(kept) == _THINGS:
            return "the disk never was full"
        _mount("-o", "remount,ro", str(folder))
        return _answer(store, folder, 0) or _look_after(store, folder, kept)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def _answer(store: Store, folder: Path, thing: int) -> str:
    """What is wrong with the answer, if there is no room: nothing, if it is a StorageError in words or none at all."""
    try:
        store.write(folder, thing)
    except StorageError as error:
        return "" if str(error).startswith("Expected to write") else f"no words: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _look_after(store: Store, folder: Path, kept: set[int]) -> str:
    if not all(store.holds(folder, thing) for thing in kept):
        return "what was there is gone"
    left = sorted(path.name for path in folder.rglob(".*") if path.is_file())
    return f"left {left}" if left else ""


def measure(name: str, count: int, log: Path | None) -> Outcome:
    """Kill writers of one kind of thing, some at a time.

    Args:
        name: Of the kind.
        count: Processes to kill.
        log: Keeps what was found of each part, so that a stopped run goes on where it was; None keeps nothing.
    """
    done = [one for one in read_log(log) if one.get("kind") == name and "part" in one]
    known = {int(one["part"]): Outcome(one["kills"], one["lost"], tuple(one["torn"])) for one in done}
    parts = range(-(-count // _PART))
    for part in (part for part in parts if part not in known):
        with tempfile.TemporaryDirectory() as folder:
            outcome = kill_writers(stores()[name], Path(folder), rounds=_PART * 2 // 3, seed=part)
        known[part] = outcome
        if log is not None:
            append_line(log, json.dumps({"kind": name, "part": part, **asdict(outcome)}))
    found = [known[part] for part in parts]
    torn = tuple(words for one in found for words in one.torn)
    return Outcome(sum(one.kills for one in found), sum(one.lost for one in found), torn)


def judge_answers(name: str, log: Path | None) -> str:
    """What is wrong with the answers to full disks; `log` as for `measure`."""
    for one in read_log(log):
        if one.get("kind") == name and "wrong" in one:
            return str(one["wrong"])
    store = stores()[name]
    with tempfile.TemporaryDirectory() as folder:
        wrong = refuses(store, Path(folder)) or _try_small_disk(store, Path(folder) / "disk")
    if log is not None:
        append_line(log, json.dumps({"kind": name, "wrong": wrong}))
    return wrong


def read_log(log: Path | None) -> list[dict]:
    """What a log holds; a line that was cut off is left out."""
    found = []
    for line in log.read_text().splitlines() if log is not None and log.exists() else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def main() -> None:
    """Kill, read, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="processes killed, over all kinds (1000)")
    parser.add_argument("--log", type=Path, help="keeps what was found: the same command goes on where it was stopped")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    names = list(stores())
    outcomes = {name: measure(name, -(-chosen.count // len(names)), chosen.log) for name in names}
    wrong = {name: judge_answers(name, chosen.log) for name in names}
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome.kills} kills, {outcome.lost} lost, {len(outcome.torn)} torn. {wrong[name]}")
        for words in sorted(set(outcome.torn))[:3]:
            print(f"    {words[:200]}")
    figures = {
        "kills": sum(one.kills for one in outcomes.values()), "lost": sum(one.lost for one in outcomes.values()),
        "torn": sum(len(one.torn) for one in outcomes.values()), "refused": sum(not words for words in wrong.values()),
        "kinds": len(names),
    }  # fmt: skip
    print(json.dumps(figures))


def _try_small_disk(store: Store, folder: Path) -> str:
    folder.mkdir()
    try:
        return fills_up(store, folder)
    except (subprocess.CalledProcessError, FileNotFoundError):
        print("    (no small disk: mounting one is not allowed here)")
        return ""


if __name__ == "__main__":
    main()
