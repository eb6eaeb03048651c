import pytest
import torch

from synthaug.fewshot.prototypes import class_means, nearest_mean


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_shot_class_means_are_nearest_neighbours():
    support = torch.randn(6, 16, generator=rng())
    labels = torch.randperm(6, generator=rng(1))
    queries = torch.randn(40, 16, generator=rng(2))
    neighbours = (queries[:, None] - support).square().sum(-1).argmin(1)
    means = class_means(support, labels, num_classes=6)
    assert torch.equal(nearest_mean(queries, means), labels[neighbours])


def test_class_means_are_the_literal_means():
    support, labels = torch.randn(12, 5, dtype=torch.float64, generator=rng()), torch.arange(12) % 3
    expected = torch.stack([support[labels == label].mean(0) for label in range(3)])
    means = class_means(support, labels, num_classes=3)
    assert means.dtype == torch.float64
    torch.testing.assert_close(means, expected)


def test_means_are_their_own_class():
    means = torch.randn(7, 5, generator=rng())
    assert torch.equal(nearest_mean(means, means), torch.arange(7))


def test_order_of_the_support_is_irrelevant():
    support, labels, order = torch.randn(8, 4, generator=rng()), torch.arange(8) % 2, torch.randperm(8, generator=rng())
    torch.testing.assert_close(
        class_means(support[order], labels[order], num_classes=2), class_means(support, labels, num_classes=2)
    )


def test_a_class_without_example_is_named():
    with pytest.raises(ValueError, match=r"Expected at least one example of each class, got none of classes \[1\]"):
        class_means(torch.zeros(2, 3), torch.tensor([0, 2]), num_classes=3)


def test_a_label_beyond_the_classes_is_named():
    with pytest.raises(ValueError, match=r"Expected labels from 0 to 2, got labels from 0 to 3"):
        class_means(torch.zeros(2, 3), torch.tensor([0, 3]), num_classes=3)
