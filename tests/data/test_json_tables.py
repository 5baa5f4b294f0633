"""What JSON says of images, as a table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit import Classification, UserError, json_table, target_table

COCO = {
    "info": {"year": 2022},
    "images": [
        {"image_id": "00__1", "file_name": "000/00__1.jpg"},
        {"image_id": "00__2", "file_name": "000/00__2.jpg"},
    ],
    "annotations": [
        {"category_id": 7, "genus_id": 1, "image_id": "00__2", "bbox": [1, 2, 3, 4]},
        {"category_id": 2, "genus_id": 1, "image_id": "00__1", "bbox": [1, 2, 3, 4]},
    ],
    "categories": [{"category_id": 2, "scientificName": "Abies"}, {"id": 7, "name": "Acer"}],
}


def rows(path: Path, content: Any) -> list[dict[str, str]]:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return json_table(path).to_dict("records")  # type: ignore[return-value]


def test_images_annotations_and_categories_are_joined(tmp_path: Path) -> None:
    first, second = rows(tmp_path / "a.json", COCO)
    assert (first["file_name"], first["category_id"], first["category"]) == ("000/00__2.jpg", "7", "Acer")
    assert (second["file_name"], second["scientificName"], second["category"]) == ("000/00__1.jpg", "Abies", "")
    assert "bbox" not in first
    task = Classification(classes=("2", "7"), image_shape=(32, 32, 3))
    names, labels = target_table(json_table(tmp_path / "a.json"), task, ("file_name", "category_id"))
    assert names == ["000/00__2.jpg", "000/00__1.jpg"] and np.asarray(labels).tolist() == [1, 0]


@pytest.mark.parametrize(
    "content",
    [
        [{"name": "1.jpg", "label": 3}, {"name": "2.jpg", "label": 4}],
        '{"name": "1.jpg", "label": 3}\n{"name": "2.jpg", "label": 4}\n',
        {"1.jpg": 3, "2.jpg": 4},
        {"1.jpg": {"label": 3}, "2.jpg": {"label": 4}},
        {"version": 2, "data": [{"name": "1.jpg", "label": 3}, {"name": "2.jpg", "label": 4}]},
        {"3": ["1.jpg"], "4": ["2.jpg"]},
        [["1.jpg", "3"], ["2.jpg", "4"]],
    ],
    ids=["records", "lines", "labels by name", "records by name", "beside a version", "names by label", "pairs"],
)
def test_forms_of_json(content: Any, tmp_path: Path) -> None:
    path = tmp_path / ("a.jsonl" if isinstance(content, str) else "a.json")
    assert rows(path, content) == [{"name": "1.jpg", "label": "3"}, {"name": "2.jpg", "label": "4"}]


def test_what_is_no_table_of_images_is_a_sentence(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.json", {"1.jpg": ["a", "b"], "2.jpg": []})[0] == {"name": "1.jpg", "label": "a|b"}
    with pytest.raises(UserError, match=r"a\.json has no table of images, expected a list of records"):
        rows(tmp_path / "a.json", {"epochs": 3})
    with pytest.raises(UserError, match=r"a\.json isn't JSON"):
        rows(tmp_path / "a.json", "{")
    with pytest.raises(UserError, match=r"b\.json does not exist"):
        json_table(tmp_path / "b.json")


def test_of_several_lists_the_longest_is_not_taken_for_all(tmp_path: Path) -> None:
    content = {"train": [{"name": "1.jpg", "label": 3}], "test": [{"name": "2.jpg"}, {"name": "3.jpg"}], "year": 2022}
    with pytest.raises(UserError, match=r"2 lists of records, train, test: say which .*json_table\(…, part='train'\)"):
        rows(tmp_path / "a.json", content)
    assert json_table(tmp_path / "a.json", part="train").to_dict("records") == [{"name": "1.jpg", "label": "3"}]
    with pytest.raises(UserError, match=r"a\.json has no list of records 'val', it has train, test"):
        json_table(tmp_path / "a.json", part="val")
    by_image = {f"{at}.jpg": [{"label": at}] for at in range(9)}
    with pytest.raises(UserError, match="9 lists of records"):
        rows(tmp_path / "a.json", by_image)
