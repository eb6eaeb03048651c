"""Measure whether synthetic clips show their action: `python -m benchmarks.visibility --root FOLDER [OVERRIDE ...]`.

Every recipe is judged by what is rendered (`Synthesizer.render_ground_truth`), not by the rule that chose it: a joint
is shown if it lies in the picture and its own person is seen there, within a pixel. The last line is one JSON object:

- `shown`: share of clips whose acting person shows `synth.min_shown` of 22 joints over the clip, and
  `synth.min_shown_half_second` in any half second;
- `classes_without`: classes of which there is film and no synthetic clip;
- `floating`: share of clips on plates whose lowest point is off the floor by more than 5 % of the person's height where
  the film's person is on the ground; jumps may leave it;
- `sharpness_ratio`, `people_sharpness_ratio`, `noise_ratio`: medians of synthetic to filmed, see `benchmarks.likeness`;
- `plates`: share of films that give an empty scene, and `filled`: the mean share of these that is made up; null where
  nothing shows film;
- `still_there`: share of swapped clips in whose emptied film, before anybody is put in, mediapipe finds a person where
  the filmed one was, in the first, middle or last frame; null without swapped clips, as in `arm=swap`.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import mean

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import max_pool2d

from benchmarks.likeness import measure_likeness
from synthaug.backgrounds.emptied import EmptiedFilms
from synthaug.backgrounds.mixture import Mixture
from synthaug.backgrounds.plates import Plates
from synthaug.body.grounding import floor_offsets, stature
from synthaug.body.skeleton import joint_positions, mean_skeleton, resample
from synthaug.cli.configs import build_data, compose_config
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.datasets import Protocol, Split
from synthaug.motions.pose.network import MediapipeNetwork, PoseDetector
from synthaug.structures import Recipe, Record
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.ground_truth import GroundTruth
from synthaug.synthesis.performances import find_swapped
from synthaug.synthesis.staging import camera_at
from synthaug.synthesis.visibility import BODY, Threshold

ROWS = 480
"""Height in pixels of the frames in which people are looked for."""
OFF_FLOOR = 0.05
"""Share of a person's height by which feet may be off the floor."""


class Everything(Protocol):
    """All clips teach: what is measured is the synthetic set."""

    separates = "key"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """All records, in training."""
        return Split(tuple(records), (), ())


@dataclass
class Findings:
    """What was counted."""

    shown: list[bool] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    floating: list[bool] = field(default_factory=list)
    still_there: list[bool] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Measure one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="class folders, or a folder with --csv; the demo without it")
    parser.add_argument("--csv", help="table in the folder, with the columns file and label")
    parser.add_argument("--recipes", type=int, default=1000, help="how many are measured, evenly over the set")
    parser.add_argument("overrides", nargs="*", help="settings of the run, such as arm=full_wide")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    data = prepare(chosen)
    synthesizer = data.synthesizer
    assert synthesizer is not None, "the configuration has a synth node"
    start = time.perf_counter()
    count = len(synthesizer)
    took = time.perf_counter() - start
    step = max(1, count // max(chosen.recipes, 1))
    found = Findings()
    with MediapipeNetwork() if synthesizer.synthesis.swap else nullcontext() as network:
        for recipe in (synthesizer.sample(index) for index in range(0, count, step)):
            measure(synthesizer, recipe, found, data.class_names)
            if network is not None and find_swapped(recipe) is not None:
                found.still_there.append(sees_filmed_person(synthesizer, recipe, network))
                if found.still_there[-1]:
                    print(f"Still there: {recipe.actors[0].motion} at {recipe.start} s")
    filled = count_plates(synthesizer)
    shown = synthesizer.shown.values()
    print(
        f"{count} clips, {1000 * took / max(count, 1):.1f} ms each to choose; {sum(c.resampled for c in shown)} were "
    )
    print(f"sampled again, {sum(c.left_out for c in shown)} left out. Below the threshold: {dict(found.failed)}")
    print(f"Share of joints shown: {sum(found.visible) / max(len(found.visible), 1):.3f}")
    likeness = measure_likeness(synthesizer)
    present = {synthesizer.label(index) for index in range(count)}
    filmed = {record.label for record in data.split.train}
    print(
        json.dumps(
            {
                "shown": _share(found.shown),
                "classes_without": [data.class_names[label] for label in sorted(filmed - present)],
                "floating": _share(found.floating),
                **likeness,
                "plates": _share([share is not None for share in filled]),
                "filled": round(mean(shares), 4) if (shares := [s for s in filled if s is not None]) else None,
                "still_there": _share(found.still_there),
            }
        )
    )


def prepare(chosen: argparse.Namespace) -> SynthAugDataModule:
    """The data module of a folder, all of whose clips teach."""
    words = (
        ["dataset=demo"]
        if chosen.root is None
        else ["dataset=folder", "protocol=predefined", f"dataset.root='{chosen.root}'"]
    )
    words += [f"dataset.csv={chosen.csv}"] if chosen.csv else []
    data = build_data(compose_config([*words, *chosen.overrides]))
    data.protocol = Everything()
    data.prepare_data()
    data.setup()
    return data


def measure(synthesizer: Synthesizer, recipe: Recipe, found: Findings, names: Sequence[str]) -> None:
    """Judge one clip by its rendered truth."""
    truth = synthesizer.render_ground_truth(recipe)
    seen = see_joints(truth)
    settings = synthesizer.synthesis
    threshold = Threshold(settings.min_shown, settings.min_shown_half_second)
    passed = threshold.accepts(seen, recipe.fps)
    if "plate" in json.dumps(recipe.background):
        found.floating.append(floats(synthesizer, recipe))
    found.shown.append(passed)
    found.visible.append(float(seen.float().mean()))
    if not passed:
        found.failed[names[recipe.label]] += 1


def floats(synthesizer: Synthesizer, recipe: Recipe) -> bool:
    """Whether the acting person is off the floor of a plate, but for jumps and quick dips."""
    job = synthesizer.stage(recipe)
    who = synthesizer.synthesis.avatar.load(recipe.actors[0].identity).skeleton
    offsets = floor_offsets(job.motions[0], who)
    return bool((offsets.abs() > OFF_FLOOR * stature(who)).any())


def count_plates(synthesizer: Synthesizer) -> list[float | None]:
    """Of each film that a place wants to show, the share of its empty scene that was made up; None if it has none."""
    waiting, filled = list(synthesizer.synthesis.places), dict[str, float | None]()
    while waiting:
        place = waiting.pop()
        if isinstance(place, Mixture):
            waiting += place.parts.values()
        elif isinstance(place, Plates):
            filled |= dict.fromkeys(place.refused) | {key: plate.filled for key, plate in place.plates.items()}
        elif isinstance(place, EmptiedFilms):
            filled |= dict.fromkeys(place.refused) | {key: film.scene.filled for key, film in place.films.items()}
    return list(filled.values())


def sees_filmed_person(synthesizer: Synthesizer, recipe: Recipe, network: PoseDetector) -> bool:
    """Whether somebody is detected in the emptied film about where the filmed person was."""
    film = find_swapped(recipe)
    assert film is not None and synthesizer.synthesis.film is not None
    performances = synthesizer.references
    reference = performances.by_key[recipe.actors[0].motion]
    width = round(ROWS * reference.camera.width / reference.camera.height)
    times = recipe.start + torch.arange(recipe.num_frames, dtype=torch.float64) / recipe.fps
    camera = camera_at(reference, times, (ROWS, width))
    frames = synthesizer.synthesis.film.scene(film, camera).frames.permute(0, 2, 3, 1).numpy()
    joints = joint_positions(resample(reference.motion, times), mean_skeleton())[:, :BODY]
    seen = joints @ camera.viewmats[:, :3, :3].mT + camera.viewmats[:, None, :3, 3]
    pixels = ((seen / seen[..., 2:].clamp(min=0.05)) @ camera.Ks.mT)[..., :2]
    for k in sorted({0, len(frames) // 2, len(frames) - 1}):
        low, high = pixels[k].amin(0), pixels[k].amax(0)
        for region in network.find(frames[k]):
            person = network.look(frames[k], region)
            if person is None:
                continue
            hips = torch.from_numpy(person.pixels[[23, 24]]).mean(0)
            if bool((hips > low).all()) and bool((hips < high).all()):
                return True
    return False


def see_joints(truth: GroundTruth) -> Bool[Tensor, "time 22"]:
    """Which body joints of the first person are in the picture, at a pixel (or beside one) that shows this person."""
    own = (truth.labels >= 1) & (truth.labels <= 55)
    near = max_pool2d(own.float(), 3, stride=1, padding=1)[:, 0] > 0
    height, width = near.shape[1:]
    column, row = truth.joints_2d[0, :, :BODY].floor().long().unbind(-1)
    inside = (truth.joints_3d[0, :, :BODY, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    frame = torch.arange(len(near))[:, None]
    return inside & near[frame, row.clamp(0, height - 1), column.clamp(0, width - 1)]


def _share(found: Sequence[bool]) -> float | None:
    return round(sum(found) / len(found), 4) if found else None


if __name__ == "__main__":
    main()
