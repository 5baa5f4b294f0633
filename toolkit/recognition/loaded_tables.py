"""The part of `load`, as text, that reads targets from a table and finds the images that it names."""

from toolkit.recognition.found import Targets
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.sources import at, images_of, in_parts, own_table, table_at, table_lines
from toolkit.recognition.text import LINE, Text, quoted, tupled


def of_table(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Lines that end with `images` and `labels`; more: what else `Samples` is given."""
    found, targets = proposal.found, proposal.targets
    assert found.images is not None
    lines, source = _read(proposal, text)
    names = targets.columns[0]
    images = images_of(proposal, found.images, text)
    if targets.title:
        return [*lines, *_of_joined(proposal, text, more, images)]
    text.use("target_table")
    wanted = f"({quoted(names)}, *TASK.classes)" if _as_named(proposal) else tupled(targets.columns)
    call = f"    {'names' if names else '_'}, labels = target_table({source}, TASK, {wanted})"
    if len(call) > LINE and len(wanted) < len(source):
        lines.append(f"    path = {source}")
        call = call.replace(source, "path", 1)
    elif len(call) > LINE:
        lines.append(f"    columns = {wanted}")
        call = f"    names, labels = target_table({source}, TASK, columns)"
    lines.append(call)
    if targets.group and not targets.group_in:
        lines.append(_groups(_origins(source, names, targets), text, more))
    elif targets.levels:
        folder = f'{_slashed(proposal)}.split("/")[{targets.levels[0]}]'
        lines.append(_groups(f"pd.Series([{folder} for name in names])", text, more))
    if not names:
        return [*lines, f"    images = {images}"]
    if targets.beside:
        text.use("table_of")
        wanted = tupled((names, *targets.beside.columns))
        lines.append(f"    table = table_of({at(targets.path)}, names, {wanted})")
        more.append("table=table")
    if targets.in_paths[0]:
        return [*lines, f"    images = {images}", *_of_paths(proposal, text, more)]
    if targets.sets:
        text.use("sets_of")
        more += ["sets=sets", "names=np.array(names)"]
        text.plain.append("import numpy as np")
        return [
            *lines,
            f"    images = {images}",
            f"    each = [path.relative_to({at(found.images.path)}).parts[0] for path in images.paths]",
            "    sets = sets_of(each, names)",
        ]
    called = "names"
    if targets.before + targets.after:
        called = f'[f"{targets.before}{{name}}{targets.after}" for name in names]'
    if targets.drop:
        called = f"[{dropped(proposal)} for name in names]"
    if targets.missing and called != "names":
        lines.append(f"    names = {called}")
    if found.pictures and found.pictures.huge:
        return [*lines, f"    slides = {images}.chosen({called})", *_of_slides(proposal, text, more)]
    elsewhere = group_lines(proposal, text, more, "images") if targets.group_in else []
    if not targets.missing:
        return [*lines, f"    images = {images}.chosen({called})", *elsewhere]
    own = targets.levels or (targets.group and not targets.group_in)
    grouped = "labels, groups = labels[there], groups[there]" if own else "labels = labels[there]"
    text.plain.append("import numpy as np")
    return [
        *lines,
        f"    images = {images}",
        "    there = images.has(names)",
        f"    {grouped}",
        "    images = images.chosen(np.array(names)[there])",
        *elsewhere,
    ]


def dropped(proposal: Proposal) -> str:
    """An image's `name` in the table without the first folders, which the download lacks."""
    return f'{_slashed(proposal)}.split("/", {proposal.targets.drop})[-1]'


def _slashed(proposal: Proposal) -> str:
    return """name.replace("\\\\", "/")""" if any("\\" in cell for cell in _head(proposal)) else "name"


def _head(proposal: Proposal) -> list[str]:
    sheet = proposal.targets.sheet
    return list(sheet.head[proposal.targets.columns[0]]) if sheet else []


def _as_named(proposal: Proposal) -> bool:
    """Are the columns of targets called like the task's labels, numbers or classes, in their order?"""
    return len(proposal.names) > 3 and proposal.targets.columns[1:] == proposal.names


def _origins(table: str, names: str, targets: Targets) -> str:
    """The column of groups, in which what isn't known is a group of its own, by the image's name."""
    column = f"{table}[{quoted(targets.group)}]"
    if not targets.blank:
        return column
    known = f'{column} == ""' if targets.blank == ("",) else f"{column}.isin({tupled(targets.blank)})"
    own = f"{table}[{quoted(names)}]" if names else f'"row " + {table}.index.astype(str)'
    return f"{column}.mask({known}, {own})"


def _groups(column: str, text: Text, more: list[str]) -> str:
    text.plain.append("import pandas as pd")
    more.append("groups=groups")
    line = f"    groups, _ = pd.factorize({column})"
    return line if len(line) <= LINE else f"    origins = {column}\n    groups, _ = pd.factorize(origins)"


def group_lines(proposal: Proposal, text: Text, more: list[str], images: str) -> list[str]:
    """Groups of images by a table that names them, or some: those that it doesn't are of their own."""
    targets = proposal.targets
    sheet, names = targets.group_in or (targets.sheet, targets.columns[0])
    assert sheet is not None
    called = "file_names" if any("." in cell for cell in sheet.head[names][:3]) else "stems"
    text.plain.append("import pandas as pd")
    more.append("groups=groups")
    line = f"    origins = {table_at(sheet, text)}.set_index({quoted(names)})[{quoted(targets.group)}].to_dict()"
    short = len(line) <= LINE
    lines = [line] if short else [f"    path = {at(sheet.path)}", line.replace(at(sheet.path), "path", 1)]
    if targets.blank and targets.blank != ("",):
        known = f"if one not in {tupled(targets.blank)}"
        lines.append(f"    origins = {{name: one for name, one in origins.items() {known}}}")
    origin = "origins.get(name) or name" if targets.blank == ("",) else "origins.get(name, name)"
    return [*lines, f"    groups, _ = pd.factorize(pd.Series([{origin} for name in {images}.{called}]))"]


def _read(proposal: Proposal, text: Text) -> tuple[list[str], str]:
    """Lines that read the table, and what it is called behind them, which may be its path alone."""
    targets = proposal.targets
    assert targets.sheet is not None
    listed = targets.form == "list" and (targets.gap != " " or targets.rows)
    decimal = targets.form == "numbers" and targets.decimal
    if not (
        in_parts(proposal)
        or targets.split
        or not targets.sheet.plain
        or (targets.group and not targets.group_in)
        or listed
        or targets.others
        or targets.title
        or decimal
        or targets.again
    ):
        return [], at(targets.path)
    sheets = [targets.sheet, *targets.others]
    if not targets.columns[0]:
        lines = own_table(proposal, text)
    elif len(sheets) > 1:
        text.plain.append("import pandas as pd")
        parts = ",".join(f"\n        {table_at(sheet, text)}" for sheet in sheets)
        lines = [f"    table = pd.concat([{parts},\n    ], ignore_index=True)"]
    else:
        lines = table_lines("table", targets.sheet, text)
    columns = list(targets.columns[1:])
    if targets.rows:
        (column,) = columns
        kept = {column: '"|".join'} | ({targets.group: '"first"'} if targets.group else {})
        said = ", ".join(f"{quoted(name)}: {how}" for name, how in kept.items())
        lines.append(
            f"    table = table.groupby({quoted(targets.columns[0])}, sort=False, as_index=False).agg({{{said}}})"
        )
    if targets.again:
        lines += _once(proposal)
    if listed:
        column = f"table[{quoted(columns[0])}]"
        gap = "|" if targets.rows else targets.gap
        parted = "" if gap == "|" else f'.str.replace({quoted(gap)}, "|")'
        lines.append(f'    {column} = {column}{parted}.str.replace(" ", "_").str.replace("|", " ")')
    if decimal:
        wanted = f"[{', '.join(map(quoted, columns))}]"
        lines.append(f'    table[{wanted}] = table[{wanted}].replace(",", ".", regex=True)')
    if not targets.split:
        return lines, "table"
    column, train, _ = targets.split
    return [*lines, f"    known = table[table[{quoted(column)}].isin({tupled(train)})]"], "known"


def _once(proposal: Proposal) -> list[str]:
    """Lines that leave one row an image, none of those that contradict each other."""
    names, *columns = proposal.targets.columns
    said = "*TASK.classes" if _as_named(proposal) else ", ".join(map(quoted, columns))
    lines = [f"    table = table.drop_duplicates([{quoted(names)}, {said}])"]
    if proposal.targets.unlike:
        lines.append(f"    table = table.drop_duplicates({quoted(names)}, keep=False)  # contradictory rows")
    return lines


def joined_line(table: str, title: str, columns: tuple[str, ...], joint: str) -> str:
    """What makes the column of sets' names in a table."""
    between = f" + {quoted(joint)} + " if joint else " + "
    return f"    {table}[{quoted(title)}] = " + between.join(f"{table}[{quoted(one)}]" for one in columns)


def _of_joined(proposal: Proposal, text: Text, more: list[str], images: str) -> list[str]:
    """Where rows of one title, of the table or made of several columns, are a sample."""
    targets = proposal.targets
    text.use("set_table")
    text.plain.append("import numpy as np")
    title, (name, *columns) = quoted(targets.title), targets.columns
    lines = (
        []
        if targets.joined == (targets.title,)
        else [joined_line("table", targets.title, targets.joined, targets.joint)]
    )
    lines.append(f"    images = {images}")
    if targets.missing:
        lines.append(f"    table = table[images.has(table[{quoted(name)}].tolist())]")
    lines.append(f"    files, names, sets, labels = set_table(table, TASK, {tupled((name, targets.title, *columns))})")
    if targets.group and not targets.group_in:
        lines.append(_groups(_origins(f"table.drop_duplicates({title})", targets.title, targets), text, more))
    more += ["sets=sets", "names=np.array(names)"]
    return [*lines, "    images = images.chosen(files)"]


def path_lines(proposal: Proposal, text: Text) -> list[str]:
    """Of a function beside `load`, where names are put together from images' paths."""
    pattern, joint = proposal.targets.in_paths
    if not pattern:
        return []
    text.use("ImageFiles")
    text.plain += ["import re", "import numpy as np"]
    return [
        "def names_in(images: ImageFiles) -> np.ndarray:",
        '    """What images are called, put together from their paths; "" of others."""',
        f'    found = [re.search(r"{pattern}", path.as_posix()) for path in images.paths]',
        f'    return np.array([{quoted(joint)}.join(match.groups()) if match else "" for match in found])',
        "",
        "",
    ]


def _of_paths(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    targets = proposal.targets
    lines = []
    if targets.missing:
        rows = "    there = np.isin(names, names_in(images))"
        kept = "    names, labels = np.array(names)[there].tolist(), labels[there]"
        lines += [rows, kept, *(["    groups = groups[there]"] if targets.group else [])]
    if not targets.repeated:
        return [*lines, "    images = replace(images, names=names_in(images)).chosen(names)"]
    text.use("sets_of")
    more += ["sets=sets_of(names_in(images), names)", "names=np.array(names)"]
    return [*lines, "    images = images[np.flatnonzero(np.isin(names_in(images), names))]"]


def _of_slides(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Where a huge picture has one target: it is the set of its tiles."""
    text.use("tiles")
    text.plain.append("import numpy as np")
    more += ["sets=sets", "names=np.array(names)"]
    return [f"    made = {tiled('slides', proposal)}", "    images, sets = made.images, made.sets"]


def tiled(slides: str, proposal: Proposal, overlap: float = 0) -> str:
    """The call that cuts tiles of about 1,024 of a picture's pixels."""
    lap = f", overlap={overlap:g}" if overlap else ""
    return f"tiles({slides}, TASK.image_shape[0]{lap}, at={scale_of(proposal):g}, blank=0.02)"


def scale_of(proposal: Proposal) -> float:
    side = proposal.shape[0]
    return next((scale for scale in (1.0, 0.5, 0.25) if side / scale >= SHOWN), 0.25)


SHOWN = 512  # of a picture's pixels that a tile shows at least
