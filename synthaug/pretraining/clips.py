"""Endless synthetic clips of procedural and random motions, each with the truth about its person."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from synthaug.body.skeleton import JOINT
from synthaug.motions.actions import ACTIONS, perform
from synthaug.motions.files.views import frontal_camera
from synthaug.motions.procedural.random_poses import move_randomly
from synthaug.motions.procedural.style import FAMILIES, sample_style
from synthaug.structures import Camera, ClipFormat, Record, Reference
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.references import References

NUM_JOINTS = 22
"""Joints of the body, in SMPL-X's order; fingers and face are too small."""
RANDOM = -1
"""Label of a clip that shows no action."""
_MOTIONS_STREAM, _CLIPS_STREAM = 41, 42
"""Random streams."""
MOTION_FPS = 25.0
MOTION_SECONDS = (1.5, 5.0)


@dataclass(frozen=True)
class Truth:
    """What is known about the acting person of a clip.

    Attributes:
        joints_2d: Places in the picture, as shares of its width and height; 0..1 lies within.
        joints_3d: Metres from the pelvis, in the body's own frame: its left, up, and where it faces.
        speed: Metres a second.
        facing: Sine and cosine of the angle from the camera's direction to where the person faces: 0, 1 faces it.
        action: Index into `ACTIONS`, or RANDOM.
    """

    joints_2d: Float[Tensor, "time 22 2"]
    joints_3d: Float[Tensor, "time 22 3"]
    speed: Float[Tensor, "time 22"]
    facing: Float[Tensor, "time 2"]
    action: int


def make_motions(count: int, *, random_share: float, seed: int) -> References:
    """Motions to film: procedural actions in turn, in random styles, and random motions.

    Args:
        count: Number of motions.
        random_share: How many of them are random.
        seed: Decides them all.

    Raises:
        ValueError: If a number is out of range.
    """
    if count < 1 or not 0 <= random_share <= 1:
        raise ValueError(
            f"Expected at least one motion and a share of random ones from 0 to 1, got {count} and {random_share}."
        )
    records, by_key = [], {}
    families = sorted(FAMILIES)
    for number in range(count):
        rng = np.random.default_rng([seed, _MOTIONS_STREAM, number])
        seconds = float(rng.uniform(*MOTION_SECONDS))
        if rng.random() < random_share:
            key, label = f"random/{number}", len(ACTIONS)
            motion = move_randomly(rng, fps=MOTION_FPS, seconds=seconds)
        else:
            label = number % len(ACTIONS)
            key = f"{ACTIONS[label]}/{number}"
            style = sample_style(rng, families[int(rng.integers(len(families)))])
            motion = perform(ACTIONS[label], style, fps=MOTION_FPS, seconds=seconds)
        records.append(Record(key, Path(key), label, "procedural", "", 0.0, motion.duration))
        by_key[key] = Reference(motion=motion, camera=frontal_camera(motion.num_frames))
    return References(tuple(records), by_key, {})


class PretrainingClips(Dataset):
    """Synthetic clips by number, without end: each number gives another clip, and the same one every time.

    Args:
        synthesis: People, views, places and sensor. Its thresholds of visibility are ignored: people at the picture's
            edge are to be learnt too.
        motions: What `make_motions` made.
        clip: Number of frames and size; the frame rate is sampled for each clip.
        fps: Between which frame rates.
        seed: Decides every clip.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        motions: References,
        clip: ClipFormat,
        *,
        fps: tuple[float, float] = (4.0, 12.0),
        seed: int = 0,
    ) -> None:
        background = synthesis.background.prepare(motions.films)
        taken = replace(
            synthesis, background=background, min_shown=0.0, min_shown_half_second=0.0, mirror=0.0, cache=None
        )
        self.synthesizer = Synthesizer(taken, motions, clip, seed=seed)
        self.fps = fps
        self.seed = seed

    def __getitem__(self, number: int) -> dict[str, Tensor | int]:
        """`video` [T 3 H W] in uint8, and the fields of its `Truth`."""
        rng = np.random.default_rng([self.seed, _CLIPS_STREAM, number])
        index = int(rng.integers(len(self.synthesizer)))
        recipe = self.synthesizer.sample(index, generation=1 + number)
        recipe = replace(recipe, fps=round(float(rng.uniform(*self.fps)), 2))
        job = self.synthesizer.stage(recipe)
        video = self.synthesizer.finish(recipe, job, self.synthesizer.render_people(job)).video
        truth = tell_truth(job.joints[0], job.camera, recipe.fps, recipe.label)
        return {"video": video, **vars(truth)}


def tell_truth(joints: Float[Tensor, "time 55 3"], camera: Camera, fps: float, label: int) -> Truth:
    """The truth about a person.

    Args:
        joints: World positions, y up.
        camera: The camera that films them.
        fps: Frames per second.
        label: Of the motion: an index into ACTIONS, or beyond them.
    """
    body = joints[:, :NUM_JOINTS].float()
    R, t = camera.viewmats[:, :3, :3].float(), camera.viewmats[:, :3, 3].float()
    local = torch.einsum("tij,tkj->tki", R, body) + t[:, None]
    pixels = torch.einsum("tij,tkj->tki", camera.Ks.float(), local / local[..., 2:].clamp(min=0.05))[..., :2]
    frame = find_body_frame(body)
    change = body.diff(dim=0).norm(dim=-1) * fps if len(body) > 1 else body.new_zeros(0, NUM_JOINTS)
    # The camera looks along its own z; a person who faces it looks along minus that.
    towards = torch.einsum("tij,ti->tj", frame, -R[:, 2])
    flat = torch.nn.functional.normalize(towards[:, [0, 2]], dim=-1, eps=1e-6)
    return Truth(
        joints_2d=pixels / pixels.new_tensor([camera.width, camera.height]),
        joints_3d=torch.einsum("tij,tki->tkj", frame, body - body[:, :1]),
        speed=torch.cat([change[:1], change]) if len(change) else body.new_zeros(len(body), NUM_JOINTS),
        facing=flat,
        action=label if label < len(ACTIONS) else RANDOM,
    )


def find_body_frame(joints: Float[Tensor, "time 22 3"]) -> Float[Tensor, "time 3 3"]:
    """Axes of the body in the world, as columns: its left along the hips, up (vertical), and forward, level.

    Where the hips stand one above the other, as in people who lie on their side, the shoulders tell left.
    """
    up = joints.new_tensor([0.0, 1.0, 0.0]).expand(len(joints), 3)
    hips = joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]
    shoulders = joints[:, JOINT["left_shoulder"]] - joints[:, JOINT["right_shoulder"]]
    across = (hips + 0.3 * shoulders) * joints.new_tensor([1.0, 0.0, 1.0])
    left = torch.nn.functional.normalize(across, dim=-1, eps=1e-6)
    return torch.stack([left, up, torch.linalg.cross(left, up)], dim=-1)


def collate(clips: Sequence[dict[str, Tensor | int]]) -> dict[str, Tensor]:
    """A batch of clips."""
    return {
        name: torch.stack([clip[name] for clip in clips])  # type: ignore[misc]
        if isinstance(first, Tensor)
        else torch.tensor([clip[name] for clip in clips])
        for name, first in clips[0].items()
    }
