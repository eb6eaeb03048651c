"""A stock of places: the rooms themselves, from fixed views, one after the other in any order."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.backgrounds.flat import Flat
from synthaug.backgrounds.places import Places
from synthaug.backgrounds.rooms import Rooms
from synthaug.body.skeleton import move_motion
from synthaug.cameras.orbit import Orbit
from synthaug.motions.actions import perform
from synthaug.motions.files.views import frontal_camera
from synthaug.motions.procedural.style import sample_style
from synthaug.structures import Record, Reference


def film(key, seed, shift=0.0):
    motion = perform("bow", sample_style(np.random.default_rng(seed), "studio"), fps=10.0, seconds=2.0)
    camera = frontal_camera(motion.num_frames, height=64, width=64)
    if shift:
        motion = move_motion(motion, torch.eye(3), torch.tensor([shift, 0.0, 0.0]))
        camera = camera.around(torch.tensor([-shift, 0.0, 0.0]))
    record = Record(key=key, path=Path(f"{key}.mp4"), label=0, subject="s", camera="c", start=0.0, end=2.0)
    return record, Reference(motion, camera)


@pytest.fixture(scope="module")
def places():
    return Places(Rooms("studio"), Orbit(), number=5).prepare([film("a", 0), film("b", 1)])


def view(time=3):
    return frontal_camera(time, height=48, width=48)


def test_a_place_is_the_room_seen_by_the_camera_that_it_gives(places):
    for seed in range(4):
        values = places.sample(np.random.default_rng(seed))
        scene = places.scene(json.loads(json.dumps(values)), view())
        room = Rooms("studio").scene(places.contents(values["place"]), scene.camera)
        assert torch.equal(scene.frames, room.frames) and torch.equal(scene.depth, room.depth)
        assert scene.spot == room.spot and scene.light == room.light
        assert len(scene.camera.viewmats) == 3 and (scene.camera.height, scene.camera.width) == (48, 48)


def test_there_are_as_many_as_asked_for_and_all_are_used(places):
    sampled = [places.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert {values["place"] for values in sampled} == set(range(5))
    assert len({json.dumps(values, sort_keys=True) for values in sampled}) == 5


def test_what_was_shown_before_changes_nothing(places):
    values = [places.sample(np.random.default_rng(seed)) for seed in range(6)]
    first = [places.scene(one, view()).frames for one in values]
    fresh = Places(Rooms("studio"), Orbit(), number=5).prepare([film("b", 1), film("a", 0)])
    assert fresh.fingerprint == places.fingerprint
    for one, frames in list(zip(values, first, strict=True))[::-1]:
        assert torch.equal(fresh.scene(one, view()).frames, frames)


def test_a_view_follows_the_person_wherever_they_were_filmed():
    near, far = (Places(Rooms("studio"), Orbit(), number=1).prepare([film("a", 0, shift)]) for shift in (0.0, 7.0))
    values = near.sample(np.random.default_rng(0))
    cameras = [stock.scene(values, view(1)).camera for stock in (near, far)]
    torch.testing.assert_close(cameras[0].viewmats, cameras[1].viewmats, rtol=0, atol=1e-4)


def test_the_spot_stands_in_the_picture(places):
    for seed in range(8):
        camera = places.scene(places.sample(np.random.default_rng(seed)), view(1)).camera
        seen = camera.viewmats[0, :3, :3] @ torch.tensor([0.0, 1.0, 0.0]) + camera.viewmats[0, :3, 3]
        pixel = camera.Ks[0] @ (seen / seen[2])
        assert seen[2] > 1 and (0 < pixel[:2]).all() and (pixel[:2] < 48).all()


def test_flat_pictures_know_nothing(places):
    flat = Flat(places)
    values = flat.sample(np.random.default_rng(0))
    scene = flat.scene(values, view())
    assert torch.equal(scene.frames, places.scene(values, view()).frames)
    assert scene.camera is None and scene.spot is None and scene.depth is None and scene.light is None


def test_places_without_views_say_so(places):
    empty = Places(Rooms("studio"), Orbit())
    with pytest.raises(ValueError, match="Call `prepare`"):
        empty.sample(np.random.default_rng(0))
    with pytest.raises(ValueError, match="Expected at least one film"):
        empty.prepare([])
    with pytest.raises(KeyError, match="Replay recipes with the data set"):
        places.scene({**places.sample(np.random.default_rng(0)), "view": "elsewhere"}, view())
    with pytest.raises(ValueError, match="at least one place, got 0"):
        Places(Rooms("studio"), Orbit(), number=0)
