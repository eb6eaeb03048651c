import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers.fitting.stance import build_skin, pose_surface
from synthaug.avatars.importers.ply import Cleaning, PlyImporter, mask_person, to_t_pose
from synthaug.avatars.pack.format import SUFFIX, write_pack
from synthaug.avatars.pack.splats import Splats, write_ply
from synthaug.avatars.packs import PackedPerson
from synthaug.body.skinning import pose_frame
from synthaug.structures import Motion
from synthaug.testing.avatars import check_avatar
from synthaug.testing.scans import scan_person


def test_straightening_with_the_true_stance_gives_back_the_person(tmp_path):
    person, splats, truth, _ = scan_person(3, up="z", gaussians=3000)
    surface = build_skin(20_000)
    level = to_t_pose(splats, truth, surface, pose_surface(truth, surface))
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    away = (level.means - rest.means).norm(dim=1)
    assert float(away.median()) < 0.004 and float(away.quantile(0.95)) < 0.03
    torch.testing.assert_close(level.scales.prod(1).median(), rest.scales.prod(1).median(), rtol=0.1, atol=0)


def test_floaters_and_islands_go_and_the_person_stays():
    _, splats, truth, _ = scan_person(5, up="y", gaussians=6000)
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
    keep = mask_person(Splats(**parts), Cleaning())
    assert keep[:6000].mean() > 0.97
    assert keep[6000:6300].mean() < 0.35 and keep[6300:].mean() == 0


def test_a_scan_becomes_an_avatar(tmp_path):
    person, splats, _, height = scan_person(1, up="-y", gaussians=4000)
    write_ply(tmp_path / "scan.ply", splats)
    pack = PlyImporter(height=height).import_person(tmp_path / "scan.ply", "anna")
    error = (pack.rig.joints - person.skeleton.joints)[:22].norm(dim=1)
    assert float(error.mean()) < 0.012
    assert pack.about.quality["fit_median_m"] < 0.015 and pack.about.height == height
    write_pack(tmp_path / f"anna{SUFFIX}", pack)
    check_avatar(PackedPerson(tmp_path / f"anna{SUFFIX}"))


@pytest.mark.parametrize("dialect", ["linear", "discs"])
def test_scans_in_other_dialects_become_the_same_avatar(tmp_path, dialect):
    person, splats, _, height = scan_person(1, up="y", gaussians=4000)
    order = splats.scales.argsort(1)[:, ::-1]
    R = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]]).as_matrix()
    R = np.take_along_axis(R, order[:, None, :], axis=2)
    R[np.linalg.det(R) < 0, :, 2] *= -1
    discs = dataclasses.replace(
        splats,
        scales=np.take_along_axis(splats.scales, order, axis=1),
        quats=Rotation.from_matrix(R).as_quat()[:, [3, 0, 1, 2]].astype(np.float32),
    )
    write_ply(tmp_path / "scan.ply", discs)
    names = ["opacity", *(f"scale_{i}" for i in range(3))]
    content = (tmp_path / "scan.ply").read_bytes()
    start = content.index(b"end_header\n") + 11
    fields = [line.split()[2].decode() for line in content[:start].splitlines() if line.startswith(b"property")]
    table = np.frombuffer(content[start:], "<f4").reshape(len(splats.means), -1).copy()
    if dialect == "linear":
        table[:, [fields.index(name) for name in names]] = np.column_stack([discs.opacities, discs.scales])
        header = content[:start]
    else:
        table = np.delete(table, fields.index("scale_2"), axis=1)
        header = content[:start].replace(b"property float scale_2\n", b"")
    (tmp_path / "dialect.ply").write_bytes(header + table.tobytes())
    importer = PlyImporter(height=height)
    right, found = (importer.import_person(tmp_path / f"{name}.ply", "x").levels[0] for name in ("scan", "dialect"))
    assert abs(len(found.means) / len(right.means) - 1) < 0.02
    sizes = [level.scales.sort(dim=1).values[:, 1:].median(dim=0).values for level in (found, right)]
    torch.testing.assert_close(sizes[0], sizes[1], rtol=0.05, atol=0)
    assert float(found.opacities.median()) == pytest.approx(float(right.opacities.median()), abs=0.01)


def test_an_empty_scan_and_a_wrong_height_are_refused(tmp_path, splats_of):
    write_ply(tmp_path / "x.ply", splats_of(100))
    with pytest.raises(ValueError, match="100 of 100 after removing floaters|at least 500 Gaussians"):
        PlyImporter(height=1.7).import_person(tmp_path / "x.ply", "x")
    with pytest.raises(ValueError, match="got 170.0"):
        PlyImporter(height=170.0).import_person(tmp_path / "x.ply", "x")


def test_a_made_scan_is_the_posed_person_turned_and_scaled():
    """The truth that the tests above compare with."""
    person, splats, truth, _ = scan_person(2, up="z", gaussians=2000)
    motion = Motion.from_pose(torch.from_numpy(truth.pose)[None].float(), torch.zeros(1, 3), fps=1.0)
    posed_person = pose_frame(person.pose(motion), 0)
    means = posed_person.means.numpy() * truth.scale + truth.transl
    np.testing.assert_allclose(splats.means, means, atol=1e-4 * truth.scale)
    R = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]]).as_matrix()
    covars = np.einsum("gij,gj,gkj->gik", R, (splats.scales / truth.scale) ** 2, R)
    np.testing.assert_allclose(covars, posed_person.covars.numpy(), atol=1e-6)
