"""What was extracted is believed for as long as everything that it was read from stays as it was."""

import os
from dataclasses import replace

import pytest
from fakes import Films, Waves, wave

from synthaug.datamodule.guards import check_references
from synthaug.datasets import LeakError, Split
from synthaug.motions import MotionSource
from synthaug.synthesis.references import gather


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
