"""Where a network computes, and how precisely."""

import os
import re

import torch

from toolkit.errors import UserError

CLUSTER = "cluster"  # begins the name of a place that is no device of this machine

# read with a GPU's first product of matrices: without it cuBLAS may sum in another order each time
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; of several (`cuda:0,cuda:1`), the first. UserError if one isn't there.

    Of a cluster it is what this machine does its own part on, such as scores.
    """
    if name.startswith(CLUSTER):
        return _resolve("cpu" if name.endswith("cpu") else "auto")
    first, *_ = [_resolve(one) for one in re.split("[,+]", name)]
    return first


def _resolve(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} can't be used: {str(error).splitlines()[0]}") from None
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """`auto` is bfloat16 on a GPU that has it, else float32; what is fastest to train is measured in speed.py."""
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" and has_bfloat16(device) else "float32"
    half = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=precision != "float32")


def has_bfloat16(device: torch.device) -> bool:
    """Does this GPU compute in it? An older one imitates it, slowly."""
    with torch.cuda.device(device):  # PyTorch asks the one that is chosen, which may be another
        found: bool = torch.cuda.is_bf16_supported(including_emulation=False)
    return found
