"""When each picture of a film is shown, where the film is damaged or its clock is not what it should be."""

import csv
import dataclasses
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.cli.main import main
from synthaug.datasets.folder import Folder
from synthaug.datasets.indexing.scanning import Copies, examine, scan
from synthaug.testing.datasets import example_film
from synthaug.video import (
    VideoError,
    filmed_size,
    indices_at,
    picture_notes,
    probe,
    probing,
    read_clip,
    read_frames,
    write_video,
)
from synthaug.video.timing import find_timing, mend_stamps

FINE = Fraction(1, 30_000)


def uneven(count=100, seconds=6.0):
    """Times of the pictures of film with a varying rate."""
    steps = np.random.default_rng(0).uniform(0.7, 1.3, count)
    times = np.cumsum(steps) - steps[0]
    return times * (seconds - seconds / count) / times[-1]


def encode(path, pictures, times, *, codec="libx264", options=None, edit=lambda packets: packets, sound=None):
    """Film with chosen times, whose packets pass through `edit` on their way to the file.

    `sound` adds silence of so many seconds, from second 0 on.
    """
    packets = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[2:], "yuv420p"
        stream.options, stream.codec_context.time_base = options or {}, FINE
        silence = container.add_stream("aac", rate=16_000) if sound else None
        for pixels, time in zip(pictures.permute(0, 2, 3, 1).numpy(), times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))
            frame.pts, frame.time_base = round(float(time) / FINE), FINE
            packets += stream.encode(frame)
        for packet in edit([*packets, *stream.encode(None)]):
            packet.stream = stream
            container.mux(packet)
        for k in range(round(sound * 16_000) // 1024 if sound else 0):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 1024 * k
            container.mux(silence.encode(frame))
        if silence:
            container.mux(silence.encode(None))
    return path


def in_order(path):
    """The specification: every picture that decodes, forwards, packet by packet, by PyAV alone; and its stamp."""
    pictures, stamps = [], []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            pictures += [frame.to_ndarray(format="rgb24") for frame in frames]
            stamps += [float(frame.pts * frame.time_base) for frame in frames]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), np.array(stamps)


# ---- Wrong timestamps ----


def stamp(number, other):
    """Give a packet the timestamp that `other` makes of all packets' timestamps."""

    def edit(packets):
        stamps = [packet.pts for packet in packets]
        packets[number].pts = int(other(stamps))
        if number + 1 < len(packets):  # containers refuse decoding times that do not rise
            for place, packet in enumerate(packets):
                packet.dts = place * 30 - 100 * 30
        return packets

    return edit


WRONG = {
    "repeats the one before": (60, lambda stamps: stamps[59]),
    "repeats the one after": (60, lambda stamps: stamps[61]),
    "goes back": (60, lambda stamps: stamps[57] + 500),
    "is twice itself": (60, lambda stamps: 2 * stamps[60]),
    "is nought": (60, lambda stamps: stamps[0]),
    "is hours away": (60, lambda stamps: stamps[60] + 30_000 * 36_000),
    "is hours away, and last": (99, lambda stamps: stamps[99] + 30_000 * 36_000),
}


@pytest.mark.parametrize("kind", WRONG)
def test_one_wrong_timestamp_is_mended_alone(tmp_path, kind):
    times, (number, other) = uneven(), WRONG[kind]
    edit = stamp(number, other)
    path = encode(tmp_path / "a.mkv", example_film(100), times, options={"bf": "0"}, edit=edit)
    info = probe(path)
    assert info.num_frames == 100 and info.notes == {"mended_timestamps": 1}
    assert info.duration == pytest.approx(6.0, abs=0.02)
    found = np.array(info.times)
    off = np.abs(found - times)
    # Matroska rounds to milliseconds; a mended time is right within the film's own unevenness.
    assert np.delete(off, number).max() < 2e-3 and off[number] < 0.03
    for second in (1.0, 3.7, 5.5):
        nearest = int(np.abs(times - second).argmin())
        assert indices_at(info, [second]) == [nearest]
        assert torch.equal(read_frames(path, [nearest]), in_order(path)[0][[nearest]])


def test_a_stamp_out_of_place_is_seen_in_film_whose_ends_are_sound(tmp_path):
    """With pictures that are decoded before those shown earlier, packets alone do not tell."""
    times = np.arange(200) / 30
    path = encode(tmp_path / "a.mkv", example_film(200), times, options={"bf": "2"})
    order = in_order(path)[1]
    assert probe(path).num_frames == 200 and not probe(path).notes

    def edit(packets):
        late = next(packet for packet in packets if packet.pts == round(100 / 30 / FINE))
        late.pts -= round(1.4 / 30 / FINE)
        return packets

    wrong = encode(tmp_path / "b.mkv", example_film(200), times, options={"bf": "2"}, edit=edit)
    info = probe(wrong)
    assert info.notes == {"mended_timestamps": 1} and info.fps == 30.0
    assert indices_at(info, order.tolist()) == list(range(200))


@given(
    steps=st.lists(st.floats(0.5, 1.5), min_size=20, max_size=60),
    # Near an end nobody can tell: of 1, 2, -2, -1, 5 ... the first two may be wrong, or the next two.
    bad=st.sets(st.integers(3, 15), min_size=1, max_size=2),
    shift=st.floats(-30, 30).filter(lambda shift: abs(shift) > 4),
)
def test_mending_leaves_good_timestamps_alone(steps, bad, shift):
    true = np.cumsum(steps)
    given_stamps = [float(time + shift) if k in bad else float(time) for k, time in enumerate(true)]
    mended, count = mend_stamps(given_stamps)
    assert (np.diff(mended) > 0).all() and count <= len(bad) + len(true) // 10
    if count == len(bad):
        assert np.allclose(np.delete(mended, sorted(bad)), np.delete(true, sorted(bad)))


def test_a_missing_timestamp_is_its_neighbours_mean():
    stamps = [k / 25 for k in range(40)]
    assert find_timing([*stamps[:7], None, *stamps[8:]], 25.0).mended == 1
    timing = find_timing([*stamps[:7], None, *stamps[8:]], 25.0)
    assert (timing.fps, timing.times) == (25.0, ())


def test_a_clock_that_is_wrong_everywhere_is_not_believed():
    stamps = np.random.default_rng(0).uniform(0, 10, 100).tolist()
    assert find_timing(stamps, 25.0) == find_timing([None] * 100, 25.0)
    assert find_timing(stamps, 25.0).fps == 25.0


# ---- Damaged packets ----


def spoil(source, path, number, fill=bytes, keep=0):
    """Copy a film with one packet overwritten but for its first bytes."""
    with av.open(str(source)) as film, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(film.streams.video[0])
        for place, packet in enumerate(film.demux(video=0)):
            if packet.dts is None and not packet.size:
                continue  # the end
            if place == number:
                old = packet
                packet = av.Packet(bytes(memoryview(old)[:keep]) + fill(old.size - keep))
                packet.pts, packet.dts, packet.duration, packet.time_base = (
                    old.pts,
                    old.dts,
                    old.duration,
                    old.time_base,
                )
                packet.is_keyframe = old.is_keyframe
            packet.stream = stream
            copy.mux(packet)
    return path


CODECS = {
    "h264": ("a.mp4", "libx264", {}),
    "h264 in mkv": ("a.mkv", "libx264", {"bf": "0"}),
    "h265": ("a.mp4", "libx265", {"x265-params": "log-level=none"}),
    "mpeg4": ("a.mp4", "mpeg4", {"bf": "2"}),
    "mpeg4 in avi": ("a.avi", "mpeg4", {}),
}


@pytest.mark.parametrize("fill", [bytes, np.random.default_rng(1).bytes], ids=["zeros", "noise"])
@pytest.mark.parametrize("name", CODECS)
def test_a_damaged_packet_costs_its_own_picture_alone(tmp_path, name, fill):
    file, codec, options = CODECS[name]
    times = np.arange(300) / 30
    sound = encode(tmp_path / f"sound_{file}", example_film(300), times, codec=codec, options=options)
    path = spoil(sound, tmp_path / file, 150, fill)
    pictures, stamps = in_order(path)
    info = probe(path)
    assert len(pictures) == info.num_frames == 299 and info.notes == {"lost_pictures": 1}
    assert info.fps == pytest.approx(30.0, rel=2e-4) and info.duration == pytest.approx(10.0, abs=1e-3)
    shown = indices_at(info, (stamps - stamps[0]).tolist())
    assert shown == list(range(299))
    wanted = [0, 100, 148, 149, 150, 151, 152, 200, 298]
    assert torch.equal(read_frames(path, wanted), pictures[wanted])
    finding = examine(path)
    assert finding.info == info and finding.notes["lost_pictures"] == 1


@pytest.mark.parametrize("file", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_spoiled_packet_that_the_decoder_passes_over_is_counted(tmp_path, file, codec):
    """Of film of keyframes alone, decoders leave such a picture out without a word."""
    options = {"libx264": {"g": "1"}, "libx265": {"x265-params": "keyint=1:log-level=none"}}[codec]
    sound = encode(tmp_path / f"sound_{file}", example_film(60), np.arange(60) / 30, codec=codec, options=options)
    path = spoil(sound, tmp_path / file, 30)
    info = probe(path)
    assert info.num_frames == 59 and info.notes == {"lost_pictures": 1}
    assert indices_at(info, [29 / 30, 31 / 30]) == [29, 30]
    assert examine(path).notes == {"lost_pictures": 1}


@pytest.mark.parametrize("number", [0, 30, 299], ids=["first", "keyframe", "last"])
@pytest.mark.parametrize("name", ["h264 in mkv", "h265", "mpeg4 in avi"])
def test_pictures_that_were_built_on_a_lost_one_are_counted_and_keep_their_times(tmp_path, name, number):
    file, codec, options = CODECS[name]
    options = {"g": "30"} | options | ({"x265-params": "log-level=none:keyint=30"} if codec == "libx265" else {})
    times = np.arange(300) / 30
    sound = encode(tmp_path / f"sound_{file}", example_film(300), times, codec=codec, options=options)
    path = spoil(sound, tmp_path / file, number)
    pictures, stamps = in_order(path)
    info = probe(path)
    assert info.num_frames == len(pictures) and info.notes == {"lost_pictures": 300 - len(pictures)}
    assert info.fps == pytest.approx(30.0, rel=1e-3)
    # Where the first pictures are lost, the film begins late; its own times do not change.
    begins = in_order(sound)[1][0]
    assert info.start == pytest.approx(stamps[0] - begins if stamps[0] - begins > 0.05 else 0.0, abs=1e-3)
    assert indices_at(info, (stamps - stamps[0]).tolist()) == list(range(len(stamps)))
    wanted = [0, len(pictures) // 2, len(pictures) - 1]
    assert torch.equal(read_frames(path, wanted), pictures[wanted])


def test_damage_inside_a_packet_does_not_shift_what_follows(tmp_path):
    """Nothing shows it but decoding: what is read is right, and says what to do."""
    times = np.arange(300) / 30
    sound = encode(tmp_path / "b.mp4", example_film(300), times, options={"bf": "0"})
    path = spoil(sound, tmp_path / "a.mp4", 150, keep=5)
    pictures, stamps = in_order(path)
    assert len(pictures) == 299, "the decoder drops it"
    info = probe(path)
    assert info.num_frames == 300, "nothing was seen of it"
    places = np.round((stamps - stamps[0]) * 30).astype(int)
    lost = (set(range(300)) - set(places.tolist())).pop()
    rows = {place: row for row, place in enumerate(places.tolist())}
    for reader in {"pyav", info.reader}:
        own = dataclasses.replace(info, reader=reader)
        with pytest.warns(UserWarning, match=r"a\.mp4.*damaged, frame 150.*synthaug data scan"):
            read = read_frames(path, [3, lost - 1, lost, lost + 1, 200, 299], info=own)
        wanted = [rows[place] for place in (3, lost - 1, lost - 1, lost + 1, 200, 299)]
        assert torch.equal(read, pictures[wanted])
    finding = examine(path)
    assert finding.info.num_frames == 299 and finding.notes == {"lost_pictures": 1}
    assert indices_at(finding.info, (stamps - stamps[0]).tolist()) == list(range(299))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(read_frames(path, [200], info=finding.info), pictures[[200]])
        read_frames(sound, [3, 150, 299])


def test_training_clips_of_a_damaged_film_are_read(tmp_path, caplog, capsys):
    times = np.arange(300) / 30
    (tmp_path / "set" / "wave").mkdir(parents=True)
    spoil(encode(tmp_path / "a.mp4", example_film(300), times), tmp_path / "set" / "wave" / "a.mp4", 150)
    folder = Folder(tmp_path / "set", cache=tmp_path / "cache")
    assert folder.notes["films_with_lost_pictures"] == 1
    (record,) = folder.records
    assert "`synthaug data scan`" in caplog.text
    assert main(["data", "scan", f"dataset.root={folder.root}", "dataset=folder", "--workers", "1"]) == 0
    assert "1 of its pictures cannot be decoded" in " ".join(capsys.readouterr().out.split())
    assert record.end == pytest.approx(10.0)
    clip = read_clip(record, offset=4.5, fps=30.0, num_frames=40, size=(24, 32))
    assert clip.video.shape == (40, 3, 24, 32) and clip.looped == 0


# ---- Pictures that start late ----


def film_and_table(root, file, *, late, rows, sound=12.0):
    root.mkdir()
    times = late + np.arange(300) / 30
    encode(root / file, example_film(300), times, options={"bf": "0"}, sound=sound)
    with (root / "clips.csv").open("w") as text:
        csv.writer(text).writerows([["file", "label", "start", "end"], *([file, *row] for row in rows)])
    return Folder(root, csv="clips.csv", cache=root / "cache")


@pytest.mark.parametrize("file", ["a.mp4", "a.mkv", "a.mov", "a.flv", "a.ts"])
def test_seconds_of_a_table_are_those_of_the_player(tmp_path, file):
    folder = film_and_table(tmp_path / "set", file, late=2.0, rows=[["wave", "5", "7"]])
    (record,) = folder.records
    info = probe(record.path)
    assert info.start == pytest.approx(2.0, abs=0.065)  # AAC begins 64 ms early in some containers
    assert record.key == f"{file}#5.00-7.00"
    # The player shows at second 5 the picture whose timestamp is 5 s after the start of the container.
    pictures, stamps = in_order(record.path)
    with av.open(str(record.path)) as container:
        begins = container.start_time / av.time_base
    nearest = int(np.abs(stamps - begins - 5.0).argmin())
    assert nearest == pytest.approx(90, abs=2)
    clip = read_clip(record, offset=0.0, fps=30.0, num_frames=1)
    assert torch.equal(clip.video, pictures[[nearest]])


@pytest.mark.parametrize("file", ["a.mp4", "a.avi", "a.mkv"])
def test_a_smaller_copy_without_sound_keeps_the_player_s_seconds(tmp_path, file):
    (tmp_path / "set").mkdir()
    pictures = example_film(100, height=96, width=128)
    times = 2.0 + np.arange(100) / 30
    made = encode(tmp_path / "sound.mkv", pictures, times, options={"bf": "0"}, sound=6.0)
    path = made.rename(tmp_path / "set" / file)  # readers go by the first bytes
    copies = Copies(tmp_path / "set", tmp_path / "small", 48)
    _, copy = scan([path], cache=tmp_path / "cache", copies=copies)
    assert not copy.fault and copy.info == probe(copies.path_of(path))
    assert probe(path).start == copy.info.start > 1.9
    assert filmed_size(copies.path_of(path), copy.info) == (96, 128)


def test_intervals_before_the_first_picture_are_said(tmp_path):
    rows = [["wave", "0.5", "1.5"], ["bow", "1", "4"], ["nod", "4", "15"], ["nod", "10", ""]]
    folder = film_and_table(tmp_path / "set", "a.mkv", late=2.0, rows=rows)
    info = probe(tmp_path / "set" / "a.mkv")
    assert "whose picture begins at 2.0" in folder.quarantine["clips.csv, line 2: a.mkv"]
    assert folder.notes["intervals_cut_at_the_start"] == 1 and folder.notes["intervals_cut_at_the_end"] == 1
    assert info.start == pytest.approx(2.0, abs=0.065)
    # The two last rows overlap and are one interval, up to the end; the other keeps what it has for itself.
    bow, nod = folder.records
    assert (bow.start, bow.end) == (0.0, pytest.approx(4 - info.start))
    assert (nod.start, nod.end) == (pytest.approx(4 - info.start), pytest.approx(10.0))


def test_a_film_that_starts_at_once_or_alone_starts_at_nought(tmp_path):
    at_once = encode(tmp_path / "a.mkv", example_film(30), np.arange(30) / 30, options={"bf": "0"}, sound=1.0)
    alone = encode(tmp_path / "b.mkv", example_film(30), 7 + np.arange(30) / 30, options={"bf": "0"})
    assert probe(at_once).start == probe(alone).start == 0.0
    assert not probe(at_once).times and not probe(alone).times


def test_a_codec_that_nobody_knows_is_said(tmp_path):
    path = encode(tmp_path / "a.mkv", example_film(10), np.arange(10) / 30)
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ"))
    with pytest.raises(VideoError, match=r"Expected .*a\.mkv.* of a codec that FFmpeg knows, got another. Convert it"):
        probe(path)


def test_a_film_before_its_sound_or_at_a_negative_time_starts_at_nought(tmp_path):
    """The picture is the first thing in it, so that players count from there."""
    times = np.arange(30) / 30 - 0.5
    for file in ("a.mkv", "a.mov"):
        path = encode(tmp_path / file, example_film(30), times, options={"bf": "0"}, sound=1.0)
        pictures, stamps = in_order(path)
        with av.open(str(path)) as container:
            begins = container.start_time / av.time_base
        info = probe(path)
        assert info.start == pytest.approx(max(0.0, stamps[0] - begins), abs=0.051)
        assert info.num_frames == len(pictures)
        assert torch.equal(read_frames(path, range(len(pictures))), pictures)
        assert indices_at(info, (stamps - stamps[0]).tolist()) == list(range(len(pictures)))


# ---- Ordinary film ----


def test_ordinary_film_has_no_notes_and_keeps_the_names_of_what_was_made_of_it(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", example_film(130), fps=30.0)
    monkeypatch.setattr(probing, "_scan_whole", lambda *_: pytest.fail("decoded whole"))
    info = probe(tmp_path / "a.mp4")
    assert (info.notes, info.start, info.pixel_aspect, info.times) == ({}, 0.0, 1.0, ())
    assert picture_notes(tmp_path / "a.mp4") == "" == picture_notes(tmp_path / "missing.mp4")
