"""To Ray and back: started here or reached at an address, without noise, page, or word to anyone else."""

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from toolkit.cluster.need import Need
from toolkit.errors import UserError

REACHED, ANSWERED = 5.0, 8.0  # seconds in which an address answers, and as Ray
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # without a GPU of its own a process sees none
    "RAY_DEDUP_LOGS": "0",
}
TOOLKIT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Machine:
    """What Ray knows of one. name: as it calls itself, with a piece of its ID where several do; memory: bytes that it
    gives away.
    """

    node: str
    name: str
    cpus: float
    gpus: float
    memory: float


def connect(address: str) -> None:
    """Start Ray on this machine (`local`), or join what runs at the address; UserError where there is nothing."""
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        return
    found = _found(address)
    _reach(found)
    code = {"py_modules": [str(TOOLKIT)], "excludes": ["__pycache__"]}  # the toolkit there is the one here
    try:
        ray.init(found, runtime_env=code, **quiet)
    except (RuntimeError, ConnectionError) as error:  # such as another version of Ray or Python
        raise UserError(f"the cluster {found} can't be joined: {' '.join(str(error).split())}") from None


def _found(address: str) -> str:
    """host:port, as other machines know it; of `auto` that of a Ray that runs here, or in $RAY_ADDRESS."""
    services: Any = import_module("ray._private.services")
    try:
        found: str | None = services.canonicalize_bootstrap_address(address)
    except ConnectionError:
        found = None
    except (OSError, ValueError) as error:
        raise UserError(f"{address} is no address of a cluster: {error}") from None
    if found is None:
        raise UserError("on this machine runs no Ray; start one by `ray start --head`, or say --cluster local")
    return found


def _reach(address: str) -> None:
    """UserError where nobody answers soon, or not as Ray, which itself would ask again for minutes."""
    host, _, port = address.rpartition(":")
    shown = "give the address that `ray start --head` shows, from a machine that reaches it"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"nothing answers at {address} ({error}); {shown}") from None
    heard: list[Any] = []
    asked = Thread(target=_ask, args=(address, heard), daemon=True)
    asked.start()
    asked.join(ANSWERED)
    if not heard:
        raise UserError(f"what answers at {address} is no head of a Ray cluster; {shown}")


def _ask(address: str, heard: list[Any]) -> None:
    raylet: Any = import_module("ray._raylet")  # compiled: without types
    with suppress(Exception):  # of whatever else answers there
        heard.append(raylet.GcsClient(address=address))


def disconnect() -> None:
    """Leave the cluster; one that was started here ends."""
    import ray

    ray.shutdown()


def machines() -> list[Machine]:
    """Those that are alive."""
    import ray

    nodes: Any = ray.nodes  # which has no types
    alive = [node for node in nodes() if node["Alive"]]
    names = [node["NodeManagerHostname"] for node in alive]

    def named(name: str, node: str) -> str:
        return f"{name}-{node[:6]}" if names.count(name) > 1 else name

    return [
        Machine(node["NodeID"], named(name, node["NodeID"]), *(_has(node, what) for what in ("CPU", "GPU", "memory")))
        for name, node in zip(names, alive, strict=True)
    ]


def _has(node: dict[str, Any], what: str) -> float:
    return float(node["Resources"].get(what, 0))


def places(found: Sequence[Machine], need: Need) -> int:
    """How many folds that take so much are trained at a time."""

    def of(machine: Machine) -> int:
        most = machine.cpus // need.cpus
        if need.gpus:
            most = min(most, machine.gpus // need.gpus + (machine.gpus % need.gpus > 0.999 * need.gpus))  # thirds
        return max(0, int(min(most, machine.memory // need.memory) if need.memory else most))

    return sum(map(of, found))
