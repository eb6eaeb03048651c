"""What is marked as bad is left out, and nothing else changes."""

import json
from dataclasses import replace

import pytest
from fakes import BySubject, Films, Waves, plan

from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.runs.folder import exclusion_report
from synthaug.structures import ClipFormat, Recipe
from synthaug.synthesis.exclusions import Exclusions, read_exclusions
from synthaug.synthesis.references import gather
from synthaug.synthesis.synthesizer import Synthesizer

CLIP = ClipFormat(num_frames=4, fps=10.0, size=48)


def write_list(path, *, motions=(), clips=()):
    lines = [{"motion": key, "class": "wave left"} for key in motions] + [{"clip": name} for name in clips]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return str(path)


@pytest.fixture
def films(tmp_path):
    return Films(tmp_path / "films")


@pytest.fixture
def make(films):
    references = gather(films.records, Waves())

    def build(**changes):
        return Synthesizer(plan(min_shown=0.0, min_shown_half_second=0.0, **changes), references, CLIP, seed=3)

    return build


def recipes_of(synthesizer):
    return [synthesizer.sample(index) for index in range(len(synthesizer))]


def test_nobody_performs_an_excluded_motion_and_all_other_recipes_stay(make, tmp_path):
    """Their digests, hence their pixels: number, chance and order do not move."""
    before = recipes_of(make())
    after = make(exclude=write_list(tmp_path / "bad.jsonl", motions=["0/s1"]))
    kept = [one.digest for one in before if one.actors[0].motion != "0/s1"]
    assert [one.digest for one in recipes_of(after)] == kept
    assert len(kept) < len(before)
    assert after.excluded.motions == {"0/s1"} and after.excluded.slots == len(before) - len(kept)


def test_an_empty_list_changes_nothing(make, tmp_path):
    empty = make(exclude=write_list(tmp_path / "none.jsonl"))
    assert [one.digest for one in recipes_of(empty)] == [one.digest for one in recipes_of(make())]


def test_an_excluded_clip_is_sampled_again_and_the_others_stay(make, tmp_path):
    before = [one.digest for one in recipes_of(make())]
    bad = {before[2], before[5]}
    after = make(exclude=write_list(tmp_path / "bad.jsonl", clips=bad))
    digests = [one.digest for one in recipes_of(after)]
    assert not bad & set(digests)
    assert [place for place, pair in enumerate(zip(before, digests, strict=True)) if pair[0] != pair[1]] == [2, 5]
    assert after.excluded.clips == bad and after.shown == {}
    # Marked again, the clip that came in its place goes as well.
    third = make(exclude=write_list(tmp_path / "worse.jsonl", clips=bad | {digests[2]}))
    assert recipes_of(third)[2].digest not in {before[2], digests[2]}


def test_an_excluded_clip_is_left_out_where_no_other_recipe_is_found(make, tmp_path):
    before = recipes_of(make(max_tries=1))
    path = write_list(tmp_path / "bad.jsonl", clips=[before[0].digest])
    after = make(max_tries=1, exclude=path)
    assert [one.digest for one in recipes_of(after)] == [one.digest for one in before[1:]]
    assert after.shown[before[0].label].left_out == 1


def test_a_cap_is_filled_with_clips_that_it_had_left_out(make, tmp_path):
    before = recipes_of(make(per_class=6))
    after = recipes_of(make(per_class=6, exclude=write_list(tmp_path / "bad.jsonl", motions=["0/s0"])))
    assert [sum(one.label == label for one in after) for label in (0, 1)] == [6, 6]
    assert not any(one.actors[0].motion == "0/s0" for one in after)
    kept = {one.digest for one in before if one.actors[0].motion != "0/s0"}
    assert kept <= {one.digest for one in after}
    assert len({one.digest for one in after}) == 12


def test_an_excluded_motion_is_no_partner(make, tmp_path):
    before = recipes_of(make(blend=1.0))
    partner = next(one.actors[0].partner for one in before if one.actors[0].partner)
    after = recipes_of(make(blend=1.0, exclude=write_list(tmp_path / "bad.jsonl", motions=[partner])))
    assert not any(partner in (actor.motion, actor.partner) for one in after for actor in one.actors)
    touched = {one.lineage["index"] for one in before if partner in (one.actors[0].motion, one.actors[0].partner)}
    kept = {one.digest for one in before if one.lineage["index"] not in touched}
    assert kept <= {one.digest for one in after}


def test_strangers_at_the_place_of_an_excluded_motion_do_not_perform(make, tmp_path):
    base = make()
    found = base.references
    record = found.records[0]
    twin = replace(record, key=f"{record.key}~1")
    both = replace(
        found, records=(*found.records, twin), by_key={**found.by_key, twin.key: found.by_key[record.key]},
        clips={twin.key: record.key}, strangers=frozenset({twin.key}),
    )  # fmt: skip
    synth = plan(exclude=write_list(tmp_path / "bad.jsonl", motions=[record.key]), min_shown=0.0)
    after = Synthesizer(synth, both, CLIP, seed=0)
    assert after.excluded.motions == {record.key, twin.key}
    assert both.place_of(twin.key) == record.key and both.place_of(record.key) == record.key


def test_sets_too_large_to_judge_leave_clips_out_too(make, tmp_path, monkeypatch):
    monkeypatch.setattr("synthaug.synthesis.recipes.MAX_JUDGED", 3)
    before = [one.digest for one in recipes_of(make())]
    after = make(exclude=write_list(tmp_path / "bad.jsonl", clips=before[:1]))
    digests = [one.digest for one in recipes_of(after)]
    assert digests[0] != before[0] and digests[1:] == before[1:]
    none_left = make(max_tries=1, exclude=str(tmp_path / "bad.jsonl"))
    with pytest.raises(ValueError, match="Raise synth.max_tries, or exclude the motion"):
        none_left.sample(0)


def test_sets_that_are_sampled_anew_leave_clips_out_too(make, tmp_path):
    base = make(resample_every=1)
    bad = base.sample(1, generation=2).digest
    after = make(resample_every=1, exclude=write_list(tmp_path / "bad.jsonl", clips=[bad]))
    assert after.sample(1, generation=2).digest != bad
    assert after.sample(2, generation=2).digest == base.sample(2, generation=2).digest


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"drink/p01\n", "line 1, which is not JSON"),
        (b'{"motion": "a"}\n\n["motion"]\n', "in line 3"),
        (b'{"motion": "a", "clip": "b"}', "in line 1"),
        (b'{"motoin": "a"}', "in line 1"),
        (b'{"note": "bad"}', "in line 1"),
        (b'{"motion": 7}', "a motion that is no name in line 1"),
        (b'{"motion": ""}', "a motion that is no name in line 1"),
        (b'{"clip": "xyz"}', "not 32 hexadecimal digits"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'{"motion": "a', "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_damaged_list_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_exclusions(path)
    assert "synthaug gallery" in str(error.value)
    with pytest.raises(ValueError, match="Correct it"):
        plan(exclude=str(path))


def test_a_list_that_is_not_there_is_told_before_anything_is_done(tmp_path):
    with pytest.raises(FileNotFoundError, match="Correct synth.exclude, or leave it out"):
        plan(exclude=str(tmp_path / "none.jsonl"))
    with pytest.raises(ValueError, match="Expected synth.exclude to be null or the name of a file"):
        plan(exclude="")


def test_names_are_the_same_in_every_form_of_unicode(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('\ufeff{"motion": "cafe\u0301/1"}\r\n{"clip": "synthetic/' + "0" * 32 + '"}\r\n', "utf-8")
    assert read_exclusions(path) == Exclusions(frozenset({"caf\u00e9/1"}), frozenset({"0" * 32}))
    assert Exclusions(frozenset({"caf\u00e9/1", "b#2", "b~1", "b#3~1", "c"})).find_unknown(["cafe\u0301/1", "b"]) == [
        "c"
    ]


@pytest.fixture
def data_of(films):
    def build(**changes):
        module = SynthAugDataModule(
            films, BySubject(), synth=plan(min_shown=0.0, min_shown_half_second=0.0, **changes), clip=CLIP,
            loading=Loading(num_workers=0), augmentation=None,
        )  # fmt: skip
        module.prepare_data()
        module.setup()
        return module

    return build


def test_what_was_excluded_is_counted(data_of, tmp_path):
    base = data_of()
    assert exclusion_report(base) == {}
    clip = next(one for one in base.recipes() if one.actors[0].motion == "1/s0")
    # 0/s3 is a test clip: no mistake, one list serves all splits.
    path = write_list(tmp_path / "bad.jsonl", motions=["0/s1", "0/s3"], clips=[clip.digest, "0" * 32])
    assert exclusion_report(data_of(exclude=path)) == {
        "motions": 1, "clips_of_these": 4, "clips": 1, "motions_unknown": 0, "clips_not_met": 1,
    }  # fmt: skip


def test_names_that_match_nothing_are_told(data_of, tmp_path, caplog):
    with pytest.raises(ValueError, match="to name motions of this data set"):
        data_of(exclude=write_list(tmp_path / "other.jsonl", motions=["S001/A001"]))
    module = data_of(exclude=write_list(tmp_path / "some.jsonl", motions=["S001/A001", "0/s1"]))
    assert "1 of the 2 motions of synth.exclude" in caplog.text and "'S001/A001'" in caplog.text
    assert exclusion_report(module)["motions_unknown"] == 1


def test_the_sensor_sees_the_same_trials_with_a_list(data_of, tmp_path, monkeypatch):
    """Or a list would change the look of every clip that stays."""
    from synthaug.synthesis.preparing import render_trials

    monkeypatch.setattr("synthaug.synthesis.preparing.TRIALS", 4)
    path = write_list(tmp_path / "bad.jsonl", motions=["0/s1"])
    without, with_list = (data_of(exclude=given).synthesizer for given in (None, path))
    trials = [render_trials(one.synthesis, one.references, CLIP, seed=0) for one in (without, with_list)]
    assert len(trials[0]) == len(trials[1]) > 0
    assert all((one.video == other.video).all() for one, other in zip(*trials, strict=True))


def test_sampling_without_a_list_computes_no_digest(make, monkeypatch):
    """Digests of a million recipes take minutes."""
    synthesizer = make()
    monkeypatch.setattr(Recipe, "digest", property(lambda self: pytest.fail("a digest was computed")))
    assert recipes_of(synthesizer)
