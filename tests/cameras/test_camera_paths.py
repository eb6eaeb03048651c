import math

import numpy as np
import pytest
import torch

from synthaug.cameras import orbit
from synthaug.cameras.handheld import Handheld
from synthaug.cameras.orbit import MIN_HEIGHT, Orbit, position
from synthaug.cameras.original import Original
from synthaug.structures import Camera
from synthaug.testing.cameras import check_camera_path, example_camera
from tests.uncompiled import uncompile

STILL = {"azimuth_deg": (0, 0), "elevation_deg": (0, 0), "distance": (1, 1), "focal": (1, 1)}
CENTRE = torch.tensor([0.2, 0.9, -0.3])


def pixel(camera: Camera, point: torch.Tensor) -> torch.Tensor:
    seen = camera.viewmats[:, :3, :3] @ point + camera.viewmats[:, :3, 3]
    projected = (camera.Ks @ seen[:, :, None])[:, :, 0]
    return projected[:, :2] / projected[:, 2:]


def values(azimuth_deg=0.0, elevation_deg=0.0, distance=1.0, focal=1.0):
    return {"azimuth_deg": azimuth_deg, "elevation_deg": elevation_deg, "distance": distance, "focal": focal}


@pytest.mark.parametrize(
    "path",
    [Original(), Orbit(), Orbit(azimuth_deg=(-180, 180), elevation_deg=(-90, 90)), Handheld(Original()),
     Handheld(Orbit(), rotation_deg=1.0, translation=0.03)],
    ids=["original", "orbit", "wide orbit", "handheld", "handheld orbit"],
)  # fmt: skip
def test_it_is_a_camera_path(path):
    check_camera_path(path)


@pytest.mark.parametrize("path", [Orbit(**STILL), Handheld(Original(), 0.0, 0.0), Handheld(Orbit(**STILL), 0.0, 0.0)])
def test_orbit_at_zero_is_the_original(path):
    reference = example_camera()
    camera = path.path(path.sample(np.random.default_rng(0)), reference, CENTRE)
    assert torch.equal(camera.viewmats, reference.viewmats)
    assert torch.equal(camera.Ks, reference.Ks)


def test_orbit_keeps_the_distance_it_says():
    reference = example_camera()
    radius = (position(reference.viewmats) - CENTRE).norm(dim=1)
    for azimuth in (-170.0, -60.0, 10.0, 90.0):
        camera = Orbit().path(values(azimuth, 12.0, 1.3), reference, CENTRE)
        torch.testing.assert_close((position(camera.viewmats) - CENTRE).norm(dim=1), 1.3 * radius)


def test_orbit_turns_by_the_angles_it_says():
    # On the optical axis, where the camera climbs in the very plane in which elevation is measured.
    reference, centre = example_camera(), torch.tensor([0.0, 0.9, -0.3])
    before = (position(reference.viewmats) - centre)[0]
    after = (position(Orbit().path(values(35.0, 10.0), reference, centre).viewmats) - centre)[0]
    azimuth = math.degrees(math.atan2(after[0], after[2]) - math.atan2(before[0], before[2]))
    elevation = math.degrees(math.asin(after[1] / after.norm()) - math.asin(before[1] / before.norm()))
    assert azimuth == pytest.approx(35, abs=1e-3)
    assert elevation == pytest.approx(10, abs=1e-3)


def test_the_centre_stays_at_its_pixel():
    reference = example_camera()
    for sampled in (
        values(60.0),
        values(0.0, 20.0),
        values(distance=1.4),
        values(focal=1.3),
        values(-45.0, 9, 1.1, 0.8),
    ):
        camera = Orbit().path(sampled, reference, CENTRE)
        torch.testing.assert_close(pixel(camera, CENTRE), pixel(reference, CENTRE), atol=2e-3, rtol=0)


def test_a_longer_lens_keeps_the_person_s_size():
    reference = example_camera()
    camera = Orbit().path(values(focal=1.6), reference, CENTRE)
    up = torch.tensor([0.0, 0.01, 0.0])
    size = [pixel(view, CENTRE + up)[0, 1] - pixel(view, CENTRE - up)[0, 1] for view in (reference, camera)]
    torch.testing.assert_close(size[0], size[1], rtol=2e-3, atol=0)


def test_an_orbit_keeps_the_horizon_level():
    camera = Orbit().path(values(50.0, 15.0, 1.1, 1.2), example_camera(), CENTRE)
    # The camera's x axis stays horizontal, so its y component in the world is 0.
    assert float(camera.viewmats[:, 0, 1].abs().max()) < 1e-6


def test_an_orbit_stays_above_the_floor():
    camera = Orbit().path(values(20.0, -80.0), example_camera(), CENTRE)
    # 1 cm because the centre lies beside the optical axis: see `turn`.
    torch.testing.assert_close(position(camera.viewmats)[:, 1], torch.full((4,), MIN_HEIGHT), atol=0.01, rtol=0)


def test_a_centre_behind_the_camera_is_refused():
    with pytest.raises(
        ValueError, match="Expected the reference camera to see .* got a camera that looks away .*synth/camera=original"
    ):
        Orbit().path(values(), example_camera(), torch.tensor([0.0, 1.0, 9.0]))


@pytest.mark.parametrize("wrong", [{"azimuth_deg": (10, -10)}, {"distance": (0, 1)}, {"focal": (-1, 1)}])
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(
        ValueError, match=r"Expected \w+ to be \(low, high\) with low <= high, and factors above 0, got"
    ):
        Orbit(**wrong)


def test_a_hand_sways_by_the_amplitude_it_says():
    reference = example_camera(frames=64)
    hand = Handheld(Original(), rotation_deg=0.5, translation=0.02)
    shifts, angles = [], []
    for seed in range(200):
        camera = hand.path(hand.sample(np.random.default_rng(seed)), reference, CENTRE)
        moved = camera.viewmats @ torch.linalg.inv(reference.viewmats)
        shifts.append(moved[:, :3, 3])
        angles.append((moved[:, 2, 1] - moved[:, 1, 2]) / 2)
    # Mean square over samples, frames and axes; the ensemble's standard error is under 4 %.
    assert float(torch.stack(shifts).square().mean().sqrt()) == pytest.approx(0.02, rel=0.1)
    assert math.degrees(float(torch.stack(angles).square().mean().sqrt())) == pytest.approx(0.5, rel=0.1)


def test_a_hand_moves_smoothly():
    reference = example_camera(frames=32)
    hand = Handheld(Original())
    camera = hand.path(hand.sample(np.random.default_rng(1)), reference, CENTRE)
    steps = camera.viewmats[1:, :3, 3] - camera.viewmats[:-1, :3, 3]
    # A sine of amplitude a <= sqrt(2) rms and at most 2.5 cycles in 32 frames moves at most 2 pi 2.5 / 32 a a frame,
    # and the amplitudes of three add up to at most sqrt(3 * 2) rms; rotation adds its angle times the distance 3.3 m.
    bound = 2 * math.pi * 2.5 / 32 * math.sqrt(6) * (0.01 + math.radians(0.5) * 3.3 * 2)
    assert float(steps.abs().max()) < bound


def test_negative_amplitudes_are_refused():
    with pytest.raises(
        ValueError,
        match="Expected rotation_deg and translation to be 0 or more, got -1.0 .* to 0 to hold the camera still",
    ):
        Handheld(Original(), rotation_deg=-1.0)


def test_the_compiled_orbit_does_what_it_says(monkeypatch):
    reference, points = example_camera(), torch.rand(len(example_camera().viewmats), 5, 3)
    cases = [values(35.0, 10.0, 1.2, 0.9), values(-50.0, -60.0, 1.0, 1.2)]
    compiled = [Orbit().aim(Orbit().path(case, reference, CENTRE), points) for case in cases]
    uncompile(monkeypatch, orbit)
    for case, camera in zip(cases, compiled, strict=True):
        plain = Orbit().aim(Orbit().path(case, reference, CENTRE), points)
        torch.testing.assert_close(camera.viewmats, plain.viewmats, atol=1e-6, rtol=0)
        torch.testing.assert_close(camera.Ks, plain.Ks, atol=1e-4, rtol=0)
