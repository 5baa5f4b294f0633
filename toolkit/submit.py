"""verb: build the submission from the blend, read it back as the organisers would, register it.

    python -m toolkit.submit competitions/mars

Leaves `submissions/<competition>/<blend>-<hash>.<csv|zip>` and a line in `submissions/ledger.csv`. A file
that fails its check is never put there.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import Workspace, atomic, hash_file, hash_json, read_json, read_manifest

if TYPE_CHECKING:
    import numpy as np

    from toolkit.competition import Competition, Member, Prediction

BLEND = "mean"
CHECKED = 256  # training images on which a code submission must agree with the blend
AGREEMENT = 0.99  # of labels; a tie between two classes may fall the other way on another machine


def submit(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Build, check and register; a submission of the same blend is not built twice."""
    blend = workspace.ensemble / BLEND
    manifest = read_manifest(blend)
    if manifest is None:
        raise UserError(f"there is no blend in {blend} yet; run `python -m toolkit.ensemble` first")
    clean = read_json(blend / "metrics.json")["clean"]
    name = f"{BLEND}-{hash_json(manifest)[:8]}{competition.submission_suffix}"
    path = options.submissions / workspace.name / name
    if path.exists():
        console.say(f"{path}: already built and checked")
    else:
        prediction = _prediction(competition, workspace, blend, options)
        with atomic(path) as partial:
            competition.write_submission(prediction, partial)
            _check(competition, prediction, partial)
    _register(options.submissions / "ledger.csv", competition, workspace, path, clean)
    size = path.stat().st_size / 1e6
    console.say(f"{path} ({size:.1f} MB) passed its check")
    console.say(f"out-of-fold {competition.metric.name}: {console.interval(clean)}")
    return {"submission": str(path), "clean": clean, "stress": None}


def _prediction(
    competition: "Competition", workspace: Workspace, blend: Path, options: argparse.Namespace
) -> "Prediction":
    import numpy as np

    from toolkit.competition import Prediction
    from toolkit.dataset import open_dataset
    from toolkit.oof import chunks, open_probabilities, probabilities

    dataset = open_dataset(workspace.data)
    members = _members(workspace, blend)
    if len(dataset.test_images):
        stored = open_probabilities(blend / "test.npy")
        labels = np.concatenate([competition.decode(probabilities(stored[at])) for at in chunks(len(stored))])
        return Prediction(dataset.test_images, labels, members)
    rows = np.linspace(0, len(dataset.images) - 1, min(CHECKED, len(dataset.images))).astype(int)
    images = dataset.images[rows]
    return Prediction(images, _blend_labels(competition, members, images, options.device), members)


def _members(workspace: Workspace, blend: Path) -> "tuple[Member, ...]":
    from toolkit.competition import Member
    from toolkit.recipe import from_dict

    members = []
    for name, share in read_json(blend / "blend.json").items():
        run = workspace.train / name
        recipe = from_dict(read_json(run / "recipe.json"))
        weights = sorted(run.glob("fold_*/weights.safetensors"))
        members += [Member(recipe, path, share / len(weights)) for path in weights]
    return tuple(members)


def _blend_labels(
    competition: "Competition", members: "tuple[Member, ...]", images: "np.ndarray", device_name: str
) -> "np.ndarray":
    import numpy as np

    from toolkit.models import load_network, predict, resolve_device

    device = resolve_device(device_name)
    total: Any = 0.0
    for member in members:
        network = load_network(competition, member.recipe, member.weights, device)
        total = total + member.share * predict(network, images, competition.scored, device, "float32")
    return np.asarray(competition.decode(total))


def _check(competition: "Competition", prediction: "Prediction", path: Path) -> None:
    limit = competition.rules.submission_bytes
    if limit is not None and path.stat().st_size > limit:
        raise UserError(
            f"the submission has {path.stat().st_size:,} bytes, {competition.name} takes {limit:,}; blend fewer runs"
        )
    labels = competition.read_submission(path, prediction.images)
    if labels.shape != prediction.labels.shape:
        raise UserError(f"read back, the submission has shape {labels.shape}, expected {prediction.labels.shape}")
    agreement = float((labels == prediction.labels).mean())
    if agreement < AGREEMENT:
        raise UserError(f"read back, the submission agrees with the blend in only {agreement:.2%} of its labels")


def _register(
    ledger: Path, competition: "Competition", workspace: Workspace, path: Path, clean: dict[str, Any]
) -> None:
    """Add a line to the ledger unless the file has one: a kill may have come between the two."""
    import pandas as pd

    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "competition": workspace.name,
        "submission": path.relative_to(ledger.parent).as_posix(),
        "sha256": hash_file(path),
        "metric": competition.metric.name,
        "clean": round(clean["score"], 6),
        "low": round(clean["low"], 6),
        "high": round(clean["high"], 6),
    }
    known = pd.read_csv(ledger) if ledger.exists() else pd.DataFrame(columns=list(line))
    if line["submission"] not in set(known["submission"]):
        with atomic(ledger) as partial:
            pd.DataFrame([*known.to_dict("records"), line]).to_csv(partial, index=False)


if __name__ == "__main__":
    console.main(console.parser("submit", "Build the submission, check it, register it."), submit)
