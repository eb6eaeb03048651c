"""Files that are damaged, writers that are killed and disks that are full: nothing crashes, nothing is lost or torn.

The same over thousands of inputs and kills: `benchmarks/mutations.py` and `benchmarks/kills.py`.
"""

import itertools
import multiprocessing
import os
import time

import numpy as np
import pytest

from benchmarks.kills import Store, kill_writers, refuses, stores
from benchmarks.mutation_samples import SAMPLES, Sample
from benchmarks.mutations import find_crashes, mutate, mutated, try_one
from synthaug.files import parse_npy, read_npz, write_atomic
from synthaug.synthesis.caching import RenderCache

INPUTS = 30
STORES = stores()


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files_are_answered_in_words(tmp_path, name: str):
    assert find_crashes(SAMPLES[name], tmp_path, range(INPUTS)) == []


def test_mutations_differ_from_the_file_and_come_again():
    content = bytes(range(256)) * 8
    found = {mutated(Sample("a", lambda path: None, lambda path: None), content, number) for number in range(100)}
    assert len(found) > 90 and content not in found
    assert mutate(content, np.random.default_rng(3)) == mutate(content, np.random.default_rng(3))


@pytest.mark.parametrize(
    "misbehave",
    [
        lambda path: {}["nothing"],
        lambda path: int("x"),
        lambda path: os._exit(3),
        lambda path: bytearray(2**34),
        lambda path: os.kill(os.getpid(), 11),
    ],
    ids=["another error", "an error without words", "an end", "memory", "a fault"],
)
def test_a_reader_that_misbehaves_is_found(tmp_path, misbehave):
    calls = itertools.count()
    sample = Sample("a.bin", lambda path: path.write_bytes(b"1" * 100), lambda path: next(calls) and misbehave(path))
    assert len(find_crashes(sample, tmp_path, range(5))) == 5


def test_a_reader_in_an_endless_loop_is_found(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.mutations._SECONDS", 0.2)

    def read(path):
        while path.read_bytes() != b"1" * 100:
            time.perf_counter()

    sample = Sample("a.bin", lambda path: path.write_bytes(b"1" * 100), read)
    (crash,) = find_crashes(sample, tmp_path, range(1))
    assert "no answer" in crash.reason


def test_a_reader_that_answers_is_not_blamed(tmp_path):
    def refuse(path):
        raise ValueError("Expected a picture, got something else. Export it again.")

    assert try_one(Sample("a.bin", lambda path: None, refuse), b"content", tmp_path, 0) == ""


@pytest.mark.parametrize("name", STORES)
def test_killed_writers_lose_and_tear_nothing(tmp_path, name: str):
    outcome = kill_writers(STORES[name], tmp_path, rounds=6)
    assert outcome.kills == 9
    assert (outcome.lost, outcome.torn) == (0, ())


@pytest.mark.parametrize("name", STORES)
def test_a_full_disk_and_a_folder_without_permission_are_named(tmp_path, name: str):
    assert refuses(STORES[name], tmp_path) == ""


def test_a_writer_that_tears_is_found(tmp_path):
    """The test of the test: a file that is written in place is torn, and one that is announced too early is lost."""

    def write(folder, number):
        with (folder / str(number)).open("wb") as file:
            for _ in range(200):
                file.write(b"1" * 10_000)
                file.flush()

    def holds(folder, number):
        path = folder / str(number)
        assert not path.exists() or path.stat().st_size == 2_000_000, "cut off"
        return path.exists()

    assert kill_writers(Store(write, holds), tmp_path, rounds=8).torn
    assert kill_writers(Store(lambda folder, number: None, lambda folder, number: False), tmp_path, rounds=2).lost


def test_a_cache_that_cannot_be_written_is_said_once_and_costs_nothing_else(tmp_path, monkeypatch, caplog):
    cache = RenderCache(tmp_path / "people")
    STORES["cache"].write(tmp_path, 1)

    def fail(*_, **__):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("tempfile.mkstemp", fail)
    monkeypatch.setattr("os.utime", fail)
    kept = cache.read("01" * 8)
    assert kept is not None, "what may only be read is read"
    for key in ("aa", "bb", "cc"):
        cache.write(key, kept)
    (record,) = caplog.records
    assert "not kept from now on" in record.message and "Read-only file system" in record.message


def test_a_cache_of_another_version_is_not_found_and_not_removed(tmp_path, monkeypatch: pytest.MonkeyPatch):
    STORES["cache"].write(tmp_path, 1)
    (path,) = (tmp_path / "people").glob("*/*.people")
    monkeypatch.setattr("synthaug.synthesis.caching.FORMAT", 99)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        assert RenderCache(tmp_path / "people").read(path.stem) is None


def test_arrays_are_read_as_numpy_writes_them(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.normal(size=(3, 4)).astype(np.float32), "b": np.asfortranarray(rng.integers(0, 9, (2, 5))),
        "c": np.array("words"), "d": np.zeros((0, 3)), "e": np.array(3),
        "f": np.ones(3, bool), "g": np.arange(3).astype(">i4"),
    }  # fmt: skip
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz", most=10**6)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape


def test_arrays_that_are_too_large_pickled_or_cut_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(10**6))
    with pytest.raises(ValueError, match="unpack to at most 1000 bytes, got 8000"):
        read_npz(path, most=1000)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="expected numbers, got"):
        read_npz(path, most=10**6)
    np.save(tmp_path / "a.npy", np.arange(10))
    content = (tmp_path / "a.npy").read_bytes()
    for wrong in (
        content[:-1],
        content[:20],
        content.replace(b"(10,)", b"(99,)"),
        content.replace(b"(10,)", b"((((("),
        b"",
    ):
        with pytest.raises(ValueError, match="expected"):
            parse_npy(wrong)
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "missing.npz", most=10)


def _write_often(path, content):
    for _ in range(200):
        write_atomic(path, content)


def test_readers_see_one_writers_file_or_the_others(tmp_path):
    path = tmp_path / "shared"
    contents = [bytes([number]) * 100_000 for number in (1, 2)]
    write_atomic(path, contents[0])
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert list(tmp_path.iterdir()) == [path]
