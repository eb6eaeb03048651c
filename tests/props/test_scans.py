"""A user's scanned thing: a .ply and a small YAML; what is wrong with either is told before memory is spent."""

import numpy as np
import pytest
import torch

from synthaug.avatars.pack.splats import PlyError, Splats, write_ply
from synthaug.body.skeleton import mean_skeleton
from synthaug.motions.actions import perform
from synthaug.motions.procedural.style import sample_style
from synthaug.props import Performer, Stage
from synthaug.props.parts.frames import find_frames
from synthaug.props.scans import MAX_GAUSSIANS, Scan
from synthaug.props.things import Things


def write_mug(folder, text="", *, size=4.0):
    """A tall block of 4 units, its grip half-way up on the side at z = -1."""
    rng = np.random.default_rng(0)
    means = rng.uniform(-1, 1, (3000, 3)).astype(np.float32) * np.float32([1, size / 2, 1])
    quats = np.tile(np.float32([1, 0, 0, 0]), (3000, 1))
    splats = Splats(means, quats, np.full((3000, 3), 0.05, np.float32), np.full(3000, 0.9, np.float32),
                    np.tile(np.float32([0.8, 0.2, 0.1]), (3000, 1)), np.zeros((3000, 0, 3), np.float32))  # fmt: skip
    write_ply(folder / "mug.ply", splats)
    path = folder / "mug.yaml"
    path.write_text(text or "file: mug.ply\nmetres: 0.12\ngrip: [0.0, 0.0, -1.0]\ntilt_deg: 50\n")
    return path


def test_a_scan_is_as_long_as_it_says_and_its_grip_is_in_the_palm(tmp_path):
    path = write_mug(tmp_path)
    motion = perform("drink water", sample_style(np.random.default_rng(0), "studio"), fps=5.0, seconds=4.0)
    pool = Things(own={"mug": str(path)}, table={"drink": "mug"}, seats=False).assign(("drink water",))
    values = pool.sample(0, [motion], np.random.default_rng(0))
    performer = Performer(motion, mean_skeleton(), torch.linspace(0, 1, motion.num_frames).double())
    camera = torch.eye(4)
    camera[2, 3] = 3.0
    from synthaug.structures import Camera

    K = torch.tensor([[100.0, 0, 32], [0, 100, 32], [0, 0, 1]])
    frames = motion.num_frames
    view = Camera(camera.expand(frames, 4, 4).clone(), K.expand(frames, 3, 3).clone(), 64, 64)
    [mug] = pool.place(values, [performer], Stage(view, None))
    extent = mug.gaussians.means.amax(dim=0) - mug.gaussians.means.amin(dim=0)
    assert abs(float(extent.max()) - 0.12) < 0.03, "middles of merged Gaussians lie further in"
    [hand] = mug.hands
    palm = find_frames(motion, mean_skeleton()).hands[hand].palm
    # The grip of the file, (0, 0, -1) of 4 units, is 3 cm from the middle of 12 cm.
    T = mug.gaussians.T_world_rest[:, 0].double()
    grip = T[:, :3, :3] @ torch.tensor([0.0, 0.0, -0.03], dtype=torch.float64) + T[:, :3, 3]
    assert float((grip - palm).norm(dim=-1).max()) < 0.035


def test_a_scan_is_thinned_out_for_small_pictures(tmp_path):
    scan = Scan.read(write_mug(tmp_path))
    assert len(scan.build({}, spacing=0.05).means) < len(scan.build({}, spacing=0.001).means) == 3000


@pytest.mark.parametrize("count", [0, 10_000_000, MAX_GAUSSIANS + 1])
def test_none_or_ten_million_gaussians_are_refused_by_the_header(tmp_path, count):
    path = write_mug(tmp_path)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\nproperty float x\nend_header\n"
    (tmp_path / "mug.ply").write_bytes(header.encode())
    with pytest.raises(ValueError, match=f"to have 1 to 1,000,000 Gaussians, got {count:,}. Crop it"):
        Things(own={"mug": str(path)}).kinds  # noqa: B018


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metres: 0.1\n", "to have file, metres and grip"),
        ("file: mug.ply\nmetres: 0.1\ngrip: [0, 0, 0]\ncolour: red\n", "to have file, metres and grip"),
        ("file: mug.ply\nmetres: 12\ngrip: [0, 0, 0]\n", "Expected metres in .* to be from 0.005 to 3.0, got 12"),
        ("file: mug.ply\nmetres: 0.1\ngrip: middle\n", "Expected grip in .* to be three numbers, got 'middle'"),
        ("file: mug.ply\nmetres: 0.1\ngrip: [0, 0, 0]\nhand: foot\n", "Expected hand in .* got 'foot'"),
    ],
)
def test_a_wrong_yaml_is_told(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        Scan.read(write_mug(tmp_path, text))


def test_missing_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="Give synth.props.own the path of a thing's YAML"):
        Scan.read(tmp_path / "none.yaml")
    path = write_mug(tmp_path)
    (tmp_path / "mug.ply").write_text("solid")
    with pytest.raises(PlyError, match="Expected .* to be a .ply with a number of vertices"):
        Scan.read(path)
    (tmp_path / "mug.ply").unlink()
    with pytest.raises(FileNotFoundError, match="No such file"):
        Scan.read(path)
