"""Small, real parts of a whole synthesis: a folder of films, waving people made of beads, a flat background."""

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import torch

from synthaug.avatars import Avatar, AvatarPool
from synthaug.body.skeleton import JOINT, PARENTS, mean_skeleton, resample, rest_to_world
from synthaug.cameras.original import Original
from synthaug.datasets import ActionDataset, Protocol, Split
from synthaug.motions import MotionSource, MotionVariation, UnusableClipError
from synthaug.renderers import BatchRenderer
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Gaussians, Motion, Record, Reference
from synthaug.video import write_video

CLASSES = ("wave left", "wave right")


def camera(time, *, side=64, distance=3.0):
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0.95], [0, 0, -1, distance], [0, 0, 0, 1]])
    K = torch.tensor([[side * 1.2, 0, side / 2], [0, side * 1.2, side / 2], [0, 0, 1]])
    return Camera(viewmat.expand(time, 4, 4).clone(), K.expand(time, 3, 3).clone(), side, side)


def wave(record, *, fps=10.0):
    """Arms down and one forearm waving, at a speed that depends on the key."""
    time = max(2, round((record.end - record.start) * fps))
    speed = 2 + int(hashlib.sha256(record.key.encode()).hexdigest(), 16) % 5
    pose = torch.zeros(time, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -1.2, 1.2
    side, sign = ("left", 1.0) if record.label == 0 else ("right", -1.0)
    pose[:, JOINT[f"{side}_elbow"], 2] = sign * (1.2 + 0.5 * torch.sin(torch.arange(time) / fps * speed))
    transl = torch.tensor([[0.0, 0.98, 0.0]]).repeat(time, 1)
    return Motion.from_pose(pose, transl, fps=fps)


class Waves(MotionSource):
    """Makes up the motion of each film; keys that contain `unusable` are errors."""

    fingerprint = "waves"

    def reads(self, record):
        return ()

    def load(self, record):
        if "unusable" in record.key:
            raise UnusableClipError("Expected somebody who waves, got nobody. Leave the clip out.")
        motion = wave(record)
        return Reference(motion, camera(motion.num_frames), 0.9, {})


class Pairs(Waves):
    """Everybody waves to somebody a step to their left, who stands still."""

    fingerprint = "pairs"

    def load(self, record):
        one = super().load(record)
        still = torch.zeros_like(one.motion.pose)
        still[:, JOINT["left_shoulder"], 2], still[:, JOINT["right_shoulder"], 2] = -1.2, 1.2
        beside = one.motion.transl + torch.tensor([0.9, 0.0, 0.0])
        return Reference(one.motion, one.camera, 0.9, {}, (Motion.from_pose(still, beside, fps=one.motion.fps),))


class Sitting(Waves):
    """Everybody sits upright on a seat that is not there, facing the camera, hands in the lap."""

    fingerprint = "sitting"

    def load(self, record):
        pose = torch.zeros(20, 55, 3)
        for side in ("left", "right"):
            pose[:, JOINT[f"{side}_hip"], 0], pose[:, JOINT[f"{side}_knee"], 0] = -1.5, 1.5
        pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -1.2, 1.2
        motion = Motion.from_pose(pose, torch.tensor([[0.0, 0.55, 0.0]]).repeat(20, 1), fps=10.0)
        return Reference(motion, camera(20), 0.9, {})


class Slower(MotionVariation):
    """Bends the spine a little: a variation with a visible effect."""

    def sample(self, rng):
        return {"lift": float(rng.uniform(0, 0.1))}

    def vary(self, motion, values, times):
        motion = resample(motion, times)
        pose = motion.pose.clone()
        pose[:, JOINT["spine1"], 0] += float(values.get("lift", 0.0))
        return Motion.from_pose(pose, motion.transl, fps=motion.fps)


class Beads(Avatar):
    """Beads along the bones, in the identity's own colours."""

    skeleton = mean_skeleton()

    def __init__(self, identity):
        self.identity = identity

    @property
    def digest(self):
        return hashlib.sha256(self.identity.encode()).hexdigest()

    def pose(self, motion):
        joints = self.skeleton.joints
        bones = [(joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0]
        shares = torch.linspace(0, 1, 5)
        means = torch.cat([torch.lerp(joints[parent], joints[joint], shares[:, None]) for joint, parent in bones])
        ids = torch.tensor([parent for _, parent in bones]).repeat_interleave(5)[:, None]
        colors = torch.rand(len(means), 3, generator=torch.Generator().manual_seed(int(self.digest[:8], 16)))
        count = len(means)
        return Gaussians(
            means=means, quats=torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1), scales=torch.full((count, 3), 0.03),
            opacities=torch.full((count,), 0.95), colors=colors, joint_ids=ids, weights=torch.ones(count, 1),
            T_world_rest=rest_to_world(motion, self.skeleton),
        )  # fmt: skip


class BeadPeople(AvatarPool):
    """A thousand of them."""

    def sample(self, count, rng):
        return tuple(f"bead-{number}" for number in rng.permutation(1000)[:count])

    def load(self, identity):
        return Beads(identity)

    def subject(self, identity):
        return ""


class FakeGpuRenderer(BatchRenderer):
    """Renders on the CPU and behaves as a GPU does: only in the process that made it, whole batches at a time."""

    def __init__(self):
        self.process, self.batches, self.prepared = os.getpid(), [], 0

    fingerprint = CpuRenderer().fingerprint

    def prepare(self):
        self.prepared += 1

    def render(self, people, camera, *, depth=False, labels=False):
        assert os.getpid() == self.process, "rendered in a worker"
        return CpuRenderer().render(people, camera, depth=depth, labels=labels)

    def render_clips(self, shots):
        self.batches.append(len(shots))
        return [self.render(shot.people, shot.camera, depth=shot.depth) for shot in shots]


class Films(ActionDataset):
    """Films of moving squares: 2 classes, `subjects` people, one film each."""

    def __init__(self, root: str, *, subjects: int = 4, seconds: float = 2.0, names: tuple = ()):
        root = Path(root)
        self._records = []
        for label in range(2):
            for subject in range(subjects):
                name = names[subject] if subject < len(names) else f"s{subject}"
                path = root / f"{label}-{name}.mp4"
                if not path.exists():
                    write_video(path, square(label, subject, round(seconds * 10)), fps=10.0)
                self._records.append(Record(f"{label}/{name}", path, label, f"s{subject}", "", 0.0, seconds))

    classes = CLASSES
    quarantine = {}
    notes = {}

    @property
    def records(self):
        return tuple(sorted(self._records, key=lambda record: record.key))

    def prepare(self):
        pass


def square(label, subject, time):
    video = torch.full((time, 3, 64, 64), 90, dtype=torch.uint8)
    for frame in range(time):
        x = int(24 + 16 * math.sin(frame / 3 + subject) * (1 if label else -1))
        video[frame, label, 20:40, x : x + 16] = 220
    return video


class BySubject(Protocol):
    """Named subjects test, one validates, the rest train."""

    separates = "subject"

    def __init__(self, test: tuple = ("s3",), val: tuple = ()):
        self.test, self.val = test, val

    def split(self, records, classes):
        part = {
            name: [r for r in records if r.subject in names] for name, names in (("test", self.test), ("val", self.val))
        }
        train = [r for r in records if r.subject not in (*self.test, *self.val)]
        return Split(tuple(train), tuple(part["val"]), tuple(part["test"]))


def plan(**changes):
    """A whole synthesis of small parts."""
    from synthaug.backgrounds.plain import Plain
    from synthaug.synthesis.synthesizer import Synthesis

    parts = {
        "motion": Waves(), "variation": Slower(), "avatar": BeadPeople(), "camera": Original(),
        "background": Plain(colors=[[90, 120, 60], [200, 200, 210]]), "renderer": CpuRenderer(),
        "sensor": None, "cache": None, "identities": 2, "backgrounds": 2,
    }  # fmt: skip
    return Synthesis(**{**parts, **changes})


def generator(seed=0):
    return np.random.default_rng(seed)


def small_pack(name, source):
    """The pack of a small procedural person at rest, with this name and source of its papers."""
    from synthaug.avatars.anny import AnnyPerson
    from synthaug.avatars.pack.about import About, Provenance
    from synthaug.avatars.pack.format import Pack
    from synthaug.avatars.pack.rig import AvatarRig

    person = AnnyPerson("studio", 7, gaussians=2500)
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    return Pack(About(name, Provenance(source)), AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))
