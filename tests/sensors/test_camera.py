import numpy as np
import pytest

from synthaug.sensors.camera import CameraSensor, noise_bank
from synthaug.testing.sensors import check_sensor


def test_it_is_a_sensor():
    check_sensor(CameraSensor(), samples=8)
    check_sensor(CameraSensor(noise=(0.1, 0.1)))


def test_stored_noise_is_standard_normal_in_steps_of_int8():
    noise = noise_bank().astype(np.float64) / 32
    # A million values: the mean's standard error is 0.001, the deviation's 0.0007; rounding adds 1/12 of a step.
    assert abs(noise.mean()) < 0.004
    assert noise.std() == pytest.approx(1, abs=0.003)


@pytest.mark.parametrize(
    "wrong",
    [
        {"blur": (1.0, 0.5)},
        {"quality": (50, 101)},
        {"resolution": (0.0, 1.0)},
        {"noise": (-0.1, 0.1)},
        {"gamma": (1.0,)},
    ],
)
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Expected sensor\.[a-z]+ to be two numbers in order between"):
        CameraSensor(**wrong)
