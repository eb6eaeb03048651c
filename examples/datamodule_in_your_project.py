"""Train a LightningModule of your own on filmed and synthetic clips.

    python examples/datamodule_in_your_project.py videos anna ben

trains on videos/<class>/<subject>/*.mp4 and tests on the named people; extracting motion from film needs the extra
`pose`. Without arguments it uses a few small films of the demo, which takes about a minute.
"""

import sys

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.nn.functional import cross_entropy

import synthaug as sa
from synthaug.motions.sidecar import Sidecar


class YourModule(LightningModule):
    """It knows nothing about synthaug: batches are pairs of video [B 3 T H W] and label [B]."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Conv3d(3, 16, kernel_size=(3, 7, 7), stride=(1, 4, 4)), torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool3d(2), torch.nn.Flatten(), torch.nn.Linear(128, num_classes),
        )  # fmt: skip

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The loss of one batch, half of whose clips are synthetic."""
        video, label = batch
        return cross_entropy(self.net(video), label)

    def test_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Log the accuracy on filmed clips of people who were not trained on."""
        video, label = batch
        self.log("test accuracy", (self.net(video).argmax(1) == label).float().mean(), on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return a plain optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def your_film(root: str, test_subjects: list[str]) -> sa.SynthAugDataModule:
    """Ten people re-enact every training clip of the others."""
    return sa.SynthAugDataModule(
        sa.Folder(root),
        sa.CrossSubject(test_subjects),
        synth=sa.default_synthesis(identities=10),
        loading=sa.Loading(layout="tuple"),
    )


def a_few_films_of_the_demo() -> sa.SynthAugDataModule:
    """Two actions by three people, small; the true motions beside the films serve in place of an estimate."""
    films = sa.PseudoReal(
        classes=["bow", "clapping"], performers=3, footage=sa.Footage(size=64, seconds=1.5), num_workers=0
    )
    return sa.SynthAugDataModule(
        sa.Demo(films),
        sa.CrossSubject(["p02"]),
        synth=sa.default_synthesis(
            motion=Sidecar(), avatar=sa.default_avatars(gaussians=2000), identities=2, backgrounds=1
        ),
        clip=sa.ClipFormat(num_frames=6, fps=5.0, size=64),
        loading=sa.Loading(batch_size=4, num_workers=0, layout="tuple"),
    )


def main() -> None:
    data = your_film(sys.argv[1], sys.argv[2:]) if sys.argv[1:] else a_few_films_of_the_demo()
    data.prepare_data()
    data.setup("fit")
    assert data.synthesizer is not None
    print(f"{len(data.split.train)} filmed and {len(data.synthesizer)} synthetic clips of {data.num_classes} classes")
    trainer = Trainer(
        max_steps=1000 if sys.argv[1:] else 4, accelerator="auto", logger=False, enable_checkpointing=False
    )
    module = YourModule(data.num_classes)
    trainer.fit(module, data)
    trainer.test(module, data)


if __name__ == "__main__":
    main()
