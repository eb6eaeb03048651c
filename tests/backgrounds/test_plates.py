from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from synthaug.backgrounds.plate.extraction import find_bodies
from synthaug.backgrounds.plate.filling import fill_holes
from synthaug.backgrounds.plate.pooling import Thumbnail, choose_donors, pool
from synthaug.backgrounds.plate.removal import (
    PlateError,
    Samples,
    Uncovered,
    camera_shift,
    close_hole,
    mask_people,
    masked_median,
    remove_people,
)
from synthaug.backgrounds.plate.silhouettes import MARGIN, Region, Segmenter, add_changes, find_region, outline_people
from synthaug.backgrounds.plates import Plates
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.datamodule.guards import check_backgrounds
from synthaug.datasets import LeakError, Split
from synthaug.structures import Motion, Record, Reference
from synthaug.testing.backgrounds import check_background
from synthaug.testing.cameras import example_camera
from synthaug.video import probe, read_frames, write_video

FRAMES, HEIGHT, WIDTH = 48, 96, 160


def scenery(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """A picture with edges: coloured boxes on a gradient."""
    rng = np.random.default_rng(seed)
    picture = np.linspace(60, 190, width)[None, :, None] * np.ones((height, 1, 3))
    for _ in range(25):
        x, y, w, h = rng.integers(0, [width, height, 40, 30])
        picture[y : y + h + 6, x : x + w + 6] = rng.integers(20, 235, 3)
    return picture.astype(np.uint8)


def blob_film(count: int = FRAMES, *, step: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """A dark blob that walks across the scenery, in noise, and its mask."""
    frames, masks = np.repeat(scenery()[None], count, 0), np.zeros((count, HEIGHT, WIDTH), np.uint8)
    for k in range(count):
        centre = (int(10 + step * k), 55)
        cv2.circle(frames[k], centre, 14, (15, 10, 30), -1)
        cv2.circle(masks[k], centre, 17, 1, -1)
    noise = np.random.default_rng(1).normal(0, 3, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8), masks > 0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


def test_the_plate_of_a_moving_blob_is_the_true_background():
    frames, people = blob_film()
    empty = remove_people(Samples(frames, people, frames[:0]), max_shift=0.6)
    # Noise of 3 in single frames is 38.6 dB; a median of over 20 samples leaves 1.25 * 3 / sqrt(20), above 48 dB.
    assert psnr(empty.picture, scenery()) > 44
    assert not empty.hole.any()


def test_a_blob_that_lingers_shows_through_a_plain_median_but_not_through_ours():
    frames, people = blob_film(step=0.6)
    plain = np.median(frames, axis=0)
    assert psnr(plain, scenery()) < 25
    assert psnr(masked_median(frames, people), scenery()) > psnr(plain, scenery()) + 3


def test_small_holes_are_filled_and_large_ones_refused():
    frames, people = blob_film()
    people[:, 10:14, 10:14] = True
    scene = remove_people(Samples(frames, people, frames[:0]), max_shift=0.6)
    assert scene.hole.mean() == pytest.approx(16 / HEIGHT / WIDTH)
    filled = close_hole(scene, max_hole=0.1)
    np.testing.assert_array_equal(filled[~scene.hole], scene.picture[~scene.hole])
    people[:, :, :40] = True
    with pytest.raises(PlateError, match="at most 10 % of the picture to be always covered, got 25 %"):
        close_hole(remove_people(Samples(frames, people, frames[:0]), max_shift=0.6), max_hole=0.1)


def test_frames_about_which_nothing_is_known_fill_holes_where_nobody_is():
    """The blob stands still while it is known, and walks away later: what it hid comes out of the later frames."""
    frames, people = blob_film()
    known, mask = np.repeat(frames[6:7], 8, 0), np.repeat(people[6:7], 8, 0)
    empty = remove_people(Samples(known, mask, frames[20:]), max_shift=0.6)
    assert not empty.hole.any()
    assert psnr(empty.picture[40:70, 10:50], scenery()[40:70, 10:50]) > 38
    # If it hardly moves, it is seen to stick out, and the hole stays.
    with pytest.raises(PlateError, match="The person hides too much"):
        close_hole(remove_people(Samples(known, mask, frames[9:13]), max_shift=0.6), max_hole=0.001)


def test_a_person_who_never_leaves_is_not_taken_for_furniture():
    frames, people = blob_film()
    known, mask = np.repeat(frames[6:7], 8, 0), np.repeat(people[6:7], 8, 0)
    with pytest.raises(PlateError, match="The person hides too much"):
        close_hole(remove_people(Samples(known, mask, known), max_shift=0.6), max_hole=0.001)


def test_a_moving_camera_is_refused_and_a_still_one_is_not():
    wide = scenery(HEIGHT, WIDTH + 60)
    panned = np.stack([wide[:, k : k + WIDTH] for k in range(0, 48)])
    nobody = np.zeros(panned.shape[:3], bool)
    with pytest.raises(PlateError, match="The camera moves"):
        remove_people(Samples(panned, nobody, panned[:0]), max_shift=0.6)
    frames, people = blob_film()
    assert camera_shift(frames, people) < 0.3


def test_a_change_of_exposure_is_no_motion():
    frames = np.stack([scenery() * gain for gain in np.linspace(0.8, 1.0, 12)]).astype(np.uint8)
    assert camera_shift(frames, np.zeros(frames.shape[:3], bool)) < 0.3


def test_a_silhouette_covers_every_joint_and_nothing_far_away():
    camera = example_camera(frames=1, height=HEIGHT, width=WIDTH)
    joints = mean_skeleton().joints[None] + torch.tensor([0.0, 0.95, 0.0])
    seen = joints @ camera.viewmats[0, :3, :3].T + camera.viewmats[0, :3, 3]
    pixels = ((seen / seen[..., 2:]) @ camera.Ks[0].T)[..., :2].double().numpy()
    scales = (camera.Ks[0, 0, 0] / seen[..., 2]).double().numpy()
    mask = mask_people(pixels, scales, height=HEIGHT, width=WIDTH)[0]
    inside = [p for p in np.floor(pixels[0]).astype(int) if 0 <= p[0] < WIDTH and 0 <= p[1] < HEIGHT]
    assert all(mask[y, x] for x, y in inside)
    assert not mask[:, : int(pixels[0, :, 0].min() - 0.3 * scales.max())].any()
    assert mask.mean() < 0.4


def walking(count: int = FRAMES, fps: float = 24.0) -> Motion:
    """A stiff walk from left to right, 2.6 m."""
    transl = torch.zeros(count, 3)
    transl[:, 0] = torch.linspace(-1.3, 1.3, count)
    transl[:, 1] = 0.95
    return Motion.from_pose(torch.zeros(count, 55, 3), transl, fps=fps)


def film(root: Path, name: str = "walk", *, pan: int = 0) -> tuple[Record, Reference]:
    """A file in which a figure of discs walks before the scenery, and what is known of it."""
    camera = example_camera(frames=FRAMES, height=HEIGHT, width=WIDTH, distance=4.0)
    motion = walking()
    joints = joint_positions(motion, mean_skeleton())
    seen = torch.einsum("tij,tkj->tki", camera.viewmats[:, :3, :3], joints) + camera.viewmats[:, None, :3, 3]
    pixels = torch.einsum("tij,tkj->tki", camera.Ks, seen / seen[..., 2:])[..., :2]
    wide = scenery(HEIGHT, WIDTH + pan)
    frames = []
    for k, joint in enumerate(pixels.round().int().tolist()):
        frame = wide[:, k * pan // FRAMES :][:, :WIDTH].copy()
        for x, y in joint:
            cv2.circle(frame, (x, y), 3, (20, 20, 60), -1)
        frames.append(frame)
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    path = root / f"{name}.mp4"
    write_video(path, video, fps=24.0)
    return Record(name, path, 0, "s1", "", 0.0, FRAMES / 24.0), Reference(motion, camera)


def test_plates_come_out_of_film_and_are_backgrounds(tmp_path):
    record, reference = film(tmp_path)
    plates = Plates(tmp_path / "cache", silhouettes="tubes").prepare([(record, reference)])
    check_background(plates)
    scene = plates.scene({"plate": "walk"}, example_camera(frames=3, height=HEIGHT, width=WIDTH))
    # H.264 at its usual quality is what limits this.
    assert psnr(scene.frames[0].permute(1, 2, 0).numpy(), scenery()) > 27
    torch.testing.assert_close(scene.camera.viewmats, reference.camera.viewmats[:3])
    torch.testing.assert_close(scene.camera.Ks, reference.camera.Ks[:3])
    assert scene.spot == pytest.approx((0.0, 0.0, 0.0), abs=0.05)


def test_a_crop_follows_the_spot_and_its_camera_agrees(tmp_path):
    record, reference = film(tmp_path)
    aside = replace(
        reference, motion=replace(reference.motion, transl=reference.motion.transl + torch.tensor([1.0, 0, 0]))
    )
    plates = Plates(tmp_path / "cache", silhouettes="tubes", max_hole=0.5).prepare([(record, aside)])
    scene = plates.scene({"plate": "walk"}, example_camera(frames=1, height=64, width=64))
    spot = torch.tensor([scene.spot[0], 0.9, scene.spot[2]])
    seen = scene.camera.viewmats[0, :3, :3] @ spot + scene.camera.viewmats[0, :3, 3]
    u = float((scene.camera.Ks[0] @ seen)[0] / seen[2])
    assert 24 < u < 40
    whole = plates.scene({"plate": "walk"}, example_camera(frames=1, height=HEIGHT, width=WIDTH))
    full = (whole.camera.Ks[0] @ seen)[0] / seen[2]
    shift = round(float(full) * 64 / HEIGHT - u)
    small = cv2.resize(
        whole.frames[0].permute(1, 2, 0).numpy(), (round(WIDTH * 64 / HEIGHT), 64), interpolation=cv2.INTER_AREA
    )
    assert psnr(small[:, shift : shift + 64], scene.frames[0].permute(1, 2, 0).numpy()) > 30


def test_records_of_one_file_share_one_plate(tmp_path):
    record, reference = film(tmp_path)
    half = replace(record, key="walk-again", end=1.0)
    plates = Plates(tmp_path / "cache", silhouettes="tubes").prepare([(record, reference), (half, reference)])
    assert list(plates.plates) == ["walk"]


def test_what_a_film_shows_outside_the_training_intervals_reaches_no_plate(tmp_path):
    """Where he stood in training, something red stands while somebody else is tested."""
    record, reference = film(tmp_path)
    video, third = read_frames(record.path, list(range(FRAMES))), FRAMES // 3
    x, y = pelvis(reference)
    red = (slice(y - 5, y + 5), slice(x - 3, x + 3))
    video[third:, :, red[0], red[1]] = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    write_video(tmp_path / "parts.mp4", video, fps=24.0)
    trained = replace(record, key="parts#0-1", path=tmp_path / "parts.mp4", end=third / 24.0)
    few = replace(reference, motion=Motion.from_pose(torch.zeros(4, 55, 3), reference.motion.transl[:4], fps=24.0))
    plates = Plates(tmp_path / "cache", silhouettes="tubes", max_hole=0.9).prepare([(trained, few)])
    scene = plates.scene({"plate": trained.key}, example_camera(frames=1, height=HEIGHT, width=WIDTH))
    shown = scene.frames[0].permute(1, 2, 0).numpy()[red].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(shown, scenery()[red].reshape(-1, 3).mean(0), atol=40)
    assert plates.sources == (trained.key,)


def pelvis(reference: Reference) -> tuple[int, int]:
    """Pixel of the first frame's pelvis."""
    camera, place = reference.camera, reference.motion.transl[0]
    seen = camera.Ks[0] @ (camera.viewmats[0, :3, :3] @ place.to(camera.viewmats) + camera.viewmats[0, :3, 3])
    return int(seen[0] / seen[2]), int(seen[1] / seen[2])


def test_plates_of_held_out_clips_are_a_leak(tmp_path):
    record, reference = film(tmp_path)
    plates = Plates(tmp_path / "cache", silhouettes="tubes").prepare([(record, reference)])
    other = replace(record, key="other")
    check_backgrounds(plates, Split((record,), (), (replace(other, subject="s2"),)), "subject")
    for train, tested in ((other, replace(record, subject="s2")), (record, other)):
        with pytest.raises(LeakError, match="got the background of 'walk', which is held out"):
            check_backgrounds(plates, Split((train,), (), (tested,)), "subject")


def test_the_cache_is_used_and_a_damaged_one_renewed(tmp_path):
    record, reference = film(tmp_path)
    cache = tmp_path / "cache"
    first = Plates(cache, silhouettes="tubes").prepare([(record, reference)])
    pictures = list(cache.rglob("*.png"))  # what the film uncovers, and the plate
    times = [picture.stat().st_mtime_ns for picture in pictures]
    again = Plates(cache, silhouettes="tubes").prepare([(record, reference)])
    assert [picture.stat().st_mtime_ns for picture in pictures] == times
    assert again.fingerprint == first.fingerprint
    for picture in pictures:
        picture.write_bytes(b"damaged")
        Plates(cache, silhouettes="tubes").prepare([(record, reference)])
        assert picture.stat().st_size > 100


def without_hole(scene: np.ndarray, part: tuple[slice, slice]) -> Uncovered:
    hole = np.zeros(scene.shape[:2], bool)
    hole[part] = True
    picture = scene.copy()
    picture[hole] = (255, 0, 255)
    return Uncovered(picture, hole, 0.0)


def test_another_film_of_the_camera_shows_what_one_hides_in_its_own_exposure():
    """Law: what is completed is what was there, although the other film is darker and hides something else."""
    truth = scenery(192, 320)
    own = without_hole(truth, (slice(60, 150), slice(100, 150)))
    dark = (0.7 * truth + 10).astype(np.uint8)
    other = without_hole(dark, (slice(60, 150), slice(200, 250)))
    scene, used = pool(own, [other])
    assert used == [0] and not scene.hole.any()
    np.testing.assert_array_equal(scene.picture[~own.hole], truth[~own.hole])
    # Darkening to 0.7 rounds to a value and a half of the brighter picture.
    assert psnr(scene.picture[own.hole], truth[own.hole]) > 36


def test_a_camera_that_was_touched_is_brought_into_line():
    wide = scenery(192, 330, seed=3)
    own = without_hole(wide[:, :320].copy(), (slice(60, 150), slice(100, 150)))
    scene, used = pool(own, [Uncovered(wide[:, 4:324].copy(), np.zeros((192, 320), bool), 0.0)])
    assert used == [0]
    assert psnr(scene.picture[own.hole], wide[:, :320][own.hole]) > 24


def test_another_place_lends_nothing():
    own = without_hole(scenery(192, 320), (slice(60, 150), slice(100, 150)))
    other = Uncovered(np.ascontiguousarray(scenery(192, 320, seed=8)[:, ::-1]), np.zeros((192, 320), bool), 0.0)
    assert choose_donors(Thumbnail.of(own), [Thumbnail.of(other)]) == []
    blocks = np.random.default_rng(0).integers(0, 255, (24, 40, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    scene, used = pool(own, [Uncovered(blocks, np.zeros((192, 320), bool), 0.0)])
    assert used == [] and scene is own


def test_films_of_one_camera_share_what_they_uncover(tmp_path):
    """Somebody who keeps still hides a wall for good; another film of the camera shows it."""
    record, reference = film(tmp_path)
    still = Motion.from_pose(torch.zeros(12, 55, 3), reference.motion.transl[:1].expand(12, 3).clone(), fps=24.0)
    video = read_frames(record.path, [0] * 12)
    write_video(tmp_path / "still.mp4", video, fps=24.0)
    stands = replace(record, key="still", path=tmp_path / "still.mp4", end=0.5)
    films = [(record, reference), (stands, replace(reference, motion=still))]
    alone = Plates(tmp_path / "a", silhouettes="tubes", max_hole=0.9).prepare(films[1:])
    both = Plates(tmp_path / "b", silhouettes="tubes", max_hole=0.9).prepare(films)
    assert alone.plates["still"].filled > 0.05 and alone.sources == ("still",)
    assert both.plates["still"].filled == 0
    assert set(both.sources) == {"still", "walk"}
    scene = both.scene({"plate": "still"}, example_camera(frames=1, height=HEIGHT, width=WIDTH))
    assert psnr(scene.frames[0].permute(1, 2, 0).numpy(), scenery()) > 26
    other = [(replace(record, camera="left"), reference), (replace(stands, camera="right"), films[1][1])]
    named = Plates(tmp_path / "c", silhouettes="tubes", max_hole=0.9).prepare(other)
    assert named.plates["still"].filled == alone.plates["still"].filled


class Painted(Segmenter):
    """Finds what differs from the scenery, as a network finds people."""

    def segment(self, frame: np.ndarray, region: Region) -> np.ndarray:
        return (np.abs(frame.astype(int) - scenery()).max(-1) > 60).astype(np.float32)


def test_silhouettes_hide_less_than_tubes_and_still_the_person(tmp_path):
    record, reference = film(tmp_path)
    info, size = probe(record.path), (HEIGHT, WIDTH)
    (bodies,) = find_bodies([(record, reference)], info, [20], size)
    frame = read_frames(record.path, [20])[0].permute(1, 2, 0).numpy()
    close, confirmed = outline_people(frame, bodies, Painted())
    assert confirmed
    painted = np.zeros(size, np.uint8)
    for x, y in bodies[0].pixels.round().astype(int).tolist():
        cv2.circle(painted, (x, y), 3, (1,), -1)
    person = painted > 0
    assert close.sum() < 0.9 * bodies[0].mask(size, 0.17).sum()
    assert (person & ~close).sum() < 0.03 * person.sum()


def test_what_somebody_holds_and_the_shadow_go_with_the_person_and_others_stay(tmp_path):
    record, reference = film(tmp_path)
    (bodies,) = find_bodies([(record, reference)], probe(record.path), [20], (HEIGHT, WIDTH))
    frame = scenery()
    person = bodies[0].mask((HEIGHT, WIDTH), 0.1)
    frame[person] = (20, 20, 60)
    rows, columns = np.nonzero(person)
    foot = rows.max()
    side = columns[rows > foot - 4].max()
    frame[foot - 4 : foot + 2, side - 4 : side + 10] = (0.6 * frame[foot - 4 : foot + 2, side - 4 : side + 10]).astype(
        np.uint8
    )
    frame[5:25, 2:10] = (250, 20, 250)  # a bystander
    scene = Uncovered(scenery(), np.zeros((HEIGHT, WIDTH), bool), 0.0)
    found = add_changes(frame, person, bodies, scene)
    assert found[person].all()
    assert found[foot - 2 : foot, side + 1 : side + 8].mean() > 0.9
    assert not found[:28, :12].any()


def test_a_region_turns_with_the_body():
    lying = np.zeros((22, 2))
    lying[:, 0] = np.linspace(20, 100, 22)
    lying[JOINT["pelvis"]], lying[JOINT["neck"]] = (60, 40), (90, 40)
    region = find_region(lying)
    assert region.turn == pytest.approx(np.pi / 2)
    assert region.side == pytest.approx(MARGIN * np.ptp(lying[:, 0]))


def test_patches_continue_what_surrounds_a_hole():
    """Law: in a picture of stripes a filled hole has the stripes, where a mean would be grey."""
    stripes = np.zeros((96, 128, 3), np.uint8)
    stripes[(np.arange(96) // 6) % 2 == 0] = 200
    hole = np.zeros((96, 128), bool)
    hole[20:80, 50:80] = True
    broken = stripes.copy()
    broken[hole] = (0, 255, 0)
    filled = fill_holes(broken, hole)
    np.testing.assert_array_equal(filled[~hole], stripes[~hole])
    assert np.abs(filled[hole].astype(int) - stripes[hole]).mean() < 12
    np.testing.assert_array_equal(filled, fill_holes(broken, hole))
    with pytest.raises(ValueError, match="hole as large as the picture"):
        fill_holes(stripes, np.ones((96, 128), bool))


def test_an_unknown_way_to_silhouettes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 'magic'"):
        Plates(tmp_path, silhouettes="magic")


def test_moving_cameras_and_broken_files_are_counted(tmp_path):
    good, panned = film(tmp_path), film(tmp_path, "panned", pan=70)
    (tmp_path / "empty.mp4").touch()
    empty = (replace(good[0], key="empty", path=tmp_path / "empty.mp4"), good[1])
    plates = Plates(tmp_path / "cache", silhouettes="tubes").prepare([good, panned, empty])
    assert list(plates.plates) == ["walk"]
    assert "The camera moves" in plates.refused["panned"]
    assert "empty" in plates.refused["empty"]
    again = Plates(tmp_path / "cache", silhouettes="tubes").prepare([good, panned, empty])
    assert again.refused == plates.refused


def test_without_film_there_is_nothing_to_choose_from(tmp_path):
    with pytest.raises(ValueError, match="Call `prepare`"):
        Plates(tmp_path).sample(np.random.default_rng(0))
    with pytest.raises(ValueError, match="got no plate from any of 0 .*synth/background=rooms"):
        Plates(tmp_path).prepare([])
    with pytest.raises(ValueError, match="The camera moves.*synth/background=rooms"):
        Plates(tmp_path / "cache", silhouettes="tubes").prepare([film(tmp_path, pan=70)])


def test_a_plate_of_other_film_is_refused(tmp_path):
    plates = Plates(tmp_path / "cache", silhouettes="tubes").prepare([film(tmp_path)])
    with pytest.raises(KeyError, match="got 'elsewhere'"):
        plates.scene({"plate": "elsewhere"}, example_camera())


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="samples of at least 3.*got samples=1"):
        Plates(samples=1)
