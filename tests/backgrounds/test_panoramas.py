"""Panoramas: what a pinhole sees of them, the floor under people's feet, and the light that they bring."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from benchmarks.grounds import aim
from synthaug.backgrounds.panoramas import Panoramas
from synthaug.backgrounds.picture.radiance import PanoramaError, directions, find_light, look, read_panorama
from synthaug.testing.backgrounds import check_background

ROWS = 64
CAMERA = aim(np.array([0.0, 1.5, 3.0]), np.array([0.0, 0.9, 0.0]), roll_deg=0, fov_deg=60, size=(48, 64))


def even(value=0.5):
    return np.full((ROWS, 2 * ROWS, 3), value, np.float32)


def with_sun(towards, *, strength=400.0):
    """An even sky with a sun of 5 degrees in one direction."""
    sun = directions(ROWS) @ (np.array(towards) / np.linalg.norm(towards)) > math.cos(math.radians(5))
    return np.where(sun[..., None], np.float32(strength), even(0.3)).astype(np.float32)


def save(path, light):
    assert cv2.imwrite(str(path), light[..., ::-1])
    return path.parent


def test_they_are_backgrounds(tmp_path):
    panoramas = Panoramas(save(tmp_path / "a.hdr", with_sun((1, 1, 0))))
    check_background(panoramas)
    assert panoramas.prepare([]) is panoramas


def test_even_light_comes_from_everywhere():
    light, _ = find_light(even())
    assert max(light.key) < 0.02
    assert np.array(light.sky) == pytest.approx(np.array(light.ground), rel=0.02)
    assert light.sky[0] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("towards", [(0.6, 0.7, -0.4), (-0.5, 0.5, 0.7)])
def test_the_sun_shines_from_where_it_is(towards):
    towards = np.array(towards) / np.linalg.norm(towards)
    light, _ = find_light(with_sun(towards))
    assert np.array(light.direction) @ towards > math.cos(math.radians(2))
    assert min(light.key) > 0.5


def test_turning_a_panorama_turns_its_light_and_its_view_alike(tmp_path):
    """What is seen straight behind the person shines onto them from there, whatever the turn."""
    panoramas = Panoramas(save(tmp_path / "a.hdr", with_sun((0.3, 0.2, -1.0))))
    for yaw in (0.0, 70.0, 200.0):
        turned = np.array([[math.cos(math.radians(-yaw)), 0, math.sin(math.radians(-yaw))], [0, 1, 0],
                           [-math.sin(math.radians(-yaw)), 0, math.cos(math.radians(-yaw))]])  # fmt: skip
        world = turned @ (np.array([0.3, 0.2, -1.0]) / math.sqrt(1.13))
        # From the place where the panorama was taken nothing has parallax.
        eye = np.array([0.0, 1.6, 0.0])
        camera = aim(eye, eye + world, roll_deg=0, fov_deg=50, size=(49, 49))
        scene = panoramas.scene({"file": "a.hdr", "yaw_deg": yaw}, camera)
        assert np.array(scene.light.direction) @ world > math.cos(math.radians(3))
        bright = torch.nonzero(scene.frames[0].float().mean(0) > 250).float().mean(0)
        assert bright.tolist() == pytest.approx([24.0, 24.0], abs=1.0)


def test_the_floor_stays_under_feet_when_the_view_moves():
    """A spot on the panorama's floor is seen where a pinhole sees that spot of y = 0, from any place."""
    spot = np.array([0.5, 0.0, -0.4])
    ray = spot - [0, 1.6, 0]
    light = with_sun(ray, strength=50.0)
    for eye in ((0.0, 1.4, 3.0), (1.5, 1.0, 2.0), (-2.0, 2.0, 1.0)):
        camera = aim(np.array(eye), np.array([0.0, 0.2, 0.0]), roll_deg=0, fov_deg=50, size=(120, 120))
        seen, depth = look(light, camera, 0, height=1.6, radius=10.0)
        local = camera.viewmats[0].double().numpy() @ [*spot, 1]
        u, v, w = camera.Ks[0].double().numpy() @ local[:3]
        rows, columns = np.nonzero(seen.mean(-1) > 5)
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((u / w, v / w), abs=3.0)
        assert depth[int(v / w), int(u / w)] == pytest.approx(w, rel=0.03)


def test_a_moving_camera_sees_each_frame_from_its_own_place(tmp_path):
    panoramas = Panoramas(save(tmp_path / "a.hdr", with_sun((0.3, 0.2, -1.0))))
    two = replace(CAMERA, viewmats=CAMERA.viewmats.repeat(2, 1, 1), Ks=CAMERA.Ks.repeat(2, 1, 1))
    two.viewmats[1, 0, 3] += 0.3
    values = {"file": "a.hdr", "yaw_deg": 10.0}
    scene = panoramas.scene(values, two)
    for k in range(2):
        alone = replace(two, viewmats=two.viewmats[k : k + 1], Ks=two.Ks[k : k + 1])
        assert torch.equal(scene.frames[k], panoramas.scene(values, alone).frames[0])


def test_exr_is_read_as_hdr_is(tmp_path, monkeypatch):
    light = with_sun((0, 1, 0.2), strength=20.0)
    monkeypatch.setenv("OPENCV_IO_ENABLE_OPENEXR", "1")
    save(tmp_path / "a.exr", light)
    save(tmp_path / "b.hdr", light)
    assert read_panorama(tmp_path / "a.exr") == pytest.approx(light, rel=1e-3)
    # Radiance files share one exponent of eight bits between three colours: a step of 1 / 128.
    assert read_panorama(tmp_path / "b.hdr") == pytest.approx(light, rel=0.01)


def test_what_is_no_panorama_is_told_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match="to hold files ending in .exr, .hdr, got none"):
        Panoramas(tmp_path)
    save(tmp_path / "a.hdr", even()[:, :ROWS])
    with pytest.raises(PanoramaError, match="twice as wide as tall"):
        read_panorama(tmp_path / "a.hdr")
    save(tmp_path / "a.hdr", even(0.0))
    with pytest.raises(PanoramaError, match="negative or no light"):
        read_panorama(tmp_path / "a.hdr")
    (tmp_path / "a.hdr").write_bytes(b"nothing")
    with pytest.raises(PanoramaError, match="a broken file"):
        read_panorama(tmp_path / "a.hdr")
    panoramas = Panoramas(save(tmp_path / "a.hdr", even()))
    with pytest.raises(FileNotFoundError, match="recipe's panorama 'gone.hdr'"):
        panoramas.scene({"file": "gone.hdr", "yaw_deg": 0.0}, CAMERA)
    below = aim(np.array([0.0, -0.2, 3.0]), np.array([0.0, 0.9, 0.0]), roll_deg=0, fov_deg=60, size=(8, 8))
    with pytest.raises(ValueError, match="got one 0.20 m below it"):
        panoramas.scene({"file": "a.hdr", "yaw_deg": 0.0}, below)
    with pytest.raises(ValueError, match="Expected height from 0.2 to 20 m"):
        Panoramas(tmp_path, height=0)
