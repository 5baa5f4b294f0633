"""One training over several processes, each with a device: PyTorch's DistributedDataParallel, and what they agree on.

Every process makes the same batches from the same draws and takes its part of each; gradients are summed, so that
the weights stay the same everywhere. What decides how training goes on is decided by the first process.
Outside of such a group each function does what a process alone needs.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from toolkit.errors import UserError

T = TypeVar("T")


class Left(Exception):
    """This process's part is over; the first one goes on alone."""


@contextmanager
def joined(meeting: Path, rank: int, size: int, device: str) -> Iterator[None]:
    """Be one of `size` processes on this machine that find each other by the file `meeting`."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "gloo" if torch.device(device).type == "cpu" else "cpu:gloo,cuda:nccl"
    # a process that died is noticed by the one that started them all, so waiting here needs no limit
    dist.init_process_group(backend, meeting.as_uri(), timedelta(days=7), size, rank)
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def leave() -> None:
    """End the group: the first process goes on as one alone, in the others Left is raised."""
    if size() > 1:
        others = rank() > 0
        dist.destroy_process_group()
        if others:
            raise Left


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def first(decide: Callable[[], T]) -> T:
    """What the first process finds, for all of them; the others wait."""
    if size() == 1:
        return decide()
    found: list[Any] = [decide() if rank() == 0 else None]
    dist.broadcast_object_list(found, src=0, device=torch.device("cpu"))
    return found[0]


def summed(value: torch.Tensor) -> torch.Tensor:
    """The sum over all processes."""
    if size() == 1:
        return value
    result = value.detach().clone()
    dist.all_reduce(result)
    return result


def check(samples: int) -> None:
    """UserError where the smallest batch can't be divided."""
    if samples < size():
        raise UserError(f"a batch of {samples} can't be divided among {size()} devices; use fewer devices")


def parts(samples: int, most: int) -> list[slice]:
    """This process's part of a batch, in even pieces of at most `most` samples; as many pieces in every process.

    Alone, all of it. There must be as many samples as processes: `check`. Where one sample would be
    left alone, from which batch norm can't learn, a piece may have one more than `most`.
    """
    begin, end = samples * rank() // size(), samples * (rank() + 1) // size()
    pieces = min(samples // size(), ceil(ceil(samples / size()) / most))
    fewer = max(1, samples // size() // 2)
    if most > 1 and ceil(ceil(samples / size()) / fewer) <= most + 1:
        pieces = min(pieces, fewer)
    edges = [begin + (end - begin) * piece // pieces for piece in range(pieces + 1)]
    return [slice(*pair) for pair in pairwise(edges)]


def common_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` with batch norm over the parts of all processes. On CPUs each keeps to its own part: PyTorch's needs
    GPUs."""
    if size() == 1 or device.type != "cuda":
        return model
    from timm.layers import convert_sync_batchnorm

    found: nn.Module = convert_sync_batchnorm(model)
    return found


class Replica:
    """A network whose gradients are summed over all processes."""

    def __init__(self) -> None:
        self.key: tuple[int, ...] = ()
        self.wrapped: DistributedDataParallel | None = None

    @contextmanager
    def of(self, network: nn.Module, final: bool) -> Iterator[nn.Module]:
        """What to call in place of `network`; with `final`, its backward pass ends with gradients that are summed.

        Without, they are only added up here. The loss is to be multiplied by `size()`, as PyTorch takes the mean.
        """
        if size() == 1:
            yield network
            return
        # wrapped anew when other parameters are trained, as frozen ones are none of PyTorch's concern
        key = (id(network), *(id(p) for p in network.parameters() if p.requires_grad))
        if self.wrapped is None or key != self.key:
            # the first pass finds which parameters the loss doesn't reach, and PyTorch has it end with a sum: what
            # is the same everywhere already stays as it is in the next one
            self.key, self.wrapped, final = key, None, True
            self.wrapped = DistributedDataParallel(network, static_graph=True)
        waiting: AbstractContextManager[Any] = nullcontext() if final else self.wrapped.no_sync()
        with waiting:
            yield self.wrapped
