"""How a recognizer is trained and tested: the loop's inside, for Lightning's Trainer.

After the DataModule; the only place that knows that some clips of a batch are synthetic.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import one_hot
from torch.optim import AdamW, Optimizer
from torchmetrics.classification import MulticlassConfusionMatrix
from torchmetrics.functional.classification import multiclass_confusion_matrix

from synthaug.recognizers import Recognizer
from synthaug.structures import Batch, Plain
from synthaug.training.mixing import AuxiliaryNorms, Mixing, mixed

logger = logging.getLogger(__name__)

OptimizerFactory: TypeAlias = Callable[[list[dict[str, object]]], Optimizer]
"""What makes an optimizer of parameter groups: `partial(AdamW, lr=3e-3)` and the like."""
_ADAMW = partial(AdamW, lr=3e-3, weight_decay=0.05)
_WINDOW = 50
"""Batches over which training accuracy is averaged: Lightning's own interval between two logs."""


class Taken(NamedTuple):
    """What training has taken: optimizer steps, batches of a process, seconds of attempts that it goes on from."""

    steps: int
    batches: int
    earlier_seconds: float


class Training(LightningModule):
    """A recognizer with a loss, an optimizer and a schedule, for `Trainer.fit` and `Trainer.test`.

    One batch is one step, or as many as the Trainer accumulates, so arms of an experiment are compared at equal steps
    by `Trainer(max_steps=...)`. Batches
    are dicts (`video`, `label`, and if there, `synthetic` and `key`) or pairs of video and label. The learning
    rate climbs over `warmup_steps` and then falls to nothing along half a cosine, whose length is the Trainer's.
    Validation logs `val/top1`, `val/mean_class_accuracy` and `val/loss`; nothing here looks at test clips before
    `Trainer.test`, which logs the same under `test/` and leaves `predictions`.

    Checkpoints hold tensors and plain numbers only: `Training.load_from_checkpoint(path, recognizer=...,
    weights_only=True)`.

    Args:
        recognizer: What is trained.
        optimizer: Makes the optimizer, with its highest learning rate and its weight decay, of which biases and norms
            are spared; `synthaug.training.muon` learns faster from scratch in few steps.
        warmup_steps: Steps over which the rate climbs.
        label_smoothing: Share of the target that is spread over all classes, in training only.
        synthetic_weight: Weight of a synthetic clip's loss where a filmed one's is 1. At 0 synthetic clips change
            nothing but the statistics of batch norms.
        mixing: How clips of a training batch act on each other: mixup, cutmix, split batch norm.

    Source:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019 (AdamW); the same, "SGDR", ICLR 2017
        (the cosine).
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        optimizer: OptimizerFactory = _ADAMW,
        warmup_steps: int = 20,
        label_smoothing: float = 0.1,
        synthetic_weight: float = 1.0,
        mixing: Mixing = Mixing(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        if not (warmup_steps >= 0 and synthetic_weight >= 0):
            raise ValueError(
                f"warmup_steps={warmup_steps} and synthetic_weight={synthetic_weight} were given; nothing below 0 was "
                "wanted. Correct them."
            )
        self.save_hyperparameters(
            {
                "warmup_steps": warmup_steps,
                "label_smoothing": label_smoothing,
                "synthetic_weight": synthetic_weight,
            }
        )
        self.optimizer = optimizer
        self.recognizer = recognizer
        self.label_smoothing = label_smoothing
        self.synthetic_weight = synthetic_weight
        self.mixing = mixing
        self.auxiliary = AuxiliaryNorms(recognizer) if mixing.split_batch_norm else None
        self.confusion = MulticlassConfusionMatrix(recognizer.num_classes)
        self._tested: list[tuple[str, int, Tensor]] = []
        self._batches = 0
        self._began, self._earlier = time.perf_counter(), 0.0
        # Told to the process that forked or spawned the one that trains.
        self._taken = torch.zeros(len(Taken._fields), dtype=torch.float64).share_memory_()
        self._filmed = False
        self._recent: deque[Tensor] = deque(maxlen=_WINDOW)

    @property
    def predictions(self) -> list[dict[str, Plain]]:
        """What the last `Trainer.test` saw, one for each key: `key`, `label`, `prediction` and `scores` (adding to 1).

        Several temporal clips of one film bear one key; their scores are averaged.

        Raises:
            ValueError: If clips of one key have different labels.
        """
        return merged_predictions(self._tested)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        return self.recognizer(video)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer, and the schedule over the Trainer's steps."""
        total = self.trainer.estimated_stepping_batches
        if math.isinf(total):
            raise ValueError(
                "The Trainer has no end (max_steps and max_epochs are both -1, or the loader has no length); the "
                "cosine needs one. Give Trainer(max_steps=...)."
            )
        optimizer = self.optimizer(parameter_groups(self))
        factor = partial(rate_factor, warmup_steps=self.hparams["warmup_steps"], total_steps=int(total))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Refuse epochs that end in the middle of a step.

        Raises:
            ValueError: If they do.
        """
        batches, accumulated = self.trainer.num_training_batches, self.trainer.accumulate_grad_batches
        if not math.isinf(batches) and batches % accumulated > 0:
            raise ValueError(
                f"accumulate_grad_batches={accumulated} was given with epochs of {batches} batches; a multiple was "
                "wanted, since Lightning ends each epoch with a step of whatever has accumulated, and arms with other "
                "epochs would see other numbers of clips in as many steps. Set loading.last=full, with which "
                "SynthAugDataModule fills its epochs, and no limit_train_batches; elsewhere choose a divisor of "
                f"{batches}."
            )

    def training_step(self, batch: Batch | Sequence[Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch; logs it, and accuracy over the last batches, filmed and synthetic clips apart.

        Where clips are mixed, a clip counts as right where its own label wins.
        """
        clips = unpack(batch, batch_idx)
        video, targets = clips.video, clips.label
        mix = self.mixing.sample(self._batches, size=(video.shape[-2], video.shape[-1]))
        self._batches += 1
        if mix is not None:
            whole = one_hot(clips.label, self.recognizer.num_classes).to(video)
            video, targets = mixed(video, whole, clips.synthetic, mix=mix)
        logits = self._training_logits(video, clips.synthetic).float()
        loss = weighted_cross_entropy(
            logits,
            targets,
            clips.synthetic,
            synthetic_weight=self.synthetic_weight,
            label_smoothing=self.label_smoothing,
        )
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(logits))
        self._log_right(logits.argmax(1) == clips.label, clips.synthetic)
        return loss

    def on_fit_start(self) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Count steps and batches."""
        counts = (self.trainer.global_step, self._batches, self._earlier)
        self._taken.copy_(torch.tensor(counts, dtype=torch.float64))

    @property
    def taken(self) -> "Taken":
        """What training has taken so far, whichever process trained."""
        steps, batches, earlier = self._taken.tolist()
        return Taken(int(steps), int(batches), earlier)

    def _training_logits(self, video: Tensor, synthetic: Tensor) -> Tensor:
        """Logits of a training batch; with auxiliary norms each kind goes through the network by itself."""
        if self.auxiliary is None:
            return self(video)
        self._filmed = self._filmed or not bool(synthetic.all())
        if not synthetic.any():
            return self(video)
        made = self.auxiliary(self.recognizer, video[synthetic])
        logits = made.new_empty(len(video), made.shape[1])
        logits[synthetic] = made
        if not synthetic.all():
            logits[~synthetic] = self(video[~synthetic]).to(made.dtype)
        return logits

    def _log_right(self, right: Tensor, synthetic: Tensor) -> None:
        """Log the share of right answers over the last batches, by kind and together; nothing for a kind without."""
        self._recent.append(
            torch.stack([(right & ~synthetic).sum(), (~synthetic).sum(), (right & synthetic).sum(), synthetic.sum()])
        )
        filmed, films, made, makes = torch.stack(list(self._recent)).sum(0)
        self.log("train/top1", (filmed + made) / (films + makes))
        for name, count, total in (("real", filmed, films), ("synthetic", made, makes)):
            if total > 0:
                self.log(f"train/top1_{name}", count / total)

    @property
    def _untrained(self) -> bool:
        """Whether training moved the auxiliary norms alone, and not the network's own, by which it is evaluated."""
        return self.auxiliary is not None and self._batches > 0 and not self._filmed

    def on_validation_epoch_start(self) -> None:
        """Say where accuracies are those of norms that are not trained yet, as while pretraining on synthetic clips."""
        if self._untrained:
            logger.warning(
                "split_batch_norm=true, and no filmed clip in %d batches of training: validation goes through norms "
                "that are not trained. Set training.mixing.split_batch_norm=false if none is to come.",
                self._batches,
            )

    def validation_step(self, batch: Batch | Sequence[Tensor], batch_idx: int) -> None:
        """Count what is taken for what."""
        clips = unpack(batch, batch_idx)
        logits = self(clips.video).float()
        self.confusion.update(logits.argmax(1), clips.label)
        self._log_epoch("val/loss", torch.nn.functional.cross_entropy(logits, clips.label), len(logits))

    def on_validation_epoch_end(self) -> None:
        """Log the accuracies, by which a checkpoint is chosen."""
        self._log_accuracies("val", self.confusion.compute())
        self.confusion.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Keep how far the draws of `mixing` are, whether a filmed clip was seen, and how long it took."""
        checkpoint["batches"], checkpoint["filmed"] = self._batches, self._filmed
        checkpoint["seconds"] = self._earlier + time.perf_counter() - self._began

    def on_load_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Go on with the draws where they were."""
        batches = checkpoint.get("batches", 0)
        assert isinstance(batches, int)
        self._batches, self._earlier = batches, float(str(checkpoint.get("seconds", 0.0)))
        self._filmed = bool(checkpoint.get("filmed", True))  # older checkpoints do not say

    def on_test_epoch_start(self) -> None:
        """Forget what was tested before.

        Raises:
            ValueError: If the norms that clips would go through never saw one.
        """
        if self._untrained:
            raise ValueError(
                f"split_batch_norm=true was given, and no filmed clip in {self._batches} batches of training; some "
                "were wanted, since tests go through the norms of filmed clips, which nothing has trained. Set "
                "training.mixing.split_batch_norm=false, or train on filmed clips, too."
            )
        self._tested = []

    def test_step(self, batch: Batch | Sequence[Tensor], batch_idx: int) -> None:
        """Keep every clip's scores."""
        clips = unpack(batch, batch_idx * self.trainer.world_size + self.trainer.global_rank)
        logits = self(clips.video).float()
        self._log_epoch("test/loss", torch.nn.functional.cross_entropy(logits, clips.label), len(logits))
        self._tested.extend(zip(clips.key, clips.label.tolist(), logits.softmax(1).cpu(), strict=True))

    def on_test_epoch_end(self) -> None:
        """Log the accuracies, each key counted once; every process gets the predictions of all."""
        self._tested = gathered(self._tested)
        predictions = self.predictions
        matrix = multiclass_confusion_matrix(
            torch.tensor([one["prediction"] for one in predictions]),
            torch.tensor([one["label"] for one in predictions]),
            num_classes=self.recognizer.num_classes,
        ).to(self.device)
        self._log_accuracies("test", matrix)

    def _log_epoch(self, name: str, value: Tensor, count: int) -> None:
        self.log(name, value, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)

    def _log_accuracies(self, stage: str, matrix: Tensor) -> None:
        self.log(f"{stage}/top1", top1(matrix), prog_bar=True)
        self.log(f"{stage}/mean_class_accuracy", mean_class_accuracy(matrix), prog_bar=True)


def gathered(tested: list[tuple[str, int, Tensor]]) -> list[tuple[str, int, Tensor]]:
    """What all processes tested, in the order of the clips, of which each takes every n-th."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return tested
    parts: list[list[tuple[str, int, Tensor]]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, tested)
    return [clip for row in zip_longest(*parts) for clip in row if clip is not None]


class Labelled(NamedTuple):
    """A batch, whatever its layout was."""

    video: Float[Tensor, "batch 3 time height width"]
    label: Int[Tensor, " batch"]
    synthetic: Bool[Tensor, " batch"]
    key: list[str]


def unpack(batch: Batch | Sequence[Tensor], index: int) -> Labelled:
    """Read a batch in either layout; what does not say that it is synthetic was filmed.

    Args:
        batch: A dict with `video` and `label`, or a pair of them.
        index: Of the batch, to name clips without keys.

    Raises:
        ValueError: If it is neither.
    """
    if not isinstance(batch, dict):
        batch = dict(zip(("video", "label"), batch, strict=False)) if len(batch) == 2 else {}
    video, label = batch.get("video"), batch.get("label")
    if not (isinstance(video, Tensor) and isinstance(label, Tensor)):
        raise ValueError(
            f"A batch with {sorted(batch) or 'neither names nor two parts'} was given; a dict with 'video' and "
            "'label', or a pair of them, was wanted. Choose such a layout in the DataModule."
        )
    synthetic = batch.get("synthetic", torch.zeros_like(label))
    key = batch.get("key", [f"{index}/{place}" for place in range(len(label))])
    return Labelled(video, label, torch.as_tensor(synthetic, device=label.device).bool(), list(key))


def weighted_cross_entropy(
    logits: Float[Tensor, "batch class"],
    target: Int[Tensor, " batch"] | Float[Tensor, "batch class"],
    synthetic: Bool[Tensor, " batch"],
    *,
    synthetic_weight: float,
    label_smoothing: float,
) -> Float[Tensor, ""]:
    """The weighted mean of the clips' cross-entropies.

    Targets are labels, or each class's share of a mixed clip. Divided by the sum of weights, so that at
    `synthetic_weight=0` it is the mean over the filmed clips alone; a batch without any weight costs 0.
    """
    losses = torch.nn.functional.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)
    weights = torch.where(synthetic, synthetic_weight, 1.0).to(losses)
    return (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(losses.dtype).tiny)


def rate_factor(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """Share of the highest learning rate at `step`, which counts from 0: a straight climb, then half a cosine.

    The first step moves already, at 1 / `warmup_steps`; the rate would be 0 at `total_steps`, one past the last.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def parameter_groups(network: torch.nn.Module) -> list[dict[str, object]]:
    """Kernels and matrices with the optimizer's weight decay, vectors (biases, norms) without, as is usual."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def top1(confusion: Int[Tensor, "class class_predicted"]) -> Float[Tensor, ""]:
    """Share of clips that are named right; 0 if there are none."""
    return confusion.diagonal().sum() / confusion.sum().clamp(min=1)


def mean_class_accuracy(confusion: Int[Tensor, "class class_predicted"]) -> Float[Tensor, ""]:
    """The mean over classes of the share of their clips that are named right.

    Only classes that have clips count. (torchmetrics' macro accuracy also counts, as 0, an absent class that some
    clip was taken for.)
    """
    clips = confusion.sum(1)
    present = clips > 0
    return (confusion.diagonal()[present] / clips[present]).sum() / present.sum().clamp(min=1)


def merged_predictions(tested: Sequence[tuple[str, int, Tensor]]) -> list[dict[str, Plain]]:
    """One prediction for each key, in the order of first appearance, from the mean of its clips' scores.

    Args:
        tested: Key, label and scores of every clip.

    Raises:
        ValueError: If clips of one key have different labels.
    """
    groups: dict[str, tuple[int, list[Tensor]]] = {}
    for key, label, scores in tested:
        known, gathered = groups.setdefault(key, (label, []))
        if known != label:
            raise ValueError(
                f"Clips of key {key!r} with labels {known} and {label} were tested; one label a key was wanted. "
                "Give intervals with different labels different keys."
            )
        gathered.append(scores)
    predictions: list[dict[str, Plain]] = []
    for key, (label, gathered) in groups.items():
        mean = torch.stack(gathered).mean(0)
        scores_plain: list[Plain] = list(mean.tolist())
        predictions.append({"key": key, "label": label, "prediction": int(mean.argmax()), "scores": scores_plain})
    return predictions
