"""Another generator's clips, imitated: our own renderer re-enacts training clips, and the films are named as found."""

from dataclasses import replace

import torch
from fakes import BySubject, Films, Waves, plan

from synthaug.body.mirroring import mirror
from synthaug.datamodule import Loading, SynthAugDataModule
from synthaug.files import write_reference
from synthaug.foreign import ForeignClips
from synthaug.motions.sidecar import Sidecar
from synthaug.motions.variation import Unvaried
from synthaug.structures import ClipFormat, Motion, Reference
from synthaug.synthesis.references import gather
from synthaug.synthesis.synthesizer import Synthesizer
from synthaug.video import write_video

CLIP = ClipFormat(num_frames=4, fps=5.0, size=48)


def generate(films, record, person, path, *, fps=14.0, seconds=None, spoil=None):
    """Write a film in which `person` re-enacts the record, with its pose beside it as a detector would find it.

    spoil: Changes the motion that is performed.
    """
    references = gather([record], Waves())
    motion = references.by_key[record.key].motion
    if spoil is not None:
        changed = Reference(spoil(motion), references.by_key[record.key].camera, 0.9)
        references = replace(references, by_key={record.key: changed})
        motion = changed.motion
    count = round((seconds or record.end - record.start) * fps)
    synth = plan(identities=1, backgrounds=1, variation=Unvaried(), min_shown=0.0, min_shown_half_second=0.0)
    synthesizer = Synthesizer(synth, references, ClipFormat(count, fps, 64), seed=person)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, synthesizer.render(replace(synthesizer.sample(0), start=0.0)).video, fps=fps)
    # A detector errs: by a degree or two, differently at each instant, and by some more all the time.
    rng = torch.Generator().manual_seed(person)
    noise = 0.02 * torch.randn(motion.pose.shape, generator=rng) + 0.03 * torch.randn(55, 3, generator=rng)
    seen = Motion.from_pose(motion.pose + noise, motion.transl, fps=motion.fps)
    kept = round(min(motion.duration, seconds or motion.duration) * motion.fps)
    seen = Motion.from_pose(seen.pose[:kept], seen.transl[:kept], fps=motion.fps)
    camera = references.by_key[record.key].camera
    short = replace(camera, viewmats=camera.viewmats[:kept], Ks=camera.Ks[:kept])
    write_reference(path.with_suffix(".npz"), Reference(seen, short, 0.9))


def mirrored(motion):
    return mirror(motion)


def late(motion, seconds=0.8):
    """The same performance, begun later: at first nothing happens."""
    count = round(seconds * motion.fps)
    pose = torch.cat([motion.pose[:1].expand(count, -1, -1), motion.pose[:-count]])
    return Motion.from_pose(pose, motion.transl, fps=motion.fps)


def standing(motion):
    """Somebody who stands there, as where the wrong person of a film was followed."""
    pose = motion.pose.clone()
    pose[:, :22] = 0
    return Motion.from_pose(pose, motion.transl, fps=motion.fps)


def settings(root, **changes):
    return ForeignClips(str(root), Waves(), **{"detector": Sidecar(), **changes})


def module(films, foreign, *, protocol=None, clip=CLIP, workers=0, **changes):
    data = SynthAugDataModule(
        films, protocol or BySubject(), synth=foreign, clip=clip, augmentation=None,
        loading=Loading(batch_size=4, num_workers=workers), **changes,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    return data


def films_in(folder, **changes):
    return Films(folder, **changes)
