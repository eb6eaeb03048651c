"""Adam for a person's unknowns, of which a frame moves its own rows alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthaug.creation.person import Unknowns

_RATES = {
    "betas": 0.01, "cloth": 0.01, "offsets": 4e-4, "log_scales": 5e-3, "colors": 0.02, "logits": 0.01,
    "turns": 0.015, "shifts": 0.006, "gains": 0.01,
}  # fmt: skip
"""Adam's step sizes: standard deviations, metres, logarithms, 0..1, logits, radians, metres, factors."""
PER_FRAME = ("turns", "shifts", "gains")
"""Unknowns of which a step changes the rows of its frames alone."""


@dataclass(eq=False)
class Adam:
    """Adam's moments; rows of frames that a step does not show keep theirs.

    Written out, since importing torch.optim takes ten seconds.

    Source:
        Kingma and Ba, "Adam", ICLR 2015.
    """

    means: dict[str, Tensor] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)

    def step(self, unknowns: Unknowns, gradients: Mapping[str, Tensor], *, rate: float, frame: int) -> None:
        """Move the unknowns against their gradients, those of frames in one row alone."""
        for name, gradient in gradients.items():
            value, own = getattr(unknowns, name), name in PER_FRAME
            if name not in self.means:
                self.means[name], self.squares[name] = torch.zeros_like(value), torch.zeros_like(value)
                self.counts[name] = torch.zeros(len(value) if own else 1)
            row, forget = (slice(frame, frame + 1), 0.99) if own else (slice(None), 0.999)
            mean, square, squared = self.means[name][row], self.squares[name][row], gradient[row].square()
            if own:
                # One scale for all joints of a frame: those that no pixel tells of stay, instead of wandering.
                squared = squared.mean(tuple(range(1, squared.ndim)), keepdim=True).expand_as(squared)
            mean.lerp_(gradient[row], 0.1)
            square.lerp_(squared, 1 - forget)
            count = self.counts[name][row]
            count += 1
            times = float(count[0])
            spread = (square / (1 - forget**times)).sqrt_().add_(1e-10)
            value[row] -= rate * _RATES[name] * (mean / (1 - 0.9**times)) / spread
