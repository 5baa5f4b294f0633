"""Where images and tables lie, as text of a competition."""

from toolkit.recognition.found import Sheet, Source
from toolkit.recognition.listing import suffix_of
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.text import LINE, Text, quoted, tupled

NEW_LINE = "\n        "


def at(path: str, variable: str = "") -> str:
    """`folder / "train"`"""
    if variable:
        return f"folder / {variable}"
    return f"folder / {quoted(path)}" if path else "folder"


def values_of(proposal: Proposal) -> str:
    """The argument that says what becomes 0 and 255, where images have more than 8 bits."""
    pictures = proposal.found.pictures
    if pictures is None or pictures.values is None:
        return ""
    if pictures.window:
        return ', options={"window": True}'
    return f", values=({pictures.values[0]:g}, {pictures.values[1]:g})"


def images_of(proposal: Proposal, source: Source, text: Text, variable: str = "") -> str:
    """The call that says where they are."""
    found = _files(proposal, source, text, variable)
    if not source.channels:
        return found
    text.use("channel_files")
    return f"channel_files({found}, {tupled(source.channels)})"


def _files(proposal: Proposal, source: Source, text: Text, variable: str) -> str:
    values = values_of(proposal)
    if source.kind == "pixels" and source.names:
        return f"rows_of(sorted(folder.glob({quoted(source.path)})))"
    if source.parts:
        text.use("image_folder")
        parts = [f"image_folder({at(part)}{_pattern(source)}{values})" for part in source.parts]
        return f"({NEW_LINE}{f'{NEW_LINE}+ '.join(parts)}\n    )"
    if source.kind == "files" and source.glob:
        text.use("ImageFiles")
        found = f"folder.glob({quoted(source.glob)})"
        if source.without:
            found = f"path for path in {found} if not path.stem.endswith({quoted(source.without)})"
        return f"ImageFiles(sorted({found}){values})"
    if source.kind == "files":
        text.use("image_folder")
        return f"image_folder({at(source.path, variable)}{_pattern(source)}{values})"
    text.use("array_files")
    key = f", {quoted(source.key)}" if source.key else ""
    shape = f", shape={source.shape}" if source.kind == "pixels" else ""
    return f"array_files({at(source.path)}{key}{shape}{values})"


def _pattern(source: Source) -> str:
    return f', "*{source.channels[0]}.*"' if source.channels else ""


def rows_lines(proposal: Proposal, text: Text) -> list[str]:
    """Of a function beside `load`, where images are rows of several tables that name them."""
    source = proposal.found.images
    if source is None or not source.names:
        return []
    text.use("ImageFiles", "array_files")
    key = f", {quoted(source.key)}" if source.key else ""
    return [
        "def rows_of(paths: list[Path]) -> ImageFiles:",
        '    """Images in the rows of tables, called as these call them."""',
        f"    parts = [array_files(path{key}, shape={source.shape}, names={quoted(source.names)}) for path in paths]",
        "    return sum(parts[1:], parts[0])",
        "",
        "",
    ]


def table_at(sheet: Sheet, text: Text) -> str:
    """A table as pandas reads it, all cells as text."""
    if sheet.json:
        text.use("json_table")
        return f"json_table({at(sheet.path)})"
    text.plain.append("import pandas as pd")
    if suffix_of(sheet.path) == ".parquet":
        return f"pd.read_parquet({at(sheet.path)})"
    more = "" if sheet.separator == "," else f", sep={quoted(sheet.separator)}"
    more += "" if sheet.header else f", header=None, names={tupled(sheet.columns)}"
    more += "" if sheet.encoding == "utf-8" else f", encoding={quoted(sheet.encoding)}"
    return f"pd.read_csv({at(sheet.path)}{more}, dtype=str, keep_default_na=False)"


def table_lines(name: str, sheet: Sheet, text: Text) -> list[str]:
    """One that reads a table, or two where it would be long."""
    line = f"    {name} = {table_at(sheet, text)}"
    if len(line) <= LINE:
        return [line]
    return [f"    path = {at(sheet.path)}", line.replace(at(sheet.path), "path", 1)]
