"""Laws of things in hands, on bodies whose mesh placing them does not know (benchmarks.bodies)."""

import dataclasses
import math
import re
import statistics

import numpy as np
import pytest
import torch

from benchmarks.bodies import make_body
from benchmarks.scenes import HOLDING, find_errors, make_view, measure_depth, perform_clip, place_things
from synthaug.body.mirroring import mirror
from synthaug.body.rotations import quat_to_matrix
from synthaug.body.skeleton import mean_skeleton
from synthaug.motions.actions import perform
from synthaug.motions.procedural.style import sample_style
from synthaug.props import Performer, Stage
from synthaug.props.parts.reading import colour_of, length_of
from synthaug.props.parts.surfaces import level_of, make_ellipsoid
from synthaug.props.things import AWAY, KINDS, Things, close_fingers
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.splatting.checks import check_rest
from synthaug.structures import Gaussians, Light

CARRIED = ("drink water", "eat meal", "phone call", "read", "open a box", "brushing teeth")


def held_things(cls, *, seed=0, stature=1.65):
    body = make_body(stature)
    motion, placed, values = place_things(cls, HOLDING[cls], seed, body)
    return motion, [one for one in placed if one.top is None], values, body


@pytest.mark.parametrize("stature", [1.5, 1.95])
def test_things_are_in_the_palm_and_not_in_the_head(stature):
    errors, depth = [], 0.0
    for number, cls in enumerate(CARRIED):
        motion, placed, values, body = held_things(cls, seed=number % 3, stature=stature)
        for one in placed:
            looks = next(part["looks"] for part in values["things"] if part["kind"] == one.kind)
            pinched = KINDS[one.kind].hold(looks, "hand").place == "pinch"
            errors += list(find_errors(motion, one, body, pinched=pinched))
            depth = max(depth, measure_depth(motion, one, body))
    assert statistics.median(errors) < 0.02
    assert max(errors) < 0.04
    assert depth < 0.02


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_a_closed_thing_of_its_size(name):
    kind = KINDS[name]
    for family in ("studio", "street"):
        values = kind.sample(np.random.default_rng(1), family)
        fine, coarse = (kind.build(values, spacing=spacing) for spacing in (0.006, 0.03))
        for level in (fine, coarse):
            assert torch.isfinite(level.means).all() and (level.scales > 0).all()
            assert torch.allclose(level.quats.norm(dim=-1), torch.ones(len(level.means)), atol=1e-4)
            assert (level.colors >= 0).all() and (level.colors <= 1).all()
        extent = fine.means.amax(dim=0) - fine.means.amin(dim=0)
        assert 0.03 < float(extent.max()) < 1.6
        assert torch.allclose(extent, coarse.means.amax(dim=0) - coarse.means.amin(dim=0), atol=0.05)
        assert len(coarse.means) <= len(fine.means)


@pytest.mark.parametrize("name", KINDS)
def test_two_families_share_no_look(name):
    looks = {
        family: [KINDS[name].sample(np.random.default_rng(seed), family) for seed in range(12)]
        for family in ("studio", "street")
    }
    assert not any(one == other for one in looks["studio"] for other in looks["street"])


def test_a_colour_is_on_the_thing():
    values = KINDS["ball"].sample(np.random.default_rng(0), "studio")
    ball = KINDS["ball"].build(values, spacing=0.01)
    shown = (ball.colors - torch.tensor(values["colour"])).abs().amax(dim=1) < 1e-5
    assert shown.float().mean() > 0.5


def test_a_mirrored_thing_is_in_the_other_hand():
    whole, clip, moments = perform_clip("drink water", 1)
    pool = Things(seats=False).assign(("drink water",))
    values = pool.sample(0, [whole], np.random.default_rng(1))
    straight = Performer(clip, mean_skeleton(), moments)
    other = Performer(mirror(clip), mean_skeleton(), moments, mirrored=True)
    [one], [two] = (pool.place(values, [who], Stage(make_view(12), None)) for who in (straight, other))
    assert {one.hands, two.hands} == {("left",), ("right",)}
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert torch.allclose(one.grips * flip, two.grips, atol=2e-3)


def test_the_hand_that_acts_holds():
    """A left-handed performer drinks with the left hand."""
    for seed in range(6):
        style = {**sample_style(np.random.default_rng(seed), "studio"), "handedness": "left"}
        motion = perform("drink water", style, fps=10.0, seconds=4.0)
        values = Things().assign(("drink water",)).sample(0, [motion], np.random.default_rng(seed))
        assert values["things"][0]["hand"] == "left"


def test_a_cup_is_taken_and_put_down():
    motion = perform("drink water", sample_style(np.random.default_rng(0), "studio"), fps=10.0, seconds=4.0)
    first, last = Things().assign(("drink",)).sample(0, [motion], np.random.default_rng(0))["things"][0]["times"]
    assert 0 < first < last < 1


def test_what_is_not_there_is_behind_the_camera():
    body = make_body(1.65)
    whole, clip, moments = perform_clip("drink water", 0)
    pool = Things(seats=False).assign(("drink",))
    values = pool.sample(0, [whole], np.random.default_rng(0))
    values["things"][0]["times"] = [0.0, float(moments[4])]
    view = make_view(12)
    [one] = pool.place(values, [Performer(clip, body.skeleton, moments)], Stage(view, None))
    assert one.shown == [True] * 5 + [False] * 7
    depth = (
        torch.einsum("tj,tj->t", view.viewmats[:, 2, :3], one.gaussians.T_world_rest[:, 0, :3, 3])
        + view.viewmats[:, 2, 3]
    )
    assert (depth[:5] > 0).all() and torch.allclose(depth[5:], torch.full((7,), -AWAY), atol=1e-3)


def test_fingers_close_around_a_thing_where_they_were_flat_and_nowhere_else():
    _, clip, _ = perform_clip("walk", 0)
    flat = dataclasses.replace(clip, right_hand_pose=torch.zeros(12, 15, 3))
    shown = torch.arange(12) < 6
    closed = close_fingers(flat, "right", "hold", shown)
    assert (closed.right_hand_pose[:6, :12].norm(dim=-1).mean(dim=-1) > 0.4).all()
    assert torch.equal(closed.right_hand_pose[6:], flat.right_hand_pose[6:])
    assert torch.equal(closed.left_hand_pose, flat.left_hand_pose) and torch.equal(closed.body_pose, flat.body_pose)
    again = close_fingers(closed, "right", "fist", shown)
    assert torch.equal(again.right_hand_pose, closed.right_hand_pose), "its own grip is kept"
    with pytest.raises(ValueError, match="Expected the shape of a hand to be one of .* got 'claw'"):
        close_fingers(flat, "right", "claw", shown)


def test_a_cup_is_not_poured_out():
    motion, placed, _, _ = held_things("drink water", seed=2)
    up = placed[0].gaussians.T_world_rest[:, 0, 1, 1][torch.tensor(placed[0].shown)]
    assert float(up.min()) > np.cos(np.radians(65))


def test_a_share_of_clips_shows_things():
    motion = perform("drink water", sample_style(np.random.default_rng(0), "studio"), fps=10.0, seconds=4.0)
    pool = Things(share=0.5).assign(("drink",))
    held = [bool(pool.sample(0, [motion], np.random.default_rng(seed)).get("things")) for seed in range(60)]
    assert 15 < sum(held) < 45


def test_an_unknown_kind_of_a_recipe_is_told():
    _, clip, moments = perform_clip("walk", 0)
    thing = {"kind": "chalice", "person": 0, "carrier": "hand", "hand": "right", "times": [0, 1], "looks": {}}
    with pytest.raises(ValueError, match="Expected a recipe's thing to be one of cup.* got 'chalice'. Replay"):
        Things().place({"things": [thing]}, [Performer(clip, mean_skeleton(), moments)], Stage(make_view(12), None))


def test_edited_values_are_told():
    with pytest.raises(ValueError, match="to have a number 'radius', got None"):
        length_of({}, "radius")
    with pytest.raises(ValueError, match=r"to have a colour 'band' of three numbers, got \[\]"):
        colour_of({"band": []}, "band")


def test_what_one_joint_moves_looks_as_if_two_could():
    """The renderer's short way for rigid things gives the pictures of its way for bodies."""
    kind = KINDS["ball"]
    level = kind.build(kind.sample(np.random.default_rng(2), "studio"), spacing=0.01)
    T = torch.eye(4).repeat(2, 1, 1, 1)
    T[:, 0, :3, 3] = torch.tensor([[0.1, 1.0, 1.8], [-0.1, 0.9, 1.7]])
    light = Light((0.3, 0.8, 0.4), (0.7, 0.6, 0.5), (0.3, 0.3, 0.4), (0.2, 0.2, 0.1))
    rigid = Gaussians(**vars(level), T_world_rest=T, light=light)
    spare = torch.zeros(len(level.means), 1)
    body = dataclasses.replace(
        rigid, T_world_rest=T.repeat(1, 2, 1, 1), joint_ids=torch.cat([rigid.joint_ids, spare.long()], dim=1),
        weights=torch.cat([rigid.weights, spare], dim=1),
    )  # fmt: skip
    pictures = [CpuRenderer().render([one], make_view(2), depth=True) for one in (rigid, body)]
    assert pictures[0].alpha.float().mean() > 1
    for name in ("rgb", "alpha", "depth"):
        one, other = (getattr(picture, name).float() for picture in pictures)
        assert torch.allclose(one, other, atol=1 if name != "depth" else 1e-4)


BROKEN = {
    "a scale below zero": ("scales", -0.1), "no scale": ("scales", math.nan),
    "no rotation": ("quats", 0.0), "an endless rotation": ("quats", math.inf),
    "too opaque": ("opacities", 1.1), "less than clear": ("opacities", -0.1), "no opacity": ("opacities", math.nan),
    "no place": ("means", math.inf), "no colour": ("colors", math.nan), "no weight": ("weights", -math.inf),
    "no normal": ("normals", math.nan), "no such joint": ("joint_ids", 1), "a joint before all": ("joint_ids", -1),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_with_a_rigid_thing_is_told_as_the_checks_tell_it(name, value):
    """Rigid things are checked while they are filled in, in their last Gaussian too."""
    kind = KINDS["ball"]
    level = kind.build(kind.sample(np.random.default_rng(2), "studio"), spacing=0.02)
    T = torch.eye(4).repeat(2, 1, 1, 1)
    T[:, 0, :3, 3] = torch.tensor([0.1, 1.0, 1.8])
    whole = Gaussians(**vars(level), T_world_rest=T)
    check_rest(whole)
    assert CpuRenderer().render([whole], make_view(2)).alpha.any()
    field = getattr(level, name).clone()
    field[-1] = value
    broken = dataclasses.replace(whole, **{name: field})
    with pytest.raises(ValueError, match="Gaussians") as told:
        check_rest(broken)
    with pytest.raises(ValueError, match=re.escape(str(told.value))):
        CpuRenderer().render([broken], make_view(2))


def test_a_rigid_thing_with_a_field_too_short_is_told():
    """Annotations, which refuse such a person, are checked in tests alone."""
    level = KINDS["ball"].build(KINDS["ball"].sample(np.random.default_rng(2), "studio"), spacing=0.02)
    for name in ("quats", "scales", "opacities", "colors", "weights"):
        short = Gaussians(**vars(level), T_world_rest=torch.eye(4).repeat(2, 1, 1, 1))
        object.__setattr__(short, name, getattr(level, name)[:-1])
        with pytest.raises(ValueError, match=f"Expected Gaussians.{name} to have shape"):
            CpuRenderer().render([short], make_view(2))


def test_tiles_are_where_a_plain_loop_puts_them():
    """A stretched body of revolution against its formula: on the surface, normals along the gradient."""
    radii = np.array([0.2, 0.05, 0.1])
    level = level_of(make_ellipsoid(radii, (0.3, 0.2, 0.1), (0.5, 0.5, 0.5), 0.02))
    local = level.means.double().numpy() - [0.3, 0.2, 0.1]
    assert np.allclose(((local / radii) ** 2).sum(axis=1), 1, atol=0.06)
    gradient = local / radii**2
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    assert ((gradient * level.normals.numpy()).sum(axis=1) > 0.97).all()
    across = quat_to_matrix(level.quats)[:, :, 2]
    assert torch.allclose((across * level.normals).sum(dim=1), torch.ones(len(across)), atol=1e-4)
