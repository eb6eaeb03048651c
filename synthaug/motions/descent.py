"""Minimising many independent energies at once: limited-memory BFGS with a step of its own for every clip.

Ours rather than torch.optim.LBFGS, whose single line search would let one clip decide another's steps, and whose
import costs seconds.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ARMIJO = 1e-4
"""Share of the promised decrease that a step must keep (Nocedal and Wright, section 3.1)."""
_SHRINKS = 8
"""Halvings of a step before a clip counts as arrived."""


def minimise(
    energy: Callable[[Tensor], Float[Tensor, " clip"]],
    start: Float[Tensor, "row column"],
    owner: Int[Tensor, " row"],
    *,
    iterations: int,
    history: int = 10,
    initial_scale: float = 0.5,
) -> Float[Tensor, "row column"]:
    """The rows after descending each clip's own energy; clips do not influence each other.

    Args:
        energy: One value for each clip, differentiable in the rows. A clip's value depends on its own rows only.
        start: Where to begin.
        owner: Clip of each row.
        iterations: Steps taken at most.
        history: Pairs of steps and gradient changes kept.
        initial_scale: Step for each unit of gradient at the start; 0.5 is right where the energy is a sum of squares.

    Source:
        Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.4 (two-loop recursion), with
        backtracking; pairs that do not curve upwards are left out for the clip concerned.
    """
    clips = int(owner.max()) + 1

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return a.new_zeros(clips).index_add(0, owner, (a * b).sum(1))

    def measured(rows: Tensor) -> tuple[Tensor, Tensor]:
        leaf = rows.detach().requires_grad_(True)
        with torch.enable_grad():
            value = energy(leaf)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient

    rows = start.detach()
    value, gradient = measured(rows)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    scale = torch.full_like(value, initial_scale)
    for _ in range(iterations):
        direction = -_inverse_hessian_times(gradient, pairs, scale, owner, dot)
        slope = dot(gradient, direction)
        step = torch.ones_like(value)
        for _ in range(_SHRINKS):
            trial = rows + step[owner, None] * direction
            trial_value, trial_gradient = measured(trial)
            good = trial_value <= value + _ARMIJO * step * slope
            if good.all():
                break
            step = torch.where(good, step, step / 2)
        # A clip whose last trial still rises stays where it is.
        keep = good[owner, None]
        s = torch.where(keep, trial - rows, torch.zeros_like(rows))
        y = torch.where(keep, trial_gradient - gradient, torch.zeros_like(rows))
        rows, gradient = rows + s, gradient + y
        value = torch.where(good, trial_value, value)
        curve = dot(s, y)
        curved = curve > 1e-10 * dot(y, y)
        scale = torch.where(curved, curve / dot(y, y).clamp(min=1e-30), scale)
        pairs.append((s, y, torch.where(curved, 1 / curve.clamp(min=1e-30), torch.zeros_like(curve))))
        pairs = pairs[-history:]
        if not (good & (dot(s, s) > 1e-14 * dot(rows, rows))).any():
            break
    return rows


def _inverse_hessian_times(
    gradient: Tensor,
    pairs: list[tuple[Tensor, Tensor, Tensor]],
    scale: Tensor,
    owner: Tensor,
    dot: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Two-loop recursion; a pair with rho 0 changes nothing."""
    q = gradient
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * dot(s, q)
        q = q - alpha[owner, None] * y
        alphas.append(alpha)
    q = scale[owner, None] * q
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        beta = rho * dot(y, q)
        q = q + (alpha - beta)[owner, None] * s
    return q
