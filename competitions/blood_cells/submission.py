"""The code submission: a flat zip of model.py and the blend's networks, which needs torch and numpy alone."""

import json
import tempfile
import zipfile
from pathlib import Path

from toolkit.competition import Prediction
from toolkit.export import TIMESTAMP, export

SERVER_SIDE = Path(__file__).with_name("server_model.py")


def write(prediction: Prediction, path: Path) -> None:
    """Write the zip of `prediction.members` to `path`: the same blend makes the same bytes."""
    blend = {
        "shares": [member.share for member in prediction.members],
        "views": prediction.views,
        "biases": prediction.biases,
    }
    with tempfile.TemporaryDirectory() as scratch:
        networks = export(Path(__file__).parent, prediction.members, Path(scratch), prediction.half)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "model.py", SERVER_SIDE.read_bytes())
            for network in networks:
                _add(archive, network.name, network.read_bytes())
            _add(archive, "blend.json", json.dumps(blend, indent=2).encode())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, TIMESTAMP), content)
