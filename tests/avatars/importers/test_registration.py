import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers.fitting.attire import MODES, load_attire, load_populations
from synthaug.avatars.importers.fitting.registration import fit_body
from synthaug.avatars.importers.fitting.stance import (
    BETAS,
    Cloud,
    Stance,
    apply_step,
    build_skin,
    chain,
    jacobian,
    pose_surface,
    stature,
)
from synthaug.avatars.procedural.dressing import dress
from synthaug.avatars.procedural.figure import figure, points
from synthaug.avatars.procedural.wardrobe import sample_person
from synthaug.body.skeleton import JOINT, Skeleton, forward_kinematics
from synthaug.structures import Motion


def stance(seed=0):
    rng = np.random.default_rng(seed)
    R = Rotation.from_rotvec(0.2 * rng.normal(size=(55, 3))).as_matrix()
    return Stance(R, 0.5 * rng.normal(size=BETAS), rng.normal(size=3), 1.3, np.zeros(MODES))


def test_the_derivative_is_that_of_the_motion():
    """Central differences over every unknown; what is worn turns no normal in the derivative."""
    start, surface = stance(), build_skin(40)
    bare = dataclasses.replace(surface, worn=np.zeros_like(surface.worn), modes=np.zeros_like(surface.modes))
    J = jacobian(start, surface)
    for column in range(J.shape[2]):
        delta = np.zeros(J.shape[2])
        delta[column] = 1e-5
        cloth = 3 * 22 + BETAS <= column < J.shape[2] - 4
        body = surface if cloth else bare
        ahead, behind = (
            pose_surface(apply_step(start, delta), body)[0],
            pose_surface(apply_step(start, -delta), body)[0],
        )
        # The scale also stretches the clothes, which the bare body has none of.
        if column == J.shape[2] - 1:
            continue
        np.testing.assert_allclose((ahead - behind) / 2e-5, J[:, :, column], atol=2e-4)


def test_the_chain_is_forward_kinematics():
    there = stance()
    W, at, rest = chain(there)
    motion = Motion.from_pose(torch.from_numpy(there.pose)[None], torch.zeros(1, 3, dtype=torch.float64), fps=1.0)
    T = forward_kinematics(motion, Skeleton(torch.from_numpy(rest).float()))[0]
    np.testing.assert_allclose(T[:, :3, :3], W, atol=1e-6)
    np.testing.assert_allclose(T[:, :3, 3], at, atol=1e-6)


def test_a_body_is_found_again_whatever_its_scale_and_side():
    """The body in mean clothes, 1,500 points of it: nothing of the fit's model is missing, so little may be lost."""
    truth = stance(3)
    R = np.tile(np.eye(3), (55, 1, 1))
    R[0] = Rotation.from_euler("xy", [np.pi / 2, 0.7]).as_matrix()
    R[JOINT["left_shoulder"]] = Rotation.from_euler("z", -0.7).as_matrix()
    R[JOINT["right_shoulder"]] = Rotation.from_euler("z", 0.9).as_matrix()
    truth = Stance(R, truth.betas, truth.transl, 2.5, np.zeros(MODES))
    places, normals = pose_surface(truth, build_skin(1500))
    found = fit_body(Cloud(places, normals), stature(truth.coefficients))
    error = found.transl + found.scale * chain(found)[1] - truth.transl - truth.scale * chain(truth)[1]
    assert np.linalg.norm(error[:22], axis=1).mean() / truth.scale < 0.012
    assert found.scale == pytest.approx(truth.scale, rel=0.02)


def test_what_strangers_wear_is_what_attire_expects():
    """People of the other family, whose clothes it never saw: most of what they wear is the mean and the modes."""
    worn, count = load_attire(1500), 1500
    spread = points().take(np.arange(count))
    raw, explained = [], []
    for seed in (1, 2):
        person = sample_person("studio", seed)
        patch, _ = dress(person, 4000)
        body = figure(person.betas)
        skin_places, normals = spread.on(body.vertices), spread.on(body.normals)
        outer = patch.means[cKDTree(patch.means).query(skin_places + worn.mean[:, None] * normals)[1]]
        off = np.clip(np.einsum("pi,pi->p", outer - skin_places, normals), -0.02, 0.1)
        sure = worn.spread < 0.02
        root = 1 / np.hypot(worn.spread[sure], 0.003)
        A = np.concatenate([worn.modes[sure] * root[:, None], np.eye(MODES)])
        z = np.linalg.lstsq(A, np.concatenate([(off - worn.mean)[sure] * root, np.zeros(MODES)]), rcond=None)[0]
        raw.append(np.abs(off)[sure].mean())
        explained.append(np.abs(off - worn.mean - worn.modes @ z)[sure].mean())
    assert np.mean(explained) < 0.5 * np.mean(raw)


def test_places_that_were_not_measured_take_after_their_neighbours():
    few, many = load_attire(4000), load_attire(6000)
    np.testing.assert_allclose(many.mean[:4000], few.mean, atol=2e-3)
    assert many.mean[4000:].max() <= few.mean.max() and many.mean[4000:].min() >= few.mean.min()


def test_the_shape_of_a_woman_is_likelier_among_women():
    men, women = load_populations(0.05)
    right = 0
    for seed in range(20):
        person = sample_person("studio", seed)
        costs = [float((d := person.betas[:BETAS] - one.mean) @ one.precision @ d) + one.rarity for one in (men, women)]
        right += (costs[1] < costs[0]) == (person.female == 1)
    assert right >= 18
