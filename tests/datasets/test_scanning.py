import io
import json
import os
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from synthaug.cli.main import main
from synthaug.datasets.folder import Folder
from synthaug.datasets.indexing import scanning
from synthaug.datasets.indexing.findings import ScanLog
from synthaug.datasets.indexing.index import readers
from synthaug.datasets.indexing.processes import Work, run_jobs
from synthaug.datasets.indexing.scanning import Copies, ScanJob, examine, scan
from synthaug.datasets.indexing.shrinking import shrink, shrunk_size
from synthaug.datasets.indexing.summary import summarize_findings
from synthaug.datasets.ntu.dataset import Ntu
from synthaug.motions.pose.keypoints import film_format
from synthaug.structures import Record
from synthaug.testing.datasets import example_film
from synthaug.video import (
    VideoError,
    file_key,
    filmed_size,
    frames_in_order,
    indices_at,
    probe,
    read_frames,
    remember,
    resize_frame,
    to_picture,
    write_video,
)


def encoded(path, film, *, codec="libx264", rate=25, options=None, at=None, colours=None):
    """A film with chosen codec, container, presentation times (in 1/600 s) and colour tags."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *film.shape[2:], "yuv420p"
        stream.options = options or {}
        if at is not None:
            stream.codec_context.time_base = Fraction(1, 600)
        if colours is not None:
            stream.codec_context.colorspace = stream.codec_context.color_primaries = colours
        for number, frame in enumerate(film.permute(0, 2, 3, 1).numpy()):
            picture = av.VideoFrame.from_ndarray(frame)
            if colours is not None:
                picture = picture.reformat(format="yuv420p", dst_colorspace=colours)
            if at is not None:
                picture.pts, picture.time_base = at[number], Fraction(1, 600)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def long_film(tmp_path_factory):
    """160 frames, more than a look at head and tail decodes; as bytes."""
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    write_video(path, example_film(160, height=96, width=128), fps=20.0)
    return path.read_bytes()


def damaged(content):
    """The middle third of the pictures overwritten but for their first bytes; head, last keyframe and index stay."""
    with av.open(io.BytesIO(content)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    rng, broken = np.random.default_rng(0), bytearray(content)
    for begin, size in places[len(places) * 45 // 100 : len(places) * 75 // 100]:
        broken[begin + 6 : begin + size] = rng.bytes(size - 6)
    return bytes(broken)


def classes_of(root, films):
    for name, content in films.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


# ---- One film ----


def test_a_sound_film_is_what_reading_it_in_order_gives(tmp_path, long_film):
    path = tmp_path / "a.mp4"
    path.write_bytes(long_film)
    found = examine(path)
    assert found.info == probe(path) and not found.fault and not found.notes
    assert found.info.num_frames == sum(1 for _ in frames_in_order(path)) == 160


def test_damage_in_the_middle_is_found_where_a_look_at_both_ends_finds_none(tmp_path, long_film):
    path = tmp_path / "a.mp4"
    path.write_bytes(damaged(long_film))
    probe(path)  # believes packets in between that begin as packets do
    found = examine(path)
    assert found.info is None and "to be a whole film" in found.fault and "Copy or export it again" in found.fault


def test_a_reader_that_seeks_to_other_frames_is_not_used_again(tmp_path):
    path = encoded(tmp_path / "a.avi", example_film(60), codec="mpeg4", options={"bf": "2"})
    honest = probe(path)
    assert honest.reader == "pyav"
    # As if the few seeks of a look had come out right by chance.
    remember({file_key(path): replace(honest, seek_ok=True, reader="decord")})
    found = examine(path)
    assert found.info == honest and found.notes == {"random_access_wrong": 1}


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"", "0 bytes"), (b"no film" * 99, "to be a whole film"), (None, "No such file")]
)
def test_what_is_no_film_is_said(tmp_path, content, complaint):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    found = examine(path)
    assert found.info is None and complaint in found.fault and found.fault.startswith(("Expected ", "No such file"))


# ---- Many films ----


def test_findings_are_honoured_until_the_file_changes(tmp_path, long_film):
    root = classes_of(tmp_path / "set", {"wave/good.mp4": long_film, "wave/bad.mp4": damaged(long_film)})
    assert len(Folder(root, cache=tmp_path / "other").records) == 2
    cache = tmp_path / "cache"
    scan(Folder(root, cache=cache).films, cache=cache)
    folder = Folder(root, cache=cache)
    assert [record.key for record in folder.records] == ["wave/good.mp4"]
    assert "to be a whole film" in folder.quarantine["wave/bad.mp4"]
    (root / "wave/bad.mp4").write_bytes(long_film)
    assert len(Folder(root, cache=cache).records) == 2


def test_a_stopped_scan_does_the_rest(tmp_path, long_film, monkeypatch):
    root = classes_of(tmp_path / "set", {f"wave/{k}.mp4": long_film[: -k or None] for k in range(4)})
    films = sorted((root / "wave").iterdir())
    looked = []

    def look(path):
        if len(looked) == 2:
            raise KeyboardInterrupt
        looked.append(path.name)
        return examine(path)

    monkeypatch.setattr(scanning, "examine", look)
    with pytest.raises(KeyboardInterrupt):
        scan(films, cache=tmp_path)
    with (tmp_path / "film-scan.jsonl").open("a") as log:
        log.write('{"readers": "cut o')
    monkeypatch.setattr(scanning, "examine", lambda path: looked.append(path.name) or examine(path))
    findings = scan(films, cache=tmp_path)
    assert sorted(looked) == [f"{k}.mp4" for k in range(4)]
    assert scan(films, cache=tmp_path) == findings and len(looked) == 4
    # Another reader may disagree: everything is read again.
    scan(films, cache=tmp_path, log=ScanLog(tmp_path, "another reader"))
    assert len(looked) == 8


def deadly(job):
    if job.film.stem == "deadly":
        os._exit(11)
    if job.film.stem == "endless":
        while True:
            time.sleep(60)
    return (examine(job.film),)


def test_processes_find_the_same_and_one_that_dies_is_laid_to_its_film(tmp_path, long_film):
    names = ("a", "deadly", "b")
    root = classes_of(tmp_path, {f"wave/{name}.mp4": long_film for name in names})
    jobs = [ScanJob(root / f"wave/{name}.mp4", None) for name in names]
    work = Work(deadly, "synthaug.datasets.indexing.scanning")
    found = {job.film.stem: result for job, result in run_jobs(work, jobs, workers=2)}
    alone = {job.film.stem: (examine(job.film),) for job in jobs if job.film.stem != "deadly"}
    assert found == alone | {"deadly": None}
    (crash,) = scanning._report_crash(jobs[1])
    assert crash.film == file_key(jobs[1].film) and "a crash of the process that reads it" in crash.fault


def test_a_film_that_holds_its_process_is_given_up(tmp_path, long_film):
    names = ("a", "endless", "b")
    root = classes_of(tmp_path, {f"wave/{name}.mp4": long_film for name in names})
    jobs = [ScanJob(root / f"wave/{name}.mp4", None) for name in names]
    found = dict(run_jobs(Work(deadly, "synthaug.datasets.indexing.scanning", time_limit=8.0), jobs, workers=2))
    assert [found[job] is None for job in jobs] == [False, True, False]


def test_the_summary_counts(tmp_path, long_film):
    root = classes_of(
        tmp_path, {"a.mp4": long_film, "b.mp4": long_film, "c.mp4": b"", "d.mp4": b"", "e.mp4": damaged(long_film)}
    )
    told = summarize_findings([examine(path) for path in sorted(root.glob("*.mp4"))])
    rows = dict(told.rows)
    assert rows["films"] == "2 sound, 3 broken" and rows["size"] == "128 x 96: 2"
    assert rows["hours"].endswith("in 320 frames") and rows["rate"] == "20 a second: 2"
    assert list(told.broken.values()) == [2, 1] and all("a.mp4" not in reason for reason in told.broken)


# ---- Smaller copies ----

UNEVEN = [0, 20, 45, 60, 95, 120, 130, 170, 200, 230, 255, 260, 300, 340, 360, 410, 430, 470, 500, 540]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("a.mov", {"rate": Fraction(30000, 1001)}),
        ("a.mkv", {"rate": 24}),
        ("a.avi", {"codec": "mpeg4", "rate": 30, "options": {"bf": "2"}}),
        ("a.webm", {"codec": "libvpx", "rate": 25}),
        ("a.wmv", {"codec": "wmv2", "rate": 25}),
        ("a.mp4", {"at": UNEVEN}),
    ],
)
def test_a_copy_shows_the_same_frames_at_the_same_seconds(tmp_path, name, options):
    path = encoded(tmp_path / name, example_film(20, height=120, width=160), **options)
    info = probe(path)
    copy = shrink(path, tmp_path / "small" / name, info=info, short_side=60)
    assert (copy.width, copy.height, copy.num_frames) == (80, 60, info.num_frames)
    assert copy.fps == pytest.approx(info.fps, rel=1e-4) and copy.duration == pytest.approx(info.duration, rel=1e-3)
    times = info.times or tuple(k / info.fps for k in range(info.num_frames))
    assert indices_at(copy, times) == list(range(info.num_frames))
    assert bool(copy.times) == bool(info.times)
    # The same pictures, by another path: resized as pixels and never encoded, each is its own copy's nearest.
    small = read_frames(tmp_path / "small" / name, range(copy.num_frames)).permute(0, 2, 3, 1).numpy().astype(float)
    large = np.stack([resize_frame(to_picture(frame), (60, 80)) for frame in frames_in_order(path)]).astype(float)
    error = np.abs(small[:, None] - large[None]).mean(axis=(2, 3, 4))
    assert error.argmin(axis=1).tolist() == list(range(info.num_frames))
    assert error.diagonal().mean() < 5  # levels of 255: colours of half the size, at 80 by 60, and compression


def test_a_copy_of_film_that_changes_its_shape_stretches_nothing(tmp_path):
    """The second half is upright: its middle is cut out, in the copy as where frames are read."""
    parts = [
        encoded(tmp_path / f"{side}.m2v", example_film(6, height=side, width=280 - side), codec="mpeg2video", rate=25)
        for side in (120, 160)
    ]
    path = tmp_path / "both.m2v"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    info = probe(path)
    copy = shrink(path, tmp_path / "small.m2v", info=info, short_side=60)
    assert (copy.width, copy.height, copy.num_frames) == (80, 60, info.num_frames) and info.num_frames >= 11
    large = read_frames(path, range(info.num_frames), size=(60, 80)).float()
    small = read_frames(tmp_path / "small.m2v", range(copy.num_frames)).float()
    assert (small - large).abs().mean(dim=(1, 2, 3)).max() < 8  # two codecs


@pytest.mark.parametrize("colours", [1, 5])
def test_a_copy_keeps_the_colours(tmp_path, colours):
    """Of BT.709 and BT.601 film, which say what they are."""
    path = encoded(tmp_path / "a.mp4", example_film(8, height=128, width=160), colours=colours)
    copy = shrink(path, tmp_path / "b.mp4", info=probe(path), short_side=64)
    one, other = (read_frames(p, range(8)).float().mean((0, 2, 3)) for p in (path, tmp_path / "b.mp4"))
    assert copy.num_frames == 8 and (one - other).abs().max() < 2
    tags = {next(iter(frames_in_order(p))).colorspace for p in (path, tmp_path / "b.mp4")}
    assert tags == {colours}


def test_sizes_are_even_and_keep_the_aspect():
    assert shrunk_size((1080, 1920), 270) == (270, 480) and shrunk_size((1920, 1080), 270) == (480, 270)
    for size in ((480, 640), (357, 641), (1080, 1920)):
        height, width = shrunk_size(size, 96)
        assert height % 2 == width % 2 == 0 and min(height, width) == 96
        assert abs(width - height * size[1] / size[0]) <= 1


def test_a_copy_of_a_film_that_breaks_off_is_refused(tmp_path):
    path = encoded(tmp_path / "a.mp4", example_film(20, height=120, width=160))
    more = replace(probe(path), num_frames=30)
    with pytest.raises(VideoError, match=r"with the same 30 frames in .*got 20 frames in .*Convert"):
        shrink(path, tmp_path / "small" / "a.mp4", info=more, short_side=60)
    assert list((tmp_path / "small").iterdir()) == []


def ntu_set(root):
    stems = ("S001C002P001R001A001", "S001C002P003R001A001")
    for number, stem in enumerate(stems):
        (root / "nturgb+d_rgb").mkdir(parents=True, exist_ok=True)
        film = example_film(20, height=108, width=192, seed=number)
        encoded(root / "nturgb+d_rgb" / f"{stem}_rgb.avi", film, codec="mpeg4", rate=30)
        (root / "nturgb+d_skeletons").mkdir(exist_ok=True)
        (root / "nturgb+d_skeletons" / f"{stem}.skeleton").write_text("0\n")
    (root / "nturgb+d_rgb" / "S001C002P003R001A002_rgb.avi").write_bytes(b"broken" * 50)
    return root


def test_copies_stand_for_the_set_with_everything_beside_them(tmp_path):
    root, to, cache = ntu_set(tmp_path / "ntu"), tmp_path / "small", tmp_path / "cache"
    copies = Copies(root, to, 54)
    findings = scan(Ntu(root, cache=cache).films, cache=cache, copies=copies)
    large, small = Ntu(root, cache=cache), Ntu(to, cache=cache)
    assert [replace(r, path=Path()) for r in small.records] == [replace(r, path=Path()) for r in large.records]
    assert set(small.quarantine) == set(large.quarantine) == {"S001C002P003R001A002"}
    film = small.records[0].path
    assert (probe(film).width, probe(film).height) == (96, 54)
    # What counts in pixels counts in those that were filmed.
    assert filmed_size(film, probe(film)) == (108, 192)
    assert (film_format(small.records[0], fps=None, size=None).width, small.records[0].path.suffix) == (192, ".avi")
    assert (to / "nturgb+d_skeletons" / f"{small.records[0].key}.skeleton").read_text() == "0\n"
    assert (to / "nturgb+d_skeletons").is_symlink() and not film.is_symlink()
    # A second call has nothing to do; another size makes new copies and leaves the set alone.
    before = {path: path.stat().st_mtime_ns for path in (*large.films, *small.films)}
    assert scan(large.films, cache=cache, copies=copies) == findings
    assert {path: path.stat().st_mtime_ns for path in before} == before
    scan(large.films, cache=cache, copies=replace(copies, short_side=108))
    assert film.is_symlink() and film.resolve() == large.records[0].path.resolve()
    scan(large.films, cache=cache, copies=copies)
    assert not film.is_symlink() and probe(film).height == 54
    assert {path: path.stat().st_mtime_ns for path in large.films} == {path: before[path] for path in large.films}


def test_copies_are_never_written_through_links_into_the_set(tmp_path, long_film):
    root = classes_of(tmp_path / "set", {"a/1.mp4": long_film, "b/1.mp4": long_film})
    copies = Copies(root, tmp_path / "small", 48)
    scan([root / "a/1.mp4"], cache=tmp_path, copies=copies)
    assert (tmp_path / "small" / "b").is_symlink()
    scan([root / "a/1.mp4", root / "b/1.mp4"], cache=tmp_path, copies=copies)
    assert (root / "b/1.mp4").read_bytes() == long_film and probe(tmp_path / "small" / "b/1.mp4").height == 48
    other = Copies(root, tmp_path / "linked" / "small", 48)
    (tmp_path / "linked").symlink_to(root)
    with pytest.raises(ValueError, match="neither inside the other"):
        replace(other, to=tmp_path / "linked" / "small")


@pytest.mark.parametrize(
    ("to", "pixels", "complaint"),
    [("set/small", 64, "neither inside the other"), (".", 64, "neither"), ("small", 63, "an even number of pixels"),
     ("small", 8, "at least 32")],
)  # fmt: skip
def test_copies_that_would_do_harm_are_refused(tmp_path, to, pixels, complaint):
    with pytest.raises(ValueError, match=complaint):
        Copies(tmp_path / "set", tmp_path / to, pixels)


def test_films_outside_the_folder_have_no_copies(tmp_path, long_film):
    root = classes_of(tmp_path, {"set/a.mp4": long_film, "b.mp4": long_film})
    with pytest.raises(ValueError, match=r"Expected all films to be in dataset.root=.*got .*b.mp4'"):
        scan([root / "b.mp4"], cache=tmp_path, copies=Copies(root / "set", root / "small", 64))


def test_the_command_scans_shrinks_and_says_where_the_copies_are(tmp_path, long_film, capsys):
    root = classes_of(tmp_path / "set", {"wave/1.mp4": long_film, "kick/1.mp4": long_film, "kick/2.mp4": b"x" * 99})
    overrides = ["dataset=folder", f"dataset.root={root}", f"+dataset.cache={tmp_path / 'cache'}"]
    command = ["data", "scan", *overrides, "--workers", "2", "--shrink", "48", "--to", str(tmp_path / "small")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "2 sound, 1 broken" in told and "128 x 96: 2" in told and "64 x 48: 2" in told
    assert f"dataset.root={tmp_path / 'small'}" in told.replace("\n", "")
    log = ScanLog(tmp_path / "cache", readers())
    assert len(log.findings()) == 6 and json.loads(log.file.read_text().splitlines()[-1])["readers"] == readers()
    assert main(["data", "scan", *overrides, "--shrink", "48"]) == 2
    assert "Give all three" in capsys.readouterr().err


def test_annotations_of_a_film_of_its_own_size_count_in_it(tmp_path):
    write_video(tmp_path / "a.mp4", example_film(4), fps=10.0)
    record = Record("a", tmp_path / "a.mp4", 0, "1", "", 0.0, 0.4)
    assert (film_format(record, fps=None, size=None).height, film_format(record, fps=None, size=None).width) == (48, 64)
