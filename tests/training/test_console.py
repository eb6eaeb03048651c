import logging
import warnings

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from synthaug.training.console import ProgressLines, choose_progress, silence_tips

STEP = 6.0


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Line(lightning.LightningModule):
    """Fits a line; each batch takes STEP seconds on the clock."""

    def __init__(self, clock):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.clock = clock

    def training_step(self, batch, batch_idx):
        self.clock.now += STEP
        return self.layer(batch).square().mean() * 0.0 + 0.25

    def test_step(self, batch, batch_idx):
        self.clock.now += STEP

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    def build(clock, **options):
        return lightning.Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path, callbacks=[ProgressLines(clock)], **options,
        )  # fmt: skip

    torch.set_num_threads(1)
    return build


def loader():
    return torch.utils.data.DataLoader(torch.ones(5, 1))


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "synthaug.progress"]


def test_training_tells_step_loss_and_time_left_at_growing_intervals(trainer, caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    trainer(clock, max_steps=15).fit(Line(clock), loader())
    assert lines(caplog) == [
        "Training: step 2 of 15, 10 per minute, 78 s left, loss 0.250",
        "Training: step 6 of 15, 10 per minute, 54 s left, loss 0.250",
        "Training: step 13 of 15, 10 per minute, 12 s left, loss 0.250",
    ]


def test_short_training_says_nothing(trainer, caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    trainer(clock, max_steps=1).fit(Line(clock), loader())
    assert lines(caplog) == []


def test_training_by_epochs_counts_their_steps(trainer, caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    trainer(clock, max_epochs=2).fit(Line(clock), loader())
    assert lines(caplog)[0] == "Training: step 2 of 10, 10 per minute, 48 s left, loss 0.250"


def test_testing_tells_its_batches(trainer, caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    trainer(clock).test(Line(clock), loader(), verbose=False)
    # The next line would be due 20 s after the second batch, and the last one ends 18 s after it.
    assert lines(caplog) == ["Testing: batch 2 of 5, 10 per minute, 18 s left"]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_the_user_set_wins_and_else_a_terminal_gets_the_bar(terminal):
    assert choose_progress(True, terminal=terminal) == (True, [])
    assert choose_progress(False, terminal=terminal) == (False, [])
    bar, lines = choose_progress(None, terminal=terminal)
    assert bar == terminal and len(lines) == (not terminal)


def test_tips_are_dropped_and_what_concerns_the_user_is_told(caplog):
    caplog.set_level(logging.INFO)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        silence_tips()
        rank_zero_info("💡 Tip: For seamless cloud uploads and versioning, try installing [litmodels]")
        rank_zero_info("GPU available: False, used: False")
        rank_zero_info("Restored all states from the checkpoint at resume.ckpt")
        rank_zero_warn("Total length of `Batches` across ranks is zero. Please make sure this was your intention.")
        rank_zero_warn("Total length of `DataLoader` across ranks is zero. Please make sure this was your intention.")
        rank_zero_warn("You passed in a `val_dataloader` but have no `validation_step`. Skipping val loop.")
    assert caplog.messages == ["Restored all states from the checkpoint at resume.ckpt"]
    assert [str(one.message).split()[3] for one in told] == ["`DataLoader`", "a"]


def test_the_tips_that_are_dropped_are_those_of_lightning(trainer, caplog):
    caplog.set_level(logging.INFO)
    silence_tips()
    clock = Clock()
    lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer(clock, max_steps=1).fit(Line(clock), loader())
    assert [one for one in caplog.messages if "available" in one or "Tip" in one or "stopped" in one] == []
