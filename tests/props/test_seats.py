"""Laws of seats: under who sits or lies, and under nobody else."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from benchmarks.bodies import make_body
from benchmarks.scenes import UPRIGHT, make_view, perform_clip, place_things
from synthaug.body.skeleton import mean_skeleton
from synthaug.body.support import find_rests
from synthaug.props import Performer, Stage
from synthaug.props.seats import SEATS, SITTING, build_seat, name_seat, sample_seat
from synthaug.props.things import Things
from synthaug.structures import Motion


def seats_of(action, *, seed=0, stature=1.65):
    body = make_body(stature)
    motion, placed, _ = place_things(action, action, seed, body)
    return motion, [one for one in placed if one.top is not None], body


@pytest.mark.parametrize("stature", [1.5, 1.95])
@pytest.mark.parametrize("action", ["sit down", "stand up", "lie down"])
def test_hips_are_on_a_seat(action, stature):
    for seed in (0, 3):
        motion, seats, body = seats_of(action, seed=seed, stature=stature)
        assert len(seats) == 1
        gaps = (body.find_seat(motion) - seats[0].top)[torch.tensor(seats[0].frames)]
        assert len(gaps) >= 2 and float(gaps.abs().max()) < 0.03


@pytest.mark.parametrize("action", UPRIGHT)
def test_who_stands_walks_or_jumps_has_no_seat(action):
    for seed in range(3):
        assert find_rests(perform_clip(action, seed)[1], mean_skeleton()) == []


def test_few_frames_at_different_heights_are_no_error():
    """Somebody who slides down, still before and after: the usual height is between both."""
    _, clip, _ = perform_clip("sit down", 0)
    seated = find_rests(clip, mean_skeleton())[0].frames.nonzero()[-1]
    drops = torch.tensor([[0.0, drop, 0.0] for drop in (0.0, 0.0, 0.0, 0.12, 0.12)])
    one = Motion.from_pose(clip.pose[seated].repeat(5, 1, 1), clip.transl[seated] - drops, fps=25.0)
    [rest] = find_rests(one, mean_skeleton())
    assert int(rest.frames.sum()) >= 1
    heights = one.transl[rest.frames, 1] - float(rest.hips[1])
    assert float(heights.max() - heights.min()) < 0.03 and float(heights.min()) > 0.08


def test_a_seat_stands_on_the_floor_under_the_hips_and_does_not_move():
    motion, [seat], _ = seats_of("sit down", seed=1)
    T = seat.gaussians.T_world_rest[:, 0]
    assert torch.equal(T, T[:1].expand_as(T))
    points = seat.gaussians.means @ T[0, :3, :3].mT + T[0, :3, 3]
    assert abs(float(points[:, 1].min())) < 0.03
    hips = motion.transl[torch.tensor(seat.frames)].mean(dim=0)
    assert float(torch.linalg.norm(hips[[0, 2]] - T[0, [0, 2], 3])) < 0.05


def test_a_backrest_is_behind_the_back():
    """In the seat's frame people face +z: what is higher than the seat by a hand is behind the hips."""
    _, clip, _ = perform_clip("sit down", 1)
    [rest] = find_rests(clip, mean_skeleton())
    for kind in ("chair", "sofa", "armchair"):
        values = {**sample_seat(np.random.default_rng(0), "studio"), "kind": kind}
        level, top = build_seat(values, rest, room=2.0, spacing=0.03)
        back = level.means[(level.means[:, 1] > top + 0.3) & (level.means[:, 0].abs() < 0.2)]
        assert len(back) and float(back[:, 2].max()) < -0.12


def test_who_lies_on_the_floor_has_a_mat_and_higher_a_bed():
    _, clip, _ = perform_clip("lie down", 1)
    values = sample_seat(np.random.default_rng(0), "studio")
    [rest] = find_rests(clip, mean_skeleton())
    assert name_seat(values, rest) == "mat"
    named = {one.name: getattr(clip, one.name) for one in fields(clip)}
    end = {name: value[-4:] for name, value in named.items() if isinstance(value, torch.Tensor) and value.ndim > 1}
    [above] = find_rests(
        replace(clip, **{**end, "transl": end["transl"] + torch.tensor([0.0, 0.5, 0.0])}), mean_skeleton()
    )
    assert name_seat(values, above) == "bed"


@pytest.mark.parametrize("kind", SEATS)
def test_a_seat_is_built_once_for_what_it_is_made_of_and_anew_for_anything_else(kind):
    _, clip, _ = perform_clip("sit down", 1)
    [rest] = find_rests(clip, mean_skeleton())
    values = {**sample_seat(np.random.default_rng(0), "studio"), "kind": kind}
    level, _ = build_seat(values, rest, room=2.0, spacing=0.05)
    again, _ = build_seat(dict(values), replace(rest), room=2.0, spacing=0.05)
    assert all(getattr(again, name) is tensor for name, tensor in vars(level).items())
    other = {**values, "frame": [0.1, 0.9, 0.2], "cover": [0.9, 0.1, 0.2], "pillow": [0.2, 0.1, 0.9]}
    painted, _ = build_seat(other, rest, room=2.0, spacing=0.05)
    assert torch.equal(painted.means, level.means) and not torch.equal(painted.colors, level.colors)
    finer, _ = build_seat(values, rest, room=2.0, spacing=0.03)
    assert len(finer.means) > len(level.means)
    if kind == "mat":
        taller, _ = build_seat(values, replace(rest, high=(rest.high[0], rest.high[1] + 0.3)), room=2.0, spacing=0.05)
        grown = taller.means.amax(dim=0) - level.means.amax(dim=0)
        assert abs(float(grown[2]) - 0.3) < 0.03 and abs(float(grown[1])) < 1e-6
    else:
        raised, _ = build_seat(values, replace(rest, hips=rest.hips + 0.1), room=2.0, spacing=0.05)
        grown = raised.means.amax(dim=0) - level.means.amax(dim=0)
        assert abs(float(grown[1]) - 0.1) < 0.04


def test_a_seat_stays_within_the_free_floor():
    """Furniture of rooms stands outside of a circle about the middle of the path."""
    for seed in range(4):
        motion, _, body = seats_of("sit down", seed=seed)
        middle = (motion.transl.amin(dim=0) + motion.transl.amax(dim=0)) / 2
        performer = Performer(motion, body.skeleton, torch.linspace(0, 1, 12).double())
        stage = Stage(make_view(12), None, centre=(float(middle[0]), float(middle[2]), 1.0))
        for kind in SITTING["studio"] + SITTING["street"]:
            values = {"seat": {**sample_seat(np.random.default_rng(seed), "studio"), "kind": kind, "width": 1.0}}
            [seat] = Things().place(values, [performer], stage)
            T = seat.gaussians.T_world_rest[0, 0]
            points = seat.gaussians.means @ T[:3, :3].mT + T[:3, 3]
            assert float((points - middle)[:, [0, 2]].norm(dim=-1).max()) < 1.0


def test_no_seat_is_built_where_the_film_shows_one_or_none_is_asked_for():
    _, clip, moments = perform_clip("sit down", 0)
    performer = Performer(clip, mean_skeleton(), moments)
    pool = Things().assign(("sit down",))
    values = pool.sample(0, [clip], np.random.default_rng(0))
    assert pool.place(values, [performer], Stage(make_view(12), None, seats=False)) == []
    assert Things(seats=False).assign(("sit down",)).sample(0, [clip], np.random.default_rng(0)) == {}


def test_an_unknown_seat_is_told():
    _, clip, _ = perform_clip("sit down", 0)
    [rest] = find_rests(clip, mean_skeleton())
    with pytest.raises(ValueError, match=f"one of {', '.join(SEATS)}, got 'throne'"):
        build_seat({**sample_seat(np.random.default_rng(0), "studio"), "kind": "throne"}, rest, room=2.0, spacing=0.05)
