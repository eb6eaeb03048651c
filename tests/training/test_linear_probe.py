import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from synthaug.recognizers.small import SmallResNet
from synthaug.training.linear_probe import Features, collect_features, fit_classifier, measure_accuracy


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def some_features(clips=60, width=6, classes=3):
    labels = torch.arange(clips) % classes
    vectors = torch.randn(clips, width) * torch.tensor([1.0, 5, 0.1, 1, 1, 1]) + 3
    vectors[:, :classes] += torch.nn.functional.one_hot(labels, classes) * torch.tensor([2.0, 10, 0.2])
    return Features(vectors, labels, tuple(f"clip{k}" for k in range(clips)))


def test_the_classifier_is_the_optimum_that_scipy_finds():
    features = some_features()
    x = features.vectors.double().numpy()
    x = (x - x.mean(0)) / x.std(0)
    labels, decay = features.labels.numpy(), 0.1

    def loss(flat):
        weight, bias = flat[:18].reshape(3, 6), flat[18:]
        scores = log_softmax(x @ weight.T + bias, axis=1)
        return -scores[np.arange(len(x)), labels].mean() + decay / 2 * (weight**2).sum()

    best = minimize(loss, np.zeros(21), method="BFGS", options={"gtol": 1e-9}).x
    wanted = log_softmax(x @ best[:18].reshape(3, 6).T + best[18:], axis=1)
    found = fit_classifier(features, 3, decay=decay)(features.vectors).log_softmax(1).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_with_more_features_than_clips_the_optimum_is_the_same():
    features = some_features(clips=12)
    wide = torch.cat([features.vectors, torch.randn(12, 24)], 1)
    found = fit_classifier(Features(wide, features.labels, features.keys), 3, decay=0.1)
    x = wide.double().numpy()
    x = (x - x.mean(0)) / x.std(0)

    def loss(flat):
        weight, bias = flat[:90].reshape(3, 30), flat[90:]
        scores = log_softmax(x @ weight.T + bias, axis=1)
        return -scores[np.arange(12), features.labels.numpy()].mean() + 0.05 * (weight**2).sum()

    best = minimize(loss, np.zeros(93), method="BFGS", options={"gtol": 1e-9}).x
    wanted = log_softmax(x @ best[:90].reshape(3, 30).T + best[90:], axis=1)
    np.testing.assert_allclose(found(wide).log_softmax(1).numpy(), wanted, atol=1e-4)


def test_repeating_the_clips_of_one_class_changes_nothing():
    features = some_features()
    twice = Features.join([features, features.select([k for k in range(60) if k % 3 == 0])])
    # Standardisation sees the repeated clips, so the same features must already be standard.
    scale = twice.vectors.std(0, correction=0)
    given = Features((features.vectors - twice.vectors.mean(0)) / scale, features.labels, features.keys)
    repeated = Features((twice.vectors - twice.vectors.mean(0)) / scale, twice.labels, twice.keys)
    weights = torch.cat([torch.ones(60), torch.zeros(20)])
    alone = fit_classifier(repeated, 3, weights=weights)
    balanced = fit_classifier(repeated, 3)
    torch.testing.assert_close(alone.weight, balanced.weight, rtol=1e-3, atol=1e-4)
    assert measure_accuracy(balanced, given) > 0.6


def test_windows_of_one_key_count_once_by_their_mean_score():
    classifier = torch.nn.Linear(1, 2)
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor([[0.0], [1.0]]))
        classifier.bias.zero_()
    # Two windows of `a` (class 1): scores .12 and .95 of class 1, mean beyond one half. `b` (class 0) is wrong.
    features = Features(torch.tensor([[-2.0], [3.0], [4.0]]), torch.tensor([1, 1, 0]), ("a", "a", "b"))
    assert measure_accuracy(classifier, features) == 0.5


def test_features_are_those_of_the_recognizer_in_evaluation_mode():
    recognizer = SmallResNet(4, focus=32).train()
    video = torch.randn(3, 3, 4, 32, 32)
    batches = [{"video": video[:2], "label": torch.tensor([0, 1]), "key": ["a", "b"]},
               {"video": video[2:], "label": torch.tensor([3]), "key": ["c"]}]  # fmt: skip
    found = collect_features(recognizer, batches)
    assert recognizer.training and found.keys == ("a", "b", "c") and found.labels.tolist() == [0, 1, 3]
    with torch.no_grad():
        torch.testing.assert_close(found.vectors, recognizer.eval().features(video), rtol=1e-4, atol=1e-5)


def test_nothing_to_learn_from_is_answered_in_words():
    with pytest.raises(ValueError, match="Expected batches to compute features of, got none"):
        collect_features(SmallResNet(4), [])
    for features, decay in ((some_features(), 0.0), (some_features().select([]), 1.0)):
        with pytest.raises(ValueError, match="Expected clips to learn from and a positive decay"):
            fit_classifier(features, 3, decay=decay)
