import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthaug.body.limits import excess
from synthaug.body.mirroring import mirror_in_place, mirror_joints
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.motions.actions import perform
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.procedural.timing import drift
from synthaug.motions.variation import SHARES, Unvaried, Variation, vary_plain
from synthaug.structures import Motion
from synthaug.testing.motions import check_motion_variation, frame_times, same_motion

NOTHING = dict(speed=0.0, timing=0.0, amplitude=0.0, noise_deg=0.0, lean_deg=0.0, roll_deg=0.0, phase=1.0)


@pytest.fixture(scope="module")
def wave():
    return perform("hand waving", PerformerStyle(), fps=20, seconds=2.0)


@pytest.fixture(scope="module")
def kick():
    return perform("kicking something", PerformerStyle(), fps=20, seconds=2.0)


def assert_same_poses(one, other):
    """The same performance but for the rounding of rotations on their way through quaternions."""
    assert one.fps == pytest.approx(other.fps) and one.num_frames == other.num_frames
    skeleton = mean_skeleton()
    torch.testing.assert_close(joint_positions(one, skeleton), joint_positions(other, skeleton), atol=1e-5, rtol=0)
    torch.testing.assert_close(one.betas, other.betas)


@pytest.mark.parametrize("variation", [Unvaried(), Variation(), Variation(speed=0.5, lean_deg=8.0, noise_deg=4.0)])
def test_variations_keep_the_contract(variation, kick):
    check_motion_variation(variation, kick)


def test_zero_ranges_are_the_identity(wave):
    still = Variation(speed=0.0, timing=0.0, amplitude=0.0, noise_deg=0.0, lean_deg=0.0)
    values = still.sample(np.random.default_rng(0))
    assert_same_poses(still.vary(wave, values, frame_times(wave)), wave)
    assert_same_poses(Unvaried().vary(wave, Unvaried().sample(np.random.default_rng(0)), frame_times(wave)), wave)


def test_values_lie_within_their_ranges_and_are_plain():
    variation = Variation(speed=0.3, timing=0.1, amplitude=0.2, noise_deg=2.0, lean_deg=5.0)
    sampled = [variation.sample(np.random.default_rng(seed)) for seed in range(60)]
    assert all(json.loads(json.dumps(values)) == values for values in sampled)
    for name, most in (("speed", 0.3), ("timing", 0.1), ("amplitude", 0.2), ("lean_deg", 5.0), ("roll_deg", 5.0)):
        sizes = [abs(values[name]) for values in sampled]
        assert most * 0.8 < max(sizes) <= most


@pytest.mark.parametrize("change", [{"amplitude": 0.2}, {"noise_deg": 3.0}, {"lean_deg": 6.0}, {"roll_deg": -6.0}])
def test_feet_stay_where_they_stood(change, kick):
    varied = Variation().vary(kick, NOTHING | change, frame_times(kick))
    feet = [JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "foot")]
    before, after = (joint_positions(m, mean_skeleton())[:, feet] for m in (kick, varied))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)
    assert (varied.pose - kick.pose).abs().max() > 0.02


def test_time_is_bent_but_neither_shortened_nor_turned_back(wave):
    # A motion that is the time itself shows where each frame came from.
    ramp = replace(wave, transl=torch.linspace(0, 1, wave.num_frames)[:, None].expand(-1, 3).contiguous())
    for change, faster in (({"speed": 0.3}, (0.5, 1.3)), ({"speed": -0.3}, (0.5, 0.7)), ({"timing": 0.3}, (0.25, 1.3))):
        varied = Variation().vary(ramp, NOTHING | change, frame_times(ramp))
        path = varied.transl[:, 0]
        assert varied.num_frames == ramp.num_frames
        assert varied.fps == pytest.approx(ramp.fps)
        torch.testing.assert_close(path[[0, -1]], torch.tensor([0.0, 1.0]))
        slope = (path[1:] - path[:-1]) * (ramp.num_frames - 1)
        assert slope.min() > 0
        at, wanted = faster
        assert slope[int(at * len(slope))] == pytest.approx(wanted, abs=0.03)


def test_amplitude_scales_angles_about_their_mean(wave):
    elbow = JOINT["right_elbow"]
    spread = [
        Variation().vary(wave, NOTHING | {"amplitude": a}, frame_times(wave)).pose[:, elbow].norm(dim=-1).std()
        for a in (-0.2, 0, 0.2)
    ]
    # The elbow turns about one axis but for the forearm's twist, so that its angle's spread is nearly its size.
    assert spread[0] / spread[1] == pytest.approx(0.8, abs=0.05)
    assert spread[2] / spread[1] == pytest.approx(1.2, abs=0.05)


def test_lean_tilts_the_chest_and_not_the_pelvis(wave):
    varied = Variation().vary(wave, NOTHING | {"lean_deg": 10.0}, frame_times(wave))
    torch.testing.assert_close(varied.global_orient, wave.global_orient)
    before, after = (joint_positions(m, mean_skeleton()) for m in (wave, varied))
    neck = JOINT["neck"]
    assert (after[:, neck, 2] - before[:, neck, 2] > 0.03).all()


def test_the_mirror_image_stays_in_place(kick):
    shifted = replace(kick, transl=kick.transl + torch.tensor([5.0, 0.0, 1.0]))
    image = mirror_in_place(shifted, shifted.transl)
    low, high = shifted.transl[:, 0].min(), shifted.transl[:, 0].max()
    expected = mirror_joints(joint_positions(shifted, mean_skeleton()))
    expected[..., 0] += low + high
    # The skeleton is symmetric to a tenth of a millimetre, the arms' chains add up.
    torch.testing.assert_close(joint_positions(image, mean_skeleton()), expected, atol=2e-3, rtol=0)
    assert not same_motion(image, shifted)


def test_seconds_say_what_is_shown(wave):
    ramp = replace(wave, transl=torch.linspace(0, 1, wave.num_frames)[:, None].expand(-1, 3).contiguous())
    values = NOTHING | {"speed": 0.3, "timing": -0.2}
    shown = Variation().seconds(ramp, values, frame_times(ramp))
    path = Variation().vary(ramp, values, frame_times(ramp)).transl[:, 0]
    torch.testing.assert_close(path.double(), shown / shown[-1], atol=1e-5, rtol=0)
    later = Variation().seconds(ramp, values, frame_times(ramp) + ramp.duration)
    torch.testing.assert_close(later, shown + ramp.duration)


def test_joint_limits_are_kept_by_the_default_variation(wave):
    variation = Variation()
    for seed in range(4):
        beyond = excess(variation.vary(wave, variation.sample(np.random.default_rng(seed)), frame_times(wave)))
        # Beyond the range of a healthy adult by no more than the variation itself moves a joint.
        assert max(float(degrees.max()) for degrees in beyond.values()) < 10


def test_mistakes_are_named(wave):
    with pytest.raises(ValueError, match="ranges of 0 or more.*set 0 for no change"):
        Variation(amplitude=-0.1)
    with pytest.raises(ValueError, match="time does not stand still.*smaller ranges"):
        Variation(speed=0.8, timing=0.4)
    with pytest.raises(ValueError, match="without the numbers.*another motion variation"):
        Variation().vary(wave, {"speed": 0.1}, frame_times(wave))
    with pytest.raises(ValueError, match=r"with \['mirror'\].*another motion variation"):
        Variation().vary(wave, NOTHING | {"mirror": True}, frame_times(wave))


def test_no_values_change_nothing(wave):
    assert_same_poses(Variation().vary(wave, {}, frame_times(wave)), wave)


def test_the_compiled_loop_does_what_is_specified(wave):
    change = {"amplitude": 0.15, "noise_deg": 4.0, "lean_deg": 5.0, "roll_deg": -3.0}
    number = NOTHING | change
    varied = Variation().vary(wave, number, frame_times(wave))
    ids = [JOINT[name] for name in SHARES]
    shares = torch.tensor(list(SHARES.values()), dtype=torch.float64)
    rotations = axis_angle_to_matrix(wave.pose[:, ids].double())
    u, _, vh = torch.linalg.svd(rotations.mean(dim=0))
    mean = u @ torch.diag_embed(torch.stack([torch.ones(13), torch.ones(13), torch.linalg.det(u @ vh)], -1)) @ vh
    scaled = mean @ axis_angle_to_matrix((1 + 0.15 * shares)[:, None] * matrix_to_axis_angle(mean.mT @ rotations))
    phases = 1.0 + 1.3 * torch.arange(13)[:, None] + 2.2 * torch.arange(3)
    unrest = (
        drift(frame_times(wave)[:, None, None], rate=0.5, phase=phases.double()) * shares[:, None] * np.radians(4.0)
    )
    unrest[:, [name.endswith("elbow") for name in SHARES]] *= torch.tensor([0.0, 1.0, 0.0])
    bending = {"spine1": 0.36, "spine2": 0.34, "spine3": 0.3, "neck": -0.25, "head": -0.25}
    lean = torch.tensor([bending.get(name, 0.0) for name in SHARES])[:, None] * torch.tensor([5.0, 0.0, -3.0])
    wanted = axis_angle_to_matrix(lean.deg2rad().double()) @ scaled @ axis_angle_to_matrix(unrest)
    torch.testing.assert_close(axis_angle_to_matrix(varied.pose[:, ids].double()), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", [{}, {"noise_deg": 0.0, "lean_deg": 0.0, "roll_deg": 0.0, "amplitude": 0.0}])
def test_the_compiled_loop_varies_as_its_specification_does(kick, change):
    motion = Motion.from_pose(
        kick.pose.float(), kick.transl.float(), fps=kick.fps, expression=torch.rand(kick.num_frames, 10)
    )
    times = torch.arange(16, dtype=torch.float64) / 7.5 + 0.3  # beyond the end, where it starts over
    for seed in range(4):
        values = {**Variation().sample(np.random.default_rng(seed)), **change}
        compiled, plain = Variation().vary(motion, values, times), vary_plain(motion, values, times)
        # Sines of two libraries differ in the last bit of float64, and a few values round to another float32.
        torch.testing.assert_close(compiled.pose, plain.pose, atol=2e-6, rtol=0)
        torch.testing.assert_close(compiled.transl, plain.transl, atol=1e-6, rtol=0)
        torch.testing.assert_close(compiled.expression, plain.expression, atol=1e-6, rtol=0)
        assert compiled.fps == plain.fps


def test_a_single_frame_keeps_the_motion_s_rate(wave):
    values = Variation().sample(np.random.default_rng(0))
    assert Variation().vary(wave, values, torch.tensor([0.5], dtype=torch.float64)).fps == wave.fps
