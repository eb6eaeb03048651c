"""Pictures with depth beside them: their floor, who stands there, and what hides people; bad maps in words."""

import json
import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.grounds import COARSE, FINE, aim, measure_pictures, photograph
from synthaug.backgrounds.images import Images
from synthaug.backgrounds.picture.depths import MAX_PIXELS, DepthError, read_depth
from synthaug.backgrounds.picture.floors import NoFloorError, find_floor
from synthaug.backgrounds.picture.grounds import pixel_rays
from synthaug.backgrounds.picture.lens import find_intrinsics
from synthaug.backgrounds.picture.relative import EYE_HEIGHT, find_scaling
from synthaug.testing.backgrounds import check_background
from synthaug.testing.cameras import example_camera

SIZE = (120, 160)


def camera_at(height=1.4, pitch_deg=12.0, *, roll_deg=0.0):
    """A camera that looks along -z and down."""
    eye = np.array([0.0, height, 0.0])
    ahead = np.array([0.0, height - math.tan(math.radians(pitch_deg)), -1.0])
    return aim(eye, ahead, roll_deg=roll_deg, fov_deg=65, size=SIZE)


def depth_of(camera, *, wall=6.0, boxes=()):
    """Exact depth of a floor at y = 0, a wall across at z = -wall and axis-aligned boxes (low corner, high corner)."""
    rays = pixel_rays(camera)
    T = np.linalg.inv(camera.viewmats[0].double().numpy())
    directions, eye = rays @ T[:3, :3].T, T[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = [np.where(directions[:, 1] < 0, -eye[1] / directions[:, 1], np.inf)]
        hits.append(np.where(directions[:, 2] < 0, (-wall - eye[2]) / directions[:, 2], np.inf))
        for low, high in boxes:
            near, far = (np.array(low) - eye) / directions, (np.array(high) - eye) / directions
            enter, leave = np.minimum(near, far).max(1), np.maximum(near, far).min(1)
            hits.append(np.where((enter < leave) & (enter > 0), enter, np.inf))
    return np.minimum.reduce(hits).reshape(SIZE)


def save(root, depth, *, name="a", fov_deg=65):
    """A grey picture, its depth in metres, and the table that says how wide it is."""
    root.mkdir(exist_ok=True)
    cv2.imwrite(str(root / f"{name}.png"), np.full((*SIZE, 3), 128, np.uint8))
    np.save(root / f"{name}.depth.npy", depth.astype(np.float32))
    (root / "captions.csv").write_text(f"file,fov_deg\n{name}.png,{fov_deg}\n")
    return root


@pytest.mark.parametrize("height", [0.8, 1.6])
@pytest.mark.parametrize("pitch", [-5.0, 8.0, 30.0])
@pytest.mark.parametrize("roll", [-6.0, 0.0, 4.0])
def test_the_floor_of_exact_depth_is_exact(height, pitch, roll):
    camera = camera_at(height, pitch, roll_deg=roll)
    depth = depth_of(camera, wall=9.0, boxes=[((-1.5, 0, -5), (-0.6, 0.75, -3))])
    floor = find_floor(pixel_rays(camera), depth.ravel())
    assert floor.pitch_deg == pytest.approx(pitch, abs=0.1)
    # A camera that is turned clockwise sees its horizon fall to the left.
    assert floor.roll_deg == pytest.approx(-roll, abs=0.1)
    assert floor.height == pytest.approx(height, rel=0.005)
    # The camera that was found sees the floor where the true one does, whatever it takes for north.
    assert floor.viewmat[:3, :3] @ [0, 1, 0] == pytest.approx(camera.viewmats[0, :3, 1].numpy(), abs=2e-3)


@pytest.mark.parametrize("noise", [FINE, COARSE], ids=["depth camera", "network"])
def test_people_stand_in_true_size_where_rooms_have_their_floor(tmp_path, noise):
    """Against the rooms that were photographed: the targets of `benchmarks.grounds`, which measures fifty."""
    found, refused = measure_pictures(tmp_path, [photograph(k, size=(120, 160)) for k in (1, 5, 9)], noise=noise)
    assert refused == 0
    for one in found:
        assert one.pitch_deg < 2
        assert one.height_error < 0.05
        assert one.feet < 0.03
        assert one.tall < 0.05
    assert sum(one.right for one in found) > 0.97 * sum(one.pixels for one in found)


def test_they_are_backgrounds_with_a_spot_and_depth(tmp_path):
    images = Images(save(tmp_path, depth_of(camera_at())))
    check_background(images, samples=6)
    values = images.sample(np.random.default_rng(0))
    scene = images.scene(values, example_camera())
    assert scene.camera is not None
    outline = images.outline(values, example_camera())
    pixels = torch.rand(50, 2) * torch.tensor([scene.camera.width, scene.camera.height])
    column, row = pixels.long().unbind(-1)
    assert torch.equal(outline.depth_at(pixels), scene.depth[row, column])
    assert torch.equal(outline.camera.viewmats, scene.camera.viewmats)
    assert outline.spot == scene.spot


def test_pictures_without_depth_are_sampled_as_ever(tmp_path):
    """Recipes of today keep their values: depth beside one picture adds to this picture's alone."""
    save(tmp_path, depth_of(camera_at()))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((20, 20, 3), np.uint8))
    with_depth, without = Images(tmp_path), Images(tmp_path, depth="none")
    for seed in range(20):
        values = with_depth.sample(np.random.default_rng(seed))
        spot = values.pop("spot", None)
        assert values == without.sample(np.random.default_rng(seed))
        assert (spot is not None) == (values["file"] == "a.png")
    assert without.scene(without.sample(np.random.default_rng(0)), example_camera()).camera is None
    assert not any(name.endswith("depth.png") for name in with_depth.files)


def test_spots_keep_clear_of_things_and_people_fit_the_picture(tmp_path):
    box = ((0.2, 0, -3.6), (1.0, 0.8, -2.9))
    images = Images(save(tmp_path, depth_of(camera_at(), boxes=[box])), free=0.5)
    images.prepare([])
    spots = images._find_ground({"file": "a.png", "spot": 0.5}).spots
    assert len(spots) > 20
    beside = np.maximum(np.maximum(np.array([0.2, -3.6]) - spots, spots - np.array([1.0, -2.9])), 0)
    # A cell of the grid and a pixel of the depth are coarser than a centimetre.
    assert np.linalg.norm(beside, axis=1).min() > 0.5 - 0.1
    assert (spots[:, 1] > -6.0 + 0.5 - 0.1).all()


def test_what_is_nearer_hides_and_what_is_farther_does_not(tmp_path):
    box = ((-0.4, 0, -2.4), (0.4, 0.9, -2.0))
    camera = camera_at()
    images = Images(save(tmp_path, depth_of(camera, boxes=[box])), zoom=1)
    images.prepare([])
    ground = images._find_ground({"file": "a.png", "spot": 0.5})
    behind = int(np.argmin(np.abs(ground.spots - [0, -3.6]).sum(1)))
    values = {"file": "a.png", "zoom": 1.0, "x": 0.5, "y": 0.5, "spot": (behind + 0.5) / len(ground.spots)}
    view = example_camera(frames=1, height=120, width=120)
    outline = images.outline(values, view)
    spot = torch.tensor(outline.spot)
    for height, hidden in ((0.2, True), (1.6, False)):
        seen = (
            outline.camera.viewmats[0, :3, :3] @ (spot + torch.tensor([0, height, 0]))
            + outline.camera.viewmats[0, :3, 3]
        )
        pixel = (outline.camera.Ks[0] @ seen)[:2] / seen[2]
        assert bool(outline.depth_at(pixel[None])[0] < seen[2]) == hidden


def test_frames_move_to_show_a_path(tmp_path):
    images = Images(save(tmp_path, depth_of(camera_at())), zoom=1.5)
    view = example_camera(frames=1, height=60, width=60)
    for seed in range(10):
        values = images.sample(np.random.default_rng(seed))
        outline = images.outline(values, view)
        x, _, z = outline.spot
        path = torch.tensor([[x + 0.4, 0.1, z], [x + 0.4, 1.5, z - 0.3]])
        framed = json.loads(json.dumps(images.frame(values, view, path)))
        moved = images.outline(framed, view).camera
        seen = path @ moved.viewmats[0, :3, :3].mT + moved.viewmats[0, :3, 3]
        pixels = (seen @ moved.Ks[0].mT)[:, :2] / seen[:, 2:]
        whole = images._find_ground(values)
        inside = (pixels > 0).all() and (pixels < 60).all()
        # Only the border of the picture itself may cut it off.
        assert inside or abs(float(x)) > 1.0, (whole.size, pixels)


def test_relative_depth_finds_the_horizon_and_takes_a_usual_eye_height():
    """The same room as metric depth: level to 1 degree, and to scale by the height of the eyes."""
    camera = camera_at(1.4, 15.0)
    depth = depth_of(camera, wall=5.0, boxes=[((-2.5, 0, -5), (-1.2, 1.9, -2.5))])
    inverse = 3.0 * (1 / depth.ravel()) - 0.2
    scaling = find_scaling(pixel_rays(camera), inverse)
    metres = scaling.apply(inverse)
    assert metres == pytest.approx(depth.ravel() * EYE_HEIGHT / 1.4, rel=0.05)
    floor = find_floor(pixel_rays(camera), metres)
    assert floor.pitch_deg == pytest.approx(15.0, abs=1.0)
    assert floor.height == pytest.approx(EYE_HEIGHT, rel=0.02)


def test_a_floor_alone_does_not_fix_the_horizon_of_relative_depth():
    camera = camera_at(1.4, 40.0)
    with pytest.raises(NoFloorError, match="something upright"):
        find_scaling(pixel_rays(camera), 1 / depth_of(camera, wall=100.0).ravel())


def test_what_a_map_holds_is_recognised(tmp_path):
    depth = depth_of(camera_at())
    np.save(tmp_path / "x.depth.npy", depth)
    assert read_depth(tmp_path / "x.depth.npy", SIZE).meaning == "metric"
    np.save(tmp_path / "x.depth.npy", 1 / (1 + depth))
    assert read_depth(tmp_path / "x.depth.npy", SIZE).meaning == "relative"
    assert read_depth(tmp_path / "x.depth.npy", SIZE, meaning="metric").meaning == "metric"
    cv2.imwrite(str(tmp_path / "x.depth.png"), (1000 * depth).astype(np.uint16))
    found = read_depth(tmp_path / "x.depth.png", SIZE)
    assert found.meaning == "metric"
    assert found.values == pytest.approx(depth, abs=1e-3)
    full = np.interp(1 / depth, [1 / depth.max(), 1 / depth.min()], [0, 65535])
    cv2.imwrite(str(tmp_path / "x.depth.png"), full.round().astype(np.uint16))
    assert read_depth(tmp_path / "x.depth.png", SIZE).meaning == "relative"
    cv2.imwrite(str(tmp_path / "x.depth.png"), (full / 257).round().astype(np.uint8))
    assert read_depth(tmp_path / "x.depth.png", SIZE).meaning == "relative"


BAD = {
    "another size": (np.ones((50, 160)) + np.arange(160), "its picture's shape of 160 x 120"),
    "constant": (np.full(SIZE, 3.0), "tell near from far, got 3 everywhere"),
    "unknown": (np.full(SIZE, np.nan), "half of its pixels or more, got 0%"),
    "negative": (np.linspace(-2, 4, SIZE[0] * SIZE[1]).reshape(SIZE), "metres of 0 or more, got -2"),
    "colours": (np.ones((*SIZE, 3)), "rows x columns of numbers"),
    "words": (np.full(SIZE, "far"), "rows x columns of numbers"),
    "a wall": (np.full(SIZE, 3.0) + np.linspace(0, 0.5, SIZE[1]), "Expected a floor below the camera"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_map_is_told_in_words_and_its_picture_shown_flat(tmp_path, name, caplog):
    depth, words = BAD[name]
    save(tmp_path, depth_of(camera_at()))
    np.save(tmp_path / "a.depth.npy", depth if depth.dtype.kind == "U" else depth.astype(np.float32))
    images = Images(tmp_path)
    images.prepare([])
    assert words in images.refused["a.png"]
    assert "1 of 1 pictures with depth give no place to stand and are shown flat. The first, a.png" in caplog.text
    scene = images.scene(images.sample(np.random.default_rng(0)), example_camera())
    assert scene.camera is None
    assert scene.depth is None


def test_broken_coloured_and_huge_files_are_told_in_words(tmp_path):
    path = tmp_path / "x.depth.png"
    path.write_bytes(b"no picture at all")
    with pytest.raises(DepthError, match="to be a PNG"):
        read_depth(path, SIZE)
    cv2.imwrite(str(path), np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DepthError, match="to have one channel, got 3"):
        read_depth(path, SIZE)
    side = int(MAX_PIXELS**0.5) + 1
    head = bytearray(path.read_bytes()[:64])
    head[16:24] = side.to_bytes(4, "big") * 2
    path.write_bytes(head)
    with pytest.raises(DepthError, match=f"at most 64 megapixels, got {side} x {side}"):
        read_depth(path, (side, side))
    (tmp_path / "x.depth.npy").write_bytes(b"no array")
    with pytest.raises(DepthError, match=r"as numpy\.save writes it"):
        read_depth(tmp_path / "x.depth.npy", SIZE)


def test_the_width_comes_from_the_table_the_camera_or_a_usual_lens(tmp_path):
    noted = Image.Exif()
    noted.get_ifd(0x8769)[41989] = 28
    Image.new("RGB", (300, 200)).save(tmp_path / "a.jpg", exif=noted)
    size, path = (200, 300), tmp_path / "a.jpg"
    assert find_intrinsics(path, size, fov_deg=90.0, usual_deg=60.0)[0, 0] == pytest.approx(150)
    # 28 mm on 36 x 24 mm film, which has the picture's aspect: 65.5 degrees wide.
    wide = 2 * math.degrees(math.atan(150 / find_intrinsics(path, size, fov_deg=None, usual_deg=60.0)[0, 0]))
    assert wide == pytest.approx(2 * math.degrees(math.atan(18 / 28)), abs=0.1)
    Image.new("RGB", (200, 300)).save(tmp_path / "b.png")
    K = find_intrinsics(tmp_path / "b.png", (300, 200), fov_deg=None, usual_deg=60.0)
    assert K[1, 1] == pytest.approx(150 / math.tan(math.radians(30)))


def test_pictures_are_described_by_captions_or_folders(tmp_path):
    for name in ("kitchen/a.png", "kitchen/b.png", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "captions.csv").write_text("file,caption\nkitchen/b.png,a park with trees\n")
    images = Images(tmp_path)
    words = {name: images.describe({"file": name}) for name in images.files}
    assert words == {"kitchen/a.png": "kitchen", "kitchen/b.png": "a park with trees", "c.png": ""}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("picture,caption\na.png,x\n", "to have the column file"),
        ("file,fov_deg\na.png,wide\n", "degrees from 10 to 150, got 'wide'"),
        ("file,depth\na.png,inverse\n", "metric, relative or empty, got 'inverse'"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_in_words(tmp_path, table, words):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "captions.csv").write_text(table)
    with pytest.raises(ValueError, match=words):
        Images(tmp_path)


def test_settings_out_of_bounds_are_told_in_words(tmp_path):
    with pytest.raises(ValueError, match="Expected depth to be one of"):
        Images(tmp_path, depth="inverse")
    with pytest.raises(ValueError, match=r"free from 0\.1 to 3 metres"):
        Images(tmp_path, free=0)
