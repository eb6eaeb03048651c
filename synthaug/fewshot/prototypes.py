"""Classification from a handful of examples, on any recognizer's features; nothing is trained.

After the recognizers; pure.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def class_means(
    features: Float[Tensor, "support feature"], labels: Int[Tensor, " support"], *, num_classes: int
) -> Float[Tensor, "class feature"]:
    """The prototype of every class: the mean of its examples' features.

    Args:
        features: Of the support clips, as `Recognizer.features` gives them.
        labels: Their classes, 0 to `num_classes` - 1.
        num_classes: The ways of the task.

    Raises:
        ValueError: If a class has no example, or a label lies beyond the classes.

    Source:
        Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, equation 1.
    """
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"Labels from {int(labels.min())} to {int(labels.max())} were given for num_classes={num_classes}; "
            f"0 to {num_classes - 1} were wanted. Number the task's classes afresh."
        )
    shots = torch.bincount(labels, minlength=num_classes)
    if not bool((shots > 0).all()):
        raise ValueError(
            f"Classes {torch.nonzero(shots == 0).flatten().tolist()} have no example among {len(labels)}; at least "
            "one for each was wanted. Add support clips, or leave the classes out."
        )
    sums = torch.zeros(num_classes, features.shape[1], dtype=features.dtype, device=features.device)
    return sums.index_add(0, labels, features) / shots[:, None].to(features.dtype)


def nearest_mean(
    features: Float[Tensor, "query feature"], means: Float[Tensor, "class feature"]
) -> Int[Tensor, " query"]:
    """The class whose prototype is nearest, by Euclidean distance.

    With one example a class this is the nearest neighbour among the examples.

    Source:
        Snell, Swersky and Zemel, 2017, equation 2: softmax of minus the squared distance, whose maximum this is.
    """
    return torch.cdist(features, means, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
