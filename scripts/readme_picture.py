"""Paint the picture of the README: `python scripts/readme_picture.py [--to docs/reenactments.jpg]`.

One demo performance, the motion found in it, and three re-enactments, at the same instants. The command films the demo
at 640 px with one performer of each part; it takes a few minutes on two cores the first time.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from synthaug.body.skeleton import joint_positions, mean_skeleton, resample
from synthaug.cli.configs import compose_config, prepare_data
from synthaug.runs.previews import choose_references, read_reference_clip
from synthaug.runs.sheets import paint_skeleton
from synthaug.structures import Camera, Recipe
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.staging import camera_at

SIZE = 640
"""Side of the rendered frames, pixels."""
FRAME = (320, 256)
"""Height and width of the pictures, pixels; what surrounds the person is cut off."""
GAP, HEADER = 6, 34
INK, PAPER = (24, 24, 27), (255, 255, 255)


def prepare(action: str, seed: int) -> Synthesizer:
    """Film one action of the demo at `SIZE`, and get ready to re-enact it."""
    words = [
        f"dataset.films.classes=[{action}]", "dataset.films.performers=3", f"dataset.films.footage.size={SIZE}",
        "dataset.films.footage.crf=16", f"dataset.films.seed={seed}", "protocol.test_subjects=[p02]",
        "protocol.val_subjects=[p01]", "protocol.n_shot=1", "synth.identities=4", "synth.backgrounds=6",
        "synth.background.number=40", f"clip.size={SIZE}", "synth.sensor=null", "synth.crop=0.0", f"seed={seed}",
        "loading.num_workers=0",
    ]  # fmt: skip
    synthesizer = prepare_data(compose_config(words)).synthesizer
    assert synthesizer is not None
    return synthesizer


def choose_recipes(synthesizer: Synthesizer, key: str, count: int) -> list[Recipe]:
    """Recipes that re-enact a reference in its own timing: each with another person in another place."""
    recipes: list[Recipe] = []
    for index in range(len(synthesizer)):
        recipe = synthesizer.sample(index)
        actor = recipe.actors[0]
        fresh = all(
            actor.identity != other.actors[0].identity and recipe.background != other.background for other in recipes
        )
        if actor.motion == key and fresh and len(recipes) < count:
            plain = replace(actor, variation={}, mirrored=False, partner="", share=0.0)
            recipes.append(replace(recipe, actors=(plain,)))
    return [replace(recipe, start=recipes[0].start) for recipe in recipes]


def project(joints: Float[Tensor, "time 55 3"], camera: Camera) -> Float[Tensor, "time 55 2"]:
    """World positions in the picture, pixels."""
    points = torch.einsum("tij,tkj->tki", camera.viewmats[:, :3, :3], joints) + camera.viewmats[:, None, :3, 3]
    pixels = torch.einsum("tij,tkj->tki", camera.Ks, points)
    return pixels[..., :2] / pixels[..., 2:]


def cut_out(
    video: UInt8[Tensor, "time 3 height width"], joints: Float[Tensor, "time 55 2"]
) -> UInt8[np.ndarray, "time cut_height cut_width 3"]:
    """The surroundings of the person, the same for all frames, since cameras of the demo stand still."""
    low, high = joints.flatten(0, 1).amin(0), joints.flatten(0, 1).amax(0)
    (x, y), extent = ((low + high) / 2).tolist(), (high - low).tolist()
    height = min(max(1.3 * extent[1], 1.35 * extent[0] * FRAME[0] / FRAME[1]), video.shape[2])
    width = height * FRAME[1] / FRAME[0]
    left, top = (
        round(min(max(middle - side / 2, 0), size - side))
        for middle, side, size in ((x, width, video.shape[3]), (y, height, video.shape[2]))
    )
    part = video[:, :, top : top + round(height), left : left + round(width)].permute(0, 2, 3, 1).numpy()
    return np.stack(
        [cv2.resize(np.ascontiguousarray(frame), FRAME[::-1], interpolation=cv2.INTER_AREA) for frame in part]
    )


def make_columns(synthesizer: Synthesizer, people: int) -> list[tuple[str, UInt8[np.ndarray, "time height width 3"]]]:
    """Title and frames of each column: the film, the motion found in it, and the re-enactments."""
    record = choose_references(synthesizer, 1)[0]
    recipes = choose_recipes(synthesizer, record.key, people)
    first = recipes[0]
    reference = synthesizer.references.by_key[record.key]
    film = read_reference_clip(record, first, reference).video
    times = first.start + torch.arange(first.num_frames, dtype=torch.float64) / first.fps
    view = camera_at(reference, times, first.size)
    joints = joint_positions(resample(reference.motion, times), mean_skeleton())
    found = paint_skeleton((film.float() * 0.6).to(torch.uint8), joints, view)
    seen = project(joints, view)
    columns = [("filmed clip", cut_out(film, seen)), ("motion found in it", cut_out(found, seen))]
    for number, recipe in enumerate(recipes, start=1):
        places = synthesizer.render_ground_truth(recipe).joints_2d[0]
        columns.append((f"re-enactment {number}", cut_out(synthesizer.render(recipe).video, places)))
    return columns


def paint(
    columns: list[tuple[str, UInt8[np.ndarray, "time height width 3"]]], instants: list[int]
) -> UInt8[np.ndarray, "height width 3"]:
    """The columns beside each other, one row per instant."""
    height, width = FRAME
    size = (len(columns) * (width + GAP) - GAP, HEADER + len(instants) * (height + GAP) - GAP)
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    for column, (title, frames) in enumerate(columns):
        left = column * (width + GAP)
        pen.text((left + 2, 5), title, fill=INK, font=ImageFont.load_default(20))
        for row, instant in enumerate(instants):
            canvas.paste(Image.fromarray(frames[instant]), (left, HEADER + row * (height + GAP)))
    return np.asarray(canvas)


def main() -> None:
    """Paint the picture and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--to", type=Path, default=Path("docs/reenactments.jpg"))
    parser.add_argument("--action", default="kicking something", help="a class of dataset=demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instants", type=int, nargs="+", default=[3, 5, 9], help="frames of the clip, one per row")
    parser.add_argument("--people", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    picture = paint(make_columns(prepare(chosen.action, chosen.seed), chosen.people), chosen.instants)
    cv2.imwrite(str(chosen.to), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{chosen.to}: {picture.shape[1]} x {picture.shape[0]} px, {chosen.to.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
