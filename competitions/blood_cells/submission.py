"""The code submission: a flat zip of model.py and the blend's networks, which needs torch and numpy alone.

The networks are TorchScript files. torch.export is its successor, but a server's older torch can read the
former and not the latter, and an upload that bounces is worth less than a deprecation warning.
"""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from toolkit.competition import Classification, Prediction
from toolkit.recipe import Recipe

SERVER_SIDE = Path(__file__).with_name("server_model.py")
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the same blend makes the same bytes


def write(
    prediction: Prediction, path: Path, build_model: Callable[[Recipe], nn.Module], task: Classification
) -> None:
    """Write the zip of `prediction.members` to `path`."""
    example = torch.zeros((2, task.image_shape[2], *task.image_shape[:2]))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "model.py", SERVER_SIDE.read_bytes())
        for number, member in enumerate(prediction.members):
            network = build_model(replace(member.recipe, model=replace(member.recipe.model, pretrained=False)))
            network.load_state_dict(load_file(member.weights))
            _add(archive, f"network_{number}.pt", _script(network.eval(), example))
        _add(archive, "shares.json", json.dumps([member.share for member in prediction.members]).encode())


def _script(network: nn.Module, example: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, example), buffer)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, TIMESTAMP), content)
