import dataclasses

import numpy as np
import pytest

from synthaug.avatars.pack.splats import PlyError, Splats, read_ply, read_positions, write_ply


@pytest.mark.parametrize("coefficients", [0, 3, 8, 15])
def test_splats_written_and_read_are_the_same(tmp_path, coefficients, splats_of):
    splats = splats_of(50, coefficients=coefficients)
    write_ply(tmp_path / "x.ply", splats)
    back = read_ply(tmp_path / "x.ply")
    for name in Splats.__dataclass_fields__:
        np.testing.assert_allclose(getattr(back, name), getattr(splats, name), rtol=2e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(read_positions(tmp_path / "x.ply"), splats.means)


def test_harmonics_are_stored_channel_by_channel(tmp_path, splats_of):
    """INRIA's order: all coefficients of red, then of green, then of blue."""
    splats = splats_of(1, coefficients=3)
    write_ply(tmp_path / "x.ply", splats)
    content = (tmp_path / "x.ply").read_bytes()
    values = np.frombuffer(content[content.index(b"end_header\n") + 11 :], "<f4")
    np.testing.assert_allclose(values[9:18], splats.sh[0].T.ravel())


def test_full_opacity_survives_as_nearly_full(tmp_path, splats_of):
    splats = dataclasses.replace(splats_of(3), opacities=np.ones(3, np.float32))
    write_ply(tmp_path / "x.ply", splats)
    np.testing.assert_allclose(read_ply(tmp_path / "x.ply").opacities, 0.9999, atol=1e-5)


def test_gaussians_that_are_no_numbers_are_left_out(tmp_path, splats_of):
    splats = splats_of(10)
    splats.means[3, 1], splats.colors[5, 0] = np.nan, np.inf
    write_ply(tmp_path / "x.ply", splats)
    assert len(read_ply(tmp_path / "x.ply").means) == 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: b"", "begins with"),
        (lambda c: b"\x1f\x8b" + c, "SPZ"),
        (lambda c: b"PK" + c, "SOG"),
        (lambda c: c[:-1], "was it cut"),
        (lambda c: c.replace(b"binary_little_endian", b"ascii"), "instead of binary_little_endian"),
        (lambda c: c.replace(b"element vertex 10", b"element vertex 999999999"), "1 to 4000000"),
        (lambda c: c.replace(b"element vertex 10", b"element vertex -1"), "1 to 4000000"),
        (lambda c: c.replace(b"element vertex 10", b"element chunk 1\nelement vertex 10"), "SuperSplat"),
        (lambda c: c.replace(b"property float rot_3", b"property float rot_9"), "lacks rot_3"),
        (lambda c: c.replace(b"property float nx", b"property list uchar int nx"), "not a property of one number"),
        (lambda c: c.replace(b"property float nx", b"property float x"), "with different names"),
        (lambda c: c.replace(b"property float nx", b"property float f_rest_0"), "1 f_rest"),
        (lambda c: c.replace(b"end_header", b"end_heather"), "does not end"),
    ],
)
def test_what_is_no_splat_is_refused_in_words(tmp_path, change, reason, splats_of):
    write_ply(tmp_path / "x.ply", splats_of(10))
    (tmp_path / "x.ply").write_bytes(change((tmp_path / "x.ply").read_bytes()))
    with pytest.raises(PlyError, match=reason):
        read_ply(tmp_path / "x.ply")


def test_a_thousand_mutated_headers_are_read_or_refused(tmp_path, splats_of):
    write_ply(tmp_path / "x.ply", splats_of(10))
    content, rng, refused = (tmp_path / "x.ply").read_bytes(), np.random.default_rng(0), 0
    end = content.index(b"end_header") + 11
    for _ in range(1000):
        mutant = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(end))
            if rng.integers(2):
                mutant[place] = int(rng.integers(256))
            else:
                mutant[place : place + int(rng.integers(0, 9))] = rng.choice([b"9", b"0", b"\n", b" ", b"-", b"list "])
        (tmp_path / "mutant.ply").write_bytes(mutant)
        try:
            assert len(read_ply(tmp_path / "mutant.ply").means) < 10**6
        except PlyError:
            refused += 1
    assert refused > 500
