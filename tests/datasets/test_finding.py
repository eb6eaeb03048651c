"""What a folder of film holds: every suffix, folders behind links, and what vanishes must be said."""

import shutil

import av
import cv2
import numpy as np
import pytest

from synthaug.datasets.folder import Folder
from synthaug.datasets.hmdb51 import Hmdb51
from synthaug.datasets.indexing.finding import find_films, search_films
from synthaug.datasets.indexing.scanning import Copies, scan
from synthaug.datasets.ucf101 import Ucf101
from synthaug.testing.datasets import check_dataset, example_film
from synthaug.video import SUFFIXES, holds_film, probe, read_frames, write_video

CODED = {
    ".mts": ("mpegts", "libx264"),
    ".M2TS": ("mpegts", "libx264"),
    ".ts": ("mpegts", "mpeg2video"),
    ".3gp": ("3gp", "mpeg4"),
    ".flv": ("flv", "flv"),
    ".gif": ("gif", "gif"),
    ".wmv": ("asf", "wmv2"),
    ".ogv": ("ogg", "libvpx"),
    ".vob": ("vob", "mpeg2video"),
    ".mxf": ("mxf", "mpeg2video"),
    ".MOV": ("mov", "mjpeg"),
}


def encode(path, container_name, codec, *, frames=25):
    """A film of one second as its cameras and programs write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = 144, 176
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        for pixels in example_film(frames, height=144, width=176).permute(0, 2, 3, 1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))))
        container.mux(stream.encode(None))
    return path


def shoot(path, frames=10):
    write_video(path, example_film(frames), fps=10.0)


def number_pictures(folder, count, *, name="img_{:05d}.jpg", first=1):
    folder.mkdir(parents=True)
    for k, pixels in enumerate(example_film(count).permute(0, 2, 3, 1).numpy(), start=first):
        cv2.imwrite(str(folder / name.format(k)), pixels)


# ---- Suffixes ----


@pytest.mark.parametrize("suffix", CODED)
def test_a_class_of_any_usual_suffix_is_read(tmp_path, suffix):
    path = encode(tmp_path / "set" / "wave" / f"a{suffix}", *CODED[suffix])
    shoot(tmp_path / "set" / "bow" / "a.mp4")
    folder = Folder(tmp_path / "set", cache=tmp_path / "cache")
    assert folder.classes == ("bow", "wave") and not folder.quarantine
    record = folder.records[1]
    assert record.path == path and record.end == pytest.approx(1.0, abs=0.05)
    with av.open(str(path)) as container:
        truth = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    read = read_frames(path, range(probe(path).num_frames)).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(read, truth) and len(truth) in (24, 25)  # MPEG transport streams hold back the last picture
    check_dataset(folder)


@pytest.mark.parametrize("name", ["a.dav", "a.unknown", "a"])
def test_film_with_an_unknown_suffix_is_counted_with_what_to_do(tmp_path, name):
    shoot(tmp_path / "set" / "bow" / "a.mp4")
    shoot(tmp_path / "wave.mp4")
    (tmp_path / "set" / "wave" / "ann").mkdir(parents=True)
    for k in range(5):
        shutil.copy(tmp_path / "wave.mp4", tmp_path / "set" / "wave" / "ann" / f"{k}{name}")
    folder = Folder(tmp_path / "set", cache=tmp_path / "cache")
    assert sorted(folder.quarantine) == [f"wave/ann/{k}{name}" for k in range(5)]
    assert all("Expected the suffix of a film" in why and "Rename" in why for why in folder.quarantine.values())


def test_a_class_of_nothing_but_other_files_is_counted(tmp_path):
    shoot(tmp_path / "set" / "bow" / "a.mp4")
    for file in ("wave/a.zip", "wave/b.zip", "nod/a.yuv", "bow/a.json", "bow/b.yuv", "tables/a.csv", "tables/b.json"):
        (tmp_path / "set" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "set" / file).write_bytes(b"not film at all" * 20)
    folder = Folder(tmp_path / "set", cache=tmp_path / "cache")
    assert sorted(folder.quarantine) == ["nod", "wave"]
    assert "got 2 files (.zip) that cannot be read as film" in folder.quarantine["wave"]


def test_what_lies_beside_film_is_no_lost_film(tmp_path):
    root = tmp_path / "set"
    shoot(root / "wave" / "a.mp4")
    encode(root / "wave" / "a.gif", "gif", "gif")  # a preview
    number_pictures(root / "wave" / "a", 5)  # the film's own pictures
    number_pictures(root / "wave" / "posters", 2)
    (root / "wave" / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    folder = Folder(root, cache=tmp_path / "cache")
    assert not folder.quarantine and [record.key for record in folder.records] == ["wave/a.mp4"]


# ---- Numbered pictures ----


@pytest.mark.parametrize("name", ["img_{:05d}.jpg", "{}.png", "frame{:03d}.JPG"])
def test_folders_of_numbered_pictures_are_counted_with_what_to_do(tmp_path, name):
    root = tmp_path / "set"
    shoot(root / "bow" / "a.mp4")
    number_pictures(root / "wave" / "ann" / "1", 12, name=name, first=60)
    number_pictures(root / "nod", 4, name=name)
    folder = Folder(root, cache=tmp_path / "cache")
    assert folder.classes == ("bow",) and sorted(folder.quarantine) == ["nod", "wave/ann/1"]
    why = folder.quarantine["wave/ann/1"]
    assert f"a folder of 12 numbered pictures from {name.format(60)} on" in why and "-start_number 60" in why
    assert "../1.mp4" in why


def test_a_chosen_class_without_film_says_what_it_holds(tmp_path):
    shoot(tmp_path / "set" / "bow" / "a.mp4")
    number_pictures(tmp_path / "set" / "wave" / "1", 6)
    with pytest.raises(ValueError, match=r"to name classes that have films, got 'wave'. Expected a film, got a folder"):
        Folder(tmp_path / "set", classes=["wave", "bow"])


def test_a_set_of_numbered_pictures_alone_says_so(tmp_path):
    number_pictures(tmp_path / "set" / "wave" / "1", 6)
    with pytest.raises(ValueError, match=r"Expected at least one usable film.*wave/1: .*folder of 6 numbered pictures"):
        Folder(tmp_path / "set")


# ---- Links ----


def test_linked_classes_people_and_films_are_followed(tmp_path):
    store, root = tmp_path / "store", tmp_path / "set"
    for file in ("w/ann/1.mp4", "bob/1.mp4", "one.mp4"):
        shoot(store / file)
    (root / "wave").mkdir(parents=True)
    (root / "bow").mkdir()
    (root / "nod").symlink_to(store / "w", target_is_directory=True)
    (root / "wave" / "bob").symlink_to(store / "bob", target_is_directory=True)
    (root / "bow" / "1.mp4").symlink_to(store / "one.mp4")
    folder = Folder(root, cache=tmp_path / "cache")
    assert [(record.key, record.subject) for record in folder.records] == [
        ("bow/1.mp4", "bow/1"),
        ("nod/ann/1.mp4", "ann"),
        ("wave/bob/1.mp4", "bob"),
    ]
    assert not folder.quarantine
    check_dataset(folder)


def test_loops_of_links_end(tmp_path):
    root = tmp_path / "set"
    shoot(root / "wave" / "ann" / "1.mp4")
    shoot(root / "bow" / "bob" / "1.mp4")
    (root / "wave" / "up").symlink_to(root, target_is_directory=True)
    (root / "wave" / "ann" / "self").symlink_to(root / "wave" / "ann", target_is_directory=True)
    (root / "bow" / "round").symlink_to("round")
    found = search_films(root)
    assert list(find_films(root)) == list(found.films) == [root / "bow/bob/1.mp4", root / "wave/ann/1.mp4"]
    assert list(found.faults) == ["bow/round"]


def test_two_folders_that_link_to_each_other_end(tmp_path):
    root = tmp_path / "set"
    for name, other in (("wave", "bow"), ("bow", "wave")):
        shoot(root / name / "1.mp4")
        (root / name / "other").symlink_to(root / other, target_is_directory=True)
    names = [path.relative_to(root).as_posix() for path in find_films(root)]
    assert names == ["bow/1.mp4", "bow/other/1.mp4", "wave/1.mp4", "wave/other/1.mp4"]


def test_links_that_lead_nowhere_are_counted(tmp_path):
    root = tmp_path / "set"
    shoot(root / "wave" / "1.mp4")
    (root / "bow").symlink_to(tmp_path / "gone", target_is_directory=True)
    (root / "wave" / "2.mp4").symlink_to(tmp_path / "gone.mp4")
    folder = Folder(root, cache=tmp_path / "cache")
    assert sorted(folder.quarantine) == ["bow", "wave/2.mp4"]
    assert "gone', which does not exist" in folder.quarantine["bow"] and "remove the link" in folder.quarantine["bow"]


def test_copies_of_linked_classes_are_made_and_loops_are_not_linked(tmp_path):
    root, store = tmp_path / "set", tmp_path / "store"
    write_video(store / "ann" / "1.mp4", example_film(10, height=96, width=128), fps=10.0)
    (store / "ann" / "1.json").write_text("{}")
    root.mkdir()
    (root / "wave").symlink_to(store, target_is_directory=True)
    (store / "ann" / "up").symlink_to(root, target_is_directory=True)
    films = Folder(root, cache=tmp_path / "cache").films
    scan(films, cache=tmp_path / "cache", copies=Copies(root, tmp_path / "small", 48))
    small = Folder(tmp_path / "small", cache=tmp_path / "cache")
    assert [record.key for record in small.records] == ["wave/ann/1.mp4"]
    assert probe(small.records[0].path).height == 48 and (tmp_path / "small/wave/ann/1.json").exists()
    assert probe(store / "ann" / "1.mp4").height == 96, "the original is untouched"


# ---- Published data sets ----


@pytest.mark.parametrize(("kind", "name"), [(Ucf101, "v_{}_g01_c01"), (Hmdb51, "{}_x_f_cm_np1_fr_med_0")])
def test_published_sets_of_classes_say_what_vanishes(tmp_path, kind, name):
    root = tmp_path / "set"
    for number, label in enumerate(("wave", "bow")):
        shoot(root / label / f"{name.format(label)}.mp4")
        number_pictures(root / f"class{number}" / "1", 5)
    (root / "nod").symlink_to(tmp_path / "gone", target_is_directory=True)
    (root / "clap").symlink_to(root / "wave", target_is_directory=True)
    dataset = kind(root, classes=["bow"], cache=tmp_path / "cache")
    assert {"class0/1", "class1/1", "nod"} <= set(dataset.quarantine)
    assert len(dataset.records) == 1


def test_only_moving_pictures_are_film(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64, 3), np.uint8))
    shutil.copy(tmp_path / "a.png", tmp_path / "picture.unknown")
    (tmp_path / "text.unknown").write_text("hello\n" * 100)
    shoot(tmp_path / "film.mp4")
    shutil.copy(tmp_path / "film.mp4", tmp_path / "film.unknown")
    names = ("picture", "text", "film")
    assert [holds_film(tmp_path / f"{name}.unknown") for name in names] == [False, False, True]
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)


@pytest.mark.parametrize("names", [["1.jpg"], ["frame (1).jpg", "frame (2).jpg", "frame (3).jpg"], ["a.png", "b.png"]])
def test_pictures_that_are_no_film_are_told_unless_they_lie_beside_film(tmp_path, names):
    for folder in ("wave/ann/1", "bow/thumbnails", "sit"):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(b"picture")
    (tmp_path / "bow" / "1.mp4").write_bytes(b"film")
    (tmp_path / "sit" / "ann").mkdir()
    (tmp_path / "sit" / "ann" / "1.mp4").write_bytes(b"film")
    faults = search_films(tmp_path).faults
    assert [*faults] == ["wave/ann/1"]
    assert f"got {len(names)} picture" in faults["wave/ann/1"] and f"such as {names[0]}." in faults["wave/ann/1"]
