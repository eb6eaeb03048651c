"""Recipes and their pixels: chance decides a Recipe, a Recipe decides a Clip.

Where motions, avatars, cameras, backgrounds and renderers meet, known by their interfaces alone.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from synthaug.avatars import Avatar, Cast
from synthaug.backgrounds import Background
from synthaug.body.blending import Alignment, align, blend, middle_of
from synthaug.body.contacts import reenact_together
from synthaug.body.mirroring import mirror_in_place
from synthaug.body.skeleton import centre_of, joint_positions, mean_skeleton, move_motion
from synthaug.cameras import CameraPath
from synthaug.compositing.layers import contact_shadow, darkened, hidden, over
from synthaug.compositing.sensor import Sensor
from synthaug.files import digest_of, motion_digest
from synthaug.motions import MotionSource, MotionVariation
from synthaug.renderers import Renderer
from synthaug.structures import (
    Actor,
    Camera,
    Clip,
    ClipFormat,
    Gaussians,
    Light,
    Motion,
    Recipe,
    Record,
    Reference,
    Rendering,
    Scene,
    Values,
)  # fmt: skip
from synthaug.synthesis.caching import FORMAT, RenderCache
from synthaug.synthesis.ground_truth import GroundTruth, ground_truth
from synthaug.synthesis.references import References

_SLOTS, _CAST, _RECIPES, _MIRROR = 1, 2, 3, 4
"""Streams of chance: drawing from one never moves another."""
_KIN = 0.08
"""Metres between joints, root mean square, up to which two performances are done alike. Beyond lie other hands, other
gaits and other ways down, whose mean would be neither. Chosen on procedural actions alone: opposite hands lie at 0.10
to 0.22, nearest pairs mostly below 0.07, but some actions pass through without a gap."""
_ASKED = 6
"""Candidates that are compared before a clip goes without a partner."""


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What to synthesise with, and how much of it.

    Attributes:
        motion: Takes motions out of training clips.
        variation: Varies how they are performed.
        avatar: The people to choose from.
        camera: Chooses the views.
        background: Chooses the places.
        renderer: Draws the people.
        sensor: What the picture goes through last; None leaves it clean.
        identities: People who re-enact every reference. 0 is the real-only baseline, on the same code path.
        backgrounds: Places and views drawn for each reference and identity.
        per_class: Cap on synthetic clips of a class; None takes references x identities x backgrounds.
        min_quality: Motions graded lower are dropped and counted.
        crop: How far the middle of the action (half of all movement is done) may lie from the middle of a clip: share
            of half its length. 0 centres it, 1 lets it be anywhere within, None takes any part of the motion, for long
            footage of one thing going on.
        mirror: Share of mirror images, whose label is that of the class that the data set names for them. 0 for none.
        blend: Share of clips in which two performances of one class, done alike, are blended into one.
        resample_every: Epochs after which all recipes are drawn anew; 0 keeps the finite set.
        cache: Keeps rendered people, and places that take long to build; None renders every time.
    """

    motion: MotionSource
    variation: MotionVariation
    avatar: Cast
    camera: CameraPath
    background: Background
    renderer: Renderer
    sensor: Sensor | None = None
    identities: int = 10
    backgrounds: int = 3
    per_class: int | None = None
    min_quality: float = 0.0
    crop: float | None = 0.8
    mirror: float = 0.0
    blend: float = 0.0
    resample_every: int = 0
    cache: RenderCache | None = None

    def __post_init__(self) -> None:
        for name in ("identities", "backgrounds", "resample_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} was given; 0 or more was wanted. Raise synth.{name}.")
        if self.per_class is not None and self.per_class < 0:
            raise ValueError(f"per_class={self.per_class} was given; null, 0 or more was wanted.")
        for name in ("crop", "mirror", "blend"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}={value} was given; a share from 0 to 1 was wanted. Set synth.{name}.")


@dataclass(frozen=True)
class Slot:
    """One clip to be made, before the rest of it is drawn.

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


@dataclass(frozen=True, eq=False)
class Staged:
    """A recipe made concrete, up to the rendering: all that a renderer and the compositing need.

    Attributes:
        people: The performers, lit.
        camera: The view.
        scene: The place.
        joints: World positions of the joints of each person.
        motions: What each person performs, fitted to their proportions.
        key: Names the rendering's pixels, whatever the background.
    """

    people: tuple[Gaussians, ...]
    camera: Camera
    scene: Scene
    joints: tuple[Float[Tensor, "time 55 3"], ...]
    motions: tuple[Motion, ...]
    key: str


class Synthesizer:
    """The synthetic data set: a finite list of recipes, and their clips.

    Args:
        plan: What to synthesise with.
        references: Training clips with their motions, and no others.
        clip: How clips are cut.
        seed: Decides every recipe.
        lineage: Written into each recipe beside our own entries.
        images: Label of the mirror image, by label; a class that is not among them has none. None: nothing is known.

    Raises:
        ValueError: If mirror images are asked for, and nothing is known of their labels.
    """

    def __init__(
        self,
        plan: Synthesis,
        references: References,
        clip: ClipFormat,
        *,
        seed: int,
        lineage: Values | None = None,
        images: Mapping[int, int] | None = None,
    ) -> None:
        if plan.mirror > 0 and images is None:
            raise ValueError(
                f"mirror={plan.mirror} was given for a data set that does not say which class the mirror image of each "
                "belongs to. Set dataset.mirrored_classes ({} if left and right mean nothing), or synth.mirror=0."
            )
        self._images: Mapping[int, int] = images or {}
        self._alignments: dict[tuple[str, str], Alignment] = {}
        self.plan = plan
        self.references = references
        self.clip = clip
        self.seed = seed
        self.lineage: Values = {**(lineage or {}), "synthaug": version("synthaug"), "seed": seed}
        self.identities = plan.avatar.draw(plan.identities, np.random.default_rng([seed, _CAST]))
        self._slots = self._allot()

    def meet(self) -> None:
        """Load all people, several at a time: before workers fork, so that they share what was built or read."""
        who, load = self.identities, self.plan.avatar.load
        with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
            for _ in track(pool.map(load, who), "Meeting people", len(who), transient=True, disable=len(who) < 2):
                pass

    def __len__(self) -> int:
        """Number of synthetic clips."""
        return len(self._slots)

    @property
    def possible_per_class(self) -> int:
        """Clips that one reference yields: identities x backgrounds."""
        return len(self.identities) * self.plan.backgrounds

    def label(self, index: int) -> int:
        """Class of the clip at this index."""
        return self._slots[index].label

    def sample(self, index: int, *, generation: int = 0) -> Recipe:
        """Draw the recipe at this index. Depends on the seed, the index and the generation, and on nothing else.

        Args:
            index: 0 <= index < len(self).
            generation: How often the set has been redrawn.
        """
        slot = self._slots[index]
        record = self.references.records[slot.reference]
        rng = np.random.default_rng([self.seed, _RECIPES, generation, index])
        plan = self.plan
        actor = Actor(record.key, self.identities[slot.identity], plan.variation.sample(rng), slot.mirrored)
        camera, background = plan.camera.sample(rng), plan.background.sample(rng)
        sensor: Values = {} if plan.sensor is None else plan.sensor.sample(rng)
        start = round(float(rng.uniform(*self._room(actor))), 4)
        partner, share = self._partner(record, rng)
        return Recipe(
            label=slot.label,
            actors=(replace(actor, partner=partner, share=share), *self._companions(actor, rng)),
            camera=camera,
            background=background,
            sensor=sensor,
            start=start,
            fps=self.clip.fps,
            num_frames=self.clip.num_frames,
            size=(self.clip.size, self.clip.size),
            lineage={**self.lineage, "index": index, "generation": generation, "subject": record.subject},
        )

    def render(self, recipe: Recipe) -> Clip:
        """The clip that a recipe decides; draws nothing, and does not depend on what was rendered before."""
        staged = self.stage(recipe)
        return self.finish(recipe, staged, self.people(staged))

    def truth(self, recipe: Recipe) -> GroundTruth:
        """Exact masks, parts and joints of the clip that a recipe decides, before its sensor: rendered anew.

        Raises:
            ValueError: If the renderer cannot label parts.
        """
        staged = self.stage(recipe)
        depth = staged.scene.depth
        rendering = self.plan.renderer.render(staged.people, staged.camera, depth=depth is not None, labels=True)
        if depth is not None:
            rendering = hidden(rendering, depth)
        return ground_truth(rendering, staged.joints, staged.camera)

    def people(self, staged: Staged) -> Rendering:
        """The staged people over nothing, out of the cache where it has them."""
        rendering = self.kept(staged)
        if rendering is None:
            rendering = self.plan.renderer.render(staged.people, staged.camera, depth=staged.scene.depth is not None)
            self.keep(staged, rendering)
        return rendering

    def kept(self, staged: Staged) -> Rendering | None:
        """The staged people out of the cache, or None where it has them not."""
        return None if self.plan.cache is None else self.plan.cache.read(staged.key)

    def keep(self, staged: Staged, rendering: Rendering) -> None:
        """Put the staged people's rendering into the cache, if there is one."""
        if self.plan.cache is not None:
            self.plan.cache.write(staged.key, rendering)

    def peopled(self, recipe: Recipe, staged: Staged) -> Staged:
        """The staging with its people, for one that came without: between processes motions travel, not avatars."""
        avatars = [self.plan.avatar.load(actor.identity) for actor in recipe.actors]
        return replace(staged, people=_lit(avatars, staged.motions, staged.scene.light))

    def stage(self, recipe: Recipe) -> Staged:
        """Make a recipe concrete: who stands where, seen by which camera, before what, in which light."""
        lead = self._take(recipe.actors[0].motion)
        times = recipe.start + torch.arange(recipe.num_frames, dtype=torch.float64) / recipe.fps
        motions = [self._motion(actor, times) for actor in recipe.actors]
        centre = torch.stack([centre_of(motion) for motion in motions]).mean(dim=0)
        own = self.view(lead, times, recipe.size)
        camera = self.plan.camera.path(recipe.camera, own, centre)
        scene = self._scene(recipe.background, camera.around(centre))
        if (
            scene.camera is not None
            and not _same(scene.camera, camera)
            and not _same(scene.camera, camera.around(centre))
        ):
            motions = [_placed(motion, centre, camera, scene) for motion in motions]
            camera = scene.camera
        return self._staged([self.plan.avatar.load(actor.identity) for actor in recipe.actors], motions, camera, scene)

    def finish(self, recipe: Recipe, staged: Staged, rendering: Rendering) -> Clip:
        """Lay rendered people over their place, and look at it through the sensor."""
        scene = staged.scene
        if scene.depth is not None:
            rendering = hidden(rendering, scene.depth)
        frames = scene.frames
        if scene.spot is not None:
            for joints in staged.joints:
                frames = darkened(frames, contact_shadow(joints, staged.camera, scene.light, depth=scene.depth))
        video = over(rendering, frames)
        if self.plan.sensor is not None:
            video = self.plan.sensor.apply(video, recipe.sensor)
        duration = min(self._take(actor.motion).motion.duration for actor in recipe.actors)
        looped = max(0, recipe.num_frames - math.ceil((duration - recipe.start) * recipe.fps))
        return Clip(
            key=recipe.key, video=video, fps=recipe.fps, label=recipe.label, subject=recipe.actors[0].identity,
            camera="synthetic", recipe=recipe, looped=looped,
        )  # fmt: skip

    @staticmethod
    def view(reference: Reference, times: Float[Tensor, " time"], size: tuple[int, int]) -> Camera:
        """The reference's own camera at these seconds, looped as the motion is, with a picture of this size."""
        motion, camera = reference.motion, reference.camera
        frames = torch.remainder(times * motion.fps, float(motion.num_frames)).long().clamp(max=motion.num_frames - 1)
        view = replace(camera, viewmats=camera.viewmats[frames], Ks=camera.Ks[frames])
        return view.scaled(height=size[0], width=size[1])

    def _allot(self) -> list[Slot]:
        """Every slot: class by class, references in turn, each in an order of its own.

        A mirror image counts for the class that it belongs to.
        """
        turns: dict[int, list[tuple[int, Slot]]] = {}
        position = {record.key: index for index, record in enumerate(self.references.records)}
        combinations = [who for who in range(len(self.identities)) for _ in range(self.plan.backgrounds)]
        for label in sorted({record.label for record in self.references.records}):
            records = self.references.of_class(label)
            orders = [
                np.random.default_rng([self.seed, _SLOTS, label, place]).permutation(len(combinations))
                for place in range(len(records))
            ]
            shares = np.random.default_rng([self.seed, _MIRROR, label]).random((len(combinations), len(records)))
            for turn in range(len(combinations)):
                for place, (record, order) in enumerate(zip(records, orders, strict=True)):
                    mirrored = bool(shares[turn, place] < self.plan.mirror) and label in self._images
                    shown = self._images[label] if mirrored else label
                    slot = Slot(shown, position[record.key], combinations[order[turn]], mirrored)
                    turns.setdefault(shown, []).append((turn, slot))
        ordered = [sorted(turns[label], key=lambda entry: entry[0]) for label in sorted(turns)]
        return [slot for entries in ordered for _, slot in entries[: self.plan.per_class]]

    def _room(self, actor: Actor) -> tuple[float, float]:
        """Seconds of the performance between which a clip may start: such that it shows the action's middle."""
        motion = self._take(actor.motion).motion
        spare = max(motion.duration - self.clip.seconds, 0.0)
        if self.plan.crop is None or spare == 0:
            return 0.0, spare
        middle = self._performed(motion, actor.variation, torch.tensor([middle_of(motion)]))
        first = float(middle) - self.clip.seconds / 2
        off = self.plan.crop * self.clip.seconds / 2
        return min(max(first - off, 0.0), spare), min(max(first + off, 0.0), spare)

    def _performed(self, motion: Motion, values: Values, seconds: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
        """When a performance shows these seconds of its motion, within one round."""
        times = np.linspace(0, motion.duration, 8 * motion.num_frames + 1)
        shown = self.plan.variation.seconds(motion, values, torch.from_numpy(times[:-1])).numpy()
        return torch.from_numpy(np.interp(seconds.double().numpy(), [*shown, motion.duration], times))

    def _partner(self, record: Record, rng: np.random.Generator) -> tuple[str, float]:
        """Another performance of the class that is done alike, and its share; none where chance or kinship say so."""
        if self.plan.blend == 0 or rng.random() >= self.plan.blend:
            return "", 0.0
        share = round(float(rng.uniform(0.1, 0.5)), 4)
        if self._take(record.key).companions:
            # Two who act together would have to be kept together through the blend.
            return "", 0.0
        others = [other.key for other in self.references.of_class(record.label) if other.key != record.key]
        for place in rng.permutation(len(others))[:_ASKED]:
            if self._alignment(record.key, others[place]).distance <= _KIN:
                return others[place], share
        return "", 0.0

    def _companions(self, lead: Actor, rng: np.random.Generator) -> tuple[Actor, ...]:
        """Who takes part beside the acting person: other people while there are any, varied alike to keep in step."""
        count = len(self._take(lead.motion).companions)
        if not count:
            return ()
        others = [who for who in self.identities if who != lead.identity] or [lead.identity]
        order = rng.permutation(len(others))
        return tuple(
            replace(lead, identity=others[order[place % len(others)]], person=1 + place) for place in range(count)
        )

    def _alignment(self, lead: str, partner: str) -> Alignment:
        if (lead, partner) not in self._alignments:
            motions = [self._take(key).motion for key in (lead, partner)]
            self._alignments[lead, partner] = align(motions[0], motions[1])
        return self._alignments[lead, partner]

    def _scene(self, values: Values, camera: Camera) -> Scene:
        """The place, out of the cache where it is worth keeping."""
        cache, background = self.plan.cache, self.plan.background
        if cache is None or not background.costly(values):
            return background.scene(values, camera)
        words = json.dumps([FORMAT, background.fingerprint, values, camera.height, camera.width], sort_keys=True)
        key = digest_of("scene", words, camera.viewmats, camera.Ks)
        scene = cache.read_scene(key, camera)
        if scene is None:
            scene = background.scene(values, camera)
            cache.write_scene(key, scene)
        return scene

    def _take(self, key: str) -> Reference:
        try:
            return self.references.takes[key]
        except KeyError:
            known = ", ".join(sorted(self.references.takes)[:3])
            raise KeyError(
                f"The recipe asks for the motion of '{key}', which is not among the "
                f"{len(self.references.takes)} references ({known}, ...). Replay recipes with the data set and the "
                "protocol that they were made with."
            ) from None

    def _motion(self, actor: Actor, times: Float[Tensor, " time"]) -> Motion:
        people = self._take(actor.motion).people
        if not 0 <= actor.person < len(people):
            raise ValueError(
                f"The recipe asks for person {actor.person} of '{actor.motion}', in which {len(people)} were found. "
                "Replay recipes with the motion source that they were made with."
            )
        motion = self.plan.variation.vary(people[actor.person], actor.variation, times)
        if actor.partner:
            motion = self._blended(motion, actor, times)
        # All in the same mirror, which stands where the acting person moves.
        return mirror_in_place(motion, people[0].transl) if actor.mirrored else motion

    def _blended(self, motion: Motion, actor: Actor, times: Float[Tensor, " time"]) -> Motion:
        """Frames of a performance, blended with its partner's, which shows the same moments with the same values."""
        lead, partner = self._take(actor.motion).motion, self._take(actor.partner).motion
        alignment = self._alignment(actor.motion, actor.partner)
        rounds = torch.floor(times.double() / lead.duration)
        shown = self.plan.variation.seconds(lead, actor.variation, times.double() - rounds * lead.duration)
        when = self._performed(partner, actor.variation, alignment.at(shown)) + rounds * partner.duration
        other = self.plan.variation.vary(partner, actor.variation, when)
        return blend(motion, other, actor.share, alignment)

    def _staged(self, avatars: list[Avatar], motions: list[Motion], camera: Camera, scene: Scene) -> Staged:
        fitted = reenact_together(motions, mean_skeleton(), [avatar.skeleton for avatar in avatars])
        pairs = list(zip(avatars, fitted, strict=True))
        people = _lit(avatars, fitted, scene.light)
        bodies = [part for avatar, motion in pairs for part in (avatar.digest, motion_digest(motion))]
        picture = repr((FORMAT, camera.height, camera.width, scene.light, scene.depth is not None))
        key = digest_of(self.plan.renderer.fingerprint, picture, camera.viewmats, camera.Ks, *bodies)
        joints = tuple(joint_positions(motion, avatar.skeleton) for avatar, motion in pairs)
        return Staged(people, camera, scene, joints, tuple(fitted), key)


def _lit(avatars: Sequence[Avatar], motions: Sequence[Motion], light: Light | None) -> tuple[Gaussians, ...]:
    people = [avatar.pose(motion) for avatar, motion in zip(avatars, motions, strict=True)]
    return tuple(people if light is None else [replace(person, light=light) for person in people])


def _same(a: Camera, b: Camera) -> bool:
    return torch.allclose(a.viewmats, b.viewmats, atol=1e-5) and torch.allclose(a.Ks, b.Ks, atol=1e-3)


def _azimuth(camera: Camera, point: Float[Tensor, "3"]) -> float:
    """Direction from a point to the camera's first position, about the vertical axis, radians."""
    viewmat = camera.viewmats[0]
    position = -viewmat[:3, :3].mT @ viewmat[:3, 3]
    away = position - point
    return math.atan2(float(away[0]), float(away[2]))


def _placed(motion: Motion, centre: Float[Tensor, "3"], camera: Camera, scene: Scene) -> Motion:
    """The motion on the spot of a filmed place, turned so that its camera sees the side that ours would have seen."""
    assert scene.camera is not None
    if scene.spot is None:
        raise ValueError(
            "The background gave a camera of its own and no spot to stand on; a filmed place needs both. "
            "Return Scene(camera=..., spot=...), or neither for a flat picture."
        )
    spot = motion.transl.new_tensor(scene.spot)
    turn = _azimuth(scene.camera, spot) - _azimuth(camera, centre)
    cos, sin = math.cos(turn), math.sin(turn)
    R = motion.transl.new_tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    floor = centre * centre.new_tensor([1.0, 0.0, 1.0])
    return move_motion(motion, R, spot - R @ floor)
