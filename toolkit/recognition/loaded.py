"""The `load` of a competition as text: images, targets and test images as they were recognised."""

from toolkit.recognition.found import Sample, Sheet, Source
from toolkit.recognition.listing import suffix_of
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.text import Text, quoted, tupled

NEW_LINE = "\n        "


def load_lines(proposal: Proposal, text: Text) -> list[str]:
    """Of the function."""
    found, targets = proposal.found, proposal.targets
    assert found.images is not None
    more: list[str] = []
    if targets.where == "table":
        lines = _of_table(proposal, text, more)
    elif targets.where == "folders" and found.images.path == "*":
        text.use("image_folder")
        text.plain.append("import numpy as np")
        lines = [
            f"    parts = [{_images(proposal, found.images, text, 'name')} for name in TASK.classes]",
            "    images = sum(parts[1:], parts[0])",
            "    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])",
        ]
    elif targets.where == "folders":
        text.use("class_folders")
        lines = [f"    images, labels = class_folders({_at(found.images.path)}, TASK.classes{_values(proposal)})"]
    else:
        lines = [f"    images = {_images(proposal, found.images, text)}"]
        if targets.where == "names":
            text.use("labels_in_names")
            lines.append(f'    labels = labels_in_names(images, r"{targets.pattern}", TASK.classes)')
        else:
            lines += _of_array(proposal, text) if targets.where == "array" else _of_masks(proposal, text)
            lines += _origins(proposal, text, more)
    lines += _test(proposal, text, more)
    ends = "".join(f", {one}" for one in more)
    return ["def load(folder: Path) -> Samples:", *lines, f"    return Samples(images, labels{ends})"]


def _at(path: str, variable: str = "") -> str:
    if variable:
        return f"folder / {variable}"
    return f"folder / {quoted(path)}" if path else "folder"


def _values(proposal: Proposal) -> str:
    pictures = proposal.found.pictures
    if pictures is None or pictures.values is None:
        return ""
    return f", values=({pictures.values[0]:g}, {pictures.values[1]:g})"


def _images(proposal: Proposal, source: Source, text: Text, variable: str = "") -> str:
    values = _values(proposal)
    if source.parts:
        text.use("image_folder")
        parts = [f"image_folder({_at(part)}{values})" for part in source.parts]
        return f"({NEW_LINE}{f'{NEW_LINE}+ '.join(parts)}\n    )"
    if source.kind == "files" and source.glob:
        text.use("ImageFiles")
        found = f"folder.glob({quoted(source.glob)})"
        if source.without:
            found = f"path for path in {found} if not path.stem.endswith({quoted(source.without)})"
        return f"ImageFiles(sorted({found}){values})"
    if source.kind == "files":
        text.use("image_folder")
        return f"image_folder({_at(source.path, variable)}{values})"
    text.use("array_files")
    key = f", {quoted(source.key)}" if source.key or source.kind == "pixels" else ""
    shape = f", shape={source.shape}" if source.kind == "pixels" else ""
    return f"array_files({_at(source.path)}{key}{shape}{values})"


def _read(sheet: Sheet, text: Text) -> str:
    """A table as pandas reads it, all cells as text."""
    if suffix_of(sheet.path) == ".parquet":
        text.plain.append("import pandas as pd")
        return f"pd.read_parquet({_at(sheet.path)})"
    if sheet.json:
        text.use("json_table")
        return f"json_table({_at(sheet.path)})"
    text.plain.append("import pandas as pd")
    more = "" if sheet.separator == "," else f", sep={quoted(sheet.separator)}"
    more += "" if sheet.header else f", header=None, names={tupled(sheet.columns)}"
    more += "" if sheet.encoding == "utf-8" else f", encoding={quoted(sheet.encoding)}"
    return f"pd.read_csv({_at(sheet.path)}{more}, dtype=str, keep_default_na=False)"


def _of_table(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    found, targets = proposal.found, proposal.targets
    assert found.images is not None and targets.sheet is not None
    if targets.form == "runs":
        return _of_runs(proposal, text, more)
    text.use("target_table")
    lines, source = [], _at(targets.path)
    listed = targets.form == "list" and targets.gap != " "
    if targets.split or not targets.sheet.plain or targets.group or listed:
        lines.append(f"    table = {_read(targets.sheet, text)}")
        source = "table"
    if listed:
        column = f"table[{quoted(targets.columns[1])}]"
        parted = "" if targets.gap == "|" else f'.str.replace({quoted(targets.gap)}, "|")'
        lines.append(f'    {column} = {column}{parted}.str.replace(" ", "_").str.replace("|", " ")')
    if targets.split:
        column, train, _ = targets.split
        lines.append(f"    known = table[table[{quoted(column)}].isin({tupled(train)})]")
        source = "known"
    names = targets.columns[0]
    wanted = f"({quoted(names)}, *TASK.classes)" if _as_named(proposal) else tupled(targets.columns)
    called = "names" if names else "_"
    lines.append(f"    {called}, labels = target_table({source}, TASK, {wanted})")
    if targets.group:
        more.append("groups=groups")
        lines.append(f"    groups, _ = pd.factorize({source}[{quoted(targets.group)}])")
    images = _images(proposal, found.images, text)
    if not names:
        return [*lines, f"    images = {images}"]
    if targets.beside:
        text.use("table_of")
        wanted = tupled((names, *targets.beside.columns))
        lines.append(f"    table = table_of({_at(targets.path)}, names, {wanted})")
        more.append("table=table")
    if targets.sets:
        text.use("sets_of")
        more.append("sets=sets")
        return [
            *lines,
            f"    images = {images}",
            f"    each = [path.relative_to({_at(found.images.path)}).parts[0] for path in images.paths]",
            "    sets = sets_of(each, names)",
        ]
    around = targets.before + targets.after
    if around:
        lines.append(f'    names = [f"{targets.before}{{name}}{targets.after}" for name in names]')
    if targets.drop:
        lines.append(f'    names = [name.split("/", {targets.drop})[-1] for name in names]')
    if not targets.missing:
        return [*lines, f"    images = {images}.chosen(names)"]
    grouped = "labels, groups = labels[there], groups[there]" if targets.group else "labels = labels[there]"
    return [
        *lines,
        f"    images = {images}",
        "    known = {*images.stems, *images.file_names}",
        "    there = [row for row, name in enumerate(names) if name in known]",
        f"    {grouped}",
        "    images = images.chosen([names[row] for row in there])",
    ]


def _as_named(proposal: Proposal) -> bool:
    """Are the columns of targets called like the task's labels, numbers or classes, in their order?"""
    return len(proposal.names) > 3 and proposal.targets.columns[1:] == proposal.names


def _of_runs(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    found, targets = proposal.found, proposal.targets
    assert found.images is not None
    text.use("run_length_masks")
    called = "file_names" if any("." in cell for cell in _head(proposal)[:3]) else "stems"
    lines = [
        f"    images = {_images(proposal, found.images, text)}",
        f"    columns = {tupled(targets.columns)}",
        f"    labels = run_length_masks({_at(targets.path)}, images.{called}, TASK, images, columns)",
    ]
    if not targets.group:
        return [*lines, *_origins(proposal, text, more)]
    assert targets.sheet is not None
    more.append("groups=groups")
    return [
        *lines,
        f"    table = {_read(targets.sheet, text)}",
        f"    origins = dict(zip(table[{quoted(targets.columns[0])}], table[{quoted(targets.group)}]))",
        f"    groups, _ = pd.factorize(pd.Series([origins.get(name, name) for name in images.{called}]))",
    ]


def _origins(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Groups of images that masks belong to, by what their names have in common."""
    if not proposal.targets.origin:
        return []
    text.plain += ["import pandas as pd", "import re"]
    more.append("groups=groups")
    return [
        f'    origins = [re.sub(r"{proposal.targets.origin}", "", stem) for stem in images.stems]',
        "    groups, _ = pd.factorize(pd.Series(origins))",
    ]


def _head(proposal: Proposal) -> list[str]:
    sheet = proposal.targets.sheet
    assert sheet is not None
    return list(sheet.head[proposal.targets.columns[0]])


def _of_masks(proposal: Proposal, text: Text) -> list[str]:
    targets = proposal.targets
    if targets.pattern == "many":
        text.use("label_mask_files")
        inner = targets.path and proposal.found.images and "masks"
        found = f'sorted((path.parent.parent / "{inner}").iterdir())'
        return [
            f'    parts = [{{"object": {found}}} for path in images.paths]',
            "    labels = label_mask_files(parts, TASK)",
        ]
    text.use("mask_files")
    start, end = targets.strip
    cut = (f".removeprefix('{start}')" if start else "") + (f".removesuffix('{end}')" if end else "")
    stem = f"{{stem{cut}}}"
    name = f'f"{targets.before}{stem}{targets.after}{targets.suffix}"'
    given = f", {dict(targets.values)}" if targets.values else ""
    # nothing reads several classes' masks of several sizes back, where no sample says how they are written
    fitted = ".fitted(TASK.image_shape)" if len(proposal.names) > 2 and proposal.found.sample is None else ""
    if targets.nested:
        return [
            f"    masks = {{path.name: path for path in ({_at(targets.path)}).rglob({quoted('*' + targets.suffix)})}}",
            f"    paths = [masks[{name}] for stem in images.stems]",
            f"    labels = mask_files(paths, TASK{given}){fitted}",
        ]
    return [
        f"    paths = [{_at(targets.path)} / {name} for stem in images.stems]",
        f"    labels = mask_files(paths, TASK{given}){fitted}",
    ]


def _of_array(proposal: Proposal, text: Text) -> list[str]:
    targets = proposal.targets
    (key,) = targets.columns
    suffix = suffix_of(targets.path)
    if suffix == ".npz":
        text.use("Npz")
        array = f"Npz({_at(targets.path)})[{quoted(key)}]"
    elif suffix == ".npy":
        text.plain.append("import numpy as np")
        array = f"np.load({_at(targets.path)})"
    else:
        text.plain.append("import h5py")
        array = f"h5py.File({_at(targets.path)})[{quoted(key)}][:]"
    if targets.form == "numbers":
        text.plain.append("import numpy as np")
        return [f"    labels = np.asarray({array}, np.float32).reshape(-1, 1)"]
    if targets.form == "masks":
        text.use("mask_array")
        return [
            f"    labels = mask_array({array}, TASK.image_shape, len(TASK.classes), {quoted(key or targets.path)})"
        ]
    text.use("label_array")
    return [f"    labels = label_array({array}, len(TASK.classes), {quoted(key or targets.path)})"]


def _lacks(sample: Sample, test: Source) -> bool:
    """Are there test images that the sample doesn't name?"""
    return sample.ids in ("names", "stems") and sample.rows < test.number


def _test(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    found, targets, sample = proposal.found, proposal.targets, proposal.found.sample
    chosen = ""
    lines = []
    if found.test_names:
        sheet, column = found.test_names
        lines.append(f"    names = {_read(sheet, text)}[{quoted(column)}].tolist()")
        chosen = "names"
    elif targets.split and targets.split[2]:
        column, _, test = targets.split
        rows = f"table[{quoted(column)}].isin({tupled(test)})"
        lines.append(f"    names = table[{rows}][{quoted(targets.columns[0])}].tolist()")
        chosen = "names"
    elif sample and found.test and not targets.sets and _lacks(sample, found.test):
        text.plain.append("import pandas as pd")
        table = f"pd.read_csv({_at(sample.path)}, dtype=str, keep_default_na=False)"
        lines.append(f"    names = {table}[{quoted(sample.columns[0])}].tolist()")
        chosen = "names"
    source = found.images if found.test is None else found.test
    if source is None or not (chosen or found.test):
        return lines
    choose = f".chosen({chosen})" if chosen else ""
    lines.append(f"    test = {_images(proposal, source, text)}{choose}")
    more.append("test_images=test")
    if targets.sets:
        text.plain.append("import numpy as np")
        lines.append(f"    each = [path.relative_to({_at(source.path)}).parts[0] for path in test.paths]")
        lines.append("    names = sorted(set(each))")
        lines.append("    test_sets = sets_of(each, names)")
        more.extend(["test_sets=test_sets", "test_ids=np.array(names)"])
        return lines
    if targets.beside:
        called = "file_names" if targets.beside.suffixed else "stems"
        wanted = tupled((targets.beside.names, *targets.beside.columns))
        lines.append(f"    test_table = table_of({_at(targets.beside.path)}, test.{called}, {wanted})")
        more.append("test_table=test_table")
    if chosen:
        text.plain.append("import numpy as np")
        more.append("test_ids=np.array(names)")
    elif sample and sample.ids == "names":
        more.append("test_ids=test.file_names")
    elif sample and sample.ids == "inside":
        text.plain += ["import re", "import numpy as np"]
        more.append("test_ids=np.array(ids)")
        lines.append('    ids = [int(re.findall("[0-9]+", stem)[-1]) for stem in test.stems]')
    elif sample and sample.ids == "count" and sample.first:
        text.plain.append("import numpy as np")
        more.append(f"test_ids=np.arange({sample.first}, len(test) + {sample.first})")
    return lines
