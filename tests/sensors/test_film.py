import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fakes import BySubject, Films, Waves, plan

from synthaug.compositing.figures import measure
from synthaug.compositing.look import apply_look
from synthaug.datamodule import SynthAugDataModule
from synthaug.sensors import Unrecorded
from synthaug.sensors.camera import CameraSensor, noise_bank
from synthaug.sensors.film import FilmSensor
from synthaug.sensors.fitting.film import FilmLook, choose_films, measure_films
from synthaug.sensors.fitting.search import fit_looks
from synthaug.structures import ClipFormat, Record
from synthaug.testing.sensors import check_sensor
from synthaug.video import write_video

CLIP = ClipFormat(num_frames=6, fps=5.0, size=64)


def trial(number, filmed=""):
    """A crisp textured place before which a crisp textured block walks."""
    rng = np.random.default_rng(number)
    place = cv2.GaussianBlur(rng.normal(size=(64, 64, 3)).astype(np.float32), (0, 0), 0.8)
    place = 128 + 30 * place / place.std()
    block = np.clip(rng.normal(150, 25, (36, 14, 3)), 0, 255)
    frames, people = np.repeat(place[None], 6, axis=0), np.zeros((6, 1, 64, 64), np.uint8)
    for t in range(6):
        frames[t, 14:50, 10 + 3 * t : 24 + 3 * t] = block
        people[t, 0, 14:50, 10 + 3 * t : 24 + 3 * t] = 255
    video = torch.from_numpy(np.clip(frames, 0, 255).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()
    return Unrecorded(video, torch.from_numpy(people), people[:, 0] > 0, filmed)


def filmed_by(values, numbers, camera=""):
    """What a camera with these imperfections leaves in such clips: the truth that a fit is held to."""
    looks = []
    for number in numbers:
        one = trial(number)
        video = CameraSensor().apply(one.video, {**values, "seed": number})
        looks.append(FilmLook(camera, measure(video, one.near), 0.0, 0.3, 25.0))
    return looks


def medians(figures):
    return {
        "place": np.median([one.rest.sharpness for one in figures]),
        "people": np.median([one.people.sharpness for one in figures]),
        "noise": np.median([one.noise for one in figures]),
        "level": np.median([one.rest.level for one in figures]),
    }


@pytest.mark.parametrize(
    "camera",
    [
        {"blur": 0.6, "noise": 0.02}, {"blur": 1.0, "noise": 0.006, "exposure": -0.4},
        {"resolution": 0.6, "noise": 0.03, "exposure": 0.3},
    ],
)  # fmt: skip
@pytest.mark.parametrize("places", [("", "still", "")])
def test_clips_come_within_15_percent_of_a_camera_that_the_fit_has_never_seen(camera, places):
    films = filmed_by(camera, range(100, 103))
    trials = [trial(number) for number, _ in enumerate(places)]
    # A still place of film is what that camera made of it, without its noise.
    trials = [
        one if not filmed else Unrecorded(*_over_film(one, {**camera, "noise": 0.0}), filmed)
        for one, filmed in zip(trials, places, strict=True)
    ]
    looks = fit_looks(films, trials, fps=5.0, spread=0.5, tone=0.5, noise=noise_bank())
    found = [
        measure(apply_look(one.video, one.people, one.filmed, {**look, "seed": k}, noise=noise_bank()), one.near)
        for k, one in enumerate(trials)
        for look in looks
    ]
    aim, got = medians([film.figures for film in films]), medians(found)
    for name in aim:
        assert got[name] == pytest.approx(aim[name], rel=0.15), name


def _over_film(one, camera):
    """Rendered people over a place that was filmed."""
    place = CameraSensor().apply(one.video, camera)
    return torch.where(one.people > 0, one.video, place), one.people, one.near


def test_people_are_as_sharp_before_rooms_as_over_film_however_few_clips_of_either_there_are():
    films = filmed_by({"blur": 0.8, "noise": 0.01}, range(100, 104))
    one = trial(7)
    # The only clip before a room shows nobody with detail: alone it would tell a blur of its own.
    plain = Unrecorded(torch.where(one.people > 0, torch.tensor(150, dtype=torch.uint8), one.video), *_rest_of(one))
    over = [Unrecorded(*_over_film(trial(n), {"blur": 0.8}), "still") for n in range(4)]
    looks = fit_looks(films, [plain, *over], fps=5.0, spread=0.5, tone=0.5, noise=noise_bank())
    for look in looks:
        assert {key: look["people"][key] for key in ("blur", "sharpen")} == {
            key: look["guest"][key] for key in ("blur", "sharpen")
        }
    found = [
        measure(apply_look(t.video, t.people, t.filmed, {**looks[0], "seed": 1}, noise=noise_bank()), t.near)
        for t in over
    ]
    aim = medians([film.figures for film in films])["people"]
    assert medians(found)["people"] == pytest.approx(aim, rel=0.15)


def _rest_of(one):
    return one.people, one.near, one.filmed


def test_film_sharper_than_rendering_sharpens_people_over_it():
    crisp = [FilmLook("", measure(trial(n).video, trial(n).near), 0.0, 0.3, 25.0) for n in range(100, 104)]
    soft = []
    for number in range(3):
        one = trial(number)
        video = apply_look(one.video, one.people, "moving", {"guest": {"blur": 0.6}}, noise=noise_bank())
        soft.append(Unrecorded(video, one.people, one.near, "still"))
    looks = fit_looks(crisp, soft, fps=5.0, spread=0.5, tone=0.5, noise=noise_bank())
    assert all(look["guest"]["sharpen"] > 0.3 and look["guest"]["blur"] == 0 for look in looks)
    fitted = [
        measure(apply_look(one.video, one.people, "still", {**looks[0], "seed": 1}, noise=noise_bank()), one.near)
        for one in soft
    ]
    aim = medians([film.figures for film in crisp])["people"]
    assert medians(fitted)["people"] == pytest.approx(aim, rel=0.15)


def test_cameras_keep_looks_of_their_own():
    films = filmed_by({"blur": 1.2}, range(100, 103), "soft") + filmed_by({}, range(103, 106), "crisp")
    looks = fit_looks(films, [trial(0), trial(1)], fps=5.0, spread=0.5, tone=0.5, noise=noise_bank())
    assert min(look["place"]["blur"] for look in looks[:3]) > 0.7 > max(look["place"]["blur"] for look in looks[3:])


def test_film_of_fewer_frames_than_clips_repeats_them():
    slow = FilmLook("", measure(trial(100).video, trial(100).near), 0.0, 0.3, 5.0)
    look = fit_looks([slow], [trial(0)], fps=10.0, spread=0.5, tone=0.5, noise=noise_bank())[0]
    assert look["rate"] == 0.5
    video = apply_look(trial(0).video, trial(0).people, "", {**look, "seed": 0}, noise=noise_bank())
    assert torch.equal(video[0], video[1]) and not torch.equal(video[1], video[2])


def test_visible_blocks_give_a_jpeg_quality_only_at_about_the_film_s_size():
    figures = measure(trial(100).video, trial(100).near)
    near, far = (FilmLook("", figures, 0.4, scale, 25.0) for scale in (1.0, 0.3))
    near, far = fit_looks([near, far], [trial(0)], fps=5.0, spread=0.5, tone=0.5, noise=noise_bank())
    assert 20 <= near["quality"] < 90 and far["quality"] == 0


@pytest.mark.parametrize("wrong", [{"films": 0}, {"spread": 1.5}, {"tone": -0.1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected at least one film, and spread and tone from 0 to 1"):
        FilmSensor(**wrong)


def test_it_samples_nothing_before_it_has_seen_film():
    with pytest.raises(ValueError, match="Expected a sensor that is fitted to film"):
        FilmSensor().sample(np.random.default_rng(0))


def module(tmp_path, sensor, *, subjects=4, **clip):
    cut = ClipFormat(**{"num_frames": 6, "fps": 5.0, "size": 64, **clip})
    data = SynthAugDataModule(
        Films(str(tmp_path), subjects=subjects), BySubject((f"s{subjects - 1}",)), synth=plan(sensor=sensor), clip=cut
    )
    data.prepare_data()
    data.setup()
    return data


def test_a_data_module_fits_it_before_workers_fork_and_recipes_hold_plain_values(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHAUG_CACHE", str(tmp_path / "cache"))
    first, again = (module(tmp_path, FilmSensor()) for _ in range(2))
    sensor = first.synthesizer.synthesis.sensor
    assert len(sensor.looks) == 6 and FilmSensor().looks == ()
    check_sensor(sensor)
    assert first.recipes() == again.recipes()
    recipe = first.recipes()[0]
    assert {"people", "guest", "place", "noise", "quality", "rate", "seed"} == set(recipe.sensor)
    there = pickle.loads(pickle.dumps(sensor))
    assert there.sample(np.random.default_rng(5)) == sensor.sample(np.random.default_rng(5))
    video = first.synthesizer.render(recipe).video
    assert torch.equal(video, again.synthesizer.render(recipe).video)
    # A sensor that was never fitted replays recipes.
    one = trial(0)
    replayed = FilmSensor().record(one.video, recipe.sensor, people=one.people, filmed="")
    assert torch.equal(replayed, sensor.record(one.video, recipe.sensor, people=one.people, filmed=""))


def test_one_film_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHAUG_CACHE", str(tmp_path / "cache"))
    sensor = module(tmp_path, FilmSensor(films=1), subjects=2).synthesizer.synthesis.sensor
    assert len(sensor.looks) == 1


def test_film_that_cannot_be_read_leaves_clips_as_they_were_rendered_and_says_so(tmp_path, caplog):
    missing = Record("a", tmp_path / "none.mp4", 0, "s0", "", 0.0, 1.0)
    reference = Waves().load(missing)
    with caplog.at_level("WARNING"):
        sensor = FilmSensor(cache=tmp_path).prepare([(missing, reference)], CLIP, list)
    assert "No training film could be measured" in caplog.text
    values = sensor.sample(np.random.default_rng(0))
    assert torch.equal(sensor.apply(trial(0).video, values), trial(0).video)


@pytest.mark.parametrize(("height", "width", "fps"), [(96, 48, 10.0), (48, 96, 5.0), (64, 64, 30.0)])
def test_portrait_film_and_film_at_5_frames_a_second_are_measured_and_kept(tmp_path, height, width, fps):
    rng = np.random.default_rng(0)
    still = rng.integers(60, 200, (1, 3, height, width)).repeat(12, axis=0) + rng.normal(0, 3, (12, 1, height, width))
    path = tmp_path / "film.mp4"
    write_video(path, torch.from_numpy(np.clip(still, 0, 255).astype(np.uint8)), fps=fps)
    record = Record("a", path, 0, "s0", "door", 0.0, 12 / fps)
    films = [(record, Waves().load(record))]
    [look] = measure_films(films, CLIP, count=40, cache=tmp_path / "cache")
    assert look.camera == "door" and look.fps == pytest.approx(fps)
    assert look.scale == pytest.approx(64 / min(height, width))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.json")}
    assert measure_films(films, CLIP, count=40, cache=tmp_path / "cache") == [look] and len(before) == 1
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    # A broken note is measured again.
    next(iter(before)).write_text("{")
    assert measure_films(films, CLIP, count=40, cache=tmp_path / "cache") == [look]


def test_films_are_chosen_evenly_over_cameras():
    records = [Record(f"{c}{n:02d}", Path("x"), 0, "s", c, 0.0, 1.0) for c in "ab" for n in range(20)]
    records.append(Record("c00", Path("x"), 0, "s", "c", 0.0, 1.0))
    films = [(record, Waves().load(record)) for record in records]
    keys = [record.key for record, _ in choose_films(films, 9)]
    assert keys == ["a00", "a10", "a19", "b00", "b10", "b19", "c00"]
    assert len(choose_films(films, 1)) == 1


def test_a_sensor_that_knows_nothing_of_film_treats_all_alike_and_prepares_nothing():
    sensor, one = CameraSensor(), trial(0)
    values = sensor.sample(np.random.default_rng(0))
    out = sensor.record(one.video, values, people=one.people, filmed="still")
    assert torch.equal(out, sensor.apply(one.video, values))

    def refuse():
        raise AssertionError("rendered for nothing")

    assert sensor.prepare([], CLIP, refuse) is sensor
