"""Writers of other people's formats, from their descriptions, and a performance to write down."""

import math

import numpy as np
import torch

from synthaug.body.skeleton import JOINT, forward_kinematics, joint_positions, mean_skeleton
from synthaug.motions.actions import perform
from synthaug.motions.fitting.layouts import Layout
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.structures import Motion

MEAN = mean_skeleton()


def performance(action="hand waving", seconds=1.5, fps=30.0):
    motion = perform(action, PerformerStyle(), fps=fps, seconds=seconds)
    return Motion.from_pose(motion.pose.float(), motion.transl.float(), fps=fps)


def points_of(motion, layout: Layout):
    """What a perfect source of this layout measures; what nobody fits lies at the pelvis."""
    T = forward_kinematics(motion, MEAN)
    points = T[:, :1, :3, 3].repeat(1, layout.num_points, 1)
    for site in layout.sites:
        at = T[:, JOINT[site.joint]]
        points[:, site.point] = at[:, :3, 3] + at[:, :3, :3] @ torch.tensor(site.offset)
    return points.double().numpy()


def camera_before(*, distance=3.0, height=1.2, pitch_deg=8.0):
    """World to camera, OpenCV's axes, of a camera in front of the origin that looks down a little."""
    a = math.radians(pitch_deg)
    level = np.diag([1.0, -1.0, -1.0])
    tilt = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    view = np.eye(4)
    view[:3, :3] = tilt @ level
    view[:3, 3] = -view[:3, :3] @ np.array([0.0, height, distance])
    return view


def seen(points, view):
    return points @ view[:3, :3].T + view[:3, 3]


def projected(points, K):
    flat = points @ K.T
    return flat[..., :2] / flat[..., 2:]


def error_mm(one: Motion, other: Motion):
    apart = joint_positions(one, MEAN)[:, :22] - joint_positions(other, MEAN)[:, :22]
    return 1000 * float(apart.norm(dim=-1).mean())


def aligned_mm(one: Motion, other: Motion):
    """Mean distance of 22 joints after the best turn about the vertical and shift on the floor, the same all along."""
    a, b = (joint_positions(m, MEAN)[:, :22].reshape(-1, 3).double().numpy() for m in (one, other))
    a, b = a - a.mean(0) * [1, 0, 1], b - b.mean(0) * [1, 0, 1]
    H = a[:, [0, 2]].T @ b[:, [0, 2]]
    angle = math.atan2(H[0, 1] - H[1, 0], H[0, 0] + H[1, 1])
    R = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    a[:, [0, 2]] = a[:, [0, 2]] @ R.T
    return 1000 * float(np.linalg.norm(a - b, axis=1).mean())


# NTU RGB+D --------------------------------------------------------------------------------------------------------


def ntu_body(points, pixels, *, name="72057594037931101", states=2):
    head = f"{name} 0 1 0 1 0 0 -0.1 0.2 2"
    states = np.broadcast_to(states, 25)
    rows = [
        f"{x:.7g} {y:.7g} {z:.7g} 250.1 180.2 {u:.6f} {v:.6f} 0 0 0 0 {state}"
        for (x, y, z), (u, v), state in zip(points, pixels, states, strict=True)
    ]
    return [head, "25", *rows]


def ntu_file(frames):
    """Text of a file whose frames are lists of bodies, a body being a list of lines."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines += [str(len(bodies)), *(line for body in bodies for line in body)]
    return "\n".join(lines) + "\n"


# BVH ---------------------------------------------------------------------------------------------------------------

MIXAMO = {
    "pelvis": "mixamorig:Hips", "spine1": "mixamorig:Spine", "spine2": "mixamorig:Spine1",
    "spine3": "mixamorig:Spine2", "neck": "mixamorig:Neck", "head": "mixamorig:Head",
    **{f"{s.lower()}_{ours}": f"mixamorig:{s}{theirs}" for s in ("Left", "Right") for ours, theirs in (
        ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"), ("foot", "ToeBase"), ("collar", "Shoulder"),
        ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"),
        *((f"{f}{k}", f"Hand{f.title()}{k}") for f in ("index", "middle", "ring", "pinky", "thumb") for k in (1, 2, 3)),
    )},
}  # fmt: skip
LAFAN = {
    ours: theirs.split(":")[1].replace("ToeBase", "Toe")
    for ours, theirs in MIXAMO.items()
    if not any(word in ours for word in ("index", "middle", "ring", "pinky", "thumb"))
}
BANDAI = {
    "pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head",
    **{f"{s}_{ours}": f"{theirs}_{s[0].upper()}" for s in ("left", "right") for ours, theirs in (
        ("hip", "UpperLeg"), ("knee", "LowerLeg"), ("ankle", "Foot"), ("foot", "Toes"), ("collar", "Shoulder"),
        ("shoulder", "UpperArm"), ("elbow", "LowerArm"), ("wrist", "Hand"),
    )},
}  # fmt: skip
BIPED = {
    "pelvis": "Bip01 Pelvis", "spine1": "Bip01 Spine", "spine2": "Bip01 Spine1", "neck": "Bip01 Neck",
    "head": "Bip01 Head",
    **{f"{s}_{ours}": f"Bip01 {s[0].upper()} {theirs}" for s in ("left", "right") for ours, theirs in (
        ("hip", "Thigh"), ("knee", "Calf"), ("ankle", "Foot"), ("foot", "Toe0"), ("collar", "Clavicle"),
        ("shoulder", "UpperArm"), ("elbow", "Forearm"), ("wrist", "Hand"),
    )},
}  # fmt: skip
POSER = {
    "pelvis": "hip", "spine1": "abdomen", "spine3": "chest", "neck": "neck", "head": "head",
    **{f"{s}_{ours}": f"{s[0]}{theirs}" for s in ("left", "right") for ours, theirs in (
        ("hip", "Thigh"), ("knee", "Shin"), ("ankle", "Foot"), ("collar", "Collar"), ("shoulder", "Shldr"),
        ("elbow", "ForeArm"), ("wrist", "Hand"),
    )},
}  # fmt: skip


def bvh_file(motion, names, *, rest=None, order="ZXY", unit=0.01, axes=None, skeleton=MEAN):
    """Text of a BVH file of a motion.

    Args:
        motion: What is written down.
        names: The file's name for each of our joints that it has.
        rest: World rotations of the pose that the file calls rest; None is our T-pose.
        order: Of the rotation channels.
        unit: Metres.
        axes: Turns our axes into the file's.
        skeleton: Of the performer.

    Bandai Namco's names have a root above the pelvis that never turns, as their files do.
    """
    from scipy.spatial.transform import Rotation

    from synthaug.body.skeleton import JOINT_NAMES, PARENTS

    R, extra = np.eye(3) if axes is None else np.asarray(axes, float), names is BANDAI
    T = forward_kinematics(motion, skeleton).double().numpy()
    rest = np.tile(np.eye(3), (55, 1, 1)) if rest is None else rest
    ids = [j for j, name in enumerate(JOINT_NAMES) if name in names]

    def parent_of(j):
        j = PARENTS[j]
        while j >= 0 and j not in ids:
            j = PARENTS[j]
        return j

    W = {j: R @ T[:, j, :3, :3] @ (R @ rest[j]).T for j in ids}
    places = {j: T[:, j, :3, 3] @ R.T / unit for j in ids}
    children = {j: [k for k in ids if parent_of(k) == j] for j in [-1, *ids]}
    head, columns = ["HIERARCHY"], []

    def joint(j, depth):
        p, pad = parent_of(j), "\t" * depth
        place = np.zeros(3)
        if p >= 0:
            # Where nothing but the parent's own chain turns, the bone is where the parent's rotation left it.
            place = np.median(np.einsum("tji,tj->ti", W[p], places[j] - places[p]), axis=0)
        local = W[j] if p < 0 else W[p].transpose(0, 2, 1) @ W[j]
        angles = Rotation.from_matrix(local).as_euler(order, degrees=True)
        kind = "ROOT" if p < 0 and not extra else "JOINT"
        head.extend([f"{pad}{kind} {names[JOINT_NAMES[j]]}", f"{pad}{{"])
        head.append(f"{pad}\tOFFSET {place[0]:.6f} {place[1]:.6f} {place[2]:.6f}")
        turns = " ".join(f"{axis}rotation" for axis in order)
        if p < 0:
            head.append(f"{pad}\tCHANNELS 6 Xposition Yposition Zposition {turns}")
            columns.append(places[j])
        else:
            head.append(f"{pad}\tCHANNELS 3 {turns}")
        columns.append(angles)
        for child in children[j]:
            joint(child, depth + 1)
        if not children[j]:
            head.extend([f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET 0.0 0.1 0.0", f"{pad}\t}}"])
        head.append(f"{pad}}}")

    if extra:
        head.extend(["ROOT joint_Root", "{", "\tOFFSET 0 0 0", "\tCHANNELS 3 Zrotation Xrotation Yrotation"])
        columns.append(np.zeros((motion.num_frames, 3)))
    joint(ids[0], int(extra))
    if extra:
        head.append("}")
    values = np.concatenate(columns, axis=1)
    rows = [" ".join(f"{value:.6f}" for value in row) for row in values]
    return "\n".join([*head, "MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / motion.fps:.7f}", *rows]) + "\n"


def a_pose():
    """World rotations of our joints with the arms hanging at 40 degrees from straight down, legs a little apart."""
    motion = Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=30.0)
    motion.body_pose[0, JOINT["left_shoulder"] - 1, 2] = -0.87
    motion.body_pose[0, JOINT["right_shoulder"] - 1, 2] = 0.87
    motion.body_pose[0, JOINT["left_hip"] - 1, 2] = 0.1
    motion.body_pose[0, JOINT["right_hip"] - 1, 2] = -0.1
    return forward_kinematics(motion, MEAN)[0, :, :3, :3].double().numpy()


def along_x(seed=0):
    """World rotations of a rest pose that is no person: every bone along x, twisted at random, as in LAFAN1."""
    from scipy.spatial.transform import Rotation

    from synthaug.body.skeleton import PARENTS

    rng = np.random.default_rng(seed)
    joints = MEAN.joints.double().numpy()
    result = np.tile(np.eye(3), (55, 1, 1))
    for j in range(55):
        children = [k for k in range(55) if PARENTS[k] == j]
        if not children or j == 0:
            result[j] = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
            continue
        bone = joints[children[0]] - joints[j]
        onto, _ = Rotation.align_vectors([[1.0, 0, 0]], [bone])
        result[j] = (Rotation.from_rotvec([rng.uniform(-3, 3), 0, 0]) * onto).as_matrix()
    return result
