import csv
import io
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skeletonfiles import aligned_mm, performance

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import joint_positions, lowest_heights, mean_skeleton, move_motion
from synthaug.motions import UnusableClipError, smplx_npz
from synthaug.motions.smplx_npz import SmplxNpz
from synthaug.structures import Record
from synthaug.testing.motions import check_motion_source, same_motion

FRAMES = 12


def arrays(seed=0):
    """One motion under smplx's own names."""
    rng = np.random.default_rng(seed)
    widths = dict(global_orient=3, body_pose=63, left_hand_pose=45, right_hand_pose=45, jaw_pose=3, leye_pose=3,
                  reye_pose=3, transl=3, expression=10)  # fmt: skip
    parts = {name: rng.normal(0, 0.2, (FRAMES, width)).astype(np.float32) for name, width in widths.items()}
    return parts | {"betas": rng.normal(size=10).astype(np.float32), "fps": np.float32(30.00003)}


def record(path, start=0.0, end=10.0):
    return Record(path.stem, path, 0, "s", "", start, end)


def written(path, parts):
    np.savez(path, **parts)
    return path


def as_amass(parts, *, rate="mocap_framerate"):
    """The same under AMASS's names: everything in `poses`."""
    names = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "left_hand_pose", "right_hand_pose")
    poses = np.concatenate([parts[name] for name in names], axis=1)
    return {"poses": poses, "trans": parts["transl"], "betas": parts["betas"], rate: parts["fps"],
            "gender": np.array("neutral")}  # fmt: skip


def test_source_keeps_the_contract(tmp_path):
    check_motion_source(SmplxNpz(), record(written(tmp_path / "a.npz", arrays())))


def test_every_field_is_read_as_it_is_where_the_frame_is_ours(tmp_path):
    parts = arrays()
    motion = SmplxNpz(transl_is_pelvis=True).load(record(written(tmp_path / "a.npz", parts))).motion
    assert motion.fps == 30.0
    for name, part in parts.items():
        if name != "fps":
            torch.testing.assert_close(
                getattr(motion, name).flatten(), torch.from_numpy(part).flatten(), atol=2e-6, rtol=0
            )


@pytest.mark.parametrize("rate", ["mocap_framerate", "mocap_frame_rate"])
def test_amass_layouts_give_the_same_motion(tmp_path, rate):
    parts = arrays()
    ours = SmplxNpz(transl_is_pelvis=True).load(record(written(tmp_path / "a.npz", parts))).motion
    theirs = (
        SmplxNpz(transl_is_pelvis=True).load(record(written(tmp_path / "b.npz", as_amass(parts, rate=rate)))).motion
    )
    assert same_motion(replace(ours, expression=0 * ours.expression), theirs)
    packed = {
        "root_orient": parts["global_orient"], "pose_body": parts["body_pose"].reshape(FRAMES, 21, 3),
        "pose_hand": np.concatenate([parts["left_hand_pose"], parts["right_hand_pose"]], axis=1),
        "pose_jaw": parts["jaw_pose"], "pose_eye": np.concatenate([parts["leye_pose"], parts["reye_pose"]], axis=1),
        "trans": parts["transl"], "betas": parts["betas"], rate: parts["fps"],
    }  # fmt: skip
    named = SmplxNpz(transl_is_pelvis=True).load(record(written(tmp_path / "c.npz", packed))).motion
    assert same_motion(named, theirs)


def test_up_is_told_from_who_stands_and_asked_about_who_lies(tmp_path):
    parts = {name: np.zeros_like(part) for name, part in arrays().items()} | {"fps": np.float32(30)}
    standing = parts | {"transl": np.tile(np.float32([2.0, 0.95, -3.0]), (FRAMES, 1))}
    path = written(tmp_path / "a.npz", standing)
    by_body, as_said = (SmplxNpz(up=up, transl_is_pelvis=True).load(record(path)).motion for up in (None, "y"))
    assert same_motion(by_body, as_said)
    quarter = np.tile(np.float32([np.pi / 2, 0, 0]), (FRAMES, 1))
    amass = parts | {"transl": standing["transl"][:, [0, 2, 1]], "global_orient": quarter}
    path = written(tmp_path / "b.npz", amass)
    by_body, as_said = (SmplxNpz(up=up, transl_is_pelvis=True).load(record(path)).motion for up in (None, "z"))
    assert same_motion(by_body, as_said)
    lying = parts | {"transl": np.tile(np.float32([2.0, 0.1, -3.0]), (FRAMES, 1)), "global_orient": quarter}
    path = written(tmp_path / "c.npz", lying)
    with pytest.raises(UnusableClipError, match="rises along y in 0% of the frames and along z in 100%; set up='y'"):
        SmplxNpz(up=None, transl_is_pelvis=True).load(record(path))


def test_rest_pelvis_is_that_of_the_file_s_gender_and_betas(tmp_path):
    rng = np.random.default_rng(0)
    model = {"v_template": rng.normal(size=(30, 3)), "shapedirs": rng.normal(size=(30, 3, 16)),
             "J_regressor": rng.dirichlet(np.ones(30), size=55)}  # fmt: skip
    np.savez(tmp_path / "SMPLX_FEMALE.npz", **model)
    parts = arrays()
    path = written(tmp_path / "a.npz", parts | {"gender": np.array("female")})
    plain = SmplxNpz(transl_is_pelvis=True).load(record(path)).motion
    found = SmplxNpz(models=str(tmp_path)).load(record(path)).motion
    pelvis = model["J_regressor"][0] @ (model["v_template"] + model["shapedirs"][:, :, :10] @ parts["betas"])
    wanted = torch.from_numpy(pelvis).float().expand(FRAMES, 3)
    torch.testing.assert_close(found.transl - plain.transl, wanted, atol=1e-5, rtol=0)
    odd = written(tmp_path / "b.npz", parts | {"gender": np.array("x" * 50)})
    with pytest.raises(UnusableClipError, match="expected gender to be 'neutral', 'male' or 'female', got 'xxx"):
        SmplxNpz(models=str(tmp_path)).load(record(odd))


def test_poses_may_be_joints_by_three(tmp_path):
    flat = as_amass(arrays())
    deep = flat | {"poses": flat["poses"].reshape(FRAMES, 55, 3)}
    one, other = (
        SmplxNpz().load(record(written(tmp_path / f"{k}.npz", parts))).motion for k, parts in enumerate((flat, deep))
    )
    assert same_motion(one, other)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([0.0, 1e-7, 1e-4, 1.0, np.pi - 1e-3, np.pi - 1e-6, np.pi]), st.integers(0, 9))
def test_z_up_turns_rotations_near_0_and_pi_alike(angle, seed):
    axis = np.random.default_rng(seed).normal(size=(FRAMES, 3))
    orient = (angle * axis / np.linalg.norm(axis, axis=1, keepdims=True)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "a.npz", arrays() | {"global_orient": orient})
        motion = SmplxNpz(up="z").load(record(path)).motion
    R = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    wanted = R @ axis_angle_to_matrix(torch.from_numpy(orient))
    torch.testing.assert_close(axis_angle_to_matrix(motion.global_orient), wanted, atol=2e-6, rtol=0)


def test_smplh_of_52_joints_has_no_face(tmp_path):
    parts = as_amass(arrays())
    parts["poses"] = np.delete(parts["poses"], slice(66, 75), axis=1)
    motion = SmplxNpz().load(record(written(tmp_path / "a.npz", parts))).motion
    assert motion.jaw_pose.abs().max() == 0
    torch.testing.assert_close(motion.left_hand_pose.flatten(1), torch.from_numpy(arrays()["left_hand_pose"]))


def test_what_the_file_lacks_is_zero(tmp_path):
    parts = {name: part for name, part in arrays().items() if name in ("global_orient", "body_pose", "transl", "fps")}
    motion = SmplxNpz().load(record(written(tmp_path / "a.npz", parts))).motion
    for name in ("left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose", "expression", "betas"):
        assert getattr(motion, name).abs().max() == 0


def test_z_up_is_turned_so_that_height_stays_height_and_directions_keep_together(tmp_path):
    parts = arrays()
    path = written(tmp_path / "a.npz", parts)
    plain = SmplxNpz(transl_is_pelvis=True).load(record(path)).motion
    turned = SmplxNpz(up="z", transl_is_pelvis=True).load(record(path)).motion
    torch.testing.assert_close(turned.transl[:, 1], torch.from_numpy(parts["transl"][:, 2]), atol=1e-6, rtol=0)
    # What changed is one rotation of the whole world, so that every distance to a fixed point stays.
    before, after = (joint_positions(m, mean_skeleton()) for m in (plain, turned))
    R = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    torch.testing.assert_close(after, before @ R.mT, atol=1e-5, rtol=0)
    assert torch.linalg.det(R) == 1


def test_transl_of_smplx_is_moved_to_the_pelvis(tmp_path):
    path = written(tmp_path / "a.npz", arrays())
    pelvis = SmplxNpz(transl_is_pelvis=True).load(record(path)).motion
    smplx = SmplxNpz(rest_pelvis=(0.01, -0.35, 0.02)).load(record(path)).motion
    # smplx poses about its rest pelvis J and adds transl: the pelvis is at J + transl, whatever the orientation.
    torch.testing.assert_close(smplx.transl - pelvis.transl, torch.tensor([[0.01, -0.35, 0.02]]).expand(FRAMES, 3))


def test_interval_is_cut_out_in_seconds(tmp_path):
    path = written(tmp_path / "a.npz", arrays())
    source = SmplxNpz()
    whole = source.load(record(path)).motion
    part = source.load(record(path, 0.1, 0.3)).motion
    assert part.num_frames == 6
    torch.testing.assert_close(part.transl, whole.transl[3:9])
    torch.testing.assert_close(part.expression, whole.expression[3:9])
    with pytest.raises(UnusableClipError, match="a recording that lasts 0.4 s.*Correct"):
        source.load(record(path, 5.0, 6.0))


def test_camera_before_the_motion_sees_the_pelvis_in_the_middle_of_the_picture_s_width(tmp_path):
    parts = arrays() | {"transl": np.tile(np.float32([7.0, 0.9, -4.0]), (FRAMES, 1))}
    reference = SmplxNpz(transl_is_pelvis=True).load(record(written(tmp_path / "a.npz", parts)))
    seen = reference.camera.viewmats[0] @ torch.tensor([7.0, 0.9, -4.0, 1.0])
    pixel = reference.camera.Ks[0] @ seen[:3]
    assert pixel[0] / pixel[2] == pytest.approx(112, abs=1e-3)
    assert seen[2] == pytest.approx(3.0)


def zipped_with(path, parts, name, content):
    """A file with one more member, whose bytes are given."""
    with zipfile.ZipFile(written(path, parts), "a") as archive:
        archive.writestr(name, content)


def lying():
    """An array whose header announces a terabyte over a body of a few bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**11, 3)})
    return header.getvalue() + b"\0" * 64


def without(name):
    return {key: part for key, part in arrays().items() if key != name}


DAMAGE = {
    "text": lambda path: path.write_text("no zip"),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(written(path, arrays()).read_bytes()[:-300]),
    "pickle": lambda path: np.savez(path, **arrays() | {"body_pose": np.array([{"a": 1}], dtype=object)}),
    "no transl": lambda path: written(path, without("transl")),
    "no rate": lambda path: written(path, without("fps")),
    "bad rate": lambda path: written(path, arrays() | {"fps": np.float32(-3)}),
    "ragged": lambda path: written(path, arrays() | {"transl": arrays()["transl"][:5]}),
    "nan": lambda path: written(path, arrays() | {"transl": arrays()["transl"] * np.float32("nan")}),
    "narrow": lambda path: written(path, arrays() | {"body_pose": arrays()["body_pose"][:, :60]}),
    "poses": lambda path: written(path, {"poses": np.zeros((4, 72)), "trans": np.zeros((4, 3)), "fps": np.array(30)}),
    "lying header": lambda path: zipped_with(path, without("transl"), "transl.npy", lying()),
}


def damaged(path, kind):
    """A file that is wrong in one way."""
    DAMAGE[kind](path)
    return path


CASES = {
    "text": "not a zip",
    "empty": "not a zip",
    "cut": "not a zip",
    "pickle": "expected numbers, got",
    "no transl": "expected transl",
    "no rate": "frame rate",
    "bad rate": "frame rate",
    "ragged": "of one length",
    "nan": "expected finite",
    "narrow": r"to be \(time, 63\), got",
    "poses": r"\(time, 156\)",
    "lying header": "got 64 bytes",
}


@pytest.mark.parametrize("kind", CASES)
def test_damaged_files_are_named_with_what_is_wrong(tmp_path, kind):
    path = damaged(tmp_path / "a.npz", kind)
    with pytest.raises(UnusableClipError, match=f"Cannot read a motion from '.*a.npz': .*{CASES[kind]}.*Replace"):
        SmplxNpz().load(record(path))


def test_absurd_sizes_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(smplx_npz, "MAX_BYTES", 10_000)
    path = tmp_path / "a.npz"
    # Compressed, the zeros take next to nothing on disk.
    np.savez_compressed(path, **arrays() | {"poses": np.zeros((10_000, 165), np.float32)})
    with pytest.raises(UnusableClipError, match="expected arrays that unpack to at most 10000 bytes"):
        SmplxNpz().load(record(path))


@pytest.mark.parametrize("rate", [0.0333, 0.0, 33333.0, np.nan])
def test_times_of_a_frame_are_no_rates(tmp_path, rate):
    path = written(tmp_path / "a.npz", arrays() | {"fps": np.array(rate)})
    with pytest.raises(UnusableClipError, match="expected a frame rate of 1 to 1000 frames a second, got"):
        SmplxNpz().load(record(path))


def test_a_rate_that_the_file_lacks_can_be_given(tmp_path):
    path = damaged(tmp_path / "a.npz", "no rate")
    assert SmplxNpz(fps=24.0).load(record(path)).motion.fps == 24.0


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="Expected up to be 'y', 'z' or None, got 'x'"):
        SmplxNpz(up="x")
    with pytest.raises(ValueError, match="Expected fps to be a positive number or None, got -1.0"):
        SmplxNpz(fps=-1.0)
    with pytest.raises(ValueError, match="three finite numbers of metres"):
        SmplxNpz(rest_pelvis=(0.0, float("nan"), 0.0))
    with pytest.raises(FileNotFoundError, match="No such file: .*nowhere.npz.*Check"):
        SmplxNpz().load(record(Path("nowhere.npz")))


def test_fingerprint_names_what_the_numbers_mean():
    assert SmplxNpz().fingerprint == SmplxNpz().fingerprint
    prints = {SmplxNpz(**kind).fingerprint for kind in ({}, {"up": "z"}, {"transl_is_pelvis": True}, {"fps": 30.0})}
    assert len(prints) == 4


HANDS = [("pose_lhand", "pose_rhand"), ("lhand_pose", "rhand_pose"), ("pose_left_hand", "pose_right_hand")]


@pytest.mark.parametrize("names", HANDS)
@pytest.mark.parametrize("body", ["root_orient", "root_pose"])
def test_hands_under_other_names_are_hands(tmp_path, names, body):
    parts = arrays()
    right = SmplxNpz().load(record(written(tmp_path / "a.npz", parts))).motion
    renamed = {"left_hand_pose": names[0], "right_hand_pose": names[1], "global_orient": body, "body_pose": "pose_body",
               "leye_pose": "pose_leye", "jaw_pose": "pose_jaw"}  # fmt: skip
    found = SmplxNpz().load(record(written(tmp_path / "b.npz", {renamed.get(k, k): v for k, v in parts.items()})))
    assert same_motion(found.motion, right)
    assert "unread_poses" not in found.notes


def test_poses_that_are_not_read_are_told(tmp_path, caplog):
    path = written(tmp_path / "a.npz", arrays() | {"pose_tail": np.zeros((FRAMES, 3)), "pose_lefthand": np.zeros(3)})
    found = SmplxNpz().load(record(path))
    assert found.notes["unread_poses"] == 2.0
    assert "pose_lefthand, pose_tail too, which were not read. Rename them" in caplog.text


@pytest.mark.parametrize(
    "twice",
    [
        {"trans": np.ones((FRAMES, 3))},
        {"lhand_pose": np.ones((FRAMES, 45))},
        {"pose_hand": np.zeros((FRAMES, 90))},
        {"poses": np.zeros((FRAMES, 165))},
    ],
)
def test_one_part_twice_is_refused_where_the_numbers_differ(tmp_path, twice):
    with pytest.raises(UnusableClipError, match="a.npz.*expected .* once, got .*(with other numbers|another one in)"):
        SmplxNpz().load(record(written(tmp_path / "a.npz", arrays() | twice)))
    right = SmplxNpz().load(record(written(tmp_path / "b.npz", arrays()))).motion
    both = arrays() | {"trans": arrays()["transl"], "poses": as_amass(arrays())["poses"]}
    assert same_motion(SmplxNpz().load(record(written(tmp_path / "c.npz", both))).motion, right)


def test_rates_that_contradict_each_other_are_asked_about(tmp_path):
    path = written(tmp_path / "a.npz", arrays() | {"mocap_framerate": np.array(120.0)})
    with pytest.raises(
        UnusableClipError, match=r"one frame rate, got fps \[30.*\] and mocap_framerate \[120.*\]; set fps"
    ):
        SmplxNpz().load(record(path))
    assert SmplxNpz(fps=120.0).load(record(path)).motion.fps == 120.0
    near = written(tmp_path / "b.npz", arrays() | {"mocap_frame_rate": np.array(30.0)})
    assert SmplxNpz().load(record(near)).motion.fps == 30.0


GENDERS = {
    "f": np.array("f"), "bytes": np.array(b"female"), "quoted": np.array("b'female'"), "capital": np.array(["FEMALE"]),
    "object": np.array("female", dtype=object), "object bytes": np.array([b"female"], dtype=object),
    "object letter": np.array("f", dtype=object),
}  # fmt: skip
UNKNOWN = {
    "empty word": np.array(""), "unknown": np.array("unknown"), "empty": np.array([]), "number": np.array(3),
    "object": np.array({"a": 1}, dtype=object), "both": np.array(["male", "female"]), "nothing": np.array(None),
}  # fmt: skip


@pytest.mark.parametrize("gender", [*GENDERS.values(), *UNKNOWN.values()], ids=[*GENDERS, *UNKNOWN])
def test_gender_is_not_asked_for_where_it_does_not_matter(tmp_path, gender):
    right = SmplxNpz().load(record(written(tmp_path / "a.npz", arrays()))).motion
    path = written(tmp_path / "b.npz", arrays() | {"gender": gender})
    assert same_motion(SmplxNpz().load(record(path)).motion, right)
    assert SmplxNpz(transl_is_pelvis=True, models=str(tmp_path)).load(record(path)).motion.num_frames == FRAMES


def body_models(folder):
    """Models of one vertex whose pelvis lies at another height for each gender."""
    folder.mkdir()
    for height, name in enumerate(("NEUTRAL", "MALE", "FEMALE")):
        np.savez(folder / f"SMPLX_{name}.npz", v_template=[[0.0, height, 0.0]], J_regressor=np.ones((55, 1)),
                 shapedirs=np.zeros((1, 3, 10)))  # fmt: skip
    return str(folder)


@pytest.mark.parametrize("gender", GENDERS.values(), ids=GENDERS)
def test_every_spelling_of_a_gender_is_that_gender(tmp_path, gender):
    source = SmplxNpz(models=body_models(tmp_path / "models"))
    found = source.load(record(written(tmp_path / "a.npz", arrays() | {"gender": gender}))).motion
    torch.testing.assert_close(found.transl[:, 1], torch.from_numpy(arrays()["transl"][:, 1]) + 2)


@pytest.mark.parametrize("gender", UNKNOWN.values(), ids=UNKNOWN)
def test_genders_that_cannot_be_told_are_asked_about_where_they_matter(tmp_path, gender):
    source = SmplxNpz(models=body_models(tmp_path / "models"))
    path = written(tmp_path / "a.npz", arrays() | {"gender": gender})
    with pytest.raises(UnusableClipError, match="a.npz.*gender to be 'neutral', 'male' or 'female', got .*models=null"):
        source.load(record(path))


@pytest.mark.parametrize(
    "shape", [lambda b: b[:, None], lambda b: b[None], lambda b: b[None, None], lambda b: np.tile(b, (FRAMES, 1))]
)
def test_betas_in_rows_and_columns_are_the_same(tmp_path, shape):
    parts = arrays()
    found = SmplxNpz().load(record(written(tmp_path / "a.npz", parts | {"betas": shape(parts["betas"])}))).motion
    np.testing.assert_array_equal(found.betas.numpy(), parts["betas"])


@pytest.mark.parametrize("betas", [np.zeros(0), np.zeros((0, 10)), np.zeros((10, 0))])
def test_no_betas_are_the_mean_shape(tmp_path, betas):
    found = SmplxNpz().load(record(written(tmp_path / "a.npz", arrays() | {"betas": betas}))).motion
    assert found.betas.tolist() == [0.0] * 10


def test_betas_that_are_no_numbers_are_refused(tmp_path):
    path = written(tmp_path / "a.npz", arrays() | {"betas": np.full(10, np.nan)})
    with pytest.raises(UnusableClipError, match="expected 1 to 400 finite betas"):
        SmplxNpz().load(record(path))


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize("action", ["walk", "squat down"])
@pytest.mark.parametrize("stature", [0.8, 1.05, 1.3, 1.55, 1.9, 2.1])
def test_soles_of_performers_of_every_stature_are_on_the_floor(tmp_path, stature, action, up):
    size = stature / 1.7
    truth = performance(action, 1.5)
    # The same movement by somebody who is alike and of another size, with the floor at 0.
    performed = replace(truth, transl=truth.transl * size)
    if up == "z":
        performed = move_motion(performed, torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), torch.zeros(3))
    parts = {name: getattr(performed, name).numpy() for name in ("global_orient", "body_pose", "transl")}
    found = SmplxNpz(up=up, transl_is_pelvis=True).load(record(written(tmp_path / "a.npz", parts | {"fps": 30.0})))
    assert lowest_heights(joint_positions(found.motion, mean_skeleton())).abs().max() < 0.01
    assert aligned_mm(found.motion, truth) < 5
    assert found.notes["size"] == pytest.approx(size, abs=0.005)
    for unit in (0.01, 0.001):
        scaled = parts | {"transl": parts["transl"] / np.float32(unit), "fps": 30.0}
        again = SmplxNpz(up=up, transl_is_pelvis=True).load(record(written(tmp_path / "b.npz", scaled)))
        assert again.notes == {"size": pytest.approx(size, abs=0.005), "unit_m": unit}
        torch.testing.assert_close(again.motion.transl, found.motion.transl, atol=1e-4, rtol=0)


@pytest.mark.parametrize("height", [-0.9, 0.4, 5.0])
def test_motions_whose_floor_is_elsewhere_stay_as_they_are(tmp_path, height):
    truth = performance("squat down", 1.5)
    shifted = truth.transl + torch.tensor([0.0, height, 0.0])
    parts = {"global_orient": truth.global_orient.numpy(), "body_pose": truth.body_pose.numpy(), "fps": 30.0,
             "transl": shifted.numpy()}  # fmt: skip
    found = SmplxNpz(up="y", transl_is_pelvis=True).load(record(written(tmp_path / "a.npz", parts)))
    assert found.notes["size"] == 1.0
    assert torch.equal(found.motion.transl, shifted)


def test_captured_clips_stand_on_the_floor_and_walk_where_they_face(shared_data):
    folder = shared_data / "bandai_smplx"
    if not folder.is_dir():
        pytest.skip("shared/data/bandai_smplx is not there")
    source = SmplxNpz(transl_is_pelvis=True)
    with (folder / "labels.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["style"] == "normal"]
    heights = []
    for row in rows:
        motion = source.load(record(folder / row["file"], 0.0, 4.0)).motion
        assert motion.fps == 30.0
        assert motion.num_frames == min(int(row["frames"]), 120)
        heights.append(float(lowest_heights(joint_positions(motion, mean_skeleton())).median()))
        if row["action"] == "walk":
            travelled = motion.transl[-1] - motion.transl[0]
            facing = axis_angle_to_matrix(motion.global_orient).mean(dim=0)[:, 2]
            assert torch.nn.functional.cosine_similarity(travelled, facing, dim=0) > 0.9
    # Made for another skeleton, whose legs are shorter by a twelfth.
    assert len(heights) >= 16
    assert max(abs(height) for height in heights) < 0.01
