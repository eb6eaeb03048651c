"""What a run leaves, and when it counts as done."""

import json

import pytest

from synthaug.runs import finished


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
    assert finished(tmp_path, "seed: 0\n") == wanted
