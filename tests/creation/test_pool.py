"""The people of the training film as identities."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.avatars.anny import AnnyPeople
from synthaug.body.skinning import pose_frame
from synthaug.creation import Cutouts, Evidence, Feature
from synthaug.creation.creating import Plan
from synthaug.creation.cutting import Choice
from synthaug.creation.learning import Course, Stage
from synthaug.creation.person import Unknowns, pose_person
from synthaug.creation.pool import FilmedPeople
from synthaug.creation.rendering import splat_frame
from synthaug.creation.surface import build_surface
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.testing.avatars import check_avatar, check_avatar_pool
from synthaug.video import write_video

SIZE, FRAMES = 96, 24
SURFACE = build_surface(600)
PLAN = Plan(gaussians=600, course=Course(stages=(Stage(32, 60, 1.0, poses=False),)))


class Bright(Feature):
    """Whoever is not as grey as the wall."""

    def observe(self, cutouts: Cutouts) -> Evidence:
        apart = (cutouts.pictures.float() / 255 - 0.6).abs().amax(1)
        known = torch.ones_like(apart).bool() & cutouts.inside
        return Evidence((apart > 0.15).float(), known, torch.ones(len(cutouts)))


def clip(
    folder: Path, subject: str, color: tuple[float, float, float], *, start: float = 0.0
) -> tuple[Record, Reference]:
    """Somebody of one colour who turns around, filmed."""
    pose = torch.zeros(FRAMES, 55, 3)
    pose[:, 16, 2], pose[:, 17, 2] = -0.9, 0.9
    pose[:, 0, 1] = start + torch.arange(FRAMES) / FRAMES * 6.28
    motion = Motion.from_pose(pose, torch.zeros(FRAMES, 3), fps=8.0)
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, -0.2], [0, 0, -1, 3.0], [0, 0, 0, 1]])
    K = torch.tensor([[1.5 * SIZE, 0, SIZE / 2], [0, 1.5 * SIZE, SIZE / 2], [0, 0, 1]])
    camera = Camera(viewmat.repeat(FRAMES, 1, 1), K.repeat(FRAMES, 1, 1), SIZE, SIZE)
    unknowns = Unknowns.start(SURFACE, FRAMES)
    unknowns.colors = torch.tensor(color).expand(len(unknowns.colors), 3).clone()
    frames = []
    for frame in range(FRAMES):
        row = slice(frame, frame + 1)
        one = replace(camera, viewmats=camera.viewmats[row], Ks=camera.Ks[row])
        rgb, alpha = splat_frame(pose_frame(pose_person(SURFACE, unknowns, motion, frame), 0), one)
        frames.append((rgb + (1 - alpha) * 0.6).mul(255).round().clamp(0, 255).to(torch.uint8))
    path = folder / f"{subject}{start:g}.mp4"
    write_video(path, torch.stack(frames), fps=8.0)
    return Record(path.stem, path, 0, subject, "", 0.0, FRAMES / 8), Reference(motion, camera)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Record, Reference]]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("films")
    red, blue = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
    return [clip(folder, "ben", blue), clip(folder, "anna", red), clip(folder, "anna", red, start=1.0)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def pool_of(cache: Path, **changes: object) -> FilmedPeople:
    settings = dict(levels=None, choice=Choice(16, 64), plan=PLAN, min_db=5.0, features=[Bright()], cache=cache)
    return FilmedPeople(AnnyPeople(gaussians=1000, people=4, levels=None), **{**settings, **changes})


@pytest.fixture(scope="module")
def pool(films, cache) -> FilmedPeople:
    return pool_of(cache).prepare(films)


def test_everybody_in_the_film_is_made_and_looks_like_themselves(pool: FilmedPeople):
    assert list(pool.people) == ["filmed/anna", "filmed/ben"] and not pool.refused
    rest = Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0)
    for name, channel in (("anna", 0), ("ben", 2)):
        person = pool.load(f"filmed/{name}")
        check_avatar(person)
        mean = person.pose(rest).colors.mean(0)
        assert int(mean.argmax()) == channel and mean[channel] > 2 * mean[1]
        assert pool.subject(f"filmed/{name}") == name


def test_pool_keeps_the_contract(pool: FilmedPeople):
    check_avatar_pool(pool)


def test_filmed_people_come_first_and_others_fill_up(pool: FilmedPeople):
    rng = np.random.default_rng(0)
    assert set(pool.sample(2, rng)) == {"filmed/anna", "filmed/ben"}
    more = pool.sample(5, rng)
    assert len(set(more)) == 5 and sum(name.startswith("filmed/") for name in more) == 2
    assert [pool.subject(name) for name in more[2:]] == ["", "", ""]
    with pytest.raises(ValueError, match="Expected"):
        pool.sample(7, rng)
    alone = pool_of(pool._cache)
    alone.others = None
    with pytest.raises(ValueError, match="could be made out of the training film, got 0.*Lower synth.identities"):
        alone.sample(1, rng)
    with pytest.raises(KeyError, match="Expected one of the 2 filmed people"):
        pool.load("filmed/carl")


def test_people_are_made_once(pool: FilmedPeople, films, cache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("synthaug.creation.pool.create_person", lambda *_, **__: pytest.fail("made again"))
    again = pool_of(cache).prepare(films)
    assert again.people == pool.people
    assert again.load("filmed/ben").digest == pool.load("filmed/ben").digest
    again.others = None  # procedural people go to other processes by fork alone
    assert pickle.loads(pickle.dumps(again)).load("filmed/ben").digest == pool.load("filmed/ben").digest


def test_other_clips_motions_or_settings_are_other_people(pool: FilmedPeople, films, cache):
    def name_of(films, **changes):
        return {person.subject: person.path for person in pool_of(cache, **changes)._list_people(films)}

    usual = name_of(films)
    assert list(usual.values()) == list(pool.people.values())
    fewer = name_of(films[:2])
    assert fewer["anna"] != usual["anna"] and fewer["ben"] == usual["ben"]
    (record, reference), *rest = films
    moved = replace(reference, motion=replace(reference.motion, transl=reference.motion.transl + 0.1))
    assert name_of([(record, moved), *rest])["ben"] != usual["ben"]
    assert name_of(films, choice=Choice(17, 64))["ben"] != usual["ben"]


def test_whoever_cannot_be_made_is_left_out_in_words(films, tmp_path, caplog: pytest.LogCaptureFixture):
    (record, reference), *_ = films
    short = replace(record, subject="carl", key="carl")
    few = replace(reference, motion=_cut(reference.motion))
    prepared = pool_of(tmp_path).prepare([(short, few), *films[:1]])
    assert list(prepared.people) == ["filmed/ben"]
    assert "at least 8 frames" in prepared.refused["carl"]
    assert "1 of 2 filmed people are left out. carl: Expected at least 8 frames" in caplog.text
    strict = pool_of(tmp_path, min_db=99.0).prepare(films[:1])
    assert "met by 99 dB" in strict.refused["ben"] and not strict.people


def _cut(motion: Motion) -> Motion:
    return Motion.from_pose(motion.pose[:5], motion.transl[:5], fps=motion.fps)


def test_film_without_people_is_refused(films, tmp_path):
    (record, reference), *_ = films
    with pytest.raises(ValueError, match="who is in every training clip.*a column `subject`"):
        pool_of(tmp_path).prepare([(replace(record, subject=""), reference)])


def test_a_run_that_was_stopped_goes_on(films, tmp_path, monkeypatch: pytest.MonkeyPatch):
    class StoppedError(Exception):
        pass

    def stop(*_: object, **__: object) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr("synthaug.creation.pool.write_pack", stop)
        with pytest.raises(StoppedError):
            pool_of(tmp_path).prepare(films[:1])
    assert not list(tmp_path.rglob("*.avatar.safetensors")) and not list(tmp_path.rglob("*.refused"))
    assert list(pool_of(tmp_path).prepare(films[:1]).people) == ["filmed/ben"]


def test_the_packs_papers_name_the_person_and_forbid_handing_on(pool: FilmedPeople):
    from synthaug.avatars.pack.format import read_header

    about = read_header(pool.people["filmed/anna"]).about
    assert about.subject == about.name == "anna"
    assert about.consent.redistribution is False and "training film" in about.licence.terms
    assert about.quality["heldout_db_refitted"] > 5
