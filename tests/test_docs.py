"""The pages under docs/ are true: their files pass the public checks, their commands compose, their links exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FILE = re.compile(r"^```(?:python|yaml) title=\"(?P<path>[^\"]+)\"\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
BASH = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMPOSING = ("python train.py", "synthaug train", "synthaug preview", "synthaug data scan", "synthaug motion extract",
             "synthaug licenses")  # fmt: skip
HOW_TO = [page for page in PAGES if FILE.search(page.read_text())]


def files_of(page):
    return {found["path"]: found["text"] for found in FILE.finditer(page.read_text())}


def commands_of(page):
    """Commands of the bash blocks, continued lines joined, comments cut."""
    lines = "\n".join(BASH.findall(page.read_text())).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def compositions():
    for page in PAGES:
        for command in commands_of(page):
            if any(f"{program} " in f"{command} " for program in COMPOSING):
                yield pytest.param(page, command, id=f"{page.stem}: {command}")


def write_files(page, folder):
    """Write a page's files as they stand there, and make packages of their folders."""
    for name, text in files_of(page).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for place in (folder / "mylab", folder / "mylab" / "conf"):
        if place.is_dir():
            (place / "__init__.py").touch()


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_files_of_a_page_pass_the_public_checks(page, tmp_path):
    write_files(page, tmp_path)
    assert list(tmp_path.glob("tests/test_*.py"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "tests"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize(("page", "command"), list(compositions()))
def test_every_command_of_a_page_composes(page, command, tmp_path, monkeypatch):
    from synthaug.cli.configs import compose_config

    write_files(page, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SYNTHAUG_TARGETS", "mylab")
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab"]:
        monkeypatch.delitem(sys.modules, name)
    words = shlex.split(command)
    overrides = [word for word in words if "=" in word and not word.startswith(("-", "SYNTHAUG_", "OMP_"))]
    single = [re.sub(r"=([^\[{,]+),.*", r"=\1", word) for word in overrides]  # the first value of each sweep
    single = [re.sub(r"=(\[[^\]]*\]),.*", r"=\1", word) for word in single]
    assert compose_config(single).seed == 0


def test_pages_are_in_the_navigation_and_the_navigation_in_pages():
    named = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in PAGES}
