import dataclasses
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from synthaug.avatars.importers.exavatar import ExAvatarImporter
from synthaug.avatars.importers.files.checkpoints import CheckpointError, content_digest, read_tensors
from synthaug.avatars.importers.files.smplx_body import LIP_RING, sparse_weights, subdivided, with_cavity
from synthaug.avatars.pack.exporting import pose_pack
from synthaug.avatars.pack.format import SUFFIX, write_pack
from synthaug.avatars.packs import PackedPerson
from synthaug.body.skinning import pose_frame
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.torch import TorchRenderer
from synthaug.structures import Camera, Motion
from synthaug.testing.avatars import check_avatar
from synthaug.testing.exavatar import _egg, animate, smplx, write_checkpoint

LIPS = tuple(range(8, 88, 10))
SIZES = {"root_pose": (3,), "body_pose": (21, 3), "jaw_pose": (3,), "leye_pose": (3,), "reye_pose": (3,),
         "lhand_pose": (15, 3), "rhand_pose": (15, 3), "expr": (50,), "trans": (3,)}  # fmt: skip


@pytest.fixture(scope="module", params=[222, 420])
def made(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp(f"exavatar{request.param}")
    network = write_checkpoint(folder, vertices=300, lips=LIPS, inputs=request.param, seed=request.param)
    return folder, network


@pytest.fixture(scope="module")
def network(made):
    """Without the large tables, for being written again and again."""
    return {key: value for key, value in made[1].items() if "pose_dirs" not in key and "expr_dirs" not in key}


def importer(folder, **changes):
    return dataclasses.replace(ExAvatarImporter(identity=folder, lips=LIPS), **changes)


def frame_of(seed, *, hands=0.4):
    rng = np.random.default_rng(seed)
    frame = {name: 0.4 * rng.standard_normal(size) for name, size in SIZES.items()}
    return {name: value * (hands / 0.4 if "hand" in name else 1) for name, value in frame.items()}


def ours(pack, network, folder, frame):
    """The pack's means in the frame's pose, with the conversions that CONVENTIONS.md states."""
    import json

    layer = {key.removeprefix("smplx_layer."): value.double().numpy() for key, value in network.items()
             if key.startswith("smplx_layer.")}  # fmt: skip
    offset = network["human_gaussian.joint_offset"].double().numpy().copy()
    offset[0] = 0
    face = np.array(json.loads((folder / "face_offset.json").read_text()))
    betas = network["human_gaussian.shape_param"].double().numpy()
    root = smplx(layer, betas, face, offset, np.zeros((55, 3)))[2][0]
    pose = np.concatenate([frame[name].reshape(-1, 3) for name in SIZES if name not in ("expr", "trans")])
    pose[25:] += np.concatenate([layer["left_hand_mean"], layer["right_hand_mean"]]).reshape(30, 3)
    motion = Motion.from_pose(
        torch.tensor(pose)[None].float(), torch.tensor(frame["trans"] + root)[None].float(), fps=1.0
    )
    motion = dataclasses.replace(motion, expression=torch.tensor(frame["expr"])[None].float())
    posed = pose_frame(pose_pack(pack, motion, 0), 0)
    return posed.means.double().numpy(), animate(network, face, frame, LIPS)


def test_posed_means_equal_the_transcription(made):
    folder, network = made
    pack = importer(folder).import_person(folder / "snapshot_4.pth", "x")
    for seed in range(3):
        mine, truth = ours(pack, network, folder, frame_of(seed))
        assert np.abs(mine - truth).max() < 2e-6


def test_expressions_move_the_face_and_nothing_else(made):
    folder, network = made
    pack = importer(folder).import_person(folder / "snapshot_4.pth", "x")
    face = torch.nonzero(network["human_gaussian.is_face_expr"])[:, 0]
    rows, dirs = pack.extras.expression_rows, pack.extras.expression_dirs
    assert 0 < len(rows) < len(pack.levels[0].means) and set(rows.tolist()) <= set(face.tolist())
    assert dirs.shape == (len(rows), 3, 50)
    torch.testing.assert_close(dirs, network["human_gaussian.expr_dirs"][rows.long()])


def test_both_rules_for_hands_agree_at_the_mean_hand_and_nowhere_else(made):
    folder, network = made
    pack = importer(folder, hands="composed").import_person(folder / "snapshot_4.pth", "x")
    mine, truth = ours(pack, network, folder, frame_of(0, hands=0.0))
    assert np.abs(mine - truth).max() < 2e-6
    mine, truth = ours(pack, network, folder, frame_of(0))
    assert np.abs(mine - truth).max() > 1e-3


def test_the_pack_is_an_avatar_and_renders(made, tmp_path):
    folder, _ = made
    write_pack(tmp_path / f"x{SUFFIX}", importer(folder).import_person(folder / "snapshot_4.pth", "x"))
    person = PackedPerson(tmp_path / f"x{SUFFIX}")
    check_avatar(person)
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3.0], [0, 0, 0, 1]])[None]
    camera = Camera(viewmat, torch.tensor([[[50.0, 0, 24], [0, 50, 24], [0, 0, 1]]]), 48, 48)
    gaussians = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    renderings = [renderer.render((gaussians,), camera) for renderer in (TorchRenderer(), CpuRenderer())]
    assert int(renderings[0].alpha.max()) > 200
    assert int((renderings[0].rgb.int() - renderings[1].rgb.int()).abs().max()) <= 2


def test_what_was_assumed_and_measured_is_in_the_pack(made):
    folder, _ = made
    pack = importer(folder).import_person(folder / "snapshot_4.pth", "x")
    assert pack.about.quality["skinning_difference"] < 1e-6 and pack.about.quality["encoding_difference_m"] < 1e-5
    assert pack.about.provenance.notes == () and "SMPL-X" in pack.about.licence.name
    bare = importer(None).import_person(folder / "snapshot_4.pth", "x")
    assert any("face_offset.json" in note for note in bare.about.provenance.notes)
    assert bare.about.provenance.digest == content_digest(folder / "snapshot_4.pth")


def test_counts_of_the_real_topology():
    """10,475 vertices and 20,914 faces with the mouth closed: 41,866, then 167,390 vertices and 334,624 faces."""
    _, faces = _egg(10_475, LIP_RING, torch.Generator().manual_seed(0))
    assert len(faces) == 20_908
    closed = with_cavity(faces, LIP_RING)
    once, _ = subdivided(closed, 10_475, 1)
    up, fine = subdivided(closed, 10_475, 2)
    assert once.shape[0] == 41_866 and up.shape[0] == 167_390 and len(fine) == 334_624
    assert abs(up[:10_475] - up[:10_475].multiply(up[:10_475] > 0.99)).sum() == 0
    np.testing.assert_allclose(np.asarray(up.sum(1)).ravel(), 1)
    assert int(np.diff(up.indptr).max()) <= 4


def test_few_joints_are_kept_where_few_matter():
    dense = torch.zeros(3, 55, dtype=torch.float64)
    dense[:, 3], dense[:, 7], dense[2, 9] = 0.5, 0.5, 1e-9
    ids, weights = sparse_weights(dense)
    assert ids.shape == (3, 2) and torch.equal(weights.sum(1), torch.ones(3, dtype=torch.float64))


def save(folder, network):
    folder.mkdir(exist_ok=True)
    torch.save({"epoch": 4, "network": network, "optimizer": {}}, folder / "snapshot_4.pth")
    return folder / "snapshot_4.pth"


def without(network, *keys):
    return {key: value for key, value in network.items() if not key.endswith(keys)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda n: without(n, "triplane_face"), "lacks human_gaussian.triplane_face"),
        (lambda n: without(n, "is_face"), "lacks human_gaussian.is_face"),
        (lambda n: {**n, "human_gaussian.payload": torch.zeros(3)}, "not ExAvatar's: payload"),
        (lambda n: {**n, "elsewhere": torch.zeros(3)}, "not ExAvatar's: elsewhere"),
        (lambda n: {**n, "human_gaussian.shape_param": torch.zeros(10)}, r"shape \(10,\) instead of \(100,\)"),
        (lambda n: {**n, "human_gaussian.triplane": torch.full((3, 32, 128, 128), torch.nan)}, "not finite"),
        (lambda n: {**n, "human_gaussian.geo_offset_net.0.weight": torch.zeros(128, 300)}, "takes 300 inputs"),
        (
            lambda n: {**n, "human_gaussian.triplane": torch.zeros(1).expand(10**6, 10**6, 10**6, 1)},
            r"instead of \(3, 32",
        ),
        (lambda n: {**n, "human_gaussian.smplx_layer.v_template": torch.zeros(1).expand(10**9, 3)}, "vertices"),
        (lambda n: {**n, "human_gaussian.smplx_layer.J_regressor": torch.zeros(55, 7)}, "J_regressor has shape"),
        (lambda n: {**n, "human_gaussian.skinning_weight": n["human_gaussian.skinning_weight"].flip(0)}, "scrambled"),
        (lambda n: {"scene_gaussian.mean": torch.zeros(3)}, "no key begins with"),
        (lambda n: {**n, "human_gaussian.triplane": 3}, "is not a tensor"),
    ],
)
def test_wrong_tensors_are_refused_in_words(network, tmp_path, made, change, reason):
    path = save(tmp_path, change(network))
    with pytest.raises(CheckpointError, match=reason):
        importer(made[0]).import_person(path, "x")


def test_unknown_tensors_are_left_out_when_that_was_asked_for(network, tmp_path, made):
    path = save(tmp_path, {**network, "human_gaussian.payload": torch.zeros(3)})
    pack = importer(made[0], ignore_unknown=True).import_person(path, "x")
    assert any("payload" in note for note in pack.about.provenance.notes)


def test_older_files_are_completed_from_the_users_body(network, tmp_path, made):
    folder, _ = made
    layer = {key.removeprefix("smplx_layer."): value.numpy() for key, value in network.items()
             if key.startswith("smplx_layer.")}  # fmt: skip
    shapedirs = np.zeros((300, 3, 400), np.float32)
    shapedirs[:, :, :100] = layer["shapedirs"]
    np.savez(
        tmp_path / "SMPLX_MALE.npz", v_template=layer["v_template"], shapedirs=shapedirs, weights=layer["lbs_weights"],
        posedirs=layer["posedirs"].T.reshape(300, 3, 486), J_regressor=layer["J_regressor"], f=layer["faces_tensor"],
        kintree_table=np.stack([layer["parents"].astype(np.uint32)] * 2), hands_meanl=layer["left_hand_mean"],
        hands_meanr=layer["right_hand_mean"],
    )  # fmt: skip
    bare = {key: value for key, value in without(network, "skinning_weight", "pos_enc_mesh").items()
            if "smplx_layer" not in key}  # fmt: skip
    path = save(tmp_path, bare)
    with pytest.raises(CheckpointError, match="give your own SMPLX_MALE.npz"):
        importer(folder).import_person(path, "x")
    whole = importer(folder).import_person(folder / "snapshot_4.pth", "x")
    pack = importer(folder, body=tmp_path / "SMPLX_MALE.npz").import_person(path, "x")
    assert len(pack.about.provenance.notes) == 4 and pack.extras.expression_dirs is None
    torch.testing.assert_close(pack.levels[0].means, whole.levels[0].means, rtol=0, atol=1e-5)


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "it ran".replace(" ", "-")
    torch.save({"network": {"human_gaussian.x": Attack(marker)}}, tmp_path / "zipped.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"network": Attack(marker)}))
    torch.save({"network": Attack(marker)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("zipped", "bare", "old"):
        with pytest.raises(CheckpointError, match="No code in it was run"):
            read_tensors(tmp_path / f"{name}.pth")
    with pytest.raises(CheckpointError, match=r"calls 'posix.system'"):
        read_tensors(tmp_path / "zipped.pth")
    assert not marker.exists()


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    index = pickle.dumps({"network": {}}, protocol=2)
    with zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", index)
        archive.writestr("a/data/0", bytes(50_000_000))
    with pytest.raises(CheckpointError, match="may be a bomb"):
        read_tensors(tmp_path / "packed.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth", "w") as archive:
        archive.writestr("a/data.pkl", index)
        archive.writestr("a/data/0", bytes(5000))
    content = bytearray((tmp_path / "plain.pth").read_bytes())
    # The directory's entry of the second member claims four gigabytes.
    place = content.rfind(b"PK\x01\x02")
    content[place + 20 : place + 28] = struct.pack("<II", 4_000_000_000, 4_000_000_000)
    (tmp_path / "claims.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="claim more bytes"):
        read_tensors(tmp_path / "claims.pth")


@pytest.mark.parametrize("text", ["[", "[[1,2],[3]]", "[[NaN,0,0]]", "3", '{"a": 1}', "[" * 10_000, "[[0, 0, 0]]"])
def test_damaged_face_offsets_are_refused(made, tmp_path, text):
    (tmp_path / "face_offset.json").write_text(text)
    with pytest.raises((CheckpointError, ValueError), match=r"face_offset\.json"):
        importer(tmp_path).import_person(made[0] / "snapshot_4.pth", "x")


def test_a_thousand_mutated_checkpoints_are_read_or_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save({"network": {f"human_gaussian.{i}": torch.arange(4.0) for i in range(5)}}, buffer)
    content, rng, refused = buffer.getvalue(), np.random.default_rng(0), 0
    for _ in range(1000):
        mutant = bytearray(content)
        for _ in range(int(rng.integers(1, 5))):
            place = int(rng.integers(len(mutant)))
            if rng.integers(2):
                mutant[place] = int(rng.integers(256))
            else:
                del mutant[place : place + int(rng.integers(1, 60))]
        (tmp_path / "mutant").write_bytes(mutant)
        try:
            read_tensors(tmp_path / "mutant")
        except CheckpointError:
            refused += 1
    assert refused > 300
