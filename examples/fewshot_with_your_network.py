"""Train a network of your own from one filmed clip of each class, with and without synthetic clips.

`python examples/fewshot_with_your_network.py` shows how the parts work together in about a minute, on a few small films
of the demo and in a few steps: far too few for a meaningful accuracy. The full experiment is `synthaug train -m
experiment=fewshot`.
"""

import torch
from lightning.pytorch import Trainer, seed_everything

import synthaug as sa
from synthaug.motions.sidecar import Sidecar

CLIP = sa.ClipFormat(num_frames=6, fps=5.0, size=64)
FILMS = sa.PseudoReal(
    classes=["bow", "clapping"], performers=4, footage=sa.Footage(size=64, seconds=1.5), num_workers=0
)


def your_network(num_classes: int) -> torch.nn.Module:
    """Any module that maps video [B 3 T H W] to logits [B num_classes]; its last linear layer is found by its width."""
    return torch.nn.Sequential(
        torch.nn.Conv3d(3, 16, kernel_size=(3, 7, 7), stride=(1, 4, 4)), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(2), torch.nn.Flatten(), torch.nn.Linear(128, num_classes),
    )  # fmt: skip


def train(identities: int) -> float:
    """Accuracy on unseen people after a few steps; with 0 identities, of filmed clips alone on the same code path."""
    seed_everything(0, verbose=False)
    data = sa.SynthAugDataModule(
        sa.Demo(FILMS),
        sa.CrossSubject(["p02", "p03"], n_shot=1),
        synth=sa.default_synthesis(
            motion=Sidecar(), avatar=sa.default_avatars(gaussians=2000), identities=identities, backgrounds=1
        ),
        clip=CLIP,
        loading=sa.Loading(batch_size=4, num_workers=0),
    )
    data.prepare_data()
    recognizer = sa.ForeignNetwork(data.num_classes, module=your_network)
    trainer = Trainer(max_steps=4, accelerator="auto", logger=False, enable_checkpointing=False)
    module = sa.Training(recognizer)
    trainer.fit(module, data)
    (scores,) = trainer.test(module, data, verbose=False)
    return scores["test/top1"]


def main() -> None:
    for identities in (0, 2):
        print(f"{identities} people re-enact each clip: {train(identities):.0%} of test clips are recognised.")


if __name__ == "__main__":
    main()
