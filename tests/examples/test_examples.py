"""Every file in examples/ runs as it is, and leaves what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import synthaug as sa
from synthaug.video import probe

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name, *arguments, folder):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_module_of_one_s_own_trains(tmp_path):
    assert "4 filmed and 8 synthetic clips of 2 classes" in (said := run("datamodule_in_your_project", folder=tmp_path))
    assert "test accuracy" in said


def test_one_clip_is_rendered_and_its_recipe_is_kept(tmp_path):
    said = run("render_one_clip", "out", folder=tmp_path)
    recipe = sa.Recipe.from_json((tmp_path / "out" / "recipe.json").read_text())
    assert recipe.actors[0].identity in said
    film = probe(tmp_path / "out" / "clip.mp4")
    assert (film.num_frames, film.height, film.width) == (recipe.num_frames, *recipe.size)


def test_a_background_of_one_s_own_is_checked_and_seen(tmp_path):
    assert "keeps what backgrounds promise" in run("your_own_background", "sky.mp4", folder=tmp_path)
    assert probe(tmp_path / "sky.mp4").num_frames == 16


def test_a_network_of_one_s_own_is_trained_from_one_clip_a_class(tmp_path):
    said = run("fewshot_with_your_network", folder=tmp_path)
    assert "0 people re-enact" in said and "2 people re-enact" in said


def test_every_example_has_a_test():
    source = Path(__file__).read_text()
    assert all(f'run("{path.stem}"' in source for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_it_is_run(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 100
    assert f"python examples/{path.name}" in source.split('"""')[1]
