import pytest
from fakes import BySubject, Films, plan

from synthaug.compositing.figures import Figures, Region
from synthaug.datamodule import SynthAugDataModule
from synthaug.runs.likeness import (
    Pair,
    choose_recipes,
    compare,
    measure_pairs,
    noise_ratio,
    people_sharpness_ratio,
    sharpness_ratio,
    write_line,
    write_table,
)
from synthaug.sensors.camera import CameraSensor
from synthaug.structures import ClipFormat


def figures(fine, noise, *, people=None):
    region = Region((4.0, 2.0, fine), 0.5, 0.2, (0.0, 0.1))
    around = None if people is None else Region((4.0, 2.0, people), 0.5, 0.2, (0.0, 0.1))
    return Figures(region, around, None, noise, 0.0)


def test_ratios_are_medians_over_pairs():
    pairs = [Pair(figures(1.0, 2.0), figures(fine, noise)) for fine, noise in ((1.0, 2.0), (4.0, 3.0), (9.0, None))]
    assert sharpness_ratio(pairs) == pytest.approx(2.0)
    assert noise_ratio(pairs) == pytest.approx(1.25)
    assert people_sharpness_ratio(pairs) is None
    assert people_sharpness_ratio(
        [Pair(figures(1.0, 1.0, people=4.0), figures(1.0, 1.0, people=1.0))]
    ) == pytest.approx(0.5)


def test_noise_of_nothing_is_like_noise_of_nothing():
    assert noise_ratio([Pair(figures(1.0, 0.0), figures(1.0, 0.05))]) == 1.0
    assert noise_ratio([Pair(figures(1.0, None), figures(1.0, 1.0))]) is None
    assert noise_ratio([]) is None


def test_the_table_marks_what_is_far_off_and_leaves_out_what_cannot_be_told():
    table = write_table(compare([Pair(figures(1.0, None), figures(4.0, None))]))
    lines = {line[:28].strip(): line for line in table.splitlines()}
    assert lines["sharpness, fine to coarse"].endswith("2.00  *")
    assert lines["brightness"].endswith("1.00")
    assert lines["noise, levels of 255"].strip() == "noise, levels of 255"
    assert "sharpness 2.00" in write_line(compare([Pair(figures(1.0, None), figures(4.0, None))]))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(str(tmp_path_factory.mktemp("films")))


def module(films, **changes):
    clip = ClipFormat(num_frames=6, fps=5.0, size=64)
    data = SynthAugDataModule(films, BySubject(), synth=plan(**changes), clip=clip)
    data.prepare_data()
    data.setup()
    return data.synthesizer


def test_a_blurring_sensor_shows_in_the_ratio(films):
    sharp, soft = module(films), module(films, sensor=CameraSensor(blur=(2.0, 2.0)))
    ratios = [sharpness_ratio(measure_pairs(one, choose_recipes(one, 4))) for one in (sharp, soft)]
    assert ratios[1] < 0.5 * ratios[0]
