"""Whole lines on fakes of the licensed data sets, in their own formats: films, skeletons, configuration, two steps."""

import json

import numpy as np
import pytest
from skeletonfiles import camera_before, ntu_body, ntu_file, performance, points_of, projected, seen

from synthaug.motions.fitting.layouts import NTU_25, TOYOTA_13
from synthaug.testing.datasets import example_film
from synthaug.video import write_video

SMALL = (
    "synth.identities=1", "synth.backgrounds=1", "synth/renderer=cpu", "synth/background=plain",
    "synth.avatar.gaussians=2000", "clip.num_frames=4", "clip.size=48", "trainer.max_steps=2",
    "trainer.val_check_interval=1", "trainer.enable_progress_bar=false", "loading.num_workers=0",
    "loading.batch_size=2",
)  # fmt: skip
SECONDS = 0.6
MIRROR = np.array([1.0, -1.0, 1.0])


def toyota_skeleton(action):
    """LCR-Net's JSON: 20 frames a second, planar pixels of 640 x 480, nobody in the last frame."""
    K = np.array([[531.2, 0, 320], [0, 531.2, 240], [0, 0, 1]])
    pixels = projected(seen(points_of(performance(action, SECONDS, fps=20.0), TOYOTA_13), camera_before()), K)
    return json.dumps({"njts": 13, "K": 1, "frames": [[{"pose2d": p.T.ravel().tolist()}] for p in pixels] + [[]]})


def ntu_skeleton(action):
    """Kinect's text: 30 frames a second, its own axes and its colour pixels."""
    K = np.array([[1085.0, 0, 955.0], [0, 1085.0, 548.0], [0, 0, 1]])
    inside = seen(points_of(performance(action, SECONDS, fps=30.0), NTU_25), camera_before())
    frames = zip(inside * MIRROR, projected(inside + np.array([-0.05, 0, 0]), K) - 0.5, strict=True)
    return ntu_file([[ntu_body(points, pixels)] for points, pixels in frames])


def film(path, fps):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, example_film(round(SECONDS * fps), seed=len(path.stem)), fps=fps)


def toyota(root):
    """Two classes, three people: training, validation, test; the skeletons in a folder of their own."""
    (root / "skeleton").mkdir()
    for activity, action in (("Sitdown", "sit down"), ("Drink.Fromcup", "drink water")):
        text = toyota_skeleton(action)
        for subject in (3, 19, 2):
            stem = f"{activity}_p{subject:02}_r00_v01_c03"
            film(root / "mp4" / f"{stem}.mp4", 20.0)
            (root / "skeleton" / f"{stem}_pose3d.json").write_text(text)
    # One clip more whose skeleton is not there, as 14 of the published names have none.
    film(root / "mp4" / "Sitdown_p03_r01_v01_c03.mp4", 20.0)
    return ["dataset.classes=[Sitdown,Drink.Fromcup]"]


def ntu(root, setup, actions, skeletons):
    (root / skeletons).mkdir()
    for number, action in actions.items():
        text = ntu_skeleton(action)
        for performer in (1, 3):
            stem = f"S{setup:03}C001P{performer:03}R001A{number:03}"
            film(root / "nturgb+d_rgb" / f"{stem}_rgb.mp4", 30.0)
            (root / skeletons / f"{stem}.skeleton").write_text(text)
    return [f"dataset.actions=[{','.join(map(str, actions))}]"]


def ntu60(root):
    return ntu(root, 1, {8: "sit down", 23: "hand waving"}, "nturgb+d_skeletons")


def ntu120(root):
    return ntu(root, 18, {69: "salute", 80: "sit down"}, "nturgb+d_skeletons120")


@pytest.mark.parametrize("fake", [toyota, ntu60, ntu120], ids=lambda fake: fake.__name__)
def test_two_steps_on_a_fake_with_nothing_but_its_root(tmp_path, fake):
    from synthaug.cli.configs import build_run, compose_config
    from synthaug.runs.folder import leave_after, leave_before
    from synthaug.training import loops

    root, folder = tmp_path / "data", tmp_path / "run"
    root.mkdir(), folder.mkdir()
    chosen = fake(root)
    config = compose_config([f"dataset={fake.__name__}", f"dataset.root={root}", *chosen, *SMALL])
    if fake is toyota:
        without_skeletons(config, root)
    run = build_run(config, folder)
    references = run.data.synthesizer.references
    assert {record.label for record in references.records} == {0, 1} and len(references.records) == 2
    assert all(take.motion.duration == pytest.approx(SECONDS, abs=0.06) for take in references.by_key.values())
    assert {recipe.label for recipe in run.data.recipes()} == {0, 1}
    dropped = list(references.dropped.values())
    if fake is toyota:
        assert len(dropped) == 1 and "Sitdown_p03_r01_v01_c03_pose3d.json" in dropped[0]
    else:
        assert dropped == []
    leave_before(run.data, folder)
    fitted = loops.fit(run.trainer, run.training, run.data)
    predictions = loops.test(run.trainer, run.training, run.data, fitted.checkpoint)
    report = leave_after(run.data, predictions, folder, {})
    assert run.trainer.global_step == 2 and 0 <= report.mean_class_accuracy <= 1


def without_skeletons(config, root):
    """Where none is, the places that were searched are named: nothing goes on without synthesis in silence."""
    from synthaug.cli.configs import build_data

    (root / "skeleton").rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"found no .*_pose3d.json.*skeleton'.*Set root"):
        build_data(config).prepare_data()
    (root / "elsewhere").rename(root / "skeleton")
