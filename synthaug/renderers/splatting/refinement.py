"""Refinement of levels of detail: Gaussians are optimised until their pictures look like the whole person.

`synthaug.levels` merges Gaussians; this module improves the result by gradient descent through the renderer.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skinning import pose_frame
from synthaug.levels import PER_PIXEL, SILHOUETTE, Refine
from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.splatting.gradients import splat
from synthaug.structures import Camera, Gaussians, Level

STEP_SIZES = {"colors": 0.02, "log_scales": 0.03, "means": 5e-4, "logits": 0.03}
"""Step sizes of Adam: for colours in 0..1, logarithms of scales, means in metres and logits of opacities."""
DISTANCE = 3.0
"""Metres from the camera to the person."""
FILLED = 0.7 / 1.7
"""Share of the picture's height that a metre of the person fills."""


@dataclass(frozen=True)
class Refinement(Refine):
    """Gradient descent on pictures from all around, in which the level should look like the whole person.

    The target is the whole person rendered several times larger and averaged over each pixel, as a sensor does.

    Attributes:
        steps: Steps of Adam.
        batch: Views in each step.
        factor: How much larger, along each side, the target is rendered.
        largest: Upper limit of the pictures' side, pixels.

    Source:
        Kerbl and others, "3D Gaussian Splatting for Real-Time Radiance Field Rendering", 2023 (Gaussians optimised
        through the renderer); Kingma and Ba, "Adam", 2015.
    """

    steps: int = 60
    batch: int = 2
    factor: int = 4
    largest: int = 224

    def __call__(self, person: Gaussians, level: Level) -> Level:
        """Return a better level with the same skinning. Deterministic.

        Args:
            person: All Gaussians, in the poses that the level is optimised for, pelvis at the origin.
            level: A level that was merged from them.
        """
        size = min(round(math.sqrt(len(level.means) / PER_PIXEL / SILHOUETTE) / FILLED), self.largest)
        cameras = [_view_from_around(turn / person.num_frames, size) for turn in range(person.num_frames)]
        targets = [self._render_target(person, frame, camera) for frame, camera in enumerate(cameras)]
        parameters = {
            "colors": level.colors.clone(),
            "log_scales": level.scales.log(),
            "means": level.means.clone(),
            "logits": torch.logit(level.opacities.double().clamp(1e-4, 1 - 1e-4)).float(),
        }
        moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in parameters.items()}
        rng, bare = np.random.default_rng(0), person.at(level)
        for step in range(1, self.steps + 1):
            frames = rng.choice(len(cameras), size=min(self.batch, len(cameras)), replace=False)
            gradients = _gradients(bare, parameters, [(int(i), cameras[i], targets[i]) for i in frames])
            for name, gradient in gradients.items():
                _adam(parameters[name], gradient, moments[name], STEP_SIZES[name], step)
        return dataclasses.replace(
            level,
            colors=parameters["colors"].clamp(0, 1),
            scales=parameters["log_scales"].exp(),
            means=parameters["means"],
            opacities=torch.sigmoid(parameters["logits"]),
        )

    def _render_target(self, person: Gaussians, frame: int, camera: Camera) -> Float[Tensor, "4 height width"]:
        """Premultiplied colour and alpha of the whole person in one frame: the target."""
        Ks = camera.Ks.clone()
        Ks[:, :2] *= self.factor
        large = Camera(camera.viewmats, Ks, camera.width * self.factor, camera.height * self.factor)
        alone = dataclasses.replace(person, T_world_rest=person.T_world_rest[frame : frame + 1], levels=())
        rendering = CpuRenderer(_ALL).render([alone], large)
        picture = torch.cat([rendering.rgb, rendering.alpha], dim=1).float() / 255
        return torch.nn.functional.avg_pool2d(picture, self.factor)[0]


_ALL = Splatting(per_pixel=None)


def _view_from_around(share: float, size: int) -> Camera:
    """A camera at this share of the way around the person, at changing heights, with the pelvis in the middle."""
    azimuth, elevation = 2 * math.pi * share, math.radians(12.0 + 14.0 * math.sin(10 * math.pi * share))
    away = np.array([
        math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation),
    ])  # fmt: skip
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    viewmat = torch.eye(4)
    viewmat[:3, :3] = torch.from_numpy(np.stack([right, -np.cross(away, right), -away]))
    viewmat[2, 3] = DISTANCE
    focal = FILLED * size * DISTANCE
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Camera(viewmat[None], K[None], width=size, height=size)


def _gradients(
    bare: Gaussians, parameters: dict[str, Tensor], views: list[tuple[int, Camera, Float[Tensor, "4 height width"]]]
) -> dict[str, Tensor]:
    """Gradients of the squared difference to the target, summed over these views (frame, camera, target)."""
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    moved = dataclasses.replace(
        bare,
        colors=leaves["colors"],
        scales=leaves["log_scales"].exp(),
        means=leaves["means"],
        opacities=torch.sigmoid(leaves["logits"]),
    )
    loss = torch.zeros(())
    for frame, camera, target in views:
        rgb, alpha, _ = splat(
            pose_frame(moved, frame),
            camera.viewmats[0],
            camera.Ks[0],
            height=camera.height,
            width=camera.width,
            splatting=_ALL,
        )
        loss = loss + (torch.cat([rgb, alpha]) - target).square().sum()
    found = torch.autograd.grad(loss, list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def _adam(value: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor], step_size: float, step: int) -> None:
    """Take one step in place. It is written out, since importing torch.optim takes ten seconds in each process."""
    mean, square = moments
    mean.lerp_(gradient, 0.1)
    square.lerp_(gradient.square(), 0.001)
    spread = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
    value.sub_(step_size * (mean / (1 - 0.9**step)) / spread)
