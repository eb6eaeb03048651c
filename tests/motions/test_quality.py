"""Laws of quality: honest noise passes, planted mistakes of every kind do not, and what was dropped is counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthaug.body.skeleton import JOINT_NAMES, joint_positions, mean_skeleton
from synthaug.motions.actions import perform
from synthaug.motions.fitting.corruption import CORRUPTIONS
from synthaug.motions.fitting.fit import Beliefs, fit_many
from synthaug.motions.fitting.markers import Track, joint_markers
from synthaug.motions.fitting.quality import Quality, QualityGate, Tally, Verdict, assess, count_verdicts, inside_share
from synthaug.motions.procedural.style import PerformerStyle

SKELETON = mean_skeleton()
MARKERS = joint_markers(JOINT_NAMES[:22], SKELETON)
ACTIONS = ("walk", "kicking something", "hand waving", "squat down", "throw")


def noisy(action: str, *, mm: float = 12.0, seed: int = 0) -> Track:
    motion = perform(action, PerformerStyle(), fps=20, seconds=2.5)
    points = joint_positions(motion, SKELETON)[:, :22].float()
    generator = torch.Generator().manual_seed(seed)
    points = points + mm / 1000 * torch.randn(points.shape, generator=generator)
    confidence = (torch.rand(points.shape[:2], generator=generator) > 0.03).float()
    return Track(torch.where(confidence[..., None] > 0, points, torch.nan), confidence, 20.0)


def scores(tracks: list[Track]) -> list[Quality]:
    motions = fit_many(tracks, MARKERS, SKELETON, beliefs=Beliefs(iterations=10))
    return [assess(t, m, MARKERS, SKELETON) for t, m in zip(tracks, motions, strict=True)]


CLEAN = [noisy(action, seed=seed) for seed, action in enumerate(ACTIONS)]


@pytest.fixture(scope="module")
def honest() -> list[Quality]:
    return scores(CLEAN)


def test_honest_noise_is_kept(honest: list[Quality]) -> None:
    assert min(quality.score for quality in honest) > QualityGate().keep
    assert all(0 <= value <= 1 for quality in honest for value in quality.parts.values())


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_planted_mistakes_score_below_honest_noise(kind: str, honest: list[Quality]) -> None:
    spoilt = [CORRUPTIONS[kind](track, MARKERS, np.random.default_rng([7, k])) for k, track in enumerate(CLEAN)]
    found = [quality.score for quality in scores(spoilt)]
    pairs = [good.score > bad for good in honest for bad in found]
    assert np.mean(pairs) >= 0.95


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_planting_changes_a_part_of_the_clip_and_leaves_the_original(kind: str) -> None:
    track = CLEAN[0]
    before = track.points.clone()
    spoilt = CORRUPTIONS[kind](track, MARKERS, np.random.default_rng(3))
    torch.testing.assert_close(track.points, before, equal_nan=True)
    points = (torch.nan_to_num(spoilt.points) != torch.nan_to_num(before)).any(-1).any(-1)
    changed = points | (spoilt.confidence != track.confidence).any(-1)
    assert 0.1 < changed.float().mean() < 0.6


def test_known_truth_is_not_called_lifeless() -> None:
    track = noisy("hand waving", mm=0.0)
    (quality,) = scores(
        [replace(track, confidence=torch.ones_like(track.confidence), points=track.points.nan_to_num())]
    )
    assert quality.parts["life"] == 1.0


def test_a_gate_lowers_drops_and_says_why() -> None:
    gate = QualityGate(drop=0.2, keep=0.6)
    good, fair, bad = ({"sides": score, "size": 1.0} for score in (0.9, 0.4, 0.1))
    verdicts = [gate.judge(Quality(parts)) for parts in (good, fair, bad, bad)]
    assert verdicts[0] == Verdict(1.0, "")
    assert verdicts[1].weight == pytest.approx(0.5)
    assert verdicts[2] == Verdict(0.0, "sides")
    assert count_verdicts(verdicts) == Tally(1, {"sides": 1}, {"sides": 2})
    with pytest.raises(ValueError, match=r"Expected 0 <= drop <= keep <= 1, got drop=0.7 and keep=0.6"):
        QualityGate(drop=0.7, keep=0.6)


def test_points_out_of_the_picture_count_against_it() -> None:
    pixels = torch.tensor([[[5.0, 5.0], [-1.0, 5.0], [5.0, 99.0], [5.0, 11.0]]])
    assert inside_share(pixels, torch.tensor([[True, True, True, False]]), width=10, height=10) == pytest.approx(1 / 3)
