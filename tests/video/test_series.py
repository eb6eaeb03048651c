"""Folders of numbered pictures are films whose numbers are the clock."""

import os

import cv2
import numpy as np
import pytest

from synthaug.datasets.folder import Folder
from synthaug.structures import Record
from synthaug.testing.datasets import check_dataset
from synthaug.video import VideoError, decode_still, file_key, indices_at, probe, probe_pictures, read_clip, read_frames


def write_picture(path, value, *, side=32):
    """A grey picture of this value, without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((side, side + 8, 3), value, np.uint8))


def write_series(folder, numbers, *, name="{:06d}.png"):
    """Pictures whose grey value is their number."""
    for number in numbers:
        write_picture(folder / name.format(number), number % 256)


def values(video):
    return [int(frame.float().mean().round()) for frame in video]


def find_values(folder, times):
    info = probe(folder)
    return values(read_frames(folder, indices_at(info, times), info=info))


@pytest.mark.parametrize("name", ["{:06d}.png", "{}.png", "img-{:05d}.bmp", "frame 3 of {:03d}.PNG"])
def test_pictures_are_shown_at_their_numbers(tmp_path, name):
    write_series(tmp_path / "one", range(1, 31), name=name)
    info = probe_pictures(tmp_path / "one", fps=10)
    assert (info.num_frames, info.fps, info.duration, info.start) == (30, 10, 3.0, 0.0)
    assert (info.width, info.height, info.times) == (40, 32, ())
    assert find_values(tmp_path / "one", [0.0, 0.5, 2.9]) == [1, 6, 30]
    assert values(read_frames(tmp_path / "one", [4, 4, 0])) == [5, 5, 1]


def test_a_series_from_the_middle_of_a_film_begins_late(tmp_path):
    write_series(tmp_path / "one", range(60, 120))
    info = probe_pictures(tmp_path / "one", fps=30)
    assert info.start == 2.0 and info.duration == pytest.approx(2.0)


def test_a_missing_number_is_a_gap_and_moves_nothing(tmp_path):
    write_series(tmp_path / "one", [*range(20), *range(25, 40)])
    assert probe_pictures(tmp_path / "one", fps=10).duration == pytest.approx(4.0)
    assert find_values(tmp_path / "one", [1.9, 2.5, 3.0]) == [19, 25, 30]


def test_every_fifth_number_is_a_film_of_a_fifth_of_the_rate(tmp_path):
    write_series(tmp_path / "one", range(0, 100, 5))
    info = probe_pictures(tmp_path / "one", fps=30)
    assert (info.fps, info.num_frames, info.duration) == (6, 20, pytest.approx(20 / 6))
    assert find_values(tmp_path / "one", [2.0]) == [60]


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_a_damaged_picture_is_counted_and_moves_nothing(tmp_path, content):
    write_series(tmp_path / "one", range(30))
    (tmp_path / "one" / "000010.png").write_bytes(content)
    assert probe_pictures(tmp_path / "one", fps=10).notes == {"lost_pictures": 1}
    assert find_values(tmp_path / "one", [0.9, 1.0, 1.1]) == [9, 9, 11]
    (tmp_path / "one" / "000000.png").write_bytes(content)
    probe_pictures(tmp_path / "one", fps=10)
    assert find_values(tmp_path / "one", [0.0]) == [1]


def test_too_many_damaged_pictures_are_no_film(tmp_path):
    write_series(tmp_path / "one", range(30))
    for number in range(5):
        (tmp_path / "one" / f"{number:06d}.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"got 5 of 30 that cannot be read"):
        probe_pictures(tmp_path / "one", fps=10)


def test_what_is_no_single_film_is_refused_in_words(tmp_path):
    for prefix in ("left_", "right_"):
        write_series(tmp_path / "two", range(4), name=prefix + "{:02d}.png")
    write_series(tmp_path / "twice", range(4))
    write_picture(tmp_path / "twice" / "2.png", 7)
    write_series(tmp_path / "few", range(2))
    write_series(tmp_path / "stamps", range(1_690_000_000_000, 1_690_000_000_400, 33))
    write_series(tmp_path / "stamps", [1_690_000_009_001])
    for number in range(4):
        path = tmp_path / "depth" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8), 3000, np.uint16))
    for folder, words in {
        "two": r"names that begin with 'left_', 'right_'. Put each film's",
        "twice": r"got (000002|2).png and (000002|2).png. Move one kind",
        "few": r"Expected a film, got the folder",
        "stamps": r"as of timestamps",
        "depth": r"got depth maps",
    }.items():
        with pytest.raises(VideoError, match=words):
            probe_pictures(tmp_path / folder, fps=10)
    with pytest.raises(VideoError, match=r"Expected a rate above 0 for numbered pictures, got 0"):
        write_series(tmp_path / "one", range(4))
        probe_pictures(tmp_path / "one", fps=0)
    with pytest.raises(VideoError, match=r"Expected to be told the rate of the numbered pictures"):
        write_series(tmp_path / "untold", range(4))
        probe(tmp_path / "untold")


def test_a_changed_picture_changes_the_key(tmp_path):
    write_series(tmp_path / "one", range(4))
    before = file_key(tmp_path / "one")
    write_picture(tmp_path / "one" / "000002.png", 9, side=64)
    assert file_key(tmp_path / "one") != before


def test_pictures_that_come_and_go_without_a_change_leave_the_key(tmp_path):
    write_series(tmp_path / "one", range(4))
    before = file_key(tmp_path / "one")
    (tmp_path / "one" / ".9f.passing").touch()  # as if a picture were fetched from a store just now
    os.utime(tmp_path / "one", (0, 0))
    assert file_key(tmp_path / "one") == before
    (tmp_path / "one" / "000003.png").rename(tmp_path / "one" / "000004.png")
    assert file_key(tmp_path / "one") != before


@pytest.mark.parametrize("numbers", [range(1, 31), range(60, 150, 3), [*range(20), *range(25, 40)]])
@pytest.mark.parametrize("lost", [0, 7, 29])
@pytest.mark.parametrize("how", ["deleted", "truncated", "zeros"])
def test_a_picture_that_is_lost_after_probing_is_its_neighbour_and_moves_nothing(tmp_path, numbers, lost, how):
    folder, numbers = tmp_path / "one", [*numbers]
    write_series(folder, numbers)
    before = probe_pictures(folder, fps=10)
    file = folder / f"{numbers[lost]:06d}.png"
    if how == "deleted":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        os.truncate(file, 0)
        os.truncate(file, 400)
    info = probe(folder)
    assert info == before
    with pytest.warns(UserWarning, match=rf"readable picture of number {numbers[lost]} in .*deleted or damaged since"):
        shown = values(read_frames(folder, range(len(numbers)), info=info))
    numbers[lost] = numbers[lost - 1] if lost else numbers[1]
    assert shown == numbers


@pytest.mark.parametrize(("how", "words"), [("deleted", "got 4 of 30 that are gone"), ("emptied", "around number 13")])
def test_too_many_pictures_that_are_lost_after_probing_are_told(tmp_path, how, words):
    write_series(tmp_path / "one", range(30))
    info = probe_pictures(tmp_path / "one", fps=10)
    for number in range(10, 14 if how == "deleted" else 17):
        file = tmp_path / "one" / f"{number:06d}.png"
        file.unlink() if how == "deleted" else file.write_bytes(b"")
    with pytest.raises(VideoError, match=words):
        read_frames(tmp_path / "one", [13], info=info)


def test_pictures_of_other_sizes_fill_that_of_the_first(tmp_path):
    write_series(tmp_path / "one", range(10))
    write_picture(tmp_path / "one" / "000004.png", 4, side=300)
    probe_pictures(tmp_path / "one", fps=10)
    assert read_frames(tmp_path / "one", range(10)).shape[2:] == (32, 40)


def test_the_size_is_that_of_most_pictures_and_depth_is_told_behind_a_damaged_one(tmp_path):
    write_series(tmp_path / "one", range(1, 10))
    write_picture(tmp_path / "one" / "000000.png", 0, side=8)  # a thumbnail with a number
    info = probe_pictures(tmp_path / "one", fps=10)
    assert (info.height, info.width) == (32, 40)
    for number in range(12):
        path = tmp_path / "depth" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8), 3000, np.uint16))
    (tmp_path / "depth" / "0.png").write_bytes(b"damaged")
    with pytest.raises(VideoError, match=r"/depth' to hold the pictures of a film, got depth maps"):
        probe_pictures(tmp_path / "depth", fps=10)


@pytest.mark.parametrize("stated", ["option", "table"])
def test_a_data_set_of_numbered_pictures_is_read_at_the_rate_that_is_stated(tmp_path, stated):
    root = tmp_path / "set"
    write_series(root / "wave" / "ann" / "1", range(1, 41))
    write_series(root / "bow" / "bob" / "1", range(1, 41))
    if stated == "table":
        (root / "clips.csv").write_text(
            "file,label,subject,start,end,fps\nwave/ann/1,wave,ann,1.0,3.0,10\nbow/bob/1,bow,bob,,,20\n"
        )
        folder = Folder(root, csv="clips.csv", cache=tmp_path / "cache")
        assert [(r.key, r.start, r.end) for r in folder.records] == [
            ("bow/bob/1", 0.0, 2.0), ("wave/ann/1#1.00-3.00", 1.0, 3.0),
        ]  # fmt: skip
    else:
        folder = Folder(root, cache=tmp_path / "cache", fps=10)
        assert [(r.key, r.subject, r.end) for r in folder.records] == [
            ("bow/bob/1", "bob", 4.0), ("wave/ann/1", "ann", 4.0),
        ]  # fmt: skip
    assert not folder.quarantine
    check_dataset(folder)
    wave = next(record for record in folder.records if record.key.startswith("wave"))
    clip = read_clip(wave, offset=0.5, fps=5.0, num_frames=3)
    assert values(clip.video) == ([16, 18, 20] if stated == "table" else [6, 8, 10])


def test_the_rate_is_not_what_the_index_remembers(tmp_path):
    write_series(tmp_path / "set" / "wave" / "ann", range(40))
    for fps, end in ((10, 4.0), (20, 2.0), (10, 4.0)):
        folder = Folder(tmp_path / "set", cache=tmp_path / "cache", fps=fps)
        assert folder.records[0].end == end and probe(tmp_path / "set" / "wave" / "ann").fps == fps


def test_pictures_whose_rate_nobody_states_are_asked_about(tmp_path):
    write_series(tmp_path / "set" / "wave" / "ann", range(40))
    (tmp_path / "set" / "clips.csv").write_text("file,label\nwave/ann,wave\n")
    with pytest.raises(ValueError, match=r"one rate of the numbered pictures in 'wave/ann' \(clips.csv, line 2\)"):
        assert Folder(tmp_path / "set", csv="clips.csv", cache=tmp_path / "cache").records
    (tmp_path / "set" / "clips.csv").write_text("file,label\nwave,wave\n")
    with pytest.raises(ValueError, match=r"Expected a film, got the folder .*set/wave'. Name a file in it"):
        assert Folder(tmp_path / "set", csv="clips.csv", cache=tmp_path / "cache").records
    with pytest.raises(ValueError, match=r"set dataset.fps|Or set dataset.fps to that rate"):
        Folder(tmp_path / "set", cache=tmp_path / "cache")
    with pytest.raises(ValueError, match=r"Expected dataset.fps to be a rate above 0, got -1"):
        Folder(tmp_path / "set", cache=tmp_path / "cache", fps=-1)


# ---- Single pictures ----


@pytest.mark.parametrize("deep", [np.uint8, np.uint16])
def test_transparent_parts_are_white_whatever_is_behind_them(deep):
    top = np.iinfo(deep).max
    picture = np.zeros((4, 4, 4), deep)
    picture[:, :, 2] = top  # red
    picture[1, :, 3], picture[2, :, 3] = top, top // 2 + 1
    shown = decode_still(cv2.imencode(".png", picture)[1].tobytes())
    assert shown[0, 0].tolist() == [255, 255, 255] and shown[1, 0].tolist() == [255, 0, 0]
    assert abs(int(shown[2, 0, 1]) - 127) <= 1 and shown[2, 0, 0] == 255


def test_pictures_of_sixteen_bits_are_as_bright_as_those_of_eight():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for suffix in (".png", ".tiff"):
        deep = decode_still(cv2.imencode(suffix, ramp.astype(np.uint16) * 257)[1].tobytes())
        assert np.array_equal(deep, ramp[:, :, ::-1]), suffix


def test_grey_pictures_are_grey_in_all_channels():
    for picture in (np.full((4, 4), 99, np.uint8), np.full((4, 4), 99 * 257, np.uint16)):
        assert (decode_still(cv2.imencode(".png", picture)[1].tobytes()) == 99).all()


def test_a_record_of_pictures_is_read_like_one_of_film(tmp_path):
    write_series(tmp_path / "one", range(30))
    probe_pictures(tmp_path / "one", fps=10)
    clip = read_clip(Record("one", tmp_path / "one", 0, "ann", "", 1.0, 2.0), offset=0.0, fps=10.0, num_frames=12)
    assert values(clip.video) == [*range(10, 20), 10, 11] and clip.looped == 2
