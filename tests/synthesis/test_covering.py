"""A hat takes the place of hair while it is on, and of nothing else: held to what is rendered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import CLASSES, BeadPeople, Films, Waves, camera, plan

from synthaug.body.skeleton import JOINT, mean_skeleton
from synthaug.props import Performer, Stage
from synthaug.props.things import Things
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import ClipFormat, Level, Record
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.covering import cover_hair, name_parts
from synthaug.synthesis.ground_truth import JOINTS
from synthaug.synthesis.references import gather

FRAMES, SIDE = 4, 96
HAT = {"wave": [{"kinds": "hat", "carrier": "head", "times": [0.0, 0.5]}]}
"""On in the first half of a performance."""


def grow_hair(person, skeleton):
    """A ball of hair, 14.5 cm about the middle of the skull, on the head; a coarser level has a third of it."""
    rng = np.random.default_rng(0)
    ways = torch.from_numpy(rng.normal(size=(900, 3))).float()
    eyes = skeleton.joints[[JOINT["left_eye_smplhf"], JOINT["right_eye_smplhf"]]].mean(dim=0)
    means = eyes + torch.tensor([0.0, 0.02, -0.07]) + 0.145 * ways / ways.norm(dim=1, keepdim=True)
    ids, weights = (
        torch.full((900, person.joint_ids.shape[1]), JOINT["head"]),
        torch.zeros(900, person.weights.shape[1]),
    )
    weights[:, 0] = 1.0
    hair = {
        "means": means, "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(900, 1), "scales": torch.full((900, 3), 0.012),
        "opacities": torch.full((900,), 0.95), "colors": torch.tensor([[1.0, 0, 0]]).repeat(900, 1),
        "joint_ids": ids.to(person.joint_ids.dtype), "weights": weights,
    }  # fmt: skip
    whole = {name: torch.cat([getattr(person, name), part]) for name, part in hair.items()}
    coarse = {name: torch.cat([getattr(person, name), part[::3]]) for name, part in hair.items()}
    return replace(person, **whole, normals=None, levels=(Level(**coarse),))


@pytest.fixture(scope="module")
def worn():
    """A person with much hair, the view, and the hat, which is on in the first half."""
    skeleton = mean_skeleton()
    motion = Waves().load(Record("wave", Path("wave.mp4"), 0, "", "", 0.0, FRAMES / 10)).motion
    avatar = BeadPeople().load(BeadPeople().sample(1, np.random.default_rng(0))[0])
    view = camera(FRAMES, side=SIDE, distance=1.0)
    view.viewmats[:, 1, 3] = 1.55  # a close-up of the head
    pool = Things(table=HAT, seats=False).assign(CLASSES)
    values = pool.sample(0, [motion], np.random.default_rng(3))
    [hat] = pool.place(values, [Performer(motion, skeleton, torch.linspace(0, 1, FRAMES).double())], Stage(view))
    return grow_hair(avatar.pose(motion), avatar.skeleton), view, hat


def render(people, view, **asked):
    return CpuRenderer().render(people, view, **asked)


def find_hair(rendering):
    return (rendering.rgb[:, 0].int() - rendering.rgb[:, 1].int() > 60).flatten(1).sum(dim=1)


def test_hair_that_comes_through_a_hat_is_gone_while_it_is_on(worn):
    person, view, hat = worn
    assert hat.shown == [True, True, False, False]
    before, after = (render([one, hat.gaussians], view) for one in (person, *cover_hair([person], [hat], view)))
    hair, left = find_hair(before), find_hair(after)
    assert (left[:2] < 0.8 * hair[:2]).all() and (left[:2] > 0.2 * hair[:2]).all(), "what is below the rim stays"
    dome = hat.dome
    T = hat.gaussians.T_world_rest[:2, 0]
    rim = T @ torch.tensor([dome.middle[0], dome.rim + 0.05, dome.middle[2], 1.0])
    rows = (view.Ks[:2] @ (view.viewmats[:2] @ rim[..., None])[:, :3])[..., 0]
    alone = render([hat.gaussians], view)
    for frame in range(2):
        above = int(rows[frame, 1] / rows[frame, 2])
        uncovered = alone.alpha[frame, 0, :above] == 0
        assert (before.alpha[frame, 0, :above][uncovered] > 0).any(), "the hair did come through"
        assert (after.alpha[frame, 0, :above][uncovered] < 30).all(), "above the rim only the hat is left"


def test_frames_without_the_hat_and_the_person_are_as_they_were(worn):
    person, view, hat = worn
    [covered] = cover_hair([person], [hat], view)
    before, after = (render([one, hat.gaussians], view) for one in (person, covered))
    assert (before.rgb[2:].int() - after.rgb[2:].int()).abs().max() <= 1
    assert covered.means is person.means and covered.opacities is person.opacities, "nothing is built anew"
    assert int((covered.joint_ids == JOINTS).any(dim=1).sum()) > 100
    assert int((covered.levels[0].joint_ids == JOINTS).any(dim=1).sum()) > 30, "coarser levels too"
    moved = (covered.joint_ids != person.joint_ids).any(dim=1)
    assert not bool(moved[:-900].any()), "only hair"


def test_without_a_hat_people_come_back_as_they_are(worn):
    person, view, hat = worn
    assert cover_hair([person], [], view) == (person,)
    assert cover_hair([person], [replace(hat, dome=None)], view) == (person,)


def test_hair_under_a_hat_keeps_the_name_of_the_head(worn):
    person, view, hat = worn
    [covered] = cover_hair([person], [hat], view)
    people = [covered, person, hat.gaussians]
    plain = render([person, person, hat.gaussians], view, labels=True).labels
    labels = name_parts(render(people, view, labels=True).labels, people, count=2)
    assert int(labels.max()) == 2 * JOINTS + 1, "two people, and a thing behind them"
    assert (labels[2:] == plain[2:]).float().mean() > 0.999


def test_a_whole_synthesis_covers_hair(tmp_path):
    found = gather(Films(tmp_path).records, Waves())
    pool = Things(table=HAT, seats=False)
    ours = Synthesizer(plan(props=pool).name_classes(CLASSES), found, ClipFormat(4, 5.0, 48), seed=0)
    recipe = ours.sample(0)
    job = ours.stage(recipe)
    assert len(job.placed) == 1 and job.people[0].T_world_rest.shape[1] == JOINTS + 1
    whole = ours.with_people(recipe, replace(job, people=()))
    assert torch.equal(whole.people[0].joint_ids, job.people[0].joint_ids)
    truth = ours.find_truth(recipe, job, ours.render_labelled(job))
    assert int(truth.labels.max()) <= JOINTS
