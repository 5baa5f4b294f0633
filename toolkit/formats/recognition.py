"""The form of a submission, recognised from the organisers' sample, the task, the metric and the test images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError, listed
from toolkit.formats.dialect import PLAIN, Dialect
from toolkit.formats.sample_file import SampleFile, read_sample
from toolkit.formats.sample_format import Cell, SampleFormat
from toolkit.formats.sample_keys import BY_HAND, Keys, keys_of
from toolkit.formats.sample_names import called_by, is_mask, is_number, places_of, plain, words_of
from toolkit.metrics.metric import Metric
from toolkit.task import Classification, Grades, Heads, Labels, Numbers, Segmentation, Task

SHOWN = 20  # different cells that are looked at
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
    if task.masks and not keys.things and (constant := _one_class(sample, keys, task)):
        keys = replace(keys, things=(sample.cells[constant][0],), thing=constant)
    columns = tuple(title for title in sample.titles if title not in (keys.image, keys.thing))
    if not columns or (keys.things and len(columns) > 1):
        raise UserError(
            f"{sample.path} has {len(columns)} columns to be filled in beside "
            f"{listed([keys.image, *([keys.thing] * bool(keys.thing))])}, expected one; {BY_HAND}"
        )
    made = _Sample(sample, keys, columns, task, metric, dialect)
    odd = [name for name in dialect.columns.values() if name not in (*made.names, *task.classes)]
    if odd:
        raise UserError(f"Dialect(columns=…) has {odd[0]!r}, which is none of {listed(made.names, most=8)}")
    return made.format()


def _of_pixels(sample: SampleFile, keys: Keys, task: Task, metric: Metric) -> SampleFormat:
    pixels = len(sample.titles) - 1
    if sample.titles != ("id", *map(str, range(pixels))) or [*keys.ids.values()] != [
        str(at) for at in range(len(keys.ids))
    ]:
        raise UserError(
            f"{sample.path}: of one column per pixel the first line must be id,0,1,…,{pixels - 1}, "
            f"and ids count from 0; {BY_HAND}"
        )
    made = SampleFormat(task, metric, sample.titles, keys.image, keys.ids, "pixels", ("",), (0,))
    return _named(made, sample.path)


@dataclass(frozen=True, eq=False)
class _Sample:
    """A sample that is being recognised. columns: to be filled in; things: what each, or each row, is of."""

    sample: SampleFile
    keys: Keys
    columns: tuple[str, ...]
    task: Task
    metric: Metric
    dialect: Dialect

    @property
    def things(self) -> tuple[str, ...]:
        return self.keys.things or self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """Of what the task predicts."""
        return tuple(name for name, _ in self.task.heads) if isinstance(self.task, Heads) else self.task.classes

    def format(self) -> SampleFormat:
        if not self.task.masks:
            self._refuse_confidences()
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

    def _refuse_confidences(self) -> None:
        """Cells such as `rust 0.9 scab 0.4`, or `rust 0.9 10 20 50 60`: names, confidences, boxes."""
        for title in self.columns:
            for text in self._texts(title)[:SHOWN]:
                parts = text.split()
                size = next((one for one in (6, 2) if parts and len(parts) % one == 0), 0)
                names, said = parts[:: size or 1], parts[1 :: size or 1]
                named = all(one in self.names or not is_number(one) for one in names)
                if size and named and all(is_number(one) and "." in one for one in said):
                    what = "boxes, which are not for this toolkit" if size == 6 else "a confidence behind each name"
                    raise UserError(
                        f"{self.sample.path}: column {title!r} has {text!r}, {what}; {BY_HAND}"
                        + ("" if size == 6 else " (docs/unlike.md has such a pair)")
                    )

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
        called = called_by(title, task.classes)
        return 1 if called is None else called

    def _masks(self, single: bool) -> tuple[int, ...]:
        names = self.task.classes
        if single and len(names) == (2 if isinstance(self.task, Segmentation) else 1):
            return (len(names) - 1,)
        if single:
            raise UserError(
                f"{self.sample.path}: of {listed(names, most=8)} no column says which a row's mask is; {BY_HAND}"
            )
        found = places_of(self.things, names, self.dialect.columns)
        counted = len(names) - 1 if isinstance(self.task, Segmentation) else len(names)
        if found is None and [*self.things] == [str(at + 1) for at in range(counted)]:  # all but the background
            return tuple(at + len(names) - counted for at in range(counted))
        places = self._known(found, names)
        needed = range(len(names) - counted, len(names))
        if missing := [names[at] for at in needed if at not in places]:
            raise UserError(
                f"{self.sample.path} has masks of {listed(self.things, most=8)} and none of "
                f"{listed(missing, repr, 4)}: mend the task's names, or say Dialect(columns=…); {BY_HAND}"
            )
        return places

    def _places(self, names: Sequence[str], single: bool) -> tuple[int, ...]:
        """Of the things, all of `names`; of one alone it need not be called so."""
        if single and len(names) == 1:
            return (0,)
        places = self._known(places_of(self.things, names, self.dialect.columns), names)
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
        called = {*self.dialect.columns, *map(plain, names)}
        odd = next((one for one in self.things if plain(one) not in called and one not in called), "")
        where = f"{'column' if not self.keys.things else self.keys.thing or self.keys.image} {odd or self.things[0]!r}"
        raise UserError(
            f"{self.sample.path}: {where} is none of {listed(names, repr, 8)}, by name or by number; "
            f'say which by Dialect(columns={{"{odd or self.things[0]}": "{names[0]}", …}})'
        )

    def _cells(self, at: int = 0) -> list[str]:
        """The different texts of what is to be filled in, of the thing at a place."""
        if not self.keys.things:
            return self._texts(self.things[at])
        cells = self.sample.cells[self.columns[0]]
        if self.keys.thing:
            return list(dict.fromkeys(cells[self.sample.cells[self.keys.thing] == self.things[at]].tolist()))
        end = f"{self.keys.between}{self.things[at]}"
        rows = [name.endswith(end) for name in self.sample.cells[self.keys.image].tolist()]
        return list(dict.fromkeys(cells[rows].tolist()))

    def _texts(self, title: str) -> list[str]:
        return list(dict.fromkeys(self.sample.cells[title].tolist()))

    def _words(self, at: int, place: int) -> tuple[str, ...]:
        """How classes are written in the cells of a thing: by name or, where the sample does so, by place."""
        names = self.task.heads[place][1] if isinstance(self.task, Heads) else self.task.classes
        title = self.columns[0] if self.keys.things else self.things[at]
        return self._written(title, [one for one in self._cells(at) if one], names)

    def _written(self, title: str, said: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
        other = getattr(self.task, "unknown", None)
        words = words_of(said, names, self.dialect.columns, other)
        if words is not None:
            return words
        odd = next((one for one in said if one not in (other, *names, *self.dialect.columns)), said[0])
        hint = f'Dialect(columns={{"{odd}": "{names[0]}", …}}) says which it is'
        if is_number(odd) and not odd.isdecimal():
            hint = f"a metric of probabilities would need numbers, {self.metric.name} needs classes: is it right?"
        raise UserError(
            f"{self.sample.path}: column {title!r} has {odd!r}, expected one of {listed(names, repr, 8)}, or its "
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
            longest = max((text.count(gap) + 1 for text in texts), default=0)
            if cell == "list" and longest > getattr(self.metric, "length", longest):
                raise UserError(
                    f"{self.sample.path}: column {title!r} lists {longest} names, {self.metric.name} looks at fewer; "
                    "mend the metric's length"
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
        marks = list(dict.fromkeys(one for title in self.columns for one in self._texts(title) if not is_mask(one)))
        if len(marks) > 1:
            raise UserError(
                f"{self.sample.path}: column {self.columns[0]!r} has {listed(marks, repr, 4)} where there are no run "
                f"lengths; say what stands for an empty mask by Dialect(empty={marks[0]!r})"
            )
        return marks[0] if marks else ""

    def _need_numbers(self, cell: Cell) -> None:
        for title in self.columns:
            odd = next((one for one in self._texts(title) if one and not is_number(one)), None)
            if odd is not None:
                what = "0 or 1" if cell == "flag" else "a number"
                raise UserError(
                    f"{self.sample.path}: column {title!r} has {odd!r}, expected {what}, as {self.metric.name} needs "
                    f"{'labels' if cell == 'flag' else 'values'}: is it the right metric, and the right column?"
                )


def _one_class(sample: SampleFile, keys: Keys, task: Task) -> str | None:
    """The column that says of which class a row's mask is, where all are of the same."""
    for title, texts in sample.cells.items():
        one = texts[0]
        known = plain(one) in {plain(name) for name in task.classes} or one.isdecimal()
        if title != keys.image and len(sample.cells) == 3 and known and (texts == one).all():
            return title
    return None


def _outputs(task: Heads) -> tuple[str, ...]:
    """A name for each channel of several heads."""
    return tuple(f"{name}_{one}" for name, classes in task.heads for one in classes)


def _named(made: SampleFormat, path: Path) -> SampleFormat:
    suffix = Path(path.name.removesuffix(".gz").removesuffix(".zip")).suffix
    return replace(made, sample=path.name, suffix=suffix.lower())
