import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers.attire import MODES, attire, populations
from synthaug.avatars.importers.importing import Wanted, betas_of, imported
from synthaug.avatars.importers.lhm import import_lhm
from synthaug.avatars.importers.ply import PlyError, Splats, read_places, read_ply, write_ply
from synthaug.avatars.importers.registration import (
    BETAS,
    Cloud,
    Stance,
    chain,
    fit_body,
    jacobian,
    posed,
    skin,
    stature,
    stepped,
)
from synthaug.avatars.importers.scan import Cleaning, import_ply, kept, straightened
from synthaug.avatars.importers.smplx_body import read_smplx_npz
from synthaug.avatars.pack.format import SUFFIX, write_pack
from synthaug.avatars.packs import PackedPerson
from synthaug.avatars.procedural.dressing import dressed
from synthaug.avatars.procedural.figure import figure, points
from synthaug.avatars.procedural.wardrobe import draw_person
from synthaug.body.skeleton import JOINT, Skeleton, forward_kinematics
from synthaug.body.skinning import pose_frame
from synthaug.structures import Motion
from synthaug.testing.avatars import check_avatar
from synthaug.testing.exavatar import write_checkpoint
from synthaug.testing.scans import scanned


def splats_of(count, *, coefficients=0, seed=0):
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        means=rng.normal(size=(count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=rng.uniform(0.01, 0.1, (count, 3)).astype(np.float32),
        opacities=rng.uniform(0.1, 0.99, count).astype(np.float32),
        colors=rng.uniform(0, 1, (count, 3)).astype(np.float32),
        sh=rng.normal(size=(count, coefficients, 3)).astype(np.float32),
    )


@pytest.mark.parametrize("coefficients", [0, 3, 8, 15])
def test_splats_written_and_read_are_the_same(tmp_path, coefficients):
    splats = splats_of(50, coefficients=coefficients)
    write_ply(tmp_path / "x.ply", splats)
    back = read_ply(tmp_path / "x.ply")
    for name in Splats.__dataclass_fields__:
        np.testing.assert_allclose(getattr(back, name), getattr(splats, name), rtol=2e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(read_places(tmp_path / "x.ply"), splats.means)


def test_harmonics_are_stored_channel_by_channel(tmp_path):
    """INRIA's order: all coefficients of red, then of green, then of blue."""
    splats = splats_of(1, coefficients=3)
    write_ply(tmp_path / "x.ply", splats)
    content = (tmp_path / "x.ply").read_bytes()
    values = np.frombuffer(content[content.index(b"end_header\n") + 11 :], "<f4")
    np.testing.assert_allclose(values[9:18], splats.sh[0].T.ravel())


def test_full_opacity_survives_as_nearly_full(tmp_path):
    splats = dataclasses.replace(splats_of(3), opacities=np.ones(3, np.float32))
    write_ply(tmp_path / "x.ply", splats)
    np.testing.assert_allclose(read_ply(tmp_path / "x.ply").opacities, 0.9999, atol=1e-5)


def test_gaussians_that_are_no_numbers_are_left_out(tmp_path):
    splats = splats_of(10)
    splats.means[3, 1], splats.colors[5, 0] = np.nan, np.inf
    write_ply(tmp_path / "x.ply", splats)
    assert len(read_ply(tmp_path / "x.ply").means) == 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: b"", "begins with"),
        (lambda c: b"\x1f\x8b" + c, "SPZ"),
        (lambda c: b"PK" + c, "SOG"),
        (lambda c: c[:-1], "was it cut"),
        (lambda c: c.replace(b"binary_little_endian", b"ascii"), "binary_little_endian was wanted"),
        (lambda c: c.replace(b"element vertex 10", b"element vertex 999999999"), "1 to 4000000"),
        (lambda c: c.replace(b"element vertex 10", b"element vertex -1"), "1 to 4000000"),
        (lambda c: c.replace(b"element vertex 10", b"element chunk 1\nelement vertex 10"), "SuperSplat"),
        (lambda c: c.replace(b"property float rot_3", b"property float rot_9"), "lacks rot_3"),
        (lambda c: c.replace(b"property float nx", b"property list uchar int nx"), "no property of one number"),
        (lambda c: c.replace(b"property float nx", b"property float x"), "of one name"),
        (lambda c: c.replace(b"property float nx", b"property float f_rest_0"), "1 f_rest"),
        (lambda c: c.replace(b"end_header", b"end_heather"), "does not end"),
    ],
)
def test_what_is_no_splat_is_refused_in_words(tmp_path, change, reason):
    write_ply(tmp_path / "x.ply", splats_of(10))
    (tmp_path / "x.ply").write_bytes(change((tmp_path / "x.ply").read_bytes()))
    with pytest.raises(PlyError, match=reason):
        read_ply(tmp_path / "x.ply")


def test_a_thousand_mutated_headers_are_read_or_refused(tmp_path):
    write_ply(tmp_path / "x.ply", splats_of(10))
    content, rng, refused = (tmp_path / "x.ply").read_bytes(), np.random.default_rng(0), 0
    end = content.index(b"end_header") + 11
    for _ in range(1000):
        mutant = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(end))
            if rng.integers(2):
                mutant[place] = int(rng.integers(256))
            else:
                mutant[place : place + int(rng.integers(0, 9))] = rng.choice([b"9", b"0", b"\n", b" ", b"-", b"list "])
        (tmp_path / "mutant.ply").write_bytes(mutant)
        try:
            assert len(read_ply(tmp_path / "mutant.ply").means) < 10**6
        except PlyError:
            refused += 1
    assert refused > 500


def stance(seed=0):
    rng = np.random.default_rng(seed)
    R = Rotation.from_rotvec(0.2 * rng.normal(size=(55, 3))).as_matrix()
    return Stance(R, 0.5 * rng.normal(size=BETAS), rng.normal(size=3), 1.3, np.zeros(MODES))


def test_the_derivative_is_that_of_the_motion():
    """Central differences over every unknown; what is worn turns no normal in the derivative."""
    start, surface = stance(), skin(40)
    bare = dataclasses.replace(surface, worn=np.zeros_like(surface.worn), modes=np.zeros_like(surface.modes))
    J = jacobian(start, surface)
    for column in range(J.shape[2]):
        delta = np.zeros(J.shape[2])
        delta[column] = 1e-5
        cloth = 3 * 22 + BETAS <= column < J.shape[2] - 4
        body = surface if cloth else bare
        ahead, behind = posed(stepped(start, delta), body)[0], posed(stepped(start, -delta), body)[0]
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
    places, normals = posed(truth, skin(1500))
    found = fit_body(Cloud(places, normals), stature(truth.coefficients))
    error = found.transl + found.scale * chain(found)[1] - truth.transl - truth.scale * chain(truth)[1]
    assert np.linalg.norm(error[:22], axis=1).mean() / truth.scale < 0.012
    assert found.scale == pytest.approx(truth.scale, rel=0.02)


def test_what_strangers_wear_is_what_attire_expects():
    """People of the other family, whose clothes it never saw: most of what they wear is the mean and the modes."""
    worn, count = attire(1500), 1500
    spread = points().take(np.arange(count))
    raw, explained = [], []
    for seed in (1, 2):
        person = draw_person("studio", seed)
        patch, _ = dressed(person, 4000)
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
    few, many = attire(4000), attire(6000)
    np.testing.assert_allclose(many.mean[:4000], few.mean, atol=2e-3)
    assert many.mean[4000:].max() <= few.mean.max() and many.mean[4000:].min() >= few.mean.min()


def test_the_shape_of_a_woman_is_likelier_among_women():
    men, women = populations(0.05)
    right = 0
    for seed in range(20):
        person = draw_person("studio", seed)
        costs = [float((d := person.betas[:BETAS] - one.mean) @ one.precision @ d) + one.rarity for one in (men, women)]
        right += (costs[1] < costs[0]) == (person.female == 1)
    assert right >= 18


def test_straightening_with_the_true_stance_gives_back_the_person(tmp_path):
    person, splats, truth, _ = scanned(3, up="z", gaussians=3000)
    surface = skin(20_000)
    level = straightened(splats, truth, surface, posed(truth, surface))
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    away = (level.means - rest.means).norm(dim=1)
    assert float(away.median()) < 0.004 and float(away.quantile(0.95)) < 0.03
    torch.testing.assert_close(level.scales.prod(1).median(), rest.scales.prod(1).median(), rtol=0.1, atol=0)


def test_floaters_and_islands_go_and_the_person_stays():
    _, splats, truth, _ = scanned(5, up="y", gaussians=6000)
    rng = np.random.default_rng(0)
    low, high = splats.means.min(0), splats.means.max(0)
    stray = dataclasses.replace(
        splats.take(np.arange(300)), means=rng.uniform(low - 0.5, high + 0.5, (300, 3)).astype(np.float32)
    )
    island = dataclasses.replace(
        splats.take(np.arange(60)),
        means=(high + truth.scale * (1 + 0.02 * rng.normal(size=(60, 3)))).astype(np.float32),
    )
    parts = {name: np.concatenate([getattr(s, name) for s in (splats, stray, island)]) for name in vars(splats)}
    keep = kept(Splats(**parts), Cleaning())
    assert keep[:6000].mean() > 0.97
    assert keep[6000:6300].mean() < 0.35 and keep[6300:].mean() == 0


def test_a_scan_becomes_an_avatar(tmp_path):
    person, splats, _, height = scanned(1, up="-y", gaussians=4000)
    write_ply(tmp_path / "scan.ply", splats)
    pack = import_ply(tmp_path / "scan.ply", "anna", height=height)
    error = (pack.rig.joints - person.skeleton.joints)[:22].norm(dim=1)
    assert float(error.mean()) < 0.012
    assert pack.about.quality["fit_median_m"] < 0.015 and pack.about.height == height
    write_pack(tmp_path / f"anna{SUFFIX}", pack)
    check_avatar(PackedPerson(tmp_path / f"anna{SUFFIX}"))


def test_an_empty_scan_and_a_wrong_height_are_refused(tmp_path):
    write_ply(tmp_path / "x.ply", splats_of(100))
    with pytest.raises(ValueError, match="once floaters are gone"):
        import_ply(tmp_path / "x.ply", "x", height=1.7)
    with pytest.raises(ValueError, match="height=170"):
        import_ply(tmp_path / "x.ply", "x", height=170.0)


@pytest.fixture(scope="module")
def smplx_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("body")
    network = write_checkpoint(folder, vertices=300, lips=tuple(range(8, 88, 10)))
    layer = {key.removeprefix("smplx_layer."): value.numpy() for key, value in network.items()
             if key.startswith("smplx_layer.")}  # fmt: skip
    shapedirs = np.zeros((300, 3, 400), np.float32)
    np.savez(
        folder / "SMPLX_NEUTRAL.npz", v_template=layer["v_template"], shapedirs=shapedirs, weights=layer["lbs_weights"],
        posedirs=layer["posedirs"].T.reshape(300, 3, 486), J_regressor=layer["J_regressor"], f=layer["faces_tensor"],
        kintree_table=np.stack([layer["parents"].astype(np.uint32)] * 2), hands_meanl=layer["left_hand_mean"],
        hands_meanr=layer["right_hand_mean"],
    )  # fmt: skip
    return folder / "SMPLX_NEUTRAL.npz"


def test_lhm_takes_weights_point_by_point(tmp_path, smplx_file):
    body = read_smplx_npz(smplx_file)
    rng = np.random.default_rng(0)
    rows = rng.integers(300, size=600)
    near = body.v_template.numpy()[rows] + 1e-4 * rng.normal(size=(600, 3))
    write_ply(tmp_path / "lhm.ply", dataclasses.replace(splats_of(600), means=near.astype(np.float32)))
    template_file = tmp_path / "points.ply"
    write_ply(template_file, dataclasses.replace(splats_of(600), means=near[::-1].astype(np.float32)))
    plain = import_lhm(tmp_path / "lhm.ply", "x", body=smplx_file)
    ordered = import_lhm(tmp_path / "lhm.ply", "x", body=smplx_file, template=template_file)

    def dense(pack):
        level = pack.levels[0]
        return torch.zeros(600, 55).scatter(1, level.joint_ids.long(), level.weights)

    torch.testing.assert_close(dense(plain), body.lbs_weights[rows].float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(dense(ordered), body.lbs_weights[rows[::-1].copy()].float(), rtol=0, atol=1e-4)
    write_pack(tmp_path / f"x{SUFFIX}", plain)
    check_avatar(PackedPerson(tmp_path / f"x{SUFFIX}"))


@pytest.mark.parametrize("content", ["[0.5, -1]", '{"betas": [0.5, -1], "focal": [1, 1]}'])
def test_lhm_takes_the_shape_of_a_file(tmp_path, smplx_file, content):
    near = read_smplx_npz(smplx_file).v_template.numpy().astype(np.float32)
    write_ply(tmp_path / "near.ply", dataclasses.replace(splats_of(300), means=near))
    (tmp_path / "shape.json").write_text(content)
    wanted = Wanted("lhm", body=smplx_file, betas=tmp_path / "shape.json", levels=False)
    betas = imported(tmp_path / "near.ply", wanted).extras.betas
    assert betas is not None and betas.tolist() == [0.5, -1]


@pytest.mark.parametrize("content", ["[]", "7", '["a"]', "{}", '{"betas": null}', str([0] * 401)])
def test_a_file_without_a_shape_is_refused(tmp_path, content):
    (tmp_path / "shape.json").write_text(content)
    with pytest.raises(ValueError, match="holds no shape"):
        betas_of(tmp_path / "shape.json")


def test_lhm_in_another_pose_or_with_another_template_is_refused(tmp_path, smplx_file):
    far = dataclasses.replace(splats_of(600), means=(3 + splats_of(600).means).astype(np.float32))
    write_ply(tmp_path / "far.ply", far)
    with pytest.raises(ValueError, match="from the T-posed body"):
        import_lhm(tmp_path / "far.ply", "x", body=smplx_file)
    near = read_smplx_npz(smplx_file).v_template.numpy().astype(np.float32)
    write_ply(tmp_path / "near.ply", dataclasses.replace(splats_of(300), means=near))
    with pytest.raises(ValueError, match="has 600 points"):
        import_lhm(tmp_path / "near.ply", "x", body=smplx_file, template=tmp_path / "far.ply")


def test_a_made_scan_is_the_posed_person_turned_and_scaled():
    """The truth that the tests above compare with."""
    person, splats, truth, _ = scanned(2, up="z", gaussians=2000)
    motion = Motion.from_pose(torch.from_numpy(truth.pose)[None].float(), torch.zeros(1, 3), fps=1.0)
    posed_person = pose_frame(person.pose(motion), 0)
    means = posed_person.means.numpy() * truth.scale + truth.transl
    np.testing.assert_allclose(splats.means, means, atol=1e-4 * truth.scale)
    R = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]]).as_matrix()
    covars = np.einsum("gij,gj,gkj->gik", R, (splats.scales / truth.scale) ** 2, R)
    np.testing.assert_allclose(covars, posed_person.covars.numpy(), atol=1e-6)
