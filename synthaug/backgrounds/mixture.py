"""Several backgrounds in given shares."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from synthaug.backgrounds import Background
from synthaug.structures import Camera, Record, Reference, Scene, Values


@final
class Mixture(Background):
    """One of several backgrounds for each clip.

    Args:
        parts: By name; names end up in recipes.
        weights: Share of each part, any positive scale; None gives all the same. A weight of 0 leaves a part out.
    """

    def __init__(self, parts: Mapping[str, Background], weights: Mapping[str, float | int] | None = None) -> None:
        weights = dict.fromkeys(parts, 1) if weights is None else weights
        if set(weights) != set(parts) or any(weight < 0 for weight in weights.values()) or not sum(weights.values()):
            raise ValueError(
                f"weights={dict(weights)} was given for parts {sorted(parts)}; one weight of 0 or more for each part, "
                "not all 0, was wanted. Give both the same names."
            )
        self.parts = dict(parts)
        self.weights = {name: float(weights[name]) for name in self.parts}

    @property
    def fingerprint(self) -> str:
        """Of the parts; their shares decide values and not pixels."""
        names = repr([(name, self.parts[name].fingerprint) for name in sorted(self.parts)])
        return f"mixture/{hashlib.blake2b(names.encode(), digest_size=8).hexdigest()}"

    def sample(self, rng: np.random.Generator) -> Values:
        """Which part, and what that part draws."""
        names = [name for name, weight in self.weights.items() if weight > 0]
        shares = np.array([self.weights[name] for name in names])
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        return {"part": name, "values": self.parts[name].sample(rng)}

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The scene of the part that was drawn.

        Raises:
            KeyError: If the recipe names a part that is not here.
        """
        part, drawn = self._part(values)
        return part.scene(drawn, camera)

    def costly(self, values: Values) -> bool:
        """As the part that was drawn says."""
        part, drawn = self._part(values)
        return part.costly(drawn)

    def among(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The same mixture of the parts restricted; parts of weight 0 are left out."""
        kept = {name: weight for name, weight in self.weights.items() if weight > 0}
        return Mixture({name: self.parts[name].among(films) for name in kept}, kept)

    def _part(self, values: Values) -> tuple[Background, Values]:
        name, drawn = values["part"], values["values"]
        if name not in self.parts:
            raise KeyError(
                f"The recipe asks for the background '{name}', and this mixture has {sorted(self.parts)}. "
                "Replay recipes with the backgrounds that they were made with."
            )
        assert isinstance(name, str) and isinstance(drawn, dict)
        return self.parts[name], drawn
