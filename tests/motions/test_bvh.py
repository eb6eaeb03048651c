import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skeletonfiles import (
    BANDAI,
    BIPED,
    LAFAN,
    MEAN,
    MIXAMO,
    POSER,
    a_pose,
    aligned_mm,
    along_x,
    bvh_file,
    error_mm,
    performance,
)

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, Skeleton, joint_positions, lowest_heights
from synthaug.motions import UnusableClipError
from synthaug.motions.bvh import BvhMotion, parse_bvh, pose_joints
from synthaug.motions.files import recordings
from synthaug.motions.files.bvhnames import match_joints
from synthaug.motions.files.recordings import FlawError
from synthaug.motions.files.retargeting import units_of
from synthaug.structures import Motion, Record
from synthaug.testing.motions import check_motion_source

Z_UP = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]


def record(path, start=0.0, end=60.0):
    return Record(path.stem, path, 0, "s", "", start, end)


def load(path, text, **options):
    path.write_text(text)
    return BvhMotion(**options).load(record(path))


@pytest.fixture(scope="module")
def kicking():
    return performance("kicking something", 1.0)


def test_source_keeps_the_contract(tmp_path, kicking):
    path = tmp_path / "a.bvh"
    path.write_text(bvh_file(kicking, MIXAMO))
    check_motion_source(BvhMotion(), record(path))


def test_every_rotation_comes_back_where_the_rest_pose_is_ours(tmp_path, kicking):
    found = load(tmp_path / "a.bvh", bvh_file(kicking, MIXAMO)).motion
    R, truth = axis_angle_to_matrix(found.pose), axis_angle_to_matrix(kicking.pose)
    angle = torch.acos(((R @ truth.mT).diagonal(dim1=-2, dim2=-1).sum(-1).clamp(-1, 3) - 1) / 2)
    kept = [j for j in range(55) if j not in (22, 23, 24)]
    # Six decimals of a degree, and acos near 1.
    assert angle[:, kept].max() < 2e-3
    assert error_mm(found, kicking) < 8


@pytest.mark.parametrize("names", [LAFAN, BANDAI, BIPED, POSER], ids=["cmu", "bandai", "biped", "poser"])
@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YZX"])
def test_names_and_channel_orders(tmp_path, kicking, names, order):
    reference = load(tmp_path / "a.bvh", bvh_file(kicking, names, order=order))
    assert reference.notes["residual"] < 0.02
    # Poser has no toes; elsewhere a spine of fewer joints bends in fewer places.
    assert error_mm(reference.motion, kicking) < 25


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.0254, 0.001, 0.0254 / 0.45])
@pytest.mark.parametrize("up", ["y", "z"])
def test_units_and_up_axis_are_told_from_the_skeleton(tmp_path, kicking, unit, up):
    text = bvh_file(kicking, LAFAN, unit=unit, axes=Z_UP if up == "z" else None)
    reference = load(tmp_path / "a.bvh", text)
    assert reference.notes["unit_m"] == pytest.approx(unit)
    assert reference.notes["stature"] == pytest.approx(1.7, abs=0.02)
    assert error_mm(reference.motion, kicking) < 8


def test_rest_poses_with_hanging_arms(tmp_path, kicking):
    reference = load(tmp_path / "a.bvh", bvh_file(kicking, MIXAMO, rest=a_pose()))
    assert reference.notes["rest_pose"] == 1
    assert error_mm(reference.motion, kicking) < 8


@pytest.mark.parametrize("action", ["kicking something", "stretch", "squat down"])
def test_rest_poses_that_are_no_person_are_learnt_from_the_movement(tmp_path, action):
    truth = performance(action, 2.0)
    reference = load(tmp_path / "a.bvh", bvh_file(truth, LAFAN, rest=along_x()))
    assert reference.notes["rest_pose"] == 0
    assert reference.notes["residual"] < 0.02
    assert error_mm(reference.motion, truth) < 35


def test_other_proportions_are_scaled_away_and_soles_stay_on_the_floor(tmp_path, kicking):
    tall = Skeleton(joints=MEAN.joints * torch.tensor([1.1, 1.2, 1.1]))
    lifted = Motion.from_pose(kicking.pose, kicking.transl * 1.2, fps=kicking.fps)
    reference = load(tmp_path / "a.bvh", bvh_file(lifted, LAFAN, skeleton=tall))
    assert reference.notes["stature"] == pytest.approx(1.7 * 1.15, abs=0.02)  # limbs' median of 1.1 and 1.2
    clearance = lowest_heights(joint_positions(reference.motion, MEAN))
    assert clearance.quantile(0.02).abs() < 0.01
    assert error_mm(reference.motion, kicking) < 30


STATURES = [0.8, 0.9, 1.05, 1.3, 1.6, 1.9, 2.1]


@pytest.mark.parametrize("unit", [1.0, 0.3048, 0.0254, 0.01, 0.001])
@pytest.mark.parametrize("stature", STATURES)
def test_soles_of_performers_of_every_stature_stay_on_the_floor(tmp_path, kicking, stature, unit):
    size = stature / 1.7
    # The same movement by somebody of another size: alike in all lengths, soles too.
    performer = Skeleton(joints=MEAN.joints * size)
    performed = Motion.from_pose(kicking.pose, kicking.transl * size, fps=kicking.fps)
    text = bvh_file(performed, LAFAN, skeleton=performer, unit=unit)
    for given_unit in (None, unit):
        motion = load(tmp_path / "a.bvh", text, unit=given_unit).motion
        assert lowest_heights(joint_positions(motion, MEAN)).abs().max() < 0.01
        assert aligned_mm(motion, kicking) < 5


@pytest.mark.parametrize(("stature", "unit"), [(0.9, 0.01), (1.1, 0.0254), (1.3, 0.01), (0.8, 1.0), (1.0, 0.001)])
def test_children_are_told_in_every_unit(tmp_path, kicking, stature, unit):
    size = stature / 1.7
    performed = Motion.from_pose(kicking.pose, kicking.transl * size, fps=kicking.fps)
    text = bvh_file(performed, LAFAN, skeleton=Skeleton(joints=MEAN.joints * size), unit=unit)
    notes = load(tmp_path / "a.bvh", text).notes
    assert (notes["unit_m"], notes["stature"]) == (unit, pytest.approx(stature, abs=0.02))


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(*[st.sampled_from([0.0, 1e-7, -1e-5, 1e-3, 0.3, np.pi - 1e-3, np.pi - 1e-6, np.pi])] * 3),
    st.sampled_from(["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]),
)  # fmt: skip
def test_rotations_near_0_and_pi_are_read_as_matrices_say(angles, order):
    # An independent truth: scipy's rotations, written out as degrees in any order of channels.
    from scipy.spatial.transform import Rotation

    degrees = np.rad2deg(angles)
    channels = " ".join(f"{axis}rotation" for axis in order)
    head = f"HIERARCHY\nROOT a {{\nOFFSET 0 0 0\nCHANNELS 3 {channels}\nEnd Site {{\nOFFSET 0 1 0\n}}\n}}\n"
    text = f"{head}MOTION\nFrames: 1\nFrame Time: 0.0333333\n{' '.join(f'{d:.10f}' for d in degrees)}\n"
    got = pose_joints(parse_bvh(text)).rotations[0, 0]
    np.testing.assert_allclose(got, Rotation.from_euler(order, degrees, degrees=True).as_matrix(), atol=1e-9)


def test_interval_is_cut_out_in_seconds_and_rates_are_whole(tmp_path, kicking):
    path = tmp_path / "a.bvh"
    path.write_text(bvh_file(kicking, LAFAN).replace("0.0333333", "0.033333"))
    part = BvhMotion().load(record(path, 0.2, 0.5)).motion
    assert part.fps == 30.0
    assert part.num_frames == 9
    with pytest.raises(
        UnusableClipError,
        match="to lie inside the recording, got 7 to 60 s of a recording that lasts 1 s",
    ):
        BvhMotion().load(record(path, 7.0))


BODY = {name: theirs for name, theirs in MIXAMO.items() if JOINT[name] < 22}


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_lines_may_end_as_on_any_system(tmp_path, kicking, ending):
    text = bvh_file(kicking, MIXAMO)
    wanted, path = load(tmp_path / "a.bvh", text), tmp_path / "b.bvh"
    path.write_bytes(text.replace("\n", ending).encode())
    assert torch.equal(BvhMotion().load(record(path)).motion.pose, wanted.motion.pose)


DIALECTS = {
    "mixamorigHips": lambda name: name.replace("mixamorig:", "mixamorig"),
    "Character1_Hips": lambda name: name.replace("mixamorig:", "Character1_"),
    "Subject 01 Hips": lambda name: name.replace("mixamorig:", "Subject 01 "),
    "rig1|mixamorigHips": lambda name: name.replace("mixamorig:", "rig1|mixamorig"),
    "Hips_jnt": lambda name: name.replace("mixamorig:", "") + "_jnt",
    "bvh_Hips_bind": lambda name: name.replace("mixamorig:", "bvh_") + "_bind",
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fingers", [False, True])
def test_prefixes_and_suffixes_of_tools_are_no_part_of_names(tmp_path, kicking, dialect, fingers):
    plain = MIXAMO if fingers else BODY
    wanted = load(tmp_path / "a.bvh", bvh_file(kicking, plain))
    renamed = {ours: DIALECTS[dialect](theirs) for ours, theirs in plain.items()}
    found = load(tmp_path / "a.bvh", bvh_file(kicking, renamed))
    assert found.notes["mapped"] == wanted.notes["mapped"] == 22
    assert torch.equal(found.motion.pose, wanted.motion.pose)


OTHER_RIGS = {
    "character creator": (
        "CC_Base_Hip CC_Base_L_Thigh CC_Base_L_Calf CC_Base_L_Foot CC_Base_R_Thigh CC_Base_R_Calf CC_Base_R_Foot "
        "CC_Base_Waist CC_Base_L_Clavicle CC_Base_L_Upperarm CC_Base_L_Forearm CC_Base_L_Hand CC_Base_R_Clavicle "
        "CC_Base_R_Upperarm CC_Base_R_Forearm CC_Base_R_Hand CC_Base_Neck CC_Base_Head"
    ),
    "vroid": (
        "J_Bip_C_Hips J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot J_Bip_R_UpperLeg J_Bip_R_LowerLeg J_Bip_R_Foot "
        "J_Bip_C_Spine J_Bip_L_Shoulder J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand J_Bip_R_Shoulder "
        "J_Bip_R_UpperArm J_Bip_R_LowerArm J_Bip_R_Hand J_Bip_C_Neck J_Bip_C_Head"
    ),
    "valve": (
        "ValveBiped.Bip01_Pelvis ValveBiped.Bip01_L_Thigh ValveBiped.Bip01_L_Calf ValveBiped.Bip01_L_Foot "
        "ValveBiped.Bip01_R_Thigh ValveBiped.Bip01_R_Calf ValveBiped.Bip01_R_Foot ValveBiped.Bip01_Spine "
        "ValveBiped.Bip01_L_Clavicle ValveBiped.Bip01_L_UpperArm ValveBiped.Bip01_L_Forearm ValveBiped.Bip01_L_Hand "
        "ValveBiped.Bip01_R_Clavicle ValveBiped.Bip01_R_UpperArm ValveBiped.Bip01_R_Forearm ValveBiped.Bip01_R_Hand "
        "ValveBiped.Bip01_Neck ValveBiped.Bip01_Head"
    ),
    "3ds max": (
        "Bip001_Pelvis Bip001_L_Thigh Bip001_L_Calf Bip001_L_Foot Bip001_R_Thigh Bip001_R_Calf Bip001_R_Foot "
        "Bip001_Spine Bip001_L_Clavicle Bip001_L_UpperArm Bip001_L_Forearm Bip001_L_Hand Bip001_R_Clavicle "
        "Bip001_R_UpperArm Bip001_R_Forearm Bip001_R_Hand Bip001_Neck Bip001_Head"
    ),
    "acclaim": (
        "root lfemur ltibia lfoot rfemur rtibia rfoot lowerback lclavicle lhumerus lradius lhand rclavicle rhumerus "
        "rradius rhand neck head"
    ),
}
RIG = ("pelvis left_hip left_knee left_ankle right_hip right_knee right_ankle spine1 left_collar left_shoulder "
       "left_elbow left_wrist right_collar right_shoulder right_elbow right_wrist neck head").split()  # fmt: skip
RIG_PARENTS = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 10, 7, 12, 13, 14, 7, 16]


@pytest.mark.parametrize("rig", OTHER_RIGS)
def test_rigs_with_prefixes_are_matched_whole(rig):
    names = OTHER_RIGS[rig].split()
    found = match_joints([*names, "prop_end"], [*RIG_PARENTS, 17], given={})
    assert {ours: names[index] for ours, index in found.items() if ours in RIG} == dict(zip(RIG, names, strict=True))


@pytest.mark.parametrize("name", ["MOTION", "LeftMOTIONcapture", "EMOTION", "MOTION_end", "Frames:", "Face MOTION"])
def test_joints_may_be_called_like_keywords(tmp_path, kicking, name):
    wanted = load(tmp_path / "a.bvh", bvh_file(kicking, LAFAN)).motion
    text = bvh_file(kicking, LAFAN)
    prop = f"JOINT {name}\n{{\nOFFSET 0 1 0\nCHANNELS 0\nEnd Site\n{{\nOFFSET 0 1 0\n}}\n}}\n"
    first = text.index("JOINT")
    assert torch.equal(load(tmp_path / "a.bvh", text[:first] + prop + text[first:]).motion.pose, wanted.pose)


def test_a_few_rows_more_than_announced_are_left_out_with_a_note(tmp_path, kicking):
    text = bvh_file(kicking, LAFAN)
    wanted = load(tmp_path / "a.bvh", text)
    assert "surplus_rows" not in wanted.notes
    last = text.splitlines()[-1]
    for surplus, rows in ((1, last), (1, last[:30]), (2, f"{last}\n{last}")):
        found = load(tmp_path / "a.bvh", f"{text}{rows}\n\n")
        assert found.notes == wanted.notes | {"surplus_rows": surplus}
        assert torch.equal(found.motion.pose, wanted.motion.pose)
    with pytest.raises(UnusableClipError, match="expected 30 frames as 'Frames:' says, got 40"):
        load(tmp_path / "a.bvh", text + f"{last}\n" * 10)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("Frame Time: ", "Frame Time:").replace("Frames: ", "FRAMES:\t"),
        lambda t: t.replace("Frame Time:", "Frame time :"),
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace("HIERARCHY", "Hierarchy").replace("JOINT", "Joint").replace("End Site", "END SITE"),
        lambda t: t.replace("Xrotation", "xrotation").replace("OFFSET", "Offset").replace("MOTION", " Motion "),
        lambda t: t.replace("\n\t{", "{").replace("}\nMOTION", "} MOTION"),
    ],
)
def test_spaces_and_capitals_are_no_matter(tmp_path, kicking, change):
    text = bvh_file(kicking, LAFAN)
    wanted, found = (load(tmp_path / "a.bvh", each).motion for each in (text, change(text)))
    assert change(text) != text
    assert torch.equal(found.pose, wanted.pose)


@pytest.mark.parametrize("kind", ["places", "zeros"])
def test_positions_of_inner_joints_are_places_or_displacements(tmp_path, kicking, kind):
    text = bvh_file(kicking, LAFAN)
    wanted = load(tmp_path / "a.bvh", text).motion
    bvh = parse_bvh(text)
    columns, at = [], 0
    for joint in bvh.joints:
        own = bvh.values[:, at : at + len(joint.channels)]
        at += len(joint.channels)
        if len(joint.channels) == 3:
            columns.append(np.tile(joint.offset if kind == "places" else (0.0, 0.0, 0.0), (len(own), 1)))
        columns.append(own)
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1))
    head = text[: text.index("MOTION")].replace("CHANNELS 3", "CHANNELS 6 Xposition Yposition Zposition")
    again = f"{head}MOTION\nFrames: {len(bvh.values)}\nFrame Time: 0.0333333\n{rows}\n"
    torch.testing.assert_close(load(tmp_path / "a.bvh", again).motion.pose, wanted.pose, atol=1e-4, rtol=0)


def test_names_can_be_given(tmp_path, kicking):
    odd = {**LAFAN, "left_hip": "Bein_L_oben"}
    with pytest.raises(
        UnusableClipError, match="expected joints named as in.*found none for left_hip among .*names={'left_hip'"
    ):
        load(tmp_path / "a.bvh", bvh_file(kicking, odd))
    found = load(tmp_path / "a.bvh", bvh_file(kicking, odd), names={"left_hip": "Bein_L_oben"})
    assert error_mm(found.motion, kicking) < 8
    with pytest.raises(ValueError, match="Expected names to map .*got 'left_hip': 'nobody'"):
        load(tmp_path / "a.bvh", bvh_file(kicking, odd), names={"left_hip": "nobody"})


def test_shoulders_are_collars_only_where_there_is_an_arm():
    old = ["Hips", "LeftHip", "LeftKnee", "LeftAnkle", "RightHip", "RightKnee", "RightAnkle", "Chest", "LeftCollar",
           "LeftShoulder", "LeftElbow", "LeftWrist", "RightCollar", "RightShoulder", "RightElbow", "RightWrist", "Neck",
           "Head"]  # fmt: skip
    parents = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 10, 7, 12, 13, 14, 7, 16]
    found = {ours: old[index] for ours, index in match_joints(old, parents, given={}).items()}
    assert found["left_shoulder"] == "LeftShoulder"
    assert found["right_collar"] == "RightCollar"
    assert found["spine1"] == found["spine3"] == "Chest"
    assert found["neck"] == "Neck"


def changed(old, new):
    return lambda text: text.replace(old, new, 1)


DAMAGE = {
    "no motion": (lambda t: t.split("MOTION")[0], "found no MOTION"),
    "no hierarchy": (lambda t: t.replace("HIERARCHY", "Hi"), "that begins with HIERARCHY, got something else"),
    "empty": (lambda t: "\n", "got an empty file"),
    "cut hierarchy": (lambda t: t[: t.index("MOTION") - 60] + "\nMOTION" + t.split("MOTION")[1], "hierarchy"),
    "open bracket": (changed("}\nMOTION", "\nMOTION"), "got open brackets"),
    "short line": (lambda t: t[: t.rindex(" ")] + "\n", r"expected \d+ values in line \d+ \(frame 30\), got \d+"),
    "frames missing": (lambda t: "\n".join(t.splitlines()[:-3]), "expected 30 frames as .* got 27"),
    "a billion frames": (changed("Frames: 30", "Frames: 1000000000"), "expected 1000000000 frames as .* got 30"),
    "no frames": (changed("Frames: 30", "Frames: 0"), "0 frames of"),
    "no time": (changed("Frame Time: 0.0333333", "Frame Time: 0"), "30 frames of 0 s"),
    "milliseconds": (
        changed("Frame Time: 0.0333333", "Frame Time: 8.33"),
        "a frame time in seconds, above 0 and up to 1 .* got 30 frames of 8.33 s",
    ),
    "time is a word": (
        changed("Frame Time: 0.0333333", "Frame Time: fast"),
        "the frame time in line .* to be a finite number, got 'fast'",
    ),
    "nan": (lambda t: t[: t.rindex(" ")] + " nan\n", "expected finite numbers in line .*, got nan"),
    "word": (lambda t: t[: t.rindex(" ")] + " up\n", "expected numbers in line"),
    "channel": (changed("Zrotation", "Wrotation"), "expected channels of .*, got .*Wrotation"),
    "twice": (
        changed("Xposition Yposition", "Xposition Xposition"),
        "expected channels of .*, got Xposition Xposition",
    ),
    "offset": (changed("OFFSET 0", "OFFSET inf"), "offset of"),
    "two roots": (changed("JOINT", "ROOT"), "JOINT, End Site or a closing bracket, got 'ROOT'"),
    "99 channels": (changed("CHANNELS 6", "CHANNELS 99"), "expected 0 to 6 channels of .* got 99"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_named_with_line_and_rule(tmp_path, kicking, kind):
    change, words = DAMAGE[kind]
    with pytest.raises(UnusableClipError, match=f"Cannot read a motion from '.*a.bvh': .*{words}.*Replace"):
        load(tmp_path / "a.bvh", change(bvh_file(kicking, LAFAN)))


def test_deep_and_huge_files_are_refused(tmp_path, monkeypatch):
    deep = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 0\n" + "JOINT b {\nOFFSET 0 0 0\nCHANNELS 0\n" * 5000
    with pytest.raises(UnusableClipError, match="at most 1024 joints and 256 in a chain, got more"):
        load(tmp_path / "a.bvh", deep + "MOTION\nFrames: 1\nFrame Time: 0.1\n\n")
    monkeypatch.setattr(recordings, "MAX_BYTES", 1000)
    with pytest.raises(UnusableClipError, match="at most 1000 bytes"):
        load(tmp_path / "a.bvh", deep)


def test_skeletons_of_no_size_are_asked_about(tmp_path, kicking):
    text = bvh_file(kicking, LAFAN, unit=3.7e-5)
    with pytest.raises(
        UnusableClipError, match="expected a skeleton of .* m in some usual unit, got one of .* units; set unit="
    ):
        load(tmp_path / "a.bvh", text)
    assert error_mm(load(tmp_path / "a.bvh", text, unit=3.7e-5).motion, kicking) < 8


def test_people_who_lie_or_tumble_are_asked_about(tmp_path):
    truth = performance("lie down", 2.0)
    late = Motion.from_pose(truth.pose[-8:], truth.transl[-8:], fps=truth.fps)
    text = bvh_file(late, LAFAN)
    with pytest.raises(UnusableClipError, match="got y in the rest pose and -z from feet.*set up='y' or up='-z'"):
        load(tmp_path / "a.bvh", text)
    assert error_mm(load(tmp_path / "a.bvh", text, up="y").motion, late) < 12
    captured = pose_joints(parse_bvh(bvh_file(truth, LAFAN, rest=along_x())))
    which = match_joints(captured.names, captured.parents, given={})
    tumbling = captured.positions.copy()
    tumbling[20:40], tumbling[40:] = tumbling[20:40][:, :, [1, 2, 0]], -tumbling[40:]
    with pytest.raises(FlawError, match="lies or tumbles; set up='y'"):
        units_of(type(captured)(**{**vars(captured), "positions": tumbling}), which)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="Expected up to be x, y, z.*got 'w'"):
        BvhMotion(up="w")
    with pytest.raises(ValueError, match="Expected unit to be a positive number, got -1.0"):
        BvhMotion(unit=-1.0)
    assert BvhMotion(up="z").fingerprint != BvhMotion().fingerprint


def test_fingers_are_carried_over(tmp_path, kicking):
    fist = Motion.from_pose(kicking.pose.clone(), kicking.transl, fps=30.0)
    fist.left_hand_pose[:, 0, 2] = -1.0
    found = load(tmp_path / "a.bvh", bvh_file(fist, MIXAMO, rest=a_pose())).motion
    tip = JOINT["left_index3"]
    for motion in (found, fist):
        assert motion.num_frames == 30
    relative = [
        joint_positions(m, MEAN)[:, tip] - joint_positions(m, MEAN)[:, JOINT["left_wrist"]] for m in (found, fist)
    ]
    assert (relative[0] - relative[1]).norm(dim=-1).max() < 0.01
