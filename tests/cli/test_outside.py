"""A data set from another package is two files: one in Python, one in YAML."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import camera, square, wave
from omegaconf import OmegaConf

from synthaug.files import write_reference
from synthaug.structures import Record, Reference
from synthaug.video import write_video

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """
from pathlib import Path

from synthaug.datasets import ActionDataset
from synthaug.structures import Record


class Waves(ActionDataset):
    classes = ("wave left", "wave right")
    quarantine = {}
    notes = {}

    def __init__(self, root):
        self.root = Path(root)

    @property
    def records(self):
        films = sorted(self.root.glob("*.mp4"))
        return tuple(Record(f.stem, f, int(f.stem[0]), f.stem[2:], "", 0.0, 1.2) for f in films)

    def prepare(self):
        pass
"""
YAML = """# @package _global_
defaults:
  - override /protocol: holdout
  - override /synth/motion: sidecar
  - override /synth/background: plain
dataset:
  _target_: mylab.Waves
  root: ???
"""
SHORT = [
    "trainer.max_steps=2", "trainer.val_check_interval=1", "trainer.enable_progress_bar=false", "loading.num_workers=0",
    "loading.batch_size=2", "synth.identities=1", "synth.backgrounds=1", "synth.avatar.gaussians=2000",
    "synth/renderer=cpu", "clip.num_frames=4", "clip.size=48",
]  # fmt: skip


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Films of two people and two classes, each with its motion beside it."""
    root = tmp_path_factory.mktemp("waves")
    for label in range(2):
        for who, name in enumerate(("anna", "ben")):
            path = root / f"{label}-{name}.mp4"
            write_video(path, square(label, who, 12), fps=10.0)
            motion = wave(Record(path.stem, path, label, name, "", 0.0, 1.2))
            write_reference(path.with_suffix(".npz"), Reference(motion, camera(motion.num_frames)))
    return root


def test_a_data_set_of_another_package_is_two_files_and_trains(tmp_path, waves):
    lab = tmp_path / "mylab"
    (lab / "dataset").mkdir(parents=True)
    (lab / "__init__.py").write_text(PYTHON)
    (lab / "dataset" / "waves.yaml").write_text(YAML)
    assert sum(path.is_file() for path in lab.rglob("*")) == 2
    run = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "hydra.searchpath=[pkg://mylab]", "dataset=waves",
         f"dataset.root={waves}", f"hydra.run.dir={tmp_path}/run", *SHORT],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path), "SYNTHAUG_TARGETS": "mylab"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert config.dataset._target_ == "mylab.Waves"
    assert [config[part]._target_.rsplit(".", 1)[1] for part in ("dataset", "protocol")] == ["Waves", "Holdout"]
    assert config.synth.motion._target_ == "synthaug.motions.sidecar.Sidecar"
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["steps"] == 2 and 0 <= metrics["mean_class_accuracy"] <= 1
    recipes = (tmp_path / "run" / "recipes.jsonl").read_text().splitlines()
    assert len(recipes) == 2, "one for each class's training clip"
