"""Where a network computes, and how precisely."""

import re

import torch

from toolkit.errors import UserError


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; of several (`cuda:0,cuda:1`), the first. UserError if one isn't there."""
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
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if native else "float32"
    half = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=precision != "float32")
