"""Nearest-prototype classification from a few examples, on any recognizer's features; nothing is trained."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def class_means(
    features: Float[Tensor, "support feature"], labels: Int[Tensor, " support"], *, num_classes: int
) -> Float[Tensor, "class feature"]:
    """Prototypes of all classes: the mean feature of each class's examples.

    Args:
        features: Features of the support clips, as `Recognizer.features` gives them.
        labels: Classes of the support clips, 0 to `num_classes` - 1.
        num_classes: Number of classes in the task.

    Raises:
        ValueError: If a class has no example, or a label is out of range.

    Source:
        Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, equation 1.
    """
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"Expected labels from 0 to {num_classes - 1}, got labels from {int(labels.min())} to "
            f"{int(labels.max())}. Number the classes within the task."
        )
    shots = torch.bincount(labels, minlength=num_classes)
    if not bool((shots > 0).all()):
        raise ValueError(
            f"Expected at least one example of each class, got none of classes "
            f"{torch.nonzero(shots == 0).flatten().tolist()}. Add support clips, or leave these classes out."
        )
    sums = torch.zeros(num_classes, features.shape[1], dtype=features.dtype, device=features.device)
    return sums.index_add(0, labels, features) / shots[:, None].to(features.dtype)


def nearest_mean(
    features: Float[Tensor, "query feature"], means: Float[Tensor, "class feature"]
) -> Int[Tensor, " query"]:
    """Classify each query as the class with the nearest prototype, by Euclidean distance.

    With one example per class this is the nearest neighbour among the examples.

    Source:
        Snell, Swersky and Zemel, 2017, equation 2: the class with the largest softmax of the negative squared distance.
    """
    return torch.cdist(features, means, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
