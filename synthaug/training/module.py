"""The LightningModule that trains and tests a recognizer.

Only this module knows which clips of a batch are synthetic; recognizers see video only.
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
from synthaug.training.mixing import AuxiliaryNorms, Mixing, mix_clips
from synthaug.training.scene_mixing import SceneMixing, mix_scenes

logger = logging.getLogger(__name__)

OptimizerFactory: TypeAlias = Callable[[list[dict[str, object]]], Optimizer]
"""Makes an optimizer from parameter groups, such as `partial(AdamW, lr=3e-3)`."""
_ADAMW = partial(AdamW, lr=3e-3, weight_decay=0.05)
ACCURACY_WINDOW = 50
"""Number of batches over which training accuracy is averaged: Lightning's own interval between two logs."""


class TrainingProgress(NamedTuple):
    """How far training is: optimizer steps, batches of one process, and seconds of the attempts that it continues."""

    steps: int
    batches: int
    earlier_seconds: float


class Training(LightningModule):
    """A recognizer with a loss, an optimizer and a schedule, for `Trainer.fit` and `Trainer.test`.

    One batch is one step (or as many batches as the Trainer accumulates), so `Trainer(max_steps=...)` compares the arms
    of an experiment at equal steps. Batches are dicts (`video`, `label`, optionally `synthetic` and `key`) or pairs of
    video and label. The learning rate rises over `warmup_steps` and then falls to 0 along half a cosine, at the end of
    the Trainer's steps. Validation logs `val/top1`, `val/mean_class_accuracy` and `val/loss`. Test clips are not used
    before `Trainer.test`, which logs the same under `test/` and leaves `predictions`.

    Checkpoints hold tensors and plain numbers only: `Training.load_from_checkpoint(path, recognizer=...,
    weights_only=True)`.

    Args:
        recognizer: What is trained.
        optimizer: Makes the optimizer, with its highest learning rate and its weight decay (not applied to biases and
            norms); `synthaug.training.muon` learns faster from scratch in few steps.
        warmup_steps: Number of steps over which the learning rate rises.
        label_smoothing: Share of the target that is spread over all classes, in training only.
        synthetic_weight: Weight of a synthetic clip's loss; a filmed clip's is 1. At 0 synthetic clips change only the
            statistics of batch norms.
        mixing: How clips of a training batch affect each other: mixup, cutmix, split batch norm.
        scenes: How often filmed clips are shown in other places: StillMix, FAME.

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
        scenes: SceneMixing = SceneMixing(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        for name, value in (("warmup_steps", warmup_steps), ("synthetic_weight", synthetic_weight)):
            if not value >= 0:
                raise ValueError(f"Expected training.{name} of 0 or more, got {value}. Raise training.{name}.")
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
        self.scenes = scenes
        self.auxiliary = AuxiliaryNorms(recognizer) if mixing.split_batch_norm else None
        self.confusion = MulticlassConfusionMatrix(recognizer.num_classes)
        self._tested: list[tuple[str, int, Tensor]] = []
        self._batches = 0
        self._began, self._earlier = time.perf_counter(), 0.0
        # In shared memory, for the process that forked or spawned the one that trains.
        self._progress = torch.zeros(len(TrainingProgress._fields), dtype=torch.float64).share_memory_()
        self._seen_filmed = False
        self._recent: deque[Tensor] = deque(maxlen=ACCURACY_WINDOW)

    @property
    def predictions(self) -> list[dict[str, Plain]]:
        """Results of the last `Trainer.test`, one for each key: `key`, `label`, `prediction` and `scores` (sum to 1).

        Several windows of one test interval share a key; their scores are averaged.

        Raises:
            ValueError: If clips of one key have different labels.
        """
        return merge_predictions(self._tested)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        return self.recognizer(video)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer, and the schedule over the Trainer's steps."""
        total = self.trainer.estimated_stepping_batches
        if math.isinf(total):
            raise ValueError(
                "Expected a Trainer with a last step, which the learning rate's cosine needs, got none: max_steps and "
                "max_epochs are both -1, or the loader has no length. Set Trainer(max_steps=...)."
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
                f"Expected epochs of a multiple of accumulate_grad_batches={accumulated} batches, got {batches} "
                "batches. Lightning ends each epoch with a step, whatever has accumulated, so arms with other epochs "
                "would see other numbers of clips in equal steps. Set loading.last=full, with which SynthAugDataModule "
                f"fills its epochs, and no limit_train_batches; with another loader choose a divisor of {batches}."
            )

    def training_step(self, batch: Batch | Sequence[Tensor], batch_idx: int) -> Tensor:
        """Compute and log the loss of one batch; log accuracy over the last batches, for filmed and synthetic clips.

        A mixed clip counts as right if its own label wins.
        """
        clips = unpack_batch(batch, batch_idx)
        video, targets = clips.video, clips.label
        scenes = self.scenes.sample(self._batches, (~clips.synthetic).cpu().numpy())
        if scenes is not None:
            video = mix_scenes(video, scenes)
        mix = self.mixing.sample(self._batches, size=(video.shape[-2], video.shape[-1]))
        self._batches += 1
        if mix is not None:
            unmixed = one_hot(clips.label, self.recognizer.num_classes).to(video)
            video, targets = mix_clips(video, unmixed, clips.synthetic, mix=mix)
        logits = self._training_logits(video, clips.synthetic).float()
        loss = weighted_cross_entropy(
            logits,
            targets,
            clips.synthetic,
            synthetic_weight=self.synthetic_weight,
            label_smoothing=self.label_smoothing,
        )
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(logits))
        self._log_accuracy(logits.argmax(1) == clips.label, clips.synthetic)
        return loss

    def on_fit_start(self) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Count steps and batches."""
        counts = (self.trainer.global_step, self._batches, self._earlier)
        self._progress.copy_(torch.tensor(counts, dtype=torch.float64))

    @property
    def progress(self) -> TrainingProgress:
        """How far training is, also if another process trained."""
        steps, batches, earlier = self._progress.tolist()
        return TrainingProgress(int(steps), int(batches), earlier)

    def _training_logits(self, video: Tensor, synthetic: Tensor) -> Tensor:
        """Logits of a training batch; with auxiliary norms each kind goes through the network separately."""
        if self.auxiliary is None:
            return self(video)
        self._seen_filmed = self._seen_filmed or not bool(synthetic.all())
        if not synthetic.any():
            return self(video)
        of_synthetic = self.auxiliary(self.recognizer, video[synthetic])
        logits = of_synthetic.new_empty(len(video), of_synthetic.shape[1])
        logits[synthetic] = of_synthetic
        if not synthetic.all():
            logits[~synthetic] = self(video[~synthetic]).to(of_synthetic.dtype)
        return logits

    def _log_accuracy(self, right: Tensor, synthetic: Tensor) -> None:
        """Log accuracy over the last batches, in total and for each kind that had clips."""
        self._recent.append(
            torch.stack([(right & ~synthetic).sum(), (~synthetic).sum(), (right & synthetic).sum(), synthetic.sum()])
        )
        right_filmed, filmed, right_synthetic, all_synthetic = torch.stack(list(self._recent)).sum(0)
        self.log("train/top1", (right_filmed + right_synthetic) / (filmed + all_synthetic))
        for name, count, total in (("real", right_filmed, filmed), ("synthetic", right_synthetic, all_synthetic)):
            if total > 0:
                self.log(f"train/top1_{name}", count / total)

    @property
    def _own_norms_untrained(self) -> bool:
        """Whether only the auxiliary norms were trained, and not the network's own, with which it is evaluated."""
        return self.auxiliary is not None and self._batches > 0 and not self._seen_filmed

    def on_validation_epoch_start(self) -> None:
        """Warn if validation uses norms that are not trained yet, as during pretraining on synthetic clips."""
        if self._own_norms_untrained:
            logger.warning(
                "split_batch_norm=true, and no filmed clip in %d batches of training: validation uses norms that are "
                "not trained. Set training.mixing.split_batch_norm=false if no filmed clip will follow.",
                self._batches,
            )

    def validation_step(self, batch: Batch | Sequence[Tensor], batch_idx: int) -> None:
        """Count predictions by class."""
        clips = unpack_batch(batch, batch_idx)
        logits = self(clips.video).float()
        self.confusion.update(logits.argmax(1), clips.label)
        self._log_epoch("val/loss", torch.nn.functional.cross_entropy(logits, clips.label), len(logits))

    def on_validation_epoch_end(self) -> None:
        """Log the accuracies, by which the best checkpoint is chosen."""
        self._log_accuracies("val", self.confusion.compute())
        self.confusion.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Keep the step of `mixing`, whether a filmed clip was seen, and the seconds of training."""
        checkpoint["batches"], checkpoint["filmed"] = self._batches, self._seen_filmed
        checkpoint["seconds"] = self._earlier + time.perf_counter() - self._began

    def on_load_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Continue where the checkpoint was saved."""
        batches = checkpoint.get("batches", 0)
        assert isinstance(batches, int)
        self._batches, self._earlier = batches, float(str(checkpoint.get("seconds", 0.0)))
        self._seen_filmed = bool(checkpoint.get("filmed", True))  # older checkpoints do not say

    def on_test_epoch_start(self) -> None:
        """Forget the results of earlier tests.

        Raises:
            ValueError: If the norms that test clips go through are not trained.
        """
        if self._own_norms_untrained:
            raise ValueError(
                f"Expected filmed clips in training with split_batch_norm=true, got none in {self._batches} batches. "
                "Tests use the norms of filmed clips, which are not trained then. Set "
                "training.mixing.split_batch_norm=false, or train on filmed clips as well."
            )
        self._tested = []

    def test_step(self, batch: Batch | Sequence[Tensor], batch_idx: int) -> None:
        """Keep every clip's scores."""
        clips = unpack_batch(batch, batch_idx * self.trainer.world_size + self.trainer.global_rank)
        logits = self(clips.video).float()
        self._log_epoch("test/loss", torch.nn.functional.cross_entropy(logits, clips.label), len(logits))
        self._tested.extend(zip(clips.key, clips.label.tolist(), logits.softmax(1).cpu(), strict=True))

    def on_test_epoch_end(self) -> None:
        """Log the accuracies, each key counted once; every process gets the predictions of all."""
        self._tested = gather_results(self._tested)
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


def gather_results(tested: list[tuple[str, int, Tensor]]) -> list[tuple[str, int, Tensor]]:
    """Collect the results of all processes, in the order of the clips. Process r of n tested clips r, r + n, ..."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return tested
    parts: list[list[tuple[str, int, Tensor]]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, tested)
    return [clip for row in zip_longest(*parts) for clip in row if clip is not None]


class LabelledBatch(NamedTuple):
    """A batch of clips, whatever its layout was."""

    video: Float[Tensor, "batch 3 time height width"]
    label: Int[Tensor, " batch"]
    synthetic: Bool[Tensor, " batch"]
    key: list[str]


def unpack_batch(batch: Batch | Sequence[Tensor], index: int) -> LabelledBatch:
    """Read a batch in either layout; clips count as filmed if the batch does not mark them as synthetic.

    Args:
        batch: A dict with `video` and `label`, or a pair of them.
        index: Number of the batch, which names clips without keys.

    Raises:
        ValueError: If it is neither.
    """
    if not isinstance(batch, dict):
        batch = dict(zip(("video", "label"), batch, strict=False)) if len(batch) == 2 else {}
    video, label = batch.get("video"), batch.get("label")
    if not (isinstance(video, Tensor) and isinstance(label, Tensor)):
        raise ValueError(
            "Expected a batch that is a dict with 'video' and 'label', or a pair of them, got "
            f"{sorted(batch) or 'neither a dict nor a pair'}. Set loading.layout=video or tuple."
        )
    synthetic = batch.get("synthetic", torch.zeros_like(label))
    key = batch.get("key", [f"{index}/{place}" for place in range(len(label))])
    return LabelledBatch(video, label, torch.as_tensor(synthetic, device=label.device).bool(), list(key))


def weighted_cross_entropy(
    logits: Float[Tensor, "batch class"],
    target: Int[Tensor, " batch"] | Float[Tensor, "batch class"],
    synthetic: Bool[Tensor, " batch"],
    *,
    synthetic_weight: float,
    label_smoothing: float,
) -> Float[Tensor, ""]:
    """Weighted mean of the clips' cross-entropies.

    Targets are labels, or the share of each class in a mixed clip. The sum is divided by the sum of weights, so that
    `synthetic_weight=0` gives the mean over the filmed clips; a batch of weight 0 has loss 0.
    """
    losses = torch.nn.functional.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)
    weights = torch.where(synthetic, synthetic_weight, 1.0).to(losses)
    return (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(losses.dtype).tiny)


def rate_factor(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """Learning rate at `step`, which counts from 0, as share of the highest: a linear rise, then half a cosine.

    The first step has 1 / `warmup_steps`; the rate would be 0 at `total_steps`, one past the last step.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def parameter_groups(network: torch.nn.Module) -> list[dict[str, object]]:
    """Two groups: kernels and matrices with the optimizer's weight decay, vectors (biases, norms) without."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def top1(confusion: Int[Tensor, "class class_predicted"]) -> Float[Tensor, ""]:
    """Share of clips that are classified right; 0 if there are none."""
    return confusion.diagonal().sum() / confusion.sum().clamp(min=1)


def mean_class_accuracy(confusion: Int[Tensor, "class class_predicted"]) -> Float[Tensor, ""]:
    """Mean over classes of the share of their clips that are classified right.

    Only classes that have clips count. (torchmetrics' macro accuracy also counts absent classes, as 0, if a clip is
    classified as one.)
    """
    clips = confusion.sum(1)
    present = clips > 0
    return (confusion.diagonal()[present] / clips[present]).sum() / present.sum().clamp(min=1)


def merge_predictions(tested: Sequence[tuple[str, int, Tensor]]) -> list[dict[str, Plain]]:
    """Merge results into one prediction for each key, from the mean of its clips' scores, in order of appearance.

    Args:
        tested: Key, label and scores of every clip.

    Raises:
        ValueError: If clips of one key have different labels.
    """
    groups: dict[str, tuple[int, list[Tensor]]] = {}
    for key, label, scores in tested:
        known, collected = groups.setdefault(key, (label, []))
        if known != label:
            raise ValueError(
                f"Expected one label for all clips of key {key!r}, got {known} and {label}. Give intervals with "
                "different labels different keys."
            )
        collected.append(scores)
    predictions: list[dict[str, Plain]] = []
    for key, (label, collected) in groups.items():
        mean = torch.stack(collected).mean(0)
        scores_plain: list[Plain] = list(mean.tolist())
        predictions.append({"key": key, "label": label, "prediction": int(mean.argmax()), "scores": scores_plain})
    return predictions
