from importlib.resources import as_file, files

import numpy as np
import pytest
import torch

from synthaug.avatars.anny import SEEDS, AnnyPeople, AnnyPerson
from synthaug.avatars.procedural.figure import betas_of, figure, template
from synthaug.avatars.procedural.wardrobe import FAMILIES, sample_person
from synthaug.body.skeleton import JOINT, JOINT_NAMES, mean_skeleton
from synthaug.body.skinning import pose_frame
from synthaug.levels import Pyramid
from synthaug.structures import Motion
from synthaug.testing.avatars import check_avatar, check_avatar_pool

COUNT = 3000
LEVELS = Pyramid(refine=None)


@pytest.fixture(scope="module")
def studio():
    return AnnyPeople(family="studio", gaussians=COUNT, people=SEEDS, levels=LEVELS)


def _still(frames=1):
    return Motion.from_pose(torch.zeros(frames, 55, 3), torch.zeros(frames, 3), fps=30.0)


@pytest.mark.parametrize("identity", ["studio-000000", "studio-000012"])
def test_a_person_is_an_avatar(studio, identity):
    check_avatar(studio.load(identity))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_people_are_an_avatar_pool(family):
    check_avatar_pool(AnnyPeople(family=family, gaussians=COUNT, people=SEEDS, levels=LEVELS))


def test_the_body_file_loads_without_pickles_and_has_unit_weights():
    with as_file(files("synthaug") / "assets" / "anny_body.npz") as path, np.load(path, allow_pickle=False) as body:
        assert path.stat().st_size < 4e6
        np.testing.assert_allclose(body["weights"].sum(1), 1, atol=1e-5)
        assert body["weight_ids"].max() < 55
        assert all(body[name].dtype.kind != "O" for name in body.files)


def test_the_mean_skeleton_is_a_symmetric_t_pose():
    joints = mean_skeleton().joints
    mirrored = joints * torch.tensor([-1.0, 1.0, 1.0])
    for name in JOINT_NAMES:
        other = name.replace("left", "#").replace("right", "left").replace("#", "right")
        torch.testing.assert_close(joints[JOINT[name]], mirrored[JOINT[other]], rtol=0, atol=1e-3)
    arm = [JOINT[f"left_{name}"] for name in ("shoulder", "elbow", "wrist")]
    assert float((joints[arm, 1] - joints[arm[0], 1]).abs().max()) < 1e-3
    assert joints[JOINT["left_wrist"], 0] > 0.5
    assert joints[JOINT["left_foot"], 2] > joints[JOINT["left_ankle"], 2]


def test_the_mean_body_has_the_lengths_of_an_adult():
    # Winter, Biomechanics and Motor Control of Human Movement: shares of a stature of 1.70 m, within 15 %.
    joints, body = template().joints, template()

    def bone(a, b):
        return np.linalg.norm(joints[JOINT[f"left_{a}"]] - joints[JOINT[f"left_{b}"]])

    stature = np.ptp(body.vertices[:, 1])
    assert 1.66 < stature < 1.74
    for a, b, share in (("shoulder", "elbow", 0.17), ("elbow", "wrist", 0.146), ("knee", "ankle", 0.246)):
        assert bone(a, b) == pytest.approx(share * stature, rel=0.15)


def test_zero_coefficients_are_the_mean_adult():
    mean = figure(np.zeros(32, np.float32))
    np.testing.assert_allclose(mean.joints, mean_skeleton().joints.numpy(), atol=1e-5)


def test_taller_phenotypes_are_taller_bodies():
    middle = dict.fromkeys(("gender", "muscle", "weight", "proportions", "cupsize", "firmness"), 0.5)
    middle |= {"age": 0.75, "african": 1 / 3, "asian": 1 / 3}
    sizes = []
    for height in (0.25, 0.4, 0.55):
        betas = np.concatenate([betas_of({**middle, "height": height}), np.zeros(14)]).astype(np.float32)
        sizes.append(np.ptp(figure(betas).vertices[:, 1]))
    assert sizes == sorted(sizes) and sizes[2] - sizes[0] > 0.15


def test_the_identity_pose_is_the_template(studio):
    person = studio.load("studio-000003")
    posed = person.pose(_still())
    torch.testing.assert_close(pose_frame(posed, 0).means, posed.means, rtol=0, atol=1e-5)


def test_a_person_has_as_many_gaussians_as_asked():
    for count in (1500, 8000):
        assert len(AnnyPerson("street", 4, gaussians=count).pose(_still()).means) == count


def test_fewer_gaussians_are_the_same_person_coarser():
    fine, coarse = (AnnyPerson("studio", 5, gaussians=count) for count in (12_000, 4000))
    torch.testing.assert_close(fine.skeleton.joints, coarse.skeleton.joints)
    a, b = fine.pose(_still()), coarse.pose(_still())
    torch.testing.assert_close(a.colors.mean(0), b.colors.mean(0), rtol=0, atol=0.05)
    assert b.scales.mean() > 1.3 * a.scales.mean()
    assert fine.digest != coarse.digest


def test_a_thousand_seeds_are_a_thousand_people():
    people = [sample_person("studio", seed) for seed in range(1000)]
    assert len({(p.betas.tobytes(), p.hair, p.hair_color, p.skin, str(p.colors)) for p in people}) == 1000
    assert len({p.hair for p in people}) == len({h for pool in FAMILIES["studio"].hair.values() for h in pool})
    statures = [np.ptp(figure(p.betas).vertices[:, 1]) for p in people[:60]]
    assert 1.60 < np.mean(statures) < 1.80 and np.std(statures) > 0.05


def test_a_thousand_sampled_names_differ_and_depend_on_the_generator_alone(studio):
    names = studio.sample(1000, np.random.default_rng(0))
    assert len(set(names)) == 1000
    assert names == studio.sample(1000, np.random.default_rng(0))


def test_families_share_no_clothes_and_no_hair():
    a, b = (FAMILIES[name] for name in ("studio", "street"))
    for name in ("tops", "bottoms", "shoes", "patterns", "top_colors", "bottom_colors", "shoe_colors", "hair_colors"):
        assert not set(getattr(a, name)) & set(getattr(b, name)), name
    styles = [{style for pool in family.hair.values() for style in pool} for family in (a, b)]
    assert not styles[0] & styles[1]
    assert a.grey != b.grey


def test_two_seeds_differ_visibly(studio):
    a, b = (studio.load(f"studio-{seed:06d}").pose(_still()) for seed in (1, 2))
    assert float((a.colors.mean(0) - b.colors.mean(0)).abs().max()) > 0.02
    assert float((a.means.amax(0) - b.means.amax(0)).abs().max()) > 0.005


def test_normals_point_outwards(studio):
    posed = studio.load("studio-000001").pose(_still())
    trunk = (posed.means[:, 0].abs() < 0.15) & (posed.means[:, 1].abs() < 0.3)
    away = posed.means[trunk] * torch.tensor([1.0, 0.0, 1.0])
    outward = (posed.normals[trunk] * away).sum(-1) > 0
    assert float(outward.float().mean()) > 0.9


def test_unknown_families_counts_and_names_are_refused(studio):
    with pytest.raises(ValueError, match="one of .*studio.*got 'circus'"):
        AnnyPeople(family="circus", levels=None)
    with pytest.raises(ValueError, match="got 10"):
        AnnyPeople(gaussians=10, levels=None)
    with pytest.raises(KeyError, match="street-000001"):
        studio.load("street-000001")
    with pytest.raises(ValueError, match="at most 1000000 identities"):
        studio.sample(SEEDS + 1, np.random.default_rng(0))


def test_few_people_are_met_again_by_other_seeds():
    few = AnnyPeople(family="studio", gaussians=2000, people=5, levels=LEVELS)
    samples = [few.sample(5, np.random.default_rng(seed)) for seed in range(3)]
    assert {frozenset(people) for people in samples} == {frozenset(f"studio-{seed:06d}" for seed in range(5))}
    with pytest.raises(ValueError, match="at most 5 identities.*got 6"):
        few.sample(6, np.random.default_rng(0))
    with pytest.raises(ValueError, match="Expected people to be 1 to 1000000, got 0"):
        AnnyPeople(family="studio", people=0, levels=None)
