import json
import shutil

import pytest
import torch
from fakes import BySubject, Films, plan
from lightning.pytorch import Callback, Trainer
from safetensors import safe_open

from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.recognizers.small import SmallResNet
from synthaug.structures import ClipFormat
from synthaug.training import loops
from synthaug.training.mixing import Mixing
from synthaug.training.module import Training

pytestmark = pytest.mark.usefixtures("quiet")


class KilledError(Exception):
    """Stands for a signal that leaves no time."""


class Kill(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == self.step:
            raise KilledError


def started(films, folder, *, kill=None):
    """As the entry file builds a run, from nothing but seeds and the run's folder."""
    torch.manual_seed(0)
    data = SynthAugDataModule(
        films, BySubject(test=("s3",), val=("s2",)), synth=plan(), clip=ClipFormat(num_frames=2, fps=5.0, size=32),
        loading=Loading(batch_size=4, num_workers=0),
    )  # fmt: skip
    training = Training(
        SmallResNet(2, widths=(16, 16)), warmup_steps=2, mixing=Mixing(mixup_alpha=0.5, split_batch_norm=True)
    )
    trainer = Trainer(
        accelerator="cpu", devices=1, max_steps=9, max_epochs=-1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, val_check_interval=4, check_val_every_n_epoch=None,
        callbacks=[
            loops.make_checkpointing(folder, validated=True),
            loops.make_resume_checkpointing(folder, every_n_train_steps=2),
            *([] if kill is None else [Kill(kill)]),
        ],
    )  # fmt: skip
    fitted = loops.fit(trainer, training, data, loops.find_start("auto", folder))
    return fitted, training, trainer, data


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"))


@pytest.mark.parametrize("kill", [1, 5, 8])
def test_a_killed_run_that_goes_on_ends_where_the_unbroken_one_does(films, tmp_path, kill):
    fitted, whole, _, _ = started(films, tmp_path / "whole")
    with pytest.raises(KilledError):
        started(films, tmp_path / "broken", kill=kill)
    assert (tmp_path / "broken" / loops.RESUME).is_file() == (kill > 1)
    if kill > 1:
        before = shutil.copy(tmp_path / "broken" / loops.RESUME, tmp_path / "before.ckpt")
    again, resumed, _, _ = started(films, tmp_path / "broken")
    assert fitted.steps == again.steps == fitted.batches == 9
    if kill > 1:
        assert again.seconds >= round(torch.load(before, weights_only=True)["seconds"], 1) > 0
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_the_exported_recognizer_is_the_checkpoints(films, tmp_path):
    fitted, _, trainer, data = started(films, tmp_path)
    content = loops.export_recognizer(fitted.checkpoint, {"classes": json.dumps(["a", "b"])})
    (tmp_path / "best.safetensors").write_bytes(content)
    with safe_open(tmp_path / "best.safetensors", "pt") as content:
        assert json.loads(content.metadata()["classes"]) == ["a", "b"]
    plain = SmallResNet(2, widths=(16, 16), weights=str(tmp_path / "best.safetensors"))
    kept = torch.load(fitted.checkpoint, weights_only=True)["state_dict"]
    for name, value in plain.state_dict().items():
        assert torch.equal(value, kept[f"recognizer.{name}"]), name
    straight = SmallResNet(2, widths=(16, 16), weights=fitted.checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), straight.parameters(), strict=True))


def test_where_training_starts(tmp_path):
    assert loops.find_start(None, tmp_path) is None and loops.find_start("auto", tmp_path) is None
    own = tmp_path / loops.RESUME
    own.touch()
    assert loops.find_start("auto", tmp_path) == loops.find_start(str(own), tmp_path) == str(own)
    with pytest.raises(
        FileNotFoundError, match="No such file: ckpt_path=.*none.ckpt. Correct the path, or set ckpt_path=auto"
    ):
        loops.find_start(str(tmp_path / "none.ckpt"), tmp_path)


def test_unknown_modes_of_compilation_are_refused():
    with pytest.raises(ValueError, match="Expected compile to be null or one of default, .* got 'fast'"):
        loops.compile_forward(SmallResNet(2, widths=(16,)), "fast")


def test_compilation_keeps_names_and_is_asked_for():
    network = SmallResNet(2, widths=(16,), grid=(1, 1, 1))
    names = list(network.state_dict())
    loops.compile_forward(network, None)
    assert network._compiled_call_impl is None
    loops.compile_forward(network, "default")
    assert network._compiled_call_impl is not None and list(network.state_dict()) == names


def test_weights_that_are_tied_are_exported_under_each_name(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3).T
    torch.save({"state_dict": {"recognizer.a": shared, "recognizer.b": shared}}, tmp_path / "tied.ckpt")
    (tmp_path / "tied.safetensors").write_bytes(loops.export_recognizer(str(tmp_path / "tied.ckpt"), {}))
    with safe_open(tmp_path / "tied.safetensors", "pt") as content:
        assert all(torch.equal(content.get_tensor(name), shared) for name in ("a", "b"))


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp"])
def test_more_processes_than_held_out_clips_are_refused_before_they_start(strategy):
    trainer = Trainer(accelerator="cpu", devices=2, strategy=strategy, logger=False)
    for val in (0, 2, 7):
        loops.check_processes(trainer, val=val, test=2)
    with pytest.raises(ValueError, match="one validation clip for each process, got 1 for 2 .* Set trainer.devices=1 "):
        loops.check_processes(trainer, val=1, test=2)
    if strategy == "ddp_fork":  # then one process tests
        loops.check_processes(trainer, val=2, test=1)
    else:
        with pytest.raises(ValueError, match="one test clip for each process, got 1 for 2 processes"):
            loops.check_processes(trainer, val=2, test=1)
