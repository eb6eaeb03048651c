"""Measure whether a pose detector recognises the procedural people: `python -m benchmarks.people`.

The detector is mediapipe, which was not used to make them. It runs frame by frame, without tracking, over rendered
clips of many identities, actions and views, and over film for comparison. Needs the pose extra.
"""

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from synthaug.avatars.anny import SEEDS, AnnyPeople
from synthaug.backgrounds.rooms import Rooms
from synthaug.body.skeleton import JOINT
from synthaug.cameras.orbit import Orbit
from synthaug.levels import Pyramid
from synthaug.motions.actions import ACTIONS, Actions
from synthaug.motions.variation import Variation
from synthaug.progress import track
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import ClipFormat, Record
from synthaug.synthesis import RenderJob, Synthesis, Synthesizer
from synthaug.synthesis.references import gather
from synthaug.video import indices_at, probe, read_frames

LANDMARKS = {
    11: "left_shoulder", 12: "right_shoulder", 13: "left_elbow", 14: "right_elbow", 15: "left_wrist",
    16: "right_wrist", 23: "left_hip", 24: "right_hip", 25: "left_knee", 26: "right_knee", 27: "left_ankle",
    28: "right_ankle",
}  # fmt: skip
"""mediapipe's landmarks that correspond to a joint of ours."""
LYING = ("lie down",)
"""Actions that end lying down; they are left out of the figures, whose goal is for upright people."""


def make_synthesizer(identities: int, *, seed: int) -> Synthesizer:
    """Re-enact every action once for each identity, each clip with its own view and room."""
    records = [
        Record(f"{action}/studio/{seed}", Path(action), label, "", "", 0.0, 3.0) for label, action in enumerate(ACTIONS)
    ]
    synthesis = Synthesis(
        motion=Actions(), variation=Variation(), avatar=AnnyPeople(people=SEEDS, levels=Pyramid(refine=None)),
        camera=Orbit(), background=Rooms(family="studio"), renderer=CpuRenderer(), sensor=None, cache=None,
        identities=identities, backgrounds=1,
    )  # fmt: skip
    return Synthesizer(
        synthesis, gather(records, synthesis.motion), ClipFormat(num_frames=4, fps=1.5, size=224), seed=seed
    )


def project_joints(job: RenderJob) -> np.ndarray:
    """Pixels of the joints in LANDMARKS, [time, landmark, 2]."""
    camera = job.camera
    ids = [JOINT[name] for name in LANDMARKS.values()]
    points = job.joints[0][:, ids]
    local = torch.einsum("tij,tkj->tki", camera.viewmats[:, :3, :3], points) + camera.viewmats[:, None, :3, 3]
    pixels = torch.einsum("tij,tkj->tki", camera.Ks, local)
    return (pixels[..., :2] / pixels[..., 2:]).numpy()


def stature(job: RenderJob, skeleton_height: float) -> np.ndarray:
    """Height in pixels that the person would have standing at the depth of the pelvis, for each frame."""
    camera = job.camera
    pelvis = torch.einsum("tij,tj->ti", camera.viewmats[:, :3, :3], job.joints[0][:, 0]) + camera.viewmats[:, :3, 3]
    return (camera.Ks[:, 1, 1] * skeleton_height / pelvis[:, 2]).numpy()


def detect_people(count: int, *, seed: int) -> dict[str, list[tuple[bool, float]]]:
    """For each frame, by action: whether a person is found, and the median landmark error as a share of the height."""
    from mediapipe.python.solutions.pose import Pose

    ours, found = make_synthesizer(count, seed=seed), defaultdict(list)
    with Pose(static_image_mode=True, model_complexity=1) as pose:
        for index in track(range(len(ours)), "Rendered clips"):
            recipe = ours.sample(index)
            job = ours.stage(recipe)
            video = ours.finish(recipe, job, ours.render_people(job)).video
            joints = ours.synthesis.avatar.load(recipe.actors[0].identity).skeleton.joints
            # Crown to sole is about 1.13 times head joint to foot joint (Anny's mean adult: 1.71 m to 1.52 m).
            height = float(joints[:, 1].max() - joints[:, 1].min()) * 1.07
            truths, heights = project_joints(job), stature(job, height)
            for frame, truth, tall in zip(video.permute(0, 2, 3, 1).numpy(), truths, heights, strict=True):
                seen = pose.process(np.ascontiguousarray(frame)).pose_landmarks
                error = np.nan
                if seen is not None:
                    side = frame.shape[0]
                    marks = np.array([[seen.landmark[i].x, seen.landmark[i].y] for i in LANDMARKS]) * side
                    error = float(np.median(np.linalg.norm(marks - truth, axis=-1)) / tall)
                found[ACTIONS[recipe.label]].append((seen is not None, error))
    return found


def detect_film(root: Path, *, frames: int = 12) -> float | None:
    """Share of frames of real film in which the same detector finds a person; None without film.

    GMDCSA24 (Alam and others, 2024, MIT, doi:10.5281/zenodo.12921216).
    """
    from mediapipe.python.solutions.pose import Pose

    films = sorted(root.glob("Subject */ADL/*.mp4"))
    if not films:
        return None
    found = []
    with Pose(static_image_mode=True, model_complexity=1) as pose:
        for path in track(films, "Filmed clips"):
            info = probe(path)
            times = np.linspace(0.2, info.duration - 0.2, frames).tolist()
            video = read_frames(path, indices_at(info, times), info=info, size=(224, 298))
            for frame in video.permute(0, 2, 3, 1).numpy():
                found.append(pose.process(np.ascontiguousarray(frame)).pose_landmarks is not None)
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--film", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data/gmdcsa24")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    by_action = detect_people(chosen.identities, seed=chosen.seed)
    film = detect_film(chosen.film)
    table = Table(title=f"mediapipe on rendered people (load {load:.1f})", title_justify="left")
    for column in ("action", "frames", "found", "median error / height"):
        table.add_column(column, justify="left" if column == "action" else "right")
    for action, seen in by_action.items():
        errors = [error for _, error in seen if not np.isnan(error)]
        table.add_row(action, str(len(seen)), f"{np.mean([hit for hit, _ in seen]):.1%}", f"{np.median(errors):.1%}")
    Console().print(table)
    print(
        f"film, GMDCSA24 (ADL clips): found in {film:.1%} of frames" if film is not None else "no film to compare with"
    )
    upright = [one for action, seen in by_action.items() if action not in LYING for one in seen]
    errors = [error for _, error in upright if not np.isnan(error)]
    figures = {
        "detected": round(float(np.mean([hit for hit, _ in upright])), 4),
        "median_error": round(float(np.median(errors)), 4),
        "frames": sum(len(seen) for seen in by_action.values()),
        "detected_film": None if film is None else round(film, 4),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
