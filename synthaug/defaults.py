"""The defaults of conf/ as plain Python: the default synthesis, and the demo as a data module.

What `synthaug train` composes, these functions build. The parts are imported when a function is called.
"""

from typing import TYPE_CHECKING

from synthaug.datamodule import Loading, SynthAugDataModule
from synthaug.structures import ClipFormat
from synthaug.synthesis import Synthesis

if TYPE_CHECKING:
    from synthaug.avatars import AvatarPool
    from synthaug.backgrounds import Background
    from synthaug.cameras import CameraPath
    from synthaug.motions import MotionSource
    from synthaug.pseudoreal import FilmMaker

DEMO_VAL_SUBJECTS = ("p04", "p05")
"""Performers of the demo whose clips choose the checkpoint."""
DEMO_TEST_SUBJECTS = ("p06", "p07", "p08", "p09", "p10", "p11", "p12", "p13")
"""Performers of the demo who are tested on; the others are trained on."""


def default_synthesis(
    *,
    motion: "MotionSource | None" = None,
    avatar: "AvatarPool | None" = None,
    camera: "CameraPath | None" = None,
    background: "Background | None" = None,
    identities: int = 10,
    backgrounds: int = 3,
    per_class: int | None = None,
) -> Synthesis:
    """Build what `conf/` synthesises with by default, with the parts that you give in place of its own.

    Everything else is changed in the result, a frozen dataclass:

        synth = sa.default_synthesis(identities=20)
        synth = dataclasses.replace(synth, sensor=None, mirror=0.5, cache=None)

    Args:
        motion: Extracts the motions of training clips. None estimates them from the film itself, which needs the extra
            `pose`.
        avatar: The people. None chooses among forty procedural people, see `default_avatars`.
        camera: The views. None turns the reference's camera by up to 60 degrees.
        background: The places. None shows one half of the clips in the training clips' own empty scenes, the other
            half in procedural rooms.
        identities: People who re-enact every reference; 0 gives filmed clips alone.
        backgrounds: Places and views sampled for each reference and identity.
        per_class: Cap on synthetic clips of a class; None takes references x identities x backgrounds.

    Returns:
        Settings for `SynthAugDataModule(synth=...)`, whose renderer is gsplat where torch sees CUDA, and the CPU's
        elsewhere. Rendered people are cached in the user's cache.

    Raises:
        ValueError: If a number is negative.
    """
    from synthaug.backgrounds.emptied import EmptiedFilms
    from synthaug.cameras.orbit import Orbit
    from synthaug.motions.actions import ActionPrior
    from synthaug.motions.variation import Variation
    from synthaug.motions.video import VideoMotion
    from synthaug.renderers.auto import best_renderer
    from synthaug.sensors.camera import CameraSensor

    return Synthesis(
        motion=motion or VideoMotion(),
        variation=Variation(),
        avatar=avatar or default_avatars(),
        camera=camera or Orbit(),
        background=background or _plates_and_rooms(),
        renderer=best_renderer(),
        sensor=CameraSensor(),
        film=EmptiedFilms(),
        prior=ActionPrior(),
        identities=identities,
        backgrounds=backgrounds,
        per_class=per_class,
    )


def default_avatars(*, family: str = "studio", gaussians: int = 32_000, people: int = 40) -> "AvatarPool":
    """Build the procedural people of `conf/synth/avatar/anny.yaml`, with refined levels of detail.

    Args:
        family: Pools of clothes and hair: "studio", or "street", which the demo's film shows.
        gaussians: Number of Gaussians of each person at full detail, 1,000 to 36,000; 2,000 suit quick trials.
        people: How many may be sampled, up to a million. Each is built on first use in about five seconds, and kept in
            the user's cache.

    Raises:
        ValueError: If the family is unknown, or a number is out of range.
    """
    from synthaug.avatars.anny import AnnyPeople
    from synthaug.levels import Pyramid
    from synthaug.renderers.splatting.refinement import Refinement

    levels = Pyramid(refine=Refinement())
    return AnnyPeople(family=family, gaussians=gaussians, people=people, levels=levels)


def demo(
    *,
    identities: int = 10,
    backgrounds: int = 3,
    n_shot: int | None = 2,
    films: "FilmMaker | None" = None,
    clip: ClipFormat = ClipFormat(),  # noqa: B008 - frozen
    loading: Loading = Loading(),  # noqa: B008 - frozen
    seed: int = 0,
) -> SynthAugDataModule:
    """Build the embedded demo as a data module: what `synthaug train` runs without any argument.

    Nothing is downloaded. `prepare_data` renders 256 short films on first use, which takes some minutes on two cores.
    For other parts, pass `sa.Demo()` to `SynthAugDataModule` as you would pass film of your own.

    Args:
        identities: People who re-enact every training clip; 0 gives filmed clips alone.
        backgrounds: Places and views for each training clip and identity.
        n_shot: Training clips of each class; None takes all clips of the six people who are trained on.
        films: Makes other film, such as `PseudoReal(classes=["bow", "walk"])`; it needs 14 performers or more, since
            p04 to p13 validate and test. None makes the demo's own.
        clip: Length, rate and size of clips.
        loading: How clips become batches.
        seed: Decides the training clips, the places, recipes, order and augmentation.

    Raises:
        ValueError: If a number is negative.
    """
    from synthaug.backgrounds.places import Places
    from synthaug.backgrounds.rooms import Rooms
    from synthaug.cameras.orbit import Orbit
    from synthaug.datasets.demo import Demo
    from synthaug.datasets.protocols import CrossSubject
    from synthaug.motions.estimated import EstimatedMotion
    from synthaug.motions.sidecar import Sidecar

    synth = default_synthesis(
        # What an estimator would find in the film: the true motion stored beside it, with realistic noise, fitted
        # again.
        motion=EstimatedMotion(Sidecar()),
        background=Places(Rooms(), Orbit(azimuth_deg=(-30, 30)), seed=seed),
        identities=identities,
        backgrounds=backgrounds,
    )
    return SynthAugDataModule(
        Demo(films),
        CrossSubject(DEMO_TEST_SUBJECTS, DEMO_VAL_SUBJECTS, n_shot=n_shot, seed=seed),
        synth=synth,
        clip=clip,
        loading=loading,
        seed=seed,
    )


def _plates_and_rooms() -> "Background":
    from synthaug.backgrounds.mixture import Mixture
    from synthaug.backgrounds.plates import Plates
    from synthaug.backgrounds.rooms import Rooms

    return Mixture({"plates": Plates(), "rooms": Rooms()}, {"plates": 0.5, "rooms": 0.5})
