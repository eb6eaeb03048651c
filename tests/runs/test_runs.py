"""What a run leaves, and when it counts as done."""

import json
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest

from synthaug.datamodule.module import SynthAugDataModule
from synthaug.reports.reading import read_curves
from synthaug.runs.folder import EARLIER, LEFT, begin_run, close_sweep, find_finished, same_run, visibility_report
from synthaug.synthesis.recipes import Shown


@pytest.mark.parametrize(
    ("written", "metrics", "wanted"),
    [
        ("seed: 0\n", {"mean_class_accuracy": 0.5}, 0.5),
        ("seed: 1\n", {"mean_class_accuracy": 0.5}, None),
        ("seed: 0\n", None, None),
        (None, {"mean_class_accuracy": 0.5}, None),
    ],
)
def test_a_run_is_finished_if_it_ended_with_this_very_configuration(tmp_path, written, metrics, wanted):
    if written is not None:
        (tmp_path / "config.yaml").write_text(written)
    if metrics is not None:
        (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert find_finished(tmp_path, "seed: 0\n") == wanted


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("seed: 0\nckpt_path: null", "seed: 0\nckpt_path: auto", True),
        ("seed: 0\nckpt_path: null", "seed: 0\nckpt_path: a.ckpt", False),
        ("seed: 0\nckpt_path: b.ckpt", "seed: 0\nckpt_path: a.ckpt", False),
        ("loading: {num_workers: 2, batch_size: 4}", "loading: {num_workers: 0, batch_size: 4}", True),
        ("loading: {num_workers: 2, batch_size: 4}", "loading: {num_workers: 2, batch_size: 8}", False),
        (
            "trainer: {enable_progress_bar: true, max_steps: 1}",
            "trainer: {enable_progress_bar: false, max_steps: 1}",
            True,
        ),
        ("trainer: {max_steps: 1}", "trainer: {max_steps: 2}", False),
        ("loading: null", "loading: {num_workers: 2}", False),
    ],
)
def test_what_comes_of_a_run_decides_which_run_it_is(one, other, same):
    assert same_run(one, other) is same and same_run(other, one) is same


def test_a_list_of_what_is_excluded_counts_by_what_it_names(tmp_path):
    listed, run = tmp_path / "bad.jsonl", tmp_path / "run"
    config = f"seed: 0\nsynth: {{exclude: {listed}, share: 1}}\n"
    listed.write_text('{"motion": "wave/1"}\n{"clip": "0123456789abcdef0123456789abcdef"}\n')
    begin_run(run, config)
    (run / "metrics.json").write_text('{"mean_class_accuracy": 0.5}')
    assert find_finished(run, config) == 0.5
    other = tmp_path / "renamed.jsonl"
    other.write_text('{"clip": "0123456789abcdef0123456789abcdef"}\n\n{"motion": "wave/1", "note": "no wave"}\n')
    assert find_finished(run, config.replace("bad.jsonl", "renamed.jsonl")) == 0.5
    assert find_finished(run, config.replace(str(listed), "null")) is None
    listed.write_text('{"motion": "wave/2"}\n')
    assert find_finished(run, config) is None
    begin_run(run, config)
    assert (run / EARLIER / "1" / "metrics.json").exists() and not (run / "metrics.json").exists()
    listed.unlink()
    with pytest.raises(FileNotFoundError, match=r"Expected synth.exclude to be a list"):
        begin_run(run, config)


def test_nothing_of_another_run_passes_for_this_ones(tmp_path):
    """Cut off before its figures, a run must not show those of whoever was in its folder before."""
    begin_run(tmp_path, "seed: 0\n")
    left = {
        "metrics.json": '{"mean_class_accuracy": 0.9}',
        "resume.ckpt": "x",
        "best.ckpt": "y",
        "logs/metrics.csv": "a\n",
    }
    assert {name.split("/")[0] for name in left} <= set(LEFT)
    for name, content in left.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "thesis.tex").write_text("not ours")
    assert find_finished(tmp_path, "seed: 0\n") == 0.9
    begin_run(tmp_path, "seed: 1\n")
    assert find_finished(tmp_path, "seed: 1\n") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", EARLIER, "thesis.tex"]
    kept = tmp_path / EARLIER / "1"
    assert {name: (kept / name).read_text() for name in left} == left
    assert (kept / "config.yaml").read_text() == "seed: 0\n"
    begin_run(tmp_path, "seed: 2\n")
    assert (tmp_path / EARLIER / "2" / "config.yaml").read_text() == "seed: 1\n"


def test_a_run_that_goes_on_keeps_its_checkpoint_and_its_curve(tmp_path):
    begin_run(tmp_path, "seed: 0\nckpt_path: null\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "metrics.csv").write_text("step,val/loss\n5,0.5\n")
    (tmp_path / "resume.ckpt").write_text("x")
    begin_run(tmp_path, "seed: 0\nckpt_path: auto\n")
    assert (tmp_path / "resume.ckpt").exists() and not (tmp_path / "logs" / "metrics.csv").exists()
    (tmp_path / "logs" / "metrics.csv").write_text("step,val/loss\n9,0.3\n")
    assert read_curves(tmp_path / "logs") == {"val/loss": {5: 0.5, 9: 0.3}}


def test_a_sweep_whose_report_fails_does_not_end_as_if_all_were_well(tmp_path, caplog):
    assert not close_sweep(tmp_path)
    assert "could not be written" in caplog.text


def test_a_run_counts_by_class_which_clips_had_to_be_sampled_again():
    data = create_autospec(SynthAugDataModule, instance=True)
    data.class_names = ("bow", "fall", "walk")
    data.synthesizer = SimpleNamespace(shown={0: Shown(resampled=3, left_out=0), 1: Shown(resampled=2, left_out=4)})
    assert visibility_report(data) == {
        "resampled": 5,
        "left_out": 4,
        "by_class": {"bow": {"resampled": 3, "left_out": 0}, "fall": {"resampled": 2, "left_out": 4}},
    }
    data.synthesizer = None
    assert visibility_report(data) == {"resampled": 0, "left_out": 0, "by_class": {}}
