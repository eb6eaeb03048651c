"""Make an avatar of the person in identity film: evidence, learning, filling, and what held-out frames say of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from synthaug.avatars.pack.about import About
from synthaug.avatars.pack.format import Extras, Pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skinning import pose_frame
from synthaug.creation import CreationError, Cutouts, Feature, combine
from synthaug.creation.filling import count_seen, fill_unseen, measure_sight
from synthaug.creation.learning import Course, LearningState, Lesson, Splat, learn, refit_poses
from synthaug.creation.person import Unknowns, dress_surface, pose_person
from synthaug.creation.saving import load_state, save_state
from synthaug.creation.sightings import Sightings
from synthaug.creation.surface import Surface, build_surface
from synthaug.files import digest_of
from synthaug.progress import track
from synthaug.structures import Gaussians, Motion

HELD_OUT = 8
"""Every how many frames one is kept from learning, to be looked at afterwards."""
KEEP_STEPS = 200
"""Every how many steps the state of learning is kept: some twenty seconds of one core."""
SHOWN = 6
"""Held-out frames of which pictures are kept."""
_LEAST_TRUST = 0.3


@dataclass(frozen=True)
class Plan:
    """How an avatar is made.

    Attributes:
        gaussians: Of the finest level.
        course: Stages of learning.
    """

    gaussians: int = 16_000
    course: Course = Course()


@dataclass(frozen=True)
class HeldOut:
    """How frames look that were not learnt from.

    Attributes:
        psnr: In the person's box, with the poses that the film gave, corrected as frames before and after are; dB.
        psnr_refitted: The same after the poses alone were fitted to these frames, as the literature reports.
        overlap: Of silhouettes (intersection over union), poses refitted.
        pictures: Some held-out frames, and the avatar in them with poses refitted and with poses of the film.
    """

    psnr: float
    psnr_refitted: float
    overlap: float
    pictures: tuple[UInt8[Tensor, "shown 3 side side"], ...]


@dataclass(frozen=True, eq=False)
class Created:
    """A person out of film.

    Attributes:
        surface: The canonical surface.
        unknowns: What was learnt, unseen parts filled.
        seen: Points that film shows.
        heldout: Figures of held-out frames.
        learnt: Frames learnt from.
        views: Shares of learnt frames in which the person faces the camera, the left, away and the right.
    """

    surface: Surface
    unknowns: Unknowns
    seen: Bool[Tensor, " point"]
    heldout: HeldOut
    learnt: Sightings
    views: tuple[float, float, float, float]

    def pack(self, about: About) -> Pack:
        """One level in the T-pose; levels of detail are added by `add_levels`."""
        skeleton = self.surface.skeleton(self.unknowns.build)
        rest = Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0)
        person = settle(dress_surface(self.surface, self.unknowns, rest))
        figures = {
            "heldout_db": round(self.heldout.psnr, 2),
            "heldout_db_refitted": round(self.heldout.psnr_refitted, 2),
            "overlap": round(self.heldout.overlap, 4),
            "seen": round(float(self.seen.float().mean()), 3),
            "frames": float(len(self.learnt)),
        }
        rig = AvatarRig(skeleton.joints.detach(), torch.zeros(55, 3))
        about = replace(about, quality=figures, height=about.height or round(stature(person), 3))
        return Pack(about, rig, (person,), Extras(betas=self.unknowns.betas.detach()))


def settle(person: Gaussians) -> Gaussians:
    """The same Gaussians without a graph, in the ranges of packs."""
    values = {name: getattr(person, name).detach().contiguous() for name in ("means", "quats", "scales", "weights")}
    return replace(
        person, **values, colors=person.colors.detach().clamp(0, 1), opacities=person.opacities.detach().clamp(0, 1)
    )


def stature(person: Gaussians) -> float:
    """Metres from the lowest to the highest Gaussian, hair and soles included."""
    return float(person.means[:, 1].max() - person.means[:, 1].min())


def create_person(
    cutouts: Cutouts,
    features: Sequence[Feature],
    splat: Splat,
    *,
    plan: Plan = Plan(),
    keep: Path | None = None,
) -> Created:
    """Learn one person from cutouts of their film.

    Args:
        cutouts: Frames, with poses.
        features: What says where the person is in them.
        splat: The differentiable renderer.
        plan: How many Gaussians, and the stages of learning.
        keep: File that keeps the state of learning every `KEEP_STEPS` steps; a run that was stopped goes on from it.

    Raises:
        CreationError: If too few frames agree with their evidence.
    """
    sightings = gather(cutouts, features)
    surface, aside = build_surface(plan.gaussians), torch.arange(len(sightings)) % HELD_OUT == HELD_OUT // 2
    learnt, tested = sightings.take((~aside).nonzero()[:, 0]), sightings.take(aside.nonzero()[:, 0])
    digest = digest_of(learnt.pictures, learnt.masks, learnt.known, learnt.motion.pose, repr(plan))
    state = None if keep is None else load_state(keep, digest)
    state = state or LearningState(Unknowns.start(surface, len(learnt)))
    lesson = Lesson(surface, learnt, splat, plan.course)
    steps = track(
        learn(lesson, state), "Learning the person, in steps", plan.course.steps, done=state.done,
        note=lambda progress: f"{progress.psnr:.1f} dB",
    )  # fmt: skip
    for progress in steps:
        if keep is not None and progress.done % KEEP_STEPS == 0:
            save_state(keep, state, digest)
    heldout = judge(lesson, state.unknowns, tested)
    seen = count_seen(measure_sight(lesson, state.unknowns))
    filled = fill_unseen(surface, state.unknowns, seen)
    return Created(surface, filled, seen, heldout, learnt, facing(learnt))


def gather(cutouts: Cutouts, features: Sequence[Feature]) -> Sightings:
    """The cutouts with all evidence; frames with which it disagrees are left out.

    Raises:
        CreationError: If fewer than 8 are left.
    """
    evidence = combine([feature.observe(cutouts) for feature in features])
    rows = (evidence.trust >= _LEAST_TRUST).nonzero()[:, 0]
    if len(rows) < HELD_OUT:
        names = ", ".join(path.name for path in cutouts.films)
        raise CreationError(
            f"Expected silhouettes that agree with the poses in at least {HELD_OUT} frames of {names}, got "
            f"{len(rows)} of {len(cutouts)}. Film one person, whole and alone, before a background of another colour."
        )
    return Sightings(
        pictures=cutouts.pictures,
        masks=evidence.masks,
        known=evidence.known & cutouts.inside,
        camera=cutouts.camera,
        motion=cutouts.motion,
        times=cutouts.times,
        films=tuple(int(number) for number in cutouts.film),
    ).take(rows)


def judge(lesson: Lesson, unknowns: Unknowns, tested: Sightings, *, steps: int = 60) -> HeldOut:
    """How well held-out frames are met, with poses interpolated from learnt frames and with poses refitted."""
    carried, test = carry_poses(unknowns, lesson.sightings, tested), replace(lesson, sightings=tested)
    refitted, frames = refit_poses(test, carried, steps=steps), range(len(tested))
    before, after = ([_compare_frame(test, one, frame) for frame in frames] for one in (carried, refitted))
    shown = np.linspace(0, len(tested) - 1, min(SHOWN, len(tested))).round().astype(int)
    pictures = [torch.stack([found[frame].picture for frame in shown]) for found in (after, before)]
    return HeldOut(
        psnr=float(np.median([one.psnr for one in before])),
        psnr_refitted=float(np.median([one.psnr for one in after])),
        overlap=float(np.median([one.overlap for one in after])),
        pictures=(tested.pictures[torch.from_numpy(shown)], *pictures),
    )


@dataclass(frozen=True, eq=False)
class _Comparison:
    """One frame: PSNR in the person's box over mid-grey, overlap of silhouettes, and the avatar over the film."""

    psnr: float
    overlap: float
    picture: UInt8[Tensor, "3 side side"]


def carry_poses(unknowns: Unknowns, learnt: Sightings, tested: Sightings) -> Unknowns:
    """The person with corrections of poses for other frames: those of the nearest learnt frames, before and after."""
    rows, shares = [], []
    for film, time in zip(tested.films, tested.times, strict=True):
        own = [k for k, other in enumerate(learnt.films) if other == film] or list(range(len(learnt)))
        distance = torch.tensor([abs(float(learnt.times[k] - time)) for k in own])
        near = distance.argsort()[:2]
        share = 1 / (distance[near] + 0.02)
        rows.append([own[int(k)] for k in near] if len(near) == 2 else [own[int(near[0])]] * 2)
        shares.append((share / share.sum()).tolist() if len(near) == 2 else [0.5, 0.5])
    at, weight = torch.tensor(rows), torch.tensor(shares)

    def carry(values: Tensor) -> Tensor:
        flat = values.reshape(len(values), -1)
        return (weight[..., None] * flat[at]).sum(1).reshape(-1, *values.shape[1:])

    return replace(unknowns, turns=carry(unknowns.turns), shifts=carry(unknowns.shifts), gains=carry(unknowns.gains))


def _compare_frame(lesson: Lesson, unknowns: Unknowns, frame: int) -> _Comparison:
    sightings = lesson.sightings
    with torch.no_grad():
        person = settle(pose_person(lesson.surface, unknowns, sightings.motion, frame))
        rgb, alpha = lesson.splat(pose_frame(person, 0), lesson.view(frame))
    mask, known, film = sightings.masks[frame], sightings.known[frame], sightings.pictures[frame].float() / 255
    rgb = (rgb * (1 + unknowns.gains[frame])[:, None, None]).clamp(0, 1)
    picture = ((rgb + (1 - alpha) * 0.8) * 255).round().clamp(0, 255).to(torch.uint8)
    rows, columns = (mask > 0.5).any(1).nonzero()[:, 0], (mask > 0.5).any(0).nonzero()[:, 0]
    if not len(rows):
        return _Comparison(0.0, 0.0, picture)
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    apart = rgb + (1 - alpha) * 0.5 - film * mask - (1 - mask) * 0.5
    error = (apart.square().mean(0) * known)[box].sum() / known[box].sum().clamp(min=1)
    ours, theirs = (alpha[0] > 0.5) & known, (mask > 0.5) & known
    overlap = float((ours & theirs).sum() / (ours | theirs).sum().clamp(min=1))
    return _Comparison(-10 * math.log10(max(float(error), 1e-10)), overlap, picture)


def facing(sightings: Sightings) -> tuple[float, float, float, float]:
    """Shares of frames in which the person shows the camera the front, the left side, the back and the right side."""
    ahead = axis_angle_to_matrix(sightings.motion.global_orient)[:, :, 2]
    seen = torch.einsum("tij,tj->ti", sightings.camera.viewmats[:, :3, :3], ahead)
    # Camera axes: x to the right, z away from it; somebody who faces the camera looks along -z.
    angle = torch.atan2(seen[:, 0], -seen[:, 2])
    quarter = ((angle + math.pi / 4) // (math.pi / 2)).long() % 4
    front, right_seen, back, left_seen = (float((quarter == k).float().mean()) for k in range(4))
    return front, right_seen, back, left_seen
