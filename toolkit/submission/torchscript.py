"""Trained networks as TorchScript files, which run where neither timm nor smp nor this project is installed.

    echo '{"competition": …, "members": […], "folder": …, …}' | compete submission.torchscript

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
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.answers import Member
from toolkit.competition import load_competition
from toolkit.data.sizes import image_shape
from toolkit.data.tables import Column, columns_of
from toolkit.errors import UserError
from toolkit.recipe import from_dict, to_dict

VARYING = (".debug_pkl", "serialization_id")  # paths of the source files, and a hash that covers them


def export(
    competition: Path,
    members: Sequence[Member],
    folder: Path,
    half: bool = False,
    columns: Sequence[Column] = (),
    in_sets: bool = False,
) -> list[Path]:
    """`network_<i>.pt` for each member, in `folder`; with `half`, parameters lie there as float16.

    columns: of the table beside the images; in_sets: samples are sets of these. A file then has `forward(images)`, of
    single images (B, C, H, W), and `features(images)`, `said(features)` where the backbone is apart from the head;
    with a table `encoded(rows)` as well, which the first and the last of these take as their second argument. One that
    adapts to what it predicts has `moments(images, weight)`, see `networks/adapted.py`.

    The same members give the same bytes, whatever ran before and wherever the project lies. Raises UserError
    if it fails.
    """
    job = {
        "competition": str(competition.resolve()),
        "members": [
            {"recipe": to_dict(m.recipe), "weights": str(m.weights.resolve()), "adapt": m.adapt > 0} for m in members
        ],
        "folder": str(folder.resolve()),
        "half": half,
        "columns": [column.stored() for column in columns],
        "in_sets": in_sets,
    }
    if fault := in_a_process(job):
        raise UserError(f"the networks can't be exported: {fault}")
    return [folder / f"network_{number}.pt" for number in range(len(members))]


def in_a_process(job: dict[str, Any]) -> str:
    """Do what `export` asks for in a process of its own; the last line of what went wrong there, or nothing."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-m", "toolkit.submission.torchscript"]
    done = subprocess.run(command, cwd=root, input=json.dumps(job), capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""


def export_here(job: dict[str, Any]) -> None:
    """Do it in this process."""
    import torch

    from toolkit.networks.network import load_network

    competition = load_competition(job["competition"])
    columns = columns_of(np.array(job["columns"])) if job["columns"] else ()
    for number, member in enumerate(job["members"]):
        recipe = from_dict(member["recipe"])
        network: Any = load_network(competition, recipe, Path(member["weights"]), torch.device("cpu"), columns)
        network = network.to(memory_format=torch.contiguous_format)
        if job["in_sets"]:
            network.pooling = None  # of which no trace is made
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            shape = image_shape(recipe.images, competition.task)
            traced = _traced(network, shape, recipe.name, job["in_sets"], member["adapt"])
            if job["half"]:
                for parameter in traced.parameters():
                    parameter.data = parameter.data.half()
            buffer = io.BytesIO()
            torch.jit.save(traced, buffer)
        (Path(job["folder"]) / f"network_{number}.pt").write_bytes(_without_varying(buffer))


def _traced(network: Any, shape: tuple[int, int, int], name: str, in_sets: bool, adapts: bool) -> Any:
    """As `export` says; UserError where it says something else of another number of images than it was traced with."""
    import torch

    from toolkit.networks.adapted import Adapting
    from toolkit.networks.parts import Parts
    from toolkit.networks.plain import trait

    height, width, channels = shape
    table = trait(network, "table")
    whole: Any = Parts(network) if in_sets or table is not None else Adapting(network) if adapts else network

    def given(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (images,) if table is None else (images, whole.encoded(torch.zeros((len(images), table.columns))))

    asked = given(torch.zeros((2, channels, height, width)))
    methods: dict[str, tuple[torch.Tensor, ...]] = {"forward": asked}
    if table is not None:
        methods["encoded"] = (torch.zeros((2, table.columns)),)
    if isinstance(whole, Adapting):
        methods["moments"] = (*asked, torch.tensor(0.5))
    elif whole is not network and whole.is_apart:
        methods |= {"features": asked[:1], "said": (whole.features(asked[0]), *asked[1:])}
    traced = torch.jit.trace_module(whole, methods, check_trace=False)  # what follows is another check
    noise = torch.Generator().manual_seed(0)
    for number in (1, 3):
        asked = given(torch.rand((number, channels, height, width), generator=noise) * 255)
        try:
            same = torch.allclose(traced(*asked), whole(*asked), rtol=1e-3, atol=1e-3)
        except RuntimeError:
            same = False
        if not same:
            raise UserError(
                f"the network of recipe {name} says something else once it is TorchScript: what it does must not "
                "depend on how many images it is given at once"
            )
    return traced


def _without_varying(file: io.BytesIO) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as target:
        for member in source.infolist():
            if not member.filename.endswith(VARYING):
                target.writestr(zipfile.ZipInfo(member.filename), source.read(member))
    return result.getvalue()


if __name__ == "__main__":
    export_here(json.load(sys.stdin))
