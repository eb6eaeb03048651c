"""`synthaug avatar create` of a folder of people: each once, and nobody without a word of theirs."""

import json
import pickle
import re

import pytest
import torch
from fakes import camera, small_pack, square, wave

from synthaug.avatars.pack.format import SUFFIX, read_header, with_about, write_pack
from synthaug.cli.avatar_making import Clues, Making
from synthaug.cli.avatar_people import CreatePeople
from synthaug.cli.main import main
from synthaug.creation import CreationError
from synthaug.files import write_reference
from synthaug.structures import Record, Reference
from synthaug.video import write_video


@pytest.fixture(scope="module")
def pack():
    return small_pack("x", "film")


@pytest.fixture
def made(pack, monkeypatch):
    """Names of the people who were made; making them takes no network here, and fails for those who are `bad`."""
    names = []

    def make_avatar(paths, about, out, *, making, clues):
        names.append(about.name)
        if about.name == "bad":
            raise ValueError("Expected somebody, got nobody. Film them.")
        write_pack(out, with_about(pack, about))
        return ["too dark"], f"{out}: made of {len(paths)}"

    monkeypatch.setattr("synthaug.cli.avatar_people.make_avatar", make_avatar)
    return names


@pytest.fixture
def people(tmp_path):
    for person, takes in (("anna", 2), ("bob", 1)):
        for take in range(takes):
            path = tmp_path / "people" / person / f"{take}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, square(takes, take, 4), fps=10.0)
    return tmp_path / "people"


def test_everybody_is_made_once_with_their_own_papers(people, made, tmp_path, capsys):
    licence = {"name": "CC-BY-4.0", "terms": "Name Anna.", "source": "the contract"}
    (people / "anna" / "papers.json").write_text(json.dumps({"subject": "s7", "licence": licence}))
    command = ["avatar", "create", str(people), "--out", str(tmp_path / "packs"), "--agreed", "training"]
    assert main(command) == 0 and made == ["anna", "bob"]
    assert "anna: " in (said := capsys.readouterr().out) and "made of 2 Note: too dark" in said
    anna, bob = (read_header(tmp_path / "packs" / f"{name}{SUFFIX}").about for name in ("anna", "bob"))
    assert (anna.subject, anna.licence.name) == ("s7", "CC-BY-4.0")
    assert bob.subject == "bob" and bob.consent.training and not bob.consent.display
    assert main(command) == 0 and made == ["anna", "bob"]
    write_video(people / "bob" / "0.mp4", square(1, 7, 6), fps=10.0)  # other film
    assert main(command) == 0 and made == ["anna", "bob", "bob"]


def test_other_poses_make_everybody_anew(people, made, tmp_path):
    command = ["avatar", "create", str(people), "--out", str(tmp_path / "packs"), "--agreed", "none"]
    for motion in ([], ["--motion", "video"], ["--motion", "sidecar"], ["--motion", "sidecar"]):
        assert main([*command, *motion]) == 0
    assert made == ["anna", "bob", "anna", "bob"]


def test_clues_in_a_person_s_folder_are_found_and_make_them_anew(people, made, tmp_path):
    command = ["avatar", "create", str(people), "--out", str(tmp_path / "packs"), "--agreed", "none"]
    assert main(command) == 0 and made == ["anna", "bob"]
    (people / "bob" / "keypoints.json").write_text("[]")
    (people / "bob" / "place.jpg").write_bytes(b"x")
    (people / "bob" / "depth").mkdir()
    (people / "bob" / "depth" / "0.png").write_bytes(b"x")
    found = Clues.beside(people / "bob")
    assert found.masks is None and found.depth == people / "bob" / "depth"
    assert [path.name for path in (found.place, found.keypoints)] == ["place.jpg", "keypoints.json"]
    assert main(command) == 0 and made == ["anna", "bob", "bob"]
    (people / "bob" / "depth" / "0.png").write_bytes(b"y")  # as large, as other arrays of depth are
    assert main(command) == 0 and main(command) == 0 and made == ["anna", "bob", "bob", "bob"]


def test_films_of_the_place_are_clues_and_no_films_of_somebody(people, made, tmp_path):
    write_video(people / "bob" / "place.mp4", square(1, 3, 4), fps=10.0)
    (people / "bob" / "masks").mkdir()
    write_video(people / "bob" / "masks" / "all.mp4", square(1, 3, 4), fps=10.0)
    job = CreatePeople(people, tmp_path / "packs", Making(), "none")
    assert job.find_people()["bob"] == [people / "bob" / "0.mp4"]
    assert Clues.beside(people / "bob").place == people / "bob" / "place.mp4"


def test_clues_that_are_not_there_are_told_before_any_work(people, tmp_path, capsys):
    film = people / "bob" / "0.mp4"
    command = ["avatar", "create", str(film), "--out", str(tmp_path / "bob"), "--likeness", "bob", "--agreed", "none"]
    for name, path, words in (
        ("place", tmp_path / "none.png", "Expected a file for --place in .* got nothing"),
        ("place", tmp_path, "Expected a file for --place in .* got a folder"),
        ("masks", tmp_path / "none", "Expected a folder for --masks in .* got nothing"),
        ("depth", film, "Expected a folder for --depth in .* got a file"),
        ("keypoints", tmp_path, "Expected a file for --keypoints in .* got a folder"),
    ):
        assert main([*command, f"--{name}", str(path)]) != 0
        assert re.search(words, capsys.readouterr().err)


def test_whoever_cannot_be_made_stops_nobody(people, made, tmp_path, capsys):
    (people / "anna").rename(people / "bad")
    command = ["avatar", "create", str(people), "--out", str(tmp_path / "packs"), "--agreed", "none"]
    assert main(command) == 1 and made == ["bad", "bob"]
    assert "bad: Expected somebody, got nobody. Film them." in capsys.readouterr().err
    assert main(command) == 1 and made == ["bad", "bob", "bad"]


def test_another_process_is_given_the_same_job(people, tmp_path):
    job = CreatePeople(people, tmp_path / "packs", Making(frames=40, fps=25.0), "none")
    assert pickle.loads(pickle.dumps(job)) == job and job.list_missing() == ["anna", "bob"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], r"papers.json' to say what anna agreed to, got no such file"),
        (["--agreed", "none", "--likeness", "x"], r"Expected no --likeness for a folder of people, got 'x'"),
        (["--agreed", "none", "--frames", "3"], r"Expected --frames of 16 or more"),
        (["--agreed", "none", "--machines", "2"], r"Expected --machines with --engine slurm alone"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_made(people, made, words, reason, tmp_path, capsys):
    assert main(["avatar", "create", str(people), "--out", str(tmp_path / "packs"), *words]) == 2
    assert reason.replace("\\", "") in capsys.readouterr().err and not made


def test_an_engine_makes_no_single_person(people, tmp_path, capsys):
    film = people / "bob" / "0.mp4"
    words = ["avatar", "create", str(film), "--out", str(tmp_path / "bob"), "--engine", "ray"]
    assert main(words) == 2 and "Expected a folder with a folder of films for each person" in capsys.readouterr().err


def test_folders_of_numbered_pictures_are_films_of_a_person(people, made, tmp_path):
    import cv2
    import numpy as np

    (people / "eva" / "shots").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(people / "eva" / "shots" / f"{number:03d}.png"), np.full((8, 8, 3), number, np.uint8))
    command = ["avatar", "create", str(people), "--out", str(tmp_path / "packs"), "--agreed", "none"]
    assert main(command) == 2 and not made
    assert main([*command, "--fps", "25"]) == 0 and made == ["anna", "bob", "eva"]
    assert main([*command, "--fps", "25"]) == 0 and made == ["anna", "bob", "eva"]


def create_with(film, *motion):
    words = ["avatar", "create", str(film), "--out", str(film.parent / "out"), "--likeness", "x", "--agreed", "none"]
    return main([*words, "--motion", *motion])


def test_poses_come_from_the_source_that_is_named(people, tmp_path, monkeypatch):
    film = people / "bob" / "0.mp4"
    given = Reference(wave(Record("0", film, 0, "", "", 0.0, 0.4)), camera(8))
    write_reference(film.with_suffix(".npz"), given)
    met = []

    def cut_films(films, choice):
        met.extend(films)
        raise CreationError("Expected no more than this.")

    monkeypatch.setattr("synthaug.creation.cutting.cut_films", cut_films)
    assert create_with(film, "sidecar") == 2
    ((record, found),) = met
    assert record.path == film and torch.equal(found.motion.pose, given.motion.pose)
    assert torch.equal(found.camera.viewmats, given.camera.viewmats)


@pytest.mark.parametrize(
    ("motion", "reason"),
    [
        (["sidecar"], "the motion of '0'. Make it with `synthaug motion extract`"),
        (["exavatar", "other.mp4"], "Expected settings such as root=fits after --motion exavatar, got 'other.mp4'"),
        (["magic"], "synth/motion=magic"),
        (["exavatar", "roof=fits"], "synth.motion.roof"),
        (["exavatar", "fps=-1.0"], "Expected fps"),
        (["onnx_wholebody"], "Expected a value for synth.motion.model"),
    ],
)
def test_a_source_without_the_poses_is_told(people, motion, reason, capsys):
    assert create_with(people / "bob" / "0.mp4", *motion) == 2
    assert reason in capsys.readouterr().err
