"""Limits each loader process to one thread, because clips are already processed in parallel.

A library that starts threads of its own in each worker takes cores from the other workers. numpy's OpenBLAS, for
example, wakes its thread pool to invert a 3x3 matrix, and the pool then spins for milliseconds.
"""

import torch
from threadpoolctl import threadpool_limits


def use_single_thread(worker: int = 0) -> None:
    """Limit torch and the BLAS libraries of this process to one thread, permanently; a `worker_init_fn`.

    OpenCV keeps its threads: `cv2.setNumThreads` in a forked process waits forever for the parent's threads.

    Args:
        worker: Number of the loader process; not used.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)
