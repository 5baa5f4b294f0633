"""Trained networks as TorchScript files, which run where neither timm nor smp nor this project is installed.

    python -m toolkit.submission.torchscript '{"competition": …, "members": […], "folder": …, "half": …}'

torch.export is the successor, but a server's older torch reads the former and not the latter, and an upload
that bounces is worth less than a deprecation warning. A process of its own does it: the names of classes
inside a file depend on all that was traced before, and the same blend must make the same bytes.
"""

import io
import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.answers import Member
from toolkit.competition import load_competition
from toolkit.errors import UserError
from toolkit.recipe import from_dict, to_dict

VARYING = (".debug_pkl", "serialization_id")  # paths of the source files, and a hash that covers them


def export(competition: Path, members: Sequence[Member], folder: Path, half: bool = False) -> list[Path]:
    """`network_<i>.pt` for each member, in `folder`; with `half`, parameters lie there as float16.

    The same members give the same bytes, whatever ran before and wherever the project lies. Raises UserError
    if it fails.
    """
    job = {
        "competition": str(competition.resolve()),
        "members": [{"recipe": to_dict(m.recipe), "weights": str(m.weights.resolve())} for m in members],
        "folder": str(folder.resolve()),
        "half": half,
    }
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-m", "toolkit.submission.torchscript", json.dumps(job)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"the networks can't be exported: {last}")
    return [folder / f"network_{number}.pt" for number in range(len(members))]


def _export(job: dict[str, Any]) -> None:
    import torch

    from toolkit.networks.network import load_network

    competition = load_competition(job["competition"])
    height, width, channels = competition.task.image_shape
    example = torch.zeros((2, channels, height, width))
    for number, member in enumerate(job["members"]):
        recipe = from_dict(member["recipe"])
        recipe = replace(recipe, model=replace(recipe.model, pretrained=False))
        network = load_network(competition, recipe, Path(member["weights"]), torch.device("cpu"))
        network = network.to(memory_format=torch.contiguous_format)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(network, example, check_trace=False)  # the sandbox compares labels
            if job["half"]:
                for parameter in traced.parameters():
                    parameter.data = parameter.data.half()
            buffer = io.BytesIO()
            torch.jit.save(traced, buffer)
        (Path(job["folder"]) / f"network_{number}.pt").write_bytes(_without_varying(buffer))


def _without_varying(file: io.BytesIO) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as target:
        for member in source.infolist():
            if not member.filename.endswith(VARYING):
                target.writestr(zipfile.ZipInfo(member.filename), source.read(member))
    return result.getvalue()


if __name__ == "__main__":
    _export(json.loads(sys.argv[1]))
