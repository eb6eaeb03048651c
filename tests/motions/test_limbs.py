"""Laws of bridged limbs: short inventions are replaced by what muscles can do, whatever is seen stays as it is."""

from dataclasses import replace

import pytest
import torch

from synthaug.motions.fitting.landmarks import Landmarks
from synthaug.motions.fitting.placement import intrinsics, level_camera
from synthaug.motions.pose.limbs import bridge_limbs
from tests.motions.test_video_motion import SIZE, landmarks_of, walking

FPS = 30.0
RIGHT_HAND = [16, 18, 20, 22]


def seen() -> Landmarks:
    return landmarks_of(walking(60), level_camera(intrinsics(SIZE[1], SIZE[0], 1.0), SIZE[1], SIZE[0], 60))


def invent(truth: Landmarks, first: int, last: int, *, leap: float = 0.5, visibility: float = 0.2) -> Landmarks:
    """The right hand guessed elsewhere for some frames, and its pixels with it."""
    world, pixels, sure = truth.world.clone(), truth.pixels.clone(), truth.visibility.clone()
    world[first:last, RIGHT_HAND] += torch.tensor([leap, leap, 0.0])
    pixels[first:last, RIGHT_HAND] += 40 * leap
    sure[first:last, RIGHT_HAND] = visibility
    return replace(truth, world=world, pixels=pixels, visibility=sure)


@pytest.mark.parametrize("count", [1, 4, 10])
def test_an_invented_hand_is_where_it_really_was(count: int) -> None:
    truth = seen()
    found = bridge_limbs(invent(truth, 20, 20 + count), fps=FPS)
    assert float((found.world - truth.world).norm(dim=-1).max()) < 0.06
    assert float((found.pixels - truth.pixels).norm(dim=-1).max()) < 6.0
    assert bool((found.visibility[20 : 20 + count, 16] > 0.5).all())
    bone = (found.world[:, 16] - found.world[:, 14]).norm(dim=-1)
    assert float(bone.max() - bone.min()) < 0.01


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(lambda truth: truth, id="all seen"),
        pytest.param(lambda truth: invent(truth, 20, 23, visibility=0.9), id="fast, and seen"),
        pytest.param(lambda truth: invent(truth, 20, 24, leap=0.01), id="a guess that does not leap"),
        pytest.param(lambda truth: invent(truth, 20, 40), id="lost for too long"),
        pytest.param(lambda truth: invent(truth, 50, 60), id="never seen again"),
    ],
)  # fmt: skip
def test_all_else_stays_as_it_is(spoilt) -> None:
    film = spoilt(seen())
    assert bridge_limbs(film, fps=FPS) is film


def test_other_limbs_are_left_alone() -> None:
    film = invent(seen(), 20, 25)
    found = bridge_limbs(film, fps=FPS)
    others = [point for point in range(33) if point not in RIGHT_HAND]
    assert torch.equal(found.world[:, others], film.world[:, others])
    assert torch.equal(found.pixels[:, others], film.pixels[:, others])
