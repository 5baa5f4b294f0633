"""Files of weights, drawn, as pretrained ones lie in a user's folder."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file


def drawn(timm_name: str, seed: int = 0, **options: Any) -> dict[str, torch.Tensor]:
    """A network's tensors, none of which is as timm begins with it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = timm.create_model(timm_name, **options).state_dict()
        return {
            name: value + torch.rand_like(value) / 10 if value.is_floating_point() else value
            for name, value in state.items()
        }


def stored(folder: Path, timm_name: str, seed: int = 0, **options: Any) -> Path:
    path = folder / f"{timm_name}.{timm.get_pretrained_cfg(timm_name).tag}.safetensors"
    save_file(drawn(timm_name, seed, **options), path)
    return path
