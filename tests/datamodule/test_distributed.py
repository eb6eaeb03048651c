"""Two processes on a CPU, as Lightning forks them, against one."""

import json
from collections import Counter
from functools import partial

import lightning
import pytest
import torch
from fakes import BySubject, Films, plan
from torch.optim import AdamW

from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.recognizers import Recognizer
from synthaug.structures import ClipFormat
from synthaug.training import loops
from synthaug.training.module import Training, gather_results

pytestmark = pytest.mark.usefixtures("quiet")

CLIP = ClipFormat(num_frames=2, fps=5.0, size=32)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"), subjects=5)


class Colours(Recognizer):
    """Colour alone."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    num_classes, num_features = 2, 3

    def features(self, video):
        return video.mean((2, 3, 4))

    def forward(self, video):
        return self.fc(self.features(video))


class Diary(lightning.Callback):
    """Leaves what each process saw in a file: forked processes end with what they know."""

    def __init__(self, folder):
        self.folder, self.seen = folder, {"train": [], "val": [], "test": []}

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.seen["train"].append([batch["key"], batch["synthetic"].tolist()])

    def on_validation_batch_end(self, trainer, module, outputs, batch, index, dataloader_idx=0):
        self.seen["val"].append(batch["key"])

    def on_test_batch_end(self, trainer, module, outputs, batch, index, dataloader_idx=0):
        self.seen["test"].append(batch["key"])

    def on_fit_end(self, trainer, module):
        self.write(trainer, module, "fit")

    def on_test_end(self, trainer, module):
        self.write(trainer, module, "test")

    def write(self, trainer, module, stage):
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        content = {"seen": self.seen, "metrics": metrics, "steps": trainer.global_step}
        content["weights"] = module.recognizer.fc.weight.flatten().tolist()
        content["predictions"] = module.predictions if stage == "test" else []
        (self.folder / f"{stage}{trainer.global_rank}.json").write_text(json.dumps(content))


def run(films, folder, *, devices, stage, batch_size, **loading):
    folder.mkdir()
    torch.manual_seed(0)
    data = SynthAugDataModule(
        films, BySubject(test=("s3", "s4"), val=("s0",)), synth=plan(identities=1, backgrounds=3), clip=CLIP,
        loading=Loading(batch_size=batch_size, num_workers=0, **loading),
    )  # fmt: skip
    trainer = lightning.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp_fork" if devices > 1 else "auto", max_epochs=1,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, callbacks=[Diary(folder)], default_root_dir=folder,
    )  # fmt: skip
    training = Training(Colours(), optimizer=partial(AdamW, lr=0.05), warmup_steps=1)
    if stage == "fit":
        trainer.fit(training, datamodule=data)
    else:
        trainer.test(training, datamodule=data, verbose=False)
    diaries = [json.loads((folder / f"{stage}{rank}.json").read_text()) for rank in range(devices)]
    data.setup("fit")  # forked processes did, this one not
    processes = trainer.num_devices * trainer.num_nodes
    exposure = data.filmed_exposure(len(diaries[0]["seen"]["train"]), processes=processes)
    return [{**diary, "exposure": exposure} for diary in diaries]


@pytest.fixture(scope="module")
def fitted(films, tmp_path_factory):
    root = tmp_path_factory.mktemp("fit")
    both = run(films, root / "two", devices=2, stage="fit", batch_size=2, last="short")
    (alone,) = run(films, root / "one", devices=1, stage="fit", batch_size=4, last="short")
    return both, alone


def keys(one, stage):
    if stage == "train":
        return [key for batch, _ in one["seen"]["train"] for key in batch]
    return [key for batch in one["seen"][stage] for key in batch]


def test_every_clip_of_an_epoch_is_seen_by_some_process(films, fitted):
    both, alone = fitted
    filmed = {f"{label}/{name}" for label in range(2) for name in ("s1", "s2")}
    seen = Counter(key for one in both for key in keys(one, "train"))
    synthetic = {
        key for one in both for batch, made in one["seen"]["train"] for key, m in zip(batch, made, strict=True) if m
    }
    assert set(seen) == set(keys(alone, "train")) and filmed == set(seen) - synthetic
    assert len(synthetic) == 12
    assert sum(seen[key] for key in synthetic) - 12 <= 2, "at most one repetition a process"
    assert len({len(keys(one, "train")) for one in both}) == 1


def test_exposure_counts_what_all_processes_saw(fitted):
    for diaries in (fitted[0], [fitted[1]]):
        shown = [made for one in diaries for _, batch in one["seen"]["train"] for made in batch].count(0)
        assert {one["exposure"] for one in diaries} == {shown / 4} and shown > 0


def test_two_processes_take_the_steps_of_one(fitted):
    both, alone = fitted
    assert both[0]["steps"] == both[1]["steps"] == alone["steps"] > 0
    # The mean of the halves' means is the whole's mean: only the order of additions differs.
    for one in both:
        assert one["weights"] == pytest.approx(alone["weights"], rel=1e-4, abs=1e-6)


def test_validation_counts_every_clip_once(fitted):
    both, alone = fitted
    assert sorted(key for one in both for key in keys(one, "val")) == sorted(keys(alone, "val")) == ["0/s0", "1/s0"]
    for name in ("val/loss", "val/top1", "val/mean_class_accuracy"):
        for one in both:
            assert one["metrics"][name] == pytest.approx(alone["metrics"][name], rel=1e-4), name


@pytest.mark.parametrize("val", [("s0",), ()], ids=["validated", "not"])
def test_a_run_of_forked_processes_is_told_whole(films, tmp_path, val):
    """Steps, batches and the checkpoint that counts are known to the process that is left, which tests with it."""
    data = SynthAugDataModule(
        films, BySubject(test=("s3", "s4"), val=val), synth=plan(identities=1, backgrounds=3), clip=CLIP,
        loading=Loading(batch_size=2, num_workers=0),
    )  # fmt: skip
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp_fork", max_steps=4, max_epochs=-1, val_check_interval=4,
        check_val_every_n_epoch=None, logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, accumulate_grad_batches=2,
        callbacks=[
            loops.make_checkpointing(tmp_path, validated=bool(val)), loops.make_resume_checkpointing(tmp_path)
        ],
    )  # fmt: skip
    training = Training(Colours(), optimizer=partial(AdamW, lr=0.05), warmup_steps=1)
    fitted = loops.fit(trainer, training, data)
    assert (fitted.steps, fitted.batches, fitted.processes) == (4, 8, 2)
    kept = torch.load(fitted.checkpoint, weights_only=True)
    assert kept["global_step"] == 4 or val  # validation chooses an earlier one where it was as good
    predictions = loops.test(trainer, training, data, fitted.checkpoint)
    assert {one["key"] for one in predictions} == {f"{label}/{name}" for label in range(2) for name in ("s3", "s4")}
    assert training.recognizer.fc.weight.tolist() == kept["state_dict"]["recognizer.fc.weight"].tolist()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_testing_counts_every_clip_once(films, tmp_path, batch_size):
    both = run(films, tmp_path / "two", devices=2, stage="test", batch_size=batch_size)
    (alone,) = run(films, tmp_path / "one", devices=1, stage="test", batch_size=4)
    assert sorted(key for one in both for key in keys(one, "test")) == sorted(keys(alone, "test"))
    for one in both:
        assert [p["key"] for p in one["predictions"]] == [p["key"] for p in alone["predictions"]]
        for mine, other in zip(one["predictions"], alone["predictions"], strict=True):
            assert mine["label"] == other["label"] and mine["scores"] == pytest.approx(other["scores"], rel=1e-5)
        assert one["metrics"] == pytest.approx(alone["metrics"], rel=1e-5)


def test_one_process_gathers_what_it_has():
    tested = [("a", 0, torch.ones(2))]
    assert gather_results(tested) is tested


@pytest.mark.parametrize(("strategy", "refused"), [("ddp", True), ("ddp_fork", False), ("ddp_spawn", False)])
def test_a_sweep_of_relaunched_scripts_is_refused(tmp_path, strategy, refused):
    several = lightning.Trainer(
        accelerator="cpu", devices=2, strategy=strategy, logger=False, default_root_dir=tmp_path
    )
    loops.check_launch(several, sweeping=False)
    if not refused:
        loops.check_launch(several, sweeping=True)
        return
    with pytest.raises(ValueError, match="would start the whole multirun in each. Set trainer.devices=1"):
        loops.check_launch(several, sweeping=True)
