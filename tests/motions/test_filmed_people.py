"""Laws of motion out of film with several people, cuts and gaps: films rendered here, seen by the real network."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.avatars.anny import AnnyPeople
from synthaug.body.skeleton import joint_positions, mean_skeleton, move_motion, retarget
from synthaug.compositing.layers import over
from synthaug.levels import Pyramid
from synthaug.motions import UnusableClipError
from synthaug.motions.actions import perform
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.landmarks import LIMBS, USED, landmark_markers
from synthaug.motions.fitting.placement import intrinsics
from synthaug.motions.pose.reconstruction import Gate
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.video import VideoMotion
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import write_video

SKELETON = mean_skeleton()
FPS, FRAMES, SIZE = 10.0, 20, (240, 320)
JOINTS = [int(landmark_markers().frames[USED.index(k)]) for k in LIMBS]
pytestmark = [
    pytest.mark.pose,
    pytest.mark.skipif(
        importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed (the extra `pose`)"
    ),
]


def camera() -> Camera:
    """Level, 1.2 m up, five metres before the origin."""
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 1.2], [0, 0, -1, 5.0], [0, 0, 0, 1]])
    K = intrinsics(SIZE[1], SIZE[0], 0.9)
    return Camera(viewmat.expand(FRAMES, 4, 4), K.expand(FRAMES, 3, 3), SIZE[1], SIZE[0])


def performed(action: str, aside: float) -> Motion:
    motion = perform(action, PerformerStyle(), fps=FPS, seconds=FRAMES / FPS)
    motion = Motion.from_pose(motion.pose.float(), motion.transl.float(), fps=FPS)
    return move_motion(motion, torch.eye(3), torch.tensor([aside, 0.0, 0.0]))


@pytest.fixture(scope="module")
def stage() -> tuple[UInt8[Tensor, "time 3 height width"], torch.Tensor]:
    """Somebody on the right who waves and somebody on the left who reads, and the joints of the one who waves."""
    people = AnnyPeople(family="studio", levels=Pyramid(refine=None))
    cast = [people.load(name) for name in ("studio-000004", "studio-000011")]
    motions = [performed("hand waving", 0.8), performed("read", -0.8)]
    staged = [retarget(motion, SKELETON, one.skeleton) for motion, one in zip(motions, cast, strict=True)]
    rendered = CpuRenderer().render([one.pose(motion) for motion, one in zip(staged, cast, strict=True)], camera())
    wall = torch.full((FRAMES, 3, *SIZE), 150, dtype=torch.uint8)
    return over(rendered, wall), joint_positions(staged[0], cast[0].skeleton)


def loaded(path: Path, video: Tensor, **options) -> Reference:
    write_video(path, video, fps=FPS)
    record = Record(key=path.stem, path=path, label=0, subject="", camera="", start=0.0, end=len(video) / FPS)
    return VideoMotion(warm_up=0.0, iterations=15, **options).load(record)


def apart(found: Reference, truth: torch.Tensor, first: int) -> torch.Tensor:
    """Distance in the picture of the limbs' joints, as shares of the height (1.7 m, five metres away)."""
    time = found.motion.num_frames
    ours, _ = project(joint_positions(found.motion, SKELETON)[:, JOINTS], found.camera)
    view = replace(camera(), viewmats=camera().viewmats[:time], Ks=camera().Ks[:time])
    theirs, _ = project(truth[first : first + time][:, JOINTS], view)
    return (ours - theirs).norm(dim=-1) / (1.7 * 0.9 * SIZE[1] / 5)


def test_of_two_people_side_by_side_the_one_who_acts_is_re_enacted_throughout(tmp_path, stage) -> None:
    film, truth = stage
    found = loaded(tmp_path / "two.mp4", film)
    assert (found.notes["people"], found.notes["shots"], found.notes["filled"]) == (2, 1, 0)
    assert found.motion.num_frames == FRAMES
    error = apart(found, truth, 0)
    assert error.median() < 0.03
    # In no frame are they the neighbour's, who stands 0.9 heights away.
    assert error.median(dim=1).values.max() < 0.1
    other = loaded(tmp_path / "other.mp4", film, person=1)
    assert apart(other, truth, 0).median() > 0.5


def test_of_a_film_with_a_cut_the_better_shot_is_taken_and_said_where_it_begins(tmp_path, stage) -> None:
    film, truth = stage
    film = film.clone()
    # Another room, as if filmed from the other side, for the first third.
    film[:7] = (film[:7].flip(-1).float() * 0.4 + torch.tensor([110.0, 20.0, 0.0])[:, None, None]).to(torch.uint8)
    found = loaded(tmp_path / "cut.mp4", film)
    assert found.notes["shots"] == 2
    assert found.notes["shot"] == pytest.approx(13 / 20)
    assert found.notes["offset"] == pytest.approx(0.7)
    assert found.motion.num_frames == 13
    assert apart(found, truth, 7).median() < 0.03
    with pytest.raises(UnusableClipError, match=r"one shot to fill at least 90% of .*got 2 shots, .*fills 65%.*Choose"):
        loaded(tmp_path / "cut.mp4", film, gate=Gate(shot=0.9))


def test_what_comes_before_and_after_somebody_is_out_of_sight_is_kept(tmp_path, stage) -> None:
    film, truth = stage
    away = torch.full_like(film, 150)
    found = loaded(tmp_path / "twice.mp4", torch.cat([film, away, film[:14]]))
    assert found.notes["offset"] == pytest.approx(0.0, abs=0.11)
    (again,) = found.others
    assert again.notes["offset"] == pytest.approx(4.0, abs=0.11)
    assert apart(found, truth, 0).median() < 0.03
    assert apart(again, truth, 0).median() < 0.05


def test_a_short_gap_is_bridged_and_marked(tmp_path, stage) -> None:
    film, truth = stage
    film = film.clone()
    film[9:12] = 150
    found = loaded(tmp_path / "gap.mp4", film)
    assert found.notes["shots"] == 1
    assert found.motion.num_frames == FRAMES
    assert found.notes["filled"] == pytest.approx(3 / 20)
    assert apart(found, truth, 0)[9:12].median() < 0.08
