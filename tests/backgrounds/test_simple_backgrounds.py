import cv2
import numpy as np
import pytest
import torch

from synthaug.backgrounds import NoSceneError
from synthaug.backgrounds.images import Images, crop
from synthaug.backgrounds.mixture import Mixture
from synthaug.backgrounds.plain import Plain
from synthaug.backgrounds.plates import Plates
from synthaug.testing.backgrounds import check_background
from synthaug.testing.cameras import example_camera

RED, BLUE = Plain([[255, 0, 0]]), Plain([[0, 0, 255]])


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "deeper").mkdir()
    for name, shape in (("a.png", (90, 60, 3)), ("deeper/b.PNG", (40, 200, 3)), ("c.jpg", (64, 64, 3))):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, shape, dtype=np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("no picture either")
    return tmp_path


def test_they_are_backgrounds(folder):
    for background in (RED, Plain([[1, 2, 3], [4, 5, 6]]), Images(folder), Mixture({"a": RED, "b": Images(folder)})):
        check_background(background)
        assert background.prepare([]).fingerprint == background.fingerprint


def test_plain_is_the_colour_it_says():
    scene = RED.scene(RED.sample(np.random.default_rng(0)), example_camera())
    assert torch.equal(scene.frames.float().mean((0, 2, 3)), torch.tensor([255.0, 0.0, 0.0]))


@pytest.mark.parametrize("colors", [[], [[1, 2]], [[0, 0, 256]]])
def test_plain_wants_colours(colors):
    with pytest.raises(ValueError, match=r"three values in 0\.\.255 each, got"):
        Plain(colors)


def test_images_keep_their_aspect():
    """A circle stays a circle, in a portrait and in a landscape picture."""
    for rows, columns in ((400, 200), (200, 400)):
        picture = np.zeros((rows, columns, 3), np.uint8)
        cv2.circle(picture, (columns // 2, rows // 2), 60, (255, 255, 255), -1)
        part = crop(picture, 90, 120, place=(1.0, 0.5, 0.5))
        tall = int((part[:, :, 0] > 127).any(1).sum())
        wide = int((part[:, :, 0] > 127).any(0).sum())
        assert abs(tall - wide) <= 1


def test_crops_reach_every_edge_and_nothing_beyond():
    picture = np.arange(100, dtype=np.uint8)[:, None, None] * np.ones((1, 50, 3), np.uint8)
    assert crop(picture, 10, 10, place=(1.0, 0.0, 0.0))[0].max() < 6
    assert crop(picture, 10, 10, place=(1.0, 1.0, 1.0))[-1].min() > 93


def test_images_are_in_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((20, 20, 3), (0, 0, 255), np.uint8))
    images = Images(tmp_path)
    frames = images.scene(images.sample(np.random.default_rng(0)), example_camera()).frames
    assert torch.equal(frames.float().mean((0, 2, 3)), torch.tensor([255.0, 0.0, 0.0]))


def test_broken_pictures_are_counted_and_never_drawn(folder):
    images = Images(folder)
    assert images.quarantine == {"broken.jpg": "not readable as a picture", "empty.png": "empty file"}
    sampled = {images.sample(np.random.default_rng(seed))["file"] for seed in range(60)}
    assert sampled == {"a.png", "c.jpg", "deeper/b.PNG"}


def test_another_file_is_another_fingerprint(folder):
    before = Images(folder).fingerprint
    assert Images(folder).fingerprint == before
    cv2.imwrite(str(folder / "d.png"), np.zeros((8, 8, 3), np.uint8))
    assert Images(folder).fingerprint != before


def test_a_missing_an_empty_and_a_broken_folder_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such folder.*synth\.background\.root"):
        Images(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"to hold files ending in.*got none.*synth\.background\.root"):
        Images(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(FileNotFoundError, match="to hold a readable picture, got 1 that cannot be read"):
        Images(tmp_path)


def test_a_picture_that_went_away_is_an_error(folder):
    images = Images(folder)
    with pytest.raises(FileNotFoundError, match="'gone.png'"):
        images.scene({"file": "gone.png", "zoom": 1.0, "x": 0.0, "y": 0.0}, example_camera())


def test_images_in_linked_folders_are_seen_once(tmp_path, folder):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "linked").symlink_to(folder, target_is_directory=True)
    (tmp_path / "own" / "back").symlink_to(tmp_path / "own", target_is_directory=True)
    assert Images(tmp_path / "own").files == [f"linked/{name}" for name in Images(folder).files]


def test_what_is_behind_transparent_parts_of_a_picture_is_not_shown(tmp_path):
    picture = np.zeros((8, 8, 4), np.uint16)
    picture[..., 1], picture[:4, :, 3] = 65535, 65535  # green behind all, shown in the upper half
    cv2.imwrite(str(tmp_path / "cut out.png"), picture)
    images = Images(tmp_path, zoom=1)
    frame = images.scene({"file": "cut out.png", "zoom": 1.0, "x": 0.0, "y": 0.0}, example_camera()).frames[0]
    assert frame[:, 0, 0].tolist() == [0, 255, 0] and frame[:, -1, -1].tolist() == [255, 255, 255]


def test_images_do_not_magnify_below_one(folder):
    with pytest.raises(ValueError, match=r"Expected zoom to be 1 or more, got 0\.5"):
        Images(folder, zoom=0.5)


def test_a_mixture_keeps_its_shares():
    mixture = Mixture({"red": RED, "blue": BLUE}, {"red": 3, "blue": 1})
    rng = np.random.default_rng(0)
    red = sum(mixture.sample(rng)["part"] == "red" for _ in range(2000))
    # The standard deviation of a share of 3/4 among 2000 is 0.0097; four of them.
    assert red / 2000 == pytest.approx(0.75, abs=0.04)


def test_a_part_without_weight_is_never_taken():
    mixture = Mixture({"red": RED, "blue": BLUE}, {"red": 0, "blue": 1}).prepare([])
    assert {mixture.sample(np.random.default_rng(seed))["part"] for seed in range(20)} == {"blue"}


def test_a_mixture_needs_a_weight_for_every_part_and_knows_its_parts():
    with pytest.raises(ValueError, match="one number of 0 or more for each part"):
        Mixture({"red": RED}, {"blue": 1})
    with pytest.raises(ValueError, match="not all 0"):
        Mixture({"red": RED}, {"red": 0})
    with pytest.raises(KeyError, match="one of the backgrounds .*, got 'green'"):
        Mixture({"red": RED}).scene({"part": "green", "values": {}}, example_camera())


def test_a_mixture_gives_the_share_of_a_part_without_scenes_to_the_others_and_says_so(tmp_path, caplog):
    mixture = Mixture(
        {"plates": Plates(tmp_path), "grey": Plain(), "white": Plain()}, {"plates": 2, "grey": 1, "white": 3}
    )
    prepared = mixture.prepare([])
    assert prepared.weights == {"grey": 1.0, "white": 3.0}
    assert "share of 'plates' (33 %) goes to grey, white: Expected training films from a tripod" in caplog.text
    with pytest.raises(NoSceneError, match="got no plate from any of 0"):
        Mixture({"plates": Plates(tmp_path), "grey": Plain()}, {"plates": 1, "grey": 0}).prepare([])


def test_half_a_jpeg_is_left_out_and_a_picture_of_one_pixel_is_one(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "whole.jpg"), rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(tmp_path / "one.png"), np.full((1, 1, 3), 7, np.uint8))
    images = Images(tmp_path)
    assert images.files == ["one.png", "whole.jpg"]
    assert images.quarantine == {"half.jpg": "not readable as a picture"}
    for name in images.files:  # What is not left out can be painted.
        values = {**images.sample(rng), "file": name}
        assert images.scene(values, example_camera()).frames.shape[1] == 3
