"""Sample recipes: everything that chance decides about a synthetic clip. The package's only use of `numpy.random`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import torch

from synthaug.body.blending import middle_of
from synthaug.structures import Actor, ClipFormat, Recipe, Record, Values
from synthaug.synthesis.performances import Performances
from synthaug.synthesis.settings import Synthesis

_SLOTS, _CAST, _RECIPES, _MIRROR = 1, 2, 3, 4
"""Random streams: sampling from one never changes another."""
MAX_BLEND_DISTANCE = 0.08
"""Metres between joints, root mean square, up to which two performances are similar enough to blend. More distant
performances use another hand, gait or way down, and their mean would be neither. Chosen on procedural actions alone:
opposite hands lie at 0.10 to 0.22, nearest pairs mostly below 0.07, but some actions pass through without a gap."""
MAX_PARTNER_TRIES = 6
"""Candidates that are compared before a clip goes without a partner."""


@dataclass(frozen=True)
class Slot:
    """One clip to be made, before the rest of it is sampled.

    Attributes:
        label: Class of the clip.
        reference: Index of the record that is re-enacted.
        identity: Index of the person.
        mirrored: Whether the mirror image is performed.
    """

    label: int
    reference: int
    identity: int
    mirrored: bool


class RecipeSampler:
    """The synthetic data set as a finite list of recipes, fixed by the seed.

    Args:
        synthesis: What to synthesise with.
        performances: Performances of the training clips that may be re-enacted.
        clip: How clips are cut.
        seed: Decides every recipe.
        lineage: Entries that are written into each recipe in addition to our own.
        mirror_labels: Label of the mirror image, by label; a class that is not among them has none. None if the data
            set does not say.

    Raises:
        ValueError: If mirror images are asked for, and the data set does not say what they show.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        performances: Performances,
        clip: ClipFormat,
        *,
        seed: int,
        lineage: Values | None = None,
        mirror_labels: Mapping[int, int] | None = None,
    ) -> None:
        if synthesis.mirror > 0 and mirror_labels is None:
            raise ValueError(
                f"Expected synth.mirror to be 0, got {synthesis.mirror}: the data set does not say which class the "
                "mirror image of each class belongs to. Set dataset.mirrored_classes ({} if left and right mean "
                "nothing), or synth.mirror=0."
            )
        self.synthesis = synthesis
        self.performances = performances
        self.references = performances.references
        self.clip = clip
        self.seed = seed
        self.lineage: Values = {**(lineage or {}), "synthaug": version("synthaug"), "seed": seed}
        self.identities = synthesis.avatar.sample(synthesis.identities, np.random.default_rng([seed, _CAST]))
        self._mirror_labels: Mapping[int, int] = mirror_labels or {}
        self._slots = self._allot()

    def __len__(self) -> int:
        """Number of synthetic clips."""
        return len(self._slots)

    def label(self, index: int) -> int:
        """Class of the clip at this index."""
        return self._slots[index].label

    def sample(self, index: int, *, generation: int = 0) -> Recipe:
        """Sample the recipe at this index. Depends on the seed, the index and the generation, and on nothing else.

        Args:
            index: 0 <= index < len(self).
            generation: How often the set has been sampled again.
        """
        slot = self._slots[index]
        record = self.references.records[slot.reference]
        rng = np.random.default_rng([self.seed, _RECIPES, generation, index])
        synthesis = self.synthesis
        actor = Actor(record.key, self.identities[slot.identity], synthesis.variation.sample(rng), slot.mirrored)
        camera, background = synthesis.camera.sample(rng), synthesis.background.sample(rng)
        sensor: Values = {} if synthesis.sensor is None else synthesis.sensor.sample(rng)
        start = round(float(rng.uniform(*self._start_bounds(actor))), 4)
        partner, share = self._sample_partner(record, rng)
        return Recipe(
            label=slot.label,
            actors=(replace(actor, partner=partner, share=share), *self._sample_companions(actor, rng)),
            camera=camera,
            background=background,
            sensor=sensor,
            start=start,
            fps=self.clip.fps,
            num_frames=self.clip.num_frames,
            size=(self.clip.size, self.clip.size),
            lineage={**self.lineage, "index": index, "generation": generation, "subject": record.subject},
        )

    def _allot(self) -> list[Slot]:
        """Every slot: class by class, references in turn, each in an order of its own.

        A mirror image counts for the class that it belongs to.
        """
        turns: dict[int, list[tuple[int, Slot]]] = {}
        position = {record.key: index for index, record in enumerate(self.references.records)}
        combinations = [who for who in range(len(self.identities)) for _ in range(self.synthesis.backgrounds)]
        for label in sorted({record.label for record in self.references.records}):
            records = self.references.of_class(label)
            orders = [
                np.random.default_rng([self.seed, _SLOTS, label, place]).permutation(len(combinations))
                for place in range(len(records))
            ]
            shares = np.random.default_rng([self.seed, _MIRROR, label]).random((len(combinations), len(records)))
            for turn in range(len(combinations)):
                for place, (record, order) in enumerate(zip(records, orders, strict=True)):
                    mirrored = bool(shares[turn, place] < self.synthesis.mirror) and label in self._mirror_labels
                    shown = self._mirror_labels[label] if mirrored else label
                    slot = Slot(shown, position[record.key], combinations[order[turn]], mirrored)
                    turns.setdefault(shown, []).append((turn, slot))
        ordered = [sorted(turns[label], key=lambda entry: entry[0]) for label in sorted(turns)]
        return [slot for entries in ordered for _, slot in entries[: self.synthesis.per_class]]

    def _start_bounds(self, actor: Actor) -> tuple[float, float]:
        """Seconds of the performance between which a clip may start: such that it shows the action's middle."""
        motion = self.performances.find(actor.motion).motion
        spare = max(motion.duration - self.clip.seconds, 0.0)
        crop = self.synthesis.crop
        if crop is None or spare == 0:
            return 0.0, spare
        middle = self.performances.times_of(motion, actor.variation, torch.tensor([middle_of(motion)]))
        first = float(middle) - self.clip.seconds / 2
        off = crop * self.clip.seconds / 2
        return min(max(first - off, 0.0), spare), min(max(first + off, 0.0), spare)

    def _sample_partner(self, record: Record, rng: np.random.Generator) -> tuple[str, float]:
        """Another, similar performance of the class, and its share; none by chance, or if none is similar."""
        if self.synthesis.blend == 0 or rng.random() >= self.synthesis.blend:
            return "", 0.0
        share = round(float(rng.uniform(0.1, 0.5)), 4)
        if self.performances.find(record.key).companions:
            # Two people who act together would have to stay together in the blend.
            return "", 0.0
        others = [other.key for other in self.references.of_class(record.label) if other.key != record.key]
        for place in rng.permutation(len(others))[:MAX_PARTNER_TRIES]:
            if self.performances.align(record.key, others[place]).distance <= MAX_BLEND_DISTANCE:
                return others[place], share
        return "", 0.0

    def _sample_companions(self, lead: Actor, rng: np.random.Generator) -> tuple[Actor, ...]:
        """Who takes part besides the acting person: other people if any are left, varied alike to stay in step."""
        count = len(self.performances.find(lead.motion).companions)
        if not count:
            return ()
        others = [who for who in self.identities if who != lead.identity] or [lead.identity]
        order = rng.permutation(len(others))
        return tuple(
            replace(lead, identity=others[order[place % len(others)]], person=1 + place) for place in range(count)
        )
