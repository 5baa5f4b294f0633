"""The code submission: a flat zip of model.py and the blend's networks, which needs torch and numpy alone."""

import json
import tempfile
import zipfile
from pathlib import Path

from competitions.blood_cells.server_model import VIEWS
from toolkit import Prediction, UserError, export, weighted_views

SERVER_SIDE = Path(__file__).with_name("server_model.py")


def write(prediction: Prediction, path: Path) -> None:
    """Write the zip of `prediction.members` to `path`: the same blend makes the same bytes.

    Raises UserError for views that the server's model doesn't know: it exchanges pixels and resamples nothing.
    """
    height, width = prediction.images.shape[1:3]
    views = weighted_views(prediction.views, prediction.view_weights, height, width)
    for view in views:
        if view not in VIEWS:
            raise UserError(f"the zip can't honour the view {view!r}; choose among {', '.join(VIEWS)}")
    blend = {
        "shares": [member.share for member in prediction.members],
        "views": views,
        "biases": prediction.biases,
    }
    if any(member.adapt for member in prediction.members):
        blend["adapt"] = [member.adapt for member in prediction.members]
    with tempfile.TemporaryDirectory() as scratch:
        networks = export(Path(__file__).parent, prediction.members, Path(scratch), prediction.half)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "model.py", SERVER_SIDE.read_bytes())
            for network in networks:
                _add(archive, network.name, network.read_bytes())
            _add(archive, "blend.json", json.dumps(blend, indent=2).encode())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content)  # of no time, so that the bytes stay the same
