"""The cluster of this process: asked for by `--cluster`, joined once the first fold needs it.

A cluster is one more place for folds beside the devices of this machine: `device` is then CLUSTER with what the folds
are to be trained on there, such as `cluster-cuda`.
"""

import atexit
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from toolkit.errors import UserError
from toolkit.networks.devices import CLUSTER
from toolkit.progress import SILENT, Progress

if TYPE_CHECKING:
    from toolkit.cluster.cluster import Cluster

KINDS = {"auto": CLUSTER, "cpu": f"{CLUSTER}-cpu", "cuda": f"{CLUSTER}-cuda"}
_asked: "list[tuple[str, str, Progress]]" = []  # the last that was asked for
_joined: "list[Cluster]" = []  # of this process, one at most: Ray has no more


def ask(address: str, device: str = "auto", progress: Progress = SILENT) -> str:
    """The device that stands for the cluster at an address: `local`, `auto` or `host:port`; nothing is started yet.

    UserError where Ray is missing, or for an address or a device that can't be meant.
    """
    if find_spec("ray") is None:
        raise UserError("--cluster needs Ray, which isn't installed; pip install '.[cluster]'")
    if address.startswith("ray://"):
        raise UserError(
            f"--cluster {address} is Ray's client; run the command on a machine of the cluster with --cluster auto, "
            "such as by `ray job submit`"
        )
    if address not in ("local", "auto") and not re.fullmatch(r"[^\s:]+:\d+|\[[0-9a-fA-F:]+\]:\d+", address):
        raise UserError(f"--cluster {address} is no address; give local, auto or host:port, such as 10.0.0.5:6379")
    if device not in KINDS:
        raise UserError(f"with --cluster a fold has one device of one machine: --device {', '.join(KINDS)}")
    if not _asked or _asked[0][:2] != (address, device):
        leave()
    _asked[:] = [(address, device, progress)]
    if _joined:
        _joined[0].progress = progress
    return KINDS[device]


def cluster() -> "Cluster":
    """The one that was asked for, joined where it isn't yet; UserError where that can't be."""
    if not _joined:
        from toolkit.cluster.cluster import Cluster
        from toolkit.cluster.connection import connect, disconnect

        address, device, progress = _asked[0]
        connect(address)
        atexit.register(leave)
        try:
            _joined.append(Cluster(device, progress))
        except UserError:
            disconnect()
            raise
    return _joined[0]


def leave() -> None:
    """End what this process has on the cluster, and a local one altogether."""
    if _joined:
        _joined.pop().close()
