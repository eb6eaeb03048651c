import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skeletonfiles import (
    MEAN,
    aligned_mm,
    camera_before,
    ntu_body,
    ntu_file,
    performance,
    points_of,
    projected,
    seen,
)

from synthaug.body.skeleton import JOINT, joint_positions, lowest_heights
from synthaug.motions import UnusableClipError
from synthaug.motions.files import recordings
from synthaug.motions.files.recordings import FlawError
from synthaug.motions.fitting.fit import project
from synthaug.motions.fitting.layouts import NTU_25
from synthaug.motions.ntu_skeleton import LENS, NtuSkeleton, calibrate_colour_camera, find_people, parse_skeleton
from synthaug.structures import Motion, Record
from synthaug.testing.motions import check_motion_source

# The colour camera of the fakes: another focal length, centre and place than the nominal ones.
K = np.array([[1085.0, 0, 955.0], [0, 1085.0, 548.0], [0, 0, 1]])
T_COLOUR_DEPTH = np.eye(4)
T_COLOUR_DEPTH[:3, 3] = [-0.049, 0.004, 0.002]
MIRROR = np.array([1.0, -1.0, 1.0])
BIG = "72057594037931101"


def record(path, start=0.0, end=60.0):
    return Record(path.stem, path, 0, "P001", "", start, end)


def kinect_of(motion, shift=(0.0, 0.0, 0.0)):
    """Kinect's points of every frame, in its own axes, and where the colour camera sees them."""
    inside = seen(points_of(motion, NTU_25) + np.array(shift), camera_before())
    pixels = projected(seen(inside, T_COLOUR_DEPTH), K) - 0.5
    return inside * MIRROR, pixels


def bodies_of(motion, name=BIG, shift=(0.0, 0.0, 0.0)):
    return [ntu_body(p, q, name=name) for p, q in zip(*kinect_of(motion, shift), strict=True)]


def written(path, frames):
    path.write_text(ntu_file(frames))
    return path


@pytest.fixture(scope="module")
def waving():
    return performance("hand waving", 1.2)


@pytest.fixture(scope="module")
def walking():
    return performance("walk", 1.2)


def test_source_keeps_the_contract(tmp_path, waving):
    path = written(tmp_path / "S001C001P001R001A023.skeleton", [[body] for body in bodies_of(waving)])
    check_motion_source(NtuSkeleton(), record(path))


def test_motion_camera_and_sides_come_back(tmp_path, waving):
    path = written(tmp_path / "a.skeleton", [[body] for body in bodies_of(waving)])
    reference = NtuSkeleton().load(record(path))
    assert reference.motion.fps == 30.0
    # 3 cm: hips, hands and feet of the layout carry little trust, and which way is up is guessed from the body.
    assert aligned_mm(reference.motion, waving) < 40
    assert reference.notes["camera_error"] < 0.5
    # The motion lies over the film: the right wrist is where the file says that its left one is, and nowhere else.
    pixels, _ = project(joint_positions(reference.motion, MEAN), reference.camera)
    film = torch.from_numpy(kinect_of(waving)[1] + 0.5).float()
    right = (pixels[:, JOINT["right_wrist"]] - film[:, 6]).norm(dim=-1).median()
    left = (pixels[:, JOINT["right_wrist"]] - film[:, 10]).norm(dim=-1).median()
    assert right < 12 < left
    assert reference.quality > 0.8


@pytest.mark.parametrize("stature", [0.8, 1.0, 1.3, 2.1])
def test_soles_of_small_and_tall_people_are_on_the_floor(tmp_path, walking, stature):
    size = stature / 1.7
    inside = seen(points_of(walking, NTU_25) * size, camera_before())
    pixels = projected(seen(inside, T_COLOUR_DEPTH), K) - 0.5
    bodies = [[ntu_body(p, q)] for p, q in zip(inside * MIRROR, pixels, strict=True)]
    reference = NtuSkeleton().load(record(written(tmp_path / "a.skeleton", bodies)))
    soles = lowest_heights(joint_positions(reference.motion, MEAN))
    assert soles.median().abs() < 0.005
    # What is left is the camera's pitch, which is guessed to a degree or two.
    assert soles.abs().quantile(0.8) < 0.012


def test_colour_camera_is_solved_and_the_nominal_one_is_another_choice(tmp_path, waving, walking):
    frames = parse_skeleton(ntu_file([[body] for body in bodies_of(waving) + bodies_of(walking, shift=(0.6, 0, -1))]))
    found = calibrate_colour_camera(frames)
    assert found.error < 0.2
    every = np.concatenate([body.points for bodies in frames for body in bodies]) * MIRROR
    wanted = projected(seen(every, T_COLOUR_DEPTH), K)
    got = projected(seen(every, found.viewmat), found.K)
    assert np.abs(got - wanted).max() < 1.5
    path = written(tmp_path / "a.skeleton", [[body] for body in bodies_of(waving)])
    nominal = NtuSkeleton(camera="nominal").load(record(path))
    assert "camera_error" not in nominal.notes
    assert float(nominal.camera.Ks[0, 0, 0]) == LENS.focal


def test_ids_of_64_bits_stay_apart(waving):
    # As floats both are 72057594037931104.
    one, two = "72057594037931101", "72057594037931102"
    frames = parse_skeleton(
        ntu_file([[a, b] for a, b in zip(bodies_of(waving, one), bodies_of(waving, two, (1.4, 0, -0.4)), strict=True)])
    )
    assert {body.name for bodies in frames for body in bodies} == {one, two}
    assert [one.names for one in find_people(frames, fps=30.0)] in ([(one,), (two,)], [(two,), (one,)])


def test_the_one_who_moves_is_chosen_whatever_the_order_of_bodies(tmp_path, waving):
    still = [bodies_of(waving, "2", (1.5, 0, -0.3))[0]] * waving.num_frames
    moving = bodies_of(waving, "1")
    straight = [[a, b] for a, b in zip(moving, still, strict=True)]
    shuffled = [pair[:: 1 if k % 3 else -1] for k, pair in enumerate(straight)]
    motions = [
        NtuSkeleton().load(record(written(tmp_path / f"{k}.skeleton", frames))).motion
        for k, frames in enumerate((straight, shuffled))
    ]
    assert torch.equal(motions[0].pose, motions[1].pose)
    second = NtuSkeleton(person=1).load(record(tmp_path / "0.skeleton")).motion
    wrist = JOINT["right_elbow"]
    assert motions[0].pose[:, wrist].std(0).norm() > 5 * second.pose[:, wrist].std(0).norm()


def test_a_new_id_goes_on_where_the_old_one_ended(waving):
    half = waving.num_frames // 2
    bodies = bodies_of(waving, "1")[:half] + bodies_of(waving, "9")[half:]
    bodies[half - 3 : half] = [None] * 3
    frames = parse_skeleton(ntu_file([[body] if body else [] for body in bodies]))
    (one,) = find_people(frames, fps=30.0)
    assert one.names == ("1", "9")
    assert one.present == pytest.approx(1 - 3 / waving.num_frames)


def test_ids_that_change_hands_are_found_out(waving):
    half = waving.num_frames // 2
    left, right = (kinect_of(waving, shift) for shift in ((0, 0, 0), (1.2, 0, 0)))
    frames = []
    for k in range(waving.num_frames):
        names = ("1", "2") if k < half else ("2", "1")
        frames.append([ntu_body(p[k], q[k], name=n) for (p, q), n in zip((left, right), names, strict=True)])
    for one in find_people(parse_skeleton(ntu_file(frames)), fps=30.0):
        assert np.abs(np.diff(one.points[:, 0], axis=0)).max() < 0.1
        assert one.present == 1


def test_furniture_that_flickers_is_not_the_actor(waving):
    rng = np.random.default_rng(0)
    chair = [ntu_body(rng.normal(0, 0.5, (25, 3)) + [1.5, 0, 3], np.full((25, 2), np.nan), name="7")
             for _ in range(waving.num_frames)]  # fmt: skip
    frames = parse_skeleton(ntu_file([[c, b] for c, b in zip(chair, bodies_of(waving), strict=True)]))
    assert find_people(frames, fps=30.0)[0].names == (BIG,)


def test_frames_without_anybody_stay_in_the_time_line(tmp_path, waving):
    bodies = bodies_of(waving)
    frames = [[] if 10 <= k < 14 else [body] for k, body in enumerate(bodies)]
    motion = NtuSkeleton().load(record(written(tmp_path / "a.skeleton", frames))).motion
    assert motion.num_frames == waving.num_frames
    assert aligned_mm(motion, waving) < 50


def test_colour_that_is_nan_is_no_pair_and_positions_that_are_nan_are_not_seen(tmp_path, waving):
    points, pixels = kinect_of(waving)
    pixels[::2, 3] = np.nan
    points[5, 7], points[6, 7] = np.nan, np.inf
    frames = [[ntu_body(p, q)] for p, q in zip(points, pixels, strict=True)]
    reference = NtuSkeleton().load(record(written(tmp_path / "a.skeleton", frames)))
    assert reference.notes["camera_error"] < 0.5
    dark = [[ntu_body(p, np.full((25, 2), np.nan))] for p in points]
    with pytest.raises(UnusableClipError, match="joints with colorX and colorY, got 0; set camera='nominal'"):
        NtuSkeleton().load(record(written(tmp_path / "b.skeleton", dark)))


def test_film_finds_its_skeleton_beside_it_or_below_root(tmp_path, waving):
    frames = [[body] for body in bodies_of(waving)]
    (tmp_path / "skeletons").mkdir()
    written(tmp_path / "skeletons" / "S001C001P001R001A023.skeleton", frames)
    film = tmp_path / "films" / "S001C001P001R001A023_rgb.avi"
    found = NtuSkeleton(root=str(tmp_path / "skeletons")).load(record(film, 0.0, 0.5))
    assert found.motion.num_frames == 15
    with pytest.raises(FileNotFoundError, match="S001C001P001R001A023.skeleton'.*Set root"):
        NtuSkeleton().load(record(film))


def lines_of(waving):
    return ntu_file([[body] for body in bodies_of(waving)]).splitlines()


DAMAGE = {
    "empty": (lambda lines: [], "got an empty file"),
    "no frames": (lambda lines: ["0"], "got 0 frames"),
    "no bodies": (lambda lines: ["3", "0", "0", "0"], "found no body in any of its 3 frames"),
    "truncated": (lambda lines: lines[:-7], "frame 36 of 36, got the end of the file after line"),
    "cut in a line": (
        lambda lines: [*lines[:-1], lines[-1][:20]],
        "expected 12 values in line .*, got ., and it is the last line",
    ),
    "more frames announced": (
        lambda lines: ["37", *lines[1:]],
        "expected the number of bodies of .*got the end of the file",
    ),
    "a billion frames": (lambda lines: ["1000000000", *lines[1:]], "expected 0 to 1000000 as the number of frames"),
    "goes on": (lambda lines: ["35", *lines[1:]], "after the last frame, got 28 more lines"),
    "a crowd": (lambda lines: [lines[0], "3000", *lines[2:]], "as the number of bodies of frame 1 .*got '3000'"),
    "20 joints": (lambda lines: [*lines[:3], "20", *lines[4:]], "expected Kinect's 25 joints in a body of .*got 20"),
    "words": (lambda lines: [*lines[:5], lines[5].replace("250.1", "left"), *lines[6:]], "expected numbers in line 6"),
    "id": (lambda lines: [*lines[:2], "x" + lines[2], *lines[3:]], "as bodyID in frame 1 of 36, got 'x72"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_named_with_line_and_rule(tmp_path, waving, kind):
    change, words = DAMAGE[kind]
    path = tmp_path / "a.skeleton"
    path.write_text("\n".join(change(lines_of(waving))))
    with pytest.raises(UnusableClipError, match=f"Cannot read a motion from '.*a.skeleton': .*{words}.*Replace"):
        NtuSkeleton().load(record(path))


def test_binary_and_huge_files_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    path = tmp_path / "a.skeleton"
    path.write_bytes(b"3\n\xff\xfe\x00")
    with pytest.raises(UnusableClipError, match="expected UTF-8 text, got another byte at position 2"):
        NtuSkeleton().load(record(path))
    monkeypatch.setattr(recordings, "MAX_BYTES", 1000)
    path.write_text("1\n" * 1000)
    with pytest.raises(UnusableClipError, match="expected at most 1000 bytes, got 2000"):
        NtuSkeleton().load(record(path))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(alphabet="0123456789 .-naxe\n", max_size=40), max_size=30))
def test_no_text_makes_anything_but_frames_or_a_flaw(lines):
    try:
        frames = parse_skeleton("\n".join(lines))
    except FlawError:
        return
    assert all(body.points.shape == (25, 3) for bodies in frames for body in bodies)


def test_mistakes_are_named(tmp_path, waving):
    with pytest.raises(ValueError, match="Expected camera to be .*got camera='rgb'"):
        NtuSkeleton(camera="rgb")
    path = written(tmp_path / "a.skeleton", [[body] for body in bodies_of(waving)])
    with pytest.raises(UnusableClipError, match="expected a person of number 1 .from 0., got 1 people"):
        NtuSkeleton(person=1).load(record(path))
    with pytest.raises(UnusableClipError, match="got 5 to 60 s of a recording that lasts 1.2 s"):
        NtuSkeleton().load(record(path, 5.0))
    few = [[body] if k < 14 else [] for k, body in enumerate(bodies_of(waving))]
    with pytest.raises(UnusableClipError, match="in at least 50% of 36 frames, got 39%"):
        NtuSkeleton().load(record(written(tmp_path / "b.skeleton", few)))


MUTUAL = "S001C001P001R001A058.skeleton"


def two(motion, other, shift=(1.1, 0.0, -0.5)):
    return [[a, b] for a, b in zip(bodies_of(motion, "1"), bodies_of(other, "2", shift), strict=True)]


@pytest.fixture(scope="module")
def still(waving):
    return Motion.from_pose(waving.pose[:1].repeat(waving.num_frames, 1, 1), waving.transl, fps=30.0)


def test_mutual_actions_have_a_companion_where_the_film_shows_one(tmp_path, waving, still):
    path = written(tmp_path / MUTUAL, two(waving, still))
    check_motion_source(NtuSkeleton(), record(path))
    reference = NtuSkeleton().load(record(path))
    (companion,) = reference.companions
    assert aligned_mm(reference.motion, waving) < 40 and aligned_mm(companion, still) < 40
    # Both lie over the film, through the one camera.
    for motion, shift, most in ((reference.motion, (0, 0, 0), 12), (companion, (1.1, 0, -0.5), 25)):
        pixels, _ = project(joint_positions(motion, MEAN), reference.camera)
        film = torch.from_numpy(kinect_of(motion=waving if most == 12 else still, shift=shift)[1] + 0.5).float()
        for ours, theirs in (("right_wrist", 6), ("left_wrist", 10), ("right_ankle", 14), ("left_ankle", 18)):
            assert (pixels[:, JOINT[ours]] - film[:, theirs]).norm(dim=-1).median() < most
    apart = (companion.transl - reference.motion.transl).mean(0)
    assert apart[[0, 2]].norm() == pytest.approx(np.hypot(1.1, 0.5), abs=0.06)
    assert reference.quality == min(reference.quality, reference.notes["companion_quality"])


def test_companions_are_of_mutual_actions_alone(tmp_path, waving, still):
    for name, source in (("S001C001P001R001A023", NtuSkeleton()), (MUTUAL[:-9], NtuSkeleton(companions="never"))):
        path = written(tmp_path / f"{name}.skeleton", two(waving, still))
        assert source.load(record(path)).companions == ()
    assert NtuSkeleton().fingerprint != NtuSkeleton(companions="never").fingerprint


def test_mutual_actions_without_a_second_person_are_refused(tmp_path, waving, still):
    path = written(tmp_path / MUTUAL, [[body] for body in bodies_of(waving)])
    with pytest.raises(UnusableClipError, match=r"expected a companion, since A058 is done by two.*companions=never"):
        NtuSkeleton().load(record(path))
    passing = [pair if k < 14 else pair[:1] for k, pair in enumerate(two(waving, still))]
    with pytest.raises(UnusableClipError, match="found no second person in 50% of its frames"):
        NtuSkeleton().load(record(written(tmp_path / MUTUAL, passing)))
    with pytest.raises(ValueError, match="Expected companions to be one of mutual, never, near, all, got 'both'"):
        NtuSkeleton(companions="both")


def test_groups_and_bystanders_keep_their_places(tmp_path, waving, still):
    """Three people of one class: who stands within reach belongs to the group, who stands apart is a bystander."""
    shifts = {"2": (0.9, 0.0, 0.2), "3": (-1.2, 0.0, 1.9)}
    others = [bodies_of(still, name, shift) for name, shift in shifts.items()]
    frames = [list(people) for people in zip(bodies_of(waving, "1"), *others, strict=True)]
    path = written(tmp_path / "S001C001P001R001A023.skeleton", frames)
    alone = NtuSkeleton().load(record(path))
    group, everybody = (NtuSkeleton(companions=word).load(record(path)) for word in ("near", "all"))
    assert [len(one.companions) for one in (alone, group, everybody)] == [0, 1, 2]
    for one in (group, everybody):
        assert torch.equal(one.motion.pose, alone.motion.pose) and torch.equal(one.motion.transl, alone.motion.transl)
        assert one.quality == min(alone.quality, one.notes["companion_quality"])
    away = sorted(float((other.transl - alone.motion.transl).mean(0)[[0, 2]].norm()) for other in everybody.companions)
    assert away == pytest.approx(sorted(np.hypot(shift[0], shift[2]) for shift in shifts.values()), abs=0.08)
