"""The form of a submission, recognised from the organisers' sample, the task, the metric and the test images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError, listed
from toolkit.formats.dialect import PLAIN, Dialect
from toolkit.formats.sample_file import SampleFile, read_sample
from toolkit.formats.sample_format import Cell, SampleFormat
from toolkit.formats.sample_keys import BY_HAND, Keys, keys_of
from toolkit.metrics.metric import Metric
from toolkit.task import Classification, Grades, Heads, Labels, Numbers, Segmentation, Task

GAPS = (" ", ",", ";", "|")  # between the names of a list


def sample_format(
    path: Path, task: Task, metric: Metric, ids: Sequence[Any] | np.ndarray, dialect: Dialect = PLAIN
) -> SampleFormat:
    """How the sample at `path` lays a submission out; ids: what `load` calls the test images by.

    UserError, one sentence, where it can't be known or is of other images: which column, what was expected, what to
    do.
    """
    pixels = task.image_shape[0] * task.image_shape[1]
    sample = read_sample(path, pixels if task.masks else None)
    keys = keys_of(sample, [str(one) for one in ids], dialect.id)
    if task.masks and len(sample.titles) == pixels + 1:
        return _of_pixels(sample, keys, task, metric)
    return _Sample(sample, keys, task, metric, dialect).format()


def _of_pixels(sample: SampleFile, keys: Keys, task: Task, metric: Metric) -> SampleFormat:
    pixels = len(sample.titles) - 1
    if sample.titles != ("id", *map(str, range(pixels))) or [*keys.ids.values()] != [
        str(at) for at in range(len(keys.ids))
    ]:
        raise UserError(
            f"{sample.path}: of a column a pixel the first line must be id,0,1,…,{pixels - 1}, "
            f"and ids count from 0; {BY_HAND}"
        )
    made = SampleFormat(task, metric, sample.titles, keys.image, keys.ids, "pixels", ("",), (0,))
    return _named(made, sample.path)


class _Sample:
    """One sample, while it is being recognised."""

    def __init__(self, sample: SampleFile, keys: Keys, task: Task, metric: Metric, dialect: Dialect) -> None:
        if task.masks and not keys.things and (constant := _one_class(sample, keys, task)):
            keys = replace(keys, things=(sample.cells[constant][0],), thing=constant)
        self.sample, self.keys, self.task, self.metric, self.dialect = sample, keys, task, metric, dialect
        columns = [title for title in sample.titles if title not in (keys.image, keys.thing)]
        if not columns:
            raise UserError(f"{sample.path} has no column beside {listed(sample.titles)} to be filled in")
        if keys.things and len(columns) > 1:
            raise UserError(
                f"{sample.path} has a row an image and {keys.thing or 'class'}, and {len(columns)} columns to be "
                f"filled in, {listed(columns, most=8)}; expected one; {BY_HAND}"
            )
        self.columns = columns
        self.things = keys.things or tuple(columns)
        for name in dialect.columns.values():
            if name not in self.names and name not in task.classes:
                raise UserError(f"Dialect(columns=…) has {name!r}, which is none of {listed(self.names, most=8)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of what the task predicts."""
        return tuple(name for name, _ in self.task.heads) if isinstance(self.task, Heads) else self.task.classes

    def format(self) -> SampleFormat:
        cell, places = self._what()
        words: tuple[tuple[str, ...], ...] = ()
        gap, empty = " ", self.dialect.empty or ""
        if cell == "class":
            words = tuple(self._words(at, place) for at, place in enumerate(places))
        elif cell in ("list", "given"):
            gap, found, empty = self._list(cell)
            words = (found,)
        elif cell == "runs":
            empty = self._empty_mask()
        else:
            self._need_numbers(cell)
        keys, sample, dialect = self.keys, self.sample, self.dialect
        made = SampleFormat(
            self.task,
            self.metric,
            sample.titles,
            keys.image,
            keys.ids,
            cell,
            self.things,
            places,
            keys.thing,
            keys.between,
            keys.by_thing,
            words,
            sample.separator,
            gap,
            empty,
            dialect.by,
            dialect.first,
        )
        return _named(made, sample.path)

    def _what(self) -> tuple[Cell, tuple[int, ...]]:
        """What is said in a cell, and of which outputs, in the order of the things."""
        task, needs, single = self.task, self.metric.needs, len(self.things) == 1 and not self.keys.things
        if task.masks:
            return "runs", self._masks(single)
        if isinstance(task, Numbers):
            return "value", self._places(task.targets, single)
        if needs == "lists":
            return "list", self._one(single, "the list of the likeliest classes")
        if isinstance(task, Labels):
            if needs == "labels" and single and len(task.labels) > 1:
                return "given", (0,)
            return ("value" if needs == "values" else "flag"), self._places(task.labels, single)
        if isinstance(task, Heads):
            if needs == "values":
                return "value", self._places(_outputs(task), False)
            return "class", self._places(self.names, single)
        if isinstance(task, Grades):
            what = "the expected grade" if needs == "values" else "the grade"
            return ("value" if needs == "values" else "class"), self._one(single, what)
        assert isinstance(task, Classification)
        if needs == "labels":
            return ("class", (0,)) if single else ("flag", self._places(task.classes, False))
        if single and len(task.classes) == 2:
            return "value", (self._positive(task),)
        if single:
            raise UserError(
                f"{self.sample.path}: column {self.things[0]!r} is to be filled in, and {self.metric.name} needs the "
                f"probabilities of {len(task.classes):,} classes, which are one column each; {BY_HAND}"
            )
        return "value", self._places(task.classes, False)

    def _one(self, single: bool, what: str) -> tuple[int, ...]:
        if not single:
            raise UserError(
                f"{self.sample.path} has {len(self.things)} {'rows' if self.keys.things else 'columns'} an image, "
                f"{listed(self.things, most=8)}; expected one, {what}, as {self.metric.name} asks for; {BY_HAND}"
            )
        return (0,)

    def _positive(self, task: Classification) -> int:
        """Of two classes, the one whose probability the column is."""
        (title,), wanted = self.things, self.dialect.positive or self.dialect.columns.get(self.things[0], "")
        if wanted:
            if wanted not in task.classes:
                raise UserError(f"Dialect(positive={wanted!r}) is none of {listed(task.classes)}")
            return task.classes.index(wanted)
        parts = {_plain(title), *re.split(r"[\W_]+", title.casefold())}
        called = [at for at, name in enumerate(task.classes) if _plain(name) in parts]
        return called[0] if len(called) == 1 else 1

    def _masks(self, single: bool) -> tuple[int, ...]:
        names = self.task.classes
        if single and len(names) == (2 if isinstance(self.task, Segmentation) else 1):
            return (len(names) - 1,)
        if single:
            raise UserError(
                f"{self.sample.path}: of {listed(names, most=8)} no column says which a row's mask is; {BY_HAND}"
            )
        found = self._found(names)
        counted = len(names) - 1 if isinstance(self.task, Segmentation) else len(names)
        if found is None and [*self.things] == [str(at + 1) for at in range(counted)]:  # all but the background
            return tuple(at + len(names) - counted for at in range(counted))
        return self._known(found, names)

    def _places(self, names: Sequence[str], single: bool) -> tuple[int, ...]:
        """Of the things, all of `names`; of one alone it need not be called so."""
        if single and len(names) == 1:
            return (0,)
        places = self._known(self._found(names), names)
        if missing := [name for at, name in enumerate(names) if at not in places]:
            rows = "row" if self.keys.things else "column"
            raise UserError(
                f"{self.sample.path} has {rows}s {listed(self.things, most=8)} and none for "
                f"{listed(missing, repr, 4)} of the task, and {self.metric.name} needs all; mend "
                "the task's names, or say Dialect(columns=…)"
            )
        return places

    def _known(self, found: tuple[int, ...] | None, names: Sequence[str]) -> tuple[int, ...]:
        if found is not None:
            return found
        plain = {_plain(name) for name in names}
        odd = next((one for one in self.things if _plain(one) not in plain and one not in self.dialect.columns), "")
        where = f"{'column' if not self.keys.things else self.keys.thing or self.keys.image} {odd or self.things[0]!r}"
        raise UserError(
            f"{self.sample.path}: {where} is none of {listed(names, repr, 8)}, by name or by number; "
            f'say which by Dialect(columns={{"{odd or self.things[0]}": "{names[0]}", …}})'
        )

    def _found(self, names: Sequence[str]) -> tuple[int, ...] | None:
        """Of each thing its place among the names: called the same, the same with something around it, or numbered."""
        said = [self.dialect.columns.get(one, one) for one in self.things]
        place = {name: at for at, name in enumerate(names)}
        if len(plain := {_plain(name): at for name, at in place.items()}) == len(place):
            place = plain
            said = [_plain(one) for one in said]
        for start, end in _around(said[0], place):
            inner = [one[len(start) : len(one) - len(end)] for one in said]
            whole = all(one == f"{start}{part}{end}" for one, part in zip(said, inner, strict=True))
            found = [place.get(part) for part in inner]
            if whole and None not in found and len({*found}) == len(found):
                return tuple(at for at in found if at is not None)
        start = said[0].rstrip("0123456789")
        counted = [one.removeprefix(start) for one in said]
        if len(said) == len(names) and all(one.startswith(start) for one in said) and all(map(str.isdecimal, counted)):
            at = [int(one) for one in counted]
            if sorted(at) in ([*range(len(at))], [*range(1, len(at) + 1)]):
                return tuple(one - min(at) for one in at)
        return None

    def _cells(self, at: int = 0) -> list[str]:
        """The different texts of what is to be filled in, of the thing at a place."""
        if not self.keys.things:
            return list(dict.fromkeys(self.sample.cells[self.things[at]].tolist()))
        cells = self.sample.cells[self.columns[0]]
        if self.keys.thing:
            return list(dict.fromkeys(cells[self.sample.cells[self.keys.thing] == self.things[at]].tolist()))
        end = f"{self.keys.between}{self.things[at]}"
        rows = [name.endswith(end) for name in self.sample.cells[self.keys.image].tolist()]
        return list(dict.fromkeys(cells[rows].tolist()))

    def _words(self, at: int, place: int) -> tuple[str, ...]:
        """How classes are written in the cells of a thing: by name or, where the sample does so, by place."""
        names = self.task.heads[place][1] if isinstance(self.task, Heads) else self.task.classes
        title = self.columns[0] if self.keys.things else self.things[at]
        return self._written(title, [one for one in self._cells(at) if one], names)

    def _written(self, title: str, said: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
        back = {name: word for word, name in self.dialect.columns.items()}
        words = tuple(back.get(name, name) for name in names)
        other = getattr(self.task, "unknown", None)
        odd = [one for one in said if one not in words and one != other]
        if not odd:
            return words
        numbers = [int(one) for one in said if one.isdecimal()]
        if len(numbers) == len([one for one in said if one != other]):
            if max(numbers) < len(names):
                return tuple(map(str, range(len(names))))
            if max(numbers) == len(names) and min(numbers) > 0:
                return tuple(str(at + 1) for at in range(len(names)))
        hint = f'Dialect(columns={{"{odd[0]}": "{names[0]}", …}}) says which it is'
        if _number(odd[0]):
            hint = (
                f"a metric of probabilities would need numbers, {self.metric.name} needs classes: is it the right one?"
            )
        raise UserError(
            f"{self.sample.path}: column {title!r} has {odd[0]!r}, expected one of {listed(names, repr, 8)}, or its "
            f"place from 0; {hint}"
        )

    def _list(self, cell: Cell) -> tuple[str, tuple[str, ...], str]:
        """What is between the names of a list, how these are written, and what stands for none."""
        title = self.columns[0]
        texts = [one for one in self._cells() if one and one != self.dialect.empty]
        odd: UserError | None = None
        for gap in GAPS:
            said = list(dict.fromkeys(part for text in texts for part in text.split(gap)))
            try:
                words = self._written(title, said, self.task.classes)
            except UserError as error:
                odd = odd or error
                continue
            if spaced := [word for word in words if gap in word]:
                raise UserError(
                    f"{self.sample.path}: column {title!r} lists names with {gap!r} between them, which "
                    f"{spaced[0]!r} has in it; say how the sample writes it by Dialect(columns=…)"
                )
            empty = "" if cell == "list" or self.dialect.empty is None else self.dialect.empty
            return gap, words, empty
        assert odd is not None
        hint = f"; if it stands for no label at all, say Dialect(empty={texts[0]!r})" if cell == "given" else ""
        raise UserError(f"{odd}{hint}")

    def _empty_mask(self) -> str:
        """What stands in the sample where there is no mask: a text that is no run lengths."""
        if self.dialect.empty is not None:
            return self.dialect.empty
        found = [one for at in range(len(self.things)) for one in self._cells(at) if not _is_mask(one)]
        marks = list(dict.fromkeys(found))
        if len(marks) > 1:
            raise UserError(
                f"{self.sample.path}: column {self.columns[0]!r} has {listed(marks, repr, 4)} where there are no run "
                f"lengths; say what stands for an empty mask by Dialect(empty={marks[0]!r})"
            )
        return marks[0] if marks else ""

    def _need_numbers(self, cell: Cell) -> None:
        for at, thing in enumerate(self.things):
            odd = next((one for one in self._cells(at) if one and not _number(one)), None)
            if odd is not None:
                title = self.columns[0] if self.keys.things else thing
                what = "0 or 1" if cell == "flag" else "a number"
                raise UserError(
                    f"{self.sample.path}: column {title!r} has {odd!r}, expected {what}, as {self.metric.name} needs "
                    f"{'labels' if cell == 'flag' else 'values'}: is it the right metric, and the right column?"
                )


def _one_class(sample: SampleFile, keys: Keys, task: Task) -> str | None:
    """The column that says of which class a row's mask is, where all are of the same."""
    for title, texts in sample.cells.items():
        one = texts[0]
        known = _plain(one) in {_plain(name) for name in task.classes} or one.isdecimal()
        if title != keys.image and len(sample.cells) == 3 and known and (texts == one).all():
            return title
    return None


def _outputs(task: Heads) -> tuple[str, ...]:
    """A name for each channel of several heads."""
    return tuple(f"{name}_{one}" for name, classes in task.heads for one in classes)


def _around(said: str, place: Mapping[str, int]) -> list[tuple[str, str]]:
    """What may stand before and after a name, the least first: `is_rust` is `rust` with `is_` before it."""
    found = {
        (said[: said.index(name)], said[said.index(name) + len(name) :]) for name in place if name and name in said
    }
    return sorted({("", ""), *found}, key=lambda both: len(both[0]) + len(both[1]))


def _plain(name: str) -> str:
    """Letters and digits alone, small: what is left of a name where a header writes it in another way."""
    return "".join(sign for sign in name.casefold() if sign.isalnum()) or name


def _number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _is_mask(text: str) -> bool:
    """Is it run lengths, of one pixel or more?"""
    parts = text.split()
    return len(parts) > 1 and not len(parts) % 2 and all(map(str.isdecimal, parts)) and "0" not in parts[1::2]


def _named(made: SampleFormat, path: Path) -> SampleFormat:
    suffix = Path(path.name.removesuffix(".gz").removesuffix(".zip")).suffix
    return replace(made, sample=path.name, suffix=suffix.lower())
