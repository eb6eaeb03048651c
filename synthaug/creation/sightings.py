"""Frames of one person with all that is known of them: what a person is learnt from."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from synthaug.structures import Camera, Motion


@dataclass(frozen=True, eq=False)
class Sightings:
    """Frames in which one person is seen, all cut to the person and of one size.

    Attributes:
        pictures: sRGB.
        masks: How much of each pixel shows the person, 0 to 1.
        known: Pixels about which the mask is sure; no loss counts the others.
        camera: One view for each frame, of these pictures.
        motion: The person's pose in each frame, as far as it was found.
        times: Seconds of each frame in its film, ascending within a film.
        films: Which film each frame is from.
    """

    pictures: UInt8[Tensor, "frame 3 height width"]
    masks: Float[Tensor, "frame height width"]
    known: Bool[Tensor, "frame height width"]
    camera: Camera
    motion: Motion
    times: Float[Tensor, " frame"]
    films: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, rows: "list[int] | Tensor") -> "Sightings":
        """Some of the frames."""
        at = torch.as_tensor(rows)
        camera = replace(self.camera, viewmats=self.camera.viewmats[at], Ks=self.camera.Ks[at])
        motion = Motion.from_pose(self.motion.pose[at], self.motion.transl[at], fps=self.motion.fps)
        films = tuple(self.films[int(k)] for k in at)
        return Sightings(self.pictures[at], self.masks[at], self.known[at], camera, motion, self.times[at], films)


def scale(sightings: Sightings, size: int) -> Sightings:
    """The same frames with this longer side; averaged over each new pixel."""
    height, width = sightings.pictures.shape[-2:]
    if size >= max(height, width):
        return sightings
    share = size / max(height, width)
    to = (max(8, round(height * share)), max(8, round(width * share)))
    pictures = [interpolate(one[None].float(), to, mode="area")[0] for one in sightings.pictures]
    masks = interpolate(sightings.masks[:, None], to, mode="area")[:, 0]
    known = interpolate(sightings.known[:, None].float(), to, mode="area")[:, 0] > 0.5
    Ks = sightings.camera.Ks.clone()
    Ks[:, 0] *= to[1] / width
    Ks[:, 1] *= to[0] / height
    camera = Camera(sightings.camera.viewmats, Ks, to[1], to[0])
    return replace(
        sightings, pictures=torch.stack(pictures).round().to(torch.uint8), masks=masks, known=known, camera=camera
    )
