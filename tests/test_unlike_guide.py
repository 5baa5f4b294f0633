"""The code in docs/unlike.md does what the page says."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from toolkit import Model, Recipe, UserError

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "unlike.md").read_text()
CONFIDENCES, PIXELS, METRIC, READER, STAGES, NETWORK = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def names_of(*blocks: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in blocks:
        exec(block, found)
    return found


def test_confidences_beside_names_read_back(tmp_path: Path) -> None:
    given = names_of(CONFIDENCES)
    values, ids = np.random.default_rng(0).random((3, 2)), np.array(["a", "b", "007"])
    given["write_submission"](SimpleNamespace(values=values, ids=ids), tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines()[1].startswith("a,rust 0.")
    found = given["read_submission"](tmp_path / "s.csv", np.empty(3), ids[::-1])
    assert np.allclose(found, values[::-1], rtol=1e-8)
    with pytest.raises(UserError, match="expected a row for each of the 2 test images"):
        given["read_submission"](tmp_path / "s.csv", np.empty(2), ids[:2])


def test_a_row_a_pixel_reads_back(tmp_path: Path) -> None:
    given = names_of(CONFIDENCES, PIXELS)
    masks, ids = np.random.default_rng(0).integers(0, 2, (2, 3, 4), np.uint8), np.array([7, 8])
    given["write_submission"](SimpleNamespace(answer=masks, ids=ids), tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines()[1].startswith("7_1_1,")
    images = np.empty((2, 3, 4, 3))
    assert (given["read_submission"](tmp_path / "s.csv", images, ids) == masks).all()
    with pytest.raises(UserError, match="expected the test images in their order, 12 rows each"):
        given["read_submission"](tmp_path / "s.csv", images, ids[::-1])


def test_a_function_is_a_metric() -> None:
    metric = names_of(CONFIDENCES, METRIC)["METRIC"]
    assert metric.needs == "values" and not metric.lower_is_better


def test_own_files_and_boxes_are_read(tmp_path: Path) -> None:
    given = names_of(CONFIDENCES, READER, STAGES)
    for folder in ("raw", "train"):
        (tmp_path / folder).mkdir()
    np.arange(48 * 64, dtype=np.uint8).tofile(tmp_path / "raw" / "a.raw")
    assert given["images_of"](tmp_path / "raw").stored(0)[0, 3] == 3
    cv2.imwrite(str(tmp_path / "train" / "a.png"), np.arange(100, dtype=np.uint8).reshape(10, 10))
    np.save(tmp_path / "boxes.npy", [[2, 3, 4, 5]])
    images = given["parts_of"](tmp_path)
    assert (
        images.stored(0).shape == (4, 5) and images.stored(0)[0, 0] == 23 and images.named(tmp_path).tolist() == ["a"]
    )


def test_a_network_of_ones_own() -> None:
    given = names_of(CONFIDENCES, NETWORK)
    network = given["build_model"](Recipe(name="own", model=Model(name="own", pretrained=False)))
    assert tuple(network(torch.zeros(2, 3, 96, 96)).shape) == (2, 2)


@pytest.mark.parametrize("page", ["unlike.md", "new.md", "competition.md"])
def test_files_and_headings_that_are_pointed_to_are_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]*(?:#[^)]*)?)\)", (DOCS / page).read_text()):
        name, _, heading = target.partition("#")
        if name.startswith("http"):
            continue
        file = (DOCS / name) if name else DOCS / page
        assert file.exists(), target
        if heading:
            said = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            called = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in said}
            assert heading in called, target
