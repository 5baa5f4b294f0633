"""The part of `load`, as text, that finds the test images and what a submission calls them by."""

from toolkit.recognition.found import Found, Listed, Sample, Source
from toolkit.recognition.loaded_tables import dropped, joined_line, tiled
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.sources import array_at, at, images_of, table_at
from toolkit.recognition.text import LINE, Text, quoted, tupled


def tests_of(proposal: Proposal, text: Text, more: list[str]) -> list[str]:
    """Lines that end with `test`; more: what else `Samples` is given."""
    found, targets, sample = proposal.found, proposal.targets, proposal.found.sample
    source = found.images if found.test is None else found.test
    if source is None:
        return []
    images = images_of(proposal, source, text)
    if targets.in_paths[0] and found.test:
        return _of_paths(proposal, text, more, images)
    if found.test_names:
        return _listed(proposal, found.test_names, text, more, images)
    lines, chosen = [], ""
    if source.ids[0] and found.test:
        lines.append(f"    ids = {array_at(*source.ids, text)}.astype(str)")
    if targets.split and targets.split[2]:
        column, _, test = targets.split
        rows = f"table[{quoted(column)}].isin({tupled(test)})"
        lines.append(f"    names = table[{rows}][{quoted(targets.columns[0])}].tolist()")
        chosen = "names"
    elif sample and found.test and not targets.sets and _lacks(sample, found.test):
        lines.append(f"    names = {_sample(sample, text)}.tolist()")
        chosen = "names"
    if not (chosen or found.test):
        return lines
    if targets.drop and chosen:
        lines.append(f"    names = [{dropped(proposal)} for name in names]")
    choose = f".chosen({chosen})" if chosen else ""
    if found.pictures and found.pictures.huge and targets.where in ("table", "masks"):
        return [*lines, f"    tests = {images}{choose}", *_of_slides(proposal, more)]
    lines.append(f"    test = {images}{choose}")
    more.append("test_images=test")
    if targets.sets:
        text.plain.append("import numpy as np")
        lines.append(f"    each = [path.relative_to({at(source.path)}).parts[0] for path in test.paths]")
        lines.append("    ids = sorted(set(each))")
        lines.append("    test_sets = sets_of(each, ids)")
        more.extend(["test_sets=test_sets", "test_ids=np.array(ids)"])
        return lines
    if targets.beside:
        called = "file_names" if targets.beside.suffixed else "stems"
        wanted = tupled((targets.beside.names, *targets.beside.columns))
        lines.append(f"    test_table = table_of({at(targets.beside.path)}, test.{called}, {wanted})")
        more.append("test_table=test_table")
    return [*lines, *_ids(found, sample, chosen, text, more)]


def _ids(found: Found, sample: Sample | None, chosen: str, text: Text, more: list[str]) -> list[str]:
    """What a submission calls them by, where that isn't their files' names without suffix."""
    if chosen:
        text.plain.append("import numpy as np")
        more.append("test_ids=np.array(names)")
    elif found.test and (found.test.names or found.test.ids[0]):
        return []
    elif sample and sample.ids == "names":
        more.append("test_ids=test.file_names")
    elif sample and sample.ids == "inside":
        text.plain += ["import re", "import numpy as np"]
        more.append("test_ids=np.array(ids)")
        return ['    ids = [int(re.findall("[0-9]+", stem)[-1]) for stem in test.stems]']
    elif sample and sample.ids == "count" and sample.first:
        text.plain.append("import numpy as np")
        more.append(f"test_ids=np.arange({sample.first}, len(test) + {sample.first})")
    return []


def _listed(proposal: Proposal, given: Listed, text: Text, more: list[str], images: str) -> list[str]:
    """Of those that a table lists."""
    targets = proposal.targets
    text.plain.append("import numpy as np")
    names = quoted(given.names)
    if not given.ids and not given.before + given.after:
        more += ["test_images=test", "test_ids=np.array(names)"]
        table = table_at(given.sheet, text)
        lines = [f"    names = {table}[{names}].tolist()"]
        if not given.sheet.header and len(given.sheet.columns) == 1:
            lines = [
                f"    names = ({at(given.sheet.path)}).read_text(encoding={quoted(given.sheet.encoding)}).split()"
            ]
        elif len(lines[0]) > LINE:
            lines = [f"    tests = {table}", f"    names = tests[{names}].tolist()"]
        lines += [f"    names = [{dropped(proposal)} for name in names]"] if targets.drop else []
        return [*lines, f"    test = {images}.chosen(names)"]
    lines = [f"    tests = {table_at(given.sheet, text)}"]
    if given.sets and targets.joined != (targets.title,) and given.ids not in given.sheet.columns:
        lines.append(joined_line("tests", targets.title, targets.joined, targets.joint))
    called = f"tests[{names}].tolist()"
    if given.before + given.after:
        called = f'[f"{given.before}{{name}}{given.after}" for name in tests[{names}]]'
    lines.append(f"    test = {images}.chosen({called})")
    more.append("test_images=test")
    if targets.beside:
        wanted = tupled((given.names, *targets.beside.columns))
        lines.append(f"    test_table = table_of({at(given.sheet.path)}, tests[{names}].tolist(), {wanted})")
        more.append("test_table=test_table")
    if not given.sets:
        more.append(f"test_ids=tests[{quoted(given.ids or given.names)}].to_numpy(str)")
        return lines
    text.plain.append("import pandas as pd")
    more += ["test_sets=test_sets", "test_ids=np.array(ids, str)"]
    return [*lines, f"    test_sets, ids = pd.factorize(tests[{quoted(given.ids)}])"]


def _of_paths(proposal: Proposal, text: Text, more: list[str], images: str) -> list[str]:
    """Of those whose names are put together from their paths."""
    sample, targets = proposal.found.sample, proposal.targets
    lines = [f"    test = {images}"]
    ids = f"    ids = {_sample(sample, text)}.tolist()" if sample else '    ids = sorted(set(names_in(test)) - {""})'
    more += ["test_images=test", "test_ids=np.array(ids)"]
    if not targets.repeated:
        return [*lines, ids, "    test = replace(test, names=names_in(test)).chosen(ids)"]
    more.append("test_sets=sets_of(names_in(test), ids)")
    return [
        *lines,
        ids,
        "    test = test[np.flatnonzero(np.isin(names_in(test), ids))]",
    ]


def _of_slides(proposal: Proposal, more: list[str]) -> list[str]:
    masks = proposal.targets.form in ("runs", "masks")
    more.append("test_images=test.images")
    more += ["test_places=test.places"] if masks else ["test_sets=test.sets", "test_ids=tests.stems"]
    return [f"    test = {tiled('tests', proposal, 0.25 if masks else 0)}"]


def _sample(sample: Sample, text: Text) -> str:
    """The sample's column of ids."""
    text.plain.append("import pandas as pd")
    return f"pd.read_csv({at(sample.path)}, dtype=str, keep_default_na=False)[{quoted(sample.columns[0])}]"


def _lacks(sample: Sample, test: Source) -> bool:
    """Are there test images that the sample doesn't name, or does it take their folders to tell them apart?"""
    return sample.ids == "paths" or (sample.ids in ("names", "stems") and sample.rows < test.number)
