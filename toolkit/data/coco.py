"""Masks in COCO's JSON: polygons and run lengths (https://cocodataset.org/#format-data)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.data.masks import Masks, MaskTask, together
from toolkit.errors import UserError


def coco_masks(path: Path, task: MaskTask) -> tuple[list[str], Masks]:
    """File names of the images, in the file's order, and their masks; categories are the task's classes or labels.

    What no annotation covers is 0. UserError for categories that the task doesn't know, and annotations without masks.
    """
    try:
        from pycocotools import mask as coding
    except ImportError:
        raise UserError(f"{path} has COCO's annotations, which need `pip install pycocotools`") from None
    if not path.is_file():
        raise UserError(f"{path} does not exist; put the organisers' file there or point --data at its folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = {one["id"]: one["name"] for one in content["categories"]}
        images, annotations = content["images"], content["annotations"]
        of_image: dict[Any, list[dict[str, Any]]] = {one["id"]: [] for one in images}
        for one in annotations:
            of_image.setdefault(one["image_id"], []).append(one)
        found = {categories.get(one["category_id"], one["category_id"]) for one in annotations}
        names = [one["file_name"] for one in images]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} isn't COCO's JSON of images, annotations and categories: {error!r}") from None
    unknown = found - set(task.classes)
    if unknown:
        known = ", ".join(task.classes)
        raise UserError(f"{path} has the category {sorted(map(str, unknown))[0]!r}, expected {known}")

    def read(row: int) -> np.ndarray:
        if {"height", "width"} - set(images[row]):
            raise UserError(f"{path}: the image {names[row]} has no height and width, which its mask needs")
        shape = (images[row]["height"], images[row]["width"])
        return together(of_annotations(row, shape), task, shape)

    def of_annotations(row: int, shape: tuple[int, int]) -> Iterator[tuple[str, np.ndarray, str]]:
        for one in of_image[images[row]["id"]]:
            where = f"{path}, annotation {one.get('id')}"
            try:
                given = one["segmentation"]
                polygons = isinstance(given, list)
                if not polygons and (
                    tuple(given["size"]) != shape or _pixels(given) not in (None, shape[0] * shape[1])
                ):
                    raise ValueError(f"its runs aren't of {shape[0]} x {shape[1]} pixels")
                coded = coding.frPyObjects(given, *shape) if polygons or _pixels(given) else given
                mask = coding.decode(coding.merge(coded) if isinstance(coded, list) else coded)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise UserError(f"{where} has no mask that can be read: {error!r}") from None
            yield categories[one["category_id"]], mask, where
            del mask

    return names, Masks(len(images), read)


def _pixels(given: dict[str, Any]) -> int | None:
    """In runs that are written as numbers; None of those that are packed into text."""
    counts = given["counts"]
    return sum(counts) if isinstance(counts, list) else None
