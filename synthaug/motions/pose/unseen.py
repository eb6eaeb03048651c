"""Let people stand whose legs no frame shows, in place of the legs that a network makes up for them. Pure functions.

Who fills the picture has legs below its edge. The network's guess is a crouch, a kick or a split, another in each film,
and seen from elsewhere it would be the action.
"""

from dataclasses import replace

import torch
from torch.nn.functional import normalize

from synthaug.motions.fitting.landmarks import Landmarks

_KNEES, _HIPS, _SHOULDERS = (25, 26), (23, 24), (11, 12)
_SHOWN = 0.1
"""Share of the frames in which a knee must be in the picture for legs to count as seen."""
_UPRIGHT = 0.7
"""Cosine of the trunk's angle to the vertical, median over frames, from which somebody is upright."""
_BONE = 0.42
"""Metres of a thigh and of a shin; a fit resizes them."""
_HEEL, _TOE = (0.06, -0.05), (0.07, 0.13)
"""Metres down and forward from the ankle."""
_GUESSED = 0.2
"""Visibility of such legs: enough to decide where nothing else does."""


def are_legs_unseen(seen: Landmarks, size: tuple[int, int]) -> bool:
    """Whether an upright person's knees are never in the picture, or only in a tenth of the frames.

    Of somebody who lies, with the legs beyond the picture's edge, nothing is known: such people do not stand.

    Args:
        seen: One row a frame.
        size: Height and width of the film's picture.
    """
    shown = seen.inside(size)[seen.found][:, list(_KNEES)]
    if not len(shown) or float(shown.float().mean(0).max()) >= _SHOWN:
        return False
    world = seen.world[seen.found]
    trunk = normalize(world[:, list(_HIPS)].mean(1) - world[:, list(_SHOULDERS)].mean(1), dim=-1)
    return float(trunk[:, 1].median()) > _UPRIGHT


def stand_unseen_legs(seen: Landmarks, size: tuple[int, int]) -> Landmarks:
    """The landmarks with straight legs below the hips, where `are_legs_unseen`.

    Legs hang down even while the trunk bows, since a camera is level as far as is known without them, and feet point to
    where the hips face. Landmarks of somebody whose legs are seen come back as they are.

    Args:
        seen: One row a frame.
        size: Height and width of the film's picture.
    """
    if not are_legs_unseen(seen, size):
        return seen
    found = seen.found
    world, pixels, visibility = seen.world.clone(), seen.pixels.clone(), seen.visibility.clone()
    down = torch.tensor([0.0, 1.0, 0.0]).to(world)
    across = world[:, _HIPS[0]] - world[:, _HIPS[1]]
    scale, ahead = _find_scale(seen), normalize(torch.cross(down.expand_as(across), across, dim=-1), dim=-1)
    for side, hip in enumerate(_HIPS):
        knee, ankle, heel, toe = (first + side for first in (25, 27, 29, 31))
        world[:, knee] = world[:, hip] + _BONE * down
        world[:, ankle] = world[:, knee] + _BONE * down
        for point, (below, forward) in ((heel, _HEEL), (toe, _TOE)):
            world[:, point] = world[:, ankle] + below * down + forward * ahead
        for point in (knee, ankle, heel, toe):
            aside = (world[:, point] - world[:, hip])[:, :2]
            pixels[:, point] = pixels[:, hip] + scale * aside
            visibility[:, point] = torch.where(found, torch.full_like(visibility[:, point], _GUESSED), 0.0)
    return replace(seen, world=world, pixels=pixels, visibility=visibility)


def _find_scale(seen: Landmarks) -> float:
    """Pixels of a metre at the person, by the longest trunks: shorter ones lean to or from the camera."""
    found = seen.found
    trunks = [(part[found][:, list(_SHOULDERS)].mean(1) - part[found][:, list(_HIPS)].mean(1)).norm(dim=-1)
              for part in (seen.pixels, seen.world)]  # fmt: skip
    return float((trunks[0] / trunks[1].clamp(min=0.1)).quantile(0.75))
