"""Renders the clips of a batch together in the main process, for renderers that run on a GPU.

The loader's workers sample and stage recipes, and send each synthetic clip with its background in place of its video.
Here all clips that a batch lacks are rendered in few calls, one batch ahead of training.
"""

import io
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.datamodule.order import SampleIndex
from synthaug.renderers import BatchRenderer, Shot
from synthaug.structures import Recipe, Rendering
from synthaug.synthesis import RenderJob, Synthesizer

Video = UInt8[Tensor, "time 3 height width"]
CollatedBatch = dict[str, Any]
"""A batch as a loader collates it: `video`, uint8 [batch time 3 height width], and `pending`, bytes for each clip."""


@dataclass(frozen=True, eq=False)
class PendingClip:
    """A synthetic clip that is staged but not rendered yet.

    Attributes:
        index: What the sampler asked for.
        recipe: What the clip will be.
        job: The recipe made concrete. While it is sent between processes it has no people, since they are large and
            both sides have them; the background's frames travel as the clip's video.
    """

    index: SampleIndex
    recipe: Recipe
    job: RenderJob


class InlineTensorPickler(pickle.Pickler):
    """Pickles tensors as plain bytes. torch would put each into shared memory, which takes a file descriptor each."""

    def reducer_override(self, obj: Any) -> Any:
        """Reduce a tensor to its numpy array; everything else as usual."""
        return (torch.from_numpy, (obj.numpy(),)) if isinstance(obj, Tensor) else NotImplemented


def pack_clip(clip: PendingClip) -> bytes:
    """Serialise a clip for the way from a worker to the process that started it; never for a file."""
    scene = replace(clip.job.scene, frames=clip.job.scene.frames[:0])
    buffer = io.BytesIO()
    InlineTensorPickler(buffer, protocol=5).dump(replace(clip, job=replace(clip.job, people=(), scene=scene)))
    return buffer.getvalue()


def unpack_clip(content: bytes, frames: Video, synthesizer: Synthesizer) -> PendingClip:
    """Restore a clip from `pack_clip`'s bytes, with its background's frames and its people."""
    clip: PendingClip = pickle.loads(content)
    job = replace(clip.job, scene=replace(clip.job.scene, frames=frames))
    return replace(clip, job=synthesizer.with_people(clip.recipe, job))


class BatchRendering:
    """Renders the pending clips of batches, ahead of training.

    Args:
        renderer: Renders people, a batch of clips at a time.
        synthesizer: Loads the people, and has the cache of renderings.
        finish: Turns a clip and its rendering into the finished video.
        threads: Number of threads that finish clips in parallel; their numba loops release the interpreter's lock.
        ahead: Number of batches rendered while training uses the one before; 0 renders each when it is asked for.
    """

    def __init__(
        self,
        renderer: BatchRenderer,
        synthesizer: Synthesizer,
        finish: Callable[[PendingClip, Rendering], Video],
        *,
        threads: int = 1,
        ahead: int = 1,
    ) -> None:
        self.renderer = renderer
        self.synthesizer = synthesizer
        self.finish = finish
        self.threads = threads
        self.ahead = ahead

    def complete_batches(self, loader: Iterable[CollatedBatch]) -> Iterator[tuple[CollatedBatch, float]]:
        """Yield batches in order, with every clip rendered, and the seconds that rendering each took."""
        device = torch.cuda.current_device() if torch.cuda.is_available() else None
        coming: deque[Future[tuple[CollatedBatch, float]]] = deque()
        with (
            ThreadPoolExecutor(self.threads, "finish", _set_up_thread, (None,)) as finishing_threads,
            ThreadPoolExecutor(1, "render", _set_up_thread, (device,)) as rendering_thread,
        ):
            for batch in loader:
                coming.append(rendering_thread.submit(self._complete_batch, batch, finishing_threads))
                if len(coming) > self.ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _complete_batch(self, batch: CollatedBatch, threads: ThreadPoolExecutor) -> tuple[CollatedBatch, float]:
        start = time.perf_counter()
        video, pending = batch["video"], batch["pending"]
        rows = [row for row, content in enumerate(pending) if content]
        clips = [unpack_clip(pending[row], video[row], self.synthesizer) for row in rows]
        renderings = self.renderer.render_clips([_make_shot(clip.job) for clip in clips])
        for row, finished in zip(rows, threads.map(self._finish_clip, clips, renderings), strict=True):
            video[row] = finished
        return {name: value for name, value in batch.items() if name != "pending"}, time.perf_counter() - start

    def _finish_clip(self, clip: PendingClip, rendering: Rendering) -> Video:
        self.synthesizer.write_cache(clip.job, rendering)
        return self.finish(clip, rendering)


def _set_up_thread(device: int | None) -> None:
    """Let a thread use one core, as a worker does, and this rank's CUDA device: new threads start with the first."""
    torch.set_num_threads(1)  # thread-local, as the loader's own pinning thread relies on
    if device is not None:
        torch.cuda.set_device(device)


def _make_shot(job: RenderJob) -> Shot:
    return Shot(job.people, job.camera, job.scene.depth is not None)
