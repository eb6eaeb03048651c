import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from synthaug.recognizers.slowfast import SlowFast, translate_names
from synthaug.testing.recognizers import check_recognizer


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small(classes=5, **changes):
    return SlowFast(classes, **{"width": 16, "beta": 0.25, "blocks": [1, 1, 1, 1], "lateral_kernel": 5, **changes})


def test_slowfast_is_a_recognizer():
    check_recognizer(small(), frames=(4, 8), size=32)


@pytest.mark.parametrize(
    ("arguments", "millions", "giga"),
    [({"alpha": 8, "lateral_kernel": 5}, 34.48, 36.1), ({"alpha": 4, "lateral_kernel": 7}, 34.57, 65.7)],
    ids=["4x16", "8x8"],
)
def test_size_and_cost_are_the_published_ones(arguments, millions, giga):
    # Table 2 of the paper, 32 fast frames of 256 pixels, a multiplication with its addition as one; parameters by
    # PyTorchVideo's model zoo, for 400 classes. Both to the digits that are printed.
    with torch.device("meta"):
        network = SlowFast(400, **arguments).eval()
        video = torch.empty(1, 3, 32, 256, 256)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(millions * 1e6, abs=0.005e6)
    with FlopCounterMode(display=False) as counter:
        network(video)
    assert counter.get_total_flops() / 2 == pytest.approx(giga * 1e9, abs=0.05e9)


@pytest.mark.parametrize("alpha", [2, 4, 8])
@pytest.mark.parametrize("time", [1, 7, 8, 16])
def test_pathways_meet_at_any_length(alpha, time):
    with torch.device("meta"):
        assert small(alpha=alpha).eval()(torch.empty(1, 3, time, 32, 32)).shape == (1, 5)


def test_the_slow_pathway_alone_sees_every_alphath_frame():
    network = small(alpha=4).eval()
    for lateral in network.laterals:
        torch.nn.init.zeros_(lateral.norm.weight)
    video = torch.randn(1, 3, 8, 32, 32)
    other = video.clone()
    other[:, :, [1, 2, 3, 5, 6, 7]] += 1
    slow = network.slow.widths[-1]
    with torch.no_grad():
        one, two = network.features(video), network.features(other)
    assert torch.equal(one[:, :slow], two[:, :slow]) and not torch.equal(one[:, slow:], two[:, slow:])


def test_laterals_tell_the_slow_pathway_of_frames_between():
    network = small(alpha=4).eval()
    video = torch.randn(1, 3, 8, 32, 32)
    other = video.clone()
    other[:, :, 2] += 1
    slow = network.slow.widths[-1]
    for stage in network.slow.stages:
        torch.nn.init.ones_(stage[-1].norm3.weight)
    with torch.no_grad():
        assert not torch.equal(network.features(video)[:, :slow], network.features(other)[:, :slow])


def theirs(name, library):
    """Our name as PySlowFast or pytorchvideo spells it, written down from their modules' attributes."""
    parts = name.split(".")
    path = {"slow": 0, "fast": 1}.get(parts[0])
    leaf = parts[-1]
    if parts[0] == "fc":
        return f"head.projection.{leaf}" if library == "pyslowfast" else f"blocks.6.proj.{leaf}"
    if parts[0] == "laterals":
        at, conv = int(parts[1]), parts[2] == "conv"
        if library == "pyslowfast":
            return f"s{at + 1}_fuse.{'conv_f2s' if conv else 'bn'}.{leaf}"
        return f"blocks.{at}.multipathway_fusion.{'conv_fast_to_slow' if conv else 'norm'}.{leaf}"
    if parts[1] in ("conv", "norm"):
        if library == "pyslowfast":
            return f"s1.pathway{path}_stem.{'conv' if parts[1] == 'conv' else 'bn'}.{leaf}"
        return f"blocks.0.multipathway_blocks.{path}.{parts[1]}.{leaf}"
    stage, block, inner = int(parts[2]), parts[3], ".".join(parts[4:-1])
    if library == "pyslowfast":
        names = {"conv1": "branch2.a", "conv2": "branch2.b", "conv3": "branch2.c", "shortcut.0": "branch1"}
        names |= {"norm1": "branch2.a_bn", "norm2": "branch2.b_bn", "norm3": "branch2.c_bn", "shortcut.1": "branch1_bn"}
        return f"s{stage + 2}.pathway{path}_res{block}.{names[inner]}.{leaf}"
    names = {"conv1": "branch2.conv_a", "conv2": "branch2.conv_b", "conv3": "branch2.conv_c"}
    names |= {"norm1": "branch2.norm_a", "norm2": "branch2.norm_b", "norm3": "branch2.norm_c"}
    names |= {"shortcut.0": "branch1_conv", "shortcut.1": "branch1_norm"}
    return f"blocks.{stage + 1}.multipathway_blocks.{path}.res_blocks.{block}.{names[inner]}.{leaf}"


@pytest.mark.parametrize("library", ["pyslowfast", "pytorchvideo"])
def test_checkpoints_of_others_are_understood(library, tmp_path):
    given = small(blocks=[2, 1, 1, 1])
    for tensor in given.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape) * 5)
    names = [theirs(name, library) for name in given.state_dict()]
    assert len(set(names)) == len(names)
    path = tmp_path / "theirs.pth"
    torch.save({"model_state": dict(zip(names, given.state_dict().values(), strict=True))}, path)
    read = small(blocks=[2, 1, 1, 1], weights=str(path))
    for name, tensor in given.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name


def test_our_own_names_stay():
    state = small().state_dict()
    assert list(translate_names(state)) == list(state)


@pytest.mark.parametrize("wrong", [{"beta": 0.3}, {"alpha": 0}, {"blocks": [1, 1]}, {"lateral_kernel": 4}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(
        ValueError, match="four blocks and an odd lateral_kernel, got alpha=.* Correct the one that does not fit"
    ):
        small(**wrong)
