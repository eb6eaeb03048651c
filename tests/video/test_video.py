import dataclasses
import multiprocessing
import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.structures import Camera, Record
from synthaug.testing.datasets import example_film
from synthaug.video import (
    VideoError,
    VideoInfo,
    clip_times,
    indices_at,
    probe,
    probing,
    read_clip,
    read_frames,
    read_metadata,
    resize_frame,
    stream_frames,
    write_video,
    writing,
)


@dataclasses.dataclass(frozen=True)
class Coding:
    name: str
    codec: str
    gop: int
    b_frames: int
    frames: int
    rotation: int = 0


B_FRAME_AVI = Coding("b_frames.avi", "mpeg4", 12, 2, 60)
LONG_GOP = Coding("long_gop.mp4", "libx264", 250, 3, 90)
MANY_GOPS = Coding("many_gops.mkv", "libx264", 20, 3, 130)
TURNED = Coding("turned.mp4", "libx264", 12, 0, 24, rotation=90)
CODINGS = [B_FRAME_AVI, LONG_GOP, MANY_GOPS, TURNED]


def encode(path, coding, *, ticks=None, rate=30):
    """Film as other people's encoders make it, with B-frames and timestamps of choice."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(coding.codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = coding.gop
        stream.codec_context.max_b_frames = coding.b_frames
        if coding.rotation:
            stream.set_display_rotation(coding.rotation)
        for index, pixels in enumerate(example_film(coding.frames)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), format="rgb24")
            frame.pts = index if ticks is None else ticks[index]
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for coding in CODINGS:
        encode(folder / coding.name, coding)
    return folder


def in_order(path):
    """The specification: everything, forwards, by PyAV alone."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("coding", [B_FRAME_AVI, LONG_GOP, MANY_GOPS], ids=lambda coding: coding.name)
def test_a_window_equals_the_same_window_of_the_full_decode(films, coding):
    path, whole = films / coding.name, in_order(films / coding.name)
    assert probe(path).num_frames == len(whole) == coding.frames
    for first, last in ((0, 16), (20, 36), (coding.frames - 16, coding.frames)):
        assert torch.equal(read_frames(path, range(first, last)), whole[first:last])
    scattered = [coding.frames - 1, 30, 3, 30, 7, 0, 41]
    assert torch.equal(read_frames(path, scattered), whole[scattered])
    for index in (5, 17, 33, 50):
        assert torch.equal(read_frames(path, [index])[0], whole[index])


def test_a_film_that_decord_misreads_is_read_by_pyav(films):
    pytest.importorskip("decord")
    assert (probe(films / "b_frames.avi").reader, probe(films / "b_frames.avi").seek_ok) == ("pyav", False)
    assert (probe(films / "long_gop.mp4").reader, probe(films / "long_gop.mp4").seek_ok) == ("decord", True)


def test_both_readers_give_the_same_frames_where_seeking_is_right(films):
    for name in ("long_gop.mp4", "many_gops.mkv", "turned.mp4"):
        info = probe(films / name)
        forwards = dataclasses.replace(info, reader="pyav")
        assert torch.equal(
            read_frames(films / name, [20, 3], info=info), read_frames(films / name, [20, 3], info=forwards)
        )


def test_rotation_in_the_metadata_is_obeyed_by_every_reader(films):
    info = probe(films / "turned.mp4")
    assert (info.height, info.width) == (64, 48)
    upright = torch.rot90(in_order(films / "turned.mp4"), 1, dims=(2, 3))
    for reader in {"pyav", info.reader}:
        frames = read_frames(films / "turned.mp4", range(24), info=dataclasses.replace(info, reader=reader))
        assert torch.equal(frames, upright)


def test_a_long_film_is_counted_without_decoding_its_middle(films, monkeypatch):
    def forbidden(path, expected):
        raise AssertionError("the whole film was decoded")

    monkeypatch.setattr(probing, "_scan_whole", forbidden)
    assert probing._probe(films / "many_gops.mkv").num_frames == 130


def test_without_decord_the_frames_are_the_same(films, monkeypatch):
    monkeypatch.setattr(probing.importlib.util, "find_spec", lambda name: None)
    info = probing._probe(films / "long_gop.mp4")
    assert info.reader == "pyav"
    assert torch.equal(
        read_frames(films / "long_gop.mp4", [8, 50], info=info), in_order(films / "long_gop.mp4")[[8, 50]]
    )


def test_of_several_video_streams_both_readers_take_the_same(tmp_path):
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        streams = [container.add_stream("libx264", rate=10) for _ in range(2)]
        for stream, (height, width) in zip(streams, ((32, 32), (64, 96)), strict=True):
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        streams[1].disposition = av.stream.Disposition.default
        for _ in range(8):
            for stream in streams:
                pixels = rng.integers(0, 256, (stream.height, stream.width, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    info = probe(tmp_path / "two.mkv")
    # The first stream is another; FFmpeg, and so decord, takes the one marked as default.
    assert (info.height, info.width, info.num_frames) == (64, 96, 8)
    forwards = dataclasses.replace(info, reader="pyav")
    assert torch.equal(
        read_frames(tmp_path / "two.mkv", [4, 1]), read_frames(tmp_path / "two.mkv", [4, 1], info=forwards)
    )


def test_uneven_film_keeps_the_seconds_of_each_frame(tmp_path):
    ticks = [0, 1, 2, 3, 10, 11, 12, 20, 21, 22]
    encode(tmp_path / "uneven.mkv", Coding("", "libx264", 12, 0, 10), ticks=ticks)
    info = probe(tmp_path / "uneven.mkv")
    # Matroska rounds to milliseconds.
    assert np.allclose(info.times, np.array(ticks) / 30, atol=1e-3)
    assert indices_at(info, [0.0, 3 / 30, 5 / 30, 8 / 30, 15 / 30, 17 / 30, 9.0]) == [0, 3, 3, 4, 6, 7, 9]


def test_a_forked_worker_reads_what_its_parent_reads(films):
    """Readers kept across a fork hang; none is kept."""
    names = ["b_frames.avi", "long_gop.mp4"]
    here = [read_frames(films / name, [40, 5], size=(24, 24)) for name in names]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.map_async(read_small, [films / name for name in names]).get(timeout=60)
    assert all(np.array_equal(one.numpy(), other) for one, other in zip(here, there, strict=True))


def read_small(path):
    return read_frames(path, [40, 5], size=(24, 24)).numpy()


@pytest.mark.parametrize("reader", ["decord", "pyav"])
@pytest.mark.parametrize("size", [None, (24, 32)])
def test_streamed_frames_are_those_that_are_read_at_once(films, reader, size):
    path, wanted = films / "long_gop.mp4", [0, 3, 3, 20, 21, 59]
    info = dataclasses.replace(probe(path), reader=reader)
    streamed = list(stream_frames(path, wanted, info=info, size=size))
    at_once = read_frames(path, wanted, info=info, size=size).permute(0, 2, 3, 1).numpy()
    assert len(streamed) == len(wanted)
    assert all((one == other).all() for one, other in zip(streamed, at_once, strict=True))
    assert list(stream_frames(path, [])) == []
    with pytest.raises(ValueError, match="Expected indices in order"):
        next(stream_frames(path, [3, 2]))
    with pytest.raises(VideoError, match="got 90"):
        next(stream_frames(path, [3, 90]))


def test_frames_outside_the_film_are_refused(films):
    with pytest.raises(VideoError, match=r"Expected frames 0 to 89 of .*got 90. .*indices_at"):
        read_frames(films / "long_gop.mp4", [3, 90])
    with pytest.raises(VideoError, match="got -1"):
        read_frames(films / "long_gop.mp4", [-1])
    assert read_frames(films / "long_gop.mp4", []).shape == (0, 3, 48, 64)


def test_a_film_that_shrank_since_it_was_probed_is_named(films):
    for reader in ("pyav", "decord"):
        info = VideoInfo(64, 48, 30.0, 200, seek_ok=reader == "decord", reader=reader)
        with pytest.raises(VideoError, match=r"long_gop.mp4.*(Copy it again|Probe it again)"):
            read_frames(films / "long_gop.mp4", [150], info=info)


# ---- Bad files ----


def audio_alone(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


BAD = {
    "missing.mp4": lambda path, film: None,
    "folder.mp4": lambda path, film: path.mkdir(),
    "empty.mp4": lambda path, film: path.touch(),
    "random.mp4": lambda path, film: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "words.mp4": lambda path, film: path.write_text("hello\n" * 50),
    "words.txt": lambda path, film: path.write_text("hello\n" * 50),
    "audio.mp4": lambda path, film: audio_alone(path),
    "header.mp4": lambda path, film: path.write_bytes(film[:300]),
    "no_index.mp4": lambda path, film: path.write_bytes(film[: film.find(b"moov") - 4]),
    "zeroed.mp4": lambda path, film: path.write_bytes(zeroed(film)),
}


def zeroed(film):
    """The film with its pictures blanked and its tables whole."""
    start = film.find(b"mdat") + 4
    (length,) = struct.unpack(">I", film[start - 8 : start - 4])
    return film[:start] + bytes(length - 8) + film[start + length - 8 :]


@pytest.mark.parametrize("name", BAD)
def test_every_bad_file_is_named_with_what_to_do(tmp_path, films, name):
    BAD[name](tmp_path / name, (films / "long_gop.mp4").read_bytes())
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / name)
    message = str(caught.value)
    assert name in message
    assert message.startswith(("Expected ", "No such file: "))
    assert re.search(r"Check|Name a|Copy|Leave it out|leave it out", message)
    assert "Traceback" not in message and "\n" not in message
    with pytest.raises(VideoError):
        read_metadata(tmp_path / name) if name != "zeroed.mp4" else probe(tmp_path / name)


def test_a_film_is_looked_at_once_until_it_changes(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", example_film(4), fps=10.0)
    assert probe(tmp_path / "a.mp4") is probe(tmp_path / "a.mp4")
    write_video(tmp_path / "a.mp4", example_film(6), fps=10.0)
    assert probe(tmp_path / "a.mp4").num_frames == 6


# ---- Sizes ----


@pytest.mark.parametrize("size", [(24, 24), (31, 50), (96, 96), (48, 64)])
def test_resizing_puts_points_where_the_scaled_camera_says(size):
    """A spot's centre of mass, against the camera's own arithmetic; half a pixel, as `resize_frame` promises."""
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    centre = (28.0, 36.0)
    spot = (255 * torch.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 18)).to(torch.uint8)
    small = resize_frame(spot[..., None].expand(-1, -1, 3).contiguous().numpy(), size)[..., 0].astype(float)
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    found = np.array([(small.sum(1) @ rows) / small.sum(), (small.sum(0) @ columns) / small.sum()])
    Ks = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1]]])
    K = Camera(torch.eye(4)[None], Ks, 64, 48).scaled(height=size[0], width=size[1]).Ks[0]
    expected = np.array([K[1, 1] * centre[0] + K[1, 2], K[0, 0] * centre[1] + K[0, 2]])
    assert small.shape == size
    assert np.abs(found - expected).max() < 0.5


def test_making_smaller_averages_areas():
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    means = frame.reshape(20, 2, 30, 2, 3).astype(float).mean((1, 3))
    assert np.abs(resize_frame(frame, (20, 30)).astype(float) - means).max() <= 0.5 + 1e-6
    assert resize_frame(frame, (40, 60)) is frame


def test_a_size_is_filled_alike_by_every_reader(films):
    whole = read_frames(films / "long_gop.mp4", [5, 6])
    by_hand = torch.stack(
        [
            torch.from_numpy(resize_frame(f.permute(1, 2, 0).contiguous().numpy(), (32, 32)).copy()).permute(2, 0, 1)
            for f in whole
        ]
    )
    assert torch.equal(read_frames(films / "long_gop.mp4", [5, 6], size=(32, 32)), by_hand)


# ---- Choosing by seconds ----


def test_a_clip_longer_than_its_interval_starts_again_and_counts_it():
    times, looped = clip_times(1.0, 2.0, offset=0.5, fps=4.0, num_frames=8)
    assert times == pytest.approx((1.5, 1.75, 1.0, 1.25, 1.5, 1.75, 1.0, 1.25))
    assert looped == 6
    assert clip_times(0.0, 2.0, offset=0.0, fps=30.0, num_frames=60)[1] == 0
    assert clip_times(0.0, 2.0, offset=0.0, fps=30.0, num_frames=61)[1] == 1


@given(
    start=st.floats(0, 100),
    length=st.floats(0.05, 20),
    share=st.floats(0, 0.99),
    fps=st.floats(1, 120),
    num_frames=st.integers(1, 80),
)
def test_times_stay_in_the_interval_and_loops_are_what_lies_beyond(start, length, share, fps, num_frames):
    end = start + length
    offset = share * (end - start)
    times, looped = clip_times(start, end, offset=offset, fps=fps, num_frames=num_frames)
    assert len(times) == num_frames
    assert all(start <= time < end + 1e-9 for time in times)
    beyond = [offset + k / fps - (end - start) for k in range(num_frames)]
    assert sum(b > 1e-5 for b in beyond) <= looped <= sum(b > -1e-5 for b in beyond)


@pytest.mark.parametrize(
    "wrong", [{"end": 1.0}, {"offset": -0.1}, {"offset": 1.0}, {"fps": 0.0}, {"num_frames": 0}, {"end": float("nan")}]
)
def test_a_clip_that_cannot_be_is_refused(wrong):
    asked = {"start": 1.0, "end": 2.0, "offset": 0.0, "fps": 10.0, "num_frames": 4} | wrong
    with pytest.raises(ValueError, match=r"Expected (an offset inside an interval|a positive rate and length).*, got "):
        clip_times(
            asked["start"], asked["end"], offset=asked["offset"], fps=asked["fps"], num_frames=asked["num_frames"]
        )


@pytest.mark.parametrize(("rate", "stride"), [(30.0, 1), (15.0, 2), (10.0, 3), (29.97, 1), (59.94, 2)])
def test_times_of_frames_choose_those_frames(rate, stride):
    info = VideoInfo(8, 8, rate, 1000, seek_ok=True, reader="pyav")
    indices = list(range(0, 1000, stride))
    assert indices_at(info, [index / rate for index in indices]) == indices


def test_film_of_half_the_rate_shows_each_frame_twice():
    info = VideoInfo(8, 8, 15.0, 8, seek_ok=True, reader="pyav")
    assert indices_at(info, [k / 30 for k in range(16)]) == [k // 2 for k in range(16)]


def test_no_time_chooses_a_frame_outside_the_film():
    info = VideoInfo(8, 8, 15.0, 8, seek_ok=True, reader="pyav")
    assert indices_at(info, [-5.0, 0.0, 8 / 15, 100.0]) == [0, 0, 7, 7]


def test_a_clip_is_the_records_film_with_its_label(films):
    record = Record("long_gop.mp4#1-2", films / "long_gop.mp4", 3, "ann", "left", 1.0, 2.0)
    clip = read_clip(record, offset=0.0, fps=15.0, num_frames=18, size=(24, 32))
    frames = [30 + 2 * (k % 15) for k in range(18)]
    assert torch.equal(clip.video, read_frames(films / "long_gop.mp4", frames, size=(24, 32)))
    assert (clip.key, clip.label, clip.subject, clip.camera) == (record.key, 3, "ann", "left")
    assert (clip.fps, clip.looped, clip.recipe) == (15.0, 3, None)


# ---- Writing ----


def psnr(one, other):
    return float(10 * torch.log10(255**2 / (one.float() - other.float()).pow(2).mean()))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_written_film_comes_back(tmp_path, suffix):
    film, path = example_film(20), tmp_path / f"new/film{suffix}"
    write_video(path, film, fps=29.97, metadata={"comment": "käse", "synthaug": '{"seed": 1}'})
    info = probe(path)
    assert (info.num_frames, info.height, info.width) == (20, 48, 64)
    assert info.fps == pytest.approx(29.97, rel=1e-3)
    # crf 18 with halved colours on a smooth picture; a wrong frame or swapped channels would give below 25.
    assert psnr(read_frames(path, range(20)), film) > 33
    tags = read_metadata(path)
    assert (tags["comment"], tags["synthaug"]) == ("käse", '{"seed": 1}')


@pytest.mark.parametrize(("height", "width"), [(47, 63), (48, 63), (1, 1)])
def test_odd_sides_grow_by_a_repeated_edge(tmp_path, height, width):
    film = example_film(6)[:, :, :height, :width].contiguous()
    write_video(tmp_path / "odd.mp4", film, fps=10.0)
    back = read_frames(tmp_path / "odd.mp4", range(6))
    assert back.shape[2:] == (height + height % 2, width + width % 2)
    assert psnr(back[..., :height, :width], film) > 30
    padded = torch.from_numpy(np.pad(film.numpy(), ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), mode="edge"))
    assert psnr(back, padded) > 30


def test_written_film_has_short_groups_of_pictures(tmp_path):
    write_video(tmp_path / "a.mp4", example_film(40), fps=30.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        keys = [index for index, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]
    assert np.diff([*keys, 40]).max() <= 12


def test_a_failed_writing_leaves_the_old_film_and_nothing_else(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", example_film(4), fps=10.0)

    def broken(path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(writing, "_encode", broken)
    with pytest.raises(OSError, match="disk full"):
        write_video(tmp_path / "a.mp4", example_film(8), fps=10.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert probe(tmp_path / "a.mp4").num_frames == 4


def test_what_cannot_be_written_is_refused(tmp_path):
    for name, frames, fps in (("a.gif", 4, 10.0), ("a.mp4", 0, 10.0), ("a.mp4", 4, 0.0)):
        with pytest.raises(VideoError, match=r"Expected at least one frame, a rate above 0 .*got .*Rename the file"):
            write_video(tmp_path / name, example_film(4)[:frames], fps=fps)


# ---- Film of others ----


def test_gestures_have_as_many_frames_as_can_be_decoded(shared_data):
    """10 of the 20 containers announce one more."""
    paths = sorted((shared_data / "intel_asl" / "asl_gestures").glob("*.mkv"))[2:5]
    if not paths:
        pytest.skip("intel_asl is not in shared/data")
    for path in paths:
        whole = in_order(path)
        info = probe(path)
        assert info.num_frames == len(whole)
        assert torch.equal(read_frames(path, [20, info.num_frames - 1, 7]), whole[[20, len(whole) - 1, 7]])


def test_home_film_keeps_its_uneven_time(shared_data):
    path = shared_data / "gmdcsa24" / "Subject 1" / "Fall" / "13.mp4"
    if not path.exists():
        pytest.skip("gmdcsa24 is not in shared/data")
    info = probe(path)
    assert (info.num_frames, len(info.times)) == (128, 128)
    assert info.fps == pytest.approx(29.62, abs=0.01)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 128
