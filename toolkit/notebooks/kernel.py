"""The notebook itself: the script that Kaggle runs, and what Kaggle is told of it and of its data set."""

import re
from collections.abc import Mapping
from typing import Any

OWNER = "OWNER"  # stands for the user's name on Kaggle, which is known when it is handed in
LONGEST = 50  # characters of a title on Kaggle
SCRIPT = '''"""{title}: reads the test images, lets the networks of the data set predict them, writes {file}."""

import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["NUMBA_CACHE_DIR"] = os.path.join(tempfile.gettempdir(), "numba")  # nothing is written beside the code
sys.dont_write_bytecode = True
INPUT = Path(os.environ.get("KAGGLE_INPUT", "/kaggle/input"))
BUNDLE = "{bundle}"


def find(folder: Path) -> Path:
    """The folder of the data set, at any depth: how deep Kaggle lays it has changed before."""
    level = [folder]
    while level:
        for place in level:
            file = place / "bundle.json"
            if file.is_file() and BUNDLE in file.read_text(encoding="utf-8"):
                return place
        below = [sorted(Path(one.path) for one in os.scandir(place) if one.is_dir()) for place in level]
        level = [place for places in below if len(places) < 1000 for place in places]
    sys.exit(f"the data set with bundle {{BUNDLE}} is not below {{folder}}: attach it to the notebook")


home = find(INPUT)
sys.path.insert(0, str(home))

from toolkit.notebooks.inference import submit  # noqa: E402

submit(home, INPUT, Path.cwd())
'''


def script(description: Mapping[str, Any], title: str) -> str:
    """The text of script.py. description: what bundle.json says."""
    return SCRIPT.format(title=title, file=description["file"], bundle=description["bundle"])


def slug(text: str) -> str:
    """As Kaggle makes an address of a title."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def title(competition: str, ending: str = "") -> str:
    """Of a data set or notebook: the competition's name, as much of it as fits, and what stands behind it."""
    start = slug(competition)[: LONGEST - len(ending) - 1].strip("-")
    return f"{start}-{ending}" if ending else start


def dataset_metadata(called: str) -> dict[str, Any]:
    return {"id": f"{OWNER}/{called}", "title": called, "licenses": [{"name": "unknown"}]}


def kernel_metadata(called: str, dataset: str, kaggle: str) -> dict[str, Any]:
    """kaggle: the competition's name there."""
    return {
        "id": f"{OWNER}/{called}",
        "title": called,
        "code_file": "script.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_gpu": True,
        "enable_internet": False,
        "dataset_sources": [f"{OWNER}/{dataset}"],
        "competition_sources": [kaggle],
        "kernel_sources": [],
        "model_sources": [],
    }
