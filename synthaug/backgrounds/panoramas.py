"""Panoramas of high dynamic range as places, with their own light."""

import math
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, UInt8

from synthaug.backgrounds import Background
from synthaug.backgrounds.picture.captions import Caption, describe, read_captions
from synthaug.backgrounds.picture.radiance import Panorama, find_light, look, read_panorama
from synthaug.files import digest_of, walk_files
from synthaug.structures import Camera, Light, Scene, Values

SUFFIXES = (".exr", ".hdr")
"""File endings of panoramas, in either case."""
KEPT = 4
"""Panoramas that are kept decoded in each process: 24 MB each."""


@final
class Panoramas(Background):
    """Equirectangular `.hdr` and `.exr` files from a folder, seen through any camera, which light people themselves.

    The panorama's camera is taken to have stood where the person does, at `height` above the floor. What it shows of
    the floor stays on the floor when the view moves; all else is a wall around it and hides nobody.

    Args:
        root: The folder; folders in it are searched too. A table `captions.csv` may say what each file shows.
        height: Metres of the panoramas' camera above the floor: a tripod's.
        radius: Metres from it to the wall on which everything but the floor is seen.
    """

    def __init__(self, root: str | Path, height: float | int = 1.6, radius: float | int = 10.0) -> None:
        if not 0.2 <= height <= 20 or not 3 <= radius <= 1000:
            raise ValueError(
                f"Expected height from 0.2 to 20 m and radius from 3 to 1000 m, got height={height} and "
                f"radius={radius}. Set them under synth.background."
            )
        self.root = Path(root).expanduser()
        self.height = float(height)
        self.radius = float(radius)
        found = sorted(path for path in walk_files(self.root) if path.suffix.lower() in SUFFIXES)
        self.files = [path.relative_to(self.root).as_posix() for path in found]
        if not self.files:
            raise FileNotFoundError(
                f"Expected root='{self.root}' to hold files ending in {', '.join(SUFFIXES)}, got none. "
                "Set synth.background.root, or choose synth/background=rooms."
            )
        self.captions: dict[str, Caption] = read_captions(self.root)
        self._kept: dict[str, tuple[Panorama, Light, float]] = {}
        sizes = repr([(name, path.stat().st_size) for name, path in zip(self.files, found, strict=True)])
        self._fingerprint = f"panoramas/1/{self.height}/{self.radius}/{digest_of(sizes)}"

    @property
    def fingerprint(self) -> str:
        """Changes with the names and sizes of the files, and with how they are laid out."""
        return self._fingerprint

    def sample(self, rng: np.random.Generator) -> Values:
        """A file, and how it is turned about the vertical."""
        return {"file": self.files[int(rng.integers(len(self.files)))], "yaw_deg": float(rng.uniform(0, 360))}

    def describe(self, values: Values) -> str:
        """The panorama's caption, or else the names of its folders."""
        return describe(str(values["file"]), self.captions)

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The panorama through this camera, which comes back with it.

        Raises:
            PanoramaError: If the file is no panorama.
            FileNotFoundError: If it is gone.
            ValueError: If the camera is under the floor.
        """
        back = camera.viewmats[:, :3, :3].mT @ camera.viewmats[:, :3, 3:]
        if float(back[:, 1, 0].max()) > -0.02:
            raise ValueError(
                f"Expected a camera above the floor, got one {float(back[:, 1, 0].max()):.2f} m below it. Check the "
                "motion source's ground (y = 0), or choose synth/background=images."
            )
        panorama, light, exposure = self._read(str(values["file"]))
        yaw = math.radians(float(values["yaw_deg"]))  # type: ignore[arg-type]
        turned = _turn(camera, yaw)
        still = bool((camera.viewmats == camera.viewmats[:1]).all()) and bool((camera.Ks == camera.Ks[:1]).all())
        shots, depths = [], []
        for frame in range(1 if still else len(camera.viewmats)):
            seen, depth = look(panorama, turned, frame, height=self.height, radius=self.radius)
            shots.append(_develop(seen, exposure))
            depths.append(depth)
        frames = torch.from_numpy(np.stack(shots))
        return Scene(
            frames=frames.repeat(len(camera.viewmats), 1, 1, 1) if still else frames,
            camera=camera,
            spot=(0.0, 0.0, 0.0),
            depth=torch.from_numpy(depths[0].astype(np.float32)) if still else None,
            light=_turn_light(light, -yaw),
        )

    def _read(self, name: str) -> tuple[Panorama, Light, float]:
        if name not in self._kept:
            if not (self.root / name).is_file():
                raise FileNotFoundError(
                    f"Expected the recipe's panorama '{name}' in root='{self.root}', got none. Bring it back, or "
                    "sample new recipes."
                )
            panorama = read_panorama(self.root / name)
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[name] = (panorama, *find_light(panorama))
        return self._kept[name]


def _develop(light: Float[np.ndarray, "height width 3"], exposure: float) -> UInt8[np.ndarray, "3 height width"]:
    """SRGB pixels of linear light, with film's shoulder for what is brighter than white."""
    display = 255 * (-np.expm1(-exposure * light.astype(np.float64))) ** (1 / 2.2)
    return np.ascontiguousarray((display + 0.5).astype(np.uint8).transpose(2, 0, 1))


def _turn(camera: Camera, yaw: float) -> Camera:
    """The camera in the panorama's frame, which is the world turned by yaw about the vertical."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    T = torch.eye(4, dtype=camera.viewmats.dtype)
    T[:3, :3] = T.new_tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return Camera(camera.viewmats @ T, camera.Ks, camera.width, camera.height)


def _turn_light(light: Light, yaw: float) -> Light:
    x, y, z = light.direction
    cos, sin = math.cos(yaw), math.sin(yaw)
    return Light((cos * x + sin * z, y, -sin * x + cos * z), light.key, light.sky, light.ground)
