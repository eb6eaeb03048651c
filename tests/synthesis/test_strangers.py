"""Strangers act where filmed people do, as long as they do, and in no other classes than those that the prior knows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CLASSES, Films, Pairs, Waves, plan

from synthaug.body.skeleton import joint_positions, mean_skeleton, move_motion
from synthaug.datamodule.guards import check_references
from synthaug.datasets import LeakError, Split
from synthaug.motions.actions import ACTIONS, ActionPrior, perform
from synthaug.motions.procedural.naming import find_action
from synthaug.motions.procedural.style import sample_style
from synthaug.structures import ClipFormat, Motion
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.references import gather
from synthaug.synthesis.strangers import add_strangers, move_beside

NAMES = ("waving", "something else")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return gather(Films(tmp_path_factory.mktemp("films"), subjects=2).records, Waves())


def with_prior(**options):
    return plan(prior=ActionPrior(), **options)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("drink from a bottle", "drink water"),
        ("Drink.Fromcup", "drink water"),
        ("drink water", "drink water"),
        ("Usetelephone", "phone call"),
        ("answer phone", "phone call"),
        ("hand_waving", "hand waving"),
        ("wave", "hand waving"),
        ("Sitdown", "sit down"),
        ("sit down", "sit down"),
        ("read watch", "check time"),
        ("check time (from watch)", "check time"),
        ("touch head (headache)", "touch head"),
        ("Eat.Attable", "eat meal"),
        ("kicking something", "kicking something"),
        ("bow", "bow"),
        ("nod head/bow", "bow"),
        ("eat meal/snack", "eat meal"),
        ("make a phone call/answer phone", "phone call"),
        ("put the palms together", "put palms together"),
        ("point to something with finger", "point to something"),
        ("standing", None),
        ("tight lace", None),
        ("walk apart", None),
        ("drive", None),
        ("", None),
    ],
)
def test_names_mean_actions_as_people_read_them(name, action):
    assert find_action(name, ACTIONS) == action


def test_every_action_is_its_own_name():
    assert [find_action(action, ACTIONS) for action in ACTIONS] == list(ACTIONS)


def test_a_stranger_acts_where_the_filmed_person_did_and_as_long():
    made = perform("hand waving", sample_style(np.random.default_rng(1), "studio"), fps=20.0, seconds=1.2)
    lead = Motion.from_pose(made.pose.float(), made.transl.float(), fps=20.0)
    angle = torch.tensor(0.9)
    R = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1.0, 0], [-angle.sin(), 0, angle.cos()]])
    lead = move_motion(lead, R, torch.tensor([2.0, 0.0, -3.0]))
    other = ActionPrior().perform("waving", fps=20.0, seconds=1.2, rng=np.random.default_rng(5))
    moved = move_beside(lead, other)
    assert (moved.num_frames, moved.fps) == (lead.num_frames, lead.fps)
    ours, theirs = (joint_positions(motion, mean_skeleton())[:, :22].mean(0) for motion in (moved, lead))
    # One arm may be up instead of the other: trunk and legs lie on each other.
    assert (ours - theirs)[:16].norm(dim=-1).max() < 0.2
    assert not torch.allclose(moved.pose, lead.pose, atol=0.1)


def test_strangers_join_the_classes_that_the_prior_knows(found):
    both = add_strangers(found, with_prior(strangers=2), NAMES, seed=3)
    known = {record.key for record in found.records if record.label == 0}
    assert both.strangers == {f"{key}~{number}" for key in known for number in (1, 2)}
    assert {record.key for record in both.records} == both.by_key.keys() == both.strangers | found.by_key.keys()
    for key in both.strangers:
        record = next(one for one in both.records if one.key == key)
        lead = found.by_key[both.clip_of(key)]
        assert record.label == 0 and both.by_key[key].quality is None
        assert both.by_key[key].motion.num_frames == lead.motion.num_frames == len(lead.camera.viewmats)
    # Plates and silhouettes are looked for where filmed people were.
    assert [(record, one.others) for record, one in both.films] == [(record, one.others) for record, one in found.films]
    # The same chance gives the same strangers, another one others, and nobody is like the next.
    again = add_strangers(found, with_prior(strangers=2), NAMES, seed=3)
    other = add_strangers(found, with_prior(strangers=2), NAMES, seed=4)
    poses = {key: both.by_key[key].motion.pose for key in sorted(both.strangers)}
    assert all(torch.equal(again.by_key[key].motion.pose, pose) for key, pose in poses.items())
    assert not any(torch.equal(other.by_key[key].motion.pose, pose) for key, pose in poses.items())
    first, second, *_ = poses.values()
    assert not torch.equal(first, second)
    assert add_strangers(found, with_prior(), NAMES, seed=3) is found


def test_half_of_the_clips_are_the_stranger_s_and_all_are_the_film_s(found):
    synth = with_prior(strangers=1, identities=3, backgrounds=2)
    both = add_strangers(found, synth, NAMES, seed=0)
    synthesizer = Synthesizer(synth, both, ClipFormat(num_frames=4, fps=8.0, size=32), seed=0)
    recipes = [synthesizer.sample(index) for index in range(len(synthesizer))]
    mine = [recipe for recipe in recipes if recipe.label == 0]
    assert sum(recipe.actors[0].motion in both.strangers for recipe in mine) == len(mine) / 2
    assert not any(recipe.actors[0].motion in both.strangers for recipe in recipes if recipe.label == 1)
    training = [record for record in found.records if record.subject == "s0"]
    check_references(both, Split(tuple(found.records), (), ()), "subject")
    with pytest.raises(LeakError):
        check_references(both, Split(tuple(training), (), ()), "subject")


def test_a_film_that_is_named_like_a_stranger_keeps_its_name(found):
    first = found.records[0]
    twin = replace(first, key=f"{first.key}~1")
    both = replace(found, records=(*found.records, twin), by_key=found.by_key | {twin.key: found.by_key[first.key]})
    more = add_strangers(both, with_prior(strangers=1), NAMES, seed=0)
    assert more.by_key[twin.key] is found.by_key[first.key] and twin.key not in more.strangers
    assert len(more.strangers) == sum(record.label == 0 for record in both.records)


def test_pairs_stay_by_themselves(tmp_path):
    pairs = gather(Films(tmp_path, subjects=1).records, Pairs())
    assert not add_strangers(pairs, with_prior(strangers=1), NAMES, seed=0).strangers


def test_what_cannot_be_performed_is_told(found, caplog):
    assert add_strangers(found, with_prior(strangers=1), ("juggle", "knit"), seed=0).by_key == found.by_key
    assert "knows none of the classes juggle, knit" in caplog.text
    with pytest.raises(ValueError, match="Choose synth/prior=actions, or set synth.strangers=0"):
        replace(plan(), strangers=1)
    with pytest.raises(ValueError, match="Expected one of .*, got 'opera'"):
        ActionPrior("opera")
    with pytest.raises(ValueError, match="got 'juggle'"):
        ActionPrior().perform("juggle", fps=10.0, seconds=1.0, rng=np.random.default_rng(0))
    assert len(CLASSES) == len(NAMES)
