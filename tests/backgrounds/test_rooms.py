import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthaug.backgrounds.room.families import FAMILIES, STREET, STUDIO
from synthaug.backgrounds.room.furniture import BUILDERS, Material, PieceStyle
from synthaug.backgrounds.room.layout import MARGIN, MAX_HIDDEN, lay_out
from synthaug.backgrounds.room.textures import PATTERNS
from synthaug.backgrounds.rooms import Rooms
from synthaug.cameras.handheld import Handheld
from synthaug.cameras.orbit import Orbit, position
from synthaug.cameras.original import Original
from synthaug.structures import Camera
from synthaug.testing.backgrounds import check_background
from synthaug.testing.cameras import example_camera

CENTRE = torch.tensor([0.0, 0.95, 0.0])


def views(count: int, *, size: int = 40) -> list[Camera]:
    """Cameras all round the origin, near and far, low and high."""
    orbit = Orbit(azimuth_deg=(-180, 180), elevation_deg=(-15, 40), distance=(0.6, 2.5), focal=(0.7, 1.5))
    reference = example_camera(frames=2, height=size, width=size)
    return [orbit.path(orbit.sample(np.random.default_rng(k)), reference, CENTRE) for k in range(count)]


def unprojected(camera: Camera, depth: torch.Tensor) -> torch.Tensor:
    """World points of every pixel's centre."""
    v, u = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.linalg.inv(camera.Ks[0]).T
    return (rays * depth[..., None] - camera.viewmats[0, :3, 3]) @ camera.viewmats[0, :3, :3]


@pytest.mark.parametrize("family", FAMILIES)
def test_rooms_are_backgrounds(family):
    rooms = Rooms(family, occluders=0.5)
    check_background(rooms, samples=2)
    assert rooms.prepare([]) is rooms


@pytest.mark.parametrize("family", FAMILIES)
def test_every_ray_ends_inside_the_room_on_or_above_the_floor(family):
    rooms = Rooms(family)
    for k, camera in enumerate(views(6)):
        values = rooms.sample(np.random.default_rng(k))
        scene = rooms.scene(values, camera)
        plan = lay_out(values, camera, free=1.0)
        points = unprojected(camera, scene.depth).double().numpy() @ plan.R_room_world.T
        assert (points > np.array(plan.low) - 1e-3).all()
        assert (points < np.array(plan.high) + 1e-3).all()


def test_floor_pixels_lie_on_the_floor():
    """Looking down at the free place, all that is seen is the floor, whose depth unprojects to y = 0."""
    reference = example_camera(frames=1, height=40, width=40, distance=2.0)
    camera = Orbit().path({"azimuth_deg": 25, "elevation_deg": 70, "distance": 1, "focal": 2.5}, reference, CENTRE)
    rooms = Rooms(occluders=0.0)
    for seed in range(3):
        scene = rooms.scene(rooms.sample(np.random.default_rng(seed)), camera)
        near = unprojected(camera, scene.depth)
        on_floor = near[..., [0, 2]].norm(dim=-1) < 0.9
        assert bool(on_floor.any())
        # float32 depths of 2 m round to 1e-7 of that; the matrices add some.
        assert float(near[..., 1][on_floor].abs().max()) < 1e-4


def test_a_room_encloses_the_camera_and_the_free_place_stays_free():
    rooms = Rooms(occluders=0.0)
    for k, camera in enumerate(views(30)):
        plan = lay_out(rooms.sample(np.random.default_rng(k)), camera, free=1.0)
        places = position(camera.viewmats.double()).numpy() @ plan.R_room_world.T
        assert (places[:, [0, 2]] >= np.array(plan.low)[[0, 2]] + MARGIN - 1e-6).all()
        assert (places <= np.array(plan.high) - MARGIN + 1e-6).all()
        for piece in plan.pieces[:-1]:
            left, back, right, front = piece.ground
            nearest = math.hypot(max(left, -right, 0), max(back, -front, 0))
            assert piece.thin or nearest > 0.95 or any("folds" in s.material.pattern for s in piece.solids)


def test_nothing_stands_between_the_camera_and_the_person():
    """Whoever stands on the spot is nearer than the scene, from the knees to the head."""
    rooms = Rooms(occluders=0.0)
    for k, camera in enumerate(views(12)):
        scene = rooms.scene(rooms.sample(np.random.default_rng(k)), camera)
        heights = torch.linspace(0.3, 1.75, 20)
        body = torch.stack([torch.zeros(20), heights, torch.zeros(20)], 1)
        seen = body @ camera.viewmats[0, :3, :3].T + camera.viewmats[0, :3, 3]
        u, v = ((seen / seen[:, 2:]) @ camera.Ks[0].T)[:, :2].T
        for column, row, depth in zip(u.tolist(), v.tolist(), seen[:, 2].tolist(), strict=True):
            if 0 <= column < camera.width and 0 <= row < camera.height:
                assert float(scene.depth[int(row), int(column)]) > depth - 0.05


def test_occluders_hide_no_more_than_the_legs():
    rooms, hiding = Rooms(occluders=1.0), 0
    for k, camera in enumerate(views(24)):
        scene = rooms.scene(rooms.sample(np.random.default_rng(k)), camera)
        body = torch.stack([torch.zeros(40), torch.linspace(0.02, 1.75, 40), torch.zeros(40)], 1)
        seen = body @ camera.viewmats[0, :3, :3].T + camera.viewmats[0, :3, 3]
        u, v = ((seen / seen[:, 2:]) @ camera.Ks[0].T)[:, :2].T
        inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        depth = scene.depth[v.clamp(0, camera.height - 1).long(), u.clamp(0, camera.width - 1).long()]
        hidden = body[inside & (depth < seen[:, 2] - 0.1), 1]
        hiding += len(hidden) > 0
        # A pixel at 40 px is up to 5 cm wide at the person.
        assert float(hidden.max()) < MAX_HIDDEN + 0.1 if len(hidden) else True
    assert hiding >= 2


def test_a_moving_camera_sees_a_room_at_rest():
    """Frames of a held camera differ, and each equals the frame that a camera at rest there would see."""
    rooms = Rooms()
    values = rooms.sample(np.random.default_rng(4))
    hand = Handheld(Original(), rotation_deg=2.0, translation=0.0)
    camera = hand.path(hand.sample(np.random.default_rng(0)), example_camera(frames=3, height=32, width=32), CENTRE)
    moving = rooms.scene(values, camera).frames
    assert not torch.equal(moving[0], moving[2])
    for k in (0, 2):
        alone = replace(camera, viewmats=camera.viewmats[k : k + 1], Ks=camera.Ks[k : k + 1])
        assert torch.equal(rooms.scene(values, alone).frames[0], moving[k])


def test_a_camera_at_rest_costs_one_picture():
    frames = Rooms().scene(Rooms().sample(np.random.default_rng(0)), example_camera(frames=5)).frames
    assert torch.equal(frames, frames[:1].expand_as(frames))


def test_turning_the_world_turns_the_light():
    rooms = Rooms()
    values = rooms.sample(np.random.default_rng(2))
    camera = example_camera(frames=1, height=24, width=24)
    turned = {**values, "yaw_deg": values["yaw_deg"] + 90.0}
    # The room turns by 90 degrees about the vertical, and so must a camera and the light on the person.
    R = torch.tensor([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    again = replace(camera, viewmats=camera.viewmats @ R.T)
    first, second = rooms.scene(values, camera), rooms.scene(turned, again)
    x, y, z = first.light.direction
    assert second.light.direction == pytest.approx((z, y, -x), abs=1e-5)
    assert float((first.frames.double() - second.frames.double()).abs().mean()) < 0.5


def test_people_keep_their_brightness_on_average():
    """A light's mean factor over all directions is near 1: wrapped Lambert light averages to 3/8."""
    for k in range(10):
        rooms = Rooms(("studio", "street")[k % 2])
        light = rooms.scene(rooms.sample(np.random.default_rng(k)), example_camera(frames=1, height=8, width=8)).light
        mean = (np.add(light.sky, light.ground) / 2 + 0.375 * np.array(light.key)).mean()
        assert mean == pytest.approx(1, abs=0.06)
        assert np.linalg.norm(light.direction) == pytest.approx(1, abs=1e-6)


def test_the_middle_of_a_room_is_neither_dark_nor_white():
    for family in FAMILIES:
        rooms = Rooms(family)
        means = [
            float(rooms.scene(rooms.sample(np.random.default_rng(k)), view).frames.float().mean())
            for k, view in enumerate(views(8, size=24))
        ]
        assert 85 < np.mean(means) < 185
        assert min(means) > 50
        assert max(means) < 225


def test_the_families_share_nothing():
    for field in ("ceilings", "trims", "woods", "cloths", "metals", "furniture", "occluders", "lights", "hangings"):
        assert not set(getattr(STUDIO, field)) & set(getattr(STREET, field)), field
    for field in ("floors", "walls"):
        ours, theirs = getattr(STUDIO, field), getattr(STREET, field)
        patterns = [{covering.pattern for covering in coverings} for coverings in (ours, theirs)]
        colors = [{color for c in coverings for pair in c.colors for color in pair} for coverings in (ours, theirs)]
        assert not patterns[0] & patterns[1]
        assert not colors[0] & colors[1]


def test_tables_name_what_exists():
    for family in FAMILIES.values():
        assert set(family.furniture) | set(family.occluders) <= set(BUILDERS)
        assert {covering.pattern for covering in (*family.floors, *family.walls)} <= set(PATTERNS)
        assert set(family.hangings) <= set(PATTERNS)


def test_furniture_stands_on_the_floor_before_its_wall():
    for name, builder in BUILDERS.items():
        for shape in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.3, 0.8, 0.5)):
            color = Material("flat", "#808080")
            solids = builder(PieceStyle(color, color, color, color, 1.1, shape, 0))
            lows, highs = np.array([solid.low for solid in solids]), np.array([solid.high for solid in solids])
            assert (highs > lows).all(), name
            assert lows[:, 1].min() >= 0, name
            assert lows[:, 1].min() < 0.13, name
            assert lows[:, 2].min() >= -0.01, name
            assert highs[:, 1].max() < 2.45, name


def test_values_are_the_whole_room():
    rooms = Rooms()
    values = rooms.sample(np.random.default_rng(1))
    text = json.dumps(values, allow_nan=False)
    assert len(text) < 8000
    assert values["family"] == "studio"


def test_another_setting_is_another_fingerprint():
    assert len({Rooms().fingerprint, Rooms("street").fingerprint, Rooms(free=1.5).fingerprint}) == 3


def test_a_camera_under_the_floor_and_an_unknown_family_are_refused():
    camera = example_camera(frames=1)
    camera.viewmats[:, 1, 3] = -0.5
    with pytest.raises(ValueError, match="m below the floor.*synth/background=images"):
        Rooms().scene(Rooms().sample(np.random.default_rng(0)), camera)
    with pytest.raises(ValueError, match="one of .*'studio'.*, got 'villa'"):
        Rooms("villa")
    with pytest.raises(ValueError, match=r"a share in 0\.\.1.*got occluders=2\.0"):
        Rooms(occluders=2.0)
