"""Pictures of an avatar pack: a turntable, and rows of a contact sheet over a fixed set of motions."""

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.avatars import Avatar
from synthaug.avatars.packs import PackedPerson
from synthaug.body.skeleton import JOINT, mean_skeleton, retarget
from synthaug.motions.actions import Actions
from synthaug.renderers.cpu import CpuRenderer
from synthaug.runs.sheets import SheetRow, Strip
from synthaug.structures import Camera, Motion, Record

SHOWN_ACTIONS = ("hand waving", "cheer up", "squat down", "kicking something", "throw", "walk")
"""Actions of the contact sheet: arms up, legs bent and spread, the trunk turned; all on the spot."""
_GREY = 205


def render_pictures(path: Path, *, side: int = 256) -> tuple[UInt8[Tensor, "time 3 side side"], list[SheetRow]]:
    """Render a turntable of a pack, and rows of a contact sheet over SHOWN_ACTIONS.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is damaged.
    """
    person = PackedPerson(path)
    turntable = _render_over_grey(person, _turntable_motion(48), side)
    source, rows = Actions(), []
    for name in SHOWN_ACTIONS:
        motion = source.load(Record(f"{name}/studio/0", Path(name), 0, "", "", 0.0, 3.0)).motion
        fitted = retarget(motion, mean_skeleton(), person.skeleton)
        fitted = replace(fitted, transl=fitted.transl * torch.tensor([0.0, 1.0, 0.0]))
        rows.append(SheetRow(name, (Strip("", _render_over_grey(person, fitted, side)),)))
    return turntable, rows


def _turntable_motion(frames: int) -> Motion:
    """Standing with the arms half down, once around."""
    pose = torch.zeros(frames, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -0.9, 0.9
    pose[:, 0, 1] = torch.arange(frames) / frames * 2 * torch.pi
    return Motion.from_pose(pose, torch.zeros(frames, 3), fps=16.0)


def _render_over_grey(person: Avatar, motion: Motion, side: int) -> UInt8[Tensor, "time 3 side side"]:
    gaussians = person.pose(motion)
    centre = motion.transl.mean(0)
    distance = 2.4 * float(gaussians.means[:, 1].max() - gaussians.means[:, 1].min())
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, distance], [0, 0, 0, 1]])
    viewmat[:3, 3] += -viewmat[:3, :3] @ centre
    K = torch.tensor([[1.9 * side, 0, side / 2], [0, 1.9 * side, side / 2], [0, 0, 1]])
    frames = motion.num_frames
    camera = Camera(viewmat.repeat(frames, 1, 1), K.repeat(frames, 1, 1), side, side)
    rendering = CpuRenderer().render((gaussians,), camera)
    return (rendering.rgb.int() + (255 - rendering.alpha.int()) * _GREY // 255).clamp(0, 255).to(torch.uint8)
