"""Clips of another generator: named in every layout, guarded as ours are, measured, counted, and trained on."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from fakes import BySubject, Films, Waves, plan
from rivals import CLIP, generate, late, mirrored, module, settings, standing

from synthaug.datamodule import BatchMixture, Loading, SynthAugDataModule
from synthaug.datamodule.support import ForeignSupport
from synthaug.datasets import LeakError, Split
from synthaug.fewshot.episodes import Task
from synthaug.foreign.gathering import Training, gather_clips
from synthaug.foreign.names import ReferenceNames, UnclearError, split_name
from synthaug.runs.folder import foreign_report, leak_report, motion_report
from synthaug.runs.previews import make_rows
from synthaug.structures import ClipFormat, Record
from synthaug.synthesis.synthesizer import Synthesizer
from synthaug.video import probe, read_frames

PEOPLE = ("ann_lee", "bo")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"), seconds=4.0)


@pytest.fixture(scope="module")
def made(films, tmp_path_factory):
    """One film of each training clip and person: `<person>/<reference>.mp4`, the pose beside it."""
    root = tmp_path_factory.mktemp("rivals")
    for number, name in enumerate(PEOPLE):
        for record in films.records:
            if record.subject != "s3":
                generate(films, record, number, root / name / f"{record.key.replace('/', '_')}.mp4")
    return root


@pytest.fixture
def unrendered(monkeypatch):
    monkeypatch.setattr(Synthesizer, "render", lambda *_: pytest.fail("rendered"))


def lay_out(made, to, name):
    """The same films under other names."""
    for person in PEOPLE:
        for film in (made / person).glob("*.mp4"):
            path = to / name(person, film.stem)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(film, path)
            shutil.copy(film.with_suffix(".npz"), path.with_suffix(".npz"))
    return to


def write_table(root, rows, *, name="clips.csv"):
    with (root / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)


def rows_of(made, films, people=PEOPLE):
    return [
        {"file": f"{person}/{record.key.replace('/', '_')}.mp4", "reference": record.key, "identity": person}
        for person in people
        for record in films.records
        if record.subject != "s3"
    ]


def meaning(data):
    return sorted((r.actors[0].motion, r.actors[0].identity, r.label) for r in data.recipes())


LAYOUTS = {
    "{identity}/{reference}.mp4": lambda person, name: f"{person}/{name}.mp4",
    "{identity}_{reference}.mp4": lambda person, name: f"{person}_{name}.mp4",
    "{reference}__{identity}.mp4": lambda person, name: f"{name}__{person}.mp4",
    "*/{identity}_{reference}_*x*_*.mp4": lambda person, name: f"20240131/{person}_{name}_512x768_3_1423.mp4",
    "{identity}/{reference}_*.mp4": lambda person, name: f"{person}/{name}_20240131142300.mp4",
}
"""Patterns, and the names that Animate Anyone, MusePose, MimicMotion and tidy people give."""


@pytest.mark.parametrize("pattern", LAYOUTS)
def test_every_layout_means_the_same(films, made, tmp_path, pattern):
    root = lay_out(made, tmp_path, LAYOUTS[pattern])
    data = module(films, settings(root, pattern=pattern))
    expected = sorted((r.key, who, r.label) for r in films.records if r.subject != "s3" for who in PEOPLE)
    assert meaning(data) == expected and data.packed.left_out == {}


def test_a_table_means_the_same_as_names(films, made):
    write_table(made, rows_of(made, films))
    by_table, by_name = (
        module(films, settings(made)),
        module(films, settings(made, pattern="{identity}/{reference}.mp4")),
    )
    assert [r.to_json() for r in by_table.recipes()] == [r.to_json() for r in by_name.recipes()]


def test_names_that_mean_nothing_or_two_things_are_left_out_and_told(films, made, tmp_path, caplog):
    root = lay_out(made, tmp_path, lambda person, name: f"{person}_{name}.mp4")
    shutil.copy(root / "bo_0_s0.mp4", root / "bo_0_s9.mp4")
    data = module(films, settings(root, pattern="{identity}_{reference}.mp4"))
    assert set(data.packed.left_out) == {"bo_0_s9.mp4"}
    assert "which none is called" in data.packed.left_out["bo_0_s9.mp4"]
    assert "1 clips of another generator are left out (unclear). The first: bo_0_s9.mp4" in caplog.text


def test_an_ambiguous_split_is_never_guessed():
    def named(*keys):
        return ReferenceNames([Record(key, Path(f"{key}.mp4"), 0, "", "", 0.0, 1.0) for key in keys])

    assert split_name("a_b_c.mp4", "{identity}_{reference}.mp4", named("b_c"))[0] == "a"
    with pytest.raises(UnclearError, match="to mean one thing, got 2"):
        split_name("a_b_c.mp4", "{identity}_{reference}.mp4", named("b_c", "c"))
    with pytest.raises(UnclearError, match="to name one clip, got 2 clips of that name"):
        named("wave/1", "bow/1").find("1")
    assert named("wave/1", "bow/1").find("wave_1").key == "wave/1"
    with pytest.raises(UnclearError, match="a name like"):
        split_name("a.mp4", "{identity}_{reference}.mp4", named("a"))


def test_they_take_the_place_of_ours_in_the_same_batches(films, made, unrendered):
    ours = SynthAugDataModule(films, BySubject(), synth=plan(identities=2, backgrounds=1), clip=CLIP,
                              augmentation=None, mixture=BatchMixture(ratio=0.5, balance="classes"),
                              loading=Loading(batch_size=4, num_workers=0))  # fmt: skip
    ours.prepare_data()
    ours.setup("fit")
    foreign = settings(made, pattern="{identity}/{reference}.mp4")
    theirs = module(films, foreign, mixture=BatchMixture(ratio=0.5, balance="classes"))
    assert len(ours.recipes()) == len(theirs.recipes()) == 12
    assert [one.label for one in ours.split.train] == [one.label for one in theirs.split.train]
    assert ours.synthetic_share() == theirs.synthetic_share() == 0.5
    assert ours.order().exposure(50) == theirs.order().exposure(50)
    labels = {recipe.key: recipe.label for recipe in theirs.recipes()}
    for batch in theirs.train_dataloader():
        assert batch["synthetic"].sum() == 2 and batch["video"].shape == (4, 3, 4, 48, 48)
        assert all(labels[key] == int(label) for key, label, kind
                   in zip(batch["key"], batch["label"], batch["synthetic"], strict=True) if kind)  # fmt: skip


def test_processes_and_what_else_lies_there_change_no_clip(films, made, tmp_path):
    foreign = settings(made, pattern="{identity}/{reference}.mp4")
    one, two = (list(module(films, foreign, workers=workers).train_dataloader()) for workers in (0, 2))
    assert all(a["key"] == b["key"] and torch.equal(a["video"], b["video"]) for a, b in zip(one, two, strict=True))
    (tmp_path / "bo").mkdir()
    for film in (made / "bo").iterdir():
        shutil.copy(film, tmp_path / "bo" / film.name)
    alone = module(films, settings(tmp_path, pattern="{identity}/{reference}.mp4")).recipes()
    assert {r.digest for r in alone} == {r.digest for r in module(films, foreign).recipes()
                                         if r.actors[0].identity == "bo"}  # fmt: skip


def test_frames_are_taken_by_seconds_whatever_the_rate(films, made, tmp_path):
    record = films.records[0]
    clips = []
    for fps in (10.0, 25.0):
        root = tmp_path / f"{fps:g}"
        generate(films, record, 0, root / "bo" / "0_s0.mp4", fps=fps)
        data = module(films, settings(root, pattern="{identity}/{reference}.mp4"))
        (recipe,) = data.recipes()
        clips.append(data.packed.render(recipe, 0).float())
        info = probe(root / "bo" / "0_s0.mp4")
        times = [float(recipe.lineage["offset"]) + k / CLIP.fps for k in range(CLIP.num_frames)]
        frames = read_frames(root / "bo" / "0_s0.mp4", [min(round(t * fps - 1e-6), info.num_frames - 1) for t in times],
                             info=info, size=(48, 48))  # fmt: skip
        assert (frames.float() - clips[-1]).abs().mean() < 2
    assert (clips[0] - clips[1]).abs().mean() < 4  # the same instants, but for half a frame


def test_shorter_and_longer_clips_are_counted_and_told(films, made, tmp_path, caplog):
    generate(films, films.records[0], 0, tmp_path / "bo" / "0_s0.mp4", seconds=2.0)
    generate(films, films.records[1], 0, tmp_path / "bo" / "0_s1.mp4")
    data = module(films, settings(tmp_path, pattern="{identity}/{reference}.mp4"))
    assert len(data.recipes()) == 2 and foreign_report(data)["foreign"]["lengths_differ"] == 1
    assert "longer or shorter than their reference by more than 10%. The first: bo/0_s0.mp4" in caplog.text


@pytest.mark.parametrize("spoil", [mirrored, standing])
def test_a_clip_that_does_something_else_is_left_out(films, tmp_path, spoil):
    record = films.records[0]
    generate(films, record, 0, tmp_path / "bo" / "0_s0.mp4")
    generate(films, record, 1, tmp_path / "cy" / "0_s0.mp4", spoil=spoil)
    data = module(films, settings(tmp_path, pattern="{identity}/{reference}.mp4"))
    assert [r.actors[0].identity for r in data.recipes()] == ["bo"]
    assert "within 10% of the person's height" in data.packed.left_out["cy/0_s0.mp4"]
    report = motion_report(data)
    assert report["dropped"] == data.packed.left_out and report["drift"]["bo/0_s0.mp4"] < 0.03
    free = module(films, settings(tmp_path, pattern="{identity}/{reference}.mp4", max_drift=None))
    assert len(free.recipes()) == 2 and foreign_report(free)["foreign_drift"] is None


def test_a_clip_that_is_late_says_by_how_much(films, tmp_path):
    generate(films, films.records[0], 0, tmp_path / "bo" / "0_s0.mp4", spoil=lambda m: late(m, 0.5))
    data = module(films, settings(tmp_path, pattern="{identity}/{reference}.mp4", max_limb=0.05))
    assert re.search(r"It fits best 0\.\d s later", data.packed.left_out["bo/0_s0.mp4"])


def test_what_was_measured_is_not_measured_again(films, made, monkeypatch):
    foreign = settings(made, pattern="{identity}/{reference}.mp4")
    before = module(films, foreign).packed.drifts
    monkeypatch.setattr(Waves, "load", lambda *_: pytest.fail("extracted again"))
    monkeypatch.setattr(type(foreign.detector), "load", lambda *_: pytest.fail("extracted again"))
    assert module(films, foreign).packed.drifts == before


def leaky(films, made, tmp_path, kind):
    """A folder in which one clip leaks; its rows."""
    root = lay_out(made, tmp_path / "leaky", lambda person, name: f"{person}/{name}.mp4")
    rows = rows_of(root, films)
    tested = next(one for one in films.records if one.subject == "s3")
    if kind == "reference":
        rows[0]["reference"] = tested.key
    elif kind == "identity":
        rows[0]["identity"] = "s3"
    else:
        shutil.copy(tested.path, root / rows[0]["file"])
    write_table(root, rows)
    return root, rows[0]["file"]


SAID = {
    "reference": "which is held out",
    "identity": "shows 's3', the name of a held-out subject",
    "copy": "is a copy of the held-out film",
}


@pytest.mark.parametrize("kind", SAID)
def test_a_leak_is_an_error_before_training_or_is_left_out_if_asked(films, made, tmp_path, kind):
    root, name = leaky(films, made, tmp_path, kind)
    with pytest.raises(LeakError, match=rf"got 1 of 12 that are held out.*{SAID[kind]}"):
        module(films, settings(root))
    data = module(films, settings(root, held_out="leave_out"))
    assert len(data.recipes()) == 11 and SAID[kind] in data.packed.left_out[name]
    report = leak_report(data)
    assert report["violations"] == [] and report["checked"]["recipes"] == 11
    assert report["checked"]["identities"] == 2


def test_a_copy_of_a_training_film_is_nobody_s_re_enactment(films, made, tmp_path):
    root = lay_out(made, tmp_path, lambda person, name: f"{person}/{name}.mp4")
    shutil.copy(films.records[0].path, root / "bo" / "0_s0.mp4")
    data = module(films, settings(root, pattern="{identity}/{reference}.mp4"))
    assert "copy of the training film" in data.packed.left_out["bo/0_s0.mp4"] and len(data.recipes()) == 11


class FewShots(BySubject):
    """One training clip of each class; the others are in no part."""

    def split(self, records, classes):
        split = super().split(records, classes)
        return Split(tuple(r for r in split.train if r.subject == "s0"), split.val, split.test)


def test_clips_of_references_outside_the_shots_are_left_out_and_counted(films, made):
    data = module(films, settings(made, pattern="{identity}/{reference}.mp4"), protocol=FewShots())
    assert {r.actors[0].motion for r in data.recipes()} == {"0/s0", "1/s0"} and len(data.recipes()) == 4
    assert foreign_report(data)["foreign"]["left_out"] == {"not in training": 8}


@pytest.mark.parametrize(("changes", "count"), [
    ({"identities": 0}, 0), ({"per_class": 0}, 0), ({"identities": 1}, 6), ({"per_class": 4}, 8), ({"windows": 3}, 36),
    ({"windows": 3, "per_class": 7}, 14),
])  # fmt: skip
def test_counts_are_capped_as_ours_are(films, made, changes, count):
    data = module(films, settings(made, pattern="{identity}/{reference}.mp4", **changes))
    assert len(data.recipes()) == len({r.digest for r in data.recipes()}) == count
    by_reference = [[r.actors[0].motion for r in data.recipes() if r.label == label] for label in (0, 1)]
    for motions in by_reference:  # evenly over references
        uses = [motions.count(key) for key in set(motions)]
        assert not uses or max(uses) - min(uses) <= 1
    if count == 0:
        assert data.synthetic_share() == 0 and foreign_report(data) == {}


def test_nothing_is_looked_at_if_nothing_is_asked_for(films, tmp_path):
    assert module(films, settings(tmp_path / "nowhere", identities=0)).recipes() == []


def test_a_run_s_files_and_preview_say_what_they_are(films, made):
    foreign = settings(made, pattern="{identity}/{reference}.mp4", generator="Wan-Animate", licence="research only",
                       consent="models agreed")  # fmt: skip
    data = module(films, foreign)
    report = foreign_report(data)
    assert (report["generator"], report["foreign_films"], report["foreign_left_out"]) == ("Wan-Animate", 12, 0)
    assert 0 < report["foreign_drift"] < 0.03
    lineage = json.loads(data.recipes()[0].to_json())["lineage"]
    assert (lineage["generator"], lineage["licence"]) == ("Wan-Animate", "research only")
    assert lineage["consent"] == "models agreed" and (made / lineage["file"]).exists()
    rows = make_rows(data, count=3, variants=2)
    assert len(rows) == 3 and all(len(row.strips) == 3 for row in rows)
    assert rows[0].strips[0].title.startswith("reference") and "drift" in rows[0].strips[1].title


def refused(films, root, match, error=ValueError, **changes):
    with pytest.raises(error, match=match):
        module(films, settings(root, **changes))


def test_bad_folders_and_settings_are_answered_in_words(films, made, tmp_path):
    refused(films, tmp_path / "no", "No such folder: synth.root=", FileNotFoundError)
    refused(films, tmp_path, "columns file, reference and identity, give another", FileNotFoundError)
    refused(films, tmp_path, "got none that can be used of 0", pattern="{identity}/{reference}.mp4")
    refused(
        films,
        made,
        "holds? {identity} and {reference} once each".replace("holds?", "to hold"),
        pattern="{reference}.mp4",
    )
    refused(films, made, "or synth.pattern, got both", pattern="{identity}/{reference}.mp4", table="x.csv")
    refused(films, made, "synth.windows to be a whole number of 1", windows=0)
    refused(films, made, "synth.max_drift to be a share", max_drift=-0.1)
    refused(films, made, "one of refuse, leave_out", held_out="maybe")
    with pytest.raises(ValueError, match="Expected synth.root to be the folder of another"):
        settings("")


@pytest.mark.parametrize(("change", "said"), [
    ({"reference": "0/s77"}, "name a clip of the data set, got '0/s77'"),
    ({"file": "bo/absent.mp4"}, "No such file"),
    ({"identity": ""}, "got an empty cell"),
    ({"label": "wave right"}, r"class of its reference 0/s0 \(wave left\), got wave right"),
    ({"start": "3", "end": "1"}, "runs forwards"),
    ({"start": "soon"}, "number of seconds"),
    ({"start": "99"}, "within its 4.00 s, got 99 s"),
])  # fmt: skip
def test_a_row_that_makes_no_sense_is_left_out_in_words(films, made, tmp_path, change, said):
    root = lay_out(made, tmp_path, lambda person, name: f"{person}/{name}.mp4")
    rows = [{"label": "", "start": "", "end": "", **row} for row in rows_of(root, films)]
    rows[0] |= change
    write_table(root, rows)
    data = module(films, settings(root))
    (words,) = data.packed.left_out.values()
    assert len(data.recipes()) == 11
    assert re.search(said, words)


def test_a_broken_film_is_left_out(films, made, tmp_path):
    root = lay_out(made, tmp_path, lambda person, name: f"{person}/{name}.mp4")
    (root / "bo" / "0_s0.mp4").write_bytes(b"no film")
    data = module(films, settings(root, pattern="{identity}/{reference}.mp4"))
    assert list(data.packed.left_out) == ["bo/0_s0.mp4"] and len(data.recipes()) == 11


def test_intervals_of_one_file_are_clips_of_their_own(films, made, tmp_path):
    """Half of a film that re-enacts the second half of its reference."""
    shutil.copytree(made / "bo", tmp_path / "bo")
    row = {"file": "bo/0_s0.mp4", "reference": "0/s0", "identity": "bo"}
    write_table(tmp_path, [{**row, "start": "2.0", "end": "4.0", "reference_start": "2.0"},
                           {**row, "start": "0", "end": "2.0", "reference_start": ""}])  # fmt: skip
    data = module(films, settings(tmp_path, max_drift=None))
    assert len(data.recipes()) == 2 and foreign_report(data)["foreign"]["lengths_differ"] == 1
    second = next(r for r in data.recipes() if r.start >= 2.0)
    assert 0 <= float(second.lineage["offset"]) <= 2.0 - CLIP.seconds


def test_the_choice_depends_on_the_seed_alone(films, made):
    def chosen(seed):
        training = Training(films.records, films.classes, BySubject().split(films.records, films.classes), "subject",
                            ClipFormat(4, 5.0, 48), seed)  # fmt: skip
        foreign = settings(made, pattern="{identity}/{reference}.mp4", per_class=2)
        return [str(row["recipe"]) for row in gather_clips(foreign, training).rows]

    assert chosen(1) == chosen(1)
    assert len({tuple(chosen(seed)) for seed in range(4)}) > 1


def test_a_few_shot_task_is_given_clips_of_its_support_alone(films, made, unrendered):
    by = {record.key: record for record in films.records}
    task = Task((0, 1), (by["0/s0"], by["1/s1"]), (by["0/s2"], by["1/s2"]))
    split = Split(tuple(by[key] for key in ("0/s0", "1/s1", "0/s2")), (), films.records)
    training = Training(films.records, films.classes, split, "subject", CLIP, 0)
    foreign = settings(made, pattern="{identity}/{reference}.mp4", max_drift=None)
    clips = ForeignSupport(foreign, training, per_class=5).render_clips(task, 0)
    assert sorted((clip.label, clip.subject) for clip in clips) == sorted((k, who) for k in (0, 1) for who in PEOPLE)
    assert {clip.recipe.actors[0].motion for clip in clips} == {"0/s0", "1/s1"}
    assert len(ForeignSupport(foreign, training, per_class=1).render_clips(task, 0)) == 2


@pytest.mark.parametrize("kind", ["identity", "copy"])
def test_a_few_shot_task_is_given_nobody_and_no_film_of_its_queries(films, made, tmp_path, kind):
    by = {record.key: record for record in films.records}
    root = lay_out(made, tmp_path, lambda person, name: f"{person}/{name}.mp4")
    rows = rows_of(root, films)
    if kind == "identity":
        rows[0]["identity"] = "s2"
    else:
        shutil.copy(by["0/s2"].path, root / rows[0]["file"])
    write_table(root, rows)
    task = Task((0, 1), (by["0/s0"], by["1/s1"]), (by["0/s2"], by["1/s2"]))
    training = Training(films.records, films.classes, Split(task.support, (), films.records), "subject", CLIP, 0)
    with pytest.raises(LeakError, match="shows the subject 's2'" if kind == "identity" else "a copy of the tested"):
        ForeignSupport(settings(root, max_drift=None), training, per_class=5).render_clips(task, 0)
