import csv
import warnings
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.utils.data import DataLoader, Dataset
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_confusion_matrix

from synthaug.recognizers import Recognizer
from synthaug.recognizers.small import SmallResNet
from synthaug.training.mixing import Mixing
from synthaug.training.module import (
    Training,
    mean_class_accuracy,
    merge_predictions,
    parameter_groups,
    rate_factor,
    top1,
    unpack_batch,
    weighted_cross_entropy,
)

CLASSES = 3


class Linear(Recognizer):
    """Colour alone; no batch norm, so that gradients can be compared."""

    def __init__(self, num_classes):
        super().__init__()
        self.fc = torch.nn.Linear(3, num_classes)

    @property
    def num_classes(self):
        return self.fc.out_features

    @property
    def num_features(self):
        return 3

    def features(self, video):
        return video.mean((2, 3, 4))

    def forward(self, video):
        return self.fc(self.features(video))


class Clips(Dataset):
    """Noise with a label; the first of every three is synthetic, and every key comes `views` times."""

    def __init__(self, count=12, views=1, layout="dict"):
        generator = torch.Generator().manual_seed(5)
        self.video = torch.randn(count, 3, 2, 8, 8, generator=generator)
        self.views, self.layout = views, layout

    def __len__(self):
        return len(self.video)

    def __getitem__(self, index):
        label = index // self.views % CLASSES
        if self.layout == "pair":
            return self.video[index], label
        key = f"film/{index // self.views}"
        return {"video": self.video[index], "label": label, "synthetic": int(index % 3 == 0), "key": key}


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
        yield


def trainer(path, **arguments):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    keep = {"enable_checkpointing": False, "default_root_dir": path, "num_sanity_val_steps": 0, "devices": 1}
    return Trainer(**{**quiet, **keep, **arguments})


def moving_squares(time=8, size=32):
    """Four clips: a square that goes right, left, down, up; pairs differ in the order of their frames alone."""
    video = torch.zeros(4, 3, time, size, size)
    for t in range(time):
        place = 3 * t
        video[0, :, t, 12:20, place : place + 8] = 1
        video[2, :, t, place : place + 8, 12:20] = 1
    video[1], video[3] = video[0].flip(1), video[2].flip(1)
    return video


def test_recognizer_overfits_four_clips(tmp_path):
    video, label = moving_squares(), torch.arange(4)
    training = Training(SmallResNet(4), optimizer=partial(AdamW, lr=3e-3), warmup_steps=3, label_smoothing=0.0)
    running = trainer(tmp_path, max_steps=40, max_epochs=-1)
    running.fit(training, DataLoader([(one, int(y)) for one, y in zip(video, label, strict=True)], batch_size=4))
    assert running.global_step == 40
    with torch.no_grad():
        logits = training.eval()(video)
    assert torch.equal(logits.argmax(1), label)
    assert cross_entropy(logits, label) < 0.2


def test_checkpoint_is_plain_and_gives_back_the_network(tmp_path):
    training = Training(Linear(CLASSES), optimizer=partial(AdamW, lr=0.02), synthetic_weight=0.5)
    running = trainer(tmp_path, max_steps=3, max_epochs=-1, enable_checkpointing=True)
    running.fit(training, DataLoader(Clips(), batch_size=4), DataLoader(Clips(), batch_size=4))
    path = tmp_path / "last.ckpt"
    running.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    assert content["hyper_parameters"] == dict(warmup_steps=20, label_smoothing=0.1, synthetic_weight=0.5)
    assert content["optimizer_states"][0]["param_groups"][0]["initial_lr"] == 0.02
    loaded = Training.load_from_checkpoint(path, recognizer=Linear(CLASSES), weights_only=True)
    assert loaded.synthetic_weight == 0.5
    assert torch.equal(loaded.recognizer.fc.weight, training.recognizer.fc.weight)


def test_resumed_training_ends_where_the_unbroken_one_does(tmp_path):
    def ended(checkpoint, callbacks):
        training = Training(Linear(CLASSES), warmup_steps=2)
        running = trainer(tmp_path, max_steps=6, callbacks=callbacks, enable_checkpointing=bool(callbacks))
        running.fit(training, DataLoader(Clips(), batch_size=12), ckpt_path=checkpoint, weights_only=True)
        assert running.global_step == 6
        return training.recognizer.fc.weight.detach()

    keeping = ModelCheckpoint(dirpath=tmp_path, filename="{step}", save_top_k=-1, every_n_epochs=1)
    torch.testing.assert_close(ended(None, [keeping]), ended(tmp_path / "step=3.ckpt", None), rtol=0, atol=0)


def test_rate_is_torchs_own_climb_and_cosine():
    warmup, total = 5, 30
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    climb = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, 1.0, total_iters=warmup - 1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [climb, cosine], milestones=[warmup])
    for step in range(total):
        assert rate_factor(step, warmup_steps=warmup, total_steps=total) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rate_factor(total, warmup_steps=warmup, total_steps=total) == pytest.approx(0, abs=1e-12)


def test_rate_moves_with_every_step_of_the_loop(tmp_path):
    rates = []

    class Recording(Callback):
        def on_train_batch_start(self, trainer, training, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    training = Training(Linear(CLASSES), optimizer=partial(AdamW, lr=0.5), warmup_steps=2)
    trainer(tmp_path, max_steps=6, callbacks=[Recording()]).fit(training, DataLoader(Clips(), batch_size=4))
    assert rates == pytest.approx([0.5 * rate_factor(step, warmup_steps=2, total_steps=6) for step in range(6)])


def test_a_warmup_longer_than_the_run_is_no_error():
    assert [rate_factor(step, warmup_steps=4, total_steps=2) for step in (0, 1)] == [0.25, 0.5]
    assert rate_factor(0, warmup_steps=0, total_steps=1) == 1


def test_zero_synthetic_weight_ignores_synthetic_clips():
    batch = next(iter(DataLoader(Clips(), batch_size=12)))
    real = {
        "video": batch["video"][batch["synthetic"] == 0],
        "label": batch["label"][batch["synthetic"] == 0],
    }
    gradients = []
    for given in (batch, real):
        torch.manual_seed(0)
        training = Training(Linear(CLASSES), synthetic_weight=0.0)
        training.log = lambda *args, **kwargs: None
        training.training_step(given, 0).backward()
        gradients.append(training.recognizer.fc.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_loss_is_the_weighted_mean_clip_by_clip():
    logits = torch.randn(5, CLASSES, generator=torch.Generator().manual_seed(3))
    label, synthetic = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([True, False, True, False, False])
    expected = total = 0.0
    for row, y, made in zip(logits, label, synthetic, strict=True):
        weight = 0.3 if made else 1.0
        expected += weight * float(cross_entropy(row[None], y[None], label_smoothing=0.2))
        total += weight
    loss = weighted_cross_entropy(logits, label, synthetic, synthetic_weight=0.3, label_smoothing=0.2)
    assert float(loss) == pytest.approx(expected / total, rel=1e-6)


def test_a_batch_without_weight_costs_nothing():
    logits = torch.randn(2, CLASSES, requires_grad=True)
    made = torch.tensor([True, True])
    loss = weighted_cross_entropy(logits, torch.tensor([0, 1]), made, synthetic_weight=0.0, label_smoothing=0.0)
    loss.backward()
    assert loss == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_training_accuracy_is_logged_for_real_and_synthetic_apart(tmp_path):
    running = trainer(tmp_path, max_epochs=1)
    training = Training(Linear(CLASSES), optimizer=partial(AdamW, lr=1e-12))
    running.fit(training, DataLoader(Clips(), batch_size=5), DataLoader(Clips(), batch_size=5))
    every = next(iter(DataLoader(Clips(), batch_size=12)))
    right = (training(every["video"]).argmax(1) == every["label"]).float()
    made = every["synthetic"] == 1
    assert running.callback_metrics["train/top1_real"] == pytest.approx(float(right[~made].mean()))
    assert running.callback_metrics["train/top1_synthetic"] == pytest.approx(float(right[made].mean()))
    assert running.callback_metrics["val/top1"] == pytest.approx(float(right.mean()))
    loss = cross_entropy(training(every["video"]), every["label"])
    assert running.callback_metrics["val/loss"] == pytest.approx(float(loss), rel=1e-5)


def test_mean_class_accuracy_is_torchmetrics_macro_where_every_class_is_present():
    generator = torch.Generator().manual_seed(2)
    label, prediction = torch.arange(40) % 7 % 4, torch.randint(4, (40,), generator=generator)
    matrix = multiclass_confusion_matrix(prediction, label, num_classes=4)
    assert mean_class_accuracy(matrix) == multiclass_accuracy(prediction, label, num_classes=4, average="macro")
    assert top1(matrix) == multiclass_accuracy(prediction, label, num_classes=4, average="micro")


def test_absent_classes_do_not_count():
    label, prediction = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 2])
    assert mean_class_accuracy(multiclass_confusion_matrix(prediction, label, num_classes=5)) == 0.5
    assert mean_class_accuracy(torch.zeros(2, 2, dtype=torch.long)) == 0


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_predictions_average_the_clips_of_a_key(tmp_path, batch_size):
    training = Training(Linear(CLASSES))
    clips = Clips(12, views=3)
    running = trainer(tmp_path)
    running.test(training, DataLoader(clips, batch_size=batch_size), verbose=False)
    assert [one["key"] for one in training.predictions] == [f"film/{number}" for number in range(4)]
    with torch.no_grad():
        scores = training(clips.video).softmax(1).unflatten(0, (4, 3)).mean(1)
    for one, expected, label in zip(training.predictions, scores, (0, 1, 2, 0), strict=True):
        assert one["label"] == label
        assert one["prediction"] == int(expected.argmax())
        torch.testing.assert_close(torch.tensor(one["scores"]), expected)
    right = [one["prediction"] == one["label"] for one in training.predictions]
    assert running.callback_metrics["test/top1"] == pytest.approx(sum(right) / 4)


def test_predictions_are_of_the_last_test_alone(tmp_path):
    training = Training(Linear(CLASSES))
    for _ in range(2):
        trainer(tmp_path).test(training, DataLoader(Clips(), batch_size=4), verbose=False)
    assert len(training.predictions) == 12


def test_one_key_with_two_labels_is_refused():
    scores = torch.full((2,), 0.5)
    with pytest.raises(ValueError, match="Expected one label for all clips of key 'a', got 0 and 1"):
        merge_predictions([("a", 0, scores), ("a", 1, scores)])


def test_pairs_are_filmed_clips_named_by_their_place():
    as_dict = unpack_batch(next(iter(DataLoader(Clips(), batch_size=4))), 2)
    as_pair = unpack_batch(next(iter(DataLoader(Clips(layout="pair"), batch_size=4))), 2)
    assert torch.equal(as_dict.video, as_pair.video) and torch.equal(as_dict.label, as_pair.label)
    assert as_dict.synthetic.tolist() == [True, False, False, True] and as_dict.key[1] == "film/1"
    assert not as_pair.synthetic.any() and as_pair.key == ["2/0", "2/1", "2/2", "2/3"]


@pytest.mark.parametrize("batch", [{"inputs": torch.zeros(1)}, [torch.zeros(1)], {"video": torch.zeros(1)}])
def test_unknown_layouts_are_refused(batch):
    with pytest.raises(
        ValueError, match="Expected a batch that is a dict with 'video' and 'label', or a pair of them, got"
    ):
        unpack_batch(batch, 0)


def test_biases_and_norms_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    decayed, kept = parameter_groups(network)
    assert "weight_decay" not in decayed and [p.ndim for p in decayed["params"]] == [4]
    assert kept["weight_decay"] == 0.0 and [p.ndim for p in kept["params"]] == [1, 1, 1]


def test_a_trainer_without_end_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a Trainer with a last step, .* Set Trainer\(max_steps=...\)"):
        trainer(tmp_path, max_epochs=-1).fit(Training(Linear(CLASSES)), DataLoader(Clips(), batch_size=4))


def test_samples_of_mixing_go_on_where_a_checkpoint_was(tmp_path):
    def ended(checkpoint, callbacks):
        training = Training(Linear(CLASSES), warmup_steps=2, mixing=Mixing(mixup_alpha=1.0, cutmix_alpha=1.0))
        running = trainer(tmp_path, max_steps=6, callbacks=callbacks, enable_checkpointing=bool(callbacks))
        running.fit(training, DataLoader(Clips(), batch_size=12), ckpt_path=checkpoint, weights_only=True)
        return training.recognizer.fc.weight.detach()

    keeping = ModelCheckpoint(dirpath=tmp_path, filename="{step}", save_top_k=-1, every_n_epochs=1)
    torch.testing.assert_close(ended(None, [keeping]), ended(tmp_path / "step=3.ckpt", None), rtol=0, atol=0)


def test_the_log_has_learning_curves(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="logs")
    running = trainer(tmp_path, max_steps=6, max_epochs=-1, log_every_n_steps=2, val_check_interval=3, logger=logger)
    clips = DataLoader(Clips(24), batch_size=8)
    running.fit(Training(Linear(CLASSES)), clips, clips)
    rows = list(csv.DictReader((tmp_path / "logs" / "metrics.csv").open()))
    curves = ("train/loss", "train/top1", "train/top1_real", "train/top1_synthetic")
    for name in (*curves, "val/loss", "val/top1", "val/mean_class_accuracy"):
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        assert [step for step, _ in points] == ([1, 3, 5] if name in curves else [2, 5]), name


def test_half_precision_and_accumulation_are_the_trainers(tmp_path):
    training = Training(SmallResNet(CLASSES, widths=(16, 16)), warmup_steps=1, mixing=Mixing(split_batch_norm=True))
    before = training.recognizer.fc.weight.detach().clone()
    running = trainer(tmp_path, max_steps=2, max_epochs=-1, precision="bf16-mixed", accumulate_grad_batches=2)
    batches = []
    training.on_train_batch_end = lambda *args: batches.append(1)
    running.fit(training, DataLoader(Clips(), batch_size=3))
    assert running.global_step == 2 and len(batches) == 4
    assert training.recognizer.fc.weight.dtype == torch.float32
    assert not torch.equal(training.recognizer.fc.weight, before)
    assert training.recognizer.fc.weight.isfinite().all()


@pytest.mark.parametrize(("accumulated", "limit"), [(8, 1.0), (3, 1.0), (4, 3)])
def test_epochs_that_end_in_the_middle_of_a_step_are_refused(tmp_path, accumulated, limit):
    running = trainer(tmp_path, max_steps=2, accumulate_grad_batches=accumulated, limit_train_batches=limit)
    with pytest.raises(
        ValueError, match=rf"multiple of accumulate_grad_batches={accumulated} .* Set loading.last=full"
    ):
        running.fit(Training(Linear(CLASSES), warmup_steps=1), DataLoader(Clips(), batch_size=3))


class OfKinds(Clips):
    """Clips that are synthetic where `made` says so, in order."""

    def __init__(self, made):
        super().__init__(len(made))
        self.made = made

    def __getitem__(self, index):
        return {**super().__getitem__(index), "synthetic": int(self.made[index])}


def test_norms_that_no_clip_has_trained_are_not_tested_by(tmp_path, caplog):
    clips, after = OfKinds([True] * 8), OfKinds([True] * 4 + [False] * 4)
    training = Training(SmallResNet(CLASSES, widths=(16, 16)), warmup_steps=1, mixing=Mixing(split_batch_norm=True))
    trainer(tmp_path).test(training, DataLoader(clips, batch_size=4), verbose=False)  # not trained: nobody's mistake
    running = trainer(tmp_path, max_steps=2)
    running.fit(training, DataLoader(clips, batch_size=4), DataLoader(clips, batch_size=4))
    assert "norms that are not trained" in caplog.text
    running.save_checkpoint(tmp_path / "synthetic.ckpt")
    filmed = Training(SmallResNet(CLASSES, widths=(16, 16)), warmup_steps=1, mixing=Mixing(split_batch_norm=True))
    caplog.clear()
    other = trainer(tmp_path, max_steps=2)
    other.fit(filmed, DataLoader(after, batch_size=4), DataLoader(clips, batch_size=4))
    other.test(filmed, DataLoader(clips, batch_size=4), verbose=False)
    assert "norms that are not trained" not in caplog.text
    for ckpt_path in (None, tmp_path / "synthetic.ckpt"):
        tested = training if ckpt_path is None else filmed
        with pytest.raises(ValueError, match=r"got none in 2 batches\..* Set .*split_batch_norm=false"):
            running.test(tested, DataLoader(clips, batch_size=4), ckpt_path=ckpt_path, weights_only=True, verbose=False)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match=r"Expected training.warmup_steps of 0 or more, got -1"):
        Training(Linear(CLASSES), warmup_steps=-1)
    with pytest.raises(ValueError, match=r"Expected training.synthetic_weight of 0 or more, got -1.0"):
        Training(Linear(CLASSES), synthetic_weight=-1.0)
