"""Colour what no frame shows: from the mirror image where that was seen, else from the nearest seen along the surface.

Source:
    Moon, Shiratori and Saito, "Expressive Whole-Body 3D Gaussian Avatar", ECCV 2024, colours the underside of arms from
    its nearest seen neighbours; here everything unseen is.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.avatars.procedural.figure import neighbours
from synthaug.body.skinning import pose_frame
from synthaug.creation.learning import Lesson
from synthaug.creation.person import Unknowns, pose_person
from synthaug.creation.surface import Surface

SEEN = 1.0
"""Pixels that a point must have coloured over all frames, each counted by its share, to be seen."""
_NEAREST = 6
"""Seen points that colour an unseen one without a seen twin."""


def measure_sight(lesson: Lesson, unknowns: Unknowns) -> Float[Tensor, " point"]:
    """Pixels of film that each point colours, summed over frames.

    A picture is linear in colours, so the gradient of its sum says how much of it each Gaussian is.
    """
    sightings = lesson.sightings
    total = torch.zeros(len(lesson.surface))
    for frame in range(len(sightings)):
        colors = torch.zeros(len(lesson.surface), 3, requires_grad=True)
        person = replace(pose_person(lesson.surface, unknowns, sightings.motion, frame), colors=colors)
        rgb, _ = lesson.splat(pose_frame(person, 0), lesson.view(frame))
        inside = sightings.masks[frame] * sightings.known[frame]
        total += torch.autograd.grad((rgb[0] * inside).sum(), colors)[0][:, 0]
    return total


def fill_unseen(surface: Surface, unknowns: Unknowns, seen: Bool[Tensor, " point"]) -> Unknowns:
    """The person with colours, sizes and offsets wherever film shows nothing.

    Args:
        surface: The canonical surface.
        unknowns: What was learnt.
        seen: Which points film shows; nothing is changed if it shows none.
    """
    if bool(seen.all()) or not bool(seen.any()):
        return unknowns
    places = (surface.rest + surface.worn[:, None] * surface.axes[:, 2]).numpy()
    hidden = (~seen).nonzero()[:, 0]
    twin = surface.twins[hidden]
    mirrored = seen[twin]
    known = seen.nonzero()[:, 0]
    count = min(_NEAREST, len(known))
    distance, index = neighbours(places[known.numpy()], places[hidden.numpy()], count)
    share = torch.from_numpy(1 / (distance.reshape(len(hidden), count) + 1e-3))
    share, near = share / share.sum(1, keepdim=True), known[torch.from_numpy(index.reshape(len(hidden), count))]

    def fill(values: Tensor, flip: Tensor | None = None) -> Tensor:
        flat = values.reshape(len(values), -1)
        spread = (share[..., None] * flat[near]).sum(1)
        copied = flat[twin] if flip is None else flat[twin] * flip
        filled = flat.clone()
        filled[hidden] = torch.where(mirrored[:, None], copied, spread)
        return filled.reshape(values.shape)

    # A mirrored tangent may point the other way, so only the distance from the skin is carried over.
    offsets = fill(unknowns.offsets, torch.tensor([0.0, 0.0, 1.0]))
    return replace(unknowns, colors=fill(unknowns.colors), log_scales=fill(unknowns.log_scales), offsets=offsets)


def count_seen(sight: Float[Tensor, " point"]) -> Bool[Tensor, " point"]:
    """Which points are seen."""
    return sight >= SEEN
