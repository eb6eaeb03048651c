"""Things in a whole synthesis: off by default, decided by the recipe, rendered with people, and no part of them."""

import json

import numpy as np
import pytest
import torch
from fakes import CLASSES, Films, Sitting, Waves, plan

from synthaug.body.skeleton import JOINT
from synthaug.props.things import Things
from synthaug.structures import Actor, ClipFormat, Recipe
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.ground_truth import JOINTS
from synthaug.synthesis.references import gather

CLIP = ClipFormat(num_frames=4, fps=5.0, size=48)
TABLE = {"wave left": "broom", "wave right": "box"}


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return gather(Films(tmp_path_factory.mktemp("films")).records, Waves())


def synthesizer(references, pool, **changes):
    return Synthesizer(plan(props=pool, **changes).name_classes(CLASSES), references, CLIP, seed=0)


def test_without_things_a_recipe_says_nothing_of_them(references):
    recipe = synthesizer(references, None).sample(0)
    assert recipe.props == {} and "props" not in json.loads(recipe.to_json())
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_the_json_without_things_is_as_it_was_before_there_were_any():
    recipe = Recipe(1, (Actor("a", "b"),), {}, {}, {}, start=0.5, fps=5.0, num_frames=4, size=(48, 48))
    assert recipe.to_json() == (
        '{"actors":[{"identity":"b","mirrored":false,"motion":"a","partner":"","person":0,"share":0.0,"variation":{}}],'
        '"background":{},"camera":{},"fps":5.0,"label":1,"lineage":{},"num_frames":4,"sensor":{},"size":[48,48],'
        '"start":0.5}'
    )


def test_things_have_a_stream_of_their_own(references):
    """With things, all else that chance decides stays as it was."""
    plain, held = synthesizer(references, None), synthesizer(references, Things(table=TABLE))
    for index in range(6):
        with_things = vars(held.sample(index))
        assert with_things.pop("props")
        assert with_things == {name: value for name, value in vars(plain.sample(index)).items() if name != "props"}


def test_a_recipe_with_things_survives_json_and_decides_the_pixels(references):
    ours = synthesizer(references, Things(table=TABLE))
    recipe = ours.sample(1)
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe and again.digest == recipe.digest
    plain = synthesizer(references, None).render(Recipe(**{**vars(recipe), "props": {}})).video
    video = ours.render(recipe).video
    assert torch.equal(synthesizer(references, Things(table=TABLE)).render(again).video, video)
    assert not torch.equal(video, plain)


def test_a_set_without_things_cannot_replay_a_recipe_with_them(references):
    recipe = synthesizer(references, Things(table=TABLE)).sample(1)
    with pytest.raises(ValueError, match="Expected synth.props to have the things of a recipe, got none"):
        synthesizer(references, None).render(recipe)


def test_things_are_part_of_the_picture_and_not_of_the_mask(references):
    ours = synthesizer(references, Things(table=TABLE))
    recipe = next(one for one in map(ours.sample, range(len(ours))) if one.label == 1)
    job = ours.stage(recipe)
    assert len(job.people) == 2 and len(job.things) == 1
    rendering = ours.render_labelled(job)
    truth = ours.find_truth(recipe, job, rendering)
    thing = rendering.labels > JOINTS
    assert bool(thing.any()) and not bool((truth.mask & thing).any())
    assert int(truth.labels.max()) <= JOINTS


def test_things_come_from_the_cache_as_they_were_rendered(references, tmp_path):
    from synthaug.synthesis.caching import RenderCache

    plain = synthesizer(references, Things(table=TABLE))
    cached = synthesizer(references, Things(table=TABLE), cache=RenderCache(tmp_path))
    recipe = plain.sample(1)
    other = Recipe(**{**vars(recipe), "props": {}})
    assert plain.stage(recipe).key != plain.stage(other).key
    expected = plain.render(recipe).video
    assert torch.equal(cached.render(recipe).video, expected)
    assert torch.equal(cached.render(recipe).video, expected)


def test_people_who_are_sent_without_bodies_keep_their_things(references):
    from dataclasses import replace

    ours = synthesizer(references, Things(table=TABLE))
    recipe = ours.sample(1)
    job = ours.stage(recipe)
    whole = ours.with_people(recipe, replace(job, people=()))
    for one, other in zip(whole.people, job.people, strict=True):
        assert torch.equal(one.means, other.means) and torch.equal(one.T_world_rest, other.T_world_rest)


def test_a_mirror_image_holds_with_the_other_hand(references):
    ours = synthesizer(references, Things(table={"wave left": "racket", "wave right": "racket"}, seats=False))
    recipe = ours.sample(0)
    mirrored = Recipe(
        **{**vars(recipe), "actors": (type(recipe.actors[0])(**{**vars(recipe.actors[0]), "mirrored": True}),)}
    )
    hands = []
    for one in (recipe, mirrored):
        placed = ours._stager.place(one)
        [thing] = ours._stager.place_things(one, placed, None)
        wrists = placed.joints[0][:, [JOINT["left_wrist"], JOINT["right_wrist"]]]
        away = (wrists - thing.gaussians.T_world_rest[:, 0, None, :3, 3]).norm(dim=-1).mean(dim=0)
        hands.append((thing.hands, int(away.argmin())))
    assert {hand for hand, _ in hands} == {("left",), ("right",)}
    assert all((hand == ("right",)) == bool(nearer) for hand, nearer in hands)


def test_who_sits_has_a_seat_in_the_picture(tmp_path):
    found = gather(Films(tmp_path).records, Sitting())
    ours = Synthesizer(plan(motion=Sitting(), props=Things()).name_classes(CLASSES), found, CLIP, seed=0)
    recipe = ours.sample(0)
    placed = ours._stager.place(recipe)
    [seat] = ours._stager.place_things(recipe, placed, None)
    pelvis = float(placed.joints[0][:, JOINT["pelvis"], 1].median())
    assert 0.12 < pelvis - seat.top < 0.19, "flesh below the pelvis"
    assert ours._stager._shows_seat({"inner": [{"plate": found.records[0].key}]}), "its own film shows the seat"
    assert not ours._stager._shows_seat({"inner": [{"plate": "elsewhere"}]})


def test_staging_samples_nothing(references, monkeypatch):
    ours = synthesizer(references, Things(table=TABLE))
    recipe = ours.sample(1)
    monkeypatch.setattr(np.random, "default_rng", lambda *_: pytest.fail("staging sampled"))
    ours.stage(recipe)
