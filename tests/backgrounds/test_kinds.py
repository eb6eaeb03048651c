"""Rooms of kinds: each has what tells it, shares nothing with the other family, and says what it is."""

import re

import numpy as np
import pytest
import torch

from benchmarks.grounds import aim
from synthaug.backgrounds.flat import Flat
from synthaug.backgrounds.mixture import Mixture
from synthaug.backgrounds.plain import Plain
from synthaug.backgrounds.room.families import STREET
from synthaug.backgrounds.room.fittings import FITTINGS
from synthaug.backgrounds.room.furniture import BUILDERS, Material, PieceStyle
from synthaug.backgrounds.room.kinds import KINDS
from synthaug.backgrounds.room.layout import PIECES, lay_out
from synthaug.backgrounds.room.openings import FENCE
from synthaug.backgrounds.rooms import Rooms
from synthaug.testing.backgrounds import check_background

CAMERA = aim(np.array([1.4, 1.5, 2.6]), np.array([0.0, 0.9, 0.0]), roll_deg=0, fov_deg=60, size=(40, 48))


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_backgrounds_that_say_what_they_are(kind):
    rooms = Rooms(kinds=kind)
    check_background(rooms, camera=CAMERA, samples=1)
    values = rooms.sample(np.random.default_rng(3))
    assert rooms.describe(values) == kind
    assert Mixture({"a": rooms, "b": Plain()}).describe({"part": "a", "values": values}) == kind
    assert Mixture({"a": rooms, "b": Plain()}).describe({"part": "b", "values": {}}) == ""
    assert Flat(rooms).describe(values) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_most_rooms_have_the_piece_that_tells_their_kind(kind):
    """The first piece of the list stands in nine of ten rooms, opposite the camera or beside its view."""
    rooms, told = Rooms(kinds=kind), KINDS[kind].always[0]
    there = 0
    for seed in range(20):
        values = rooms.sample(np.random.default_rng(seed))
        plan = lay_out(values, CAMERA, free=1.0)
        choice = values["items"][0]
        assert choice["kind"] == told
        style = {name: choice[name] for name in ("wood", "cloth", "accent")}
        solids = PIECES[told](piece_style(choice, style))
        there += any(len(piece.solids) == len(solids) and piece.solids[0].low == solids[0].low for piece in plan.pieces)
    assert there >= 18


def piece_style(choice, colours):
    materials = {name: Material("wood" if name == "wood" else "fabric", color) for name, color in colours.items()}
    return PieceStyle(**materials, metal=Material("flat", choice["metal"]), size=choice["size"],
                      shape=tuple(choice["shape"]), seed=choice["seed"])  # fmt: skip


def test_rooms_of_no_kind_are_sampled_as_ever():
    values = Rooms().sample(np.random.default_rng(5))
    assert "kind" not in values
    assert Rooms().describe(values) == ""


def test_all_kinds_come_in_equal_shares():
    rooms = Rooms(kinds="all")
    rng = np.random.default_rng(0)
    kinds = [rooms.sample(rng)["kind"] for _ in range(350)]
    # A share of 1/7 among 350 has a standard deviation of 6.5.
    assert all(abs(kinds.count(kind) - 50) < 26 for kind in KINDS)


def test_kinds_share_nothing_with_the_street():
    """The street stands for the real world: what trains may not have its colours, coverings, pieces or lights."""
    street = set(re.findall("#[0-9a-f]{6}", repr(STREET)))
    for kind in KINDS.values():
        assert not street & set(re.findall("#[0-9a-f]{6}", repr(kind.family)))
        assert not {one.pattern for one in kind.family.floors + kind.family.walls} & {
            one.pattern for one in STREET.floors + STREET.walls
        }
        assert not (set(kind.family.furniture) | set(kind.always)) & set(STREET.furniture)
        assert not set(kind.family.lights) & set(STREET.lights)
        assert set(kind.family.furniture) | set(kind.always) | set(kind.family.occluders) <= set(PIECES)
    assert not set(FITTINGS) & set(BUILDERS)


@pytest.mark.parametrize("name", FITTINGS)
def test_fittings_stand_on_the_floor_with_their_back_at_the_wall(name):
    style = PieceStyle(*(Material("flat", "#808080") for _ in range(4)), size=1.0, shape=(0.5, 0.5, 0.5), seed=1)
    solids = FITTINGS[name](style)
    for solid in solids:
        assert all(low < high for low, high in zip(solid.low, solid.high, strict=True))
    assert min(solid.low[1] for solid in solids) >= 0
    assert min(solid.low[2] for solid in solids) >= -0.02
    assert max(solid.high[1] for solid in solids) < 4


def test_a_yard_is_under_the_sky_and_a_kitchen_under_a_ceiling():
    up = aim(np.array([1.4, 1.5, 2.6]), np.array([0.5, 3.0, 1.8]), roll_deg=0, fov_deg=50, size=(24, 24))
    for kind, open_air in (("yard", True), ("kitchen", False)):
        rooms = Rooms(kinds=kind)
        blue = []
        for seed in range(2):
            frame = rooms.scene(rooms.sample(np.random.default_rng(seed)), up).frames[0].float().mean((1, 2))
            blue.append(float(frame[2] - frame[0]))
        assert (min(blue) > 8) == open_air
    values = Rooms(kinds="yard").sample(np.random.default_rng(0))
    plan = lay_out(values, CAMERA, free=1.0)
    assert plan.high[1] > 2 * FENCE
    assert all(window.open for window in plan.windows)


def test_corridors_lie_along_the_view_and_are_narrow():
    rooms = Rooms(kinds="corridor")
    for seed in range(5):
        plan = lay_out(rooms.sample(np.random.default_rng(seed)), CAMERA, free=1.0)
        across, along = plan.high[0] - plan.low[0], plan.high[2] - plan.low[2]
        assert across < 3.0 < 0.75 * along


def test_unknown_kinds_and_kinds_of_the_street_are_told_in_words():
    with pytest.raises(ValueError, match=r"null, all, or of \['bathroom'.*got kinds='cellar'"):
        Rooms(kinds="cellar")
    with pytest.raises(ValueError, match="with family=studio, got kinds='office' with family='street'"):
        Rooms("street", kinds="office")


def test_people_are_lit_in_a_yard():
    rooms = Rooms(kinds="yard")
    scene = rooms.scene(rooms.sample(np.random.default_rng(1)), CAMERA)
    assert scene.light is not None
    assert 0.5 < float(torch.tensor(scene.light.sky).mean()) < 1.5
    assert 60 < float(scene.frames.float().mean()) < 200
