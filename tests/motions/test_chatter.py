import os
import subprocess
import sys
import threading

import pytest

from synthaug.motions.pose.chatter import drop_stderr_lines


def write(line):
    """As a C++ library does: to the descriptor, past sys.stderr."""
    os.write(2, line.encode() + b"\n")


def test_what_says_nothing_is_dropped_and_all_else_is_passed_on(capfd):
    write("before")
    with drop_stderr_lines("delegate for CPU", "Feedback manager"):
        write("INFO: Created a delegate for CPU.")
        print("python's own", file=sys.stderr)
        write("E0000 model is broken")
        write("W0000 x.cc:114] Feedback manager requires")
    write("Feedback manager, afterwards")
    assert capfd.readouterr().err.splitlines() == [
        "before", "python's own", "E0000 model is broken", "Feedback manager, afterwards",
    ]  # fmt: skip


def test_an_exception_restores_stderr_and_loses_no_line(capfd):
    with pytest.raises(RuntimeError, match="no such model"), drop_stderr_lines("noise"):
        write("noise")
        write("F0000 the reason")
        raise RuntimeError("no such model")
    write("afterwards")
    assert capfd.readouterr().err.splitlines() == ["F0000 the reason", "afterwards"]


def test_no_descriptor_is_left_open(capfd):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with drop_stderr_lines("noise"):
            write("noise")
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_at_once_leave_stderr_where_it_was(capfd):
    def speak(name):
        for _ in range(20):
            with drop_stderr_lines("noise"):
                write(f"noise of {name}")
        write(f"{name} is done")

    threads = [threading.Thread(target=speak, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(capfd.readouterr().err.splitlines()) == [f"{name} is done" for name in "abcd"]


def test_a_closed_stderr_stays_closed():
    code = (
        "import os; os.close(2)\n"
        "from synthaug.motions.pose.chatter import drop_stderr_lines\n"
        "with drop_stderr_lines('x'): print('within')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "within\n")


def test_mediapipe_is_silent_where_all_is_well(capfd):
    pytest.importorskip("mediapipe")
    import numpy as np

    from synthaug.motions.pose.network import MediapipeNetwork, Region

    picture = np.zeros((64, 96, 3), np.uint8)
    with MediapipeNetwork() as network:
        assert network.find(picture) == []
        network.look(picture, Region(48.0, 32.0, 64.0, 0.0))
        network.hands(picture, np.zeros((33, 2), np.float32), np.zeros(33, np.float32))
    assert capfd.readouterr().err == ""
