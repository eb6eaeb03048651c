"""Several backgrounds in given shares."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.backgrounds import Background, NoSceneError, Outline
from synthaug.structures import Camera, Record, Reference, Scene, Values

logger = logging.getLogger(__name__)


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
                f"Expected weights to have one number of 0 or more for each part of {sorted(parts)}, not all 0, got "
                f"{dict(weights)}. Give parts and weights the same names."
            )
        self.parts = dict(parts)
        self.weights = {name: float(weights[name]) for name in self.parts}

    @property
    def fingerprint(self) -> str:
        """Changes with the parts; their shares decide values and not pixels."""
        names = repr([(name, self.parts[name].fingerprint) for name in sorted(self.parts)])
        return f"mixture/{hashlib.blake2b(names.encode(), digest_size=8).hexdigest()}"

    def sample(self, rng: np.random.Generator) -> Values:
        """A part, and values of that part."""
        names = [name for name, weight in self.weights.items() if weight > 0]
        shares = np.array([self.weights[name] for name in names])
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        return {"part": name, "values": self.parts[name].sample(rng)}

    def describe(self, values: Values) -> str:
        """What the sampled part says."""
        part, own = self._find_part(values)
        return part.describe(own)

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The scene of the sampled part.

        Raises:
            KeyError: If the recipe names a part that is not here.
        """
        part, own = self._find_part(values)
        return part.scene(own, camera)

    def outline(self, values: Values, camera: Camera) -> Outline:
        """The outline of the sampled part's scene; errors as for `scene`."""
        part, own = self._find_part(values)
        return part.outline(own, camera)

    def frame(self, values: Values, camera: Camera, points: Float[Tensor, "point 3"]) -> Values:
        """The sampled part's values, framed."""
        part, own = self._find_part(values)
        return {**values, "values": part.frame(own, camera, points)}

    def cacheable(self, values: Values) -> bool:
        """Whether the sampled part's scenes are cacheable."""
        part, own = self._find_part(values)
        return part.cacheable(own)

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The same mixture of the prepared parts; parts of weight 0 are left out.

        A part for which the films have nothing leaves its share to the others, in proportion, and a warning says so.

        Raises:
            NoSceneError: If the films have nothing for any part; the error is that of the first.
        """
        kept: dict[str, Background] = {}
        missing: dict[str, NoSceneError] = {}
        for name in (name for name, weight in self.weights.items() if weight > 0):
            try:
                kept[name] = self.parts[name].prepare(films)
            except NoSceneError as error:
                missing[name] = error
        if not kept:
            raise next(iter(missing.values()))
        for name, reason in missing.items():
            share = self.weights[name] / sum(self.weights.values())
            logger.warning("The share of '%s' (%.0f %%) goes to %s: %s", name, 100 * share, ", ".join(kept), reason)
        return Mixture(kept, {name: self.weights[name] for name in kept})

    def _find_part(self, values: Values) -> tuple[Background, Values]:
        name, own = values["part"], values["values"]
        if name not in self.parts:
            raise KeyError(
                f"Expected a recipe with one of the backgrounds {sorted(self.parts)}, got '{name}'. "
                "Replay recipes with the backgrounds that they were made with."
            )
        assert isinstance(name, str) and isinstance(own, dict)
        return self.parts[name], own
