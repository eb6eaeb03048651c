"""Pseudo-real film: several cameras see the same performance in the same room."""

import itertools

import numpy as np
import pytest
import torch
from fakes import BeadPeople

from synthaug.backgrounds.rooms import Rooms
from synthaug.cameras.orbit import Orbit
from synthaug.files import read_reference
from synthaug.motions.actions import Actions
from synthaug.pseudoreal.film import FilmJob, Footage, PseudoReal
from synthaug.pseudoreal.sets import FilmSet, Pairing
from synthaug.renderers.cpu import CpuRenderer
from synthaug.sensors.camera import CameraSensor
from synthaug.video import probe


def film_maker(views, pairing=None):
    stage = FilmSet(
        motion=Actions(), avatar=BeadPeople(), camera=Orbit(), background=Rooms("street"), renderer=CpuRenderer(),
        sensor=CameraSensor(), views=views, pairing=pairing,
    )  # fmt: skip
    footage = Footage(size=48, fps=6.0, seconds=2.0, supersampling=1)
    return PseudoReal(stage, classes=["bow", "clapping"], performers=2, footage=footage, num_workers=0)


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
        looks = [known.camera.viewmats[0, 2, :3].numpy() * [1, 0, 1] for known in (one, other)]
        cosine = looks[0] @ looks[1] / np.linalg.norm(looks[0]) / np.linalg.norm(looks[1])
        assert abs(cosine) < 0.05


def test_one_camera_names_no_view(tmp_path):
    records = film_maker({}).shoot(tmp_path)
    assert [record.path.name for record in records[:2]] == ["p00.mp4", "p00.mp4"]
    assert {record.camera for record in records} == {"room-00", "room-01"}


def test_what_another_process_films_meanwhile_is_not_filmed_again(tmp_path, monkeypatch):
    filmed, film = [], PseudoReal.film

    def slow(maker, root, job):
        if not filmed:
            filmed.append(job)
            film_maker({}).shoot(root)
        else:
            filmed.append(job)
        film(maker, root, job)

    monkeypatch.setattr(PseudoReal, "film", slow)
    assert len(film_maker({}).shoot(tmp_path)) == 4
    assert len(filmed) == 1 + 4  # ours, and all of the other process, which found none


def test_views_are_part_of_what_films_are_known_by():
    assert film_maker({}).fingerprint != film_maker({"front": Orbit()}).fingerprint


def test_rooms_go_with_actions_as_paired():
    pairing = Pairing(rooms=2, unseen=[1], swapped=[2])
    assert [pairing.assign(label, 0) for label in range(3)] == [("paired", 0), ("paired", 1), ("paired", 0)]
    assert [pairing.assign(label, 2) for label in range(3)] == [("swapped", 1), ("swapped", 0), ("swapped", 1)]
    assert pairing.assign(0, 1) == ("unseen", None)
    assert film_maker({}, pairing).fingerprint != film_maker({}).fingerprint


def test_a_paired_room_is_the_same_for_whoever_is_filmed(tmp_path, monkeypatch):
    shown = []
    scene = Rooms.scene

    def noted(self, values, camera):
        shown.append(values)
        return scene(self, values, camera)

    monkeypatch.setattr(Rooms, "scene", noted)
    maker = film_maker({}, Pairing(rooms=2, swapped=[1]))
    for who, label in itertools.product(range(2), repeat=2):
        maker.film(tmp_path, FilmJob(label, who, ""))
    records = maker.shoot(tmp_path)
    assert [record.camera for record in records] == ["paired", "paired", "swapped", "swapped"]
    # bow and clapping, by the first performer, then by the second
    assert shown[0] == shown[3] and shown[1] == shown[2] and shown[0] != shown[1]
