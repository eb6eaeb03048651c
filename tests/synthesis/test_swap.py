"""Swapped clips: the clip's own film, place and view, the filmed person gone and another one there."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import BeadPeople, Beads, Slower, Waves, camera, plan

from synthaug.backgrounds import NoSceneError
from synthaug.backgrounds.emptied import EmptiedFilms, take_out
from synthaug.backgrounds.plate.silhouettes import Segmenter
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.datamodule.guards import check_backgrounds
from synthaug.datasets import LeakError, Split
from synthaug.motions.variation import Unvaried
from synthaug.renderers.cpu import CpuRenderer
from synthaug.sensors.camera import CameraSensor
from synthaug.structures import ClipFormat, Motion, Recipe, Record, Reference
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.performances import find_swapped
from synthaug.synthesis.references import gather
from synthaug.testing.backgrounds import check_background
from synthaug.video import read_clip, write_video

CLIP = ClipFormat(num_frames=4, fps=5.0, size=96)
SIDE, FRAMES, FPS = 96, 24, 10.0
CORNER = (slice(4, 16), slice(70, 94))
"""Where something else moves in the film."""


def scenery():
    rng = np.random.default_rng(5)
    picture = np.linspace(70, 180, SIDE)[None, :, None] * np.ones((SIDE, 1, 3))
    for _ in range(14):
        x, y, w, h = rng.integers(0, [SIDE, SIDE, 30, 30])
        picture[y : y + h + 5, x : x + w + 5] = rng.integers(40, 210, 3)
    return picture.astype(np.uint8)


def places(count=FRAMES):
    """The place without people, in which a bystander's arm moves."""
    frames = np.repeat(scenery()[None], count, 0)
    for k, frame in enumerate(frames):
        frame[CORNER] = 60
        frame[4:16, 70 + k % 12 : 78 + k % 12] = 230
    return frames


class Strolls(Waves):
    """Everybody walks across the picture, with arms down; those of class 1 the other way."""

    fingerprint = "strolls"

    def load(self, record):
        pose = torch.zeros(FRAMES, 55, 3)
        pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -1.2, 1.2
        transl = torch.tensor([0.0, 0.95, 0.0]).repeat(FRAMES, 1)
        transl[:, 0] = torch.linspace(-1.0, 1.0, FRAMES) * (1 if record.label == 0 else -1)
        return Reference(Motion.from_pose(pose, transl, fps=FPS), camera(FRAMES, side=SIDE), 0.9, {})


def film(root, name, label, *, pan=0):
    record = Record(name, root / f"{name}.mp4", label, f"s-{name}", "", 0.0, FRAMES / FPS)
    reference = Strolls().load(record)
    seen = CpuRenderer().render([Beads("filmed").pose(reference.motion)], reference.camera)
    alpha = seen.alpha.float() / 255
    behind = torch.from_numpy(places()).permute(0, 3, 1, 2)
    for k in range(FRAMES):
        behind[k] = behind[k].roll(k * pan, -1)
    write_video(record.path, (seen.rgb + (1 - alpha) * behind + 0.5).clamp(0, 255).byte(), fps=FPS)
    return record


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    return tuple(film(root, name, label) for name, label in (("ann", 0), ("bob", 1)))


@pytest.fixture(scope="module")
def emptied(records, tmp_path_factory):
    return EmptiedFilms(tmp_path_factory.mktemp("plates"), silhouettes="tubes", light=0.0)


def synthesizer(records, film, *, mirror_labels=None, **changes):
    references = gather(records, Strolls())
    settings = plan(**{"film": film, "swap": 1.0, "min_shown": 0.0, "min_shown_half_second": 0.0, **changes})
    return Synthesizer(settings.prepare(references.films), references, CLIP, seed=0, mirror_labels=mirror_labels)


def of_film(recipe, records):
    """The filmed clip that shows the same moments."""
    record = next(one for one in records if one.key == find_swapped(recipe)["film"])
    return read_clip(record, offset=recipe.start, fps=CLIP.fps, num_frames=CLIP.num_frames, size=(SIDE, SIDE)).video


def test_without_swap_recipes_are_what_they_were_and_with_it_only_places_differ(records, emptied):
    """Law: who performs what, and when, does not depend on `swap`; a recipe that stays unswapped is the same."""
    plain = synthesizer(records, None, swap=0.0)
    none, half = synthesizer(records, emptied, swap=0.0), synthesizer(records, emptied, swap=0.5, backgrounds=2)
    before = [plain.sample(index) for index in range(len(plain))]
    assert [none.sample(index) for index in range(len(none))] == before
    after = [half.sample(index) for index in range(len(half))]
    swapped = [recipe for recipe in after if find_swapped(recipe) is not None]
    assert 0 < len(swapped) < len(after)
    for one, other in zip(before, after, strict=True):
        if find_swapped(other) is None:
            assert one == other
        assert (one.actors, one.start, one.label, one.lineage) == (
            other.actors,
            other.start,
            other.label,
            other.lineage,
        )


def test_beside_the_people_a_clip_is_the_film_itself(records, emptied):
    ours = synthesizer(records, emptied, identities=1)
    for index in range(4):
        recipe = ours.sample(index)
        filmed, clip = of_film(recipe, records), ours.render(recipe).video
        assert torch.equal(clip[:, :, CORNER[0], CORNER[1]], filmed[:, :, CORNER[0], CORNER[1]])
        assert not torch.equal(filmed[0, :, CORNER[0], CORNER[1]], filmed[1, :, CORNER[0], CORNER[1]])
        same = (clip == filmed).all(1).float().mean()
        assert 0.5 < same < 0.95  # the people, their shadows and their edges cover the rest


def test_the_emptied_film_is_the_place_without_people(records, emptied):
    """Law: within the error of compression, what is left is the picture that nobody stood in."""
    ours = synthesizer(records, emptied)
    recipe = ours.sample(0)
    empty = ours.stage(recipe).scene.frames.permute(0, 2, 3, 1).numpy()
    away = np.ones((SIDE, SIDE), bool)
    away[CORNER] = False
    error = np.abs(empty.astype(int) - scenery())[:, away]
    filmed = of_film(recipe, records).permute(0, 2, 3, 1).numpy()
    assert np.abs(filmed.astype(int) - scenery())[:, away].mean() > 4
    # Compressed as usual, the film is 2.5 grey levels off where nobody walks, and 40 at the edges of coloured boxes.
    assert error.mean() < 4 and np.quantile(error, 0.99) < 50


def test_another_person_is_where_the_filmed_one_was(records, emptied):
    ours = synthesizer(records, emptied, variation=Unvaried())
    recipe = ours.sample(1)
    truth, reference = ours.render_ground_truth(recipe), ours.references.by_key[recipe.actors[0].motion]
    times = torch.arange(CLIP.num_frames) / CLIP.fps + recipe.start
    frames = (times * FPS).round().long()
    joints = joint_positions(reference.motion, mean_skeleton())[frames]
    seen = joints @ reference.camera.viewmats[0, :3, :3].T + reference.camera.viewmats[0, :3, 3]
    pixels = (seen / seen[..., 2:]) @ reference.camera.Ks[0].T
    # Recipes begin between two frames, and walk 0.9 m a second: half a frame is 2 pixels.
    torch.testing.assert_close(truth.joints_2d[0], pixels[..., :2], atol=2.5, rtol=0)


def test_a_swapped_recipe_replays_through_json(records, emptied):
    recipe = synthesizer(records, emptied).sample(2)
    read = Recipe.from_json(recipe.to_json())
    assert read == recipe and json.loads(recipe.to_json())["background"]["swapped"]["film"] in ("ann", "bob")
    first = synthesizer(records, emptied).render(recipe).video
    assert torch.equal(synthesizer(records, emptied, swap=0.1).render(read).video, first)
    with pytest.raises(ValueError, match="Expected synth.film to take people out of films, since the recipe"):
        synthesizer(records, None, swap=0.0).render(read)


def test_a_mirrored_clip_is_the_mirrored_picture_of_the_mirrored_class(records, emptied):
    ours = synthesizer(records, emptied, mirror=1.0, mirror_labels={0: 1, 1: 0})
    recipe = ours.sample(0)
    actor = recipe.actors[0]
    assert actor.mirrored and recipe.label == 1 - next(r.label for r in records if r.key == actor.motion)
    plain = replace(recipe, actors=(replace(actor, mirrored=False),))
    assert torch.equal(ours.render(recipe).video, ours.render(plain).video.flip(-1))
    truth, straight = ours.render_ground_truth(recipe), ours.render_ground_truth(plain)
    assert torch.equal(truth.mask, straight.mask.flip(-1))
    left, right = JOINT["left_wrist"], JOINT["right_wrist"]
    torch.testing.assert_close(truth.joints_2d[:, :, left, 0], SIDE - straight.joints_2d[:, :, right, 0])
    camera_of = ours.stage(plain).camera.Ks
    again = (truth.joints_3d / truth.joints_3d[..., 2:]) @ camera_of[0].T
    torch.testing.assert_close(again[..., :2], truth.joints_2d, atol=1e-2, rtol=1e-4)
    # Its camera and world are mirror images too, and agree with its picture.
    view, world = truth.camera, truth.joints_world
    local = torch.einsum("tij,ptkj->ptki", view.viewmats[:, :3, :3], world) + view.viewmats[:, None, :3, 3]
    torch.testing.assert_close(local, truth.joints_3d.to(local), atol=1e-4, rtol=1e-4)
    seen = torch.einsum("tij,ptkj->ptki", view.Ks, local / local[..., 2:])[..., :2]
    torch.testing.assert_close(seen, truth.joints_2d.to(seen), atol=1e-2, rtol=1e-4)
    mirrored = straight.joints_world[:, :, right] * straight.joints_world.new_tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(world[:, :, left], mirrored, atol=1e-4, rtol=1e-4)
    places = truth.joints_2d[0, :, left].floor().long().clamp(0, SIDE - 1)
    found = {int(truth.labels[k, 0, y, x]) - 1 for k, (x, y) in enumerate(places.tolist())}
    assert not {JOINT["right_elbow"], JOINT["right_wrist"]} & found


def test_the_sensor_leaves_the_film_as_it_is(records, emptied):
    plain, seen = synthesizer(records, emptied), synthesizer(records, emptied, sensor=CameraSensor())
    recipe = seen.sample(0)
    assert torch.equal(seen.render(recipe).video, plain.render(recipe).video)


def test_films_that_cannot_be_emptied_are_refused_in_words_and_shown_elsewhere(records, tmp_path):
    panned = film(tmp_path, "eve", 0, pan=2)
    films = EmptiedFilms(tmp_path / "plates", silhouettes="tubes")
    ours = synthesizer((*records, panned), films)
    assert "The camera moves" in ours.synthesis.film.refused["eve"]
    recipes = [ours.sample(index) for index in range(len(ours))]
    assert {find_swapped(recipe) is None for recipe in recipes if recipe.actors[0].motion == "eve"} == {True}
    assert all(find_swapped(recipe) is not None for recipe in recipes if recipe.actors[0].motion != "eve")
    with pytest.raises(NoSceneError, match="The camera moves.*synth.swap=0"):
        synthesizer((panned,), films)


class Sees(Segmenter):
    """A network that finds what differs from the place, or nobody at all."""

    def __init__(self, *, anybody: bool):
        self.anybody = anybody

    def segment(self, frame, region):
        return self.anybody * (np.abs(frame.astype(int) - places(1)[0]).max(-1) > 40).astype(np.float32)


def with_network(monkeypatch, network):
    for module in ("synthaug.backgrounds.emptied", "synthaug.backgrounds.plate.scenes"):
        monkeypatch.setattr(f"{module}.open_segmenter", lambda _: nullcontext(network))


def test_a_network_empties_the_film_as_tubes_do(records, emptied, tmp_path, monkeypatch):
    with_network(monkeypatch, Sees(anybody=True))
    close = synthesizer(records, EmptiedFilms(tmp_path / "plates", silhouettes="mediapipe", light=0.0))
    wide, recipe = synthesizer(records, emptied), close.sample(0)
    shown = [one.stage(recipe).scene.frames for one in (close, wide)]
    assert np.abs(shown[0].int() - shown[1].int()).float().mean() < 3


def test_performances_where_the_network_sees_nobody_are_refused(records, tmp_path, monkeypatch):
    with_network(monkeypatch, Sees(anybody=False))
    films = EmptiedFilms(tmp_path / "plates", silhouettes="mediapipe")
    with pytest.raises(NoSceneError, match="Nobody is seen where the motion is, in 1 of 1 performances"):
        synthesizer(records, films)


def test_swap_asks_for_something_that_takes_people_out():
    with pytest.raises(ValueError, match="Choose synth/film=emptied, or set synth.swap=0"):
        plan(swap=0.5)
    with pytest.raises(ValueError, match="synth.swap to be a share"):
        plan(swap=1.5, film=EmptiedFilms(silhouettes="tubes"))
    with pytest.raises(ValueError, match="samples of at least 3"):
        EmptiedFilms(samples=1)


def test_emptied_films_are_places_of_their_clips_alone(records, emptied):
    references = gather(records, Strolls())
    place = emptied.prepare(references.films)
    check_background(place)
    assert set(place.sources) == {"ann", "bob"}
    ann, bob = records
    with pytest.raises(LeakError, match="background"):
        check_backgrounds(place, Split((ann,), (), (bob,)), "subject")
    assert place.show_film("eve", (0.0, 1.0), at=0.0, fps=5.0) is None
    with pytest.raises(KeyError, match="got 'eve'"):
        place.scene({"film": "eve", "start": 0.0, "end": 1.0, "at": 0.0, "fps": 5.0}, camera(2))
    with pytest.raises(ValueError, match="Call `prepare`"):
        emptied.sample(np.random.default_rng(0))


def test_taking_nobody_out_changes_nothing_and_the_scene_meets_the_frame():
    frame = np.full((40, 40, 3), 120, np.uint8)
    assert take_out(frame, None, frame) is frame
    mask = np.zeros((80, 80), bool)
    mask[30:60, 30:50] = True
    frame[15:30, 15:25] = 0
    darker = np.full((40, 40, 3), 110, np.uint8)  # another exposure
    empty = take_out(frame, mask, darker)
    assert np.abs(empty.astype(int) - 120).max() <= 2


def test_variation_and_companions_go_on_in_a_swapped_clip(records, emptied):
    ours = synthesizer(records, emptied, variation=Slower(), avatar=BeadPeople())
    recipe = ours.sample(0)
    assert recipe.actors[0].variation and find_swapped(recipe) is not None
    assert ours.render(recipe).video.shape == (CLIP.num_frames, 3, SIDE, SIDE)
