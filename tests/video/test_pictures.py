"""Film whose stored pixels are not yet the picture: mirrored, turned, oblong, or of HDR."""

import dataclasses
import gc
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from synthaug.datasets.folder import Folder
from synthaug.datasets.indexing.scanning import Copies, examine, scan
from synthaug.motions.pose.keypoints import film_format
from synthaug.structures import Record
from synthaug.testing.datasets import example_film
from synthaug.video import filmed_size, picture_notes, probe, read_frames, write_video
from synthaug.video.decoding import decode_frames, open_video
from synthaug.video.pictures import to_picture

ONE = 1 << 16
MATRICES = {
    "hflip": (-ONE, 0, 0, ONE),
    "vflip": (ONE, 0, 0, -ONE),
    "transpose": (0, ONE, ONE, 0),
    "transverse": (0, -ONE, -ONE, 0),
    "upright": (ONE, 0, 0, ONE),
    "clockwise": (0, ONE, -ONE, 0),
    "half": (-ONE, 0, 0, -ONE),
    "counterclockwise": (0, -ONE, ONE, 0),
}
"""[a b; c d] of a display matrix: column p and row q are shown at x = a p + c q, y = b p + d q."""
FILTERS = {
    "hflip": [("hflip", None)],
    "vflip": [("vflip", None)],
    "transpose": [("transpose", "cclock_flip")],
    "transverse": [("transpose", "clock_flip")],
    "upright": [],
    "clockwise": [("transpose", "clock")],
    "half": [("hflip", None), ("vflip", None)],
    "counterclockwise": [("transpose", "cclock")],
}
"""What FFmpeg's programs put behind the decoder for these matrices (`-autorotate`, fftools/ffmpeg_filter.c)."""


def encode(path, pictures, *, matrix=None, aspect=None, rate=30):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[2:], "yuv420p"
        stream.options = {"crf": "12"}
        if matrix is not None:
            a, b, c, d = matrix
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        for pixels in pictures.permute(0, 2, 3, 1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))))
        container.mux(stream.encode(None))
    return path


def filtered(path, steps):
    """Every frame through FFmpeg's own filters."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        ends = [graph.add_buffer(template=stream), *(graph.add(*(part for part in step if part)) for step in steps)]
        ends.append(graph.add("buffersink"))
        graph.link_nodes(*ends).configure()
        for frame in container.decode(stream):
            graph.vpush(frame)
            frames.append(graph.vpull().to_ndarray(format="rgb24"))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


# ---- Mirrors ----


@pytest.mark.parametrize("file", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("name", MATRICES)
def test_every_display_matrix_is_obeyed_as_ffmpeg_does(tmp_path, name, file):
    path = encode(tmp_path / file, example_film(20), matrix=MATRICES[name])
    info, truth = probe(path), filtered(path, FILTERS[name])
    assert (info.height, info.width) == tuple(truth.shape[2:])
    for reader in {"pyav", info.reader}:
        read = read_frames(path, range(20), info=dataclasses.replace(info, reader=reader))
        assert torch.equal(read, truth)
    mirrored = name in ("hflip", "vflip", "transpose", "transverse")
    assert info.notes == ({"mirrored_pictures": 1} if mirrored else {})
    assert picture_notes(path) == ("mirrored_pictures=1" if mirrored else "")
    assert examine(path).info == info


def test_left_stays_left(tmp_path):
    """A bright left half that is stored mirrored, as front cameras store it."""
    picture = torch.zeros(4, 3, 48, 64, dtype=torch.uint8)
    picture[..., 32:] = 255
    shown = read_frames(encode(tmp_path / "a.mp4", picture, matrix=MATRICES["hflip"]), [0])[0].float()
    assert shown[:, :, :30].mean() > 250 and shown[:, :, 34:].mean() < 5


# ---- Pixels that are not square ----

OBLONG = {
    "PAL, wide": (576, 720, Fraction(64, 45), 1024),
    "PAL": (576, 720, Fraction(16, 15), 768),
    "HDV": (1080, 1440, Fraction(4, 3), 1920),
    "NTSC": (480, 720, Fraction(8, 9), 640),
    "NTSC, wide": (480, 720, Fraction(32, 27), 853),
    "half PAL, wide": (576, 352, Fraction(32, 11), 1024),
}


def disc(height, width, aspect, *, frames=3):
    """A disc of 0.3 of the height around the middle, as pixels of this shape store it."""
    y, x = np.mgrid[:height, :width]
    far = np.hypot((y + 0.5 - height / 2), (x + 0.5 - width / 2) * float(aspect)) / height
    one = np.clip((0.3 - far) * height / 2 + 0.5, 0, 1)
    return torch.from_numpy(np.round(255 * one).astype(np.uint8)).expand(frames, 3, height, width).contiguous()


def spreads(picture):
    """Standard deviations of a bright shape, across and down."""
    weight = picture.double().mean(0).numpy()
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    centre = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    return tuple(
        math.sqrt((weight * (axis - at) ** 2).sum() / weight.sum()) for axis, at in zip((x, y), centre, strict=True)
    )


@pytest.mark.parametrize("name", OBLONG)
def test_a_disc_is_a_disc(tmp_path, name):
    height, width, aspect, wide = OBLONG[name]
    path = encode(tmp_path / "a.mp4", disc(height, width, aspect), aspect=aspect)
    info = probe(path)
    assert (info.height, info.width) == (height, wide) and info.notes == {"oblong_pixels": 1}
    assert filmed_size(path, info) == (height, width)
    for size in (None, (224, 224), (112, 171), (270, 480)):
        for reader in {"pyav", info.reader}:
            picture = read_frames(path, [1], info=dataclasses.replace(info, reader=reader), size=size)[0]
            across, down = spreads(picture)
            # The radius is 0.3 of the height, and a disc's spread half its radius; a pixel of rounding is 1 in 853.
            assert across == pytest.approx(down, rel=0.01)
    assert read_frames(path, [0]).shape == (1, 3, height, wide)


def test_oblong_film_that_lies_on_its_side_stands_up_round(tmp_path):
    aspect = Fraction(4, 3)
    lying = disc(240, 360, aspect)
    path = encode(tmp_path / "a.mp4", lying, matrix=MATRICES["clockwise"], aspect=aspect)
    info = probe(path)
    across, down = spreads(read_frames(path, [1])[0])
    assert across == pytest.approx(down, rel=0.01)
    assert info.height / info.width == pytest.approx(360 * 4 / 3 / 240, rel=0.01)


@pytest.mark.parametrize("aspect", [Fraction(4091, 4090), Fraction(1, 1000), Fraction(1, 1)])
def test_shapes_that_are_square_or_slips_change_no_pixel(tmp_path, aspect):
    path = encode(tmp_path / "a.mp4", example_film(8), aspect=aspect)
    assert probe(path).notes == {}
    assert torch.equal(read_frames(path, range(8)), filtered(path, []))


def test_smaller_copies_of_odd_film_are_its_picture(tmp_path):
    """Upright, round, and of the film's own light; keypoints still refer to the pixels that detectors saw."""
    (tmp_path / "set" / "wave").mkdir(parents=True)
    films = {
        "mirror.mp4": lambda path: encode(path, example_film(12, height=96, width=128), matrix=MATRICES["hflip"]),
        "oblong.mp4": lambda path: encode(path, disc(240, 320, Fraction(4, 3), frames=12), aspect=Fraction(4, 3)),
        "hdr.mp4": lambda path: hdr_card(path, 0.5, 18),
    }
    for name, make in films.items():
        make(tmp_path / "set" / "wave" / name)
    copies = Copies(tmp_path / "set", tmp_path / "small", 48)
    originals = sorted((tmp_path / "set" / "wave").iterdir())
    scan(originals, cache=tmp_path / "cache", copies=copies)
    for film in originals:
        copy = copies.path_of(film)
        assert not copy.is_symlink() and min(probe(copy).height, probe(copy).width) == 48
        assert probe(copy).notes == {}
        size = probe(copy).height, probe(copy).width
        off = (read_frames(copy, [4]).float() - read_frames(film, [4], size=size).float()).abs().mean()
        # Compression and halved colours cost ordinary film 4.3 here; the mirror image would be 41 away.
        assert off < 6, film.name
        assert filmed_size(copy, probe(copy)) == filmed_size(film, probe(film))
        record = Record("a", copy, 0, "a", "", 0.0, 0.4)
        own = film_format(dataclasses.replace(record, path=film), fps=None, size=None)
        # Even sides change the shape of a copy a little.
        found = film_format(record, fps=None, size=None)
        assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(own), rel=0.01)


def test_keypoints_are_measured_in_stored_pixels(tmp_path):
    path = encode(tmp_path / "a.mp4", disc(240, 320, Fraction(4, 3)), aspect=Fraction(4, 3))
    film = film_format(Record("a", path, 0, "a", "", 0.0, 0.1), fps=None, size=None)
    assert (film.height, film.width, film.stretch) == (240, 320, pytest.approx(427 / 320))


# ---- HDR ----


def hdr_card(path, signal, transfer, *, size=(96, 128), frames=12):
    """A grey card of 10 bit in BT.2020, as phones film it: HLG (18) or PQ (16)."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=30)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p10le"
        stream.options = {"x265-params": "log-level=none"}
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, transfer, 9, 1
        for _ in range(frames):
            frame = av.VideoFrame(width, height, "yuv420p10le")
            for plane, level in zip(frame.planes, (round(64 + 876 * signal), 512, 512), strict=True):
                plane.update(np.full((plane.height, plane.line_size // 2), level, np.uint16).tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def hlg_light(signal):
    """Candela per square metre of a grey HLG signal on the nominal display; ITU-R BT.2100, table 5."""
    a, b, c = 0.17883277, 1 - 4 * 0.17883277, 0.5 - 0.17883277 * math.log(4 * 0.17883277)
    scene = signal**2 / 3 if signal <= 0.5 else (math.exp((signal - c) / a) + b) / 12
    return 1000 * scene**1.2


def pq_light(signal):
    """Candela per square metre of a PQ signal; SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1 / m2)
    return 10_000 * (max(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def srgb(light):
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("transfer", "light_of"), [(18, hlg_light), (16, pq_light)], ids=["HLG", "PQ"])
def test_hdr_film_has_the_light_that_its_standard_says(tmp_path, transfer, light_of):
    shown = []
    for signal in (0.1, 0.25, 0.4, 0.5, 0.58, 0.65, 0.75, 0.9, 1.0):
        path = hdr_card(tmp_path / f"{signal}.mp4", signal, transfer)
        picture = read_frames(path, [3])[0].float()
        value = float(picture.mean())
        assert float(picture.amax() - picture.amin()) <= 2, "grey stays grey"
        # Paper white is 203 candela per square metre (BT.2408); darker things keep their light.
        light = light_of(signal) / 203
        if light < 0.8:
            # The signal has steps of 1 in 876, and the decoder's conversion to 16 bit loses 1 in 256 of it.
            low, high = (srgb(light_of(signal * share) / 203) for share in (0.99, 1.003))
            assert low - 1 <= value <= high + 1
        shown.append(value)
    assert shown == sorted(shown) and shown[-1] == 255


@pytest.mark.parametrize(("transfer", "signal"), [(18, 0.75), (16, 0.58)], ids=["HLG", "PQ"])
def test_paper_in_hdr_film_is_near_display_white_and_the_film_says_so(tmp_path, transfer, signal):
    (tmp_path / "set" / "wave").mkdir(parents=True)
    path = hdr_card(tmp_path / "set" / "wave" / "a.mp4", signal, transfer)
    picture = read_frames(path, [0, 5]).float()
    assert 240 <= picture.mean() <= 252
    assert probe(path).notes == {"hdr_light": 1}
    assert Folder(tmp_path / "set", cache=tmp_path / "cache").notes["films_with_hdr_light"] == 1
    finding = examine(path)
    assert finding.notes == {"hdr_light": 1} and finding.info == probe(path)


def test_film_of_ten_bit_that_is_not_hdr_is_what_it_was(tmp_path):
    path = hdr_card(tmp_path / "a.mp4", 0.5, 1)
    with av.open(str(path)) as container:
        plain = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(read_frames(path, [0])[0].permute(1, 2, 0).numpy(), plain)
    assert probe(path).notes == {}


def test_frames_are_freed_as_soon_as_they_are_read(tmp_path: Path) -> None:
    """Not only by the garbage collector: freeing what a frame keeps alive, threads too, hangs in forked processes."""
    path = tmp_path / "film.mp4"
    write_video(path, example_film(12), fps=12.0)
    gc.collect()
    gc.disable()
    try:
        with open_video(path) as (container, stream):
            for frame in decode_frames(container, stream):
                to_picture(frame)
                del frame
        alive = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
        assert len(alive) < 4  # the decoder's own
    finally:
        gc.enable()


def test_a_film_whose_size_changes_on_the_way_is_read_in_its_first_size(tmp_path):
    """As players show it; recordings of streams do so. Transport streams may be laid end to end."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.integers(0, 255, (1, 3, 3, 4), np.uint8)).float()
    content = b""
    for part, (height, width) in enumerate([(48, 64), (96, 128)]):
        picture = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0].byte().permute(1, 2, 0)
        with av.open(str(tmp_path / "part.ts"), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
            for number in range(8):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.numpy()), format="rgb24")
                frame.pts, frame.time_base = 8 * part + number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        content += (tmp_path / "part.ts").read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(content)
    info = probe(path)
    assert (info.height, info.width) == (48, 64)
    assert info.num_frames >= 15, "FFmpeg loses at most the picture at the seam"
    video = read_frames(path, range(info.num_frames)).float()
    assert (video[:7] - video[-7:]).abs().mean() < 3, "the same picture in both sizes"
    assert examine(path).fault == ""
