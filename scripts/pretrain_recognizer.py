"""Pretrain a recognizer on synthetic clips alone: what `recognizer.weights=synthetic` loads. Run by hand.

    python scripts/pretrain_recognizer.py small --folder runs/pretraining-small --out small.safetensors

1. Perform motions: procedural actions in random styles, and random motions within the joints' ranges.
2. Film endless clips of them: forty procedural people, from all sides, in rooms and before pictures of rooms.
3. Learn what is known exactly: joints in the picture and in the body's frame, speeds, where people face, and actions.

No film, no motion capture, no licensed body: nothing rests on the weights but this project's licence. Stopped, it
continues in the same folder. Equal arguments give equal weights on one machine.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import torch

from synthaug.files import write_atomic
from synthaug.motions.actions import ACTIONS
from synthaug.pretraining.clips import PretrainingClips, make_motions
from synthaug.pretraining.loop import PretrainingSteps, export_weights, pretrain
from synthaug.pretraining.stage import pretraining_synthesis
from synthaug.recognizers import DenseRecognizer
from synthaug.recognizers.resnet import ResNet2D
from synthaug.recognizers.small import SmallResNet
from synthaug.structures import ClipFormat

RECOGNIZERS = {
    "small": lambda: SmallResNet(len(ACTIONS), focus=64),
    "small_frames": lambda: SmallResNet(len(ACTIONS), still=True),
    "tsm18": lambda: ResNet2D(len(ACTIONS), depth=18, temporal="shift"),
}


def main() -> None:
    """Pretrain one recognizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recognizer", choices=sorted(RECOGNIZERS))
    parser.add_argument("--folder", type=Path, required=True, help="keeps the state, so that a stopped run continues")
    parser.add_argument("--out", type=Path, required=True, help="file of the weights (.safetensors)")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--motions", type=int, default=4_000)
    parser.add_argument("--random-share", type=float, default=0.5, help="share of motions that are random")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--places", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(chosen.seed)
    recognizer: DenseRecognizer = RECOGNIZERS[chosen.recognizer]()
    plan = PretrainingSteps(steps=chosen.steps, batch_size=chosen.batch_size, num_workers=chosen.workers)
    pretrain(recognizer, film(chosen), plan, chosen.folder)
    facts = {
        "made_by": "scripts/pretrain_recognizer.py",
        "synthaug": version("synthaug"),
        "arguments": json.dumps({k: v for k, v in vars(chosen).items() if k not in ("folder", "out", "workers")}),
    }
    write_atomic(chosen.out, export_weights(recognizer, facts))


def film(chosen: argparse.Namespace) -> PretrainingClips:
    """The clips that the recognizer learns from."""
    motions = make_motions(chosen.motions, random_share=chosen.random_share, seed=chosen.seed)
    synthesis = pretraining_synthesis(people=chosen.people, places=chosen.places, seed=chosen.seed)
    clip = ClipFormat(num_frames=chosen.frames, fps=8.0, size=chosen.size)
    clips = PretrainingClips(synthesis, motions, clip, seed=chosen.seed)
    clips.synthesizer.preload_avatars()
    return clips


if __name__ == "__main__":
    main()
