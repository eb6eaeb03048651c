"""Whatever a training started ends with it: workers of a sweep, of a loader, of an extraction."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import square

from synthaug.cli.stopping import LEADER, StoppedError, stop_by_signals
from synthaug.video import write_video

ROOT = Path(__file__).resolve().parents[2]

SWEEP = """
import multiprocessing, os, pathlib, sys, time
import joblib
from synthaug.cli.stopping import end_with_leader, stop_by_signals

def work(folder):
    end_with_leader()
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    pathlib.Path(folder, f"{os.getpid()}").touch()
    pathlib.Path(folder, f"{child.pid}").touch()
    time.sleep(600)

if __name__ == "__main__":
    pathlib.Path(sys.argv[1], str(os.getpid())).touch()
    with stop_by_signals():
        joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(work)(sys.argv[1]) for _ in range(4))
"""
"""A launcher of two workers, which have a process each, in files named by their numbers."""


def lives(number):
    try:
        status = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the states of processes from /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_the_workers_of_a_sweep_end_with_it_and_so_does_what_they_started(number, tmp_path):
    (tmp_path / "sweep.py").write_text(SWEEP)
    (folder := tmp_path / "processes").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "sweep.py"), str(folder)]
    # What is started in the background ignores Ctrl-C, and what nohup starts a closed terminal.
    running = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)],
    )  # fmt: skip
    assert wait_until(lambda: len(list(folder.iterdir())) == 5, 120)
    started = [int(path.name) for path in folder.iterdir()]
    running.send_signal(number)
    try:
        assert wait_until(lambda: not any(map(lives, started)), 15), "some train on"
    finally:
        for process in filter(lives, started):
            os.kill(process, signal.SIGKILL)
    said = running.communicate(timeout=30)[1]
    assert running.returncode == (-number if number in (signal.SIGKILL, signal.SIGINT) else 128 + number)
    assert number == signal.SIGKILL or f"stopped by {'Ctrl-C' if number == signal.SIGINT else number.name}." in said


def test_signals_are_as_before_outside(monkeypatch):
    monkeypatch.setenv(LEADER, "7")
    with pytest.raises(StoppedError) as raised, stop_by_signals():
        assert os.environ[LEADER].split("/")[2] == str(os.getpid())
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert raised.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and os.environ[LEADER] == "7"
    ours = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stop_by_signals():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN  # somebody's choice
    finally:
        signal.signal(signal.SIGTERM, ours)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for label, name in enumerate(("bow", "wave")):
        for number, subject in enumerate(("ann", "bob", "eve")):
            write_video(root / name / subject / "1.mp4", square(label, number, 12 + number), fps=10.0)
    return root


def test_a_stopped_sweep_goes_on_where_it_was(films, tmp_path):
    words = [
        "dataset=folder", f"dataset.root={films}", "protocol.test_subjects=[eve]", "synth.identities=0",
        "trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.enable_progress_bar=false",
        "loading.num_workers=1", "loading.batch_size=2", "clip.num_frames=2", "clip.size=32", "augmentation=none",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep",
    ]  # fmt: skip
    command = [sys.executable, str(ROOT / "train.py"), "-m", *words]
    environment = {**os.environ, "SYNTHAUG_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    scores = tmp_path / "sweep" / "0" / "metrics.json"
    assert wait_until(scores.is_file, 300)
    written = scores.stat().st_mtime_ns
    running.send_signal(signal.SIGTERM)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 128 + signal.SIGTERM and "Traceback" not in said
    assert f"hydra.sweep.dir={tmp_path}/sweep ckpt_path=auto to go on" in said
    assert not list((tmp_path / "sweep").rglob("failure.txt")) and not (tmp_path / "sweep" / "report.html").exists()
    again = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "holds this run, finished" in again.stdout and scores.stat().st_mtime_ns == written
    assert (tmp_path / "sweep" / "1" / "metrics.json").is_file() and (tmp_path / "sweep" / "report.html").exists()
