"""Give damaged files to everything that reads files: `python -m benchmarks.mutations [--count 10000] [--only NAME]`.

Each reader gets a valid file of its format, changed at random: bits turned, parts cut, repeated, zeroed or moved,
numbers made absurd, and inside archives the same with checksums made right again. A reader may return, or raise a
ValueError or OSError whose message says what was expected. Anything else counts as a crash: another exception, an error
without words, the process killed, a gigabyte more memory, or ten seconds of work without an answer.

Inputs are numbered, so that a crash is found again: `--only NAME --first NUMBER --count 1` keeps the file and shows the
traceback.

The last line is one JSON object: `mutated`, inputs of each reader; `crashes`, over all readers.
"""

import argparse
import contextlib
import io
import json
import math
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.mutation_samples import SAMPLES, Sample
from synthaug.files import append_line

_BATCH = 250
"""Inputs for each process: a new one takes milliseconds, since it is forked from one that has loaded everything."""
_CHUNK = 500
"""Inputs of a reader after which the log is written."""
_SECONDS = 10
_PATIENCE = 20
"""How many times as long a process may take by the clock: it may wait for others on a busy machine."""
_BYTES = 2**30
_ABSURD = (b"1e999", b"-1", b"nan", b"0", b"99999999999999999999", b"1e-300", b"", b"null", b"[]", b'"a"', b"\xff\xfe")
_WORDS = re.compile(r"xpected|annot|cannot|No such|is not|damaged", re.IGNORECASE)


@dataclass(frozen=True)
class Crash:
    """An input that a reader did not answer in words."""

    number: int
    reason: str


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change bytes in one to three ways."""
    for _ in range(int(rng.integers(1, 4))):
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        content = kind(content, rng) if content else content
    return content


def _turn_bits(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in rng.integers(0, len(changed), int(rng.integers(1, 9))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _turn_head(content: bytes, rng: np.random.Generator) -> bytes:
    """Headers are a small part of a file and decide everything after them."""
    return _turn_bits(content[:256], rng) + content[256:]


def _part(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    begin = int(rng.integers(0, len(content)))
    return begin, min(len(content), begin + 1 + int(rng.integers(0, 1 + len(content) // 8)))


def _cut_end(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(0, len(content)))]


def _cut_part(content: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _part(content, rng)
    return content[:begin] + content[end:]


def _repeat_part(content: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _part(content, rng)
    return content[:end] + content[begin:end] * int(rng.integers(1, 4)) + content[end:]


def _zero_part(content: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _part(content, rng)
    return content[:begin] + bytes([int(rng.choice([0, 255]))]) * (end - begin) + content[end:]


def _move_part(content: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _part(content, rng)
    rest = content[:begin] + content[end:]
    to = int(rng.integers(0, len(rest) + 1))
    return rest[:to] + content[begin:end] + rest[to:]


def _make_absurd(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace a number of a text, or of a header."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:100_000]))
    if not found:
        return _turn_bits(content, rng)
    match = found[int(rng.integers(len(found)))]
    return content[: match.start()] + _ABSURD[int(rng.integers(len(_ABSURD)))] + content[match.end() :]


_KINDS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    _turn_bits, _turn_head, _cut_end, _cut_part, _repeat_part, _zero_part, _move_part, _make_absurd,
)  # fmt: skip


def mutate_archive(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one member of a zip, with its checksum made right, so that damage reaches what reads the member."""
    members = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            members[entry.filename] = archive.read(entry)
    name = list(members)[int(rng.integers(len(members)))]
    chance = rng.random()
    if chance < 0.1:
        del members[name]
    elif chance < 0.2:
        members[name + "2"] = members.pop(name)
    else:
        members[name] = mutate(members[name], rng)
    aside = io.BytesIO()
    with zipfile.ZipFile(aside, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return aside.getvalue()


def mutated(sample: Sample, content: bytes, number: int) -> bytes:
    """The numbered input of a reader."""
    rng = np.random.default_rng([number, len(content)])
    inside = sample.archive and rng.random() < 0.6
    return mutate_archive(content, rng) if inside else mutate(content, rng)


def find_crashes(sample: Sample, folder: Path, numbers: range) -> list[Crash]:
    """Give the numbered inputs to a reader, in processes of their own."""
    content = sample.write(folder).read_bytes()
    crashes, waiting = [], list(numbers)
    while waiting:
        batch, waiting = waiting[:_BATCH], waiting[_BATCH:]
        while batch:
            reached, found = _run_apart(sample, content, folder, batch)
            crashes += found
            batch = batch[batch.index(reached) + 1 :]
    return crashes


def _run_apart(sample: Sample, content: bytes, folder: Path, numbers: list[int]) -> tuple[int, list[Crash]]:
    """Try inputs in a forked process until it ends; returns the last one that it reached, and the crashes."""
    receive, send = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(receive)
        _answer(sample, content, folder, numbers, os.fdopen(send, "w"))
    os.close(send)
    with os.fdopen(receive) as pipe:
        lines = [line.rstrip("\n").split("\t", 1) for line in pipe]
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    reached = max((int(number) for number, _ in lines), default=numbers[0])
    crashes = [Crash(int(number), reason) for number, reason in lines if reason]
    if status != 0:
        late = status in (-signal.SIGALRM, -signal.SIGPROF)
        reason = f"no answer in {_SECONDS} s" if late else f"the process ended with {status}"
        crashes.append(Crash(reached, reason))
    return reached, crashes


def _answer(sample: Sample, content: bytes, folder: Path, numbers: list[int], pipe: io.TextIOWrapper) -> None:
    """What the forked process does: it never returns."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # FFmpeg writes there from C
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _BYTES, used + _BYTES))
        warnings.simplefilter("ignore")
        for number in numbers:
            pipe.write(f"{number}\t\n")
            pipe.flush()
            signal.setitimer(signal.ITIMER_PROF, _SECONDS)
            signal.alarm(math.ceil(_SECONDS * _PATIENCE))
            reason = try_one(sample, content, folder / str(os.getpid()), number)
            if reason:
                pipe.write(f"{number}\t{reason}\n")
        pipe.flush()
        os._exit(0)
    finally:
        os._exit(1)  # nothing of the process that it was forked from may go on here


def try_one(sample: Sample, content: bytes, folder: Path, number: int) -> str:
    """Why a reader's answer to an input is none; empty if it is one."""
    path = folder / sample.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mutated(sample, content, number))
    try:
        sample.read(path)
    except (ValueError, OSError) as error:
        words = " ".join(str(error).split())
        return "" if _WORDS.search(words) else f"no words: {type(error).__name__}: {words[:120]}"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        words = " ".join(str(error).split())[:120]
        return f"{type(error).__name__}: {words} ({Path(where.filename).name}:{where.lineno})"
    return ""


def measure(sample: Sample, numbers: range) -> list[Crash]:
    """The crashes of a reader."""
    with tempfile.TemporaryDirectory() as folder:
        return find_crashes(sample, Path(folder), numbers)


def measure_all(samples: Mapping[str, Sample], numbers: range, log: Path | None) -> dict[str, dict[int, str]]:
    """Reasons of the crashes of each reader, by number of the input; all readers advance together.

    Args:
        samples: The readers.
        numbers: Inputs of each.
        log: Keeps what was found, so that a stopped run goes on where it was; None keeps nothing.
    """
    found: dict[str, dict[int, str]] = {name: {} for name in samples}
    done = {(name, first): crashes for name, first, crashes in _read_log(log)}
    for first in range(numbers.start, numbers.stop, _CHUNK):
        for name, sample in samples.items():
            chunk = range(first, min(first + _CHUNK, numbers.stop))
            if len(chunk) == _CHUNK and (name, first) in done:
                found[name] |= done[name, first]
                continue
            crashes = {crash.number: crash.reason for crash in measure(sample, chunk)}
            found[name] |= crashes
            if log is not None and len(chunk) == _CHUNK:
                append_line(log, json.dumps({"reader": name, "first": first, "crashes": crashes}))
        total = sum(map(len, found.values()))
        print(f"{chunk.stop - numbers.start} of each of {len(samples)} readers: {total} crashes", flush=True)
    return found


def _read_log(log: Path | None) -> Iterator[tuple[str, int, dict[int, str]]]:
    for line in log.read_text().splitlines() if log is not None and log.exists() else ():
        with contextlib.suppress(ValueError):  # cut off
            one = json.loads(line)
            yield one["reader"], one["first"], {int(number): reason for number, reason in one["crashes"].items()}


def main() -> None:
    """Mutate, read and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="inputs of each reader (10000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input (0)")
    parser.add_argument("--only", action="append", choices=sorted(SAMPLES), help="only this reader")
    parser.add_argument("--log", type=Path, help="keeps what was found: the same command goes on where it was stopped")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    samples = {name: SAMPLES[name] for name in chosen.only or SAMPLES}
    if chosen.count == 1:
        _show(samples, chosen.first)
    found = measure_all(samples, range(chosen.first, chosen.first + chosen.count), chosen.log)
    for name, crashes in found.items():
        print(f"{name}: {len(crashes)} of {chosen.count}")
        kinds: dict[str, list[int]] = {}
        for number, reason in crashes.items():
            kinds.setdefault(re.sub(r"\d+", "N", reason)[:160], []).append(number)
        for reason, numbers in sorted(kinds.items(), key=lambda item: -len(item[1])):
            print(f"    {len(numbers)} x {reason} (input {numbers[0]})")
    total = sum(map(len, found.values()))
    print(json.dumps({"readers": len(samples), "mutated": chosen.count, "crashes": total}))


def _show(samples: Mapping[str, Sample], number: int) -> None:
    """Keep an input and show where its reader fails."""
    for sample in samples.values():
        folder = Path(tempfile.mkdtemp())
        path = sample.write(folder)
        path.write_bytes(mutated(sample, path.read_bytes(), number))
        print(f"Input {number}: {path}", file=sys.stderr)
        try:
            sample.read(path)
        except Exception:
            traceback.print_exc()


if __name__ == "__main__":
    main()
