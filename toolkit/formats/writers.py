"""Writers of submission files: a CSV of pixels, columns, rows, lists or run lengths; zipped CSV; Parquet.

Building blocks for a competition's `write_submission`. The same values make the same bytes.
"""

import gzip
import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from toolkit.errors import UserError
from toolkit.formats.run_lengths import run_lengths
from toolkit.outcome import counted
from toolkit.task import UNKNOWN

BLOCK = 1 << 20  # bytes laid out at a time: as many as stay in a processor's cache


def write_pixels(file: Path | BinaryIO, masks: np.ndarray, header: bytes | None = None) -> None:
    """A CSV with one row per mask and one column per pixel: header `id,0,1,…`, ids from 0, pixels row by row.

    masks: uint8 (M, H, W). Where every label has one digit, the rows' bytes are laid out as one array, which
    is close to the speed of the disk; a table writer formats each of the 82 million numbers on its own.
    """
    pixels = masks.reshape(len(masks), math.prod(masks.shape[1:]))
    with _binary(file) as out:
        out.write(pixel_header(pixels.shape[1]) if header is None else header)
        if pixels.size and pixels.max() > 9:
            _write_long(out, pixels)
            return
        start = 0
        while start < len(pixels):
            digits = len(str(start))  # rows with ids of equal length have bytes of equal length
            width = digits + 2 * pixels.shape[1] + 1
            rows = max(1, BLOCK // width)
            block = np.empty((rows, width), np.uint8)
            block[:, digits::2] = ord(",")
            block[:, -1] = ord("\n")
            end = min(len(pixels), 10**digits)
            for at in range(start, end, rows):
                stop = min(at + rows, end)
                part = block[: stop - at]
                ids = np.arange(at, stop)
                for place in range(digits):
                    part[:, digits - 1 - place] = ids // 10**place % 10 + ord("0")
                np.add(pixels[at:stop], ord("0"), out=part[:, digits + 1 : -1 : 2])
                out.write(part.data)
            start = end


def pixel_header(pixels: int) -> bytes:
    return b"id," + ",".join(map(str, range(pixels))).encode() + b"\n"


def _write_long(out: BinaryIO, pixels: np.ndarray) -> None:
    text = [str(value) for value in range(256)]
    for number, row in enumerate(pixels):
        out.write(f"{number},{','.join(map(text.__getitem__, row.tolist()))}\n".encode())


def write_csv(file: Path | BinaryIO, columns: Mapping[str, Sequence[Any] | np.ndarray], separator: str = ",") -> None:
    """A CSV of named columns of equal length, else UserError; floats with as many digits as tell them apart."""
    import pandas as pd

    _check_lengths(columns)
    with _binary(file) as out:
        pd.DataFrame(dict(columns)).to_csv(out, sep=separator, index=False, lineterminator="\n")


def write_columns(
    file: Path | BinaryIO, ids: Sequence[Any] | np.ndarray, values: np.ndarray, names: Sequence[str], title: str = "id"
) -> None:
    """A CSV `id,name,name,…` with one row per image and one column per class, label or number; NaN is left blank.

    values: (M, len(names)), or (M,) of one name.
    """
    columns = values.reshape(len(values), -1)
    if columns.shape[1] != len(names):
        raise UserError(
            f"can't fill {counted(len(names), 'column')} with {counted(columns.shape[1], 'value')} an image"
        )
    write_csv(file, {title: ids, **{name: columns[:, at] for at, name in enumerate(names)}})


def write_rows(
    file: Path | BinaryIO,
    ids: Sequence[Any] | np.ndarray,
    values: np.ndarray,
    names: Sequence[str],
    titles: tuple[str, str] = ("id", "value"),
) -> None:
    """A CSV with one row per image and class, label or number: `image_name,value`; values: (M, len(names))."""
    _check_lengths({"ids": ids, "values": values})
    rows = [f"{one}_{name}" for one in ids for name in names]
    write_csv(file, {titles[0]: rows, titles[1]: values.reshape(-1)})


def write_lists(
    file: Path | BinaryIO,
    ids: Sequence[Any] | np.ndarray,
    lists: np.ndarray,
    names: Sequence[str],
    titles: tuple[str, str] = ("id", "label"),
    unknown: str | None = None,
) -> None:
    """A CSV `id,label` of blank-separated names, the likeliest first; lists: places of them (M, k).

    unknown: what "none of these" is called, if it may be said.
    """
    called = dict(enumerate(names)) | ({} if unknown is None else {UNKNOWN: unknown})
    texts = [" ".join(called[at] for at in each if at in called) for each in np.asarray(lists).tolist()]
    write_csv(file, {titles[0]: ids, titles[1]: texts})


def write_given(
    file: Path | BinaryIO,
    ids: Sequence[Any] | np.ndarray,
    given: np.ndarray,
    names: Sequence[str],
    titles: tuple[str, str] = ("id", "labels"),
    empty: str = "",
) -> None:
    """A CSV `id,labels` of blank-separated names of the labels that are given, (M, L) of 0 and 1; empty: none is."""
    texts = [" ".join(name for name, one in zip(names, each, strict=True) if one > 0) or empty for each in given]
    write_csv(file, {titles[0]: ids, titles[1]: texts})


@contextmanager
def zipped(path: Path, name: str) -> Iterator[BinaryIO]:
    """A file to write into, packed as `name` at the top of the zip at `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(name)
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = 0o644 << 16
        with archive.open(member, "w", force_zip64=True) as packed, io.BufferedWriter(packed, 1 << 20) as file:
            yield file


def write_run_lengths(
    file: Path | BinaryIO,
    ids: Sequence[Any] | np.ndarray,
    masks: np.ndarray,
    classes: Mapping[int, str] | None = None,
    *,
    labels: Sequence[str] | None = None,
    titles: Sequence[str] | None = None,
    empty: str = "",
) -> None:
    """A CSV `id,rle` of masks (M, H, W), or `id,class,rle` with a row for each image and class in `classes`.

    labels: of masks that may overlap, bit l of a pixel being label l: `id,class,rle` with a row for each image and
    label. titles: other names of the columns. empty: what is written of an empty mask, `-` for one.
    """
    _check_lengths({"id": ids, "masks": masks})
    if classes is None and labels is None:
        named = titles or ("id", "rle")
        write_csv(file, {named[0]: ids, named[1]: [text or empty for text in map(run_lengths, masks)]})
        return
    bits = {1 << at: name for at, name in enumerate(labels or ())}
    kinds = bits if labels else classes or {}

    def runs(mask: np.ndarray) -> list[str]:
        shown = (partial(np.bitwise_and if labels else np.equal, value) for value in kinds)
        return [run_lengths(mask, shown=one) or empty for one in shown]

    rows = [
        (name, label, text)
        for name, texts in zip(ids, map(runs, masks), strict=True)
        for label, text in zip(kinds.values(), texts, strict=True)
    ]
    named = titles or ("id", "class", "rle")
    write_csv(file, {title: [row[i] for row in rows] for i, title in enumerate(named)})


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    """A Parquet file of named columns of equal length, else UserError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_lengths(columns)
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)


def _check_lengths(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    if len({len(values) for values in columns.values()}) > 1:
        found = ", ".join(f"{name} {len(values):,}" for name, values in columns.items())
        raise UserError(f"the columns of a submission must be equally long, they have {found} rows")


@contextmanager
def packed_by_name(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, packed if its name ends in `.gz` or `.zip`."""
    if path.suffix == ".zip":
        with zipped(path, path.name.removesuffix(".zip").removesuffix(".csv") + ".csv") as file:
            yield file
        return
    with open(path, "wb") as raw:
        if path.suffix == ".gz":  # without name and time, so that the same values make the same bytes
            with gzip.GzipFile("", "wb", 6, raw, 0) as file:
                yield cast(BinaryIO, file)
        else:
            yield raw


@contextmanager
def _binary(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, Path):
        with open(file, "wb", buffering=0) as opened:
            yield opened
    else:
        yield file
