"""Pseudo-real film: the demo's stand-in for a camera in somebody's home.

Made of families of people, rooms, styles and cameras that synthesis never draws from, on another path: supersampled,
through a sensor and a video codec. It is not film, and says so in every file's metadata.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthaug.avatars import Cast
from synthaug.backgrounds import Background
from synthaug.body.skeleton import centre_of, joint_positions, mean_skeleton, resample, retarget
from synthaug.cameras import CameraPath
from synthaug.compositing.layers import contact_shadow, darkened, hidden, over
from synthaug.compositing.sensor import Sensor
from synthaug.datasets.demo import FilmMaker
from synthaug.demo.camera import recorded
from synthaug.files import digest_of, read_reference, shuffle_per_process, write_reference
from synthaug.motions import MotionSource
from synthaug.renderers import Renderer
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import write_video
from synthaug.workers import use_single_thread

_VERSION = 1
"""Raise when the same arguments would make other film."""
_CREW = 21
"""Stream of chance of the shooting."""


@dataclass(frozen=True)
class Pairing:
    """A few rooms, each of which goes with some of the actions: the bias that scenes give away what is done.

    Action 0 is filmed in room 0, action 1 in room 1, and so on, round and round. A film's camera is named "paired",
    "unseen" or "swapped".

    Attributes:
        rooms: How many.
        unseen: Performers who are filmed elsewhere, each time in another room.
        swapped: Performers who do each action in the room of the next.
    """

    rooms: int = 2
    unseen: Sequence[int] = ()
    swapped: Sequence[int] = ()

    def of(self, label: int, who: int) -> tuple[str, int | None]:
        """What a film's pairing is called, and the room that it is shot in; None is a room of its own."""
        if who in self.unseen:
            return "unseen", None
        if who in self.swapped:
            return "swapped", (label + 1) % self.rooms
        return "paired", label % self.rooms


@dataclass(frozen=True, eq=False)
class Set:
    """Where and with whom pseudo-real film is shot.

    Attributes:
        motion: Performs a record called `<action>/<family>/<seed>`.
        avatar: The performers.
        camera: The views.
        background: The rooms.
        renderer: Draws supersampled pictures.
        sensor: Draws what the picture goes through before the codec; `recording` applies it.
        views: Several cameras by name, each of which films every performance in its room, instead of `camera`.
        pairing: Which actions go with which rooms; None films each in a room of its own.
    """

    motion: MotionSource
    avatar: Cast
    camera: CameraPath
    background: Background
    renderer: Renderer
    sensor: Sensor
    views: Mapping[str, CameraPath] = field(default_factory=dict)
    pairing: Pairing | None = None


@dataclass(frozen=True)
class Footage:
    """How the film is cut and kept.

    Attributes:
        size: Side of the square picture, pixels.
        fps: Frames per second.
        seconds: Longest film; actions that end sooner make shorter ones.
        supersampling: Pictures are drawn this many times larger and averaged.
        crf: x264's rate factor; 24 shows blocks as a phone's or a security camera's film does.
    """

    size: int = 128
    fps: float = 12.0
    seconds: float = 4.0
    supersampling: int = 2
    crf: int = 24


@dataclass(frozen=True)
class Take:
    """One film to be shot.

    Attributes:
        label: Index of the action.
        who: Index of the performer.
        view: Name of the camera; empty where there is but one.
    """

    label: int
    who: int
    view: str


@final
class PseudoReal(FilmMaker):
    """Every performer performs every action once, each time in another room, before another camera or several.

    Args:
        stage: Where and with whom.
        classes: Actions, by label.
        performers: Number of performers; each is a subject.
        family: Family of performer styles; another than synthesis uses.
        footage: How the film is cut and kept.
        num_workers: Processes that shoot at once.
        seed: Decides everything.
    """

    def __init__(
        self,
        stage: Set,
        *,
        classes: list[str],
        performers: int = 18,
        family: str = "street",
        footage: Footage = Footage(),
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        self._set = stage
        self._classes = tuple(classes)
        self._performers = performers
        self._family = family
        self._footage = footage
        self._num_workers = num_workers
        self._seed = seed

    @property
    def classes(self) -> tuple[str, ...]:
        """The actions, by label."""
        return self._classes

    @property
    def fingerprint(self) -> str:
        """Of everything that decides the pixels."""
        stage = self._set
        parts = (stage.motion.fingerprint, stage.background.fingerprint, stage.renderer.fingerprint)
        choices = (_VERSION, self._classes, self._performers, self._family, self._footage, self._seed)
        first = stage.avatar.load(self._cast()[0]).digest
        paths = [repr(stage.camera.sample(self._rng(0))), repr(stage.sensor.sample(self._rng(0)))]
        paths += [f"{name} {path.sample(self._rng(0))!r}" for name, path in stage.views.items()]
        paired = [] if stage.pairing is None else [repr(stage.pairing)]
        return digest_of(repr(choices), first, *parts, *paths, *paired)

    def shoot(self, root: Path) -> list[Record]:
        """Make the films below `root` that are missing."""
        plans = [
            Take(label, who, view)
            for who in range(self._performers)
            for label in range(len(self._classes))
            for view in self._set.views or [""]
        ]
        missing = shuffle_per_process([plan for plan in plans if not self.filmed(root, plan)])
        if missing:
            # The first one in this process compiles kernels that the workers then inherit.
            self.film(root, missing[0])
            rest = _Shots(self, root, missing[1:])
            loader = DataLoader(
                rest, batch_size=None, num_workers=self._num_workers,
                multiprocessing_context="fork" if self._num_workers else None, worker_init_fn=use_single_thread,
            )  # fmt: skip
            title = f"Shooting {len(missing)} pseudo-real clips"
            for _ in track(loader, total=len(rest), description=title):
                pass
        return [self._record(root, plan) for plan in plans]

    def filmed(self, root: Path, take: Take) -> bool:
        """Whether a film is there."""
        return self._path(root, take).exists()

    def film(self, root: Path, take: Take) -> None:
        """Shoot one performer's performance of one action, and keep its truth beside it."""
        reference, video = self._performance(take)
        path = self._path(root, take)
        write_reference(path.with_suffix(".npz"), reference)
        about = {
            "comment": json.dumps(
                {"synthaug": "pseudo-real: rendered, not filmed", "action": self._classes[take.label]}
            )
        }
        write_video(path, video, fps=self._footage.fps, metadata=about, crf=self._footage.crf)

    def _performance(self, take: Take) -> tuple[Reference, UInt8[Tensor, "time 3 height width"]]:
        stage, footage = self._set, self._footage
        rng = self._rng(1, take.label, take.who)
        key = f"{self._classes[take.label]}/{self._family}/{self._seed * 1000 + take.who}"
        known = stage.motion.load(Record(key, Path(key), take.label, str(take.who), "", 0.0, footage.seconds))
        times = torch.arange(int(min(footage.seconds, known.motion.duration) * footage.fps)).double() / footage.fps
        motion = resample(known.motion, times, loop=False)
        side = footage.size * footage.supersampling
        own = replace(known.camera, viewmats=known.camera.viewmats[:1].expand(len(times), 4, 4),
                      Ks=known.camera.Ks[:1].expand(len(times), 3, 3)).scaled(height=side, width=side)  # fmt: skip
        path = stage.views[take.view] if take.view else stage.camera
        camera = path.path(path.sample(rng), own, centre_of(motion))
        video = _downscaled(self._pictures(motion, camera, take, rng), footage.supersampling)
        video = recorded(video, stage.sensor.sample(rng))
        return Reference(motion, camera.scaled(height=footage.size, width=footage.size)), video

    def _pictures(self, motion: Motion, camera: Camera, take: Take, rng: np.random.Generator) -> Tensor:
        stage = self._set
        performer = stage.avatar.load(self._cast()[take.who])
        motion = retarget(motion, mean_skeleton(), performer.skeleton)
        own, (_, room) = stage.background.sample(rng), self._pairing(take)
        place = own if room is None else stage.background.sample(self._rng(5, room))
        scene = stage.background.scene(place, camera.around(centre_of(motion)))
        people = performer.pose(motion)
        if scene.light is not None:
            people = replace(people, light=scene.light)
        rendering = stage.renderer.render([people], camera, depth=scene.depth is not None)
        if scene.depth is not None:
            rendering = hidden(rendering, scene.depth)
        shadow = contact_shadow(joint_positions(motion, performer.skeleton), camera, scene.light, depth=scene.depth)
        return over(rendering, darkened(scene.frames, shadow))

    def _pairing(self, take: Take) -> tuple[str, int | None]:
        pairing = self._set.pairing
        return ("", None) if pairing is None else pairing.of(take.label, take.who)

    def _cast(self) -> tuple[str, ...]:
        return self._set.avatar.draw(self._performers, self._rng(2))

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, _CREW, *stream])

    def _path(self, root: Path, take: Take) -> Path:
        name = f"p{take.who:02d}-{take.view}" if take.view else f"p{take.who:02d}"
        return root / self._classes[take.label].replace("/", "-").replace(" ", "_") / f"{name}.mp4"

    def _record(self, root: Path, take: Take) -> Record:
        path = self._path(root, take)
        frames = read_reference(path.with_suffix(".npz")).motion.num_frames
        key, who = str(path.relative_to(root).with_suffix("")), f"{take.who:02d}"
        seconds = frames / self._footage.fps
        camera = take.view or self._pairing(take)[0] or f"room-{who}"
        return Record(key, path, take.label, f"p{who}", camera, 0.0, seconds)


class _Shots(Dataset):
    """The films to shoot, for a DataLoader's processes."""

    def __init__(self, maker: PseudoReal, root: Path, plans: list[Take]) -> None:
        self._maker, self._root, self._plans = maker, root, plans

    def __len__(self) -> int:
        return len(self._plans)

    def __getitem__(self, index: int) -> int:
        if not self._maker.filmed(self._root, self._plans[index]):  # another process may have been quicker
            self._maker.film(self._root, self._plans[index])
        return index


def _downscaled(video: UInt8[Tensor, "time 3 height width"], factor: int) -> UInt8[Tensor, "time 3 small_h small_w"]:
    """Box-averaged, as a sensor's pixels and an area resize do."""
    if factor == 1:
        return video
    return torch.nn.functional.avg_pool2d(video.float(), factor).round().to(torch.uint8)
