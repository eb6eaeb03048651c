"""A data set in an object store is the one on the disk: films are fetched when they are read, and not all are kept."""

import http.server
import os
import threading
from functools import partial
from pathlib import Path

import cv2
import fsspec
import pytest
import torch
from fakes import square

from synthaug import remote
from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.folder import Folder
from synthaug.datasets.ucf101 import Ucf101
from synthaug.files import first_state
from synthaug.motions.sidecar import Sidecar
from synthaug.remote import RemoteError, fetch, open_root
from synthaug.synthesis.kept_motions import motion_path
from synthaug.testing.datasets import check_dataset
from synthaug.video import (
    VideoError,
    file_key,
    frames_in_order,
    picture_notes,
    probe_series,
    read_clip,
    write_video,
)
from synthaug.video.copies import find_copies


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for label, name in enumerate(("bow down", "wave")):
        for take in range(2):
            (root / name / f"s{take}").mkdir(parents=True)
            write_video(root / name / f"s{take}" / "1.mp4", square(label, take, 20), fps=10.0)
    (root / "wave" / "s0" / "1.npz").write_bytes(b"not film")
    return root


@pytest.fixture(autouse=True)
def lazy(monkeypatch, tmp_path):
    """Films of tests are smaller than what is fetched at once; each test has a cache of its own."""
    monkeypatch.setattr("synthaug.remote._SMALL", 0)
    monkeypatch.setenv("SYNTHAUG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def memory(films, request):
    fsspec.filesystem("memory").put(str(films), f"/{request.node.name}", recursive=True)
    return f"memory://{request.node.name}"


@pytest.fixture
def web(films):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(films)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def s3(films, bucket):
    files = fsspec.filesystem("s3")
    for path in films.rglob("*.*"):
        files.put_file(str(path), f"{bucket}/set/{path.relative_to(films).as_posix()}")
    return f"{bucket}/set"


def is_placeholder(path):
    return path.stat().st_blocks == 0 and path.stat().st_size > 0


def read_all(dataset):
    return torch.stack([read_clip(r, offset=0.3, fps=5.0, num_frames=4).video for r in dataset.records])


@pytest.mark.parametrize("kind", ["memory", "web", "s3"])
def test_a_data_set_in_a_store_is_the_one_on_the_disk(films, kind, request):
    near, far = Folder(films), Folder(request.getfixturevalue(kind))
    assert all(map(is_placeholder, far.films)) and len(far.films) == 4
    assert (far.root / "wave" / "s0" / "1.npz").read_bytes() == b"not film"
    assert [(r.key, r.subject, r.end) for r in near.records] == [(r.key, r.subject, r.end) for r in far.records]
    assert torch.equal(read_all(near), read_all(far))
    check_dataset(far)


def test_no_more_is_kept_than_is_allowed(memory, films, monkeypatch):
    most = max(path.stat().st_size for path in films.rglob("*.mp4"))
    monkeypatch.setenv("SYNTHAUG_STORE_GB", str(2.1 * most / 1e9))
    folder = Folder(memory)
    before = read_all(folder)
    kept = [path for path in folder.films if not is_placeholder(path)]
    assert kept and sum(path.stat().st_size for path in kept) <= 2.1 * most < 2.2 * most
    assert len(kept) < len(folder.films) and not list(folder.root.rglob("*.passing"))
    assert torch.equal(read_all(folder), before)
    monkeypatch.setenv("SYNTHAUG_STORE_GB", "1e-9")  # less than one film: the one that is read is there nevertheless
    assert torch.equal(read_all(Folder(memory)), before)


def test_what_another_process_is_fetching_is_left_to_it(memory):
    folder = Folder(memory)
    passing, torn = (folder.root / "wave" / f".{name}.passing" for name in ("now", "killed"))
    passing.touch()
    torn.touch()
    os.utime(torn, (0, 0))
    Folder(memory)
    assert passing.exists() and not torn.exists()


def test_a_film_that_is_dropped_between_being_fetched_and_opened_is_fetched_again(memory, monkeypatch):
    folder = Folder(memory)
    wanted, fetched = read_all(folder), []

    def fetch_and_lose(path):
        done = fetch(path)
        fetched.append(path)
        if len(fetched) == 1:
            remote._drop_beyond(folder.root, 0.0)
        return done

    monkeypatch.setattr("synthaug.video.decoding.fetch", fetch_and_lose)
    film = folder.films[0]
    list(frames_in_order(film))
    assert fetched[:1] == [film] and torch.equal(read_all(folder), wanted)


def test_what_was_fetched_stays_and_what_changed_is_fetched_again(memory, films):
    folder = Folder(memory)
    before = read_all(folder)
    again = Folder(memory)
    assert not any(map(is_placeholder, again.films))
    store, (name,) = fsspec.filesystem("memory"), [memory.removeprefix("memory://")]
    store.put_file(str(films / "wave" / "s1" / "1.mp4"), f"/{name}/wave/s0/1.mp4")
    store.rm_file(f"/{name}/bow down/s0/1.mp4")
    changed = Folder(memory)
    assert [r.key for r in changed.records] == ["bow down/s1/1.mp4", "wave/s0/1.mp4", "wave/s1/1.mp4"]
    after = read_all(changed)
    assert torch.equal(after[1], before[3]) and torch.equal(after[2], before[3])


def test_a_film_that_is_gone_or_changed_meanwhile_is_told(memory):
    root = open_root(memory, lazy=lambda name: name.endswith(".mp4"))
    store, name = fsspec.filesystem("memory"), memory.removeprefix("memory://")
    store.pipe_file(f"/{name}/wave/s0/1.mp4", b"shorter")
    store.rm_file(f"/{name}/wave/s1/1.mp4")
    with pytest.raises(RemoteError, match=r"bytes of .*wave/s0/1.mp4, got 7: it was changed since. Start again"):
        fetch(root / "wave" / "s0" / "1.mp4")
    with pytest.raises(RemoteError, match=r"Expected to read memory://.*, got FileNotFoundError"):
        fetch(root / "wave" / "s1" / "1.mp4")


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("memory://nowhere", r"Expected to read memory://nowhere, got FileNotFoundError"),
        ("nosuch://bucket", r"Expected to read nosuch://bucket, got ValueError: Protocol not known: nosuch"),
        ("http://127.0.0.1:9/films", r"Expected to read http://127.0.0.1:9/films, got "),
    ],
)
def test_a_store_that_cannot_be_read_is_told(root, reason):
    for dataset in (Folder, Ucf101):
        with pytest.raises(DatasetNotFoundError, match=reason):
            dataset(root)


def test_a_limit_that_is_none_is_told(memory, monkeypatch):
    monkeypatch.setenv("SYNTHAUG_STORE_GB", "much")
    with pytest.raises(DatasetNotFoundError, match=r"Expected SYNTHAUG_STORE_GB to be gigabytes above 0, got 'much'"):
        Folder(memory)


def test_a_folder_of_this_machine_is_no_store(tmp_path):
    assert open_root(tmp_path, lazy=lambda _: True) == tmp_path
    (tmp_path / "sparse.mp4").touch()
    (Path(tmp_path) / "sparse.mp4").write_bytes(b"")
    fetch(tmp_path / "sparse.mp4")
    fetch(tmp_path / "missing.mp4")


def test_a_start_that_was_stopped_is_made_up_for_by_the_next(memory, monkeypatch):
    def lose_connection(*_):
        raise RemoteError("Expected to read it, got ConnectionError: reset.")

    with monkeypatch.context() as offline:
        offline.setattr("synthaug.remote._copy", lose_connection)
        with pytest.raises(DatasetNotFoundError, match="ConnectionError"):
            Folder(memory)
    assert (Folder(memory).root / "wave" / "s0" / "1.npz").read_bytes() == b"not film"


def test_two_processes_that_start_at_once_leave_each_other_s_files(memory, monkeypatch):
    folder = Folder(memory)
    folder.films[0].unlink()
    asides, forget = [], remote._forget_others

    def start_meanwhile(mirror, found):
        """Another process is about to put its list, and takes away a torn file, while this one looks for such."""
        torn = mirror / ".torn.passing"
        torn.touch()
        os.utime(torn, (0, 0))
        asides.append(mirror / "..synthaug-store.json.k2j3")
        asides[0].touch()
        rglob = Path.rglob

        def list_and_lose(path, pattern):
            listed = list(rglob(path, pattern))
            torn.unlink()
            return listed

        with monkeypatch.context() as other:
            other.setattr(Path, "rglob", list_and_lose)
            forget(mirror, found)

    monkeypatch.setattr("synthaug.remote._forget_others", start_meanwhile)
    assert torch.equal(read_all(Folder(memory)), read_all(folder)) and asides[0].exists()


@pytest.fixture
def pictures(tmp_path, request):
    """Two films of numbered pictures in a store."""
    for label, name in enumerate(("bow down", "wave")):
        folder = tmp_path / "pictures" / name / "ann"
        folder.mkdir(parents=True)
        for number, frame in enumerate(square(label, 0, 20)):
            cv2.imwrite(str(folder / f"{number:06d}.png"), frame.numpy().transpose(1, 2, 0))
    fsspec.filesystem("memory").put(str(tmp_path / "pictures"), f"/{request.node.name}", recursive=True)
    return f"memory://{request.node.name}"


def test_numbered_pictures_of_a_store_keep_their_names_however_often_they_are_fetched(pictures, tmp_path, monkeypatch):
    def names():
        folder = Folder(pictures, fps=10)
        source = Sidecar()
        found = []
        for record in folder.records:
            read_clip(record, offset=0.3, fps=5.0, num_frames=4)
            found += [file_key(record.path), first_state(record.path, tmp_path / "states"), picture_notes(record.path)]
            found += [motion_path(record, source, tmp_path)]
        return found

    first = names()
    probed = []
    monkeypatch.setattr("synthaug.datasets.indexing.index.probe_series", probed.append)
    assert names() == first and not probed
    for record in Folder(pictures, fps=10).records:
        remote._drop_beyond(record.path.parents[1], 0.0)
    assert names() == first and not probed


def test_pictures_that_are_dropped_before_they_are_opened_are_fetched_again(pictures, monkeypatch):
    folder = Folder(pictures, fps=10)
    wanted, fetched = read_all(folder), []
    monkeypatch.setattr("synthaug.video.series._MAX_LOST", 1.0)

    def fetch_and_lose(path):
        done = fetch(path)
        fetched.append(path)
        if len(fetched) % 2:
            remote._drop_beyond(folder.root, 0.0)
        return done

    monkeypatch.setattr("synthaug.remote.fetch", fetch_and_lose)
    assert torch.equal(read_all(folder), wanted)
    assert not probe_series(folder.films[0]).notes
    assert not find_copies(folder.films, folder.films)
    monkeypatch.setattr("synthaug.remote.fetch", lambda path: remote._drop_beyond(folder.root, 0.0))
    remote._drop_beyond(folder.root, 0.0)
    with pytest.raises(VideoError, match=r"got it dropped 5 times to make room. Raise SYNTHAUG_STORE_GB"):
        read_all(folder)
