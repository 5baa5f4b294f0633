"""Tables in JSON: what is said of images in lists of records, in COCO's way, or by their names."""

import json
from collections.abc import Sequence
from os.path import splitext
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.errors import UserError, listed

BETWEEN = "|"  # labels of a list, in a cell
FORMS = "a list of records, {name: label}, {name: {…}}, or COCO's images, annotations and categories"
LEFT_OUT = object()  # a list that is no cell
Record = dict[str, Any]


def json_table(path: Path, part: str = "") -> pd.DataFrame:
    """All that a JSON file says of images as text, blank where it says nothing: `target_table(json_table(path), …)`.

    A row a record of a list (`[{"file": "1.jpg", "label": "cat"}, …]`, also one a line), or an entry of `{"1.jpg":
    "cat"}`, `{"1.jpg": {…}}`, `{"cat": ["1.jpg", …]}`, whose columns are called `name` and `label`. Of COCO's images,
    annotations and categories, joined by their ids, a row an annotation. Lists of words are joined by `|`, other lists
    (boxes, outlines) are left out. part: which list of records is meant where an object holds several,
    `{"train": [{…}, …], "test": …}`. UserError for a file of another form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = (
            [json.loads(line) for line in text.splitlines() if line.strip()] if _is_lines(path) else json.loads(text)
        )
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; put the organisers' file there or point --data at its folder"
        ) from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} isn't JSON: {error}") from None
    lists = _parts(content)
    if part and part not in lists:
        raise UserError(f"{path} has no list of records {part!r}" + (f", it has {listed([*lists])}" if lists else ""))
    if not part and len(lists) > 1 and "images" not in lists:
        raise UserError(
            f"{path} has {len(lists)} lists of records, {listed([*lists])}: say which is meant, "
            f"json_table(…, part={next(iter(lists))!r})"
        )
    records = lists[part] if part else _records(content)
    if not records:
        raise UserError(f"{path} has no table of images, expected {FORMS}")
    table = pd.DataFrame.from_records([{name: _cell(one) for name, one in record.items()} for record in records])
    unfit = [name for name in table if table[name].map(lambda cell: cell is LEFT_OUT).any()]
    return table.drop(columns=unfit).astype(object).where(lambda cells: cells.notna(), "")


def _is_lines(path: Path) -> bool:
    return path.suffix.lower() in (".jsonl", ".ndjson")


def _parts(content: Any) -> dict[str, list[Record]]:
    """Lists of records that an object holds, by their keys."""
    return {name: one for name, one in content.items() if _is_part(one)} if isinstance(content, dict) else {}


def _records(content: Any) -> list[Record]:
    """A row each; none where it is no table."""
    if isinstance(content, list):
        if all(isinstance(one, dict) for one in content):
            return content
        pairs = all(isinstance(one, list) and len(one) == 2 for one in content)
        return [{"name": name, "label": label} for name, label in content] if pairs else []
    if not isinstance(content, dict):
        return []
    parts = _parts(content)
    if "images" in parts:
        return _joined(parts["images"], parts.get("annotations", []), parts.get("categories", []))
    if parts:  # {"data": [{…}, …], "version": 2}
        return next(iter(parts.values()))
    if all(isinstance(one, dict) for one in content.values()):
        return [{"name": name, **one} for name, one in content.items()]
    if all(isinstance(one, list) and one and all(map(_is_file, one)) for one in content.values()):
        return [{"name": name, "label": label} for label, names in content.items() for name in names]
    plain = all(isinstance(one, str | int | float | bool) or one is None or _is_words(one) for one in content.values())
    return [{"name": name, "label": label} for name, label in content.items()] if plain and len(content) > 1 else []


def _joined(images: list[Record], annotations: list[Record], categories: list[Record]) -> list[Record]:
    """A row an annotation, with what is said of its image and its category; a row an image where there are none."""
    of_image = {_id(one, "image"): one for one in images}
    of_category = {_id(one, "category"): one for one in categories}
    if not annotations:
        return [_named(one, "image") for one in images]
    rows = []
    for one in annotations:
        image, category = of_image.get(one.get("image_id")), of_category.get(one.get("category_id"))
        if image is None:
            continue
        said = {name: cell for name, cell in one.items() if name != "id"}
        rows.append({**(_named(category, "category") if category else {}), **_named(image, "image"), **said})
    return rows


def _named(record: Record, what: str) -> Record:
    """`id` and `name` as `image_id`, `category`, so that they don't meet those of others."""
    called = {"id": f"{what}_id", "name": what}
    return {called.get(name, name): one for name, one in record.items()}


def _id(record: Record, what: str) -> Any:
    return record.get("id", record.get(f"{what}_id"))


def _is_part(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(one, dict) for one in given)


def _is_words(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, str | int) for one in given)


def _is_file(given: Any) -> bool:
    return isinstance(given, str) and 1 < len(splitext(given)[1]) <= 6


def _cell(given: Any) -> Any:
    if given is None:
        return ""
    if isinstance(given, bool):
        return str(int(given))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return BETWEEN.join(map(str, given)) if all(isinstance(one, str) for one in given) else LEFT_OUT
    return LEFT_OUT if isinstance(given, dict) else str(given)
