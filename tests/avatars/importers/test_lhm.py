import dataclasses

import numpy as np
import pytest
import torch

from synthaug.avatars.importers.files.smplx_body import read_smplx_npz
from synthaug.avatars.importers.lhm import LhmImporter, read_betas
from synthaug.avatars.pack.format import SUFFIX, write_pack
from synthaug.avatars.pack.splats import write_ply
from synthaug.avatars.packs import PackedPerson
from synthaug.testing.avatars import check_avatar


def test_lhm_takes_weights_point_by_point(tmp_path, smplx_file, splats_of):
    body = read_smplx_npz(smplx_file)
    rng = np.random.default_rng(0)
    rows = rng.integers(300, size=600)
    near = body.v_template.numpy()[rows] + 1e-4 * rng.normal(size=(600, 3))
    write_ply(tmp_path / "lhm.ply", dataclasses.replace(splats_of(600), means=near.astype(np.float32)))
    template_file = tmp_path / "points.ply"
    write_ply(template_file, dataclasses.replace(splats_of(600), means=near[::-1].astype(np.float32)))
    plain = LhmImporter(smplx_file).import_person(tmp_path / "lhm.ply", "x")
    ordered = LhmImporter(smplx_file, template=template_file).import_person(tmp_path / "lhm.ply", "x")

    def dense(pack):
        level = pack.levels[0]
        return torch.zeros(600, 55).scatter(1, level.joint_ids.long(), level.weights)

    torch.testing.assert_close(dense(plain), body.lbs_weights[rows].float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(dense(ordered), body.lbs_weights[rows[::-1].copy()].float(), rtol=0, atol=1e-4)
    write_pack(tmp_path / f"x{SUFFIX}", plain)
    check_avatar(PackedPerson(tmp_path / f"x{SUFFIX}"))


@pytest.mark.parametrize("content", ["[0.5, -1]", '{"betas": [0.5, -1], "focal": [1, 1]}'])
def test_lhm_takes_the_shape_of_a_file(tmp_path, smplx_file, content, splats_of):
    near = read_smplx_npz(smplx_file).v_template.numpy().astype(np.float32)
    write_ply(tmp_path / "near.ply", dataclasses.replace(splats_of(300), means=near))
    (tmp_path / "shape.json").write_text(content)
    importer = LhmImporter(smplx_file, betas=tmp_path / "shape.json")
    betas = importer.import_person(tmp_path / "near.ply", "x").extras.betas
    assert betas is not None and betas.tolist() == [0.5, -1]


@pytest.mark.parametrize("content", ["[]", "7", '["a"]', "{}", '{"betas": null}', str([0] * 401)])
def test_a_file_without_a_shape_is_refused(tmp_path, content):
    (tmp_path / "shape.json").write_text(content)
    with pytest.raises(ValueError, match="list of 1 to 400 numbers"):
        read_betas(tmp_path / "shape.json")


def test_lhm_in_another_pose_or_with_another_template_is_refused(tmp_path, smplx_file, splats_of):
    far = dataclasses.replace(splats_of(600), means=(3 + splats_of(600).means).astype(np.float32))
    write_ply(tmp_path / "far.ply", far)
    with pytest.raises(ValueError, match="within 0.25 m of the T-posed body"):
        LhmImporter(smplx_file).import_person(tmp_path / "far.ply", "x")
    near = read_smplx_npz(smplx_file).v_template.numpy().astype(np.float32)
    write_ply(tmp_path / "near.ply", dataclasses.replace(splats_of(300), means=near))
    with pytest.raises(ValueError, match=r"\(300\), got 600"):
        LhmImporter(smplx_file, template=tmp_path / "far.ply").import_person(tmp_path / "near.ply", "x")
