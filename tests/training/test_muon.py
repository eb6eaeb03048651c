import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import AdamW

from synthaug.training.module import parameter_groups
from synthaug.training.muon import Muon, orthogonalize


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))


def trained(net, make, steps=5, optimizer=None):
    torch.manual_seed(7)
    x, y = torch.randn(8, 3, 6, 6), torch.randint(0, 4, (8,))
    net(x)
    optimizer = optimizer or make(parameter_groups(net))
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return optimizer


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 99))
def test_singular_values_come_near_one_and_directions_stay(rows, columns, seed):
    torch.manual_seed(seed)
    matrix = torch.randn(rows, columns) * 10.0 ** float(torch.randint(-6, 6, ()))
    u, s, vh = torch.linalg.svd(orthogonalize(matrix), full_matrices=False)
    known = torch.linalg.svd(matrix, full_matrices=False)[1]
    seen = known > 0.05 * known[0]
    assert ((s > 0.4) & (s < 1.3)).sum() >= seen.sum() and s.max() < 1.3
    assert ((orthogonalize(matrix) * matrix).sum() - known.sum()).abs() < 0.45 * known.sum()


def test_nothing_in_gives_nothing_out():
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_a_kernel_moves_as_torch_s_own_muon_moves_the_matrix():
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(8, 5, 2, 2))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([{"params": [kernel]}], lr=0.1, weight_decay=0.2)
    theirs = torch.optim.Muon([matrix], lr=0.1, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")
    before = matrix.detach().clone()
    for _ in range(4):
        kernel.grad = torch.randn_like(kernel)
        matrix.grad = kernel.grad.flatten(1).clone()
        ours.step()
        theirs.step()
    moved = (matrix - before).norm()
    assert (kernel.flatten(1) - matrix).norm() < 0.03 * moved, "torch works in bfloat16"


def test_all_but_kernels_move_as_under_adamw():
    """With gradients given, not found: a kernel's step must not reach the rest through the network."""
    nets = [network(), network()]
    for net in nets:
        net(torch.zeros(1, 3, 6, 6))
    nets[1].load_state_dict(nets[0].state_dict())
    made = [
        make(parameter_groups(net))
        for make, net in zip((partial(Muon, lr=0.02), partial(AdamW, lr=0.02, weight_decay=0.05)), nets, strict=True)
    ]
    for _ in range(3):
        for ours, theirs in zip(*(net.parameters() for net in nets), strict=True):
            ours.grad = torch.randn_like(ours)
            theirs.grad = ours.grad.clone()
        for optimizer in made:
            optimizer.step()
    for (name, ours), theirs in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(ours, theirs) == (ours.ndim <= 2), name


def test_a_saved_state_goes_on_as_if_never_saved():
    net = network()
    optimizer = trained(net, partial(Muon, lr=0.02), steps=3)
    again = copy.deepcopy(net)
    restored = Muon(parameter_groups(again), lr=0.5)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, opt in ((net, optimizer), (again, restored)):
        trained(one, None, steps=3, optimizer=opt)
    for ours, theirs in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_schedules_reach_every_group():
    net = network()
    net(torch.zeros(1, 3, 6, 6))
    optimizer = Muon(parameter_groups(net), lr=0.1)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    assert {group["lr"] for group in optimizer.param_groups} == {0.0} and len(optimizer.param_groups) == 3
    trained(net, None, steps=1, optimizer=optimizer)
    schedule.step()
    for parameter, was in zip(net.parameters(), before, strict=True):
        assert torch.equal(parameter, was)


def test_a_closure_is_asked_for_the_loss_with_gradients():
    kernel = nn.Parameter(torch.ones(2, 2, 1))
    optimizer = Muon([{"params": [kernel]}], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = kernel.square().sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == 4.0 and float(kernel.detach().square().sum()) < 4.0


def test_impossible_rates_are_refused():
    with pytest.raises(ValueError, match="Invalid learning rate: -1.0"):
        Muon([{"params": [nn.Parameter(torch.ones(2, 2, 1))]}], lr=-1.0)
