"""Pseudo-real film: several cameras see the same performance in the same room."""

import numpy as np
import pytest
import torch
from fakes import BeadPeople

from synthaug.backgrounds.rooms import Rooms
from synthaug.cameras.orbit import Orbit
from synthaug.files import read_reference
from synthaug.motions.actions import Actions
from synthaug.pseudoreal import Footage, PseudoReal, Set
from synthaug.renderers.cpu import CpuRenderer
from synthaug.sensor import Sensor
from synthaug.video import probe


def film_maker(views, **changes):
    stage = Set(
        motion=Actions(), avatar=BeadPeople(), camera=Orbit(), background=Rooms("street"), renderer=CpuRenderer(),
        sensor=Sensor(), views=views,
    )  # fmt: skip
    footage = Footage(size=48, fps=6.0, seconds=2.0, supersampling=1)
    return PseudoReal(stage, classes=["bow", "clapping"], performers=2, footage=footage, num_workers=0, **changes)


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    level = {"elevation_deg": (0, 0), "distance": (1, 1), "focal": (1, 1)}
    views = {"front": Orbit(azimuth_deg=(0, 0), **level), "side": Orbit(azimuth_deg=(90, 90), **level)}
    return root, film_maker(views).shoot(root)


def test_every_camera_films_every_performance(shot):
    _, records = shot
    assert len({record.key for record in records}) == len(records) == 2 * 2 * 2
    assert {(r.label, r.subject, r.camera) for r in records} == {
        (label, who, view) for label in range(2) for who in ("p00", "p01") for view in ("front", "side")
    }
    assert all(probe(record.path).num_frames == 12 for record in records)


def test_cameras_see_the_same_performance_from_where_they_stand(shot):
    _, records = shot
    for label in range(2):
        front, side = (
            next(r for r in records if (r.label, r.subject, r.camera) == (label, "p00", view))
            for view in ("front", "side")
        )
        one, other = (read_reference(record.path.with_suffix(".npz")) for record in (front, side))
        assert torch.equal(one.motion.body_pose, other.motion.body_pose)
        looks = [take.camera.viewmats[0, 2, :3].numpy() * [1, 0, 1] for take in (one, other)]
        cosine = looks[0] @ looks[1] / np.linalg.norm(looks[0]) / np.linalg.norm(looks[1])
        assert abs(cosine) < 0.05


def test_one_camera_names_no_view(tmp_path):
    records = film_maker({}).shoot(tmp_path)
    assert [record.path.name for record in records[:2]] == ["p00.mp4", "p00.mp4"]
    assert {record.camera for record in records} == {"room-00", "room-01"}


def test_views_are_part_of_what_films_are_known_by():
    assert film_maker({}).fingerprint != film_maker({"front": Orbit()}).fingerprint
