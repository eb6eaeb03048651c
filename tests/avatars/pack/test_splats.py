import dataclasses

import numpy as np
import pytest

from synthaug.avatars.pack.splats import PlyError, Splats, read_contents, read_ply, read_positions, write_ply

SH0 = 0.5 / np.sqrt(np.pi)


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


def stored(splats, *, scales=None, opacities=None):
    """The columns of INRIA's layout, with scales or opacities of another convention if given."""
    values = {"xyz": splats.means, "f_dc_": (splats.colors - 0.5) / SH0, "rot_": splats.quats,
              "scale_": np.log(splats.scales) if scales is None else scales}  # fmt: skip
    columns = {
        name + str(k) if name != "xyz" else "xyz"[k]: table[:, k]
        for name, table in values.items()
        for k in range(table.shape[1])
    }
    logits = np.log(splats.opacities / (1 - splats.opacities))
    return columns | {"opacity": logits if opacities is None else opacities}


def written(path, columns):
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(columns['x'])}"]
    header += [*(f"property float {name}" for name in columns), "end_header", ""]
    path.write_bytes("\n".join(header).encode() + np.stack(list(columns.values()), 1).astype("<f4").tobytes())
    return path


def surface(count=2000, *, size=0.01):
    """Gaussians that cover a sphere of 1 m, about as far apart as they are wide."""
    rng = np.random.default_rng(0)
    means, quats = rng.normal(size=(count, 3)), rng.normal(size=(count, 4))
    return Splats(
        means=(means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=(size * rng.uniform(0.1, 2.0, (count, 3))).astype(np.float32),
        opacities=rng.beta(5, 1, count).clip(0.01, 0.99).astype(np.float32),
        colors=rng.uniform(0, 1, (count, 3)).astype(np.float32),
        sh=np.zeros((count, 0, 3), np.float32),
    )


def test_values_at_the_limits_are_what_they_tend_to(tmp_path, splats_of):
    columns = stored(splats_of(10))
    columns["opacity"][2:4] = [np.inf, -np.inf]
    columns["scale_1"][4] = -np.inf
    columns["x"][5], columns["f_dc_0"][6], columns["opacity"][7], columns["scale_0"][8] = np.nan, np.inf, np.nan, np.inf
    contents = read_contents(written(tmp_path / "x.ply", columns))
    assert np.flatnonzero(contents.kept).tolist() == [0, 1, 2, 3, 4, 9]
    assert contents.notes == ("4 Gaussians with values that are not finite were left out",)
    assert contents.splats.opacities[2:4].tolist() == [1.0, 0.0]
    assert 0 < contents.splats.scales[4, 1] < 1e-8
    assert np.isfinite(contents.splats.scales).all()


def test_two_scales_are_a_disc(tmp_path):
    splats = surface()
    columns = stored(splats)
    del columns["scale_2"]
    contents = read_contents(written(tmp_path / "x.ply", columns))
    np.testing.assert_allclose(contents.splats.scales[:, :2], splats.scales[:, :2], rtol=1e-5)
    np.testing.assert_allclose(contents.splats.scales[:, 2], 0.05 * splats.scales[:, :2].min(1), rtol=1e-5)
    assert contents.notes == ("discs of 2D Gaussian Splatting became flat Gaussians",)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("metre", [0.2, 1.0, 4.0])
def test_linear_scales_and_opacities_are_recognized(tmp_path, axes, metre):
    splats = surface()
    splats = dataclasses.replace(splats, means=metre * splats.means, scales=metre * splats.scales)
    right = read_contents(written(tmp_path / "a.ply", stored(splats, scales=np.log(splats.scales[:, :axes]))))
    columns = stored(splats, scales=splats.scales[:, :axes], opacities=splats.opacities)
    found = read_contents(written(tmp_path / "b.ply", columns))
    for name in Splats.__dataclass_fields__:
        np.testing.assert_allclose(getattr(found.splats, name), getattr(right.splats, name), rtol=1e-4, err_msg=name)
    assert [note for note in found.notes if "as such" in note] != [] == [n for n in right.notes if "as such" in n]


def test_colours_beside_linear_values_are_colours(tmp_path):
    splats = surface()
    columns = stored(splats, scales=splats.scales, opacities=splats.opacities)
    plain = read_contents(written(tmp_path / "a.ply", columns))
    colours = {f"f_dc_{k}": splats.colors[:, k] for k in range(3)}
    found = read_contents(written(tmp_path / "b.ply", columns | colours))
    np.testing.assert_allclose(found.splats.colors, plain.splats.colors, atol=1e-6)
    assert found.notes == (*plain.notes, "colours were stored as such and not as coefficients of a harmonic")
    # Among logits and logarithms the same numbers are coefficients.
    right = read_ply(written(tmp_path / "c.ply", stored(splats) | colours))
    np.testing.assert_allclose(right.colors, 0.5 + SH0 * splats.colors, atol=1e-5)
    with pytest.raises(PlyError, match="d.ply.*its f_dc lie between .* and 25.*, which are no coefficients"):
        read_ply(written(tmp_path / "d.ply", columns | {name: 255 * values for name, values in colours.items()}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metre": 100.0, "scales": 1.0}, "standard deviations or logarithms: scale the scan to metres"),
        ({"scales": 1000.0}, "neither as logarithms nor as standard deviations do they cover a surface"),
        ({"opacities": 0.3}, "its opacities lie between .* neither logits nor opacities from 0 to 1"),
        ({"opacities": 255.0}, "its opacities lie between .* and 25.*, which are neither"),
    ],
)
def test_units_that_cannot_be_told_are_refused(tmp_path, change, reason):
    splats = surface()
    metre = change.get("metre", 1.0)
    columns = stored(
        dataclasses.replace(splats, means=metre * splats.means),
        scales=change["scales"] * metre * splats.scales if "scales" in change else None,
        opacities=change["opacities"] * splats.opacities if "opacities" in change else None,
    )
    with pytest.raises(PlyError, match=f"x.ply.*{reason}.*Export it"):
        read_ply(written(tmp_path / "x.ply", columns))


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
