"""The gallery's films, clips and page, without a browser."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from fakes import CLASSES, BySubject, Films, Waves, camera, plan

from synthaug.cli.main import main
from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.motions.variation import Variation
from synthaug.runs.gallery.entries import name_place, pick_clips
from synthaug.runs.gallery.films import SIDE, paint_triptych
from synthaug.runs.gallery.making import make_gallery
from synthaug.runs.gallery.page import Papers, build_page, embed_json
from synthaug.structures import Actor, ClipFormat, Motion, Recipe, Record, Reference
from synthaug.synthesis.exclusions import Exclusions
from synthaug.synthesis.references import References, gather
from synthaug.synthesis.synthesizer import Synthesizer
from synthaug.video import read_metadata, write_video

CLIP = ClipFormat(num_frames=6, fps=8.0, size=48)


def data_of(root, **changes):
    synth = plan(min_shown=0.0, min_shown_half_second=0.0, **changes)
    loading = Loading(num_workers=0)
    data = SynthAugDataModule(Films(str(root)), BySubject(), synth=synth, clip=CLIP, loading=loading, augmentation=None)
    data.prepare_data()
    data.setup()
    return data


def motion_of(key):
    return Recipe(0, (Actor(key, "who"),), {}, {}, {}, 0.0, 8.0, 6, (48, 48), {"index": key})


class Sliding(Waves):
    """Slides to the side by 0.1 m a second, so that where somebody is says when it is."""

    fingerprint = "sliding"

    def load(self, record):
        count = round((record.end - record.start) * 10)
        transl = torch.tensor([[0.01 * frame, 0.98, 0.0] for frame in range(count)])
        motion = Motion.from_pose(torch.zeros(count, 55, 3), transl, fps=10.0)
        return Reference(motion, camera(count), 0.9, {"offset": 0.4})


@pytest.mark.parametrize(
    "variation", [None, Variation(speed=0.5, timing=0.3, amplitude=0.0, noise_deg=0.0, lean_deg=0.0)]
)
def test_the_film_is_shown_at_the_instants_that_the_clip_performs(tmp_path, variation):
    """However its tempo varies, and where the motion begins later than the film."""
    video = torch.arange(60, dtype=torch.uint8)[:, None, None, None].mul(4).expand(60, 3, 64, 64)
    write_video(tmp_path / "film.mp4", video, fps=10.0, crf=0)
    record = Record("a", tmp_path / "film.mp4", 0, "ann", "", 1.0, 5.0)
    changes = {} if variation is None else {"variation": variation}
    synth = plan(min_shown=0.0, min_shown_half_second=0.0, crop=None, **changes)
    synthesizer = Synthesizer(synth, gather([record], Sliding()), CLIP, seed=1)
    seen = set()
    for index in range(len(synthesizer)):
        recipe = synthesizer.sample(index)
        shown = paint_triptych(synthesizer, recipe, side=64)
        middle = shown[:, 0, 26:38, 26:38].float().mean(dim=(1, 2)) / 4
        performed = synthesizer.stage(recipe).motions[0].transl[:, 0] / 0.1  # seconds of the motion
        filmed = 10 * (1.0 + 0.4 + performed)  # in frames
        assert (middle - filmed).abs().max() <= 1.2, "within the frame that is on the screen"
        seen |= {round(float(value)) for value in middle}
    assert len(seen) > 10


def test_the_motion_is_painted_where_the_camera_saw_it_and_the_clip_is_the_recipe_s(tmp_path):
    data = data_of(tmp_path / "films")
    recipe = data.recipes()[0]
    shown = paint_triptych(data.synthesizer, recipe)
    assert shown.shape == (CLIP.num_frames, 3, SIDE, 3 * SIDE)
    film, motion, clip = shown.float().split(SIDE, dim=3)
    # Beside the bones, the motion's picture is the film's, dimmed; bones are brighter than that.
    bright = (motion - 0.45 * film).abs().amax(dim=1) > 40
    assert 0.005 < float(bright.float().mean()) < 0.08
    small = torch.nn.functional.avg_pool2d(clip, 10)
    own = torch.nn.functional.interpolate(data.synthesizer.render(recipe).video.float(), size=(16, 16), mode="area")
    assert float((small - own).abs().mean()) < 3


def test_as_many_motions_as_possible_are_seen_the_lowest_grades_first():
    grades = {"a": 0.9, "b": 0.2, "c": None, "d": 0.5}
    references = References((), {key: _graded(grade) for key, grade in grades.items()}, {})
    recipes = [replace(motion_of(key), start=float(number)) for key in grades for number in range(3)]
    keys = [one.actors[0].motion for one in pick_clips(recipes, references, 6)]
    assert keys == ["b", "d", "a", "c", "b", "d"]
    everything = pick_clips(recipes, references, 0)
    assert sorted(one.digest for one in everything) == sorted(one.digest for one in recipes)


def _graded(grade):
    still = Motion.from_pose(torch.zeros(2, 55, 3), torch.zeros(2, 3), fps=10.0)
    return Reference(still, camera(2), grade)


def test_places_have_names():
    recipe = motion_of("a")
    named = {
        "rooms": {"part": "rooms", "values": {}}, "own film": {"swapped": {"film": "x"}}, "picture": {"file": "x"},
        "plate of film": {"plate": "x"}, "stock of places": {"place": 3}, "plain": {"color": [1, 2, 3]}, "other": {},
    }  # fmt: skip
    assert {name: name_place(replace(recipe, background=values)) for name, values in named.items()} == {
        name: name for name in named
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("secret-folder")
    data = data_of(root / "films")
    counts = make_gallery(data, data.recipes(), root / "gallery", title="Clips", limit=3)
    return root, data, counts


def test_every_clip_has_a_film_and_its_recipe(made):
    root, data, counts = made
    assert counts == (6, 6)
    content = content_of((root / "gallery" / "index.html").read_text("utf-8"))
    recipes = {one.digest: one for one in data.recipes()}
    assert len(content["clips"]) == 6 and content["of"] == len(recipes)
    for clip in content["clips"]:
        recipe = recipes[clip["id"]]
        stem = root / "gallery" / content["films"] / clip["id"]
        assert Recipe.from_json(stem.with_suffix(".json").read_text()) == recipe
        assert Recipe.from_json(read_metadata(stem.with_suffix(".mp4"))["comment"]) == recipe
        assert content["motions"][clip["motion"]]["key"] == recipe.actors[0].motion
        assert content["classes"][clip["class"]] == CLASSES[recipe.label]


def test_films_that_are_there_are_not_made_again(made):
    root, data, _ = made
    films = sorted((root / "gallery" / "clips").glob("*.mp4"))
    stamps = {film: film.stat().st_mtime_ns for film in films[1:]}
    films[0].unlink()
    assert make_gallery(data, data.recipes(), root / "gallery", title="Clips", limit=3) == (6, 1)
    assert films[0].exists() and {film: film.stat().st_mtime_ns for film in films[1:]} == stamps
    assert make_gallery(data, data.recipes(), root / "gallery", title="Clips", limit=0)[0] == len(data.recipes())


def test_nothing_says_where_on_the_machine_the_data_are(made):
    root, _, _ = made
    files = [path for path in (root / "gallery").rglob("*") if path.is_file()]
    assert len(files) > 12
    for path in files:
        content = path.read_bytes()
        assert b"secret-folder" not in content and str(root).encode() not in content, path.name


def test_there_is_nothing_to_show_without_clips(made, tmp_path):
    _, data, _ = made
    with pytest.raises(ValueError, match="Expected a run with synthetic clips"):
        make_gallery(data, [], tmp_path, title="")
    with pytest.raises(ValueError, match="got one of 'elsewhere'"):
        make_gallery(data, [motion_of("elsewhere")], tmp_path, title="")
    assert not (tmp_path / "index.html").exists()


class Scripts(HTMLParser):
    """The scripts of a page, and all its attributes."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.attributes, self._inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append([dict(attributes), ""])

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, text):
        if self._inside:
            self.scripts[-1][1] += text


def content_of(text):
    (data,) = [words for attributes, words in Scripts(text).scripts if attributes.get("type") == "application/json"]
    return json.loads(data)


HOSTILE = "</script><img src=x onerror=alert(1)> <!--<script> \"' & \u2028 caf\u00e9 \U0001f9cd {{SCRIPT}} \udcff"


def test_no_text_of_a_run_becomes_part_of_the_page():
    content = {"classes": [HOSTILE], "motions": [{"key": HOSTILE}], "clips": []}
    words = HOSTILE[:-1]  # what is no data is never the name of a file, and has no lone surrogates
    text = build_page(content, Papers(words, 1, 2, [(words,) * 4], Exclusions(frozenset({HOSTILE}))))
    text.encode("utf-8")
    parsed = Scripts(text)
    assert len(parsed.scripts) == 2
    assert not [one for one in parsed.attributes if one[1].startswith("on") or one[0] == "img"]
    found = content_of(text)
    assert found["classes"] == [HOSTILE] and found["excluded"]["motions"] == [HOSTILE]
    assert json.loads(embed_json({"a": HOSTILE})) == {"a": HOSTILE}


def test_the_page_runs_its_own_script_and_loads_nothing_from_anywhere():
    """A browser refuses every other script, as the page asks it to."""
    text = build_page({"classes": [], "motions": [], "clips": []}, Papers("x", 0))
    policy = next(value for _, name, value in Scripts(text).attributes if name == "content" and "script-src" in value)
    assert "default-src 'none'" in policy and "unsafe" not in policy.split("style-src")[0]
    assert not re.search(r"https?://|url\(|@import", text.replace("http-equiv", ""))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


CONFIG = """
seed: 0
dataset: {{_target_: fakes.Films, root: {root}}}
protocol: {{_target_: fakes.BySubject}}
clip: {{_target_: synthaug.structures.ClipFormat, num_frames: 4, fps: 8.0, size: 32}}
loading: {{_target_: synthaug.datamodule.Loading, num_workers: 0}}
mixture: {{_target_: synthaug.datamodule.BatchMixture}}
augmentation: null
synth:
  _target_: fakes.plan
"""


def test_the_command_shows_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNTHAUG_TARGETS", "fakes")
    run = tmp_path / "run"
    run.mkdir()
    films = tmp_path / "films"
    (run / "config.yaml").write_text(CONFIG.format(root=films))
    films.mkdir()
    synth = plan()
    data = SynthAugDataModule(
        Films(str(films)), BySubject(), synth=synth, clip=replace(CLIP, num_frames=4, size=32), augmentation=None
    )
    data.setup()
    recipes = data.recipes()
    (run / "recipes.jsonl").write_text("".join(f"{one.to_json()}\n" for one in recipes))
    assert main(["gallery", str(run), "--limit", "2", "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert f"shows 4 of {len(recipes)} clips; 4 films made, 0 kept" in out and "filmed people" in out
    assert len(list((run / "gallery" / "clips").glob("*.mp4"))) == 4
    assert main(["gallery", str(run), "--limit", "2", "--to", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / "index.html").is_file()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "Expected a run's folder with config.yaml and recipes.jsonl"),
        (["--limit", "-1"], "Expected --limit and --workers to be 0 or more"),
    ],
)
def test_mistakes_are_told_in_words(tmp_path, capsys, words, wanted):
    if words:
        (tmp_path / "config.yaml").write_text("seed: 0\n")
        (tmp_path / "recipes.jsonl").write_text("")
    assert main(["gallery", str(tmp_path), *words]) == 2
    assert wanted in capsys.readouterr().err
