"""What was extracted is believed for as long as everything that it was read from stays as it was."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import Films, Waves, wave

from synthaug.datamodule.guards import check_references
from synthaug.datasets import LeakError, Split
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.bvh import BvhMotion
from synthaug.motions.coco_wholebody import CocoWholebody
from synthaug.motions.lhm import Lhm
from synthaug.structures import Record
from synthaug.synthesis.references import gather, refuse_shared_recordings, take_shard
from synthaug.video import file_key, probe, remember
from synthaug.workers import UNFORKABLE


class Beside(MotionSource):
    """Waves as fast as the text beside the film says; counts how often it was asked."""

    fingerprint = "beside"

    def __init__(self):
        self.loads = 0

    def reads(self, record):
        path = record.path.with_suffix(".txt")
        return (path,) if path.exists() else ()

    def load(self, record):
        self.loads += 1
        path = record.path.with_suffix(".txt")
        if not path.exists():
            raise FileNotFoundError(f"No such file: {path.name}. Bring it.")
        return replace(Waves().load(record), motion=wave(record, fps=float(path.read_text())))


class Sometimes(Beside):
    """Finds nobody in the first film."""

    def load(self, record):
        if record.key == "0/s0":
            self.loads += 1
            raise UnusableClipError("Expected somebody, got nobody. Leave the clip out.")
        return super().load(record)


@pytest.fixture
def records(tmp_path):
    found = Films(tmp_path / "films", subjects=2).records
    for record in found:
        record.path.with_suffix(".txt").write_text("10")
    return found


def test_a_changed_recording_is_read_again_and_no_other(records, tmp_path):
    source, cache = Beside(), tmp_path / "kept"
    gather(records, source, cache=cache)
    gather(records, source, cache=cache)
    assert source.loads == len(records)
    changed = records[1].path.with_suffix(".txt")
    changed.write_text("20")
    os.utime(changed, ns=(1, 1))
    again = gather(records, source, cache=cache)
    assert source.loads == len(records) + 1
    assert [again.by_key[record.key].motion.fps for record in records] == [10, 20, 10, 10]


@pytest.mark.parametrize("linked", [True, False])
def test_motions_of_copied_films_are_not_extracted_again(records, tmp_path, linked, monkeypatch):
    """As on a cluster, where each job copies the data to a disk of its own."""
    if not linked:
        monkeypatch.setattr(os, "link", refuse_links)
    source, cache = Sometimes(), tmp_path / "kept"
    before = gather(records, source, cache=cache)
    shutil.copytree(tmp_path / "films", tmp_path / "scratch", copy_function=shutil.copy)
    copies = [replace(record, path=tmp_path / "scratch" / record.path.name) for record in records]
    for place, record in enumerate(copies):
        os.utime(record.path, ns=(place + 1, place + 1))
    after = gather(copies, source, cache=cache, num_workers=0)
    assert source.loads == len(records)
    assert after.dropped == before.dropped and len(after.dropped) == 1
    for key, reference in before.by_key.items():
        assert torch.equal(after.by_key[key].motion.pose, reference.motion.pose)
    copies[1].path.with_suffix(".txt").write_text("20")
    assert gather(copies, source, cache=cache).by_key[copies[1].key].motion.fps == 20
    assert source.loads == len(records) + 1


def test_films_that_are_not_here_yet_are_not_taken_for_equal(records, tmp_path):
    """Those of an object store: of the right size, and empty."""
    cache, path = tmp_path / "kept", records[0].path
    size = path.stat().st_size
    for changed in (1, 2):
        path.unlink()
        with path.open("wb") as hollow:
            hollow.truncate(size)
        os.utime(path, ns=(changed, changed))
        assert path.stat().st_blocks == 0
        gather(records[:1], Waves(), cache=cache)
    assert len({kept.stat().st_ino for kept in cache.rglob("*.npz")}) == 2


def refuse_links(old, new):
    raise PermissionError(1, "Operation not permitted")


def test_a_damaged_motion_is_extracted_again_under_both_of_its_names(records, tmp_path):
    source, cache = Beside(), tmp_path / "kept"
    gather(records, source, cache=cache)
    for path in cache.rglob("*.npz"):
        path.write_bytes(b"broken")
    assert len(gather(records, source, cache=cache).records) == len(records)
    assert source.loads == 2 * len(records)
    for record in records:
        os.utime(record.path, ns=(7, 7))
    assert len(gather(records, source, cache=cache).records) == len(records)
    assert source.loads == 2 * len(records)


def test_motions_of_film_that_is_shown_in_another_way_are_found_again_and_no_others(records, tmp_path):
    source, cache = Beside(), tmp_path / "kept"
    gather(records, source, cache=cache)
    names = {path.name for path in cache.rglob("*.npz")}
    # As if an older version had not seen that the second film is stored mirrored.
    path = records[1].path
    remember({file_key(path): replace(probe(path), notes={"mirrored_pictures": 1})})
    gather(records, source, cache=cache)
    assert source.loads == len(records) + 1
    assert names < {path.name for path in cache.rglob("*.npz")}


def test_folders_count_with_every_file_in_them(records, tmp_path):
    class Folder(Beside):
        def reads(self, record):
            return (tmp_path / "folder",)

    source, cache = Folder(), tmp_path / "kept"
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    gather(records[:1], source, cache=cache)
    (tmp_path / "folder" / "inner" / "00001.json").write_text("{}")
    gather(records[:1], source, cache=cache)
    gather(records[:1], source, cache=cache)
    assert source.loads == 2


def test_clips_without_a_recording_are_counted_until_it_is_brought(records, tmp_path):
    source, missing = Beside(), records[0].path.with_suffix(".txt")
    missing.unlink()
    found = gather(records, source, cache=tmp_path / "kept")
    assert set(found.dropped) == {records[0].key} and "No such file" in found.dropped[records[0].key]
    missing.write_text("10")
    assert not gather(records, source, cache=tmp_path / "kept").dropped


def test_recordings_that_are_nowhere_are_an_error(records, tmp_path):
    for record in records:
        record.path.with_suffix(".txt").unlink()
    with pytest.raises(FileNotFoundError, match="No such file: .*txt"):
        gather(records, Beside(), cache=tmp_path / "kept")


def test_what_another_process_extracts_meanwhile_is_not_extracted_again(records, tmp_path):
    cache = tmp_path / "kept"

    class Slow(Beside):
        def load(self, record):
            if self.loads == 0:
                self.loads = 1
                gather(records, Beside(), cache=cache)
                self.loads = 0
            return super().load(record)

    slow = Slow()
    found = gather(records, slow, cache=cache)
    assert slow.loads == 1 and set(found.by_key) == {record.key for record in records}


def test_the_first_record_says_what_is_missing(records, tmp_path):
    for record in records:
        record.path.with_suffix(".txt").unlink()
    for _ in range(8):
        with pytest.raises(FileNotFoundError, match=records[0].path.stem):
            gather(records, Beside())


class Twice(Waves):
    """Every film shows its person twice; the second time with a low grade in the films of one subject."""

    fingerprint = "twice"

    def load(self, record):
        first = super().load(record)
        grade = 0.1 if record.subject == "s0" else 0.9
        later = replace(first, motion=wave(record, fps=12.0), quality=grade, notes={"offset": 1.5})
        return replace(first, others=(later,))


def test_every_performance_of_a_film_is_a_reference_of_its_own(records, tmp_path):
    for cache in (None, tmp_path / "kept", tmp_path / "kept"):
        found = gather(records, Twice(), cache=cache, min_quality=0.5)
        for record in records:
            graded_low = record.subject == "s0"
            second = f"{record.key}#2"
            assert (second in found.dropped) == graded_low
            assert (second in found.by_key) == (not graded_low)
            if not graded_low:
                part = next(one for one in found.records if one.key == second)
                assert replace(part, key=record.key) == record
                assert found.clip_of(second) == record.key == found.clip_of(record.key)
                assert found.by_key[second].motion.fps == 12.0 and not found.by_key[record.key].others
    # Plates are taken out of films, each once.
    assert [record for record, _ in found.films] == list(records)


def test_glimpses_of_somebody_are_no_performances_of_long_clips(records):
    found = gather(records, Twice())
    first, second = records[0].key, f"{records[0].key}#2"
    length = found.by_key[second].motion.duration
    glimpse = replace(found.by_key[second], notes={"detection": 0.1})
    found = replace(found, by_key=found.by_key | {second: glimpse})
    assert found.drop_glimpses(length).records == found.records
    left = found.drop_glimpses(length + 0.1)
    assert second in left.dropped and f"{length + 0.1:g} s" in left.dropped[second]
    # The others fill their clips.
    assert set(found.by_key) - set(left.by_key) == {second} and first in left.by_key
    assert [record.key for record in left.records] == list(left.by_key)


def test_a_key_that_looks_like_a_performance_stays_the_films_own(records):
    named = replace(records[0], key=f"{records[1].key}#2")
    found = gather([records[1], named], Twice())
    assert found.clip_of(named.key) == named.key
    assert found.clip_of(f"{records[1].key}#3") == records[1].key


def test_further_performances_are_allowed_where_their_film_is_and_nowhere_else(records):
    found = gather(records, Twice())
    check_references(found, Split(tuple(records), (), ()), "subject")
    with pytest.raises(LeakError, match="training"):
        check_references(found, Split(tuple(records[1:]), (), ()), "subject")


class Marking(Beside):
    """Says in a file which process extracted a clip; the film's name may hold an order to fail."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.spoiled = {}

    def load(self, record):
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{record.path.stem}.{os.getpid()}").touch()
        spoil = self.spoiled.get(record.key)
        if spoil is not None:
            spoil()
        return super().load(record)

    @property
    def processes(self):
        return {path.suffix for path in self.folder.iterdir()}


@pytest.fixture
def forkable(monkeypatch):
    """As in a process that has not used what forked ones cannot use; other tests in this one may have."""
    for name in UNFORKABLE:
        monkeypatch.delitem(sys.modules, name, raising=False)


def refuse():
    raise UnusableClipError("Expected a person, got nobody. Leave it out.")


def break_down():
    raise RuntimeError("broken")


@pytest.mark.parametrize("kept", [True, False])
def test_several_processes_extract_what_one_does(records, forkable, tmp_path, kept):
    records[1].path.with_suffix(".txt").write_text("12.3456789")
    records[2].path.with_suffix(".txt").unlink()
    found = []
    for count in (0, 2):
        source = Marking(tmp_path / f"marks{count}")
        source.spoiled[records[0].key] = refuse
        found.append(gather(records, source, cache=tmp_path / f"kept{count}" if kept else None, num_workers=count))
        assert str(os.getpid()) in "".join(source.processes) and (len(source.processes) > 1) == (count > 0)
    one, two = found
    assert one.records == two.records and one.dropped == two.dropped and set(one.dropped) == {
        records[0].key, records[2].key
    }  # fmt: skip
    for key, reference in one.by_key.items():
        other = two.by_key[key]
        assert torch.equal(reference.motion.pose, other.motion.pose) and reference.motion.fps == other.motion.fps
        assert torch.equal(reference.camera.viewmats, other.camera.viewmats) and reference.notes == other.notes
        assert reference.quality == other.quality


def test_an_error_in_a_process_is_raised_as_in_one(records, forkable, tmp_path):
    source = Marking(tmp_path / "marks")
    source.spoiled[records[1].key] = break_down
    with pytest.raises(RuntimeError, match="^broken$") as caught:
        gather(records, source, cache=tmp_path / "kept", num_workers=2)
    assert caught.traceback[-1].path == Path(__file__)
    assert not multiprocessing.active_children()


def test_a_killed_process_is_told_in_words_and_what_is_done_is_kept(records, forkable, tmp_path):
    source = Marking(tmp_path / "marks")
    source.spoiled[records[-1].key] = lambda: (time.sleep(2), os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ChildProcessError, match="Expected 2 processes to extract 4 motions, got one that was killed"):
        gather(records, source, cache=tmp_path / "kept", num_workers=2)
    again = Marking(tmp_path / "again")
    assert len(gather(records, again, cache=tmp_path / "kept", num_workers=0).records) == len(records)
    assert again.loads < len(records)


@pytest.fixture
def interruptible():
    """Ctrl-C as in a shell: what is started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_giving_up_ends_the_processes_at_once(records, forkable, interruptible, tmp_path):
    source = Marking(tmp_path / "marks")
    for record in records:
        source.spoiled[record.key] = lambda: time.sleep(30)
    threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        gather(records, source, cache=tmp_path / "kept", num_workers=2)
    assert time.monotonic() - start < 15
    assert not multiprocessing.active_children()


def test_where_forked_processes_would_break_one_extracts_and_says_so(records, monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    source = Marking(tmp_path / "marks")
    assert len(gather(records, source, cache=tmp_path / "kept", num_workers=2).records) == len(records)
    assert source.processes == {f".{os.getpid()}"}
    assert "in one process: forked ones cannot use mediapipe" in caplog.text


def test_shards_are_all_the_clips_once_and_fill_one_cache(records, tmp_path):
    shards = [take_shard(records, number, 3) for number in (1, 2, 3)]
    assert sorted(record.key for shard in shards for record in shard) == sorted(record.key for record in records)
    assert shards == [take_shard(records, number, 3) for number in (1, 2, 3)]
    assert {len(shard) for shard in shards} <= {1, 2}
    for shard in shards:
        gather(shard, Beside(), cache=tmp_path / "kept")
    whole = Beside()
    assert len(gather(records, whole, cache=tmp_path / "kept").records) == len(records) and whole.loads == 0
    for number, count in ((0, 3), (4, 3), (1, 0)):
        with pytest.raises(ValueError, match=f"got {number}/{count}. Correct --shard"):
            take_shard(records, number, count)


def film(root, name, label, subject, *, interval=(0.0, 1.0)):
    return Record(f"{name}#{interval[0]}", root / "films" / name, label, subject, "", *interval)


SOURCES = {
    "bvh": (BvhMotion, lambda place, stem: place / f"{stem}.bvh"),
    "json": (CocoWholebody, lambda place, stem: place / f"{stem}.json"),
    "folder of json": (CocoWholebody, lambda place, stem: place / stem / "0.json"),
    "lhm": (Lhm, lambda place, stem: place / stem / "smplx_params" / "0.json"),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("names", [("wave/1.mp4", "bow/1.mp4"), ("wave/ann/1.mp4", "bow/ann/1.mp4")])
def test_one_recording_of_two_films_is_refused_and_folders_tell_them_apart(tmp_path, kind, names):
    make, place_of = SOURCES[kind]
    films = [film(tmp_path, name, label, "ann") for label, name in enumerate(names)]
    source = make(root=str(tmp_path / "motions"))

    def record(place):
        path = place_of(tmp_path / "motions" / place, "1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        return path

    flat = record("")
    with pytest.raises(ValueError, match="Expected a recording for each film, got .* for two that show") as raised:
        gather(films, source)
    assert all(str(one.path) in str(raised.value) for one in films)
    own = [record(one.path.parent.relative_to(tmp_path / "films")) for one in films]
    refuse_shared_recordings(films, source)
    read = [source.reads(one)[0] for one in films]
    assert all(mine == found or found in mine.parents for mine, found in zip(own, read, strict=True))
    assert flat not in read


def test_cameras_and_parts_of_one_take_may_share_its_recording(tmp_path):
    (tmp_path / "motions").mkdir()
    (tmp_path / "motions" / "1.bvh").touch()
    source = BvhMotion(root=str(tmp_path / "motions"))
    refuse_shared_recordings([film(tmp_path, f"{view}/1.mp4", 0, "ann") for view in ("left", "right")], source)
    parts = [(0.0, 1.0), (1.0, 2.0)]
    refuse_shared_recordings(
        [film(tmp_path, "1.mp4", label, "ann", interval=part) for label, part in enumerate(parts)], source
    )


@pytest.mark.parametrize(("stored", "named"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_a_recording_is_found_under_either_form_of_its_name(tmp_path, stored, named):
    (tmp_path / "motions" / stored).mkdir(parents=True)
    for place in ("", stored):
        path = tmp_path / "motions" / place / f"{stored}.bvh"
        path.touch()
        assert BvhMotion(root=str(tmp_path / "motions")).reads(film(tmp_path, f"{named}/{named}.mp4", 0, "ann")) == (
            path,
        )
