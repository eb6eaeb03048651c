"""What else tells where somebody is in a film: the empty place, depth maps, keypoints; held to drawn people."""

import json

import cv2
import numpy as np
import pytest
import torch

from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.creation import CreationError, combine
from synthaug.creation.cutting import Choice, cut_films, project
from synthaug.creation.features.depths import DepthFolder
from synthaug.creation.features.keypoints import KeypointFile
from synthaug.creation.features.plate import EmptyPlace
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import write_video

FRAMES, HEIGHT, WIDTH = 10, 240, 320
BONES = [
    ("pelvis", "neck"), ("neck", "head"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("left_ankle", "left_foot"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("right_ankle", "right_foot"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
]  # fmt: skip


def reference() -> Reference:
    """Somebody who walks across with hanging arms, seen by a still camera."""
    pose = torch.zeros(FRAMES, 55, 3)
    for side, sign in (("left", -1), ("right", 1)):
        pose[:, JOINT[f"{side}_shoulder"], 2] = sign * 1.0
    across = torch.linspace(-0.8, 0.8, FRAMES)
    motion = Motion.from_pose(pose, torch.stack([across, torch.zeros(FRAMES), torch.zeros(FRAMES)], 1), fps=10.0)
    view = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, -0.2], [0, 0, -1, 4.0], [0, 0, 0, 1]])
    K = torch.tensor([[320.0, 0, WIDTH / 2], [0, 320.0, HEIGHT / 2], [0, 0, 1]])
    return Reference(motion, Camera(view.repeat(FRAMES, 1, 1), K.repeat(FRAMES, 1, 1), WIDTH, HEIGHT))


def joints_of(found: Reference) -> tuple[np.ndarray, np.ndarray]:
    joints = joint_positions(found.motion, mean_skeleton())[:, :22]
    pixels, depth = project(joints, found.camera.viewmats, found.camera.Ks)
    return pixels.numpy(), depth.numpy()


def draw_person(pixels: np.ndarray) -> np.ndarray:
    """A body of round limbs about the joints: true where it is."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for first, last in BONES:
        ends = [tuple(int(v) for v in pixels[JOINT[name]].round()) for name in (first, last)]
        cv2.line(mask, ends[0], ends[1], 1, 13)
    trunk = [pixels[JOINT[name]] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
    cv2.fillConvexPoly(mask, np.round(trunk).astype(np.int32), 1)
    return mask > 0


def place() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(60, 200, (24, 32, 3)).astype(np.uint8), (WIDTH, HEIGHT))


def film(folder, *, shadow=None, light=1.0):
    """Somebody in red before a place, with a shadow beside, in other light than when the place was empty."""
    found = reference()
    pixels, _ = joints_of(found)
    rng, frames, bodies = np.random.default_rng(1), [], []
    for where in pixels:
        body = draw_person(where)
        frame = place().astype(float)
        if shadow is not None:
            frame[shadow(where)] *= 0.65
        frame[body] = (190, 30, 40)
        frame = frame * light + rng.normal(0, 1.5, frame.shape)
        frames.append(frame.clip(0, 255).astype(np.uint8))
        bodies.append(body)
    folder.mkdir(exist_ok=True)
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    write_video(folder / "film.mp4", video, fps=10.0)
    return Record("film", folder / "film.mp4", 0, "", "", 0.0, FRAMES / 10), found, bodies


def cut(record, found):
    return cut_films([(record, found)], Choice(FRAMES, 128))


def truth(cutouts, bodies):
    """The drawn bodies as the cutouts show them."""
    masks = []
    for index, corner, scale in zip(cutouts.indices, cutouts.corners, cutouts.scales, strict=True):
        at = (np.arange(cutouts.side) + 0.5) / float(scale)
        columns, rows = (np.floor(float(corner[axis]) + at).astype(int) for axis in (0, 1))
        inside = ((columns >= 0) & (columns < WIDTH))[None] & ((rows >= 0) & (rows < HEIGHT))[:, None]
        body = bodies[int(index)][rows.clip(0, HEIGHT - 1)][:, columns.clip(0, WIDTH - 1)]
        masks.append(body & inside)
    return torch.from_numpy(np.stack(masks))


def overlap(evidence, true):
    ours, known = evidence.masks > 0.5, evidence.known
    return float((ours & true & known).sum() / ((ours | true) & known).sum())


@pytest.mark.parametrize("light", [1.0, 0.8])
@pytest.mark.parametrize("kind", ["picture", "film"])
def test_what_differs_from_the_empty_place_is_the_person_whatever_the_light(tmp_path, light, kind):
    record, found, bodies = film(tmp_path, light=light)
    cutouts = cut(record, found)
    if kind == "picture":
        path = tmp_path / "place.png"
        cv2.imwrite(str(path), place()[..., ::-1])
    else:
        path = tmp_path / "empty" / "place.mp4"
        path.parent.mkdir()
        still = torch.from_numpy(place()).permute(2, 0, 1)[None].repeat(8, 1, 1, 1).contiguous()
        write_video(path, still, fps=10.0)
    evidence = EmptyPlace(path).observe(cutouts)
    true = truth(cutouts, bodies)
    assert overlap(evidence, true) > 0.93 and float(evidence.known[cutouts.inside].float().mean()) > 0.75
    assert (evidence.trust > 0.9).all() and not evidence.known[~cutouts.inside].any()


def test_a_shadow_is_not_known_and_never_the_person(tmp_path):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]

    def shadow(where):
        x, y = where[JOINT["left_foot"]]
        return (np.abs(columns - x - 22) < 18) & (np.abs(rows - y + 20) < 16)

    record, found, bodies = film(tmp_path, shadow=shadow)
    cutouts = cut(record, found)
    cv2.imwrite(str(tmp_path / "place.png"), place()[..., ::-1])
    evidence = EmptyPlace(tmp_path / "place.png").observe(cutouts)
    shade = truth(cutouts, [shadow(where) & ~body for where, body in zip(joints_of(found)[0], bodies, strict=True)])
    assert float((evidence.masks > 0.5)[shade].float().mean()) < 0.1
    assert float(evidence.known[shade].float().mean()) < 0.2
    assert overlap(evidence, truth(cutouts, bodies)) > 0.9


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "picture or a film of the empty place in .* got none that can be read"),
        (lambda path: path.write_bytes(b"no picture"), "got none that can be read"),
        (
            lambda path: cv2.imwrite(str(path), place()[:, :200]),
            "empty place of the film's shape, 320x240.* got 200x240",
        ),
        (lambda path: cv2.imwrite(str(path), 255 - place()), "without anybody.* got a picture that differs in"),
    ],
    ids=["none", "broken", "another shape", "another place"],
)
def test_a_picture_of_another_place_is_told(tmp_path, spoil, reason):
    record, found, _ = film(tmp_path)
    cv2.imwrite(str(tmp_path / "place.png"), place()[..., ::-1])
    spoil(tmp_path / "place.png")
    with pytest.raises(CreationError, match=reason):
        EmptyPlace(tmp_path / "place.png").observe(cut(record, found))


def test_one_film_of_several_that_was_taken_elsewhere_is_told(tmp_path):
    films = [film(tmp_path / name)[:2] for name in "abc"]
    cv2.imwrite(str(tmp_path / "place.png"), place()[..., ::-1])
    elsewhere = tmp_path / "c" / "film.mp4"
    moved = torch.from_numpy(255 - np.stack([place()] * FRAMES)).permute(0, 3, 1, 2).contiguous()
    write_video(elsewhere.with_name("garden.mp4"), moved, fps=10.0)
    films[2] = (Record("garden", elsewhere.with_name("garden.mp4"), 0, "", "", 0.0, FRAMES / 10), films[2][1])
    with pytest.raises(CreationError, match=r"Expected the place of 'garden.mp4' without anybody"):
        EmptyPlace(tmp_path / "place.png").observe(cut_films(films, Choice(3 * FRAMES, 64)))


def save_depth(folder, found, bodies, *, kind, stretch=1.25):
    """A wall at six metres, the floor before it, and bodies as deep as their joints, of people a quarter larger."""
    folder.mkdir()
    pixels, depth = joints_of(found)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for k, body in enumerate(bodies):
        down = (rows - HEIGHT / 2) / 320
        metres = np.minimum(6.0, np.where(down > 0, 1.2 / np.maximum(down, 1e-6), 6.0))
        nearest = np.hypot(columns[..., None] - pixels[k, :, 0], rows[..., None] - pixels[k, :, 1]).argmin(-1)
        metres = np.where(body, depth[k][nearest] - 0.08, metres)
        if kind == "millimetres":
            cv2.imwrite(str(folder / f"{k:03d}.png"), (metres * stretch * 1000).astype(np.uint16))
        else:
            inverse = 1 / metres
            values = (inverse - inverse.min()) / np.ptp(inverse)
            cv2.imwrite(str(folder / f"{k:03d}.png"), (255 * values).round().astype(np.uint8))


@pytest.mark.parametrize("kind", ["millimetres", "relative"])
def test_what_is_as_deep_as_the_body_is_the_person(tmp_path, kind):
    record, found, bodies = film(tmp_path)
    cutouts = cut(record, found)
    save_depth(tmp_path / "depth", found, bodies, kind=kind)
    evidence = DepthFolder(tmp_path / "depth").observe(cutouts)
    assert overlap(evidence, truth(cutouts, bodies)) > 0.85
    assert (evidence.trust > 0.5).all()
    # The floor about the feet is as deep as they are.
    pixels = project(
        joint_positions(cutouts.motion, mean_skeleton())[:, :22], cutouts.camera.viewmats, cutouts.camera.Ks
    )[0]
    for k, where in enumerate(pixels):
        column, row = (int(v) for v in where[JOINT["left_foot"]])
        assert not evidence.known[k, min(row + 3, 127), min(column, 127)]


def test_depth_maps_that_say_nothing_or_are_of_another_film_are_told(tmp_path):
    record, found, bodies = film(tmp_path)
    cutouts = cut(record, found)
    save_depth(tmp_path / "depth", found, bodies, kind="millimetres")
    np.save(tmp_path / "depth" / "zzz.npy", np.full((HEIGHT, WIDTH), np.nan, np.float32))
    with pytest.raises(CreationError, match="Expected one depth map for each of the 10 frames.* got 11"):
        DepthFolder(tmp_path / "depth").observe(cutouts)
    (tmp_path / "depth" / "zzz.npy").rename(tmp_path / "depth" / "003.npy")
    (tmp_path / "depth" / "003.png").unlink()
    with pytest.raises(CreationError, match=r"003.npy' says nothing of its frame.*NaN"):
        DepthFolder(tmp_path / "depth").observe(cutouts)
    other = tmp_path / "other"
    other.mkdir()
    for k in range(FRAMES):  # a wall and a floor, and nobody
        cv2.imwrite(
            str(other / f"{k}.png"), np.linspace(5500, 5000, HEIGHT).astype(np.uint16)[:, None].repeat(WIDTH, 1)
        )
    with pytest.raises(
        CreationError, match="Expected the body of 'film.mp4' at the depth.* Are these maps of this film"
    ):
        DepthFolder(other).observe(cutouts)


def write_keypoints(path, found, *, shift=0.0, worse=()):
    pixels, _ = joints_of(found)
    names = ["left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
             "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"]  # fmt: skip
    frames = []
    for k, where in enumerate(pixels):
        points = np.zeros((133, 2))
        points[5:17] = where[[JOINT[name] for name in names]] + shift + (60.0 if k in worse else 0.0)
        scores = np.zeros(133)
        scores[5:17] = 0.9
        frames.append(
            {"frame_id": k, "instances": [{"keypoints": points.tolist(), "keypoint_scores": scores.tolist()}]}
        )
    path.write_text(json.dumps(frames))


def test_keypoints_without_confidence_are_told_apart_from_those_of_another_film(tmp_path):
    record, found, _ = film(tmp_path)
    write_keypoints(tmp_path / "keypoints.json", found)
    unsure = (tmp_path / "keypoints.json").read_text().replace("0.9", "0.2")
    (tmp_path / "keypoints.json").write_text(unsure)
    with pytest.raises(CreationError, match="Expected sure keypoints of trunk and limbs.* fewer than four above 0.3"):
        KeypointFile(tmp_path / "keypoints.json").observe(cut(record, found))


def test_poses_that_lie_off_the_keypoints_are_not_trusted_and_silhouettes_stay(tmp_path):
    record, found, bodies = film(tmp_path)
    cutouts = cut(record, found)
    write_keypoints(tmp_path / "keypoints.json", found, worse=(2, 7))
    evidence = KeypointFile(tmp_path / "keypoints.json").observe(cutouts)
    assert (evidence.trust == 0).nonzero()[:, 0].tolist() == [2, 7] and float(evidence.trust[0]) == 1
    cv2.imwrite(str(tmp_path / "place.png"), place()[..., ::-1])
    alone = EmptyPlace(tmp_path / "place.png").observe(cutouts)
    both = combine([alone, evidence])
    assert torch.equal(both.masks[both.known], alone.masks[both.known]) and torch.equal(both.known, alone.known)
    assert both.trust.tolist() == torch.minimum(alone.trust, evidence.trust).tolist()


def test_keypoints_of_another_film_are_told(tmp_path):
    record, found, _ = film(tmp_path)
    cutouts, path = cut(record, found), tmp_path / "keypoints.json"
    with pytest.raises(CreationError, match="Expected a JSON file of keypoints.* got none"):
        KeypointFile(path).observe(cutouts)
    path.write_text("[{")
    with pytest.raises(CreationError, match="holds no keypoints of a film"):
        KeypointFile(path).observe(cutouts)
    write_keypoints(path, found, shift=90.0)
    with pytest.raises(CreationError, match="to lie on the person in 'film.mp4', got a median distance of"):
        KeypointFile(path).observe(cutouts)
    path.write_text(json.dumps(json.loads(path.read_text())[:4]))
    with pytest.raises(CreationError, match="keypoints of each of the 10 frames.* got 4"):
        KeypointFile(path).observe(cutouts)
