"""Every engine keeps the contract: each item once, whole, and only what is missing."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from synthaug.engines import EngineError, Job, Outcome, read_outcomes, run_job
from synthaug.engines.ray import DoItems, Ray
from synthaug.engines.slurm import Slurm

ITEMS = tuple(f"item {k}" for k in range(7))


def make_job(folder, *, fatal="", refused=""):
    """A job that writes a file for each item; the process that first meets `fatal` is killed in the middle of it."""
    folder.mkdir(exist_ok=True)

    # A class of this function: other processes get it by value, since they cannot import this module.
    @dataclass(frozen=True)
    class Write(Job):
        folder: Path
        fatal: str
        refused: str

        @property
        def title(self):
            return "Writing"

        def list_missing(self):
            return [item for item in ITEMS if not (self.folder / item).exists()]

        def open(self):
            (self.folder / f"opened by {os.getpid()}").touch()

            def write(item):
                if item == self.refused:
                    raise ValueError(f"Expected another item, got {item}.")
                if item == self.fatal and not (self.folder / "killed").exists():
                    (self.folder / "killed").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                with (self.folder / item).open("a") as file:
                    file.write("done ")
                return item.upper()

            return write

    return Write(folder, fatal, refused)


def collect(engine, job, log):
    return list(run_job(engine, job, job.list_missing(), log=log))


def test_what_is_missing_is_done_once_and_told_also_if_it_fails(engine, tmp_path):
    """All in one start, since starting a cluster's processes takes most of the time."""
    job, log = make_job(tmp_path / "work", refused=ITEMS[2]), tmp_path / "log" / "outcomes.jsonl"
    for item in ITEMS[5:]:
        (tmp_path / "work" / item).write_text("earlier ")
    outcomes = collect(engine, job, log)
    assert sorted(one.item for one in outcomes) == sorted(ITEMS[:5]) and all(one.machine for one in outcomes)
    assert read_outcomes(log) == outcomes
    good = [one for one in outcomes if one.item != ITEMS[2]]
    assert all((tmp_path / "work" / one.item).read_text() == "done " for one in good)
    assert all(one.said == one.item.upper() and not one.fault for one in good)
    assert [one.fault for one in outcomes if one.item == ITEMS[2]] == ["Expected another item, got item 2."]
    assert all((tmp_path / "work" / item).read_text() == "earlier " for item in ITEMS[5:])
    assert job.list_missing() == [ITEMS[2]]
    # By each process once, not for each item; one process may have done all before the other was there.
    assert 1 <= len(list((tmp_path / "work").glob("opened by *"))) <= 2


def test_a_job_that_cannot_begin_is_told(engine, tmp_path):
    @dataclass(frozen=True)
    class Broken(Job):
        @property
        def title(self):
            return "Failing"

        def list_missing(self):
            return ITEMS

        def open(self):
            raise ValueError("Expected a folder of films, got none.")

    with pytest.raises(EngineError, match="Expected a folder of films, got none"):
        collect(engine, Broken(), tmp_path / "log")


def test_a_killed_worker_of_ray_costs_no_item(cluster, tmp_path, tests_importable):
    job = make_job(tmp_path / "work", fatal=ITEMS[3])
    outcomes = collect(Ray(address=cluster.address), job, tmp_path / "log")
    assert (tmp_path / "work" / "killed").exists()
    assert sorted(one.item for one in outcomes) == sorted(ITEMS) and not any(one.fault for one in outcomes)
    assert job.list_missing() == [] and len(read_outcomes(tmp_path / "log")) == len(ITEMS)


def test_a_killed_task_of_slurm_is_told_and_the_next_start_does_the_rest(tmp_path, tests_importable):
    pytest.importorskip("submitit", reason="submitit (the extra launchers) is not installed")
    job, engine = make_job(tmp_path / "work", fatal=ITEMS[2]), Slurm(2, cluster="local", logs=tmp_path / "logs")
    with pytest.raises(EngineError, match="1 that failed, the first of them .* it was killed"):
        collect(engine, job, tmp_path / "log")
    # The first task's items: 0, 2, 4 and 6; what it had done stays done and told.
    assert job.list_missing() == [ITEMS[2], ITEMS[4], ITEMS[6]]
    assert sorted(one.item for one in read_outcomes(tmp_path / "log")) == [ITEMS[k] for k in (0, 1, 3, 5)]
    assert len(collect(engine, job, tmp_path / "log")) == 3
    assert job.list_missing() == [] and len(read_outcomes(tmp_path / "log")) == len(ITEMS)


def test_an_item_done_twice_is_told_once(tmp_path):
    class Doubtful(Ray):
        def run(self, job, items):
            yield from (Outcome(item) for item in [*items, *items])

    assert len(collect(Doubtful(), make_job(tmp_path / "work"), tmp_path / "log")) == len(ITEMS)


def test_an_engine_that_forgets_an_item_is_told(tmp_path):
    class Forgetful(Ray):
        def run(self, job, items):
            yield from (Outcome(item) for item in items[1:])

    with pytest.raises(EngineError, match="none for 1, such as item 0"):
        collect(Forgetful(), make_job(tmp_path / "work"), tmp_path / "log")


def test_a_class_for_map_batches_returns_the_columns_of_outcomes(tmp_path):
    import numpy as np

    columns = DoItems(make_job(tmp_path / "work", refused=ITEMS[1]))({"item": np.array(ITEMS[:2])})
    rows = [Outcome(*row) for row in zip(*(columns[name] for name in Outcome.__dataclass_fields__), strict=True)]
    assert [row.item for row in rows] == list(ITEMS[:2]) and [bool(row.fault) for row in rows] == [False, True]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    (tmp_path / "log").write_text(f'{Outcome("a").to_json()}\n{{"item": "b", "sec')
    assert read_outcomes(tmp_path / "log") == [Outcome("a")]
    assert json.loads(Outcome("a", 1.5).to_json())["seconds"] == 1.5


@pytest.mark.parametrize(("cls", "values"), [(Ray, {"batch": 0}), (Ray, {"processes": 0}), (Slurm, {"at_once": 0})])
def test_counts_of_nothing_are_refused_by_the_flags_name(cls, values):
    with pytest.raises(EngineError, match=f"Expected --{[*values][0].replace('_', '-')} to be at least 1, got 0"):
        cls(**values)


def test_no_cluster_at_an_address_is_told(tmp_path):
    pytest.importorskip("ray", reason="Ray (the extra ray) is not installed")
    with pytest.raises(EngineError, match="Expected a Ray cluster at 127.0.0.1:1, got"):
        list(Ray(address="127.0.0.1:1").run(make_job(tmp_path / "work"), ITEMS))


def test_a_machine_without_slurm_is_told(tmp_path):
    pytest.importorskip("submitit", reason="submitit (the extra launchers) is not installed")
    with pytest.raises(EngineError, match="--cluster local"):
        list(Slurm(logs=tmp_path).run(make_job(tmp_path / "work"), ITEMS))
