"""Learn a person from frames of film: colours, shape, clothes and poses, by descent through a differentiable renderer.

Coarse to fine, with a random colour behind the person, so that nothing but the person can explain its pixels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from synthaug.body.skinning import pose_frame
from synthaug.creation.adam import PER_FRAME, Adam
from synthaug.creation.person import Unknowns, pose_person
from synthaug.creation.sightings import Sightings, scale
from synthaug.creation.surface import Surface
from synthaug.structures import Camera, PosedGaussians

Splat = Callable[[PosedGaussians, Camera], tuple[Tensor, Tensor]]
"""Renders one frame, differentiable: premultiplied colour [3, height, width] and alpha [1, height, width]."""
_POSES = ("turns", "shifts")
WIDTHS = (0.15, 2.0)
"""Smallest and largest standard deviation of a disc along the surface, as shares of the spacing."""


@dataclass(frozen=True)
class Stage:
    """A part of the course of learning.

    Attributes:
        size: Longer side of the pictures, pixels.
        steps: Steps of one frame each.
        rate: Factor of all step sizes at its end; it falls there from the one before.
        poses: Whether poses move.
    """

    size: int
    steps: int
    rate: float
    poses: bool


@dataclass(frozen=True)
class Course:
    """How a person is learnt.

    Attributes:
        stages: Coarse to fine.
        structure: Weight of 1 - SSIM, beside 1 of the absolute difference.
        silhouette: Weight of the alpha's absolute difference.
        spread: Weight of differences between neighbours on the surface, of offsets (in spacings), sizes and colours.
        usual: Weight of the squares of build, offsets (in centimetres) and poses.
        seed: Decides the order of frames and the colours behind.
    """

    stages: tuple[Stage, ...] = (
        Stage(96, 900, 1.0, poses=False), Stage(96, 1500, 1.0, poses=True), Stage(160, 1500, 0.5, poses=True),
        Stage(224, 2100, 0.1, poses=True),
    )  # fmt: skip
    structure: float = 0.2
    silhouette: float = 0.2
    spread: float = 0.02
    usual: float = 0.002
    seed: int = 0

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a person is learnt from, and through.

    Attributes:
        surface: The canonical surface.
        sightings: Frames.
        splat: The renderer.
        course: Stages and weights.
    """

    surface: Surface
    sightings: Sightings
    splat: Splat
    course: Course

    def scaled(self, size: int) -> "Lesson":
        """The same with pictures of this longer side."""
        return replace(self, sightings=scale(self.sightings, size))

    def view(self, frame: int) -> Camera:
        """The camera of one frame."""
        camera, row = self.sightings.camera, slice(frame, frame + 1)
        return replace(camera, viewmats=camera.viewmats[row], Ks=camera.Ks[row])


@dataclass(frozen=True)
class Progress:
    """After a step.

    Attributes:
        done: Steps.
        steps: Steps in all.
        psnr: Of the person in the last hundred frames, dB.
    """

    done: int
    steps: int
    psnr: float


def learn(lesson: Lesson, state: "LearningState") -> Iterator[Progress]:
    """Learn in place, from where the state is to the end; yields after every step.

    Args:
        lesson: What is learnt from.
        state: Where learning is: a new one, or one that was loaded. Equal states go on equally.
    """
    rate, first, course = 1.0, 0, lesson.course
    for stage in course.stages:
        if state.done < first + stage.steps:
            scaled = lesson.scaled(stage.size)
        for step in range(max(state.done - first, 0), stage.steps):
            here = rate + (stage.rate - rate) * step / stage.steps
            error = _step(scaled, state, rate=here, poses=stage.poses)
            state.done += 1
            state.error += (error - state.error) * max(0.01, 1 / state.done)
            yield Progress(state.done, course.steps, -10 * math.log10(max(state.error, 1e-10)))
        rate, first = stage.rate, first + stage.steps


@dataclass(eq=False)
class LearningState:
    """Everything that learning changes.

    Attributes:
        unknowns: What is learnt.
        adam: Its moments.
        done: Steps so far.
        error: Running mean of the squared error within the person.
    """

    unknowns: Unknowns
    adam: Adam = field(default_factory=Adam)
    done: int = 0
    error: float = 0.1


def _step(lesson: Lesson, state: LearningState, *, rate: float, poses: bool) -> float:
    seed = lesson.course.seed
    frame = _next_frame(seed, state.done, len(lesson.sightings))
    behind = torch.from_numpy(np.random.default_rng([seed, state.done]).random(3, np.float32))[:, None, None]
    leaves = state.unknowns.leaves()
    moved = Unknowns(**leaves)
    loss, error = _compare(lesson, moved, frame, behind)
    loss = loss + _regularize(lesson, moved, frame)
    wanted = [name for name in leaves if poses or name not in _POSES]
    gradients = torch.autograd.grad(loss, [leaves[name] for name in wanted])
    state.adam.step(state.unknowns, dict(zip(wanted, gradients, strict=True)), rate=rate, frame=frame)
    state.unknowns.colors.clamp_(0, 1)
    state.unknowns.betas.clamp_(-3.5, 3.5)
    state.unknowns.cloth.clamp_(-3.5, 3.5)
    # One that grows long explains an edge in the poses that were filmed, and is a thorn in all others.
    narrow, wide = (share * lesson.surface.spacing for share in WIDTHS)
    state.unknowns.log_scales.clamp_(narrow.log()[:, None], wide.log()[:, None])
    return error


def _next_frame(seed: int, done: int, count: int) -> int:
    """Every frame once before any comes again."""
    epoch, place = divmod(done, count)
    return int(np.random.default_rng([seed, 1, epoch]).permutation(count)[place])


def _compare(lesson: Lesson, unknowns: Unknowns, frame: int, behind: Float[Tensor, "3 1 1"]) -> tuple[Tensor, float]:
    """Loss of one frame, and the squared error within the person."""
    sightings, course = lesson.sightings, lesson.course
    person = pose_person(lesson.surface, unknowns, sightings.motion, frame)
    rgb, alpha = lesson.splat(pose_frame(person, 0), lesson.view(frame))
    rgb = rgb * (1 + unknowns.gains[frame])[:, None, None]
    mask, known = sightings.masks[frame][None], sightings.known[frame][None].float()
    shown = rgb + (1 - alpha) * behind
    target = sightings.pictures[frame].float() / 255 * mask + (1 - mask) * behind
    shown, target = shown * known, target * known
    area = (mask * known).sum().clamp(min=1)
    loss = (shown - target).abs().sum() / (3 * area)
    loss = loss + course.silhouette * ((alpha - mask).abs() * known).sum() / area
    if course.structure:
        loss = loss + course.structure * (1 - ssim(shown, target)).sum() / area
    with torch.no_grad():
        error = float(((shown - target).square() * mask).sum() / (3 * area))
    return loss, error


def _regularize(lesson: Lesson, unknowns: Unknowns, frame: int) -> Tensor:
    surface, course = lesson.surface, lesson.course
    around = surface.around

    def differ(values: Tensor) -> Tensor:
        return (values[:, None] - values[around]).square().mean()

    spread = differ(unknowns.offsets / surface.spacing[:, None]) + 0.3 * differ(unknowns.log_scales)
    spread = spread + 0.3 * differ(unknowns.colors)
    usual = (unknowns.offsets / 0.01).square().mean() + (unknowns.turns[frame] / 0.1).square().mean()
    usual = usual + (unknowns.shifts[frame] / 0.05).square().mean() + (unknowns.gains[frame] / 0.1).square().mean()
    usual = usual + unknowns.betas.square().mean() + unknowns.cloth.square().mean()
    wide = unknowns.log_scales.exp() / surface.spacing[:, None]
    usual = usual + (wide - 1.2).clamp(min=0).square().mean() * 10
    return course.spread * spread + course.usual * usual


def ssim(a: Float[Tensor, "3 height width"], b: Float[Tensor, "3 height width"]) -> Float[Tensor, "height width"]:
    """Structural similarity at each pixel, mean over channels, for values in 0..1.

    Source:
        Wang and others, "Image quality assessment: from error visibility to structural similarity", 2004.
    """
    taps = torch.exp(-((torch.arange(11, dtype=a.dtype) - 5) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()

    def blur(values: Tensor) -> Tensor:
        across = conv2d(values[:, None], taps.view(1, 1, 1, -1), padding=(0, 5))
        return conv2d(across, taps.view(1, 1, -1, 1), padding=(5, 0))[:, 0]

    means = blur(torch.cat([a, b, a * a, b * b, a * b]))
    ma, mb, aa, bb, ab = means.split(3)
    cover = 2 * ma * mb + 1e-4, ma * ma + mb * mb + 1e-4
    vary = 2 * (ab - ma * mb) + 9e-4, (aa - ma * ma) + (bb - mb * mb) + 9e-4
    return ((cover[0] * vary[0]) / (cover[1] * vary[1])).mean(0)


def refit_poses(lesson: Lesson, unknowns: Unknowns, *, steps: int, size: int = 128) -> Unknowns:
    """The person with poses and brightness fitted to each frame, everything else as it is.

    Args:
        lesson: Frames, and how they are compared.
        unknowns: Rows of frames are those of the lesson's.
        steps: Of each frame.
        size: Longer side of the pictures that are compared, pixels.
    """
    own = {name: getattr(unknowns, name).clone() for name in PER_FRAME}
    state, scaled = LearningState(replace(unknowns, **own)), lesson.scaled(size)
    grey = torch.full((3, 1, 1), 0.5)
    for frame in range(len(lesson.sightings)):
        for step in range(steps):
            fixed = vars(state.unknowns)
            leaves = {name: value.detach().requires_grad_(name in PER_FRAME) for name, value in fixed.items()}
            moved = Unknowns(**leaves)
            loss = _compare(scaled, moved, frame, grey)[0] + _regularize(scaled, moved, frame)
            gradients = torch.autograd.grad(loss, [leaves[name] for name in PER_FRAME])
            found = dict(zip(PER_FRAME, gradients, strict=True))
            state.adam.step(state.unknowns, found, rate=1 - step / steps, frame=frame)
    return state.unknowns
