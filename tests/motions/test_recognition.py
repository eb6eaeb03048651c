import json

import numpy as np
import pytest

from synthaug.cli.configs import config_folder
from synthaug.motions import UnusableClipError
from synthaug.motions.detection import KINDS, recognised


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


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told_from_its_file_and_is_an_option(tmp_path, kind):
    assert recognised(EXAMPLES[kind](tmp_path)) == kind
    assert (config_folder() / "synth" / "motion" / f"{kind}.yaml").is_file()


def test_files_without_a_telling_name_are_told_by_what_is_in_them(tmp_path):
    assert recognised(text(tmp_path / "a.txt", "HIERARCHY\nROOT a")) == "bvh"
    assert recognised(text(tmp_path / "b.txt", "103\n1\n")) == "ntu_skeleton"
    assert recognised(text(tmp_path / "c.json", [[{"keypoints": []}]])) == "coco_wholebody"


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
    assert recognised(tmp_path) == kind


def test_ambiguity_is_an_error_that_lists_the_kinds(tmp_path):
    text(tmp_path / "S001_rgb.avi", "film")
    text(tmp_path / "S001.skeleton", "0\n")
    with pytest.raises(ValueError, match="looks like video and ntu_skeleton. One of these was wanted: ntu_skeleton .*"):
        recognised(tmp_path / "S001_rgb.avi")
    EXAMPLES["lhm"](tmp_path / "subject")
    EXAMPLES["exavatar"](tmp_path / "subject")
    with pytest.raises(ValueError, match="looks like exavatar and lhm.*Say which with --kind"):
        recognised(tmp_path / "subject")


def test_what_is_of_no_kind_is_said_with_all_that_are_known(tmp_path):
    with pytest.raises(
        ValueError, match="like none of the kinds that are known.*smplx_npz .*ntu_skeleton .*bvh"
    ) as one:
        recognised(text(tmp_path / "a.csv", "x,y\n"))
    assert all(kind in str(one.value) for kind in KINDS)
    with pytest.raises(ValueError, match="none of the kinds"):
        recognised(npz(tmp_path / "a.npz", "weights"))
    with pytest.raises(FileNotFoundError, match="No such file or folder: .*nowhere.bvh"):
        recognised(tmp_path / "nowhere.bvh")
    with pytest.raises(UnusableClipError, match="line 1 is not JSON"):
        recognised(text(tmp_path / "a.json", "{"))
    with pytest.raises(UnusableClipError, match="it is no npz"):
        recognised(text(tmp_path / "b.npz", "text"))
