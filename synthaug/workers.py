"""What a loader's process does before its first clip: be one thread.

Parallelism is over clips. A library that starts threads of its own in each worker takes cores from the other workers:
numpy's OpenBLAS wakes its pool for the inverse of a 3x3 matrix, and the pool then spins for milliseconds.
"""

import torch
from threadpoolctl import threadpool_limits


def single_threaded(worker: int = 0) -> None:
    """Limit torch and the BLAS libraries of this process to one thread, for good; a `worker_init_fn`.

    OpenCV is left alone: told so in a forked process, it waits for ever for threads that stayed behind in the parent.

    Args:
        worker: Number of the loader's process; does not matter.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)
