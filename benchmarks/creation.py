"""Measure avatars out of film whose people are known: `python -m benchmarks.creation [--people 10] [--true-poses]`.

People of the demo's street family turn around once and move freely before its pseudo-real camera
(`benchmarks.identity_film`). Each is made again as `synthaug avatar create` makes them, and compared with the true
person in new poses from new sides, 224 px: PSNR in the true person's box over mid-grey, after one factor for each
channel, since exposure and light of the film are learnt too, and with legs of the true length, since film has no scale.

Beware: the attire prior was measured on the street family, so that it has seen such clothes.

The last line is one JSON object: medians over frames and people, dB; null where nothing was measured.
"""

import argparse
import json
import math
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.identity_film import FOOTAGE, FilmedIdentity, film_people
from synthaug.avatars import Avatar
from synthaug.body.skeleton import mean_skeleton, resample, retarget
from synthaug.cli.avatar_making import find_person
from synthaug.creation.creating import Created, Plan, create_person, settle
from synthaug.creation.cutting import Choice, cut_films
from synthaug.creation.features.silhouettes import Silhouettes
from synthaug.creation.person import dress_surface
from synthaug.creation.rendering import splat_frame
from synthaug.files import read_reference
from synthaug.motions.actions import Actions
from synthaug.motions.video import VideoMotion
from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Gaussians, Motion, Record, Reference

NEW = (("kicking something", 40.0), ("drink water", -60.0), ("bow", 120.0), ("walk", 180.0), ("sit down", 90.0))
"""Actions that the film does not show, and the side in degrees from which they are seen."""
SIZE, DISTANCE, EVERY = 224, 3.4, 8
_RENDERER = CpuRenderer(Splatting(per_pixel=None))


def main() -> None:
    """Make the people and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--frames", type=int, default=320)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=16_000)
    parser.add_argument("--true-poses", action="store_true", help="poses and cameras as they were, not as film shows")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    psnr, overlap, heldout, minutes = [], [], [], []
    for one in film_people(chosen.people):
        started = time.process_time()
        created = make(one, chosen)
        minutes.append((time.process_time() - started) / 60)
        new, shared = compare(created, one.person)
        psnr += new
        overlap += shared
        heldout.append(created.heldout.psnr_refitted)
        print(
            f"{one.record.key}: new {np.median(new):.1f} dB, overlap {np.median(shared):.3f}, held-out "
            f"{created.heldout.psnr:.1f} / {heldout[-1]:.1f} dB, {minutes[-1]:.1f} CPU minutes"
        )
    found = round(float(np.median(psnr)), 2)
    figures = {
        "novel_db": None if chosen.true_poses else found,
        "novel_db_true_poses": found if chosen.true_poses else None,
        "heldout_db": round(float(np.median(heldout)), 2),
        "iou": round(float(np.median(overlap)), 4),
        "minutes": round(float(np.mean(minutes)), 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "real_db": None,
        "people": chosen.people,
    }
    print(json.dumps(figures))


def make(one: FilmedIdentity, chosen: argparse.Namespace) -> Created:
    """The person out of their film."""
    found = (
        (one.record, true_reference(one.record.path))
        if chosen.true_poses
        else find_person(one.record.path, VideoMotion())
    )
    cutouts = cut_films([found], Choice(chosen.frames, chosen.side))
    return create_person(cutouts, [Silhouettes()], splat_frame, plan=Plan(chosen.gaussians))


def true_reference(path: Path) -> Reference:
    """The motion and camera with which a film was made, at the film's rate."""
    known = read_reference(path.with_suffix(".npz"))
    times = torch.arange(known.motion.num_frames) / known.motion.fps
    return replace(known, motion=resample(known.motion, times[times < FOOTAGE.seconds], loop=False))


def compare(created: Created, person: Avatar) -> tuple[list[float], list[float]]:
    """PSNR and overlap of silhouettes of every new picture."""
    ours, theirs = [], []
    for action, azimuth in NEW:
        record = Record(f"{action}/street/77", Path(action), 0, "", "", 0.0, 3.0)
        whole = Actions().load(record).motion
        ahead = whole.transl[::EVERY] * torch.tensor([0.0, 1.0, 0.0])
        motion = Motion.from_pose(whole.pose[::EVERY], ahead, fps=whole.fps / EVERY)
        camera = look(azimuth, motion.num_frames)
        theirs.append(render(person.pose(retarget(motion, mean_skeleton(), person.skeleton)), camera))
        ours.append(render(reenact(created, motion, person), camera))
    made, true = torch.cat(ours), torch.cat(theirs)
    solid = (made[:, 3:] > 0.9) & (true[:, 3:] > 0.9)
    gains = [_factor(made[:, c : c + 1][solid], true[:, c : c + 1][solid]) for c in range(3)]
    made[:, :3] = (made[:, :3] * torch.tensor(gains).view(1, 3, 1, 1)).clamp(0, 1)
    pairs = [_compare_pictures(a, b) for a, b in zip(made, true, strict=True)]
    return [psnr for psnr, _ in pairs], [shared for _, shared in pairs]


def reenact(created: Created, motion: Motion, person: Avatar) -> Gaussians:
    """The made person in a motion, scaled to the true person's stature."""
    surface, unknowns = created.surface, created.unknowns
    skeleton = surface.skeleton(unknowns.build)
    ratio = float(person.skeleton.size / skeleton.size)
    posed = settle(dress_surface(surface, unknowns, retarget(motion, mean_skeleton(), skeleton)))
    T = posed.T_world_rest.clone()
    T[..., :3, 3] *= ratio
    return replace(posed, means=posed.means * ratio, scales=posed.scales * ratio, T_world_rest=T)


def look(azimuth_deg: float, frames: int) -> Camera:
    """A camera at this side of the origin, a little above the hips."""
    angle = math.radians(azimuth_deg)
    away = np.array([math.sin(angle), 0.08, math.cos(angle)])
    away /= np.linalg.norm(away)
    right = np.array([math.cos(angle), 0.0, -math.sin(angle)])
    viewmat = torch.eye(4)
    viewmat[:3, :3] = torch.from_numpy(np.stack([right, -np.cross(away, right), -away]))
    viewmat[:3, 3] = -viewmat[:3, :3] @ torch.from_numpy(np.array([0, 0.9, 0]) + DISTANCE * away).float()
    focal = 1.55 * SIZE
    K = torch.tensor([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
    return Camera(viewmat.repeat(frames, 1, 1), K.repeat(frames, 1, 1), SIZE, SIZE)


def render(person: Gaussians, camera: Camera) -> Tensor:
    """Premultiplied colour and alpha, 0..1, [time, 4, height, width]."""
    found = _RENDERER.render([person], camera)
    return torch.cat([found.rgb, found.alpha], dim=1).float() / 255


def _factor(ours: Tensor, theirs: Tensor) -> float:
    return float((ours * theirs).sum() / (ours * ours).sum().clamp(min=1e-6))


def _compare_pictures(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    inside = theirs[3] > 0.5
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    box = (slice(None), slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    a, b = (one[:3] + (1 - one[3:]) * 0.5 for one in (ours, theirs))
    error = float((a - b)[box].square().mean())
    shared = ((ours[3] > 0.5) & inside).sum() / ((ours[3] > 0.5) | inside).sum()
    return -10 * math.log10(max(error, 1e-10)), float(shared)


if __name__ == "__main__":
    main()
