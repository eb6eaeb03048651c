import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from skeletonfiles import MEAN, aligned_mm, camera_before, performance, points_of, projected, seen

from synthaug.body.skeleton import joint_positions
from synthaug.motions import UnusableClipError
from synthaug.motions.coco_wholebody import CocoWholebody, parse_frame, parse_wholebody
from synthaug.motions.files import recordings
from synthaug.motions.files.recordings import FlawError
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.layouts import COCO_WHOLEBODY_133, TOYOTA_13
from synthaug.motions.toyota_skeleton import ToyotaSkeleton, parse_toyota
from synthaug.structures import Record
from synthaug.testing.motions import check_motion_source
from synthaug.video import probe, probe_pictures, write_video

VIEW = camera_before(distance=3.4)
K_TOYOTA = np.array([[531.2, 0, 320], [0, 531.2, 240], [0, 0, 1]])
K_FILM = np.array([[640.0, 0, 320], [0, 640.0, 180], [0, 0, 1]])


def record(path, start=0.0, end=60.0):
    return Record(path.stem, path, 0, "s", "", start, end)


@pytest.fixture(scope="module")
def waving():
    return performance("hand waving", 0.6, fps=20.0)


def written(path, document):
    path.write_text(json.dumps(document))
    return path


def beside(pixels, joints=None, *, by=(0.0, 0.0)):
    """What a person further along the picture looks like."""
    return pixels + np.array(by)


# Toyota ------------------------------------------------------------------------------------------------------------


def toyota_pixels(motion):
    return projected(seen(points_of(motion, TOYOTA_13), VIEW), K_TOYOTA)


def toyota_person(pixels, shape=None):
    person = {"pose2d": pixels.T.ravel().tolist()}
    return person if shape is None else person | {"pose3d": shape.T.ravel().tolist()}


def toyota_file(frames):
    return {"njts": 13, "K": 100, "frames": frames}


def toyota_frames(motion, *, axes=None, unit=1.0):
    pixels = toyota_pixels(motion)
    if axes is None:
        return [[toyota_person(p)] for p in pixels]
    inside = seen(points_of(motion, TOYOTA_13), VIEW)
    shapes = (inside - inside[:, 4:6].mean(axis=1, keepdims=True)) * np.array(axes) / unit
    return [[toyota_person(p, s)] for p, s in zip(pixels, shapes, strict=True)]


def test_toyota_keeps_the_contract_and_lands_on_the_film(tmp_path, waving):
    path = written(tmp_path / "Cook_p02_r00_v02_c03.json", toyota_file(toyota_frames(waving)))
    source = ToyotaSkeleton(fps=20.0)
    check_motion_source(source, record(path))
    reference = source.load(record(path))
    pixels, _ = project(joint_positions(reference.motion, MEAN), reference.camera)
    off = np.linalg.norm(pixels[:, [20, 21]].numpy() - toyota_pixels(waving)[:, [7, 6]], axis=-1)
    assert np.median(off) < 8
    assert (reference.camera.width, reference.camera.height) == (640, 480)


@pytest.mark.parametrize(
    ("axes", "unit"), [((1, 1, 1), 1.0), ((1, -1, -1), 1.0), ((1, 1, 1), 0.001), ((-1, -1, 1), 0.001)]
)
def test_toyota_shapes_in_any_right_handed_axes_and_unit_give_the_motion(tmp_path, waving, axes, unit):
    path = written(tmp_path / "a_pose3d.json", toyota_file(toyota_frames(waving, axes=axes, unit=unit)))
    reference = ToyotaSkeleton(pose="3d", fps=20.0).load(record(path))
    assert aligned_mm(reference.motion, waving) < 70


def test_planar_and_interleaved_are_not_the_same(waving):
    (frame,) = parse_toyota(toyota_file([[toyota_person(np.arange(26.0).reshape(13, 2))]]))
    np.testing.assert_array_equal(frame[0].pixels, np.arange(26.0).reshape(13, 2))


def test_toyota_frames_without_people_and_joints_at_zero_are_gaps(tmp_path, waving):
    frames = toyota_frames(waving)
    for k in (4, 5):
        frames[k] = []
    frames[8][0]["pose2d"][6] = frames[8][0]["pose2d"][19] = 0.0  # right wrist
    motion = ToyotaSkeleton(fps=20.0).load(record(written(tmp_path / "a.json", toyota_file(frames)))).motion
    assert motion.num_frames == waving.num_frames
    whole = ToyotaSkeleton(fps=20.0).load(record(written(tmp_path / "b.json", toyota_file(toyota_frames(waving)))))
    assert aligned_mm(motion, whole.motion) < 30


def test_toyota_follows_who_moves_whatever_the_order(tmp_path, waving):
    pixels = toyota_pixels(waving)
    still = toyota_person(pixels[0] + [150, 0])
    frames = [[toyota_person(p), still][:: 1 if k % 2 else -1] for k, p in enumerate(pixels)]
    reference = ToyotaSkeleton(fps=20.0).load(record(written(tmp_path / "a.json", toyota_file(frames))))
    alone = ToyotaSkeleton(fps=20.0).load(
        record(written(tmp_path / "b.json", toyota_file([[toyota_person(p)] for p in pixels])))
    )
    assert reference.notes["people"] == 2
    assert torch.equal(reference.motion.pose, alone.motion.pose)


def test_rate_is_the_film_s_where_it_is_there(tmp_path, waving):
    written(tmp_path / "a.json", toyota_file(toyota_frames(waving)))
    film = tmp_path / "a.mp4"
    write_video(film, torch.zeros(20, 3, 48, 64, dtype=torch.uint8), fps=10.0)
    assert ToyotaSkeleton().load(record(film)).motion.fps == pytest.approx(10)
    with pytest.raises(UnusableClipError, match="expected its film beside it, or fps, found neither; set fps"):
        ToyotaSkeleton().load(record(tmp_path / "a.json"))


PERSON = {"pose2d": [1.0] * 26}
TOYOTA_DAMAGE = {
    "list": ([], "expected the document to be an object, got a list"),
    "17 joints": ({"njts": 17, "frames": []}, "expected njts to be 13.*got 17"),
    "no frames": ({"njts": 13}, "expected frames to be a list, got nothing"),
    "0 frames": (toyota_file([]), "expected 1 to 500000 entries in frames, got 0"),
    "nobody": (toyota_file([[], []]), "nobody in any of its 2 frames"),
    "short": (
        toyota_file([[PERSON], [{"pose2d": [1.0] * 24}]]),
        "expected 26 numbers in pose2d of person 0 of frame 1, got 24",
    ),
    "no pose": (toyota_file([[{"pose3d": [1.0] * 39}]]), "pose2d of person 0 of frame 0, found no such field"),
    "person": (toyota_file([[7]]), "expected person 0 of frame 0 to be an object, got a number"),
    "words": (toyota_file([[{"pose2d": ["a"] * 26}]]), "expected numbers in pose2d of person 0 of frame 0"),
    "far pixels": (
        toyota_file([[{"pose2d": [1.0] * 25 + [1e30]}]]),
        r"numbers of at most 1e\+06 either way in pose2d of person 0 of frame 0, got 1e\+30",
    ),
    "far shape": (toyota_file([[PERSON | {"pose3d": [-1e30] * 39}]]), r"in pose3d of person 0 of frame 0, got -1e\+30"),
    "crowd": (toyota_file([[PERSON] * 65]), "at most 64 people in frame 0, got 65"),
    "absent": (toyota_file([[PERSON]] + [[]] * 9), "in at least 50% of 10 frames, got 10%"),
}


@pytest.mark.parametrize("kind", TOYOTA_DAMAGE)
def test_damaged_toyota_files_are_named_with_field_and_rule(tmp_path, kind):
    document, words = TOYOTA_DAMAGE[kind]
    path = written(tmp_path / "a.json", document)
    with pytest.raises(UnusableClipError, match=f"Cannot read a motion from '.*a.json': .*{words}.*Replace"):
        ToyotaSkeleton(fps=20.0).load(record(path))


def test_toyota_shapes_that_contradict_the_picture_are_refused(tmp_path, waving):
    rng = np.random.default_rng(0)
    frames = toyota_frames(waving, axes=(1, 1, 1))
    for frame in frames:
        frame[0]["pose3d"] = (np.array(frame[0]["pose3d"]) + rng.normal(0, 9, 39)).tolist()
    with pytest.raises(UnusableClipError, match="expected pose3d in metres or millimetres, got bones .* times as long"):
        ToyotaSkeleton(pose="3d", fps=20.0).load(record(written(tmp_path / "a.json", toyota_file(frames))))
    with pytest.raises(UnusableClipError, match="expected pose3d of a person in frame 0, found none; set pose='2d'"):
        ToyotaSkeleton(pose="3d", fps=20.0).load(
            record(written(tmp_path / "b.json", toyota_file(toyota_frames(waving))))
        )


@pytest.mark.parametrize("lost", ["picture", "shape"])
def test_a_frame_without_hips_costs_that_frame_alone(tmp_path, waving, lost):
    """nan in one frame once was the whole clip's agreement."""
    frames = toyota_frames(waving, axes=(1, 1, 1))
    pose, axes, gap = ("pose2d", 2, 0.0) if lost == "picture" else ("pose3d", 3, float("nan"))
    for axis in range(axes):
        for hip in (4, 5):
            frames[5][0][pose][13 * axis + hip] = gap
    source = ToyotaSkeleton(pose="3d", fps=20.0)
    motion = source.load(record(written(tmp_path / "a.json", toyota_file(frames)))).motion
    whole = source.load(record(written(tmp_path / "b.json", toyota_file(toyota_frames(waving, axes=(1, 1, 1))))))
    assert motion.num_frames == waving.num_frames
    assert aligned_mm(motion, whole.motion) < 30


def test_toyota_without_hips_in_any_picture_says_so(tmp_path, waving):
    frames = toyota_frames(waving, axes=(1, 1, 1))
    for frame in frames:
        for place in (4, 5, 17, 18):
            frame[0]["pose2d"][place] = 0.0
    with pytest.raises(UnusableClipError, match="show the hips in at least one frame, found none"):
        ToyotaSkeleton(pose="3d", fps=20.0).load(record(written(tmp_path / "a.json", toyota_file(frames))))


# COCO whole body ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keypoints(waving):
    return projected(seen(points_of(waving, COCO_WHOLEBODY_133), VIEW), K_FILM)


def instances(pixels, score=0.9, **more):
    return [{"keypoints": pixels.tolist(), "keypoint_scores": [score] * 133, "bbox": [[1, 2, 3, 4]], **more}]


def mmpose_demo(keypoints):
    info = [{"frame_id": k + 1, "instances": instances(p)} for k, p in enumerate(keypoints)]
    return {"meta_info": {"dataset_name": "coco_wholebody"}, "instance_info": info}


def mmpose_inferencer(keypoints):
    return [{"frame_id": k, "instances": instances(p)} for k, p in enumerate(keypoints)]


def lists_of_people(keypoints):
    return [instances(p) for p in keypoints]


def coco_results(keypoints):
    rows = [np.concatenate([p, np.full((133, 1), 0.9)], axis=1).ravel().tolist() for p in keypoints]
    return [{"image_id": k, "category_id": 1, "keypoints": row, "score": 0.9} for k, row in enumerate(rows)]


def openpose(keypoints, *, share=False):
    """As plug-ins for DWPose write it: OpenPose's 18 body points, face and hands, in pixels or shares of the canvas."""
    coco_of = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
    frames = []
    for p in keypoints / ([640, 360] if share else 1):
        rows = np.concatenate([p, np.full((133, 1), 0.9)], axis=1)
        neck = rows[[5, 6]].mean(axis=0)
        body = [neck if coco is None else rows[coco] for coco in coco_of]
        frames.append({"canvas_width": 640, "canvas_height": 360, "people": [{
            "pose_keypoints_2d": np.ravel(body).tolist(), "face_keypoints_2d": rows[23:91].ravel().tolist(),
            "hand_left_keypoints_2d": rows[91:112].ravel().tolist(), "hand_right_keypoints_2d": None,
        }]})  # fmt: skip
    return frames


@pytest.mark.parametrize("layout", [mmpose_demo, mmpose_inferencer, lists_of_people, coco_results])
def test_layouts_of_all_tools_say_the_same(keypoints, layout):
    frames, size = parse_wholebody(layout(keypoints))
    assert size is None
    assert len(frames) == len(keypoints)
    np.testing.assert_allclose(np.stack([people[0].points for people in frames]), keypoints)
    assert {score for people in frames for score in people[0].confidence} == {0.9}


@pytest.mark.parametrize("share", [False, True])
def test_openpose_names_are_coco_s(keypoints, share):
    frames, size = parse_wholebody(openpose(keypoints, share=share))
    assert size == (360, 640)
    got = frames[3][0]
    here = np.r_[0:17, 23:112]
    np.testing.assert_allclose(got.points[here], keypoints[3][here], atol=1e-9)
    assert got.confidence[17:23].max() == got.confidence[112:].max() == 0


def test_wholebody_keeps_the_contract_and_lands_on_the_film(tmp_path, keypoints):
    path = written(tmp_path / "a.json", mmpose_demo(keypoints))
    source = CocoWholebody(fps=20.0, size=[360, 640])
    check_motion_source(source, record(path))
    reference = source.load(record(path))
    pixels, _ = project(joint_positions(reference.motion, MEAN), reference.camera)
    off = np.linalg.norm(pixels[:, [20, 21, 7, 8]].numpy() - keypoints[:, [9, 10, 15, 16]], axis=-1)
    assert np.median(off) < 8
    assert (reference.camera.width, reference.camera.height) == (640, 360)


def test_folders_of_frames_are_read_in_the_order_of_their_numbers(tmp_path, keypoints):
    folder = tmp_path / "subject" / "keypoints_whole_body"
    folder.mkdir(parents=True)
    for k, p in enumerate(keypoints):
        rows = np.concatenate([p, np.full((133, 1), 0.9)], axis=1)
        written(folder / f"{k}.json", rows.tolist())
    (folder / "7.json").unlink()
    source = CocoWholebody(fps=20.0, size=[360, 640])
    reference = source.load(record(tmp_path / "subject"))
    assert reference.motion.num_frames == len(keypoints)
    assert reference.notes["present"] == pytest.approx(1 - 1 / len(keypoints))
    (folder / "3.json").write_text("[[1, 2]]")
    with pytest.raises(
        UnusableClipError, match="in 3.json expected .*frame 0 to be .*, got a number|in 3.json expected person 0"
    ):
        source.load(record(tmp_path / "subject"))


def openpose_files(folder, frames, name="clip", *, first=0, step=1):
    folder.mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(frames):
        written(folder / f"{name}_{first + step * k:012d}_keypoints.json", frame)
    return folder


def without_canvas(frames):
    return [{"version": 1.3, "people": frame["people"]} for frame in frames]


def film_of(path, frames=20, *, fps=20.0, size=(360, 640)):
    write_video(path, torch.zeros(frames, 3, *size, dtype=torch.uint8), fps=fps)
    return record(path)


def off_the_film(reference, keypoints, joints=((20, 9), (21, 10), (7, 15), (8, 16))):
    """Median pixels between the joints of a reference and the keypoints that it was lifted from."""
    pixels, _ = project(joint_positions(reference.motion, MEAN), reference.camera)
    ours, theirs = (list(ids) for ids in zip(*joints, strict=True))
    return np.median(np.linalg.norm(pixels[:, ours].numpy() - keypoints[:, theirs], axis=-1))


def test_openpose_s_own_files_are_found_among_those_of_other_films(tmp_path, keypoints):
    frames = without_canvas(openpose(keypoints))
    clip = film_of(tmp_path / "clip.mp4")
    openpose_files(tmp_path / "json", frames)
    openpose_files(tmp_path / "json", frames[:1], "clip_2")
    openpose_files(tmp_path / "alone" / "clip", frames)
    among = CocoWholebody(root=str(tmp_path / "json"))
    alone = CocoWholebody(root=str(tmp_path / "alone"))
    assert [path.name for path in among.reads(clip)] == ["clip_000000000000_keypoints.json"]
    one, other = among.load(clip), alone.load(clip)
    assert one.motion.num_frames == len(keypoints)
    assert torch.equal(one.motion.pose, other.motion.pose)
    assert CocoWholebody.recognizes(tmp_path / "alone" / "clip")
    with pytest.raises(UnusableClipError, match="expected frames of one film in a folder, got clip_0.* and clip_2_0"):
        CocoWholebody(fps=20.0, size=[360, 640]).load(record(tmp_path / "json"))


def test_numbers_of_frames_are_times_in_the_film(tmp_path, keypoints):
    frames = without_canvas(openpose(keypoints))
    clip = film_of(tmp_path / "clip.mp4", 60, fps=40.0)
    openpose_files(tmp_path / "clip", frames, first=21, step=2)
    found = CocoWholebody(present=0.1).load(replace(clip, start=0.525))
    assert found.motion.fps == pytest.approx(20.0, rel=1e-3)
    assert found.notes["offset"] == pytest.approx(0.0, abs=1e-3)
    assert found.notes["present"] == 1.0
    assert off_the_film(found, keypoints) < 8
    with pytest.raises(UnusableClipError, match="found nobody"):
        CocoWholebody().load(replace(clip, end=0.5))


def as_shares(keypoints):
    return mmpose_inferencer(keypoints / [640, 360])


def as_openpose_shares(keypoints):
    return without_canvas(openpose(keypoints, share=True))


def on_a_canvas_of_1(keypoints):
    return [frame | {"canvas_width": 1, "canvas_height": 1} for frame in openpose(keypoints, share=True)]


def on_a_canvas_of_half(keypoints):
    return [frame | {"canvas_width": 320, "canvas_height": 180} for frame in openpose(keypoints / 2)]


@pytest.mark.parametrize("layout", [as_shares, as_openpose_shares, on_a_canvas_of_1, on_a_canvas_of_half])
def test_keypoints_in_other_units_land_on_the_film(tmp_path, keypoints, layout):
    clip = film_of(tmp_path / "clip.mp4")
    written(tmp_path / "clip.json", layout(keypoints))
    found = CocoWholebody().load(clip)
    assert off_the_film(found, keypoints) < 8
    assert (found.camera.width, found.camera.height) == (640, 360)


def test_keypoints_beside_numbered_pictures_land_on_them(tmp_path, keypoints):
    clip = film_of(tmp_path / "clip.mp4")
    (tmp_path / "shots").mkdir()
    for number in range(1, len(keypoints) + 1):
        cv2.imwrite(str(tmp_path / "shots" / f"{number:04d}.jpg"), np.zeros((360, 640, 3), np.uint8))
    for name in ("clip", "shots"):
        written(tmp_path / f"{name}.json", as_shares(keypoints))
    probe_pictures(tmp_path / "shots", fps=probe(clip.path).fps)
    wanted, found = (CocoWholebody().load(one) for one in (clip, replace(clip, path=tmp_path / "shots")))
    assert found.motion.fps == wanted.motion.fps and off_the_film(found, keypoints) < 8


def test_units_that_cannot_be_told_are_refused(tmp_path, keypoints):
    clip = film_of(tmp_path / "clip.mp4")
    written(tmp_path / "clip.json", mmpose_inferencer(keypoints / [320, 180] - 1))
    with pytest.raises(
        UnusableClipError, match="clip.json.*in pixels, or in shares of the picture from 0 to 1, got -0"
    ):
        CocoWholebody().load(clip)
    square = [frame | {"canvas_width": 512, "canvas_height": 512} for frame in openpose(keypoints)]
    written(tmp_path / "clip.json", square)
    with pytest.raises(UnusableClipError, match="canvas of the film's shape, 640 by 360, got 512 by 512"):
        CocoWholebody().load(clip)
    path = written(tmp_path / "shares.json", as_shares(keypoints))
    with pytest.raises(UnusableClipError, match="film beside it, or size, found neither; set size"):
        CocoWholebody(fps=20.0).load(record(path))


@pytest.mark.parametrize(
    "change",
    [lambda k: k * 0 + 100, lambda k: k * 1e5, lambda k: k / 300 + 200, lambda k: k - 1e5],
    ids=["one point", "huge", "two pixels", "elsewhere"],
)
def test_points_that_are_nobody_in_the_picture_are_refused(tmp_path, keypoints, change):
    path = written(tmp_path / "a.json", mmpose_demo(change(keypoints)))
    with pytest.raises(UnusableClipError, match="a.json.*a person in the pixels of a picture of 640 by 360, got one"):
        CocoWholebody(fps=20.0, size=[360, 640]).load(record(path))


def test_low_scores_zeros_and_nan_are_missing(keypoints):
    p = keypoints[0].copy()
    p[3], p[4] = 0, np.nan
    entry = instances(p)[0]
    entry["keypoint_scores"][5], entry["keypoint_scores"][6] = 0.1, 7.0
    (found,), _ = parse_frame([entry])
    assert found.confidence[[3, 4, 5]].max() == 0
    assert found.confidence[6] == 1


def test_track_ids_and_nearness_follow_people(tmp_path, keypoints):
    other = keypoints[0] + [140, 0]
    document = [
        {"frame_id": k, "instances": [*instances(other, track_id=4), *instances(p, track_id=9)][:: 1 if k % 2 else -1]}
        for k, p in enumerate(keypoints)
    ]
    reference = CocoWholebody(fps=20.0, size=[360, 640]).load(record(written(tmp_path / "a.json", document)))
    alone = CocoWholebody(fps=20.0, size=[360, 640]).load(
        record(written(tmp_path / "b.json", mmpose_inferencer(keypoints)))
    )
    assert reference.notes["people"] == 2
    assert torch.equal(reference.motion.pose, alone.motion.pose)


def numbered(*ids):
    return [{"frame_id": k, "instances": [{"keypoints": [[1.0, 2.0]] * 133}]} for k in ids]


COCO_DAMAGE = {
    "number": (7, "expected the document to be a list, got a number"),
    "empty list": ([], "expected 1 to 200000 entries, got 0"),
    "17 points": ([[{"keypoints": [[1, 2]] * 17}]], "133 pairs or triples as keypoints of person 0 of frame 0, got 34"),
    "scores": (
        [[{"keypoints": [[1, 2]] * 133, "keypoint_scores": [1] * 17}]],
        "expected 133 numbers in keypoint_scores .* got 17",
    ),
    "twice": (numbered(0, 1, 1), "every frame_id once and in order, got 1 after 1"),
    "backwards": (numbered(0, 2, 1), "every frame_id once and in order, got 1 after 2"),
    "far": (numbered(0, 10**9), "expected frames from 0 to 200000, got 0 to 1000000000"),
    "no instances": ([{"frame_id": 3}], "expected instances of frame 0 to be a list, got nothing"),
    "nobody": ([[], []], "nobody in any of its 2 frames"),
    "image": ([{"image_id": "a", "keypoints": []}], "expected a number in image_id of entry 0, got 'a'"),
    "openpose": (
        [{"people": [{"pose_keypoints_2d": [1.0] * 51}]}],
        "expected 18 or 25 triples in pose_keypoints_2d .* got 51",
    ),
    "canvas": ([{"people": [], "canvas_width": 0, "canvas_height": 4}], "pixels a side in frame 0, got 0 by 4"),
}


@pytest.mark.parametrize("kind", COCO_DAMAGE)
def test_damaged_wholebody_files_are_named_with_field_and_rule(tmp_path, kind):
    document, words = COCO_DAMAGE[kind]
    path = written(tmp_path / "a.json", document)
    with pytest.raises(UnusableClipError, match=f"Cannot read a motion from '.*a.json': .*{words}.*Replace"):
        CocoWholebody(fps=20.0, size=[360, 640]).load(record(path))


def test_truncated_and_huge_files_are_refused(tmp_path, keypoints, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(mmpose_demo(keypoints))[:-40])
    with pytest.raises(UnusableClipError, match="line 1 is not JSON"):
        CocoWholebody(fps=20.0, size=[360, 640]).load(record(path))
    monkeypatch.setattr(recordings, "MAX_BYTES", 1000)
    with pytest.raises(UnusableClipError, match="expected at most 1000 bytes"):
        CocoWholebody(fps=20.0, size=[360, 640]).load(record(path))


def test_size_and_rate_are_asked_for_where_nothing_says_them(tmp_path, keypoints):
    path = written(tmp_path / "a.json", mmpose_demo(keypoints))
    with pytest.raises(UnusableClipError, match="film beside it, or fps and size, found neither; set fps and size"):
        CocoWholebody().load(record(path))
    with pytest.raises(FileNotFoundError, match="found no 'clip.json' or 'clip/' in '.*films'.*Set root"):
        CocoWholebody().load(record(tmp_path / "films" / "clip.mp4"))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"Expected size to be height and width in pixels, got \(0, 3\)"):
        CocoWholebody(size=[0, 3])
    with pytest.raises(ValueError, match="Expected pose to be '2d' or '3d', got '4d'"):
        ToyotaSkeleton(pose="4d")
    with pytest.raises(ValueError, match="Expected person from 0.*got person=-1, present=0.5 and focal=1.0"):
        CocoWholebody(person=-1)
    with pytest.raises(FlawError, match="expected finite numbers in frame_id of frame 0, got nan"):
        parse_wholebody([{"frame_id": float("nan"), "instances": []}])


def test_a_group_in_a_film_stands_where_the_film_shows_it(tmp_path, waving, keypoints):
    """The second person of every frame, and nobody without being asked for; both lie over the film."""
    moved = points_of(waving, COCO_WHOLEBODY_133) + np.array([0.8, 0.0, 0.3])
    second = projected(seen(moved, VIEW), K_FILM)
    path = written(tmp_path / "a.json", [instances(a) + instances(b) for a, b in zip(keypoints, second, strict=True)])
    plain, group = CocoWholebody(fps=20.0, size=[360, 640]), CocoWholebody(fps=20.0, size=[360, 640], companions="near")
    assert plain.fingerprint != group.fingerprint
    alone, reference = plain.load(record(path)), group.load(record(path))
    assert alone.companions == () and torch.equal(alone.motion.transl, reference.motion.transl)
    (companion,) = reference.companions
    assert reference.quality == min(alone.quality, reference.notes["companion_quality"])
    errors = []
    for motion in (reference.motion, companion):
        pixels, _ = project(joint_positions(motion, MEAN), reference.camera)
        found = pixels[:, [20, 21, 7, 8]].numpy()
        errors.append(
            min(np.median(np.linalg.norm(found - p[:, [9, 10, 15, 16]], axis=-1)) for p in (keypoints, second))
        )
    assert max(errors) < 20
    away = float((companion.transl - reference.motion.transl).mean(0)[[0, 2]].norm())
    assert away == pytest.approx(np.hypot(0.8, 0.3), abs=0.25)


def test_a_wrong_word_for_companions_is_told():
    with pytest.raises(ValueError, match="Expected companions to be one of never, near, all, got 'mutual'. Set"):
        CocoWholebody(companions="mutual")
