"""Laws of following people: everybody found, nobody taken for another, the acting one chosen."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from synthaug.motions.pose.camera_motion import Background, Link
from synthaug.motions.pose.crowd import boxes_of, choose_lead, join_tracks, landmarks_of, track_people
from synthaug.motions.pose.network import PersonLandmarks, PoseDetector, Region, turn_back
from synthaug.motions.pose.searching import MAX_PEOPLE

HEIGHT, WIDTH, FPS = 120, 200, 20.0
MARK = 77
BODY = {
    11: (0.09, -0.32), 12: (-0.09, -0.32), 13: (0.12, -0.15), 14: (-0.12, -0.15), 15: (0.13, 0.0), 16: (-0.13, 0.0),
    23: (0.05, 0.0), 24: (-0.05, 0.0), 25: (0.05, 0.24), 26: (-0.05, 0.24), 27: (0.05, 0.47), 28: (-0.05, 0.47),
}  # fmt: skip
"""Limbs' landmarks about the hips, in heights, head up."""
OUTLINE = np.array([BODY.get(k, (0.0, -0.42)) for k in range(33)])


@dataclass(frozen=True)
class Walker:
    """Somebody: where the hips are in each frame (None: not there), what they wear, how tall; nearer ones cover."""

    path: Callable[[int], tuple[float, float] | None]
    colour: tuple[int, int, int]
    tall: float = 60.0
    lying: bool = False
    swing: float = 0.0

    def pixels(self, number: int) -> np.ndarray | None:
        at = self.path(number)
        if at is None:
            return None
        outline = OUTLINE.copy()
        outline[[15, 16], 0] += self.swing * math.sin(number)
        if self.lying:
            outline = outline[:, ::-1] * [-1, 1]  # the head to the right
        return np.asarray(outline * self.tall + at)


class Onlooker(PoseDetector):
    """Knows who is where, and as the network does looks only for upright people and takes whoever is in a region."""

    def __init__(self, people: list[Walker]) -> None:
        self.people = people
        self.searches = 0

    def frames(self, count: int) -> list[np.ndarray]:
        """Pictures whose first row holds their number and its columns; people given first cover the others."""
        result = []
        for number in range(count):
            frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            for one in reversed(self.people):
                points = one.pixels(number)
                if points is not None:
                    (x0, y0), (x1, y1) = (
                        edge(points[[11, 12, 23, 24]], 0).round().astype(int) for edge in (np.min, np.max)
                    )
                    frame[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = one.colour
            frame[0] = np.stack([np.full(WIDTH, number), np.arange(WIDTH), np.full(WIDTH, MARK)], axis=1)
            result.append(frame)
        return result

    def visible(self, number: int) -> list[np.ndarray]:
        """Everybody's points but those of who is behind somebody."""
        seen: list[np.ndarray] = []
        for one in self.people:
            points = one.pixels(number)
            if points is not None and all(abs(points[0] - other[0]).max() > 0.15 * one.tall for other in seen):
                seen.append(points)
        return seen

    def find(self, frame: np.ndarray) -> list[Region]:
        self.searches += 1
        top, left = (bool((edge[..., 2] == MARK).all()) for edge in (frame[0], frame[:, 0]))
        turns = 0 if top else 1 if left else 3
        start = frame[-1, 0] if turns == 1 else frame[0, 0] if turns == 0 else frame[0, -1]
        found = []
        for points in self.visible(int(start[0])):
            region = region_of(points)
            if turns:
                # What it is in the picture as it was, it is turned back by so many quarters in this one.
                region = turn_back(region, -turns, width=frame.shape[1], height=frame.shape[0])
            region = replace(region, x=region.x - (int(start[1]) if turns == 0 else 0))
            if abs(region.turn) < math.pi / 4 and 0 <= region.x < frame.shape[1]:
                found.append(region)
        return found

    def look(self, frame: np.ndarray, region: Region) -> PersonLandmarks | None:
        people = self.visible(int(frame[0, 0, 0]))
        near = [
            (float(np.hypot(*(points[[23, 24]].mean(0) - [region.x, region.y]))), k) for k, points in enumerate(people)
        ]
        if not near or min(near)[0] > region.side / 4:
            return None
        points = people[min(near)[1]].astype(np.float32)
        return PersonLandmarks(np.zeros((33, 3), np.float32), points, np.ones(33, np.float32), region_of(points))


def region_of(points: np.ndarray) -> Region:
    hips, neck = points[[23, 24]].mean(0), points[[11, 12]].mean(0)
    up = neck - hips
    return Region(float(hips[0]), float(hips[1]), 4 * float(np.hypot(*up)), math.atan2(float(up[0]), float(-up[1])))


def place_of(people: list, one) -> np.ndarray:
    return landmarks_of(people, one).pixels[:, [23, 24]].mean(1).numpy()


def watch(people: list[Walker], count: int) -> tuple[list, list]:
    eyes = Onlooker(people)
    found = track_people(eyes.frames(count), eyes, fps=FPS)
    return found, join_tracks(found, fps=FPS)


RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 200, 30)


def test_people_side_by_side_are_kept_apart() -> None:
    people = [Walker(lambda k: (50.0, 60.0), RED, swing=0.05), Walker(lambda k: (80.0, 60.0), BLUE)]
    found, both = watch(people, 40)
    assert len(both) == 2
    assert [place_of(found, one).mean(0).round(1).tolist() for one in both] == [[50.0, 60.0], [80.0, 60.0]]


def test_who_passes_behind_somebody_comes_out_as_who_they_were() -> None:
    people = [Walker(lambda k: (100.0 - k, 60.0), RED), Walker(lambda k: (50.0 + k, 62.0), BLUE)]
    found, both = watch(people, 60)
    assert len(both) == 2
    for one in both:
        places = place_of(found, one)
        there = np.isfinite(places[:, 0])
        assert 0.7 < there.mean() <= 1.0
        walker = people[0] if places[0, 0] == 100.0 else people[1]
        truth = np.array([walker.path(k) for k in range(60)])
        assert np.abs(places[there] - truth[there]).max() < 1.0


def test_without_clothes_to_tell_them_apart_nobody_turns_round_while_hidden() -> None:
    """Two of one colour, of whom one stays where they are: the way is what is left to tell them apart by."""
    people = [Walker(lambda k: (100.0, 60.0), RED), Walker(lambda k: (40.0 + 2 * k, 62.0), RED)]
    found, both = watch(people, 60)
    still = min(both, key=lambda one: np.nanstd(place_of(found, one)[:, 0]))
    assert np.nanmax(np.abs(place_of(found, still) - [100.0, 60.0])) < 1.0


def test_who_lies_is_found_on_the_picture_s_side() -> None:
    people = [Walker(lambda k: (100.0, 60.0), RED, lying=True)]
    found, both = watch(people, 10)
    assert len(both) == 1
    np.testing.assert_allclose(place_of(found, both[0]), np.tile([100.0, 60.0], (10, 1)), atol=0.01)


def test_newcomers_are_seen_within_a_quarter_second_though_somebody_is_followed() -> None:
    people = [Walker(lambda k: (50.0, 60.0), RED), Walker(lambda k: (150.0, 60.0) if k >= 12 else None, BLUE)]
    found, _ = watch(people, 30)
    first = next(k for k, frame in enumerate(found) if len(frame) == 2)
    assert 12 <= first <= 12 + FPS / 4


def test_who_is_followed_is_not_searched_for_in_every_frame() -> None:
    eyes = Onlooker([Walker(lambda k: (50.0, 60.0), RED)])
    track_people(eyes.frames(40), eyes, fps=FPS)
    assert eyes.searches <= 4 * 40 / (FPS / 4)  # the whole picture and three halves, four times a second


def test_frames_without_the_person_are_marked_and_keep_their_place_in_time() -> None:
    people = [Walker(lambda k: None if 10 <= k < 16 else (50.0 + k, 60.0), RED)]
    found, both = watch(people, 40)
    assert len(both) == 1
    seen = landmarks_of(found, both[0])
    assert seen.found.tolist() == [not 10 <= k < 16 for k in range(40)]
    assert (seen.visibility[10:16] == 0).all()


def test_who_moves_and_is_large_acts() -> None:
    actor = Walker(lambda k: (60.0, 60.0), RED, tall=80.0, swing=0.15)
    seated = Walker(lambda k: (110.0, 60.0), BLUE, tall=80.0, swing=0.005)
    passer = Walker(lambda k: (150.0 + k, 30.0) if k < 20 else None, GREEN, tall=24.0)
    for order in ([actor, seated, passer], [passer, seated, actor]):
        found, there = watch(order, 40)
        assert len(there) == 3
        assert place_of(found, there[0])[0] == pytest.approx([60.0, 60.0], abs=0.01)
        lead = choose_lead(found, [(0, 40)], fps=FPS, person=0)
        assert lead.people == 3
        # The others, those who move most first, and not the acting person again.
        middles = [np.nanmean(one.pixels.numpy()[:20], axis=(0, 1)) for one in lead.beside]
        assert len(middles) == 2 and not any(np.allclose(middle, [60.0, 60.0], atol=5) for middle in middles)
        assert [int(one.found.sum()) for one in lead.beside] == [40 if middle[0] < 140 else 20 for middle in middles]
        assert choose_lead(found, [(0, 40)], fps=FPS, person=3).seen.found.sum() == 0


def test_furniture_that_flickers_is_not_the_actor() -> None:
    """Seen on real film: a sight of nobody, in a third of the frames, that jumps about."""
    still = Walker(lambda k: (60.0, 60.0), RED, tall=80.0, swing=0.002)
    ghost = Walker(lambda k: (150.0 + 9 * math.sin(5 * k), 60.0) if k % 40 < 14 else None, BLUE, swing=0.3)
    found, there = watch([ghost, still], 40)
    assert place_of(found, there[0])[0] == pytest.approx([60.0, 60.0], abs=0.01)


def test_what_shakes_acts_less_than_who_moves() -> None:
    shaken = np.random.default_rng(0).normal(0, 5, (40, 2))
    ghost = Walker(lambda k: (110.0 + shaken[k, 0], 60.0 + shaken[k, 1]), BLUE)
    swaying = Walker(lambda k: (40.0 + 4.0 * math.sin(2 * math.pi * k / FPS), 60.0), RED)
    found, there = watch([ghost, swaying], 40)
    assert len(there) == 2 and there[0].energy < there[1].energy
    assert abs(float(place_of(found, there[0])[:, 0].mean()) - 40.0) < 3


def test_the_shot_with_most_of_the_acting_person_is_taken_and_nobody_crosses_a_cut() -> None:
    people = [
        Walker(lambda k: (60.0, 60.0) if k < 15 else None, RED),
        Walker(lambda k: (64.0, 60.0) if k >= 15 else None, BLUE),
    ]
    found, _ = watch(people, 40)
    best = choose_lead(found, [(0, 15), (15, 40)], fps=FPS)
    assert (best.first, best.people, best.share) == (15, 1, 25 / 40)
    assert len(best.seen.found) == 25
    assert best.seen.pixels[best.seen.found][:, 23:25].mean(1)[:, 0].numpy() == pytest.approx(64.0)


def test_nobody_at_all_is_nobody() -> None:
    found, there = watch([], 8)
    assert there == []
    assert choose_lead(found, [(0, 8)], fps=FPS).seen.found.tolist() == [False] * 8


def test_crowds_are_looked_at_up_to_a_limit() -> None:
    people = [Walker(lambda k, x=x: (20.0 + 25 * x, 60.0), (20 * x, 90, 200)) for x in range(8)]
    found, _ = watch(people, 4)
    assert {len(frame) for frame in found} == {MAX_PEOPLE}


def test_regions_turned_by_quarters_come_back() -> None:
    region = Region(30.0, 20.0, 10.0, 0.3)
    for turns in range(4):
        size = (HEIGHT, WIDTH) if turns % 2 else (WIDTH, HEIGHT)
        there = turn_back(region, -turns, width=size[0], height=size[1])
        back = turn_back(there, turns, width=WIDTH, height=HEIGHT)
        assert (back.x, back.y, back.side, back.turn) == pytest.approx((30.0, 20.0, 10.0, 0.3))


class Shortsighted(PoseDetector):
    """Finds the white patch in a picture, but only where it fills a good part of the picture's height."""

    def find(self, frame: np.ndarray) -> list[Region]:
        rows, columns = np.nonzero(frame[..., 0] == 255)
        if not len(rows) or np.ptp(rows) + 1 < 0.3 * max(frame.shape[:2]):
            return []
        return [Region(float(columns.mean()), float(rows.mean()), 1.5 * float(np.ptp(rows)), 0.0)]

    def look(self, frame: np.ndarray, region: Region) -> PersonLandmarks | None:
        rows, columns = np.nonzero(frame[..., 0] == 255)
        if not len(rows) or math.hypot(columns.mean() - region.x, rows.mean() - region.y) > region.side:
            return None
        points = np.asarray(OUTLINE * np.ptp(rows) + [columns.mean(), rows.mean()], np.float32)
        return PersonLandmarks(np.zeros((33, 3), np.float32), points, np.ones(33, np.float32), region_of(points))


@pytest.mark.parametrize("place", [(0, 0), (90, 60), (70, 150), (88, 190)])
def test_small_people_are_found_wherever_they_stand(place: tuple[int, int]) -> None:
    """A sixth of the picture's height, in corners and across the borders of parts."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    top, left = place
    frame[top : top + 20, left : left + 8] = 255
    (seen,) = track_people([frame], Shortsighted(), fps=FPS)
    assert len(seen) == 1
    rows, columns = np.nonzero(frame[..., 0])
    assert seen[0].sight.pixels[[23, 24]].mean(0) == pytest.approx([columns.mean(), rows.mean()], abs=1)


def test_boxes_hold_people_with_room_to_spare() -> None:
    found, _ = watch([Walker(lambda k: (50.0, 60.0), RED), Walker(lambda k: (150.0, 60.0), BLUE)], 12)
    for boxes, people in zip(boxes_of(found), found, strict=True):
        assert boxes.shape == (2, 4)
        for (left, top, right, bottom), one in zip(boxes, people, strict=True):
            x, y = one.sight.pixels.T
            assert left < x.min() and x.max() < right and top < y.min() and y.max() < bottom
    assert boxes_of([()])[0].shape == (0, 4)


def test_a_camera_that_follows_somebody_makes_nobody_else_act() -> None:
    """The one who is kept in the middle of a pan acts, and not the one who slides out of the picture."""
    actor = Walker(lambda k: (100.0, 60.0), RED, swing=0.02)
    bystander = Walker(lambda k: (190.0 - 2 * k, 60.0), BLUE)
    found, pair = watch([actor, bystander], 30)
    assert place_of(found, pair[0]).std(0)[0] > 10  # as a camera at rest, the pan would be the bystander's walk
    links = [Link(0, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, bool))]
    grid = np.stack(np.meshgrid(np.arange(120, 320, 20), np.arange(10, 190, 20)), -1).reshape(-1, 2).astype(np.float64)
    shift = 2 * 320 / WIDTH
    links += [Link(0, grid, grid - [shift * k, 0], np.ones(len(grid), bool)) for k in range(1, 30)]
    background = Background(links, [np.zeros((0, 4))] * 30, (HEIGHT, WIDTH))
    lead = choose_lead(found, [(0, 30)], fps=FPS, background=background)
    assert lead.seen.pixels[:, [23, 24], 0].mean(1).numpy() == pytest.approx(100.0, abs=1)


class Counting(Onlooker):
    """Counts its looks."""

    looks = 0

    def look(self, frame: np.ndarray, region: Region) -> PersonLandmarks | None:
        self.looks += 1
        return super().look(frame, region)


def count_looks(path: Callable[[int], tuple[float, float] | None], count: int) -> tuple[Counting, list]:
    eyes = Counting([Walker(path, RED)])
    return eyes, track_people(eyes.frames(count), eyes, fps=30.0)


def test_who_moves_is_looked_at_fifteen_times_a_second_and_known_in_every_frame() -> None:
    eyes, found = count_looks(lambda k: (40.0 + k, 60.0), 41)
    assert 20 <= eyes.looks <= 24
    assert [len(frame) for frame in found] == [1] * 41
    assert [frame[0].looked for frame in found] == [k % 2 == 0 for k in range(41)]
    hips = [frame[0].sight.pixels[[23, 24]].mean(0)[0] for frame in found]
    np.testing.assert_allclose(hips, 40.0 + np.arange(41), atol=1e-3)


def test_who_moves_fast_is_looked_at_in_every_frame() -> None:
    eyes, found = count_looks(lambda k: (20.0 + 4.0 * k, 60.0), 30)  # two heights a second
    assert eyes.looks >= 28
    assert sum(frame[0].looked for frame in found) >= 28


def test_a_picture_that_stays_the_same_is_looked_at_four_times_a_second() -> None:
    eyes, found = count_looks(lambda k: (60.0 if k < 60 else 60.0 + 2 * (k - 60), 60.0), 91)
    assert sum(frame[0].looked for frame in found[:60]) <= 4 * 2 + 1
    assert sum(frame[0].looked for frame in found[60:]) >= 15
    hips = np.array([frame[0].sight.pixels[[23, 24]].mean(0)[0] for frame in found])
    # Within a twentieth of the height, although the start was seen two frames late.
    assert np.abs(hips - np.where(np.arange(91) < 60, 60, 60 + 2 * (np.arange(91) - 60))).max() < 0.05 * 60


def test_nobody_is_interpolated_across_a_cut() -> None:
    eyes = Counting([Walker(lambda k: (60.0, 60.0) if k < 21 else (66.0, 60.0), RED)])
    frames = eyes.frames(41)
    for frame in frames[21:]:
        frame[1:] = 255 - frame[1:]
    found = track_people(frames, eyes, fps=30.0)
    hips = [frame[0].sight.pixels[[23, 24]].mean(0)[0] for frame in found]
    np.testing.assert_allclose(hips, [60.0] * 21 + [66.0] * 20, atol=1e-3)


def test_who_goes_is_not_made_up_for_the_frames_between() -> None:
    _, found = count_looks(lambda k: (60.0 + k, 60.0) if k < 21 else None, 40)
    assert [len(frame) for frame in found] == [1] * 21 + [0] * 19
