import dataclasses
import os
import shutil

import numpy as np
import pytest
import torch

from synthaug.files import (
    digest_of,
    first_state,
    motion_digest,
    read_reference,
    shuffle_per_process,
    walk_files,
    write_atomic,
    write_reference,
)
from synthaug.structures import Camera, Motion, Reference


def reference():
    motion = Motion.from_pose(torch.randn(5, 55, 3), torch.randn(5, 3), fps=29.97)
    camera = Camera(torch.eye(4).expand(5, 4, 4).clone(), torch.eye(3).expand(5, 3, 3).clone(), 640, 480)
    return Reference(motion, camera, 0.75, {"jerk": 1.5})


def test_a_reference_comes_back_as_it_was(tmp_path):
    wrote = reference()
    write_reference(tmp_path / "take.npz", wrote)
    read = read_reference(tmp_path / "take.npz")
    assert motion_digest(read.motion) == motion_digest(wrote.motion)
    assert torch.equal(read.camera.viewmats, wrote.camera.viewmats) and torch.equal(read.camera.Ks, wrote.camera.Ks)
    assert (read.camera.width, read.camera.height, read.quality, read.notes) == (640, 480, 0.75, {"jerk": 1.5})


def test_companions_come_back_too(tmp_path):
    wrote = dataclasses.replace(reference(), companions=(reference().motion, reference().motion))
    write_reference(tmp_path / "take.npz", wrote)
    read = read_reference(tmp_path / "take.npz")
    assert list(map(motion_digest, read.people)) == list(map(motion_digest, wrote.people))


def test_other_performances_of_a_clip_come_back_too(tmp_path):
    crowd = dataclasses.replace(reference(), companions=(reference().motion,))
    wrote = dataclasses.replace(reference(), others=(crowd, reference()))
    write_reference(tmp_path / "take.npz", wrote)
    read = read_reference(tmp_path / "take.npz")
    assert len(read.others) == 2
    for one, other in zip((read, *read.others), (wrote, *wrote.others), strict=True):
        assert list(map(motion_digest, one.people)) == list(map(motion_digest, other.people))
        assert torch.equal(one.camera.viewmats, other.camera.viewmats) and one.notes == other.notes
    with pytest.raises(ValueError, match="no others of their own"):
        dataclasses.replace(reference(), others=(wrote,))


@pytest.mark.parametrize("count", ["3", "-1", "1e999", "[]", '"many"'])
def test_companions_that_are_not_there_are_refused_in_words(tmp_path, count):
    write_reference(tmp_path / "take.npz", reference())
    with np.load(tmp_path / "take.npz") as file:
        arrays = dict(file)
    about = str(arrays["about"]).replace('"companions": 0', f'"companions": {count}')
    np.savez(tmp_path / "take.npz", **{**arrays, "about": np.array(about)})
    with pytest.raises(ValueError, match="Expected .* to be a reference motion"):
        read_reference(tmp_path / "take.npz")


def test_references_from_before_there_were_companions_are_read(tmp_path):
    write_reference(tmp_path / "take.npz", reference())
    with np.load(tmp_path / "take.npz") as file:
        arrays = dict(file)
    about = str(arrays["about"]).replace(', "companions": 0', "")
    assert "companions" not in about
    np.savez(tmp_path / "take.npz", **{**arrays, "about": np.array(about)})
    assert read_reference(tmp_path / "take.npz").companions == ()


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    write_atomic(path, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 torn"])
def test_other_files_are_refused_in_words(tmp_path, content):
    path = tmp_path / "take.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Expected .* to be a reference motion"):
        read_reference(path)


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "take.npz"
    np.savez(path, transl=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="Expected .* to be a reference motion"):
        read_reference(path)


def test_digests_know_order_shape_and_kind():
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("ab") != digest_of(b"ab")
    assert digest_of(torch.zeros(2, 3)) != digest_of(torch.zeros(3, 2))
    assert digest_of(torch.zeros(2)) == digest_of(torch.zeros(2))


def test_processes_side_by_side_do_different_parts_of_the_work():
    orders = [shuffle_per_process(range(100)) for _ in range(4)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_a_copy_has_the_state_of_the_first_file_with_its_name_and_content(tmp_path):
    film, memory = tmp_path / "film.mp4", tmp_path / "memory"
    film.write_bytes(b"pictures")
    os.utime(film, ns=(5, 5))
    assert first_state(film, memory) == "8:5"
    (tmp_path / "job").mkdir()
    copy = shutil.copy(film, tmp_path / "job" / "film.mp4")
    assert os.stat(copy).st_mtime_ns != 5
    for _ in range(2):
        assert first_state(tmp_path / "job" / "film.mp4", memory) == "8:5"
    other = tmp_path / "other.mp4"  # another name: its motion may be read from another recording
    other.write_bytes(b"pictures")
    os.utime(other, ns=(9, 9))
    assert first_state(other, memory) == "8:9"
    film.write_bytes(b"changed!")
    os.utime(film, ns=(7, 7))
    assert first_state(film, memory) == "8:7"
    film.write_bytes(b"pictures")
    os.utime(film, ns=(8, 8))
    assert first_state(film, memory) == "8:5"


def test_a_file_is_read_for_its_state_once(tmp_path, monkeypatch):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"pictures")
    first = first_state(film, tmp_path / "memory")
    monkeypatch.setattr("synthaug.files.hashlib.file_digest", None)
    assert first_state(film, tmp_path / "memory") == first


def test_files_without_content_have_their_own_states(tmp_path):
    sparse = tmp_path / "film.mp4"
    sparse.touch()
    os.truncate(sparse, 100_000)
    os.utime(sparse, ns=(5, 5))
    assert first_state(sparse, tmp_path / "memory") == "100000:5"
    assert first_state(tmp_path, tmp_path / "memory").startswith("100000:")
    assert not (tmp_path / "memory").exists()


def test_a_copied_folder_has_the_state_of_the_first_with_its_name_and_content(tmp_path):
    folder, memory = tmp_path / "ann", tmp_path / "memory"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(bytes([number]) * 4096)
    first = first_state(folder, memory)
    shutil.copytree(folder, tmp_path / "job" / "ann", copy_function=shutil.copyfile)
    (tmp_path / "job" / "ann" / ".DS_Store").write_bytes(b"hidden")
    os.utime(folder, (0, 0))  # as if a file had come and gone
    for path in (folder, tmp_path / "job" / "ann"):
        assert first_state(path, memory) == first
    (tmp_path / "job" / "ann" / "2.png").rename(tmp_path / "job" / "ann" / "3.png")
    assert first_state(tmp_path / "job" / "ann", memory) != first


def test_states_that_cannot_be_remembered_are_the_files_own(tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"pictures")
    os.utime(film, ns=(5, 5))
    memory = tmp_path / "memory"
    memory.write_text("a file where a folder was wanted")
    assert first_state(film, memory / "states") == "8:5"
    good = tmp_path / "good"
    first_state(film, good)
    for text in good.iterdir():
        text.write_text("../../etc/passwd")
    assert first_state(film, good) == "8:5"


def test_files_behind_links_are_found_once_and_loops_end(tmp_path):
    store, root = tmp_path / "store", tmp_path / "root"
    for place in (store / "a" / "1.txt", root / "b" / "2.txt"):
        place.parent.mkdir(parents=True)
        place.write_text("x")
    (root / "linked").symlink_to(store, target_is_directory=True)
    (root / "b" / "back").symlink_to(root, target_is_directory=True)
    (store / "a" / "self").symlink_to(store / "a" / "self")
    (root / "gone").symlink_to(tmp_path / "nowhere")
    found = [path.relative_to(root).as_posix() for path in walk_files(root)]
    assert found == ["b/2.txt", "linked/a/1.txt"]
    assert list(walk_files(tmp_path / "nowhere")) == []
