"""Cutouts show the person where their camera says, whatever the film's shape, and masks are cut alike."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.creation import CreationError, Cutouts
from synthaug.creation.cutting import Choice, cut_films, project, spread_out
from synthaug.creation.features.masks import MaskFolder
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import write_video

FRAMES, HEIGHT, WIDTH = 12, 240, 136  # portrait


def person(*, frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH, away: float = 4.0) -> Reference:
    """Somebody who walks across the picture and turns."""
    pose = torch.zeros(frames, 55, 3)
    pose[:, 0, 1] = torch.arange(frames) * 0.5
    across = torch.linspace(-0.3, 0.3, frames)
    motion = Motion.from_pose(pose, torch.stack([across, torch.zeros(frames), torch.zeros(frames)], 1), fps=10.0)
    view = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, -0.2], [0, 0, -1, away], [0, 0, 0, 1]])
    K = torch.tensor([[1.2 * height, 0, width / 2], [0, 1.2 * height, height / 2], [0, 0, 1.0]])
    return Reference(motion, Camera(view.repeat(frames, 1, 1), K.repeat(frames, 1, 1), width, height))


def pelvis(motion: Motion, camera: Camera) -> np.ndarray:
    joints = joint_positions(motion, mean_skeleton())[:, :1]
    return project(joints, camera.viewmats, camera.Ks)[0][:, 0].numpy()


def mark(reference: Reference, height: int, width: int) -> list[np.ndarray]:
    """A white disc about the pelvis in each frame, on black."""
    camera = reference.camera.scaled(height=height, width=width)
    rows, columns = np.mgrid[:height, :width] + 0.5
    places = pelvis(reference.motion, camera)
    return [(255.0 * (np.hypot(columns - x, rows - y) < 14)).astype(np.uint8) for x, y in places]


def film(folder: Path, reference: Reference, *, height: int = HEIGHT, width: int = WIDTH) -> Record:
    folder.mkdir(exist_ok=True)
    frames = torch.from_numpy(np.stack(mark(reference, height, width)))[:, None].repeat(1, 3, 1, 1)
    write_video(folder / "film.mp4", frames, fps=10.0)
    return Record("film", folder / "film.mp4", 0, "", "", 0.0, len(frames) / 10)


def middle(picture: Tensor) -> np.ndarray:
    """Where the white is."""
    values = picture.numpy().astype(float)
    rows, columns = np.mgrid[: len(values), : len(values)] + 0.5
    return np.array([(values * columns).sum(), (values * rows).sum()]) / values.sum()


def check_aligned(cutouts: Cutouts, pictures: Tensor) -> None:
    for picture, place in zip(pictures, pelvis(cutouts.motion, cutouts.camera), strict=True):
        np.testing.assert_allclose(middle(picture), place, atol=0.6)


@pytest.mark.parametrize("shape", [(240, 136), (136, 240), (480, 272)], ids=["portrait", "wide", "larger film"])
def test_a_cutouts_camera_sees_the_person_where_the_picture_does(tmp_path, shape):
    height, width = shape
    reference = person() if height > width else person(height=136, width=240)
    cutouts = cut_films([(film(tmp_path, reference, height=height, width=width), reference)], Choice(10, 96))
    assert len(cutouts) == 10 and cutouts.pictures.shape == (10, 3, 96, 96)
    check_aligned(cutouts, cutouts.pictures[:, 0])


@pytest.mark.parametrize("name", ["{:04d}.png", "{}.png", "frame {}.png"])  # by name, 10.png comes before 2.png
@pytest.mark.parametrize("opaque", [False, True])
def test_masks_are_cut_as_frames_are(tmp_path, name, opaque):
    reference = person()
    record = film(tmp_path, reference)
    (tmp_path / "masks").mkdir()
    for number, mask in enumerate(mark(reference, HEIGHT, WIDTH)):
        small = cv2.resize(mask, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        shown = mask if number % 2 else small
        if opaque:  # a dark person, cut out
            shown = np.dstack([np.full((*shown.shape, 3), 30, np.uint8), shown])
        cv2.imwrite(str(tmp_path / "masks" / name.format(number)), shown)
    (tmp_path / "masks" / "._0.png").write_bytes(b"what a Mac leaves beside files")
    cutouts = cut_films([(record, reference)], Choice(12, 96))
    found = MaskFolder(tmp_path / "masks").observe(cutouts)
    check_aligned(cutouts, found.masks)
    assert (found.trust == 1).all() and found.known.any() and not found.known[~cutouts.inside].any()
    sure = found.masks[found.known]
    assert ((sure < 0.1) | (sure > 0.9)).all(), "nothing is sure about the outline"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "0003.png").unlink(), r"one mask for each of the 12 frames of 'film.mp4'.* got 11"),
        (lambda folder: (folder / "0012.png").write_bytes(b"x"), r"each of the 12 frames.* got 13"),
        (lambda folder: (folder / "0003.png").write_bytes(b"no picture"), r"a picture in '.*0003.png', got something"),
        (
            lambda folder: [cv2.imwrite(str(path), np.zeros((100, 100), np.uint8)) for path in folder.iterdir()],
            r"a mask of the film's shape, 136x240, in .* got 100x100",
        ),
        (lambda folder: (folder / "0003.png").rename(folder / "0020.png"), r"got 0002.png and then 0004.png"),
        (
            lambda folder: [cv2.imwrite(str(path), cv2.imread(str(path)) // 255) for path in folder.iterdir()],
            r"got none above 1 of 255. Where labels are numbers, multiply them by 255",
        ),
        (lambda folder: folder.rename(folder.with_name("elsewhere")), r"each of the 12 frames.* got 0"),
    ],
    ids=["one lacks", "one too many", "no picture", "another shape", "a gap", "labels", "no folder"],
)
def test_masks_of_another_film_are_told_by_name(tmp_path, spoil, reason):
    reference = person()
    record = film(tmp_path, reference)
    (tmp_path / "masks").mkdir()
    for number, mask in enumerate(mark(reference, HEIGHT, WIDTH)):
        cv2.imwrite(str(tmp_path / "masks" / f"{number:04d}.png"), mask)
    spoil(tmp_path / "masks")
    with pytest.raises(CreationError, match=reason):
        MaskFolder(tmp_path / "masks").observe(cut_films([(record, reference)], Choice(12, 64)))


def test_masks_belong_to_one_film(tmp_path):
    films = [(film(tmp_path / name, person()), person()) for name in ("a", "b")]
    with pytest.raises(CreationError, match="Expected one film with a folder of masks, got 2"):
        MaskFolder(tmp_path).observe(cut_films(films, Choice(12, 64)))


@pytest.mark.parametrize(
    ("reference", "count"),
    [
        (person(frames=3), "0 of 3|3 of 3"),
        (person(away=20.0), "0 of 12"),
        (person(away=0.9), "0 of 12"),
    ],
    ids=["three frames", "far away", "fills the picture"],
)
def test_film_that_shows_nobody_well_is_told(tmp_path, reference, count):
    record = film(tmp_path, reference)
    with pytest.raises(CreationError, match=rf"Expected at least 8 frames .* in film\.mp4, got ({count})\."):
        cut_films([(record, reference)], Choice(12, 64))


def test_an_instant_counts_once(tmp_path):
    """Two performances that share frames of a film, such as overlapping runs, give each frame once."""
    reference = person()
    record = film(tmp_path, reference)
    twice = replace(reference, others=(reference,))
    cutouts = cut_films([(record, twice)], Choice(24, 64))
    assert cutouts.indices.tolist() == list(range(FRAMES))


@pytest.mark.parametrize("seed", range(3))
def test_frames_are_spread_as_far_as_one_after_the_other_can_be(seed):
    points = np.random.default_rng(seed).normal(size=(40, 5))
    chosen = [20]
    while len(chosen) < 12:
        rest = [k for k in range(40) if k not in chosen]
        chosen.append(max(rest, key=lambda k: min(np.linalg.norm(points[k] - points[c]) for c in chosen)))
    assert spread_out(points, 12).tolist() == sorted(chosen)
    assert spread_out(points, 40).tolist() == list(range(40))
