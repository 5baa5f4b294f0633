"""The `load` of a competition as text: images, targets and test images as they were recognised."""

from toolkit.recognition.listing import suffix_of
from toolkit.recognition.loaded_tables import group_lines, of_table, path_lines, tiled
from toolkit.recognition.loaded_tests import tests_of
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.sources import at, images_of, rows_lines, values_of
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
            f"    parts = [class_folders(folder / part, TASK.classes{values_of(proposal)}) "
            f"for part in {tupled(found.images.parts)}]",
            "    images = sum((part for part, _ in parts[1:]), parts[0][0])",
            "    labels = np.concatenate([part for _, part in parts])",
        ]
    elif targets.where == "folders":
        text.use("class_folders")
        lines = [f"    images, labels = class_folders({at(found.images.path)}, TASK.classes{values_of(proposal)})"]
    else:
        lines = [f"    images = {images_of(proposal, found.images, text)}"]
        if targets.where == "homes":
            lines += _of_homes(proposal, text, more)
        elif targets.where == "names":
            text.use("labels_in_names")
            lines.append(f'    labels = labels_in_names(images, r"{targets.pattern}", TASK.classes)')
        else:
            lines += _of_array(proposal, text) if targets.where == "array" else _of_masks(proposal, text)
            lines += _origins(proposal, text, more)
    lines += tests_of(proposal, text, more)
    return [
        *rows_lines(proposal, text),
        *path_lines(proposal, text),
        "def load(folder: Path) -> Samples:",
        *lines,
        *_returned(more),
    ]


def _returned(more: list[str]) -> list[str]:
    given = ["images", "labels", *more]
    line = f"    return Samples({', '.join(given)})"
    if len(line) < LINE:
        return [line]
    half = len(given) // 2 + 1
    parts = [f"        {', '.join(part)}," for part in (given[:half], given[half:])]
    return ["    return Samples(", *parts, "    )"]


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
    called = "file_names" if any("." in cell for cell in _head(proposal)[:3]) else "stems"
    lines = [
        f"    images = {images_of(proposal, found.images, text)}",
        f"    columns = {tupled(targets.columns)}",
        f"    labels = run_length_masks({at(targets.path)}, images.{called}, TASK, images, columns)",
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
    if test is not None:
        flat = f"{array_at(test.path, test.key, text)}{'[:, 0]' if test.shape else ''}"
        tests = f"image_array({flat}, TASK.image_shape, {quoted(test.key or test.path)})"
    return [
        "def load(folder: Path) -> Dataset:",
        f"    pairs = {array}",
        f"    images = image_array(pairs[:, 0], TASK.image_shape, {said})",
        f"    labels = mask_array(pairs[:, 1], TASK.image_shape, len(TASK.classes), {said})",
        f"    test = {tests}",
        "    return Dataset(images, labels, np.arange(len(images)), np.arange(len(images)), test)",
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
            f"    masks = {{path.name: path for path in ({at(targets.path)}).rglob({quoted('*' + targets.suffix)})}}",
            f"    paths = [masks[{name}] for stem in images.stems]",
            f"    labels = mask_files(paths, TASK{given}){fitted}",
        ]
    return [
        f"    paths = [{at(targets.path)} / {name} for stem in images.stems]",
        f"    labels = mask_files(paths, TASK{given}){fitted}",
    ]


def _of_array(proposal: Proposal, text: Text) -> list[str]:
    targets = proposal.targets
    (key,) = targets.columns
    array = array_at(targets.path, key, text)
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


def array_at(path: str, key: str, text: Text) -> str:
    """The call that reads an array."""
    suffix = suffix_of(path)
    if suffix == ".npz":
        text.use("Npz")
        return f"Npz({at(path)})[{quoted(key)}]"
    if suffix == ".npy":
        text.plain.append("import numpy as np")
        return f"np.load({at(path)})"
    text.plain.append("import h5py")
    return f"h5py.File({at(path)})[{quoted(key)}][:]"
