"""Paint the picture of the README: `python scripts/readme_picture.py [--to docs/reenactments.jpg]`.

One demo performance, the motion found in it, and three re-enactments, at the same instants. The command films the demo
at 384 px with one performer of each part; it takes a few minutes on two cores the first time.
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

SIZE = 384
"""Side of the rendered frames, pixels."""
FRAME = (320, 256)
"""Height and width of what is cut out of each frame, around the person."""
GAP, HEADER = 6, 34
INK, PAPER = (24, 24, 27), (255, 255, 255)


def prepare(action: str, seed: int) -> Synthesizer:
    """Film one action of the demo at `SIZE`, and get ready to re-enact it."""
    words = [
        f"dataset.films.classes=[{action},bow]", "dataset.films.performers=3", f"dataset.films.footage.size={SIZE}",
        "dataset.films.footage.crf=16", f"dataset.films.seed={seed}", "protocol.test_subjects=[p02]",
        "protocol.val_subjects=[p01]", "protocol.n_shot=1", "synth.identities=4", "synth.backgrounds=6",
        "synth.background.number=40", f"clip.size={SIZE}", "synth.sensor=null", "synth.crop=0.0", f"seed={seed}",
        "loading.num_workers=0",
    ]  # fmt: skip
    synthesizer = prepare_data(compose_config(words)).synthesizer
    assert synthesizer is not None
    return synthesizer


def choose_recipes(synthesizer: Synthesizer, key: str, count: int) -> list[Recipe]:
    """The first recipes that re-enact a reference with different people, all in its own timing."""
    recipes: dict[str, Recipe] = {}
    for index in range(len(synthesizer)):
        recipe = synthesizer.sample(index)
        actor = recipe.actors[0]
        if actor.motion == key and actor.identity not in recipes and len(recipes) < count:
            plain = replace(actor, variation={}, mirrored=False, partner="", share=0.0)
            recipes[actor.identity] = replace(recipe, actors=(plain,))
    start = next(iter(recipes.values())).start
    return [replace(recipe, start=start) for recipe in recipes.values()]


def cut_out(
    video: UInt8[Tensor, "time 3 height width"], centre: Float[Tensor, "time 2"]
) -> UInt8[Tensor, "time 3 cut_height cut_width"]:
    """The part of the frames around the person: one place for the whole clip, since the camera stands still."""
    (height, width), (x, y) = FRAME, centre.mean(0).tolist()
    left = round(min(max(x - width / 2, 0), video.shape[3] - width))
    top = round(min(max(y - height / 2, 0), video.shape[2] - height))
    return video[:, :, top : top + height, left : left + width]


def find_centre(joints: Float[Tensor, "time 55 3"], camera: Camera) -> Float[Tensor, "time 2"]:
    """Middle of the body in the picture, pixels."""
    points = torch.einsum("tij,tkj->tki", camera.viewmats[:, :3, :3], joints) + camera.viewmats[:, None, :3, 3]
    pixels = torch.einsum("tij,tkj->tki", camera.Ks, points)
    flat = pixels[..., :2] / pixels[..., 2:]
    return (flat.amin(1) + flat.amax(1)) / 2


def make_columns(synthesizer: Synthesizer, people: int) -> list[tuple[str, UInt8[Tensor, "time 3 height width"]]]:
    """Title and frames of each column: the film, the motion found in it, and the re-enactments."""
    record = choose_references(synthesizer, 1)[0]
    recipes = choose_recipes(synthesizer, record.key, people)
    first = recipes[0]
    film = read_reference_clip(record, first).video
    reference = synthesizer.references.by_key[record.key]
    times = first.start + torch.arange(first.num_frames, dtype=torch.float64) / first.fps
    view = camera_at(reference, times, first.size)
    joints = joint_positions(resample(reference.motion, times), mean_skeleton())
    centre = find_centre(joints, view)
    found = paint_skeleton((film.float() * 0.55).to(torch.uint8), joints, view)
    columns = [("clip of the data set", cut_out(film, centre)), ("motion found in it", cut_out(found, centre))]
    for number, recipe in enumerate(recipes, start=1):
        joints_2d = synthesizer.render_ground_truth(recipe).joints_2d[0]
        middle = (joints_2d.amin(1) + joints_2d.amax(1)) / 2
        columns.append((f"re-enactment {number}", cut_out(synthesizer.render(recipe).video, middle)))
    return columns


def paint(
    columns: list[tuple[str, UInt8[Tensor, "time 3 height width"]]], instants: list[int]
) -> UInt8[np.ndarray, "height width 3"]:
    """The columns beside each other, one row an instant."""
    height, width = FRAME
    size = (len(columns) * (width + GAP) - GAP, HEADER + len(instants) * (height + GAP) - GAP)
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    for column, (title, video) in enumerate(columns):
        left = column * (width + GAP)
        pen.text((left + 2, 6), title, fill=INK, font=ImageFont.load_default(18))
        for row, instant in enumerate(instants):
            picture = Image.fromarray(np.ascontiguousarray(video[instant].permute(1, 2, 0).numpy()))
            canvas.paste(picture, (left, HEADER + row * (height + GAP)))
    return np.asarray(canvas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--to", type=Path, default=Path("docs/reenactments.jpg"))
    parser.add_argument("--action", default="kicking something", help="a class of dataset=demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instants", type=int, nargs="+", default=[4, 8, 12], help="frames of the clip, one a row")
    parser.add_argument("--people", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    picture = paint(make_columns(prepare(chosen.action, chosen.seed), chosen.people), chosen.instants)
    cv2.imwrite(str(chosen.to), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{chosen.to}: {picture.shape[1]} x {picture.shape[0]} px, {chosen.to.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
