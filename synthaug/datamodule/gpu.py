"""Clips drawn in the main process: what a loader's workers send there, and how a batch of it becomes pixels.

Between synthesis and the data module, where the renderer draws on a GPU. Workers stage recipes and put the bare place
where the clip will be; here all that a batch lacks is drawn in few calls, one batch ahead.
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

from synthaug.renderers import BatchRenderer, Shot
from synthaug.structures import Recipe, Rendering
from synthaug.synthesis import RenderJob, Synthesizer

Video = UInt8[Tensor, "time 3 height width"]
Collated = dict[str, Any]
"""A batch as a loader collates it: `video` uint8 [batch time 3 height width], and `undrawn`, bytes for each clip."""


@dataclass(frozen=True, eq=False)
class Undrawn:
    """A synthetic clip before it is drawn.

    Attributes:
        ticket: Epoch, index, and the lap where it is not the first.
        recipe: What it will be.
        staged: The recipe made concrete. People stay behind on the way between processes, for they are large and both
            sides have them; the place's frames travel as the clip's video.
    """

    ticket: tuple[int, ...]
    recipe: Recipe
    staged: RenderJob


class _Lean(pickle.Pickler):
    """Tensors as plain bytes: in shared memory, as torch sends them, each would take a file descriptor of its own."""

    def reducer_override(self, obj: Any) -> Any:
        return (torch.from_numpy, (obj.numpy(),)) if isinstance(obj, Tensor) else NotImplemented


def packed(clip: Undrawn) -> bytes:
    """For the way from a worker to the process that started it; never for a file."""
    scene = replace(clip.staged.scene, frames=clip.staged.scene.frames[:0])
    buffer = io.BytesIO()
    _Lean(buffer, protocol=5).dump(replace(clip, staged=replace(clip.staged, people=(), scene=scene)))
    return buffer.getvalue()


def unpacked(content: bytes, frames: Video, synthesizer: Synthesizer) -> Undrawn:
    """What `packed` sent, with its place's frames and its people again."""
    clip: Undrawn = pickle.loads(content)
    staged = replace(clip.staged, scene=replace(clip.staged.scene, frames=frames))
    return replace(clip, staged=synthesizer.with_people(clip.recipe, staged))


class Drawing:
    """Fills the gaps in batches.

    Args:
        renderer: Draws them, a batch at a time.
        synthesizer: Has the people and the cache.
        finish: Lays a rendering over its place, and does whatever comes after.
        threads: That finish clips side by side; their loops do not hold the interpreter's lock.
        ahead: Batches drawn while the step before them runs; 0 draws when asked.
    """

    def __init__(
        self,
        renderer: BatchRenderer,
        synthesizer: Synthesizer,
        finish: Callable[[Undrawn, Rendering], Video],
        *,
        threads: int = 1,
        ahead: int = 1,
    ) -> None:
        self.renderer = renderer
        self.synthesizer = synthesizer
        self.finish = finish
        self.threads = threads
        self.ahead = ahead

    def whole(self, loader: Iterable[Collated]) -> Iterator[tuple[Collated, float]]:
        """Batches without gaps, in order, and the seconds that drawing each took."""
        device = torch.cuda.current_device() if torch.cuda.is_available() else None
        coming: deque[Future[tuple[Collated, float]]] = deque()
        with (
            ThreadPoolExecutor(self.threads, "finishes", _settle, (None,)) as hands,
            ThreadPoolExecutor(1, "draws", _settle, (device,)) as easel,
        ):
            for batch in loader:
                coming.append(easel.submit(self._drawn, batch, hands))
                if len(coming) > self.ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _drawn(self, batch: Collated, hands: ThreadPoolExecutor) -> tuple[Collated, float]:
        start = time.perf_counter()
        video, gaps = batch["video"], batch["undrawn"]
        rows = [row for row, content in enumerate(gaps) if content]
        clips = [unpacked(gaps[row], video[row], self.synthesizer) for row in rows]
        renderings = self.renderer.render_clips([_shot(clip.staged) for clip in clips])
        for row, done in zip(rows, hands.map(self._finished, clips, renderings), strict=True):
            video[row] = done
        return {name: value for name, value in batch.items() if name != "undrawn"}, time.perf_counter() - start

    def _finished(self, clip: Undrawn, rendering: Rendering) -> Video:
        self.synthesizer.write_cache(clip.staged, rendering)
        return self.finish(clip, rendering)


def _settle(device: int | None) -> None:
    """One core for each thread, as in a worker; and this rank's CUDA device, for each thread begins at the first."""
    torch.set_num_threads(1)  # thread-local, as the loader's own pinning thread relies on
    if device is not None:
        torch.cuda.set_device(device)


def _shot(staged: RenderJob) -> Shot:
    return Shot(staged.people, staged.camera, staged.scene.depth is not None)
