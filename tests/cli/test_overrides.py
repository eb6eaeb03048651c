"""Words that Hydra would read as something else, or answer in its own words."""

import shlex
import subprocess

import pytest
from omegaconf import OmegaConf

from synthaug.cli.configs import build_data, check_training_words, compose_config, load_config
from synthaug.cli.main import main
from synthaug.cli.overrides import quote_word

FOLDER = ["dataset=folder", "dataset.root=/films"]


def written(message):
    """The word that a message says to write, as a shell would pass it on."""
    return shlex.split(message.partition(" Write ")[2])[0].removesuffix(",")


@pytest.mark.parametrize(
    "path",
    [
        "/d#1", "/a=b", "/a,b", "/a(b)", "~/films", "/a~b", "/a'b", '/a"b', "/a[1]", "/a{b}", "/a&b", "/a;b", "/a<b>",
        "/données", "/映像", "/d!x y", "/a$b=1", "/a`b`", "/ends(\\", "/film (1).mp4", "/^a", "_g([0-9]+)_", "/a\u0301",
    ],
)  # fmt: skip
def test_a_path_that_hydra_cannot_read_is_answered_with_the_word_to_write(path):
    """The answer, typed into a shell, sets the path itself."""
    with pytest.raises(ValueError, match="does not compose: expected") as raised:
        compose_config(["dataset=folder", f"dataset.root={path}"])
    word = quote_word(f"dataset.root={path}")
    assert f"Write {word}" in str(raised.value)
    typed = subprocess.run(["sh", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True).stdout
    assert compose_config(["dataset=folder", typed]).dataset.root == path


def test_hydra_gets_the_home_folder_and_no_folder_of_that_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    with pytest.raises(ValueError, match="got ~ without quotes") as raised:
        compose_config(["hydra.run.dir=~/runs/1"])
    assert written(str(raised.value)) == "hydra.run.dir='/home/ann/runs/1'"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("protocol.test_subjects=[1_2]", ["1_2"]),
        ("protocol.test_subjects=[p1,1_2,1_0_3]", ["p1", "1_2", "1_0_3"]),
        ("protocol.val_subjects=[1.50]", ["1.50"]),
        ("protocol.train_subjects=[1e3]", ["1e3"]),
        ("dataset.classes=[2_1,wave]", ["2_1", "wave"]),
        ("dataset.classes=[a b,+5]", ["a b", "+5"]),
        ("dataset.classes=[café,wave]", ["café", "wave"]),
        ("protocol.test_subjects=[Nan,ann]", ["Nan", "ann"]),
        ("protocol.test_subjects=[INF]", ["INF"]),
        ("dataset.classes=[true,false]", ["true", "false"]),
        ("dataset.csv=2024_11", "2024_11"),
        ("dataset.cache=1_0", "1_0"),
    ],
)
def test_a_name_is_never_read_as_a_number_that_is_written_otherwise(given, meant):
    with pytest.raises(ValueError, match="Expected|expected") as raised:
        compose_config([*FOLDER, given])
    key = given.partition("=")[0]
    assert OmegaConf.select(compose_config([*FOLDER, written(str(raised.value))]), key) == meant


@pytest.mark.parametrize(
    "word",
    ["trainer.max_steps=10_000", "seed=1_0", "training.label_smoothing=1e-3", "synth.sensor=null",
     "protocol.test_subjects=[1,p2,'1_2',007]", "protocol.n_shot=5", "dataset.root=/a_1/2_2", "+trainer.max_time=1e3"],
)  # fmt: skip
def test_numbers_stay_numbers_where_numbers_are_wanted(word):
    assert compose_config([*FOLDER, word]).dataset.csv is None


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("synth.identitis=3", "synth.identities=3"),
        ("sinth.identities=3", "synth.identities=3"),
        ("identities=3", "synth.identities=3"),
        ("trainer.precison=bf16-mixed", "trainer.precision=bf16-mixed"),
        ("datset=folder", "dataset=folder"),
        ("dataset=foldr", "dataset=folder"),
        ("synth/motoin=video", "synth/motion=video"),
        ("synth/motion=vidio", "synth/motion=video"),
        ("hydra.run.dri=x", "hydra.run.dir=x"),
        ("~synth.identitis", "synth.identities"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_name(word, meant, capsys):
    for command in ("train", "preview"):
        assert main([command, "dataset=demo", word]) == 2
        said = capsys.readouterr().err
        assert f"Did you mean {meant}?" in said and "Hydra" not in said and "Traceback" not in said


def test_every_value_of_a_sweep_is_looked_at_before_the_first_job(capsys):
    assert main(["train", "-m", "dataset=demo", "seed=0,1", "recognizer=small,smal"]) == 2
    assert "Did you mean recognizer=small?" in capsys.readouterr().err
    sweeps = ["seed=range(0,3)", "synth.identities=interval(0,3)", "arm=glob(*)", "clip=small,standard", "+x=1,2"]
    check_training_words([*sweeps, "dataset.films.classes=[bow],[wave,bow]", "synth.cache=choice(a,b)"], multirun=True)
    with pytest.raises(ValueError, match=r"to be read as it is written, got the number 12 for 1_2"):
        check_training_words([*FOLDER, "protocol.test_subjects=[1_2],[p3]"], multirun=True)


def test_a_path_with_a_comma_is_no_sweep(tmp_path):
    (tmp_path / "a,b").mkdir()
    with pytest.raises(ValueError, match="which names a file or folder. Write") as raised:
        check_training_words([f"dataset.root={tmp_path}/a,b"], multirun=True)
    assert written(str(raised.value)) == f"dataset.root='{tmp_path}/a,b'"


@pytest.mark.parametrize("words", [["-m", "--cfg", "job", "seed=0,1"], ["--config-dir", "/nowhere", "seed=1"], ["arm"]])
def test_what_cannot_be_together_is_told_in_words(words, capsys):
    assert main(["train", *words]) == 2
    assert "xpected" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_told_before_what_is_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        main(["train", "dataset=folder", "dataset.root=nowhere"])
    said = str(raised.value)
    assert 0 < said.index("No such folder: dataset.root='nowhere'") < said.index("protocol.test_subjects=VALUE")


@pytest.mark.parametrize(("root", "what"), [("2024", "the number 2024"), ("", "an empty text")])
def test_a_root_that_is_no_text_is_no_folder(root, what):
    """An unset variable of the shell would otherwise make the working folder the data set."""
    words = ["dataset=folder", f"dataset.root={root}", "protocol.test_subjects=[a]"]
    with pytest.raises(ValueError, match=f"Expected dataset.root to be a folder, got {what}. Write dataset.root=./"):
        build_data(compose_config(words))


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("+synth.identitis=3", "Did you mean synth.identities?"),
        ("+synth.camera.azimut_deg=3", "Did you mean synth.camera.azimuth_deg?"),
        ("+protocol.test_subject=[p01]", "Did you mean protocol.test_subjects?"),
        ("synth.cache=/a${b}", "Expected each ${...} to name a setting, got synth.cache"),
    ],
)
def test_what_hydra_would_accept_and_no_class_takes_is_told_in_words(word, answer):
    with pytest.raises(ValueError, match="Expected") as raised:
        build_data(compose_config(["dataset=demo", word]))
    assert answer in str(raised.value)


@pytest.mark.parametrize("root", ["/a=b", "/a#1", "2024_11", "~", "/a: b", "[x]", "null", "/données"])
def test_films_that_moved_are_found_under_any_name(root, tmp_path):
    (tmp_path / "config.yaml").write_text("{dataset: {root: /old, csv: /old/t.csv}, protocol: {x: 1}, seed: 3}")
    moved = load_config(tmp_path / "config.yaml", [f"dataset.root={root}"])
    assert moved.dataset.root == root and moved.dataset.csv == f"{root.rstrip('/')}/t.csv"
    assert load_config(tmp_path / "config.yaml", [f"dataset.root='{root}'"]).dataset.root == root
