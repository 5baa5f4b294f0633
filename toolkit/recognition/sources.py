"""Where images and tables lie, as text of a competition."""

from collections.abc import Sequence

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
    if source.kind not in ("files", "pairs"):
        return _rows(proposal, source, text)
    if source.parts:
        text.use("image_folder")
        parts = [f"image_folder({at(part)}{pattern_of(source)}{values})" for part in source.parts]
        line = f"({' + '.join(parts)})"
        return line if len(line) < LINE - 20 else f"({NEW_LINE}{f'{NEW_LINE}+ '.join(parts)}\n    )"
    if source.kind == "files" and source.glob:
        text.use("ImageFiles")
        line = f"ImageFiles(sorted({globbed(source)}){values})"
        return line if len(line) < LINE - 14 else f"ImageFiles(sorted({NEW_LINE}{globbed(source)}\n    ){values})"
    text.use("image_folder")
    return f"image_folder({at(source.path, variable)}{pattern_of(source)}{values})"


def _rows(proposal: Proposal, source: Source, text: Text) -> str:
    """The call that says in which rows of files they are."""
    text.use("array_files")
    path = _paths(proposal, source) if source.parts else at(source.path)
    if source is proposal.found.images and in_parts(proposal):
        path = "paths"  # which were read before
    given = [quoted(source.key)] if source.key else []
    given += [f"shape={source.shape}"] if source.kind == "pixels" else []
    given += ["names=ids"] if source.ids[0] else [f"names={quoted(source.names)}"] if source.names else []
    given += ["channels_first=True"] if source.channels_first else []
    given += [values_of(proposal).removeprefix(", ")] if values_of(proposal) else []
    line = f"array_files({', '.join([path, *given])})"
    around = (30 if source.names else 14) + (50 if proposal.targets.before + proposal.targets.after else 0)
    if len(line) < LINE - around:  # what is to stand before and behind it
        return line
    return f"array_files({NEW_LINE}{path},{NEW_LINE}{', '.join(given)},\n    )" if given else line


def in_parts(proposal: Proposal) -> bool:
    """Do several tables hold images in the rows that say their targets?"""
    source, targets = proposal.found.images, proposal.targets
    return source is not None and source.kind != "array" and bool(source.parts) and not targets.columns[0]


def _paths(proposal: Proposal, source: Source) -> str:
    """The files of several tables, in their order: where ids are places of rows, 2 comes before 10."""
    globs = [{"*", "["} & {*part} for part in source.parts]
    pairs = zip(source.parts, globs, strict=True)
    parts = [f"sorted(folder.glob({quoted(part)}))" if glob else f"[{at(part)}]" for part, glob in pairs]
    found = sorted(path for part in source.parts for path in proposal.found.folder.glob(part))
    counted = sorted(found, key=lambda path: (len(path.name), path.name))
    if len(parts) == 1 and source is proposal.found.test and found != counted:
        return f"{parts[0][:-1]}, key=lambda path: (len(path.name), path.name))"
    line = " + ".join(parts)
    return line if len(line) < LINE - 12 else f"({NEW_LINE}{f'{NEW_LINE}+ '.join(parts)}\n    )"


def globbed(source: Source) -> str:
    """Paths that a glob finds, those with suffixes of others left out."""
    found = f"folder.glob({quoted(source.glob)})"
    if not source.suffixes:
        return found
    return f"path for path in {found} if path.suffix.lower() in {tupled(source.suffixes)}"


def pattern_of(source: Source) -> str:
    """The argument of a folder whose images have a file a channel."""
    return f', "*{source.channels[0]}.*"' if source.channels else ""


def own_table(proposal: Proposal, text: Text) -> list[str]:
    """Lines that read what tables say of the images in their own rows, and not the images."""
    source, targets = proposal.found.images, proposal.targets
    assert source is not None and targets.sheet is not None
    wanted = [*targets.columns[1:], *([targets.group] if targets.group else [])]
    text.plain.append("import pandas as pd")
    if not in_parts(proposal):
        line = f"    table = {table_at(targets.sheet, text, wanted)}"
        lines = [line]
    else:
        part = table_at(targets.sheet, text, wanted).replace(at(targets.sheet.path), "path")
        line = f"    table = pd.concat([{part} for path in paths], ignore_index=True)"
        lines = [f"    paths = {_paths(proposal, source)}", line]
    if len(line) > LINE:
        lines[-1:] = [f"    columns = {_listed(wanted)}", line.replace(_listed(wanted), "columns")]
    missing = targets.blank and suffix_of(targets.path) == ".parquet"
    return [*lines, '    table = table.astype(object).where(table.notna(), "")'] if missing else lines


def array_groups(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Groups that an array says; more: what else `Samples` is given."""
    path, key = proposal.targets.groups_at
    if not path:
        return []
    text.plain.append("import pandas as pd")
    more.append("groups=groups")
    array = array_at(path, key, text)
    line = f"    groups, _ = pd.factorize({array})"
    return [line] if len(line) <= LINE else [f"    origins = {array}", "    groups, _ = pd.factorize(origins)"]


def array_at(path: str, key: str, text: Text) -> str:
    """The call that reads an array, where the path is a glob of several files one behind another."""
    suffix, where = suffix_of(path), "path" if "*" in path else at(path)
    if suffix == ".npz":
        text.use("Npz")
        call = f"Npz({where})[{quoted(key)}]"
    elif suffix == ".npy":
        text.plain.append("import numpy as np")
        call = f"np.load({where})"
    else:
        text.plain.append("import h5py")
        call = f"h5py.File({where})[{quoted(key)}][:]"
    if "*" not in path:
        return call
    text.plain.append("import numpy as np")
    return f"np.concatenate([{call} for path in sorted(folder.glob({quoted(path)}))])"


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, names))}]"


def table_at(sheet: Sheet, text: Text, only: Sequence[str] = ()) -> str:
    """A table as pandas reads it, all cells as text. only: columns, where not all are read."""
    if sheet.json:
        text.use("json_table")
        return f"json_table({at(sheet.path)})"
    text.plain.append("import pandas as pd")
    if suffix_of(sheet.path) == ".parquet":
        return f"pd.read_parquet({at(sheet.path)}{f', columns={_listed(only)}' if only else ''})"
    more = f", usecols={_listed(only)}" if only else ""
    more += "" if sheet.separator == "," else f", sep={quoted(sheet.separator)}"
    more += "" if sheet.header else f", header=None, names={tupled(sheet.columns)}"
    more += "" if sheet.encoding == "utf-8" else f", encoding={quoted(sheet.encoding)}"
    return f"pd.read_csv({at(sheet.path)}{more}, dtype=str, keep_default_na=False)"


def table_lines(name: str, sheet: Sheet, text: Text) -> list[str]:
    """One that reads a table, or two where it would be long."""
    line = f"    {name} = {table_at(sheet, text)}"
    if len(line) <= LINE:
        return [line]
    return [f"    path = {at(sheet.path)}", line.replace(at(sheet.path), "path", 1)]
