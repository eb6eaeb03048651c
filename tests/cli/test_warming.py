"""The second process compiles what the first one needs later, once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthaug.backgrounds.room.raycasting import render_picture
from synthaug.body.footing import plant_feet
from synthaug.cli import warming
from synthaug.compositing.sensor_kernels import record
from synthaug.motions.fitting.descent import descend
from synthaug.renderers.splatting.kernels import render_clip


class Process:
    def __init__(self):
        self.called = []

    def kill(self):
        self.called.append("kill")

    def wait(self):
        self.called.append("wait")


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Processes that were started; they do nothing."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    found = []
    monkeypatch.setattr(warming, "_start", lambda: found.append(Process()) or found[-1])
    monkeypatch.setattr(warming, "_count_cores", lambda: 2)
    return found


def test_one_process_compiles_for_each_installation_and_ends_with_the_run(started, monkeypatch):
    for _ in range(2):
        with warming.compile_beside():
            assert len(started) == 1 and (_ or not started[0].called)
    assert started[0].called == ["kill", "wait"]
    monkeypatch.setattr(warming, "version", lambda name: "another")
    with pytest.raises(ValueError, match="the run"), warming.compile_beside():
        raise ValueError("the run fails")
    assert len(started) == 2 and started[1].called == ["kill", "wait"]


def test_one_core_compiles_for_itself(started, monkeypatch):
    monkeypatch.setattr(warming, "_count_cores", lambda: 1)
    with warming.compile_beside():
        assert not started


def test_a_folder_that_cannot_be_written_is_passed_by(started, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    for _ in range(2):
        with warming.compile_beside():
            assert len(started) == 1


def test_a_system_that_starts_no_process_stops_nothing(tmp_path, monkeypatch):
    def refuse(command, **options):
        raise OSError("no more processes")

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(warming, "_count_cores", lambda: 2)
    monkeypatch.setattr(warming.subprocess, "Popen", refuse)
    with warming.compile_beside():
        pass


def test_every_large_kernel_of_a_run_is_compiled():
    warming.compile_kernels()
    for kernel in (plant_feet, record, descend, render_picture, render_clip):
        assert kernel.signatures


def test_it_ends_with_the_process_that_started_it():
    script = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-m', 'synthaug.cli.warming']).pid)"
    number = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    state = Path(f"/proc/{number}/stat")
    deadline = time.monotonic() + 60
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.1)
