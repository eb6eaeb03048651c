"""Small valid files of every format that the package reads, and what reads them, for `benchmarks.mutations`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from av.video.stream import VideoStream
from safetensors.torch import save_file
from torch import Tensor

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.importers.files.checkpoints import read_tensors
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.format import Pack, read_pack, write_pack
from synthaug.avatars.pack.papers import apply_papers
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.avatars.pack.splats import Splats, read_contents, write_ply
from synthaug.backgrounds.images import Images
from synthaug.datasets.indexing.index import VideoIndex
from synthaug.datasets.indexing.lists import read_list
from synthaug.datasets.indexing.scanning import examine
from synthaug.datasets.indexing.tables import read_table
from synthaug.exports.parts.clips import read_row
from synthaug.files import read_reference, write_reference
from synthaug.motions.bvh import BvhMotion
from synthaug.motions.coco_wholebody import parse_wholebody
from synthaug.motions.files.paramfiles import read_frames as read_params
from synthaug.motions.files.recordings import read_json, read_text, reading
from synthaug.motions.ntu_skeleton import parse_skeleton
from synthaug.motions.sidecar import Sidecar
from synthaug.motions.smplx_npz import SmplxNpz
from synthaug.motions.toyota_skeleton import parse_toyota
from synthaug.recognizers.weights import read_state
from synthaug.reports.reading import read_sweep
from synthaug.runs.withdrawals import read_recipes
from synthaug.structures import Actor, Motion, Recipe, Record, Reference, Rendering
from synthaug.synthesis.caching import RenderCache
from synthaug.synthesis.exclusions import read_exclusions
from synthaug.testing.cameras import example_camera
from synthaug.video import VideoError, probe, probe_pictures, read_frames, write_video


@dataclass(frozen=True)
class Sample:
    """A format.

    Attributes:
        name: Name of its file; one with a folder has it made.
        make: Writes a valid file.
        read: What is put to the test; it raises a ValueError or OSError in words, or returns.
        archive: Whether the file is a zip, so that its members are changed too.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    archive: bool = False

    def write(self, folder: Path) -> Path:
        """Write the valid file into a folder, and read it."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.make(path)
        self.read(path)
        return path


def _record(path: Path) -> Record:
    return Record("film", path, 0, "somebody", "", 0.0, 60.0)


def _motion(frames: int = 12) -> Motion:
    rng = np.random.default_rng(0)
    pose = torch.from_numpy(rng.normal(0, 0.1, (frames, 55, 3)).astype(np.float32))
    return Motion.from_pose(pose, torch.zeros(frames, 3) + torch.tensor([0.0, 0.95, 0.0]), fps=10.0)


def _make_pack(path: Path) -> None:
    person = AnnyPerson("studio", 7, gaussians=2500)
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    about = About("anna", Provenance("anny"))
    write_pack(path, Pack(about, AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,)))


def _make_ply(path: Path) -> None:
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(200, 4))
    write_ply(path, Splats(
        means=rng.normal(size=(200, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=rng.uniform(0.01, 0.05, (200, 3)).astype(np.float32),
        opacities=rng.uniform(0.1, 0.99, 200).astype(np.float32),
        colors=rng.uniform(0, 1, (200, 3)).astype(np.float32),
        sh=np.zeros((200, 0, 3), np.float32),
    ))  # fmt: skip


def _make_smplx(path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.2, (20, 165)).astype(np.float32)
    np.savez(
        path, poses=poses, trans=np.zeros((20, 3), np.float32), betas=np.zeros(10, np.float32),
        mocap_frame_rate=np.float32(30), gender=np.array("neutral"),
    )  # fmt: skip


_RIG = {
    "Hips": ("", (0, 95, 0)), "Spine": ("Hips", (0, 10, 0)), "Spine1": ("Spine", (0, 14, 0)),
    "Spine2": ("Spine1", (0, 14, 0)), "Neck": ("Spine2", (0, 16, 0)), "Head": ("Neck", (0, 10, 0)),
    **{f"{side}{name}": (f"{side}{parent}" if parent in ("UpLeg", "Leg", "Shoulder", "Arm", "ForeArm") else parent,
                         (sign * x, y, 0))
       for side, sign in (("Left", 1), ("Right", -1))
       for name, parent, x, y in (
           ("UpLeg", "Hips", 9, -5), ("Leg", "UpLeg", 0, -42), ("Foot", "Leg", 0, -42), ("Shoulder", "Spine2", 4, 12),
           ("Arm", "Shoulder", 13, 0), ("ForeArm", "Arm", 27, 0), ("Hand", "ForeArm", 25, 0))},
}  # fmt: skip
"""Joints of a capture in centimetres: the parent and the offset from it."""


def _make_bvh(path: Path) -> None:
    def describe(joint: str, depth: int) -> str:
        children = [name for name, (parent, _) in _RIG.items() if parent == joint]
        kind = "ROOT" if depth == 0 else "JOINT"
        channels = "6 Xposition Yposition Zposition" if depth == 0 else "3"
        inner = "".join(describe(child, depth + 1) for child in children) or "End Site\n{\nOFFSET 0 -8 0\n}\n"
        x, y, z = _RIG[joint][1]
        return f"{kind} {joint}\n{{\nOFFSET {x} {y} {z}\nCHANNELS {channels} Zrotation Xrotation Yrotation\n{inner}}}\n"

    rng = np.random.default_rng(0)
    rows = rng.normal(0, 8, (10, 3 * len(_RIG)))
    lines = [" ".join(["0", "95", "0", *(f"{value:.3f}" for value in row)]) for row in rows]
    path.write_text(
        f"HIERARCHY\n{describe('Hips', 0)}MOTION\nFrames: 10\nFrame Time: 0.0333\n" + "\n".join(lines) + "\n"
    )


def _make_ntu(path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["3"]
    for _ in range(3):
        lines += ["1", "72057594037931101 0 1 0 1 0 0 -0.1 0.2 2", "25"]
        lines += [" ".join(f"{value:.4f}" for value in [*rng.normal(0, 1, 11)]) + " 2" for _ in range(25)]
    path.write_text("\n".join(lines) + "\n")


def _make_toyota(path: Path) -> None:
    rng = np.random.default_rng(0)
    person = {"pose2d": rng.uniform(0, 400, 26).round(2).tolist(), "pose3d": rng.normal(0, 1, 39).round(3).tolist()}
    path.write_text(json.dumps({"K": 1, "njts": 13, "frames": [[person], [], [person, person]]}))


def _make_keypoints(path: Path) -> None:
    rng = np.random.default_rng(0)
    person = {"keypoints": rng.uniform(0, 400, (133, 2)).round(1).tolist(), "keypoint_scores": [0.9] * 133}
    frames = [{"frame_id": number, "instances": [person]} for number in range(1, 4)]
    path.write_text(json.dumps({"meta_info": {}, "instance_info": frames}))


def _make_params(path: Path) -> None:
    zeros = {"root_pose": [0.0] * 3, "body_pose": [[0.0] * 3] * 21, "jaw_pose": [0.0] * 3, "leye_pose": [0.0] * 3,
             "reye_pose": [0.0] * 3, "lhand_pose": [[0.0] * 3] * 15, "rhand_pose": [[0.0] * 3] * 15,
             "expr": [0.0] * 10, "trans": [0.0, 0.0, 3.0], "betas": [0.0] * 10, "focal": [500.0, 500.0],
             "princpt": [320.0, 240.0], "img_size_wh": [640, 480]}  # fmt: skip
    path.write_text(json.dumps(zeros))


def _make_film(path: Path, *, codec: str = "libx264") -> None:
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.integers(0, 255, (24, 3, 6, 8), np.uint8))
    video = small.repeat_interleave(8, 2).repeat_interleave(8, 3)
    if codec == "libx264":
        write_video(path, video, fps=12.0)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=12)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in video.permute(0, 2, 3, 1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _read_film(path: Path) -> None:
    """Probe, read some frames, and read the whole film as a scan does."""
    try:
        info = probe(path)
    except VideoError:
        examine(path)
        raise
    read_frames(path, [0, info.num_frames // 2, info.num_frames - 1])
    examine(path)


def _make_reference(path: Path) -> None:
    write_reference(path, Reference(_motion(), example_camera(frames=12), notes={"residual": 0.02}))


def _make_cached(path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 255, (2, 3, 8, 8), generator=generator, dtype=torch.uint8)
    RenderCache(path.parent).write(path.stem, Rendering(rgb, rgb[:, :1], depth=torch.ones(2, 1, 8, 8)))
    path.write_bytes((path.parent / path.stem[:2] / path.name).read_bytes())


def _read_cached(path: Path) -> None:
    """A copy in its place, since a damaged entry is removed."""
    place = path.parent / path.stem[:2] / path.name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(path.read_bytes())
    RenderCache(path.parent).read(path.stem)


def _make_recipe(path: Path) -> None:
    actor = Actor("film/1", "studio/3", variation={"tempo": 1.1}, mirrored=True)
    path.write_text(
        Recipe(1, (actor,), {"azimuth": 20.0}, {"room": 3}, {}, 0.5, 8.0, 8, (64, 64), {"seed": 0}).to_json()
    )


def _make_state(path: Path) -> None:
    state: dict[str, Tensor] = {"conv.weight": torch.ones(4, 3, 3, 3), "conv.bias": torch.zeros(4)}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state} if path.suffix == ".ckpt" else {"network": state}, path)


def _make_picture(path: Path) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (12, 16, 3), np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, cv2.resize(small, (160, 120)))[1].tobytes())


def _read_picture(path: Path) -> None:
    images = Images(path.parent)
    images.scene(images.sample(np.random.default_rng(0)), example_camera(frames=1))


def _make_series(path: Path) -> None:
    """Four pictures, of which the first is changed."""
    for number in range(4):
        _make_picture(path.with_name(f"{number:04d}.png"))


def _read_series(path: Path) -> None:
    info = probe_pictures(path.parent, fps=10)
    read_frames(path.parent, range(info.num_frames), info=info)


def _make_table(path: Path) -> None:
    rows = [f"film{number}.mp4,wave,person{number % 3},cam{number % 2},{number}.5,{number + 2}" for number in range(12)]
    path.write_text("\n".join(["file,label,subject,camera,start,end", *rows]) + "\n")


def _make_index(path: Path) -> None:
    film = path.parent / "a.mp4"
    _make_film(film)
    VideoIndex(path.parent).probe_all([film], title="Probing")


def _make_papers(path: Path) -> None:
    licence = {"name": "CC-BY-4.0", "terms": "Name Anna.", "source": "the contract"}
    path.write_text(json.dumps({"subject": "s1", "height": 1.71, "attributes": {"sex": "f"}, "licence": licence}))


def _read_papers(path: Path) -> None:
    apply_papers(About("anna", Provenance("anny")), path)


def _make_exclusions(path: Path) -> None:
    path.write_text('{"motion": "wave/anna-2", "note": "no wave"}\n' + json.dumps({"clip": "0b8ad6ec" * 4}) + "\n")


def _make_row(path: Path) -> None:
    path.write_text(
        json.dumps(
            {
                "key": "0b8ad6ec" * 4,
                "class_name": "wave",
                "label": 0,
                "fps": 8.0,
                "frames": 8,
                "recipe": "{}",
                "sources": ["a"],
                "identities": ["studio-000001"],
                "subjects": ["s0"],
                "height": 64,
                "width": 64,
            }
        )
    )


def _make_run(path: Path) -> None:
    path.write_text(json.dumps({
        "mean_class_accuracy": 0.5, "top1": 0.5, "clips": 12, "classes": ["a", "b"], "interval": [0.3, 0.7],
        "per_class": {"a": 0.4, "b": 0.6}, "overrides": ["arm=classic", "seed=0"], "chance": 0.5,
    }))  # fmt: skip


def _read_run(path: Path) -> None:
    (path.parent / "config.yaml").write_text("seed: 0\narm: classic\n")
    read_sweep(path.parent.parent)


def _parsing(parse: Callable[[Path], object]) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        with reading(path):
            parse(path)

    return read


SAMPLES: Mapping[str, Sample] = {
    "avatar pack": Sample("a.avatar.safetensors", _make_pack, read_pack),
    "splats": Sample("a.ply", _make_ply, read_contents),
    "checkpoint": Sample("snapshot_4.pth", _make_state, read_tensors, archive=True),
    "papers": Sample("papers.json", _make_papers, _read_papers),
    "SMPL-X arrays": Sample("a.npz", _make_smplx, lambda path: SmplxNpz().load(_record(path)), archive=True),
    "BVH": Sample("a.bvh", _make_bvh, lambda path: BvhMotion().load(_record(path))),
    "NTU skeletons": Sample("a.skeleton", _make_ntu, _parsing(lambda path: parse_skeleton(read_text(path)))),
    "Toyota skeletons": Sample("a.json", _make_toyota, _parsing(lambda path: parse_toyota(read_json(path)))),
    "keypoints": Sample("a.json", _make_keypoints, _parsing(lambda path: parse_wholebody(read_json(path)))),
    "parameters of frames": Sample("00000.json", _make_params, _parsing(lambda path: read_params(path.parent))),
    "reference motion": Sample("a.npz", _make_reference, read_reference, archive=True),
    "sidecar": Sample("film.npz", _make_reference, lambda path: Sidecar().load(_record(path.with_suffix(".mp4")))),
    "film, MP4 with H.264": Sample("a.mp4", _make_film, _read_film),
    "film, Matroska with H.264": Sample("a.mkv", _make_film, _read_film),
    "film, AVI with MPEG-4": Sample("a.avi", lambda path: _make_film(path, codec="mpeg4"), _read_film),
    "film, WebM with VP9": Sample("a.webm", lambda path: _make_film(path, codec="libvpx-vp9"), _read_film),
    "picture, JPEG": Sample("a.jpg", _make_picture, _read_picture),
    "picture, PNG": Sample("a.png", _make_picture, _read_picture),
    "numbered pictures": Sample("film/0000.png", _make_series, _read_series),
    "table of clips": Sample("clips.csv", _make_table, read_table),
    "published list": Sample("trainlist01.txt", lambda path: path.write_text("A/v_A_g01_c01.avi 1\n" * 5), read_list),
    "index of films": Sample("video-index.json", _make_index, lambda path: VideoIndex(path.parent)._load()),
    "cached people": Sample("ab12.people", _make_cached, _read_cached),
    "weights, safetensors": Sample("a.safetensors", _make_state, read_state),
    "weights, torch": Sample("a.ckpt", _make_state, read_state, archive=True),
    "recipes": Sample("recipes.jsonl", _make_recipe, lambda path: read_recipes([path])),
    "list of what is excluded": Sample("exclude.jsonl", _make_exclusions, read_exclusions),
    "columns of an exported clip": Sample("a.json", _make_row, lambda path: read_row(path.read_bytes())),
    "metrics of a run": Sample("run/metrics.json", _make_run, _read_run),
}
