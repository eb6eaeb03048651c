"""Measure avatars out of film whose people are known: `python -m benchmarks.creation [--people 10] [--true-poses]`.

`--ensemble` makes each person with all kinds of evidence, with all but one, and with each alone beside the poses:
silhouettes of the network, depth as a network gives it (8 bits, relative, smooth errors of 3 %) and keypoints with
errors of 1 % of a person's height, both of the true person; and tells PSNR and overlap in new poses of each ensemble,
with intervals over people of its difference from all. Keypoints say nothing of pixels, so that they never stand alone.
`--frames 40,80,160` makes each person of so many frames.

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
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.identity_film import FOOTAGE, FilmedIdentity, film_people
from synthaug.avatars import Avatar
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton, resample, retarget
from synthaug.cli.avatar_making import find_person
from synthaug.creation import Feature
from synthaug.creation.creating import Created, Plan, create_person, settle
from synthaug.creation.cutting import Choice, cut_films, project
from synthaug.creation.features.depths import DepthFolder
from synthaug.creation.features.keypoints import MARKED, KeypointFile
from synthaug.creation.features.silhouettes import Silhouettes
from synthaug.creation.learning import Course
from synthaug.creation.person import dress_surface
from synthaug.creation.rendering import splat_frame
from synthaug.files import read_reference
from synthaug.motions.actions import Actions
from synthaug.motions.video import VideoMotion
from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.reports.statistics import paired_difference
from synthaug.structures import Camera, Gaussians, Motion, Record, Reference
from synthaug.video import probe

NEW = (("kicking something", 40.0), ("drink water", -60.0), ("bow", 120.0), ("walk", 180.0), ("sit down", 90.0))
"""Actions that the film does not show, and the side in degrees from which they are seen."""
SIZE, DISTANCE, EVERY = 224, 3.4, 8
ENSEMBLES = {
    "all": ("silhouettes", "depth", "keypoints"),
    "without silhouettes": ("depth", "keypoints"),
    "without depth": ("silhouettes", "keypoints"),
    "without keypoints": ("silhouettes", "depth"),
    "silhouettes alone": ("silhouettes",),
    "depth alone": ("depth",),
}
"""Kinds of evidence that make a person together, beside the poses."""
_RENDERER = CpuRenderer(Splatting(per_pixel=None))


def main() -> None:
    """Make the people and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--frames", default="320", help="frames learnt from; several, with commas, are compared")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=16_000)
    parser.add_argument("--steps", type=int, default=6000, help="steps of learning (6000)")
    parser.add_argument("--ensemble", action="store_true", help="leave out kinds of evidence one at a time")
    parser.add_argument("--true-poses", action="store_true", help="poses and cameras as they were, not as film shows")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    counts = [int(count) for count in chosen.frames.split(",")]
    if chosen.ensemble or len(counts) > 1:
        print(json.dumps(compare_makings(chosen, counts)))
        return
    psnr, overlap, heldout, minutes = [], [], [], []
    for one in film_people(chosen.people):
        started = time.process_time()
        created = make(one, find_poses(one, chosen), chosen, frames=counts[0])
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


def compare_makings(chosen: argparse.Namespace, counts: Sequence[int]) -> dict[str, object]:
    """Each person made with each ensemble of evidence, or of each number of frames: means, and differences from all."""
    ways: dict[str, tuple[tuple[str, ...], int]] = (
        {name: (kinds, counts[0]) for name, kinds in ENSEMBLES.items()}
        if chosen.ensemble
        else {f"{count} frames": (("silhouettes",), count) for count in counts}
    )
    found: dict[str, dict[tuple[str, ...], tuple[float, float]]] = {name: {} for name in ways}
    for one in film_people(chosen.people):
        poses = find_poses(one, chosen)
        for name, (kinds, frames) in ways.items():
            psnr, shared = compare(make(one, poses, chosen, frames=frames, kinds=kinds), one.person)
            found[name][(one.record.key,)] = float(np.median(psnr)), float(np.median(shared))
            print(
                f"{one.record.key}, {name}: new {np.median(psnr):.2f} dB, overlap {np.median(shared):.4f}", flush=True
            )
    first = next(iter(ways)) if chosen.ensemble else list(ways)[-1]
    table: dict[str, object] = {"people": chosen.people, "against": first}
    for name, people in found.items():
        row: dict[str, object] = {}
        for place, figure in enumerate(("novel_db", "iou")):
            values = {person: pair[place] for person, pair in people.items()}
            pair = paired_difference(values, {person: pair[place] for person, pair in found[first].items()})
            row[figure] = round(float(np.mean(list(values.values()))), 4)
            if name != first and pair is not None:
                row[f"{figure}_difference"] = [round(pair.difference, 4), pair.interval]
        table[name] = row
    return table


def find_poses(one: FilmedIdentity, chosen: argparse.Namespace) -> tuple[Record, Reference]:
    """The film with the poses that it shows, or the true ones."""
    if chosen.true_poses:
        return one.record, true_reference(one.record.path)
    return find_person(one.record.path, VideoMotion())


def make(
    one: FilmedIdentity,
    poses: tuple[Record, Reference],
    chosen: argparse.Namespace,
    *,
    frames: int,
    kinds: Sequence[str] = ("silhouettes",),
) -> Created:
    """The person out of their film, with some kinds of evidence."""
    cutouts = cut_films([poses], Choice(frames, chosen.side))
    stages = tuple(replace(stage, steps=stage.steps * chosen.steps // 6000) for stage in Course().stages)
    with tempfile.TemporaryDirectory() as folder:
        features = find_features(one, kinds, Path(folder))
        return create_person(
            cutouts, features, splat_frame, plan=Plan(chosen.gaussians, replace(Course(), stages=stages))
        )


def find_features(one: FilmedIdentity, kinds: Sequence[str], folder: Path) -> list[Feature]:
    """Kinds of evidence of a film: the network's silhouettes, and what other programs would say of the true person."""
    features: list[Feature] = [Silhouettes()] if "silhouettes" in kinds else []
    truth = true_reference(one.record.path)
    motion = retarget(truth.motion, mean_skeleton(), one.person.skeleton)
    info = probe(one.record.path)
    times = torch.arange(info.num_frames) / info.fps
    motion = resample(motion, times.clamp(max=(motion.num_frames - 1) / motion.fps), loop=False)
    camera = truth.camera.scaled(height=info.height, width=info.width)
    views = torch.arange(info.num_frames).clamp(max=len(camera.viewmats) - 1)
    camera = replace(camera, viewmats=camera.viewmats[views], Ks=camera.Ks[views])
    if "depth" in kinds:
        write_depth(folder / "depth", one.person, motion, camera)
        features.append(DepthFolder(folder / "depth"))
    if "keypoints" in kinds:
        write_keypoints(folder / "keypoints.json", joint_positions(motion, one.person.skeleton), camera)
        features.append(KeypointFile(folder / "keypoints.json"))
    return features


def write_depth(folder: Path, person: Avatar, motion: Motion, camera: Camera) -> None:
    """Relative depth of 8 bits, smooth errors of 3 %, before a floor and a wall that is two metres behind."""
    folder.mkdir()
    rng, step = np.random.default_rng(0), 4
    small = camera.scaled(height=camera.height // step, width=camera.width // step)
    for frame in range(motion.num_frames):
        row = slice(frame, frame + 1)
        view = replace(small, viewmats=small.viewmats[row], Ks=small.Ks[row])
        moment = Motion.from_pose(motion.pose[row], motion.transl[row], fps=motion.fps)
        rendering = _RENDERER.render([person.pose(moment)], view, depth=True)
        assert rendering.depth is not None
        shown, body = rendering.depth[0, 0].numpy(), rendering.alpha[0, 0].numpy() > 127
        far = float(np.median(shown[body])) + 2.0 if body.any() else 6.0
        metres = np.where(body, shown, far)
        errors = cv2.resize(rng.normal(size=(4, 4)), metres.shape[::-1], interpolation=cv2.INTER_CUBIC)
        inverse = 1 / (metres * (1 + 0.03 * errors))
        values = (inverse - inverse.min()) / np.ptp(inverse)
        cv2.imwrite(str(folder / f"{frame:05d}.png"), (255 * values).round().astype(np.uint8))


def write_keypoints(path: Path, joints: Tensor, camera: Camera) -> None:
    """COCO's body points of the true joints, off by 1 % of the person's height."""
    pixels, depth = project(joints[:, :22], camera.viewmats, camera.Ks)
    errors = np.random.default_rng(0).normal(size=pixels.shape) * 0.017 * float(camera.Ks[0, 0, 0] / depth.median())
    points = np.zeros((len(pixels), 133, 2))
    points[:, list(MARKED)] = (pixels.numpy() + errors)[:, [JOINT[name] for name in MARKED.values()]]
    scores = np.isin(np.arange(133), list(MARKED)).astype(float).tolist()
    people = [[{"keypoints": one.tolist(), "keypoint_scores": scores}] for one in points]
    path.write_text(json.dumps([{"frame_id": k, "instances": one} for k, one in enumerate(people)]))


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
