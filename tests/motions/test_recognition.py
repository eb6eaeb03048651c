import json

import numpy as np
import pytest

from synthaug.cli.answers import find_answers
from synthaug.cli.configs import config_folder
from synthaug.cli.main import main
from synthaug.motions import UnusableClipError
from synthaug.motions.detection import recognize

SOURCES = {name: answer.load() for name, answer in find_answers("synthaug.motions.MotionSource").items()}


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def npz(path, *names):
    np.savez(path, **{name: np.zeros(3) for name in names})
    return path


EXAMPLES = {
    "ntu_skeleton": lambda at: text(at / "S001C001P001R001A001.skeleton", "0\n"),
    "bvh": lambda at: text(at / "a.bvh", "HIERARCHY\n"),
    "toyota_skeleton": lambda at: text(at / "a.json", {"njts": 13, "frames": []}),
    "coco_wholebody": lambda at: text(at / "a.json", {"instance_info": []}),
    "smplx_npz": lambda at: npz(at / "a.npz", "poses", "trans"),
    "sidecar": lambda at: npz(at / "a.npz", "about", "viewmats", "Ks", "body_pose"),
    "video": lambda at: text(at / "a.mp4", "film"),
    "exavatar": lambda at: text(at / "smplx_optimized/smplx_params_smoothed/0.json", {}).parents[2],
    "lhm": lambda at: text(at / "smplx_params/00001.json", {}).parents[1],
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_source_recognizes_its_files_and_is_an_option(tmp_path, kind):
    assert recognize(EXAMPLES[kind](tmp_path), SOURCES) == kind
    assert (config_folder() / "synth" / "motion" / f"{kind}.yaml").is_file()


def test_files_without_a_telling_name_are_told_by_what_is_in_them(tmp_path):
    assert recognize(text(tmp_path / "a.txt", "HIERARCHY\nROOT a"), SOURCES) == "bvh"
    assert recognize(text(tmp_path / "b.txt", "103\n1\n"), SOURCES) == "ntu_skeleton"
    assert recognize(text(tmp_path / "c.json", [[{"keypoints": []}]]), SOURCES) == "coco_wholebody"


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ({"root_pose": [], "betas": [], "focal": []}, "lhm"),
        ({"root_pose": []}, "exavatar"),
        ([[1, 2, 3]], "coco_wholebody"),
    ],
)
def test_bare_folders_are_told_by_their_first_frame(tmp_path, first, kind):
    text(tmp_path / "00003.json", first)
    assert recognize(tmp_path, SOURCES) == kind


def test_ambiguity_is_an_error_that_names_the_sources(tmp_path):
    text(tmp_path / "S001_rgb.avi", "film")
    text(tmp_path / "S001.skeleton", "0\n")
    several = "Expected one kind of motion, got ntu_skeleton and video.*--kind: ntu_skeleton .a text.*video .a film"
    with pytest.raises(ValueError, match=several):
        recognize(tmp_path / "S001_rgb.avi", SOURCES)
    EXAMPLES["lhm"](tmp_path / "subject")
    EXAMPLES["exavatar"](tmp_path / "subject")
    with pytest.raises(ValueError, match="got exavatar and lhm.*Choose one with --kind"):
        recognize(tmp_path / "subject", SOURCES)


def test_unknown_files_are_an_error_that_names_all_sources(tmp_path):
    with pytest.raises(ValueError, match="Expected a known kind of motion.*bvh .*ntu_skeleton .*smplx_npz") as one:
        recognize(text(tmp_path / "a.csv", "x,y\n"), SOURCES)
    assert all(kind in str(one.value) for kind in EXAMPLES)
    with pytest.raises(ValueError, match="Expected a known kind"):
        recognize(npz(tmp_path / "a.npz", "weights"), SOURCES)
    with pytest.raises(FileNotFoundError, match="No such file or folder: .*nowhere.bvh"):
        recognize(tmp_path / "nowhere.bvh", SOURCES)
    with pytest.raises(UnusableClipError, match="line 1 is not JSON"):
        recognize(text(tmp_path / "a.json", "{"), SOURCES)
    with pytest.raises(UnusableClipError, match="expected an npz, a zip of arrays, got another file"):
        recognize(text(tmp_path / "b.npz", "text"), SOURCES)


SOURCE_OF_ANOTHER_PACKAGE = '''
"""A motion source of another package."""

from pathlib import Path

from synthaug.motions import MotionSource
from synthaug.motions.smplx_npz import SmplxNpz


class Track(MotionSource):
    """Reads npz files whose name ends in .track."""

    looks = "an npz that ends in .track"

    def __init__(self) -> None:
        self._inner = SmplxNpz(transl_is_pelvis=True)

    @classmethod
    def recognizes(cls, path):
        return path.suffix == ".track"

    @property
    def fingerprint(self):
        return "track"

    def reads(self, record):
        return ()

    def load(self, record):
        import dataclasses

        return self._inner.load(dataclasses.replace(record, path=record.path.with_suffix(".npz")))
'''


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    package = tmp_path / "site" / "mylab_tracks"
    text(package / "__init__.py", "raise_if_imported_by_listing = 1\n")
    text(package / "motion_track.py", SOURCE_OF_ANOTHER_PACKAGE)
    text(package / "training.py", "raise RuntimeError('a file that no listing may import')\n")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("SYNTHAUG_TARGETS", "mylab_tracks")
    return "mylab_tracks.motion_track.Track"


def test_a_source_of_another_package_is_recognized_and_inspected(tmp_path, mylab, capsys):
    answers = find_answers("synthaug.motions.MotionSource")
    assert answers[mylab].summary == "Reads npz files whose name ends in .track."
    assert set(SOURCES) == set(answers) - {mylab}
    orient, transl = np.zeros((12, 3)), np.tile([0.0, 0.95, 0.0], (12, 1))
    np.savez(tmp_path / "a.npz", global_orient=orient, body_pose=np.zeros((12, 63)), transl=transl, fps=np.array(30.0))
    text(tmp_path / "a.track", "x")
    options = ["--to", str(tmp_path / "out"), "--seconds", "0.2", "synth.avatar.gaussians=2000"]
    options += ["synth.avatar.levels=null", "synth/renderer=cpu"]
    assert main(["motion", "inspect", str(tmp_path / "a.track"), *options]) == 0
    assert f"{mylab}:" in capsys.readouterr().out
    assert (tmp_path / "out" / "a.png").is_file()
    assert main(["motion", "inspect", str(text(tmp_path / "b.csv", "x"))]) == 2
    assert f"{mylab} (an npz that ends in .track)" in capsys.readouterr().err


def test_a_source_of_a_package_that_is_not_allowed_is_refused(tmp_path, mylab, monkeypatch, capsys):
    monkeypatch.delenv("SYNTHAUG_TARGETS")
    path = text(tmp_path / "a.track", "x")
    assert main(["motion", "inspect", str(path)]) == 2
    assert "Expected a known kind of motion" in capsys.readouterr().err
    assert main(["motion", "inspect", str(path), "--kind", mylab]) == 2
    assert "SYNTHAUG_TARGETS" in capsys.readouterr().err
