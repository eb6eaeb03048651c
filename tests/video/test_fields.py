"""Film that is coded field by field, as broadcasters and some cameras do: two packets make one picture."""

from fractions import Fraction

import av
import numpy as np
import pytest

from synthaug.datasets.indexing.scanning import examine
from synthaug.video import indices_at, probe, read_frames

SIDE = 32


class Bits:
    """Bits of a stream, as ITU-T H.264 writes them."""

    def __init__(self):
        self._bits = []

    def u(self, value, count):
        self._bits += [value >> place & 1 for place in range(count - 1, -1, -1)]
        return self

    def ue(self, *values):
        for value in values:
            self.u(value + 1, 2 * (value + 1).bit_length() - 1)
        return self

    def fill(self):
        return self.u(0, -len(self._bits) % 8)

    def raw(self, content):
        self._bits += np.unpackbits(np.frombuffer(content, np.uint8)).tolist()
        return self

    def end(self):
        self.u(1, 1).fill()
        return np.packbits(self._bits).tobytes()


def unit(kind, content):
    """A NAL unit, whose zeros are escaped (7.4.1)."""
    escaped, zeros = bytearray(), 0
    for byte in content:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes([3 << 5 | kind]) + bytes(escaped)


def code_fields(greys):
    """Packets of pictures of these grey values: two fields each, every macroblock as it is (I_PCM)."""
    # Main profile; frame numbers of four bits, output in the order of decoding, fields allowed.
    sequence = Bits().u(77, 8).u(0, 8).u(30, 8).ue(0, 0, 2, 1).u(0, 1).ue(1, 0).u(0b00100, 5).end()
    picture = Bits().ue(0, 0).u(0, 2).ue(0, 0, 0).u(0, 3).ue(0, 0, 0).u(0, 3).end()
    packets = []
    for number, grey in enumerate(greys):
        for bottom in (0, 1):
            first = number == bottom == 0
            field = Bits().ue(0, 7, 0).u(number % 16, 4).u(1, 1).u(bottom, 1)
            field = field.ue(0).u(0, 2) if first else field.u(0, 1)
            field.ue(0)
            for _ in range(SIDE // 16):
                field.ue(25).fill().raw(bytes([grey]) * 256 + bytes([128]) * 128)
            heads = unit(7, sequence) + unit(8, picture) if first else b""
            packets.append(heads + unit(5 if first else 1, field.end()))
    return packets


@pytest.mark.parametrize("file", ["a.mkv", "a.ts"])
@pytest.mark.parametrize("count", [40, 120])
def test_pictures_of_two_fields_are_read_at_their_own_times(tmp_path, file, count):
    greys = [40 + 180 * k // count for k in range(count)]
    packets = code_fields(greys)
    (tmp_path / "a.h264").write_bytes(b"".join(packets))
    with av.open(str(tmp_path / "a.h264")) as source, av.open(str(tmp_path / file), "w") as film:
        stream = film.add_stream_from_template(source.streams.video[0])
        for place, content in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 50), place == 0
            packet.pts = packet.dts = place
            film.mux(packet)
    info = probe(tmp_path / file)
    assert (info.num_frames, info.notes) == (count, {}) and info.fps == pytest.approx(25.0, rel=1e-3)
    assert indices_at(info, [k / 25 for k in range(count)]) == list(range(count))
    shown = read_frames(tmp_path / file, range(count)).float().mean(dim=(1, 2, 3))
    levels = [(grey - 16) * 255 / 219 for grey in greys]  # of limited range
    assert shown.tolist() == pytest.approx(levels, abs=2)
    assert examine(tmp_path / file).info.num_frames == count
