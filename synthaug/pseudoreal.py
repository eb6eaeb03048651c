"""Pseudo-real film: the demo's stand-in for a camera in somebody's home.

Made of families of people, rooms, styles and cameras that synthesis never draws from, on another path: supersampled,
through a sensor and a video codec. It is not film, and says so in every file's metadata.
"""

import json
from dataclasses import dataclass, replace
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
from synthaug.body import centre_of, joint_positions, mean_skeleton, resample, retarget
from synthaug.cameras import CameraPath
from synthaug.compositing import contact_shadow, darkened, hidden, over
from synthaug.datasets.demo import FilmMaker
from synthaug.files import digest_of, read_reference, write_reference
from synthaug.motions import MotionSource
from synthaug.recording import recorded
from synthaug.renderers import Renderer
from synthaug.sensor import Sensor
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import write_video
from synthaug.workers import single_threaded

_VERSION = 1
"""Raise when the same arguments would make other film."""
_CREW = 21
"""Stream of chance of the shooting."""


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
    """

    motion: MotionSource
    avatar: Cast
    camera: CameraPath
    background: Background
    renderer: Renderer
    sensor: Sensor


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


@final
class PseudoReal(FilmMaker):
    """Every performer performs every action once, each time in another room, before another camera.

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
        footage: Footage = Footage(),  # noqa: B008 - frozen
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
        views = [repr(stage.camera.sample(self._rng(0))), repr(stage.sensor.sample(self._rng(0)))]
        return digest_of(repr(choices), first, *parts, *views)

    def shoot(self, root: Path) -> list[Record]:
        """Make the films below `root` that are missing."""
        plans = [(label, who) for who in range(self._performers) for label in range(len(self._classes))]
        missing = [plan for plan in plans if not self._path(root, *plan).exists()]
        if missing:
            # The first one in this process compiles kernels that the workers then inherit.
            self.film(root, *missing[0])
            rest = _Shots(self, root, missing[1:])
            loader = DataLoader(
                rest, batch_size=None, num_workers=self._num_workers,
                multiprocessing_context="fork" if self._num_workers else None, worker_init_fn=single_threaded,
            )  # fmt: skip
            title = f"Shooting {len(missing)} pseudo-real clips"
            for _ in track(loader, total=len(rest), description=title):
                pass
        return [self._record(root, *plan) for plan in plans]

    def film(self, root: Path, label: int, who: int) -> None:
        """Shoot one performer's performance of one action, and keep its truth beside it."""
        reference, video = self._performance(label, who)
        path = self._path(root, label, who)
        write_reference(path.with_suffix(".npz"), reference)
        about = {
            "comment": json.dumps({"synthaug": "pseudo-real: rendered, not filmed", "action": self._classes[label]})
        }
        write_video(path, video, fps=self._footage.fps, metadata=about, crf=self._footage.crf)

    def _performance(self, label: int, who: int) -> tuple[Reference, UInt8[Tensor, "time 3 height width"]]:
        stage, footage = self._set, self._footage
        rng = self._rng(1, label, who)
        key = f"{self._classes[label]}/{self._family}/{self._seed * 1000 + who}"
        take = stage.motion.load(Record(key, Path(key), label, str(who), "", 0.0, footage.seconds))
        times = torch.arange(int(min(footage.seconds, take.motion.duration) * footage.fps)).double() / footage.fps
        motion = resample(take.motion, times, loop=False)
        side = footage.size * footage.supersampling
        own = replace(take.camera, viewmats=take.camera.viewmats[:1].expand(len(times), 4, 4),
                      Ks=take.camera.Ks[:1].expand(len(times), 3, 3)).scaled(height=side, width=side)  # fmt: skip
        camera = stage.camera.path(stage.camera.sample(rng), own, centre_of(motion))
        video = _downscaled(self._pictures(motion, camera, who, rng), footage.supersampling)
        video = recorded(video, stage.sensor.sample(rng))
        return Reference(motion, camera.scaled(height=footage.size, width=footage.size)), video

    def _pictures(self, motion: Motion, camera: Camera, who: int, rng: np.random.Generator) -> Tensor:
        stage = self._set
        performer = stage.avatar.load(self._cast()[who])
        motion = retarget(motion, mean_skeleton(), performer.skeleton)
        scene = stage.background.scene(stage.background.sample(rng), camera.around(centre_of(motion)))
        people = performer.pose(motion)
        if scene.light is not None:
            people = replace(people, light=scene.light)
        rendering = stage.renderer.render([people], camera, depth=scene.depth is not None)
        if scene.depth is not None:
            rendering = hidden(rendering, scene.depth)
        shadow = contact_shadow(joint_positions(motion, performer.skeleton), camera, scene.light, depth=scene.depth)
        return over(rendering, darkened(scene.frames, shadow))

    def _cast(self) -> tuple[str, ...]:
        return self._set.avatar.draw(self._performers, self._rng(2))

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, _CREW, *stream])

    def _path(self, root: Path, label: int, who: int) -> Path:
        return root / self._classes[label].replace("/", "-").replace(" ", "_") / f"p{who:02d}.mp4"

    def _record(self, root: Path, label: int, who: int) -> Record:
        path = self._path(root, label, who)
        frames = read_reference(path.with_suffix(".npz")).motion.num_frames
        key = str(path.relative_to(root).with_suffix(""))
        return Record(key, path, label, f"p{who:02d}", f"room-{who:02d}", 0.0, frames / self._footage.fps)


class _Shots(Dataset):
    """The films to shoot, for a DataLoader's processes."""

    def __init__(self, maker: PseudoReal, root: Path, plans: list[tuple[int, int]]) -> None:
        self._maker, self._root, self._plans = maker, root, plans

    def __len__(self) -> int:
        return len(self._plans)

    def __getitem__(self, index: int) -> int:
        self._maker.film(self._root, *self._plans[index])
        return index


def _downscaled(video: UInt8[Tensor, "time 3 height width"], factor: int) -> UInt8[Tensor, "time 3 small_h small_w"]:
    """Box-averaged, as a sensor's pixels and an area resize do."""
    if factor == 1:
        return video
    return torch.nn.functional.avg_pool2d(video.float(), factor).round().to(torch.uint8)
