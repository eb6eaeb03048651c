"""Scores of a task from features: filmed and synthetic support count equally, however many clips are synthetic."""

import pytest
import torch

from synthaug.fewshot.evaluation import LabelledFeatures, TaskOutcome, extend_means, extract_features, score_task
from synthaug.recognizers import Recognizer

NONE = LabelledFeatures(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


def labelled(*points, labels):
    return LabelledFeatures(torch.tensor(points), torch.tensor(labels))


@pytest.mark.parametrize("count", [1, 7])
def test_a_prototype_moves_half_way_to_the_mean_of_its_synthetic_clips(count):
    means = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    synthetic = labelled(*[[0.0, 2.0]] * count, labels=[0] * count)
    assert torch.equal(extend_means(means, synthetic), torch.tensor([[0.0, 1.0], [4.0, 0.0]]))
    assert torch.equal(means, torch.tensor([[0.0, 0.0], [4.0, 0.0]]))


def test_without_a_synthetic_clip_prototypes_stay():
    means = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(extend_means(means, NONE), means)


def test_synthetic_clips_can_turn_an_answer():
    support, query = labelled([0.0, 0.0], [4.0, 0.0], labels=[0, 1]), labelled([1.5, 0.0], labels=[1])
    assert score_task(support, query, n_way=2) == TaskOutcome(0.0, None, 0)
    towards = labelled([0.0, 0.0], [-8.0, 0.0], [1.0, 0.0], labels=[0, 0, 1])
    assert score_task(support, query, n_way=2, synthetic=towards) == TaskOutcome(0.0, 1.0, 3)
    assert score_task(support, query, n_way=2, synthetic=NONE) == TaskOutcome(0.0, 0.0, 0)


class Sums(Recognizer):
    """Features are sums over pixels."""

    num_classes = 2
    num_features = 3

    def features(self, video):
        return video.sum((2, 3, 4))

    def forward(self, video):
        return self.features(video)[:, :2]


def test_features_come_in_the_order_of_the_clips():
    videos = torch.randint(0, 9, (5, 3, 2, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(extract_features(Sums(), [videos[:3], videos[3:]]), videos.sum((2, 3, 4)))
    assert extract_features(Sums(), []).shape == (0, 3)
