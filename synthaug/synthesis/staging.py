"""Stage recipes: who stands where, seen by which camera, in which place and light. Samples nothing."""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.avatars import Avatar
from synthaug.backgrounds import Background, Outline
from synthaug.body.blending import blend
from synthaug.body.contacts import reenact_together
from synthaug.body.grounding import OffFloorError, floor_offsets, ground, lower
from synthaug.body.mirroring import mirror_in_place
from synthaug.body.skeleton import JOINT_NAMES, Skeleton, centre_of, joint_positions, mean_skeleton
from synthaug.body.support import find_rests
from synthaug.compositing.shadows import shade_seat
from synthaug.files import digest_of, motion_digest
from synthaug.props import Performer, Placed, Stage
from synthaug.structures import Actor, Camera, Gaussians, Light, Motion, Plain, Recipe, Reference, Scene, Values
from synthaug.synthesis.caching import FORMAT
from synthaug.synthesis.covering import cover_hair
from synthaug.synthesis.performances import Performances, find_swapped
from synthaug.synthesis.settings import Synthesis
from synthaug.synthesis.spots import move_to_spot
from synthaug.synthesis.visibility import BODY, find_filmed, find_visible, see_past

FREE = 1.0
"""Metres around the middle of a built room that its furniture leaves free; the default of `Rooms.free`."""
_SIDES = {"left": "right", "right": "left"}
_MIRRORED = [
    JOINT_NAMES.index("_".join(_SIDES.get(part, part) for part in name.split("_"))) for name in JOINT_NAMES[:BODY]
]
"""The joint on the other side of the body."""


@dataclass(frozen=True, eq=False)
class RenderJob:
    """A staged recipe: all that a renderer and the compositing need.

    Attributes:
        people: The performers, lit, and behind them the things.
        camera: The view.
        scene: The place.
        motions: What each person performs, fitted to their proportions.
        skeletons: Their proportions.
        fingerprints: Of the renderer, of each person, and of the things if there are any.
        placed: What they hold, wear and sit on, lit.
    """

    people: tuple[Gaussians, ...]
    camera: Camera
    scene: Scene
    motions: tuple[Motion, ...]
    skeletons: tuple[Skeleton, ...]
    fingerprints: tuple[str, ...]
    placed: tuple[Placed, ...] = ()

    @property
    def things(self) -> tuple[Gaussians, ...]:
        """What is placed, as it is rendered."""
        return tuple(one.gaussians for one in self.placed)

    @property
    def seats(self) -> tuple[Gaussians, ...]:
        """What people sit and lie on."""
        return tuple(one.gaussians for one in self.placed if one.top is not None)

    @functools.cached_property
    def joints(self) -> tuple[Float[Tensor, "time 55 3"], ...]:
        """World positions of the joints of each person."""
        return _find_joints(self.motions, self.skeletons)

    @functools.cached_property
    def key(self) -> str:
        """Names the rendering's pixels, whatever the background."""
        renderer, *others = self.fingerprints
        avatars, props = others[: len(self.motions)], others[len(self.motions) :]
        bodies = [part for name, motion in zip(avatars, self.motions, strict=True)
                  for part in (name, motion_digest(motion))]  # fmt: skip
        shapes = [digest_of(one.means, one.colors, one.T_world_rest) for one in self.things]
        camera, scene = self.camera, self.scene
        picture = repr((FORMAT, camera.height, camera.width, scene.light, scene.depth is not None))
        return digest_of(renderer, picture, camera.viewmats, camera.Ks, *bodies, *props, *shapes)


@dataclass(frozen=True, eq=False)
class Placement:
    """Who stands where, seen by which camera: a staged recipe before anything is rendered.

    Attributes:
        motions: What each person performs, fitted to their proportions.
        skeletons: Their proportions.
        camera: The view.
        asked: The view that the place was asked for, in the place's own frame.
        background: Values of the place, framed around the people.
        outline: What of the place hides people.
        free: x and z of the middle of the floor that a built place leaves free; None elsewhere.
        performers: The people as things are put in their hands; nobody without things.
    """

    motions: tuple[Motion, ...]
    skeletons: tuple[Skeleton, ...]
    camera: Camera
    asked: Camera
    background: Values
    outline: Outline
    free: tuple[float, float] | None = None
    performers: tuple[Performer, ...] = ()

    @functools.cached_property
    def joints(self) -> tuple[Float[Tensor, "time 55 3"], ...]:
        """World positions of the joints of each person."""
        return _find_joints(self.motions, self.skeletons)


@dataclass(frozen=True, eq=False)
class _View:
    """The middle of the people's paths, the view of them, the same in the place's frame, and the place's outline."""

    centre: Float[Tensor, "3"]
    camera: Camera
    asked: Camera
    outline: Outline


class Stager:
    """Turns recipes into render jobs.

    Args:
        synthesis: What the recipes were sampled from.
        performances: Performances of the training clips that they re-enact.
    """

    def __init__(self, synthesis: Synthesis, performances: Performances) -> None:
        self.synthesis = synthesis
        self.performances = performances
        self._filmed: dict[str, Bool[Tensor, " 22"]] = {}
        self._in_own_film: dict[str, Bool[Tensor, " 22"]] = {}
        self._skeletons: dict[str, Skeleton] = {}
        self._seated: dict[str, bool] = {}

    def stage(self, recipe: Recipe) -> RenderJob:
        """The render job that a recipe decides.

        Raises:
            KeyError: If the recipe names a motion that is not here.
            ValueError: If it names a person whom the motion lacks.
        """
        placed = self.place(recipe)
        scene = self._find_scene(self._choose_place(recipe), placed.background, placed.asked)
        return self._make_job(recipe, placed, scene)

    def place(self, recipe: Recipe) -> Placement:
        """Who stands where in the clip that a recipe decides; errors as for `stage`."""
        lead = self.performances.find(recipe.actors[0].motion)
        times = times_of(recipe)
        film = find_swapped(recipe)
        if film is not None:
            return self._stay(recipe, film, camera_at(lead, times, recipe.size), times)
        motions = [self._perform(actor, times) for actor in recipe.actors]
        view = self._look(recipe, motions, camera_at(lead, times, recipe.size))
        if view.outline.spot is not None:
            grounded = ground(motions)
            if any(one is not other for one, other in zip(motions, grounded, strict=True)):
                motions, view = grounded, self._look(recipe, grounded, camera_at(lead, times, recipe.size))
        return self._settle(recipe, motions, view)

    def _stay(self, recipe: Recipe, values: Values, own: Camera, times: Float[Tensor, " time"]) -> Placement:
        """People where the filmed ones are, seen by the camera that filmed them; mirrored with the finished picture.

        Camera and people are lowered together where these are off the floor (on a bed, or because the floor was
        guessed): that changes no picture, and shadows lie where people touch the ground.
        """
        plain = [replace(actor, mirrored=False) for actor in recipe.actors]
        motions, skeletons = [self._perform(actor, times) for actor in plain], [self._skeleton(who) for who in plain]
        fitted = reenact_together(motions, mean_skeleton(), skeletons)
        height = floor_offsets(fitted[0], skeletons[0])
        lowered = [lower(motion, height) for motion in fitted]
        performers = self._fit(recipe, lowered, seats=False)
        shown = tuple(one.motion for one in performers) or tuple(lowered)
        viewmats = own.viewmats.clone()
        viewmats[:, :3, 3] += viewmats[:, :3, 1] * height[:, None].to(viewmats)
        camera = replace(own, viewmats=viewmats)
        outline = self._choose_place(recipe).outline(values, camera)
        return Placement(shown, tuple(skeletons), camera, camera, values, outline, performers=performers)

    def _choose_place(self, recipe: Recipe) -> Background:
        """What shows the place of a recipe.

        Raises:
            ValueError: If it is swapped, and there is nothing to take people out of films with.
        """
        film = self.synthesis.film
        if find_swapped(recipe) is None:
            return self.synthesis.background
        if film is None:
            raise ValueError(
                "Expected synth.film to take people out of films, since the recipe is swapped, got none. Replay "
                "recipes with the settings that they were made with."
            )
        return film

    def _look(self, recipe: Recipe, motions: Sequence[Motion], own: Camera) -> _View:
        """The view of people who move like this, and what its place is like."""
        centre = centre_of(motions[0])
        if len(motions) > 1:
            centre = torch.stack([centre, *map(centre_of, motions[1:])]).mean(dim=0)
        path = self.synthesis.camera
        camera = path.aim(path.path(recipe.camera, own, centre), self._points(recipe, motions))
        asked = camera.around(centre)
        return _View(centre, camera, asked, self.synthesis.background.outline(recipe.background, asked))

    def _settle(self, recipe: Recipe, motions: Sequence[Motion], view: _View) -> Placement:
        """Put people where the place has them stand, and fit their motions to their proportions."""
        background, values = self.synthesis.background, recipe.background
        camera, outline = view.camera, view.outline
        filmed = outline.camera
        if filmed is not None and not _same_view(filmed, camera) and not _same_view(filmed, view.asked):
            motions = [move_to_spot(motion, view.centre, camera, outline) for motion in motions]
            values = background.frame(values, view.asked, self._points(recipe, motions).flatten(0, 1))
            outline = outline if values == recipe.background else background.outline(values, view.asked)
            assert outline.camera is not None, "framing a place leaves it its camera"
            camera = outline.camera
        skeletons = [self._skeleton(actor) for actor in recipe.actors]
        seats = not self._shows_seat(recipe.background)
        fitted = reenact_together(motions, mean_skeleton(), skeletons)
        performers = self._fit(recipe, fitted, seats=seats)
        shown = tuple(one.motion for one in performers) or tuple(fitted)
        # Places that are built around people have their middle there, and show the view that was asked for.
        built = filmed is not None and _same_view(filmed, view.asked)
        free = (float(view.centre[0]), float(view.centre[2])) if built else None
        return Placement(shown, tuple(skeletons), camera, view.asked, values, outline, free, performers)

    def shows_action(self, recipe: Recipe) -> bool:
        """Whether the clip that a recipe decides shows enough of its acting person: `Synthesis.min_shown`.

        Of a film that shows only part of a body, such as signs before a desk, that part is asked for. What cannot be
        put on the floor of its place shows nothing. Things hide as furniture does.
        """
        threshold = self.synthesis.threshold
        try:
            placed = self.place(recipe)
        except OffFloorError:
            return False
        visible = find_visible(placed.joints, placed.camera, placed.outline.depth_at)
        lead = recipe.actors[0]
        # In its own film a person shows what the film shows.
        asked = self._asked_joints(lead) if find_swapped(recipe) is None else self._filmed_joints(lead.motion)
        shows = threshold.accepts(visible[:, asked], recipe.fps)
        if shows and recipe.props:
            things = [one.gaussians for one in self.place_things(recipe, placed, None)]
            visible &= see_past(placed.joints[0], placed.camera, things)
            shows = threshold.accepts(visible[:, asked], recipe.fps)
        return shows

    def _filmed_joints(self, key: str) -> Bool[Tensor, " 22"]:
        """Which joints the film of a motion shows; all if it shows none."""
        if key not in self._in_own_film:
            reference = self.performances.find(key)
            filmed = find_filmed(joint_positions(reference.motion, mean_skeleton()), reference.camera)
            self._in_own_film[key] = filmed if bool(filmed.any()) else torch.ones_like(filmed)
        return self._in_own_film[key]

    def _asked_joints(self, actor: Actor) -> Bool[Tensor, " 22"]:
        """Which joints a clip of this actor's motion should show: all, unless the film has too few of them."""
        if actor.motion not in self._filmed:
            reference = self.performances.find(actor.motion)
            filmed = find_filmed(joint_positions(reference.motion, mean_skeleton()), reference.camera)
            enough = bool(filmed.float().mean() >= self.synthesis.min_shown) or not bool(filmed.any())
            self._filmed[actor.motion] = torch.ones_like(filmed) if enough else filmed
        filmed = self._filmed[actor.motion]
        return filmed[_MIRRORED] if actor.mirrored else filmed

    def _points(self, recipe: Recipe, motions: Sequence[Motion]) -> Float[Tensor, "time point 3"]:
        """Where the people of a clip go, as far as their films show them."""
        asked = self._asked_joints(recipe.actors[0])
        points = [joint_positions(one, mean_skeleton(), first=BODY) for one in motions]
        if not bool(asked.all()):
            points = [one[:, asked] for one in points]
        return points[0] if len(points) == 1 else torch.cat(points, dim=1)

    def _skeleton(self, actor: Actor) -> Skeleton:
        """Kept apart from the people, of whom a pool may hold few at a time."""
        if actor.identity not in self._skeletons:
            self._skeletons[actor.identity] = self._load(actor).skeleton
        return self._skeletons[actor.identity]

    def with_people(self, recipe: Recipe, job: RenderJob) -> RenderJob:
        """Add the people to a job that came without them: processes send each other motions, not avatars."""
        avatars = [self._load(actor) for actor in recipe.actors]
        people = cover_hair(_pose_people(avatars, job.motions, job.scene.light), job.placed, job.camera)
        return replace(job, people=(*people, *job.things))

    def _load(self, actor: Actor) -> Avatar:
        return self.synthesis.avatar.load(actor.identity)

    def _find_scene(self, background: Background, values: Values, camera: Camera) -> Scene:
        """The place; from the cache if it is worth keeping."""
        cache = self.synthesis.cache
        if cache is None or not background.cacheable(values):
            return background.scene(values, camera)
        words = json.dumps([FORMAT, background.fingerprint, values, camera.height, camera.width], sort_keys=True)
        key = digest_of("scene", words, camera.viewmats, camera.Ks)
        scene = cache.read_scene(key, camera)
        if scene is None:
            scene = background.scene(values, camera)
            cache.write_scene(key, scene)
        return scene

    def _perform(self, actor: Actor, times: Float[Tensor, " time"]) -> Motion:
        people = self.performances.find(actor.motion).people
        if not 0 <= actor.person < len(people):
            raise ValueError(
                f"Expected '{actor.motion}' to have a person number {actor.person} (from 0), got {len(people)} people. "
                "Replay recipes with the motion source that they were made with."
            )
        motion = self.synthesis.variation.vary(people[actor.person], actor.variation, times)
        if actor.partner:
            motion = self._blend(motion, actor, times)
        # All people are mirrored in the same plane, which goes through the acting person's path.
        return mirror_in_place(motion, people[0].transl) if actor.mirrored else motion

    def _blend(self, motion: Motion, actor: Actor, times: Float[Tensor, " time"]) -> Motion:
        """Frames of a performance, blended with its partner's, which shows the same moments with the same values."""
        lead, partner = self.performances.find(actor.motion).motion, self.performances.find(actor.partner).motion
        alignment = self.performances.align(actor.motion, actor.partner)
        rounds = torch.floor(times.double() / lead.duration)
        shown = self.synthesis.variation.seconds(lead, actor.variation, times.double() - rounds * lead.duration)
        when = self.performances.times_of(partner, actor.variation, alignment.at(shown)) + rounds * partner.duration
        other = self.synthesis.variation.vary(partner, actor.variation, when)
        return blend(motion, other, actor.share, alignment)

    def _fit(self, recipe: Recipe, motions: Sequence[Motion], *, seats: bool) -> tuple[Performer, ...]:
        """The people, their motions fitted to what they hold and lie on; nobody without things."""
        pool = self.synthesis.props
        if pool is None or not recipe.props:
            return ()
        performers = self._list_performers(recipe, motions)
        fitted = pool.fit(recipe.props, performers, seats=seats)
        return tuple(replace(who, motion=motion) for who, motion in zip(performers, fitted, strict=True))

    def _list_performers(self, recipe: Recipe, motions: Sequence[Motion]) -> list[Performer]:
        """Who performs, and which share of the performance each frame shows."""
        times = times_of(recipe)
        flipped = find_swapped(recipe) is not None  # then the finished picture is mirrored, and not the motion
        performers = []
        for actor, motion in zip(recipe.actors, motions, strict=True):
            lead = self.performances.find(actor.motion).motion
            within = torch.remainder(times, lead.duration)
            moments = self.synthesis.variation.seconds(lead, actor.variation, within) / lead.duration
            performers.append(Performer(motion, self._skeleton(actor), moments, actor.mirrored and not flipped))
        return performers

    def place_things(self, recipe: Recipe, placed: Placement, light: Light | None) -> list[Placed]:
        """What people hold and sit on in the clip of a recipe; nothing without things.

        Where a film shows the seat that the filmed person sat on, none is built.

        Raises:
            ValueError: If the recipe has things that are not here.
        """
        pool = self.synthesis.props
        if not recipe.props:
            return []
        if pool is None:
            raise ValueError(
                "Expected synth.props to have the things of a recipe, got none. Replay recipes with the settings that "
                "they were made with: synth/props=things."
            )
        shown = find_swapped(recipe) is not None or self._shows_seat(recipe.background)
        centre = None if placed.free is None else (*placed.free, FREE)
        stage = Stage(placed.camera, light, seats=not shown, centre=centre)
        return pool.place(recipe.props, placed.performers, stage)

    def _shows_seat(self, background: Values) -> bool:
        """Whether a place is film of somebody who rests on something, so that the plate shows that."""
        return self.synthesis.props is not None and any(
            self._rests(key) for key in _list_words(background) if key in self.performances.references.by_key
        )

    def _rests(self, key: str) -> bool:
        if key not in self._seated:
            self._seated[key] = bool(find_rests(self.performances.find(key).motion, mean_skeleton()))
        return self._seated[key]

    def _make_job(self, recipe: Recipe, placed: Placement, scene: Scene) -> RenderJob:
        avatars = [self._load(actor) for actor in recipe.actors]
        props = tuple(
            one if one.top is None else replace(one, gaussians=shade_seat(one.gaussians, placed.joints))
            for one in self.place_things(recipe, placed, scene.light)
        )
        people = cover_hair(_pose_people(avatars, placed.motions, scene.light), props, placed.camera)
        names = [self.synthesis.renderer.fingerprint, *[avatar.digest for avatar in avatars]]
        if props and self.synthesis.props is not None:
            names.append(self.synthesis.props.fingerprint)
        all_shown = (*people, *(one.gaussians for one in props))
        return RenderJob(all_shown, placed.camera, scene, placed.motions, placed.skeletons, tuple(names), props)


def times_of(recipe: Recipe) -> Float[Tensor, " time"]:
    """Seconds into the performance that the frames of a recipe's clip show."""
    return torch.from_numpy(recipe.start + np.arange(recipe.num_frames) / recipe.fps)


def _find_joints(motions: Sequence[Motion], skeletons: Sequence[Skeleton]) -> tuple[Float[Tensor, "time 55 3"], ...]:
    return tuple(joint_positions(motion, who) for motion, who in zip(motions, skeletons, strict=True))


def camera_at(reference: Reference, times: Float[Tensor, " time"], size: tuple[int, int]) -> Camera:
    """The reference's own camera at these seconds, looped as the motion is, with a picture of this height and width."""
    motion, camera = reference.motion, reference.camera
    last = motion.num_frames - 1
    frames = torch.from_numpy(np.minimum(np.remainder(times.numpy() * motion.fps, last + 1.0).astype(np.int64), last))
    view = Camera(camera.viewmats[frames], camera.Ks[frames], camera.width, camera.height)
    return view.scaled(height=size[0], width=size[1])


def _list_words(values: Plain) -> Iterator[str]:
    """All texts among plain values, however deep."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict | list):
        for part in values.values() if isinstance(values, dict) else values:
            yield from _list_words(part)


def _pose_people(avatars: Sequence[Avatar], motions: Sequence[Motion], light: Light | None) -> tuple[Gaussians, ...]:
    people = [avatar.pose(motion) for avatar, motion in zip(avatars, motions, strict=True)]
    return tuple(people if light is None else [replace(person, light=light) for person in people])


def _same_view(a: Camera, b: Camera) -> bool:
    return torch.allclose(a.viewmats, b.viewmats, atol=1e-5) and torch.allclose(a.Ks, b.Ks, atol=1e-3)
