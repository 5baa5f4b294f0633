"""The `load` of a competition as text: images, targets and test images as they were recognised."""

from collections.abc import Sequence
from pathlib import Path

from toolkit.recognition.listing import IMAGES
from toolkit.recognition.loaded_tables import group_lines, of_table, path_lines, tiled
from toolkit.recognition.loaded_tests import tests_of
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.sources import array_at, array_groups, at, globbed, images_of, pattern_of, values_of
from toolkit.recognition.text import LINE, Text, quoted, tupled


def load_lines(proposal: Proposal, text: Text) -> list[str]:
    """Of the function."""
    found, targets = proposal.found, proposal.targets
    assert found.images is not None
    more: list[str] = []
    if targets.where == "pairs":
        return _of_pairs(proposal, text)
    if targets.where == "table" and targets.form == "runs":
        lines = _of_runs(proposal, text, more)
    elif targets.where == "table":
        lines = of_table(proposal, text, more)
    elif targets.where == "folders" and found.images.path == "*":
        text.use("image_folder")
        text.plain.append("import numpy as np")
        lines = [
            f"    parts = [{images_of(proposal, found.images, text, 'name')} for name in TASK.classes]",
            "    images = sum(parts[1:], parts[0])",
            "    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])",
        ]
    elif targets.where == "folders" and found.images.parts:
        text.use("class_folders")
        text.plain.append("import numpy as np")
        lines = [
            f"    parts = [class_folders(folder / part, TASK.classes{pattern_of(found.images)}{values_of(proposal)}) "
            f"for part in {tupled(found.images.parts)}]",
            "    images = sum((part for part, _ in parts[1:]), parts[0][0])",
            "    labels = np.concatenate([part for _, part in parts])",
            *_joined_channels(proposal, text),
        ]
    elif targets.where == "folders":
        text.use("class_folders")
        given = f"TASK.classes{pattern_of(found.images)}{values_of(proposal)}"
        lines = [f"    images, labels = class_folders({at(found.images.path)}, {given})"]
        lines += _joined_channels(proposal, text)
    elif targets.where == "masks" and targets.pattern == "beside":
        lines = [*_of_marked(proposal, text), *_origins(proposal, text, more)]
    else:
        lines = [f"    images = {images_of(proposal, found.images, text)}"]
        if targets.where == "homes":
            lines += _of_homes(proposal, text, more)
        elif targets.where == "levels":
            lines += _of_levels(proposal, text, more)
        elif targets.where == "names":
            text.use("labels_in_names")
            lines.append(f'    labels = labels_in_names(images, r"{targets.pattern}", TASK.classes)')
        else:
            lines += _of_array(proposal, text) if targets.where == "array" else _of_masks(proposal, text)
            lines += _origins(proposal, text, more)
    lines += array_groups(proposal, text, more)
    lines += tests_of(proposal, text, more)
    return [
        *path_lines(proposal, text),
        "def load(folder: Path) -> Samples:",
        *lines,
        *_returned(more),
    ]


def _joined_channels(proposal: Proposal, text: Text) -> list[str]:
    """Where images have a file a channel, and those of the first were found."""
    source = proposal.found.images
    if source is None or not source.channels:
        return []
    text.use("channel_files")
    return [f"    images = channel_files(images, {tupled(source.channels)})"]


def _returned(more: list[str]) -> list[str]:
    given = ["images", "labels", *more]
    line = f"    return Samples({', '.join(given)})"
    if len(line) < LINE:
        return [line]
    half = len(given) // 2 + 1
    parts = [f"        {', '.join(part)}," for part in (given[:half], given[half:])]
    return ["    return Samples(", *parts, "    )"]


def _of_levels(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Folders that are classes, with others in or around them, which may be origins."""
    targets = proposal.targets
    text.plain.append("import numpy as np")
    lines = [
        f"    each = [path.relative_to({at(targets.path)}).parts for path in images.paths]",
        f"    labels = np.array([TASK.classes.index(parts[{targets.level}]) for parts in each])",
    ]
    if not targets.levels:
        return lines
    text.plain.append("import pandas as pd")
    more.append("groups=groups")
    first, last = targets.levels[0], targets.levels[-1]
    origin = f"parts[{first}]" if first == last else f'"/".join(parts[{first}:{last + 1}])'
    return [*lines, f"    groups, _ = pd.factorize(pd.Series([{origin} for parts in each]))"]


def _of_homes(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """A class in the name of each folder: they are samples where the sample submission names such, else origins."""
    found, targets = proposal.found, proposal.targets
    assert found.images is not None
    text.plain += ["import re", "import numpy as np"]
    each = f"path.relative_to({at(found.images.path)}).parts[0]"
    said = f'TASK.classes.index(re.search(r"{targets.pattern}", one).group(1))'
    if not targets.sets:
        text.plain.append("import pandas as pd")
        more.append("groups=groups")
        return [
            f"    each = [{each} for path in images.paths]",
            f"    labels = np.array([{said} for one in each])",
            "    groups, _ = pd.factorize(pd.Series(each))",
        ]
    text.use("sets_of")
    more += ["sets=sets", "names=np.array(names)"]
    return [
        f"    each = [{each} for path in images.paths]",
        "    names = sorted(set(each))",
        "    sets = sets_of(each, names)",
        f"    labels = np.array([{said} for one in names])",
    ]


def _of_runs(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    found, targets = proposal.found, proposal.targets
    assert found.images is not None
    text.use("run_length_masks")
    suffixed = any(
        Path(cell).suffix.lower() in IMAGES for cell in _head(proposal)[:3]
    )  # ids may have dots of their own
    called = "file_names" if suffixed else "stems"
    counted = "" if targets.by == "columns" else f', by="{targets.by or "columns"}"'
    counted += f", first={targets.first}" if targets.first != 1 else ""
    doubt = '    # CHOOSE: by="rows", here and in dialect=Dialect(by="rows"), where pixels are counted along rows'
    given = f"{at(targets.path)}, images.{called}, TASK, images, columns{counted}"
    call = [f"    labels = run_length_masks({given})"]
    call = call if len(call[0]) <= LINE else ["    labels = run_length_masks(", f"        {given}", "    )"]
    lines = [
        f"    images = {images_of(proposal, found.images, text)}",
        f"    columns = {tupled(targets.columns)}",
        *([] if targets.by else [doubt]),
        *call,
    ]
    if found.pictures and found.pictures.huge:
        return [*[line.replace("images", "slides") for line in lines], *_of_slides(proposal, text, more)]
    if not targets.group:
        return [*lines, *_origins(proposal, text, more)]
    return [*lines, *group_lines(proposal, text, more, "images")]


def _of_slides(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Where huge pictures have masks: these are cut as the tiles are, all tiles of a slide in one group."""
    text.use("tiles")
    lines = [f"    made = {tiled('slides', proposal, 0.25)}", "    images = made.images"]
    if proposal.targets.group:
        lines += [*group_lines(proposal, text, more, "slides"), "    groups = groups[made.picture]"]
    else:
        more.append("groups=made.picture")
    more.append("places=made.places")
    return lines


def _of_pairs(proposal: Proposal, text: Text) -> list[str]:
    """An array (N, 2, height, width) of images and masks."""
    found = proposal.found
    source, test = found.images, found.test
    assert source is not None
    text.use("Dataset", "image_array", "mask_array")
    text.plain.append("import numpy as np")
    array = array_at(source.path, source.key, text)
    said, tests = quoted(source.key or source.path), "np.empty((0, *TASK.image_shape), np.uint8)"
    ids = [f"    ids = {array_at(*test.ids, text)}.astype(str)"] if test is not None and test.ids[0] else []
    stand = f", {dict(proposal.targets.values)}" if proposal.targets.values else ""
    if test is not None:
        flat = f"{array_at(test.path, test.key, text)}{'[:, 0]' if test.shape else ''}"
        tests = f"image_array({flat}, TASK.image_shape, {quoted(test.key or test.path)})"
    return [
        "def load(folder: Path) -> Dataset:",
        f"    pairs = {array}",
        f"    images = image_array(pairs[:, 0], TASK.image_shape, {said})",
        f"    labels = mask_array(pairs[:, 1], TASK.image_shape, len(TASK.classes), {said}{stand})",
        f"    test = {tests}",
        *ids,
        "    rows = np.arange(len(images))",
        f"    return Dataset(images, labels, rows, rows, test{', ids' if ids else ''})",
    ]


def _origins(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Groups of images that masks belong to, by their folders or by what their names have in common."""
    targets = proposal.targets
    if not targets.origin and not targets.origins:
        return []
    text.plain.append("import pandas as pd")
    more.append("groups=groups")
    if targets.origins:
        return [f"    groups, _ = pd.factorize(pd.Series([{targets.origins} for path in images.paths]))"]
    text.plain.append("import re")
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
        found = f'sorted(({targets.home}).glob("*{targets.suffix}"))'
        above = f", above={targets.values['above']}" if targets.values else ""  # edges that are smeared
        return [
            *_chosen(targets.kinds),
            f'    parts = [{{"object": {found}}} for path in images.paths]',
            f"    labels = label_mask_files(parts, TASK{above})",
        ]
    start, end = targets.strip
    cut = (f".removeprefix('{start}')" if start else "") + (f".removesuffix('{end}')" if end else "")
    stem = f"{{{'path.stem' if targets.home else 'stem'}{cut}}}"
    name = f'f"{targets.before}{stem}{targets.after}{targets.suffix}"'
    if targets.within:
        found = (
            f"for part in {tupled(targets.within)} for path in (folder / part).rglob({quoted('*' + targets.suffix)})"
        )
        lines = [
            "    masks = {",
            f"        path.name: path {found}",
            "    }",
            f"    paths = [masks[{name}] for stem in images.stems]",
        ]
        whole = f"    masks = {{path.name: path {found}}}"
        lines = lines if len(whole) > LINE else [whole, lines[-1]]
    elif targets.home:
        lines = [f"    paths = [{targets.home} / {name} for path in images.paths]"]
        if len(lines[0]) > LINE:
            lines = [
                f"    homes = [{targets.home} for path in images.paths]",
                f"    names = [{name} for path in images.paths]",
                "    paths = [home / name for home, name in zip(homes, names)]",
            ]
    else:
        lines = [f"    paths = [{at(targets.path)} / {name} for stem in images.stems]"]
    return [*_chosen(targets.kinds), *lines, _read_masks(proposal, text)]


def _of_marked(proposal: Proposal, text: Text) -> list[str]:
    """Images whose masks lie beside them, by these: there may be others."""
    source, targets = proposal.found.images, proposal.targets
    assert source is not None
    text.use("ImageFiles")
    end = targets.after + targets.suffix
    found = f"folder.glob({quoted('/'.join([*source.glob.split('/')[:-1], f'*{end}']))})"
    if source.parts:
        found = f"path for part in {tupled(source.parts)} for path in (folder / part).rglob({quoted(f'*{end}')})"
    line = f"    paths = sorted({found})"
    lines = [
        *_chosen(targets.kinds),
        *([line] if len(line) <= LINE else ["    paths = sorted(", f"        {found}", "    )"]),
    ]
    values = values_of(proposal)
    if source.suffixes:
        lines.append(f'    known = {{str(path.with_suffix("")): {globbed(source)}}}')
        each = f"known[str(path).removesuffix({quoted(end)})]"
    else:
        suffix = source.glob.rpartition("/")[2].removeprefix("*")
        each = f"path.with_name(path.name.removesuffix({quoted(end)}) + {quoted(suffix)})"
    return [*lines, f"    images = ImageFiles([{each} for path in paths]{values})", _read_masks(proposal, text)]


def _read_masks(proposal: Proposal, text: Text) -> str:
    text.use("mask_files")
    values = f", {dict(proposal.targets.values)}" if proposal.targets.values else ""
    # nothing reads several classes' masks of several sizes back, where no sample says how they are written
    fitted = ".fitted(TASK.image_shape)" if len(proposal.names) > 2 and proposal.found.sample is None else ""
    return f"    labels = mask_files(paths, TASK{values}){fitted}"


def _chosen(kinds: Sequence[str]) -> list[str]:
    """Where other masks fit as well."""
    return [f"    # CHOOSE: these masks, or {', '.join(kinds)[:80]}"] if kinds else []


def _of_array(proposal: Proposal, text: Text) -> list[str]:
    targets = proposal.targets
    array = array_at(targets.path, targets.columns[0], text)
    if "*" not in targets.path:
        return _of_values(proposal, text, array)
    return [f"    said = {array}", *_of_values(proposal, text, "said")]


def _of_values(proposal: Proposal, text: Text, array: str) -> list[str]:
    """Labels from an array of this expression."""
    targets = proposal.targets
    (key,) = targets.columns
    if targets.form in ("numbers", "labels"):
        text.plain.append("import numpy as np")
        kind = "float32" if targets.form == "numbers" else "int8"
        return [f"    labels = np.asarray({array}, np.{kind}).reshape(-1, {len(targets.names)})"]
    if targets.form == "masks":
        text.use("mask_array")
        given = f"{quoted(key or targets.path)}{f', {dict(targets.values)}' if targets.values else ''}"
        return [f"    labels = mask_array({array}, TASK.image_shape, len(TASK.classes), {given})"]
    if not targets.one_hot and targets.names != tuple(map(str, range(len(targets.names)))):
        text.use("target_table")
        text.plain.append("import pandas as pd")
        said = f"{array}.ravel().astype(str)"
        return [
            f'    table = pd.DataFrame({{"label": {said}}})',
            '    _, labels = target_table(table, TASK, ("", "label"))',
        ]
    text.use("label_array")
    array += ".argmax(1)" if targets.one_hot else ""
    return [f"    labels = label_array({array}, len(TASK.classes), {quoted(key or targets.path)})"]
