"""A loader's process is one thread: what others start, it stops."""

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from synthaug.workers import single_threaded


def test_every_library_is_limited_to_one_thread():
    before = cv2.getNumThreads()
    with threadpool_limits():  # which puts back what the limit below changes
        single_threaded()
        np.linalg.inv(np.eye(3)[None].repeat(16, 0))
        assert torch.get_num_threads() == 1 and cv2.getNumThreads() == 1
        assert all(library["num_threads"] == 1 for library in threadpool_info())
    cv2.setNumThreads(before)
