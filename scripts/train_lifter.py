"""Train the network that lifts 2D points to 3D joints, `synthaug/assets/lifter.safetensors`: ten minutes of one core.

    python scripts/train_lifter.py

1. Perform motions: the procedural actions in random styles; the same with arms or legs of another action or at random;
   and wholly random poses, within the joints' ranges and smooth over time. No motion capture, no film, no licence.
2. For each batch take random windows of them, bodies of random proportions, and cameras: any direction, some from above
   or on their side, many focal lengths; some people lie at any angle.
3. Imitate detectors: noise and drift of every point, outliers, points that are lost for a while or never there, as in
   sources with fewer points. Learn the joints about the pelvis and how far each can be off.

Equal seeds give equal weights on one machine. `--minutes` bounds the time by the processor's clock.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from synthaug.body.limits import keep_within
from synthaug.body.mirroring import mirror
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT_NAMES, PARENTS, mean_skeleton
from synthaug.motions.actions import ACTIONS, perform
from synthaug.motions.fitting.lifter import AT, POINTS, RATE, WEIGHTS, LifterNetwork, normalize_points
from synthaug.motions.fitting.markers import NUM_BODY, joint_markers
from synthaug.motions.procedural.style import FAMILIES, sample_style

SECONDS = 4.0
WINDOW = 45
"""Frames of a training window: three seconds."""
BATCH = 48
ARMS = [
    k
    for k, name in enumerate(JOINT_NAMES[:22])
    if any(part in name for part in ("collar", "shoulder", "elbow", "wrist"))
]
LEGS = [k for k, name in enumerate(JOINT_NAMES[:22]) if any(part in name for part in ("hip", "knee", "ankle", "foot"))]
TOYOTA = [*(k for name, k in AT.items()), len(POINTS) - 1]
COCO = [k for k in range(17)]


@dataclass(frozen=True, eq=False)
class MotionBank:
    """Motions on the mean skeleton: rotations against the parents, and the pelvis's way, at `RATE` frames a second."""

    local: Float[Tensor, "motion time 22 3 3"]
    path: Float[Tensor, "motion time 3"]


def perform_motions(count: int, seed: int) -> MotionBank:
    """Procedural motions, and ones mixed from two, or from one and random limbs, or wholly random."""
    rng = np.random.default_rng(seed)
    frames = round(RATE * SECONDS)
    local, path = torch.empty(count, frames, NUM_BODY, 3, 3), torch.empty(count, frames, 3)
    for number in range(count):
        family = sorted(FAMILIES)[number % len(FAMILIES)]
        style, pace = sample_style(rng, family), rng.uniform(0.7, 1.4)
        motion = perform(ACTIONS[number % len(ACTIONS)], style, fps=RATE * pace, seconds=SECONDS / pace)
        motion = mirror(motion) if rng.random() < 0.5 else motion
        at = torch.arange(frames).clamp(max=motion.num_frames - 1)
        local[number], path[number] = (
            axis_angle_to_matrix(motion.pose[at, :NUM_BODY].float()),
            motion.transl[at].float(),
        )
    for number in range(count):
        kind = rng.random()
        if kind < 0.25:
            other, parts = int(rng.integers(count)), ARMS if rng.random() < 0.5 else LEGS
            local[number][:, parts] = local[other][:, parts].clone()
        elif kind < 0.65:
            parts = ARMS if kind < 0.45 else [*ARMS, *LEGS] if kind < 0.55 else list(range(1, NUM_BODY))
            local[number][:, parts] = random_rotations(rng, frames)[:, parts]
    return MotionBank(local, path)


def random_rotations(rng: np.random.Generator, frames: int) -> Float[Tensor, "time 22 3 3"]:
    """Rotations of all joints that go smoothly from one random pose within the joints' ranges to the next."""
    spans = np.cumsum(rng.uniform(0.3, 1.5, 40) * RATE)
    keys = int(np.searchsorted(spans, frames)) + 2
    turns = rng.normal(size=(keys, NUM_BODY, 3)) * rng.uniform(0.2, 1.0) * _WIDTH[:, None]
    hang = np.zeros((NUM_BODY, 3))
    hang[JOINT_NAMES.index("left_shoulder"), 2], hang[JOINT_NAMES.index("right_shoulder"), 2] = -0.6, 0.6
    allowed = keep_within(axis_angle_to_matrix(torch.from_numpy(turns + hang)).float())
    place = np.interp(np.arange(frames), np.concatenate([[0], spans[: keys - 1]]), np.arange(keys))
    low = torch.from_numpy(np.minimum(np.floor(place), keys - 2)).long()
    share = torch.from_numpy(place).float() - low
    share = (share * share * (3 - 2 * share))[:, None, None, None]
    mixed = (1 - share) * allowed[low] + share * allowed[low + 1]
    u, _, vt = torch.linalg.svd(mixed + 1e-3 * allowed[low])
    sign = torch.det(u @ vt)
    return torch.cat([u[..., :2], u[..., 2:] * sign[..., None, None]], dim=-1) @ vt


_WIDTH = np.array(
    [0.0 if k == 0 else 0.9 if any(p in n for p in ("hip", "knee", "shoulder", "elbow")) else 0.2
     for k, n in enumerate(JOINT_NAMES[:22])]
)  # fmt: skip


def pose_bodies(
    local: Float[Tensor, "clip time 22 3 3"], path: Float[Tensor, "clip time 3"], bones: Float[Tensor, "clip 22 3"]
) -> tuple[Float[Tensor, "clip time 22 3"], Float[Tensor, "clip time 22 3 3"]]:
    """Positions and rotations of the joints of bodies whose bones differ."""
    places, turns = [path], [local[:, :, 0]]
    for joint in range(1, NUM_BODY):
        parent = PARENTS[joint]
        places.append(places[parent] + torch.einsum("btij,bj->bti", turns[parent], bones[:, joint]))
        turns.append(turns[parent] @ local[:, :, joint])
    return torch.stack(places, dim=2), torch.stack(turns, dim=2)


class Cameraman:
    """Films random windows of a bank: what a detector would see, and the truth."""

    def __init__(self, bank: MotionBank, seed: int) -> None:
        self.bank = bank
        self.random = torch.Generator().manual_seed(seed)
        skeleton = mean_skeleton()
        joints = skeleton.joints[:NUM_BODY]
        self.bones = torch.stack([joints[j] - joints[max(PARENTS[j], 0)] for j in range(NUM_BODY)])
        known = joint_markers([joint for joint, _ in POINTS], skeleton)
        self.bearers = known.frames
        self.offsets = known.offsets + torch.tensor([offset for _, offset in POINTS])

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Random numbers of equal density."""
        return low + (high - low) * torch.rand(*shape, generator=self.random)

    def normal(self, *shape: int) -> Tensor:
        """Random numbers of unit deviation."""
        return torch.randn(*shape, generator=self.random)

    def film(self, count: int) -> tuple[Tensor, Tensor]:
        """What the network reads, and the joints about the pelvis in the view that looks at the person."""
        which = torch.randint(len(self.bank.local), (count,), generator=self.random)
        first = torch.randint(self.bank.local.shape[1] - WINDOW + 1, (count,), generator=self.random)
        at = first[:, None] + torch.arange(WINDOW)
        local, path = self.bank.local[which[:, None], at], self.bank.path[which[:, None], at]
        wobble = 0.12 * self.normal(count, 1, NUM_BODY, 3) * self.uniform(0, 1, count, 1, 1, 1)
        wobble[:, :, 0] = 0
        local = local @ axis_angle_to_matrix(wobble)
        lengths = 1 + 0.05 * self.normal(count, NUM_BODY, 1)
        places, turns = pose_bodies(local, path, self.bones * lengths)
        usual, _ = pose_bodies(local, path, self.bones.expand(count, -1, -1))
        points = (
            places[:, :, self.bearers]
            + torch.einsum("btmij,mj->btmi", turns[:, :, self.bearers], self.offsets)
            + 0.012 * self.normal(count, 1, len(POINTS), 3)
        )
        view, rays = self.aim(points, places[:, :, 0])
        rays, confidence = self.detect(rays)
        features, turn = normalize_points(rays, confidence, fps=RATE)
        truth = (usual - usual[:, :, :1]) @ view[:, None].mT @ turn
        return features, truth

    def aim(self, points: Tensor, path: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation from the world to a level camera's frame, and positions in the picture in focal lengths."""
        count = len(points)
        yaw = self.uniform(-math.pi, math.pi, count)
        pitch = torch.deg2rad(self.uniform(-10, 30, count) + (torch.rand(count, generator=self.random) < 0.15) * 30)
        roll = torch.deg2rad(3 * self.normal(count))
        zero = torch.zeros(count)
        turned = axis_angle_to_matrix(torch.stack([zero, yaw, zero], -1))
        level = axis_angle_to_matrix(torch.stack([zero, zero, roll], -1)) @ axis_angle_to_matrix(
            torch.stack([pitch, zero, zero], -1)
        )
        free = axis_angle_to_matrix(2 * self.normal(count, 3))
        tumbled = torch.rand(count, generator=self.random) < 0.2
        view = torch.where(tumbled[:, None, None], free, level @ turned)
        middle = path.mean(1, keepdim=True)
        seen = (points - middle[:, :, None]) @ view[:, None].mT
        away = self.uniform(math.log(1.8), math.log(9.0), count).exp()
        aside = away[:, None] * 0.3 * self.normal(count, 2)
        shift = torch.cat([aside, -away[:, None]], -1)
        seen = seen + shift[:, None, None]
        deep = (-seen[..., 2:]).clamp(min=0.4)
        return view, seen[..., :2] / deep

    def detect(self, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Positions with a detector's errors, and its confidence."""
        count, time, number = rays.shape[:3]
        tall = (rays.amax(2) - rays.amin(2)).norm(dim=-1).mean(1)[:, None, None, None] / 1.7
        white = 0.006 * self.uniform(0.3, 2.5, count, 1, 1, 1) * self.normal(count, time, number, 2)
        coarse = self.normal(count, number * 2, 2 + time // 12)
        drift = (
            torch.nn.functional.interpolate(coarse, time, mode="linear").unflatten(1, (number, 2)).permute(0, 3, 1, 2)
        )
        drift = 0.015 * self.uniform(0, 2, count, 1, number, 1) * drift
        wild = (torch.rand(count, time, number, generator=self.random) < 0.01)[..., None] * 0.15
        error = white + drift + wild * self.normal(count, time, number, 2)
        confidence = (1.05 - 8 * error.norm(dim=-1) + 0.1 * self.normal(count, time, number)).clamp(0.1, 1)
        gone = self.lose(count, time, number)
        return rays + tall * error, torch.where(gone, 0, confidence)

    def lose(self, count: int, time: int, number: int) -> Tensor:
        """Which points are not seen: a source's missing ones, parts out of the picture, and runs of frames."""
        layouts = torch.ones(3, number, dtype=torch.bool)
        layouts[0, :-1], layouts[1, COCO], layouts[2, TOYOTA] = False, False, False
        chosen = torch.multinomial(torch.tensor([0.5, 0.2, 0.3]), count, replacement=True, generator=self.random)
        gone = layouts[chosen][:, None].expand(count, time, number).clone()
        noise = torch.nn.functional.interpolate(self.normal(count, number, 2 + time // 6), time, mode="linear")
        rare = self.uniform(1.6, 3.5, count, 1, 1)
        gone |= (noise > rare).mT
        below = torch.tensor([any(p in joint for p in ("knee", "ankle", "foot")) for joint, _ in POINTS])
        cut = torch.rand(count, generator=self.random) < 0.1
        return gone | (cut[:, None, None] & below)


def loss_of(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Minus the log likelihood of the distances (Laplace's, in three dimensions) plus the distances; and these."""
    apart = (found[..., :3] - truth).norm(dim=-1)
    spread = found[..., 3]
    return (apart * (-spread).exp() + spread).mean() + 4 * apart.mean(), apart.mean()


def save(network: LifterNetwork, path: Path) -> None:
    """Write the weights in half precision."""
    halves = {
        name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()
    }
    tensors = {name: value.contiguous() for name, value in halves.items()}
    save_file(tensors, path, metadata={"made_by": "scripts/train_lifter.py", "licence": "that of the project"})


def train(chosen: argparse.Namespace) -> LifterNetwork:
    """Train a network for some minutes of the processor's time; what a stopped run has learnt is on disk."""
    torch.manual_seed(chosen.seed)
    start = time.process_time()
    bank = perform_motions(chosen.motions, chosen.seed)
    print(f"{chosen.motions} motions in {time.process_time() - start:.0f} s", flush=True)
    cameraman = Cameraman(bank, chosen.seed)
    network = LifterNetwork()
    print(f"{sum(p.numel() for p in network.parameters())} parameters", flush=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    start, step, mean = time.process_time(), 0, 0.3
    while (share := (time.process_time() - start) / (60 * chosen.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * min(share, 1))) + 1e-6
        features, truth = cameraman.film(BATCH)
        loss, apart = loss_of(network(features), truth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        mean, step = 0.98 * mean + 0.02 * apart.item(), step + 1
        if step % 100 == 0:
            print(f"step {step}, {share:.0%}: {1000 * mean:.1f} mm, loss {loss.item():.2f}", flush=True)
        if step % 500 == 0:
            save(network, chosen.out)
    return network.eval()


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--minutes", type=float, default=9.0, help="of processor time, after the motions are made")
    parser.add_argument("--motions", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    save(train(chosen), chosen.out)
    print(f"{chosen.out}: {chosen.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
