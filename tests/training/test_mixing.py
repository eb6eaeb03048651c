import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from synthaug.recognizers.resnet3d import ResNet3D
from synthaug.recognizers.small import SmallResNet
from synthaug.training.mixing import AuxiliaryNorms, Mix, Mixing, make_box, mix_clips
from synthaug.training.module import Training

SIZE = (32, 48)


def batch(count=6, *, seed=0, made=(0, 2, 3)):
    generator = torch.Generator().manual_seed(seed)
    synthetic = torch.zeros(count, dtype=torch.bool)
    synthetic[list(made)] = True
    return {
        "video": torch.randn(count, 3, 4, *SIZE, generator=generator), "label": torch.arange(count) % 3,
        "synthetic": synthetic.int(), "key": [str(number) for number in range(count)],
    }  # fmt: skip


def parts(**changes):
    given = batch(**changes)
    return given["video"], one_hot(given["label"], 3).float(), given["synthetic"].bool()


def silent(training):
    training.log = lambda *args, **kwargs: None
    return training


def test_samples_depend_on_seed_and_step_alone():
    mixing = Mixing(mixup_alpha=0.4, cutmix_alpha=1.0, seed=3)
    torch.manual_seed(0)
    np.random.seed(0)
    first = [mixing.sample(step, size=SIZE) for step in range(20)]
    torch.rand(7)
    np.random.rand(7)
    assert [mixing.sample(step, size=SIZE) for step in reversed(range(20))] == first[::-1]
    assert len(set(first)) == 20
    assert {mix.box is None for mix in first} == {True, False}, "with both, either comes"
    assert [Mixing(mixup_alpha=0.4, cutmix_alpha=1.0, seed=4).sample(step, size=SIZE) for step in range(20)] != first


def test_the_default_mixes_nothing():
    assert Mixing().sample(0, size=SIZE) is None


def test_shares_follow_their_beta_distribution():
    shares = [Mixing(mixup_alpha=0.4).sample(step, size=SIZE).share for step in range(4000)]
    # Beta(a, a): mean 1/2, variance 1 / (8 a + 4); four standard errors of the mean and of the variance.
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 7.2 / 4000))
    assert np.var(shares) == pytest.approx(1 / 7.2, rel=0.1)


def test_mixup_is_the_convex_sum_clip_by_clip():
    video, targets, synthetic = parts()
    out, shares = mix_clips(video, targets, synthetic, mix=Mix(0.3, None))
    partners = {0: 3, 2: 0, 3: 2, 1: 5, 4: 1, 5: 4}
    for one, other in partners.items():
        assert synthetic[one] == synthetic[other]
        torch.testing.assert_close(out[one], 0.7 * video[one] + 0.3 * video[other])
        torch.testing.assert_close(shares[one], 0.7 * targets[one] + 0.3 * targets[other])


def test_cutmix_labels_by_the_pixels_that_are_there():
    video, targets, synthetic = parts()
    black, white = torch.zeros_like(video), torch.ones_like(video)
    for step in range(30):
        mix = Mixing(cutmix_alpha=1.0).sample(step, size=SIZE)
        white_clip = torch.where((torch.arange(6) == 3)[:, None, None, None, None], white, black)
        out, _ = mix_clips(white_clip, targets, synthetic, mix=mix)
        assert float(out[0].mean()) == pytest.approx(mix.share, abs=1e-6), "clip 0 shows clip 3 in the box"
        assert torch.equal(out[0].amax((0, 2, 3)), out[0].amax((0, 2, 3))[:1].expand(4)), "in every frame"


def test_a_box_inside_has_the_area_that_was_sampled():
    mix = make_box(0.25, np.array([0.5, 0.5]), (64, 64))
    assert mix == Mix(0.25, (16, 48, 16, 48))
    assert make_box(0.25, np.array([0.0, 0.5]), (64, 64)).share == 0.125, "half of it lies outside"


def test_nothing_is_changed_in_place():
    video, targets, synthetic = parts()
    before = video.clone(), targets.clone()
    for mix in (Mix(0.4, None), Mix(0.1, (0, 5, 2, 9))):
        mix_clips(video, targets, synthetic, mix=mix)
    assert torch.equal(video, before[0]) and torch.equal(targets, before[1])


def test_a_clip_that_is_alone_of_its_kind_stays_whole():
    video, targets, synthetic = parts(made=(2,))
    out, shares = mix_clips(video, targets, synthetic, mix=Mix(0.4, None))
    assert torch.equal(out[2], video[2]) and torch.equal(shares[2], targets[2])


def test_negative_alphas_are_refused():
    with pytest.raises(ValueError, match="Expected mixup_alpha and cutmix_alpha of 0 .off. or more, got -1.0 and 0.0"):
        Mixing(mixup_alpha=-1.0)


def statistics(network):
    return {name: value.clone() for name, value in network.named_buffers() if "running" in name}


@pytest.mark.parametrize("make", [lambda: SmallResNet(3, widths=(16, 16)), lambda: ResNet3D(3)], ids=["2d", "3d"])
@pytest.mark.parametrize("made", [(), (0, 2, 3), tuple(range(6))])
def test_each_kind_moves_the_statistics_of_its_own_norms(make, made):
    torch.manual_seed(0)
    training = silent(Training(make(), mixing=Mixing(split_batch_norm=True)))
    alone = {kind: copy.deepcopy(training) for kind in ("filmed", "synthetic")}
    given = batch(made=made)
    chosen = given["synthetic"].bool()
    training.train().training_step(given, 0).backward()
    for kind, rows in (("filmed", ~chosen), ("synthetic", chosen)):
        if rows.any():
            alone[kind].train()(given["video"][rows])
    auxiliary = dict(zip(training.auxiliary.names, training.auxiliary.norms, strict=True))
    for name, value in statistics(alone["filmed"].recognizer).items():
        torch.testing.assert_close(training.recognizer.get_buffer(name), value)
    for name, value in statistics(alone["synthetic"].recognizer).items():
        owner, _, key = name.rpartition(".")
        torch.testing.assert_close(auxiliary[owner].get_buffer(key), value)


def test_scales_get_gradients_from_their_own_kind_alone():
    torch.manual_seed(0)
    training = silent(Training(SmallResNet(3, widths=(16, 16)), mixing=Mixing(split_batch_norm=True)))
    training.train().training_step(batch(made=range(6)), 0).backward()
    assert training.recognizer.stem[1].weight.grad is None
    assert training.auxiliary.norms[0].weight.grad.abs().sum() > 0
    assert training.recognizer.stem[0].weight.grad.abs().sum() > 0, "kernels are shared"
    optimised = {id(p) for group in training_groups(training) for p in group["params"]}
    assert {id(p) for p in training.parameters()} == optimised


def training_groups(training):
    from synthaug.training.module import parameter_groups

    return parameter_groups(training)


def test_split_norms_leave_evaluation_and_the_recognizers_names_alone():
    torch.manual_seed(0)
    training = silent(Training(SmallResNet(3, widths=(16, 16)), mixing=Mixing(split_batch_norm=True)))
    plain = SmallResNet(3, widths=(16, 16))
    training.train().training_step(batch(made=()), 0)
    training.training_step(batch(seed=1, made=range(6)), 1)
    plain.load_state_dict(training.recognizer.state_dict())
    video = batch()["video"]
    with torch.no_grad():
        assert torch.equal(training.eval()(video), plain.eval()(video))
    plain.load_state_dict(
        {name.removeprefix("recognizer."): v for name, v in training.state_dict().items() if "recognizer." in name}
    )


def test_a_network_without_batch_norms_cannot_split_them():
    with pytest.raises(ValueError, match="got Conv2d without any. Set .*split_batch_norm=false"):
        AuxiliaryNorms(torch.nn.Conv2d(3, 3, 1))


def test_mixed_loss_is_the_mix_of_losses():
    torch.manual_seed(0)
    training = silent(Training(SmallResNet(3, widths=(16, 16)), mixing=Mixing(mixup_alpha=0.5), label_smoothing=0.0))
    given = batch(made=())
    loss = training.eval().training_step(given, 0)
    mix = training.mixing.sample(0, size=SIZE)
    with torch.no_grad():
        logits = training(torch.lerp(given["video"], given["video"].roll(1, 0), mix.share))
    both = [torch.nn.functional.cross_entropy(logits, label) for label in (given["label"], given["label"].roll(1))]
    torch.testing.assert_close(loss, (1 - mix.share) * both[0] + mix.share * both[1])
    assert mix != training.mixing.sample(1, size=SIZE)
