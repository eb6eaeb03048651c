"""Measure whether scenes make sense: `python -m benchmarks.scenes [--part things,cost,gain,grounds]`.

Things in hands and seats are measured on the mesh of the body (`benchmarks.bodies`), which placing them does not know.
The last line is one JSON object; what is not measured is null:

- `props_gain`, `props_ci`: mean class accuracy on the demo's film with things, classes that things tell apart, with
  things in synthetic hands minus without, and its 95 % interval over seeds (`--part gain`; hours);
- `grip_cm`: from the palm to the grip point of what it holds: median and largest over motions, kinds and bodies;
- `head_cm`: how deep a thing is in the head at most;
- `supported`: share of clips of people who sit, get up or lie that have something under them; `seat_cm`: from the
  hips' skin to its surface, median and largest; `idle_seats`: seats under people who stand, walk or jump;
- `pitch_deg`, `height_error`, `occlusion`, `floating`: of places, by `benchmarks.grounds` (`--part grounds`);
- `cost`: CPU time of clips with things and seats against the same without, in turn, all classes alike.
"""

import argparse
import gc
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.bodies import STATURES, Body, make_body
from synthaug.avatars.anny import AnnyPeople
from synthaug.backgrounds.plain import Plain
from synthaug.body.retargeting import reenact
from synthaug.body.skeleton import mean_skeleton, resample
from synthaug.cameras.orbit import Orbit
from synthaug.levels import Pyramid
from synthaug.motions.actions import ACTIONS, Actions, perform
from synthaug.motions.procedural.style import sample_style
from synthaug.motions.variation import Variation
from synthaug.props import Performer, Placed, Stage
from synthaug.props.things import Things
from synthaug.renderers.cpu import CpuRenderer
from synthaug.reports.reading import read_sweep
from synthaug.reports.statistics import paired_difference
from synthaug.sensors.camera import CameraSensor
from synthaug.structures import Camera, ClipFormat, Motion, Record, Values
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.references import gather

ROOT = Path(__file__).resolve().parents[1]
HOLDING = {
    "drink water": "drink water", "eat meal": "eat meal", "phone call": "phone call", "read": "read",
    "brushing teeth": "drink water", "brushing hair": "touch head", "write": "read", "open a box": "read",
    "use tablet": "read", "use laptop": "read", "watch TV": "point to something", "throw": "throw",
    "pick up": "pick up",
    "put on a hat": "touch head", "take off glasses": "touch head", "sweep": "pick up", "tennis": "throw",
    "cheers and drink": "drink water", "put on bag": "walk", "taking a selfie": "salute",
}  # fmt: skip
"""Classes, and the procedural action that stands for each: every kind of thing is in hands that do much the same."""
RESTING = ("sit down", "stand up", "lie down")
UPRIGHT = tuple(name for name in ACTIONS if name not in RESTING)
CONFUSABLE = ("drink water", "eat meal", "phone call", "read", "salute", "touch head", "check time", "throw")
"""Actions that a thing in the hand tells apart from others."""
SECONDS, FPS = 4.0, 25.0
ROUNDS = 4
"""How often a clip of each of COSTLY is measured, with and without things."""
COSTLY = ("drink water", "phone call", "read", "sit down", "stand up", "lie down")
"""Classes whose cost is measured: half hold something, half rest on something."""
PARTS = ("things", "cost", "gain", "grounds")
KEYS = ("props_gain", "props_ci", "grip_cm", "head_cm", "supported", "seat_cm", "idle_seats", "pitch_deg",
        "height_error", "occlusion", "floating", "cost")  # fmt: skip


def make_view(frames: int) -> Camera:
    """A camera 3 m in front of the origin, with a picture of 112 pixels."""
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0.95], [0, 0, -1, 3.0], [0, 0, 0, 1]])
    K = torch.tensor([[134.0, 0, 56], [0, 134.0, 56], [0, 0, 1]])
    return Camera(viewmat.expand(frames, 4, 4).clone(), K.expand(frames, 3, 3).clone(), 112, 112)


def perform_clip(action: str, seed: int) -> tuple[Motion, Motion, torch.Tensor]:
    """A whole performance, a clip out of its middle of 12 frames, and the share of it that each frame shows."""
    whole = perform(action, sample_style(np.random.default_rng(seed), "studio"), fps=FPS, seconds=SECONDS)
    times = 0.8 + torch.arange(12).double() / 5
    return whole, resample(whole, times, loop=False), times / whole.duration


def place_things(cls: str, action: str, seed: int, body: Body) -> tuple[Motion, list[Placed], Values]:
    """A clip of a class on a body, and its things."""
    pool = Things().assign([cls])
    whole, clip, moments = perform_clip(action, seed)
    values = pool.sample(0, [whole], np.random.default_rng(seed))
    performer = Performer(reenact(clip, mean_skeleton(), body.skeleton), body.skeleton, moments)
    motion = pool.fit(values, [performer])[0]
    performer = Performer(motion, body.skeleton, moments)
    return motion, pool.place(values, [performer], Stage(make_view(len(moments)), None)), values


def find_errors(motion: Motion, one: Placed, body: Body, *, pinched: bool) -> Iterator[float]:
    """Metres from each palm, or pinch, to the grip point that it holds, frame after frame."""
    for hand, grips in zip(one.hands, one.grips, strict=True):
        truth = body.find_pinch(motion, hand) if pinched else body.find_palm(motion, hand)
        away = (grips - truth).norm(dim=-1)
        yield from away[torch.tensor(one.shown) & away.isfinite()].tolist()


def measure_things(seeds: Sequence[int], statures: Sequence[float]) -> dict[str, object]:
    """Grips, heads and seats over motions and bodies."""
    grips: dict[str, list[float]] = {}
    heads: dict[str, float] = {}
    for cls, action in HOLDING.items():
        for seed in seeds:
            for stature in statures:
                body = make_body(stature)
                motion, placed, values = place_things(cls, action, seed, body)
                for one in (one for one in placed if one.top is None):
                    kind = Things().kinds[one.kind]
                    pinched = kind.hold(find_looks(values, one.kind), "hand").place == "pinch"
                    grips.setdefault(one.kind, []).extend(find_errors(motion, one, body, pinched=pinched))
                    heads[one.kind] = max(heads.get(one.kind, 0.0), measure_depth(motion, one, body))
    for name, depth in heads.items():
        errors = [100 * error for error in grips[name]] or [0.0]
        grip = f"grip {statistics.median(errors):5.1f} {max(errors):5.1f} cm" if grips[name] else "worn"
        print(f"{name:12} {grip:20} head {100 * depth:4.1f} cm", flush=True)
    every = [error for errors in grips.values() for error in errors]
    worn = ("hat", "glasses")
    return {
        "grip_cm": [round(100 * statistics.median(every), 2), round(100 * max(every), 2)],
        "head_cm": round(100 * max(depth for kind, depth in heads.items() if kind not in worn), 2),
        **measure_seats(seeds, statures),
    }


def find_looks(values: Values, kind: str) -> Values:
    """What was sampled of a kind."""
    things = values["things"]
    assert isinstance(things, list)
    return next(part["looks"] for part in things if part["kind"] == kind)


def measure_depth(motion: Motion, one: Placed, body: Body) -> float:
    """How deep a thing is in the head at most, metres; what is worn is there on purpose."""
    T = one.gaussians.T_world_rest[:, 0].double()
    points = one.gaussians.means[:: max(1, len(one.gaussians.means) // 200)].double()
    world = torch.einsum("tij,pj->tpi", T[:, :3, :3], points) + T[:, None, :3, 3]
    return body.find_depth(motion, world)


def measure_seats(seeds: Sequence[int], statures: Sequence[float]) -> dict[str, object]:
    """Seats under those who rest, and under those who do not."""
    found, gaps, idle = [], [], 0
    for action in (*RESTING, *UPRIGHT):
        for seed in seeds:
            for stature in statures:
                body = make_body(stature)
                motion, placed, _ = place_things(action, action, seed, body)
                seats = [one for one in placed if one.top is not None]
                if action in UPRIGHT:
                    idle += len(seats)
                    continue
                found.append(bool(seats))
                for top, frames in ((one.top, one.frames) for one in seats if one.top is not None):
                    gap = (body.find_seat(motion) - top)[torch.tensor(frames)]
                    gaps += gap.abs().tolist()
    return {
        "supported": round(sum(found) / len(found), 3),
        "seat_cm": [round(100 * statistics.median(gaps), 2), round(100 * max(gaps), 2)],
        "idle_seats": idle,
    }


def make_pair() -> tuple[Synthesizer, Synthesizer]:
    """Synthetic clips without things, and the same with them.

    Before a plain background, where a clip costs least, so that things weigh most.
    """
    records = [Record(f"{name}/studio/0", Path(name), label, "", "", 0.0, 4.0) for label, name in enumerate(COSTLY)]
    people, both = AnnyPeople(levels=Pyramid(refine=None)), []
    for pool in (None, Things()):
        synthesis = Synthesis(
            motion=Actions(), variation=Variation(), avatar=people, camera=Orbit(), background=Plain(),
            renderer=CpuRenderer(), sensor=CameraSensor(), cache=None, identities=1, backgrounds=1, props=pool,
            min_shown=0.0, min_shown_half_second=0.0,
        ).name_classes(COSTLY)  # fmt: skip
        both.append(Synthesizer(synthesis, gather(records, synthesis.motion), ClipFormat(), seed=0))
    return both[0], both[1]


def measure_cost(rounds: int = ROUNDS) -> dict[str, object]:
    """CPU time of clips with things and seats against the same clips without, in turn: the ratio of both sums.

    Each round has a clip of every slot, so that each class weighs the same: half hold something, half rest. An earlier
    round with recipes of its own does not count, since it compiles and loads code; what is built for a clip does.
    """
    both = make_pair()
    spent: list[list[float]] = [[], []]
    for turn in range(rounds + 1):
        if turn == 1:
            gc.collect()
            gc.freeze()  # or either side would pay, by chance, for looking through all that was built
        for index in range(len(both[0])):
            for place in (0, 1) if index % 2 else (1, 0):
                recipe = both[place].sample(index, generation=turn)
                start = time.process_time()
                both[place].render(recipe)
                if turn > 0:
                    spent[place].append(time.process_time() - start)
    gc.unfreeze()
    without, within = (1000 * statistics.mean(times) for times in spent)
    middle = statistics.median(two / one for one, two in zip(*spent, strict=True))
    count = len(spent[0])
    print(
        f"a clip takes {without:.1f} ms without things, {within:.1f} ms with them (CPU, mean of {count} clips), the "
        f"median clip {middle:.2f} times as long"
    )
    return {"cost": round(within / without, 3)}


def measure_gain(folder: Path, *, seeds: str, read: bool) -> dict[str, object]:
    """Train with and without things over seeds, on film with things; continues where it stopped."""
    words = [
        "-m", "dataset=demo_things", f"dataset.films.classes=[{','.join(CONFUSABLE)}]", "synth/props=things,null",
        f"seed={seeds}", f"hydra.sweep.dir={folder.resolve()}", "trainer.enable_progress_bar=false",
    ]  # fmt: skip
    if not read:
        subprocess.run([sys.executable, "train.py", *words], cwd=ROOT, check=True)
    values: dict[str, dict[tuple[str, ...], float]] = {"things": {}, "null": {}}
    for run in read_sweep(folder.resolve()).runs:
        seed = (run.overrides["seed"],)
        values[run.overrides["synth/props"]][seed] = float(str(run.metrics["mean_class_accuracy"]))
    pair = paired_difference(values["things"], values["null"])
    return {} if pair is None else {"props_gain": round(pair.difference, 4), "props_ci": pair.interval}


def main() -> None:
    """Measure the chosen parts and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="things,cost", help=f"any of {','.join(PARTS)} (things,cost)")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="seeds of performances, and of trainings")
    parser.add_argument("--statures", default=",".join(map(str, STATURES)), help="metres")
    parser.add_argument("--folder", type=Path, default=Path("runs/scenes"), help="of the trainings; it is kept")
    parser.add_argument("--read", action="store_true", help="read finished trainings, train none")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    parts = chosen.part.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"Expected --part to be of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}. Correct it.")
    figures: dict[str, object] = dict.fromkeys(KEYS)
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    if "things" in parts:
        figures |= measure_things(seeds, [float(part) for part in chosen.statures.split(",")])
    if "cost" in parts:
        figures |= measure_cost()
    if "gain" in parts:
        figures |= measure_gain(chosen.folder, seeds=chosen.seeds, read=chosen.read)
    if "grounds" in parts:
        figures |= importlib.import_module("benchmarks.grounds").measure_grounds()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
