"""Sway any camera path as an unsteady hand does."""

import math
from dataclasses import replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.cameras import CameraPath
from synthaug.structures import Camera, Values

NUM_WAVES = 3
"""Sinusoids for each of the six degrees of freedom: few enough to stay smooth, enough not to look periodic."""
CYCLES_PER_CLIP = (0.2, 2.5)
"""About 0.1 to 1 Hz in a clip of 2.5 s: the slow part of hand tremor and breathing. A camera path knows frames and not
seconds, so the clip is the unit."""


@final
class Handheld(CameraPath):
    """Another path with a smooth sway of direction and place added, as if the camera were held by hand.

    The sway is a sum of sinusoids with random amplitudes, frequencies and phases. Zero amplitudes give the inner path
    exactly.

    Args:
        inner: The path that sways.
        rotation_deg: Root mean square of each of the three rotations, degrees.
        translation: Root mean square of each of the three shifts, metres.
    """

    def __init__(self, inner: CameraPath, rotation_deg: float = 0.5, translation: float = 0.01) -> None:
        if rotation_deg < 0 or translation < 0:
            raise ValueError(
                f"Expected rotation_deg and translation to be 0 or more, got {rotation_deg} and {translation}. "
                "Set them to 0 to hold the camera still."
            )
        self.inner = inner
        self.rotation_deg = rotation_deg
        self.translation = translation

    def sample(self, rng: np.random.Generator) -> Values:
        """Sample the inner path's values, and amplitude, cycles and phase of every wave."""
        inner = self.inner.sample(rng)
        # A sine of amplitude a has mean square a^2 / 2, and the shares of a Dirichlet sample add up to 1.
        shares = rng.dirichlet(np.ones(NUM_WAVES), size=6)
        scales = np.repeat([math.radians(self.rotation_deg), self.translation], 3)[:, None]
        amplitudes = np.sqrt(2 * shares) * scales
        cycles = rng.uniform(*CYCLES_PER_CLIP, size=(6, NUM_WAVES))
        phases = rng.uniform(0, 2 * math.pi, size=(6, NUM_WAVES))
        return {"inner": inner, "waves": np.stack([amplitudes, cycles, phases], axis=-1).tolist()}

    def aim(self, camera: Camera, points: Float[Tensor, "time point 3"]) -> Camera:
        """Aim as the inner path does."""
        return self.inner.aim(camera, points)

    def path(self, values: Values, reference: Camera, centre: Float[Tensor, "3"]) -> Camera:
        """Sway the inner path in the camera's own axes."""
        held = self.inner.path(values["inner"], reference, centre)  # type: ignore[arg-type]
        waves = torch.tensor(values["waves"], dtype=torch.float64)
        count = len(held.viewmats)
        clip_time = torch.arange(count, dtype=torch.float64)[:, None, None] / max(count, 1)
        amplitudes, cycles, phases = waves.unbind(-1)
        sway = (amplitudes * torch.sin(2 * math.pi * cycles * clip_time + phases)).sum(-1)
        T_swayed_camera = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
        T_swayed_camera[:, :3, :3] = axis_angle_to_matrix(sway[:, :3])
        T_swayed_camera[:, :3, 3] = sway[:, 3:]
        return replace(held, viewmats=(T_swayed_camera @ held.viewmats.double()).to(held.viewmats))
