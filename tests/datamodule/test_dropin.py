"""The DataModule feeds networks that know nothing of synthaug."""

from types import SimpleNamespace

import lightning
import pytest
import torch
from fakes import BySubject, Films, plan
from lightning.pytorch.cli import LightningCLI
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.models.video import r3d_18

from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.structures import ClipFormat

CLIP = ClipFormat(num_frames=4, fps=5.0, size=32)
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"))


def data(films, layout):
    return SynthAugDataModule(
        films, BySubject(test=("s3",), val=("s2",)), synth=plan(), clip=CLIP,
        loading=Loading(batch_size=4, num_workers=0, layout=layout, test_clips=1),
    )  # fmt: skip


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv3d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(2), nn.Flatten())
        self.head = nn.Linear(64, 2)

    def forward(self, video):
        return self.head(self.net(video))


def check_learning(source, network, loss_of):
    """A loop written by hand: the last epoch's loss is well below the first's."""
    source.prepare_data()
    source.setup("fit")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    batches, losses = source.train_dataloader(), []
    for _ in range(14):
        for batch in batches:
            loss = loss_of(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    count = len(batches)
    assert sum(losses[-count:]) < 0.8 * sum(losses[:count])


def test_a_plain_module_learns_in_a_loop_written_by_hand(films):
    torch.manual_seed(0)
    source, network = data(films, "tuple"), Plain()

    def loss_of(batch):
        video, label = batch
        assert video.shape == (4, 3, 4, 32, 32) and video.dtype == torch.float32 and label.dtype == torch.int64
        return cross_entropy(network(video), label)

    check_learning(source, network, loss_of)
    with torch.no_grad():
        tested = [network.eval()(video).argmax(1) for video, _ in source.test_dataloader()]
    assert sum(map(len, tested)) == len(source.split.test) == 2


class TorchvisionVideo(lightning.LightningModule):
    """What somebody's own module looks like."""

    def __init__(self, lr: float = 1e-3):
        super().__init__()
        self.net, self.lr, self.batches = r3d_18(num_classes=2), lr, 0

    def training_step(self, batch, index):
        video, label = batch
        self.batches += 1
        return cross_entropy(self.net(video), label)

    def validation_step(self, batch, index):
        video, label = batch
        self.log("val/loss", cross_entropy(self.net(video), label))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def test_a_torchvision_model_trains_under_lightning_cli(films, tmp_path):
    root = str(films.records[0].path.parent)
    cli = LightningCLI(
        TorchvisionVideo, SynthAugDataModule, seed_everything_default=0, save_config_callback=None,
        args=[
            "fit", "--model.lr=0.01", "--data.dataset=fakes.Films", f"--data.dataset.root={root}",
            "--data.protocol=fakes.BySubject", "--data.protocol.val=[s2]", "--data.clip.size=32",
            "--data.clip.num_frames=4", "--data.loading.batch_size=2", "--data.loading.num_workers=0",
            "--data.loading.layout=tuple", "--trainer.accelerator=cpu", "--trainer.max_steps=2",
            "--trainer.logger=false", "--trainer.enable_checkpointing=false", "--trainer.enable_progress_bar=false",
            f"--trainer.default_root_dir={tmp_path}",
        ],
    )  # fmt: skip
    assert cli.trainer.global_step == cli.model.batches == 2
    assert len(cli.datamodule.split.val) == 2


class VideoClassifier(nn.Module):
    """With the signature of Hugging Face's VideoMAEForVideoClassification: pixel_values and labels, loss and logits."""

    def __init__(self):
        super().__init__()
        self.plain = Plain()

    def forward(self, pixel_values, labels=None, output_attentions=None, return_dict=True):
        assert pixel_values.shape[1:] == (4, 3, 32, 32), "batch, frames, channels, height, width"
        logits = self.plain(pixel_values.transpose(1, 2))
        return SimpleNamespace(loss=None if labels is None else cross_entropy(logits, labels), logits=logits)


def test_a_hugging_face_style_module_eats_whole_batches(films):
    torch.manual_seed(0)
    source, network = data(films, "pixel_values"), VideoClassifier()

    def loss_of(batch):
        assert set(batch) == {"pixel_values", "labels"}
        return network(**batch).loss

    check_learning(source, network, loss_of)
