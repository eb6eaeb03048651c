import sys
import threading
import time
from pathlib import Path

import pytest

from synthaug.renderers.splatting.building import BuildError, build_once


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_of_many_at_once_one_builds_and_the_others_wait(tmp_path: Path):
    command = python(f"import time; time.sleep(0.3); open({str(tmp_path / 'built')!r}, 'a').write('x')")
    ready = []

    def build() -> None:
        build_once(command, tmp_path / "kernels.ready", limit_s=60.0)
        ready.append((tmp_path / "built").read_text())

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ready == ["x"] * 4, "built once, and by the time that anybody goes on"


def test_a_failed_build_repeats_its_output_and_is_tried_again(tmp_path: Path):
    marker = tmp_path / "kernels.ready"
    with pytest.raises(BuildError, match="to succeed, got exit code 3. Its last output:\nno room"):
        build_once(python("print('no room'); raise SystemExit(3)"), marker, limit_s=60.0)
    assert not marker.exists()
    build_once(python("import os; assert os.environ['JOBS'] == '2'"), marker, limit_s=60.0, environment={"JOBS": "2"})
    assert marker.exists()


def test_a_build_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path):
    child = f"import time; time.sleep(3); open({str(tmp_path / 'late')!r}, 'w')"
    code = (
        f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-S', '-c', {child!r}])"
    )
    with pytest.raises(BuildError, match="to end within 1 s, .* was stopped. (.|\n)*last output:\n(begun)?"):
        build_once(python(code), tmp_path / "kernels.ready", limit_s=1.0)
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_waiting_too_long_for_another_build_is_an_error(tmp_path: Path):
    import fcntl

    with open(tmp_path / "kernels.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BuildError, match=r"the build that holds '.*kernels.lock' to end within 0 s"):
            build_once(python("pass"), tmp_path / "kernels.ready", limit_s=0.2)
