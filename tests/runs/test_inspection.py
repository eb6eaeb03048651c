from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import BeadPeople, Beads, camera, wave

from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.cli.main import main
from synthaug.motions.fitting.energy import project
from synthaug.renderers.cpu import CpuRenderer
from synthaug.runs.inspection import (
    MotionPreview,
    describe_motion,
    find_doubts,
    one_row_each,
    paint_floor,
    show_views,
    side_camera,
    whole_record,
)
from synthaug.runs.sheets import paint_sheet
from synthaug.structures import Motion, Record, Reference
from synthaug.video import read_metadata, write_video


@pytest.fixture
def reference():
    motion = wave(Record("a", Path("a"), 0, "s", "", 0.0, 2.0))
    return Reference(motion, camera(motion.num_frames), 0.75, {"detection": 0.9})


def test_facts_name_what_was_understood(reference):
    said = dict(describe_motion(reference, kind="bvh", path=Path("x/a.bvh")))
    assert said["source"] == "bvh: x/a.bvh"
    assert said["time"] == "20 frames, 10 a second, 2.00 s"
    assert "y up, floor at 0" in said["frame of reference"] and "faces 0 degrees from +z" in said["frame of reference"]
    assert said["joints"].startswith("body 1 of 21 move; left hand 0 of 15 move, at rest")
    assert "64 x 64 pixels" in said["camera"] and "looks down by 0 degrees" in said["camera"]
    assert (said["score"], said["  detection"]) == ("0.75 of 1", "0.9")
    known = dict(describe_motion(replace(reference, quality=None), kind="bvh", path=Path("a")))
    assert known["score"].startswith("known")


def test_doubts_name_jumps_floors_and_joints_beyond_their_range(reference):
    straight = reference.motion.pose.clone()
    straight[:, [18, 19]] = 0  # the fake's elbow bends as none does
    motion = Motion.from_pose(straight, reference.motion.transl, fps=10.0)
    assert find_doubts(motion) == []
    jumped = replace(motion, transl=motion.transl + torch.tensor([2.0, 0, 0]) * (torch.arange(20) == 7)[:, None])
    assert any("20 m/s in frame 7" in doubt for doubt in find_doubts(jumped))
    sunk = replace(motion, transl=motion.transl - torch.tensor([0.0, 1.0, 0]))
    assert any("below the floor" in doubt and "another up axis" in doubt for doubt in find_doubts(sunk))
    high = replace(motion, transl=motion.transl + torch.tensor([0.0, 1.0, 0]))
    assert any("above the floor" in doubt for doubt in find_doubts(high))
    pose = motion.pose.clone()
    pose[:, 4, 0] = -1.5  # a knee bent forwards
    broken = Motion.from_pose(pose, motion.transl, fps=motion.fps)
    assert any("left_knee in 100%" in doubt for doubt in find_doubts(broken))


def test_side_camera_stands_on_the_performer_s_left_and_goes_along(reference):
    motion = reference.motion
    walked = replace(motion, transl=motion.transl + torch.linspace(0, 4, 20)[:, None] * torch.tensor([0.0, 0, 1.0]))
    aside = side_camera(walked, side=100)
    pixels, depth = project(joint_positions(walked, mean_skeleton()), aside)
    assert (depth > 3).all()
    assert pixels[:, 0, 0].sub(50).abs().max() < 1e-2
    # Who faces +z is seen facing the picture's left from their left side.
    toes = pixels[:, 10, 0] - pixels[:, 7, 0]
    assert (toes < 0).all()
    assert pixels.amin() > 0 and pixels.amax() < 100


def test_lines_on_the_floor_lie_where_the_pinhole_says(reference):
    aside = side_camera(reference.motion, side=200)
    ground = paint_floor(reference.motion, aside)[0].permute(1, 2, 0).numpy()
    pixel, _ = project(
        torch.tensor([[[0.0, 0, 0.3], [0.25, 0, 0.25]]]), replace(aside, viewmats=aside.viewmats[:1], Ks=aside.Ks[:1])
    )
    on, off = (ground[round(float(y) - 0.5), round(float(x) - 0.5)] for x, y in pixel[0])
    assert on.astype(int).sum() > off.astype(int).sum()


def test_views_show_stick_figure_and_re_enactment_at_the_same_instants(reference):
    strips = show_views(reference, Beads("bead-1"), CpuRenderer(), preview=MotionPreview(side=64, seconds=1.0))
    assert [strip.title for strip in strips][0] == "as its camera saw it"
    assert {tuple(strip.video.shape) for strip in strips} == {(10, 3, 64, 64)}
    # Both show the person at the same place: where one differs from the ground the other does.
    (figure, _, person, _) = (strip.video.float() for strip in strips)
    shown = [
        (video - video.flatten(2).median(dim=2).values[..., None, None]).abs().sum(1) > 60 for video in (figure, person)
    ]
    assert (shown[0] & shown[1]).sum() > 0.3 * shown[0].sum()
    picture = paint_sheet(one_row_each(strips), title="t", frames=4, side=64)
    assert picture.shape[0] > 4 * 64


def test_film_is_laid_under_the_stick_figure(tmp_path, reference):
    film = tmp_path / "a.mp4"
    write_video(film, torch.full((20, 3, 64, 64), 200, dtype=torch.uint8), fps=10.0)
    strips = show_views(reference, Beads("b"), CpuRenderer(), preview=MotionPreview(side=64, seconds=1.0), film=film)
    assert strips[0].video.float().median() > 180
    assert strips[2].video.float().median() < 60


def test_whole_records_last_as_long_as_any_file():
    assert whole_record(Path("x/a.bvh")).end > 1e5


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"Expected a side of 32 to 2048 pixels .* got side=3 and seconds=10.0"):
        MotionPreview(side=3)


@pytest.fixture
def small_stations(monkeypatch):
    """The command with beads for people, so that it takes no seconds."""
    from synthaug.cli import configs

    whole = configs.build_stations

    def stations(config):
        source, _, _ = whole(config)
        return source, BeadPeople(), CpuRenderer()

    monkeypatch.setattr(configs, "build_stations", stations)


def poses(path, frames=12):
    orient, transl = np.zeros((frames, 3)), np.tile([0.0, 0.95, 0.0], (frames, 1))
    np.savez(path, global_orient=orient, body_pose=np.zeros((frames, 63)), transl=transl, fps=np.array(30.0))
    return path


def test_command_prints_and_writes(tmp_path, capsys, small_stations):
    path = poses(tmp_path / "a.npz")
    options = ["--to", str(tmp_path / "out"), "--seconds", "0.3", "synth.motion.transl_is_pelvis=true"]
    assert main(["motion", "inspect", str(path), *options]) == 0
    said = capsys.readouterr().out
    assert "smplx_npz" in said and "12 frames, 30 a second" in said and "a.png" in said
    assert (tmp_path / "out" / "a.png").is_file()
    assert read_metadata(tmp_path / "out" / "a.mp4") is not None


def test_command_tells_mistakes_in_words(tmp_path, capsys, small_stations):
    assert main(["motion", "inspect", str(tmp_path / "a.csv")]) == 2
    assert "No such file or folder" in capsys.readouterr().err
    assert main(["motion", "inspect", str(poses(tmp_path / "a.npz")), "--kind", "pickle"]) == 2
    assert "does not compose" in capsys.readouterr().err
    assert main(["motion", "inspect", str(tmp_path / "a.npz"), "--kind", "bvh"]) == 2
    assert ".bvh" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["motion", "inspect", str(tmp_path / "a.npz"), "--bogus"])
    assert "unrecognized arguments: --bogus" in capsys.readouterr().err
