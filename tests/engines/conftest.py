"""Clusters that run here: Ray with two nodes, and submitit's local executor."""

import os
from pathlib import Path

import pytest

from synthaug.engines.ray import Ray
from synthaug.engines.slurm import Slurm


@pytest.fixture(scope="session")
def cluster():
    """A Ray cluster of two nodes, of one core each."""
    pytest.importorskip("ray", reason="Ray (the extra ray) is not installed")
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # Ray's 15 gives its workers nothing beside the other processes that test
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def tests_importable(monkeypatch):
    """Lets other processes import what the tests import."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))


@pytest.fixture(params=["ray", "slurm"])
def engine(request, tmp_path, tests_importable):
    """Each engine, with two processes."""
    if request.param == "ray":
        return Ray(address=request.getfixturevalue("cluster").address)
    pytest.importorskip("submitit", reason="submitit (the extra launchers) is not installed")
    return Slurm(machines=2, cluster="local", logs=tmp_path / "logs")
