"""A loader's process is one thread: what others start, it stops, whatever its parent has done before."""

import multiprocessing

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from synthaug.workers import use_single_thread


def busy() -> None:
    """Wake every library's threads."""
    np.linalg.inv(np.eye(3)[None].repeat(16, 0))
    square = np.random.default_rng(0).random((600, 600), np.float32)
    picture = cv2.GaussianBlur(cv2.resize((square * 255).astype(np.uint8), (1500, 1500)), (15, 15), 3)
    torch.from_numpy(square @ square).mm(torch.from_numpy(square)).sum()
    assert picture.shape == (1500, 1500)


def report(queue) -> None:
    use_single_thread()
    np.linalg.inv(np.eye(3)[None].repeat(16, 0))
    cv2.resize(np.zeros((90, 90, 3), np.uint8), (40, 40), interpolation=cv2.INTER_AREA)
    queue.put([torch.get_num_threads(), *(library["num_threads"] for library in threadpool_info())])


def test_a_forked_process_is_one_thread_though_its_parent_was_many():
    with threadpool_limits():
        busy()
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=report, args=(queue,), daemon=True)
        child.start()
        child.join(60)
        hung = child.is_alive()
        child.kill()
    assert not hung, "the process waits for ever"
    assert set(queue.get()) == {1}
