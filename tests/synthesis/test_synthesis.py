import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from fakes import Films, Pairs, Waves, plan

from synthaug.body.blending import middle_of
from synthaug.body.skeleton import JOINT
from synthaug.structures import ClipFormat, Recipe
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.caching import RenderCache
from synthaug.synthesis.references import gather

CLIP = ClipFormat(num_frames=4, fps=5.0, size=48)


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return gather(Films(tmp_path_factory.mktemp("films")).records, Waves())


def synthesizer(references, *, seed=0, **changes):
    return Synthesizer(plan(**changes), references, CLIP, seed=seed)


def test_render_depends_on_recipe_alone(references):
    ours = synthesizer(references)
    recipe = ours.sample(5)
    first = ours.render(recipe).video
    for index in (0, 9, 3):  # whatever was rendered in between
        ours.render(ours.sample(index))
    other = synthesizer(references, seed=77)
    assert torch.equal(ours.render(recipe).video, first)
    assert torch.equal(other.render(Recipe.from_json(recipe.to_json())).video, first)


def test_rendering_samples_nothing(references, monkeypatch):
    ours = synthesizer(references)
    recipe = ours.sample(0)
    expected = ours.render(recipe).video
    before = (np.random.get_state()[1].copy(), torch.get_rng_state())
    monkeypatch.setattr(np.random, "default_rng", lambda *_: pytest.fail("rendering sampled"))
    assert torch.equal(ours.render(recipe).video, expected)
    assert np.array_equal(np.random.get_state()[1], before[0]) and torch.equal(torch.get_rng_state(), before[1])


def test_recipes_depend_on_seed_and_index_alone(references):
    forwards = [synthesizer(references).sample(index).digest for index in range(8)]
    again = synthesizer(references)
    backwards = [again.sample(index).digest for index in reversed(range(8))]
    assert forwards == backwards[::-1]
    assert forwards != [synthesizer(references, seed=1).sample(index).digest for index in range(8)]
    assert len(set(forwards)) == 8


def test_another_generation_is_another_set(references):
    ours = synthesizer(references)
    assert ours.sample(0).digest != ours.sample(0, generation=1).digest


@pytest.mark.parametrize("depth", [False, True])
def test_cached_equals_rendered(references, tmp_path, depth):
    cache = RenderCache(tmp_path / str(depth))
    plain, cached = synthesizer(references), synthesizer(references, cache=cache)
    for index in range(4):
        recipe = plain.sample(index)
        expected = plain.render(recipe).video
        assert torch.equal(cached.render(recipe).video, expected)  # written
        assert torch.equal(cached.render(recipe).video, expected)  # read
    assert cache.stats().entries > 0


def test_the_cache_is_read_and_not_rendered_again(references, tmp_path, monkeypatch):
    ours = synthesizer(references, cache=RenderCache(tmp_path))
    recipe = ours.sample(0)
    expected = ours.render(recipe).video
    monkeypatch.setattr(type(ours.synthesis.renderer), "render", lambda *_, **__: pytest.fail("rendered again"))
    assert torch.equal(ours.render(recipe).video, expected)


def test_backgrounds_are_free_in_the_cache(references, tmp_path):
    cache = RenderCache(tmp_path)
    ours = synthesizer(references, cache=cache)
    recipe = ours.sample(0)
    others = [value for value in (ours.sample(i).background for i in range(16)) if value != recipe.background]
    one, other = ours.render(recipe), ours.render(dataclasses.replace(recipe, background=others[0]))
    assert not torch.equal(one.video, other.video)
    assert cache.stats().entries == 1


@pytest.mark.parametrize(
    ("identities", "backgrounds", "per_class"), [(2, 2, None), (3, 2, 5), (1, 1, 100), (0, 3, None)]
)
def test_the_set_is_references_times_identities_times_backgrounds_capped(
    references, identities, backgrounds, per_class
):
    ours = synthesizer(references, identities=identities, backgrounds=backgrounds, per_class=per_class)
    for label in (0, 1):
        wanted = len(references.of_class(label)) * identities * backgrounds
        wanted = wanted if per_class is None else min(wanted, per_class)
        assert sum(ours.label(index) == label for index in range(len(ours))) == wanted


def test_a_capped_set_takes_references_in_turn(references):
    ours = synthesizer(references, per_class=6)
    used = [ours.sample(index).actors[0].motion for index in range(len(ours)) if ours.label(index) == 0]
    counts = [used.count(key) for key in set(used)]
    assert len(counts) == 4 and max(counts) - min(counts) <= 1


def test_every_combination_appears_once_per_background(references):
    ours = synthesizer(references)
    pairs = [(r.actors[0].motion, r.actors[0].identity) for r in (ours.sample(i) for i in range(len(ours)))]
    assert {pairs.count(pair) for pair in pairs} == {2}


def test_a_recipe_survives_json_to_the_bit(references):
    recipe = synthesizer(references).sample(3)
    line = recipe.to_json()
    assert Recipe.from_json(line).to_json() == line and "\n" not in line
    assert json.loads(line)["lineage"]["subject"].startswith("s")


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"label": 0}', '{"label": 0, "actors": 3, "size": [1, 1]}'])
def test_other_lines_are_no_recipes(line):
    with pytest.raises(ValueError, match="Expected a line of recipes.jsonl as Recipe.to_json writes it"):
        Recipe.from_json(line)


def test_a_foreign_recipe_names_the_motion_that_is_missing(references):
    ours = synthesizer(references)
    recipe = ours.sample(0)
    foreign = dataclasses.replace(recipe, actors=(dataclasses.replace(recipe.actors[0], motion="elsewhere/7"),))
    with pytest.raises(KeyError, match=r"elsewhere/7.*Replay recipes"):
        ours.render(foreign)


def test_short_motions_are_looped_and_counted(tmp_path):
    short = gather(Films(tmp_path, seconds=0.5).records, Waves())
    clip = Synthesizer(plan(), short, CLIP, seed=0)
    made = clip.render(clip.sample(0))
    assert made.video.shape == (4, 3, 48, 48)
    assert made.looped == 1  # 0.8 s asked, 0.5 s there: the fourth frame lies at 0.6 s


def test_unusable_clips_are_dropped_and_counted(tmp_path):
    films = Films(tmp_path, names=("good", "unusable-1"))
    found = gather(films.records, Waves())
    assert set(found.dropped) == {"0/unusable-1", "1/unusable-1"}
    assert "Expected somebody who waves, got nobody" in found.dropped["0/unusable-1"]
    assert not set(found.dropped) & set(found.by_key)


def test_graded_motions_below_the_gate_are_dropped(tmp_path):
    found = gather(Films(tmp_path).records, Waves(), min_quality=0.95)
    assert not found.by_key and all("min_quality=0.95" in reason for reason in found.dropped.values())


def test_motions_are_extracted_once(tmp_path, monkeypatch):
    films = Films(tmp_path / "films", names=("good", "unusable-1"))
    first = gather(films.records, Waves(), cache=tmp_path / "motions")
    monkeypatch.setattr(Waves, "load", lambda *_: pytest.fail("extracted again"))
    again = gather(films.records, Waves(), cache=tmp_path / "motions")
    assert set(again.by_key) == set(first.by_key) and again.dropped == first.dropped
    for key, reference in first.by_key.items():
        assert torch.equal(again.by_key[key].motion.pose, reference.motion.pose)


@pytest.mark.parametrize("wrong", [{"identities": -1}, {"per_class": -1}, {"resample_every": -2}])
def test_impossible_amounts_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Expected synth\.[a-z_]+ to be .*0 or more, got -[12]\."):
        plan(**wrong)


def test_amounts_of_a_wrong_type_are_refused_in_words():
    """In a process of its own: here shapes and types are checked before anything of ours is."""
    code = "import synthaug as sa; sa.default_synthesis(identities='abc')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "Expected synth.identities to be a whole number of 0 or more, got 'abc'" in run.stderr


@pytest.mark.parametrize("wrong", [{"crop": 1.5}, {"mirror": 2.0}, {"blend": -0.1}])
def test_impossible_shares_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Expected synth\.[a-z]+ to be a share from 0 to 1, got"):
        plan(**wrong)


def test_a_clip_shows_the_middle_of_the_action(references):
    for record in references.records:
        assert references.by_key[record.key].motion.duration > CLIP.seconds
    for crop in (0.0, 0.5, 1.0):
        ours = synthesizer(references, crop=crop, identities=3, backgrounds=4)
        for index in range(len(ours)):
            recipe = ours.sample(index)
            middle = middle_of(references.by_key[recipe.actors[0].motion].motion)
            off = abs(recipe.start + CLIP.seconds / 2 - middle)
            assert off <= crop * CLIP.seconds / 2 + 1e-3


def test_mirror_images_count_for_the_class_that_they_show(references):
    ours = Synthesizer(plan(mirror=0.5, identities=4), references, CLIP, seed=0, mirror_labels={0: 1, 1: 0})
    recipes = [ours.sample(index) for index in range(len(ours))]
    assert 0.2 < sum(recipe.actors[0].mirrored for recipe in recipes) / len(recipes) < 0.8
    for index, recipe in enumerate(recipes):
        own = next(record.label for record in references.records if record.key == recipe.actors[0].motion)
        assert recipe.label == ours.label(index) == (1 - own if recipe.actors[0].mirrored else own)
    # A mirrored left-hand wave moves the right arm.
    recipe = next(recipe for recipe in recipes if recipe.actors[0].mirrored and recipe.label == 1)
    moves = ours.stage(recipe).joints[0][:, [JOINT["left_wrist"], JOINT["right_wrist"]]].diff(dim=0).norm(dim=-1)
    assert moves[:, 1].sum() > 5 * moves[:, 0].sum()
    only = Synthesizer(plan(mirror=1.0), references, CLIP, seed=0, mirror_labels={0: 0})
    assert {(only.label(i), only.sample(i).actors[0].mirrored) for i in range(len(only))} == {(0, True), (1, False)}


def test_nothing_is_mirrored_where_handedness_is_not_known(references):
    with pytest.raises(
        ValueError, match=r"Expected synth\.mirror to be 0, got 0\.1: .*does not say which class.*mirrored_classes"
    ):
        synthesizer(references, mirror=0.1)
    with pytest.raises(ValueError, match=r"Expected synth\.mirror to be a share from 0 to 1, got 1\.5"):
        plan(mirror=1.5)


def test_blends_take_a_second_performance_of_the_same_class(references):
    ours = synthesizer(references, blend=1.0, identities=3)
    recipes = [ours.sample(index) for index in range(len(ours))]
    labels = {record.key: record.label for record in references.records}
    partners = [recipe.actors[0] for recipe in recipes if recipe.actors[0].partner]
    assert partners
    for actor in partners:
        assert actor.partner != actor.motion and labels[actor.partner] == labels[actor.motion]
        assert 0.1 <= actor.share <= 0.5
    recipe = next(recipe for recipe in recipes if recipe.actors[0].partner)
    again = Recipe.from_json(recipe.to_json())
    alone = dataclasses.replace(again, actors=(dataclasses.replace(again.actors[0], share=0.0),))
    plainly = dataclasses.replace(again, actors=(dataclasses.replace(again.actors[0], partner=""),))
    assert torch.equal(ours.render(again).video, synthesizer(references, seed=5).render(recipe).video)
    assert torch.equal(ours.render(alone).video, ours.render(plainly).video)
    assert not torch.equal(ours.render(again).video, ours.render(plainly).video)
    long = dataclasses.replace(again, num_frames=30)
    assert ours.stage(long).joints[0].isfinite().all()


def test_variation_blends_and_mirrors_are_off_unless_asked_for(references):
    actors = [recipe.actors[0] for recipe in map(synthesizer(references).sample, range(8))]
    assert not any(actor.mirrored or actor.partner or actor.share for actor in actors)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return gather(Films(tmp_path_factory.mktemp("films")).records, Pairs())


def test_companions_are_other_people_who_perform_in_step(pairs):
    ours = synthesizer(pairs, identities=3, backgrounds=3)
    recipes = [ours.sample(index) for index in range(len(ours))]
    for recipe in recipes:
        lead, companion = recipe.actors
        assert (lead.person, companion.person) == (0, 1) and lead.identity != companion.identity
        assert companion.motion == lead.motion and companion.variation == lead.variation
    assert {recipe.actors[1].identity for recipe in recipes} == set(ours.identities)
    (twins,) = {
        tuple(actor.identity for actor in recipe.actors) for recipe in [synthesizer(pairs, identities=1).sample(0)]
    }
    assert twins[0] == twins[1]


def test_companions_change_nothing_else_in_a_recipe(references, pairs):
    alone, together = synthesizer(references), synthesizer(pairs)
    for index in range(len(alone)):
        one, other = alone.sample(index), together.sample(index)
        assert dataclasses.replace(other, actors=other.actors[:1]) == one


def test_two_people_are_filmed_together(pairs):
    ours = synthesizer(pairs)
    recipe = ours.sample(0)
    alone = [dataclasses.replace(recipe, actors=(actor,)) for actor in recipe.actors]
    covered = [ours.render_people(ours.stage(one)).alpha > 128 for one in (recipe, *alone)]
    both = covered[1] | covered[2]
    assert (covered[0] ^ both).float().mean() < 0.05 * both.float().mean()
    assert covered[0].sum() > 1.5 * covered[1].sum()
    assert torch.equal(ours.render(Recipe.from_json(recipe.to_json())).video, ours.render(recipe).video)


def test_the_camera_turns_about_the_middle_of_all(pairs):
    from synthaug.cameras.orbit import Orbit

    sideways = Orbit(azimuth_deg=(80.0, 80.0), elevation_deg=(0.0, 0.0), distance=(1.0, 1.0), focal=(1.0, 1.0))
    both = [synthesizer(pairs, **change) for change in ({}, {"camera": sideways})]
    jobs = [ours.stage(ours.sample(0)) for ours in both]
    middle = torch.stack([joints[:, 0].mean(0) for joints in jobs[0].joints]).mean(0)
    before, after = (view.camera.viewmats[0, :3, :3] @ middle + view.camera.viewmats[0, :3, 3] for view in jobs)
    assert torch.allclose(before, after, atol=0.02)


def test_mirrored_companions_stay_on_their_side_of_the_mirror(pairs):
    ours = Synthesizer(plan(mirror=1.0, motion=Pairs()), pairs, CLIP, seed=0, mirror_labels={0: 1, 1: 0})
    recipe = ours.sample(0)
    plain = dataclasses.replace(recipe, actors=tuple(dataclasses.replace(a, mirrored=False) for a in recipe.actors))
    shown, before = (ours.stage(one).joints for one in (recipe, plain))
    # The companion stood to the left (+x), and now stands as far to the right; distances are kept.
    assert torch.allclose(shown[1][:, 0, 0] - shown[0][:, 0, 0], before[0][:, 0, 0] - before[1][:, 0, 0], atol=1e-4)
    assert torch.allclose(shown[1][:, 0, 1:], before[1][:, 0, 1:], atol=1e-4)


def test_pairs_are_not_blended(pairs):
    ours = synthesizer(pairs, blend=1.0, identities=3)
    assert not any(actor.partner for index in range(len(ours)) for actor in ours.sample(index).actors)


def test_a_person_whom_the_reference_lacks_is_named(references, pairs):
    recipe = synthesizer(pairs).sample(0)
    with pytest.raises(ValueError, match=r"to have a person number 1 \(from 0\), got 1 people\. Replay"):
        synthesizer(references).render(recipe)
    nobody = dataclasses.replace(recipe, actors=(dataclasses.replace(recipe.actors[0], person=-1),))
    with pytest.raises(ValueError, match=r"to have a person number -1 \(from 0\), got 2 people"):
        synthesizer(pairs).render(nobody)


def test_people_of_one_reference_share_its_time(references):
    reference = next(iter(references.by_key.values()))
    short = dataclasses.replace(reference.motion, **{name: getattr(reference.motion, name)[:-1] for name in (
        "global_orient", "transl", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose",
        "reye_pose", "expression")})  # fmt: skip
    with pytest.raises(ValueError, match="Expected the same .frames, fps. for all people of a reference"):
        dataclasses.replace(reference, companions=(short,))
