"""What a notebook needs beside the organisers' files: code, networks as TorchScript, and what the blend makes of them.

    bundle.json               what the blend is made from, and how its values become what is handed in
    network_<i>.pt            each fold's network of each run
    toolkit/                  this program
    competitions/<name>/      the competition's code, and modules of its project that it imports

The same blend makes the same bytes.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import toolkit
from toolkit.blending.blend_folder import Blend
from toolkit.competition import Competition
from toolkit.data.image_sets import ImageSets
from toolkit.errors import UserError
from toolkit.networks.tta import IDENTITY
from toolkit.notebooks.modules import project_modules
from toolkit.recipe import to_dict
from toolkit.runs import Boosted, Run
from toolkit.store import hash_json, sha256, write_others_json
from toolkit.submission.checks import blend_members
from toolkit.submission.torchscript import export
from toolkit.training.saving import pooling

BUNDLE = "bundle.json"
TEXTS = {".json", ".txt", ".csv", ".toml", ".yaml", ".yml"}  # what code may read beside itself,
LARGEST = 1 << 20  # as long as it is no larger, in bytes
PACKED = {".zip", ".gz", ".tar", ".7z"}


def write_bundle(blend: Blend, folder: Path, holds: Sequence[str], kaggle: str) -> dict[str, Any]:
    """Write all of it into an empty folder; what bundle.json says.

    holds: names of files and folders in that of the organisers, as `names_in` has them; kaggle: the competition's name
    there. UserError for a blend that a notebook can't make.
    """
    competition = blend.labelled.competition
    runs = [blend.run(name) for name, share in blend.shares.items() if share]
    boosted = next((run.name for run in runs if isinstance(run, Boosted)), None)
    if boosted is not None:
        raise UserError(
            f"{boosted} is of boosted trees, which a notebook can't take along; blend the other runs: "
            "`compete ensemble … --runs …`"
        )
    if blend.adapted:
        raise UserError(
            "the blend adapts its networks to the test images, which a notebook doesn't; blend without: "
            "`compete ensemble … --adapt none`"
        )
    members = blend_members(blend)
    networks = export(
        competition.folder,
        members,
        folder,
        columns=blend.labelled.columns,
        in_sets=isinstance(blend.labelled.images, ImageSets),
    )
    for within, path in _code(competition).items():
        (folder / within).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / within)
    described = {key: value for key, value in blend.described.items() if key != "folds"}
    choice, folds = blend.views, len(networks) // len(runs)
    quantiles = blend.quantiles.get("final")
    description: dict[str, Any] = {
        "competition": _home(competition),
        "kaggle": kaggle,
        "file": f"submission{competition.submission_suffix or '.csv'}",
        "raw": list(holds),
        "blend": {"hash": blend.hash, **described},
        "quantiles": None if quantiles is None else quantiles.tolist(),
        "views": [IDENTITY] if choice is None else list(choice.views),
        "weights": [1.0] if choice is None else list(choice.weights),
        "form": None if competition.form is None else competition.form.stored() | {"ids": {}},
        "columns": [column.stored() for column in blend.labelled.columns],
        "stored": _kind(blend.oof if blend.test is None else blend.test),
        "runs": [_run(run, networks[at * folds : (at + 1) * folds]) for at, run in enumerate(runs)],
        "test_images": len(blend.labelled.test_ids),
        "seconds": competition.rules.submission_seconds,
    }
    hashes = {path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder)}
    description = {"bundle": hash_json([description, hashes]), **description, "files": hashes}
    write_others_json(folder / BUNDLE, description)
    return description


def is_current(said: Mapping[str, Any], competition: Competition, holds: Sequence[str], kaggle: str) -> bool:
    """Would a bundle of the same blend, whose bundle.json says this, hold the same code now, for the same files?"""
    code = {within: sha256(path) for within, path in _code(competition).items()}
    held = {within: digest for within, digest in said["files"].items() if not within.endswith(".pt")}  # networks
    return (said["kaggle"], said["raw"], held) == (kaggle, list(holds), code)


def _run(run: Run, networks: Sequence[Path]) -> dict[str, Any]:
    pools = pooling(run) or [""] * len(networks)
    return {
        "name": run.name,
        "seed_group": run.alike,
        "recipe": to_dict(run.recipe),
        "stored": _kind(run.oof),
        "networks": [{"file": path.name, "pool": pool} for path, pool in zip(networks, pools, strict=True)],
    }


def _kind(stored: Any) -> str:
    """The type in which values are stored; `top` of many classes."""
    return "top" if stored.dtype.names else stored.dtype.str


def names_in(raw: Path) -> list[str]:
    """What lies in the organisers' folder, but for what may be packed here and unpacked on Kaggle."""
    return sorted(one.name for one in raw.iterdir() if one.name[0] != "." and one.suffix.lower() not in PACKED)


def _home(competition: Competition) -> str:
    return f"{competition.folder.parent.name}/{competition.folder.name}"


def _code(competition: Competition) -> dict[str, Path]:
    """Files of code, and texts beside it, by the paths that they have in a bundle."""
    found = project_modules(competition.folder)
    for source, target in ((competition.folder, _home(competition)), (Path(toolkit.__file__).parent, "toolkit")):
        for path in _files(source):
            within = path.relative_to(source)
            if within.parts[0] == "data" and target != "toolkit":
                continue
            if path.suffix == ".py" or (path.suffix in TEXTS and path.stat().st_size <= LARGEST):
                found[f"{target}/{within.as_posix()}"] = path
    return found


def _files(folder: Path) -> Iterator[Path]:
    """In the order of their paths; no hidden ones, and nothing that Python made."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path
