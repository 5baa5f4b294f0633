"""Machines of a cluster that are processes of this one, each with its own folder of what is sent to it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.cluster.connection import QUIET


class Simulated:
    """A cluster of machines with so many CPUs each, the first of which is its head; memory: bytes that each has."""

    def __init__(self, root: Path, machines: int, cpus: int = 1, memory: int | None = None) -> None:
        os.environ.update(QUIET)
        from ray.cluster_utils import Cluster

        self.root, self.cpus, self.memory, self.number = root, cpus, memory, 0
        # what nobody here asks for would take seconds to start
        head = {"include_dashboard": False, "no_monitor": True, "include_log_monitor": False, **self.described()}
        self.ray: Any = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.add(wait=False) for _ in range(machines - 1)]
        self.ray.wait_for_nodes()

    @property
    def address(self) -> str:
        return str(self.ray.address)

    def add(self, wait: bool = True) -> Any:
        return self.ray.add_node(wait=wait, **self.described())

    def described(self) -> dict[str, Any]:
        self.number += 1
        folder = self.root / f"machine{self.number}"
        return {"num_cpus": self.cpus, "memory": self.memory, "env_vars": {"TOOLKIT_CLUSTER_CACHE": str(folder)}}

    @property
    def others(self) -> list[str]:
        """Machines that may be lost: all but the head, by their IDs in Ray."""
        return [each.node_id for each in self.nodes]

    def lose(self, node: str) -> None:
        """Of a machine, by its ID in Ray, the power fails."""
        (found,) = (each for each in self.nodes if each.node_id == node)
        self.nodes.remove(found)
        self.ray.remove_node(found, allow_graceful=False)


@contextmanager
def simulated(root: Path, machines: int, cpus: int = 1, memory: int | None = None) -> Iterator[Simulated]:
    made = Simulated(root, machines, cpus, memory)
    try:
        yield made
    finally:
        from toolkit.cluster.place import leave

        leave()
        made.ray.shutdown()


def until(true: Any, seconds: float = 300.0) -> None:
    """Wait until it is so; a worker takes a minute to start on a busy machine."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
