"""Render pseudo-real film: the demo's stand-in for clips filmed in people's homes.

Its people, rooms, styles and cameras come from families that synthesis never uses, and it is made in a different way:
supersampled, then passed through a sensor model and a video codec. It is not film, and every file's metadata says so.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthaug.body.skeleton import centre_of, joint_positions, mean_skeleton, resample, retarget
from synthaug.compositing.layers import darken, occlude, over
from synthaug.compositing.shadows import contact_shadow, seat_shadow, shade_seat
from synthaug.files import digest_of, read_reference, shuffle_per_process, write_reference
from synthaug.progress import track
from synthaug.props import Performer, Stage
from synthaug.pseudoreal import FilmMaker
from synthaug.pseudoreal.camera import record_clip
from synthaug.pseudoreal.sets import FilmSet
from synthaug.structures import Camera, Gaussians, Motion, Record, Reference
from synthaug.video import write_video
from synthaug.workers import use_single_thread

_VERSION = 1
"""Part of the fingerprint; raise it when the same arguments would make a different film."""
FILMING_STREAM = 21
"""Random stream of filming; part of every generator's seed."""
ACTIONS = (
    "drink water", "eat meal", "phone call", "hand waving", "salute", "put palms together", "clapping",
    "kicking something", "punch", "bow", "sit down", "stand up", "lie down", "pick up", "walk", "jump up",
)  # fmt: skip
"""The demo's everyday actions, by label."""


@dataclass(frozen=True)
class Footage:
    """Format of the film.

    Attributes:
        size: Side of the square picture, pixels.
        fps: Frames per second.
        seconds: Longest film; an action that ends sooner makes a shorter one.
        supersampling: Frames are rendered this many times larger and averaged.
        crf: x264's rate factor; 24 shows blocks, as phones and security cameras do.
    """

    size: int = 128
    fps: float = 12.0
    seconds: float = 4.0
    supersampling: int = 2
    crf: int = 24


@dataclass(frozen=True)
class FilmJob:
    """One film to shoot.

    Attributes:
        label: Index of the action.
        performer: Index of the performer.
        view: Name of the camera; empty where there is only one.
    """

    label: int
    performer: int
    view: str


@final
class PseudoReal(FilmMaker):
    """Every performer performs every action once, each time in a different room and filmed by one camera or several.

    Args:
        stage: Where and with whom it is shot; None is the demo's own set, `synthaug.pseudoreal.street`.
        classes: Actions, by label.
        performers: Number of performers; each is a subject.
        family: Family of performer styles; should differ from the one that synthesis uses.
        footage: Format of the film.
        num_workers: Processes that shoot films in parallel.
        seed: Decides everything that is sampled.
    """

    def __init__(
        self,
        stage: FilmSet | None = None,
        *,
        classes: Sequence[str] = ACTIONS,
        performers: int = 16,
        family: str = "street",
        footage: Footage = Footage(),
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        if stage is None:
            from synthaug.pseudoreal.street import build_street

            stage = build_street()
        self._stage = stage
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
    def performers(self) -> tuple[str, ...]:
        """Names of the performers within the stage's avatars, by subject."""
        return self._stage.avatar.sample(self._performers, self._rng(2))

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides the pixels."""
        stage = self._stage
        parts = (stage.motion.fingerprint, stage.background.fingerprint, stage.renderer.fingerprint)
        choices = (_VERSION, self._classes, self._performers, self._family, self._footage, self._seed)
        first = stage.avatar.load(self.performers[0]).digest
        paths = [repr(stage.camera.sample(self._rng(0))), repr(stage.sensor.sample(self._rng(0)))]
        paths += [f"{name} {path.sample(self._rng(0))!r}" for name, path in stage.views.items()]
        paired = [] if stage.pairing is None else [repr(stage.pairing)]
        held = [] if stage.things is None else [repr(stage.things), stage.things.fingerprint]
        return digest_of(repr(choices), first, *parts, *paths, *paired, *held)

    def shoot(self, root: Path) -> list[Record]:
        """Make the missing films below `root`, and return the records of all of them."""
        jobs = [
            FilmJob(label, performer, view)
            for performer in range(self._performers)
            for label in range(len(self._classes))
            for view in self._stage.views or [""]
        ]
        missing = shuffle_per_process([job for job in jobs if not self.has_film(root, job)])
        if missing:
            # Shooting the first film here compiles kernels, which the workers inherit.
            self.film(root, missing[0])
            rest = _MissingFilms(self, root, missing[1:])
            loader = DataLoader(
                rest, batch_size=None, num_workers=self._num_workers,
                multiprocessing_context="fork" if self._num_workers else None, worker_init_fn=use_single_thread,
            )  # fmt: skip
            title = f"Shooting {len(missing)} pseudo-real clips"
            for _ in track(loader, title, len(missing), done=1):
                pass
        return [self._record(root, job) for job in jobs]

    def has_film(self, root: Path, job: FilmJob) -> bool:
        """Whether the film of a job exists."""
        return self._path(root, job).exists()

    def film(self, root: Path, job: FilmJob) -> None:
        """Shoot one performer doing one action, and write the true motion and camera beside the film."""
        reference, video = self._perform(job)
        path = self._path(root, job)
        write_reference(path.with_suffix(".npz"), reference)
        about = {"synthaug": "pseudo-real: rendered, not filmed", "action": self._classes[job.label]}
        metadata = {"comment": json.dumps(about)}
        write_video(path, video, fps=self._footage.fps, metadata=metadata, crf=self._footage.crf)

    def _perform(self, job: FilmJob) -> tuple[Reference, UInt8[Tensor, "time 3 height width"]]:
        stage, footage = self._stage, self._footage
        rng = self._rng(1, job.label, job.performer)
        key = f"{self._classes[job.label]}/{self._family}/{self._seed * 1000 + job.performer}"
        known = stage.motion.load(Record(key, Path(key), job.label, str(job.performer), "", 0.0, footage.seconds))
        times = torch.arange(int(min(footage.seconds, known.motion.duration) * footage.fps)).double() / footage.fps
        motion = resample(known.motion, times, loop=False)
        side = footage.size * footage.supersampling
        own = replace(known.camera, viewmats=known.camera.viewmats[:1].expand(len(times), 4, 4),
                      Ks=known.camera.Ks[:1].expand(len(times), 3, 3)).scaled(height=side, width=side)  # fmt: skip
        path = stage.views[job.view] if job.view else stage.camera
        camera = path.path(path.sample(rng), own, centre_of(motion))
        video = _downscale(self._render(motion, camera, job, rng), footage.supersampling)
        video = record_clip(video, stage.sensor.sample(rng))
        return Reference(motion, camera.scaled(height=footage.size, width=footage.size)), video

    def _render(self, motion: Motion, camera: Camera, job: FilmJob, rng: np.random.Generator) -> Tensor:
        stage = self._stage
        performer = stage.avatar.load(self.performers[job.performer])
        whole, motion = motion, retarget(motion, mean_skeleton(), performer.skeleton)
        own, (_, room) = stage.background.sample(rng), self._assign_room(job)
        place = own if room is None else stage.background.sample(self._rng(5, room))
        centre = centre_of(motion)
        scene = stage.background.scene(place, camera.around(centre))
        things, seats = list[Gaussians](), list[Gaussians]()
        if stage.things is not None:
            pool = stage.things.assign(self._classes)
            values = pool.sample(job.label, [whole], self._rng(6, job.label, job.performer))
            moments = torch.linspace(0, 1, motion.num_frames, dtype=torch.float64)
            [motion] = pool.fit(values, [Performer(motion, performer.skeleton, moments)])
            where = Stage(camera, scene.light, centre=(float(centre[0]), float(centre[2]), 1.0))
            placed = pool.place(values, [Performer(motion, performer.skeleton, moments)], where)
            joints = joint_positions(motion, performer.skeleton)
            seats = [shade_seat(one.gaussians, [joints]) for one in placed if one.top is not None]
            things = [*(one.gaussians for one in placed if one.top is None), *seats]
        people = performer.pose(motion)
        if scene.light is not None:
            people = replace(people, light=scene.light)
        rendering = stage.renderer.render([people, *things], camera, depth=scene.depth is not None)
        if scene.depth is not None:
            rendering = occlude(rendering, scene.depth)
        shadow = contact_shadow(joint_positions(motion, performer.skeleton), camera, scene.light, depth=scene.depth)
        for seat in seats:
            shadow = shadow * seat_shadow(seat, camera, scene.light, depth=scene.depth)
        return over(rendering, darken(scene.frames, shadow))

    def _assign_room(self, job: FilmJob) -> tuple[str, int | None]:
        pairing = self._stage.pairing
        return ("", None) if pairing is None else pairing.assign(job.label, job.performer)

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, FILMING_STREAM, *stream])

    def _path(self, root: Path, job: FilmJob) -> Path:
        name = f"p{job.performer:02d}-{job.view}" if job.view else f"p{job.performer:02d}"
        return root / self._classes[job.label].replace("/", "-").replace(" ", "_") / f"{name}.mp4"

    def _record(self, root: Path, job: FilmJob) -> Record:
        path = self._path(root, job)
        frames = read_reference(path.with_suffix(".npz")).motion.num_frames
        key, number = str(path.relative_to(root).with_suffix("")), f"{job.performer:02d}"
        seconds = frames / self._footage.fps
        camera = job.view or self._assign_room(job)[0] or f"room-{number}"
        return Record(key, path, job.label, f"p{number}", camera, 0.0, seconds)


class _MissingFilms(Dataset):
    """The films that are still missing, for a DataLoader's processes."""

    def __init__(self, maker: PseudoReal, root: Path, jobs: list[FilmJob]) -> None:
        self._maker, self._root, self._jobs = maker, root, jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, index: int) -> int:
        if not self._maker.has_film(self._root, self._jobs[index]):  # another process may have made it meanwhile
            self._maker.film(self._root, self._jobs[index])
        return index


def _downscale(video: UInt8[Tensor, "time 3 height width"], factor: int) -> UInt8[Tensor, "time 3 small_h small_w"]:
    """Average over boxes, as a sensor's pixels and an area resize do."""
    if factor == 1:
        return video
    return torch.nn.functional.avg_pool2d(video.float(), factor).round().to(torch.uint8)
