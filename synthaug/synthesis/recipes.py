"""Sample recipes: everything that chance decides about a synthetic clip. The package's only use of `numpy.random`."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import torch

from synthaug.body.blending import middle_of
from synthaug.files import normalize_name
from synthaug.progress import track
from synthaug.structures import Actor, ClipFormat, Recipe, Record, Values
from synthaug.synthesis.performances import Performances
from synthaug.synthesis.settings import Synthesis

_SLOTS, _CAST, _RECIPES, _MIRROR, _SWAP, _PROPS, _FIT = 1, 2, 3, 4, 5, 8, 9
"""Random streams: sampling from one never changes another."""
MAX_BLEND_DISTANCE = 0.08
"""Metres between joints, root mean square, up to which two performances are similar enough to blend. More distant
performances use another hand, gait or way down, and their mean would be neither. Chosen on procedural actions alone:
opposite hands lie at 0.10 to 0.22, nearest pairs mostly below 0.07, but some actions pass through without a gap."""
MAX_PARTNER_TRIES = 6
"""Candidates that are compared before a clip goes without a partner."""


MAX_JUDGED = 20_000
"""Clips of a set up to which all are judged before training; in larger ones each is judged when it is sampled."""


@dataclass(frozen=True)
class Slot:
    """One clip to be made, before the rest of it is sampled.

    Attributes:
        label: Class of the clip.
        reference: Index of the record that is re-enacted.
        identity: Index of the person.
        mirrored: Whether the mirror image is performed.
        number: Place among all slots, those that cannot be shown too: it seeds the recipe.
    """

    label: int
    reference: int
    identity: int
    mirrored: bool
    number: int = 0


@dataclass(frozen=True)
class Shown:
    """How sampling went for the clips of one class.

    Attributes:
        resampled: Clips whose first recipe did not show the action, and a later one did.
        left_out: Clips that no recipe showed, and which are not in the set.
    """

    resampled: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Excluded:
    """What of `Synthesis.exclude` was found in a set.

    Attributes:
        motions: Keys of performances that no recipe uses, those of strangers at their places too.
        slots: Clips that would have performed them.
        clips: Digests of recipes that were met and sampled again.
    """

    motions: frozenset[str] = frozenset()
    slots: int = 0
    clips: frozenset[str] = frozenset()


def check_mirroring(share: float, mirror_labels: Mapping[int, int] | None) -> None:
    """Refuse mirror images of which nobody says what they show.

    Args:
        share: Of clips that are mirror images.
        mirror_labels: Label of the mirror image, by label; None if the data set does not say.

    Raises:
        ValueError: If there are some.
    """
    if share > 0 and mirror_labels is None:
        raise ValueError(
            f"Expected synth.mirror to be 0, got {share}: the data set does not say which class the mirror image of "
            "each class belongs to. Set dataset.mirrored_classes ({} if left and right mean nothing), or "
            "synth.mirror=0."
        )


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
        accepts: Whether a recipe shows its action. A recipe that does not is sampled again from the same stream; a
            clip for which that never helps is left out of the set.

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
        accepts: Callable[[Recipe], bool],
        lineage: Values | None = None,
        mirror_labels: Mapping[int, int] | None = None,
    ) -> None:
        check_mirroring(synthesis.mirror, mirror_labels)
        self.synthesis = synthesis
        self.performances = performances
        self.references = performances.references
        self.clip = clip
        self.seed = seed
        self.lineage: Values = {**(lineage or {}), "synthaug": version("synthaug"), "seed": seed}
        self.identities = synthesis.avatar.sample(synthesis.identities, np.random.default_rng([seed, _CAST]))
        self._mirror_labels: Mapping[int, int] = mirror_labels or {}
        self._accepts = accepts
        self._tried: dict[int, tuple[int, int]] = {}
        self._met: set[str] = set()
        named = synthesis.exclusions.motions
        self._shunned = frozenset(
            key for key in self.references.by_key
            if named and not {normalize_name(key), normalize_name(self.references.place_of(key))}.isdisjoint(named)
        )  # fmt: skip

    def __len__(self) -> int:
        """Number of synthetic clips."""
        return len(self._slots)

    @functools.cached_property
    def _slots(self) -> list[Slot]:
        """The slots whose action can be shown. Found on first use, when people are loaded.

        In sets beyond MAX_JUDGED all slots stay: judging costs 11 ms each, which is hours for millions.
        """
        if len(self._allotted) > MAX_JUDGED:
            return self._allotted
        return [slot for slot in track(self._allotted, "Choosing synthetic clips") if self._count_tries(slot)]

    @property
    def shown(self) -> dict[int, Shown]:
        """How sampling went, by class; classes where every first recipe showed its action are left out."""
        if len(self) == len(self._allotted) and not self._tried:
            return {}
        tries = [(slot.label, *self._tried.get(slot.number, (1, 0))) for slot in self._allotted]
        return {
            label: Shown(
                sum(one == label and n - met > 1 for one, n, met in tries),
                sum(one == label and n == 0 for one, n, _ in tries),
            )
            for label in sorted({label for label, n, met in tries if n == 0 or n - met > 1})
        }

    @property
    def excluded(self) -> Excluded:
        """What of `Synthesis.exclude` was found; in sets beyond MAX_JUDGED, clips as far as they were sampled."""
        _ = self._slots  # judged on first use, which meets the excluded clips
        lost = sum(self._performs_shunned(slot) for slot in self._planned)
        return Excluded(self._shunned, lost, frozenset(self._met))

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
        recipes = self._sample_endlessly(slot, generation)
        if generation or len(self._allotted) > MAX_JUDGED:
            tries = itertools.islice(recipes, self.synthesis.max_tries)
            found = next((one for one in tries if not self._is_excluded(one) and self._accepts(one)), None)
            if found is not None:
                return found
            # A set that is sampled anew keeps its clips: the first generation has a recipe for each. In a set too
            # large to be judged beforehand, a clip that no recipe shows keeps its first.
            recipes = self._sample_endlessly(slot, 0)
        if len(self._allotted) > MAX_JUDGED:
            return self._find_allowed(recipes)
        return next(itertools.islice(recipes, self._tried.get(slot.number, (1, 0))[0] - 1, None))

    def _find_allowed(self, recipes: Iterator[Recipe]) -> Recipe:
        """The first recipe that is not excluded."""
        tries = itertools.islice(recipes, self.synthesis.max_tries)
        found = next((one for one in tries if not self._is_excluded(one)), None)
        if found is None:
            raise ValueError(
                f"Expected a recipe that synth.exclude allows among synth.max_tries={self.synthesis.max_tries}, got "
                "none. Raise synth.max_tries, or exclude the motion instead of its clips."
            )
        return found

    def _is_excluded(self, recipe: Recipe) -> bool:
        """Whether the list of excluded clips names this recipe; it is noted as met."""
        clips = self.synthesis.exclusions.clips
        if not clips or (digest := recipe.digest) not in clips:
            return False
        self._met.add(digest)
        return True

    def _count_tries(self, slot: Slot) -> int:
        """How often the first generation samples until a recipe shows its action and is not excluded; 0 if none is.

        Kept if not 1, with the number of excluded ones.
        """
        count = met = 0
        tries = itertools.islice(self._sample_endlessly(slot, 0), self.synthesis.max_tries)
        for number, recipe in enumerate(tries, start=1):
            if self._is_excluded(recipe):
                met += 1
            elif self._accepts(recipe):
                count = number
                break
        if count != 1:
            self._tried[slot.number] = count, met
        return count

    def _sample_endlessly(self, slot: Slot, generation: int) -> Iterator[Recipe]:
        """Recipes of a slot, one after the other from one stream."""
        rng = np.random.default_rng([self.seed, _RECIPES, generation, slot.number])
        chance = np.random.default_rng([self.seed, _SWAP, generation, slot.number]).random()
        fitting = np.random.default_rng([self.seed, _FIT, generation, slot.number])
        props = np.random.default_rng([self.seed, _PROPS, generation, slot.number])
        while True:
            recipe = self._fit_place(self._sample_recipe(slot, generation, rng), fitting)
            recipe = self._add_props(recipe, slot, props)
            yield self._stay(recipe) if chance < self.synthesis.swap else recipe

    def _sample_recipe(self, slot: Slot, generation: int, rng: np.random.Generator) -> Recipe:
        record, synthesis = self.references.records[slot.reference], self.synthesis
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
            lineage={**self.lineage, "index": slot.number, "generation": generation, "subject": record.subject},
        )

    def _fit_place(self, recipe: Recipe, rng: np.random.Generator) -> Recipe:
        """The recipe in a place that fits its class; as it is where any place will do."""
        fit, background = self.synthesis.fit, self.synthesis.background
        if fit is None:
            return recipe
        place = fit.choose(recipe.label, recipe.background, background.sample, background.describe, rng)
        return replace(recipe, background=place)

    def _add_props(self, recipe: Recipe, slot: Slot, rng: np.random.Generator) -> Recipe:
        """The recipe with its things; as it is without any. They go by the performance, mirrored or not."""
        pool, record = self.synthesis.props, self.references.records[slot.reference]
        if pool is None:
            return recipe
        return replace(recipe, props=pool.sample(record.label, self.performances.find(record.key).people, rng))

    def _stay(self, recipe: Recipe) -> Recipe:
        """The recipe in the film, place and view that its motion is from; as it is where that film cannot be emptied.

        Others' paths are not blended into the person's, who stays where the filmed one was.
        """
        lead = recipe.actors[0]
        clip, begin = self.references.clip_of(lead.motion), self._begins[lead.motion]
        span = (begin, begin + self.performances.find(lead.motion).motion.duration)
        film = self.synthesis.film
        values = None if film is None else film.show_film(clip, span, at=recipe.start, fps=recipe.fps)
        if values is None:
            return recipe
        actors = tuple(replace(actor, partner="", share=0.0) for actor in recipe.actors)
        return replace(recipe, actors=actors, camera={}, background={"swapped": values})

    @functools.cached_property
    def _begins(self) -> dict[str, float]:
        """Seconds of its file at which each performance begins, by key."""
        found = self.references
        return {one.key: one.start + found.by_key[one.key].notes.get("offset", 0.0) for one in found.records}

    @functools.cached_property
    def _allotted(self) -> list[Slot]:
        """The slots whose motions are not excluded, class by class, up to the cap.

        Those that are there without a list keep their numbers, which seed their recipes; others follow behind them.
        """
        cap, planned = self.synthesis.per_class, self._planned
        if not self._shunned:
            return planned
        kept = [slot for slot in planned if not self._performs_shunned(slot)]
        numbers = itertools.count(len(planned))
        result: list[Slot] = []
        for entries in self._turns:
            ours = [slot for slot in kept if slot.label == entries[0].label]
            spare = [] if cap is None else [slot for slot in entries[cap:] if not self._performs_shunned(slot)]
            missing = 0 if cap is None else max(0, min(cap, len(entries)) - len(ours))
            result += ours + [replace(slot, number=next(numbers)) for slot in spare[:missing]]
        return result

    def _performs_shunned(self, slot: Slot) -> bool:
        return self.references.records[slot.reference].key in self._shunned

    @functools.cached_property
    def _planned(self) -> list[Slot]:
        """Every slot up to the cap, numbered, as if nothing were excluded."""
        slots = [slot for entries in self._turns for slot in entries[: self.synthesis.per_class]]
        return [replace(slot, number=number) for number, slot in enumerate(slots)]

    @functools.cached_property
    def _turns(self) -> list[list[Slot]]:
        """Every slot, not numbered: a list for each class, references in turn, each in an order of its own.

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
        return [[slot for _, slot in entries] for entries in ordered]

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
            if others[place] in self._shunned:
                continue  # still counted, so that the partners of other clips stay as they are
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
