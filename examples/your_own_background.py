"""Add a background: a class in a file of your own, checked, and used in place of the default one.

`python examples/your_own_background.py sky.mp4` writes a synthetic clip in front of it. For `synthaug train`, a YAML
names the class: see CONTRIBUTING.md.
"""

import sys
from pathlib import Path
from typing import final

import numpy as np
import torch

import synthaug as sa
from synthaug.motions.actions import Actions
from synthaug.synthesis.references import gather
from synthaug.testing import check_background
from synthaug.video import write_video


@final
class Sky(sa.Background):
    """A flat gradient between two colours: from the horizon's to the zenith's."""

    @property
    def fingerprint(self) -> str:
        """Raised whenever the same values would show other pixels: it is part of cache keys."""
        return "sky-1"

    def sample(self, rng: np.random.Generator) -> sa.Values:
        """Chance belongs here, and only plain values come out: they are kept in the recipe."""
        horizon, zenith = rng.uniform(200, 250, 3), rng.uniform((20, 70, 150), (80, 130, 230))
        return {"horizon": horizon.tolist(), "zenith": zenith.tolist()}

    def scene(self, values: sa.Values, camera: sa.Camera) -> sa.Scene:
        """No chance here: the same values give the same picture, as large and as long as the camera's."""
        horizon, zenith = torch.tensor(values["horizon"]), torch.tensor(values["zenith"])
        height = torch.linspace(1, 0, camera.height)[:, None]
        column = (horizon + (zenith - horizon) * height).round().to(torch.uint8)  # [height, 3]
        picture = column.T[:, :, None].expand(3, camera.height, camera.width)
        return sa.Scene(picture.expand(len(camera.viewmats), -1, -1, -1))


def main() -> None:
    check_background(Sky())
    synth = sa.default_synthesis(motion=Actions(), background=Sky(), identities=1, backgrounds=1)
    record = sa.Record("jump up/studio/4", Path("none"), label=0, subject="", camera="", start=0.0, end=4.0)
    clip_format = sa.ClipFormat(num_frames=16, fps=8.0, size=160)
    synthesizer = sa.Synthesizer(synth, gather([record], synth.motion), clip_format, seed=1)
    clip = synthesizer.render(synthesizer.sample(0))
    path = Path(sys.argv[1] if sys.argv[1:] else "sky.mp4")
    write_video(path, clip.video, fps=8.0)
    print(f"Sky keeps what backgrounds promise, and is behind the clip in {path}.")


if __name__ == "__main__":
    main()
