"""A submission laid out as the organisers' sample has it: written from a prediction, and read back as a stranger's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toolkit.answers import TINY, Prediction
from toolkit.errors import UserError, listed
from toolkit.formats.cells import cells, numbers, place
from toolkit.formats.readers import read_pixels
from toolkit.formats.run_lengths import By, parts_of_runs, run_lengths, runs_in
from toolkit.formats.writers import packed_by_name, write_csv, write_pixels
from toolkit.metrics.lists import PAD
from toolkit.metrics.metric import Metric
from toolkit.metrics.probabilistic import LogLoss
from toolkit.task import IGNORED, UNKNOWN, Classification, Grades, Heads, Labels, OverlappingMasks, Task

# value: a probability or a number. flag: 0 or 1. class: one of `words`. list: the likeliest of them, given: all that
# are given, between gaps. runs: run lengths of a mask. pixels: a column each
Cell = Literal["value", "flag", "class", "list", "given", "runs", "pixels"]
CELLS = {
    "value": "a probability",
    "flag": "0 or 1",
    "class": "one class",
    "list": "a list of the likeliest classes",
    "given": "a list of the labels that are given",
    "runs": "run lengths",
}
SUMS = 1e-5  # by how much probabilities of one image may miss 1


@dataclass(frozen=True, eq=False)
class SampleFormat:
    """How what is said of M images lies in a table, with a column or a row for each of K things that are said.

    titles: the first line. image: the column of the images' names. ids: what the sample calls each test image by, by
    what `load` calls it, in the sample's order. things: what the sample calls them, of a column each their titles;
    places: of each, its place among the task's classes, labels, numbers, heads or channels. thing: the column that
    says which thing a row is; between: what joins image and thing in the column `image`, where these are one (None: it
    has images alone); by_thing: do all images come for the first thing, then for the next? words: of each thing, how
    its classes are written. gap: between the words of a list. empty: where there is nothing to list, or no mask. by,
    first: of run lengths. sample: the sample's name; suffix: of what is handed in.
    """

    task: Task
    metric: Metric
    titles: tuple[str, ...]
    image: str
    ids: Mapping[str, str]
    cell: Cell
    things: tuple[str, ...]
    places: tuple[int, ...]
    thing: str = ""
    between: str | None = None
    by_thing: bool = False
    words: tuple[tuple[str, ...], ...] = ()
    separator: str = ","
    gap: str = " "
    empty: str = ""
    by: By = "columns"
    first: int = 1
    sample: str = ""
    suffix: str = ".csv"

    def stored(self) -> dict[str, Any]:
        """For JSON, without task and metric."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("task", "metric")}

    @classmethod
    def of(cls, stored: Mapping[str, Any], task: Task, metric: Metric) -> "SampleFormat":
        """What was `stored`."""
        made: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in stored.items()}
        return cls(task, metric, **{**made, "words": tuple(map(tuple, stored["words"]))})

    def as_written_in(self, known: "SampleFormat") -> "SampleFormat":
        """The images and columns of this one, filled in as another sample of the competition has it: how classes are
        written, what stands between them and for none can't be seen in a sample whose cells are all alike.
        """
        words_of = dict(zip(known.places, known.words, strict=False))
        words = tuple(words_of.get(at, said) for at, said in zip(self.places, self.words, strict=False))
        return replace(self, words=words, gap=known.gap, empty=known.empty)

    @property
    def long(self) -> bool:
        """Has each thing a row of its own?"""
        return bool(self.thing) or self.between is not None

    @property
    def value(self) -> str:
        """The column of what is said, where there is one."""
        return next(title for title in self.titles if title not in (self.image, self.thing))

    def told(self) -> str:
        """In a sentence, what was recognised."""
        rows = f"one row per image of `{self.image}`"
        if self.long:
            rows = f"one row per image and {'head' if isinstance(self.task, Heads) else 'class'}"
        if self.cell == "pixels":
            return f"the submission follows from {self.sample}: {rows}, one column per pixel"
        what = CELLS[self.cell] if self.cell != "value" or self._probable else "a number"
        whole = self.task.classes if self.cell in ("value", "flag", "runs") else ()
        of = [whole[at] for at in self.places] if whole and not isinstance(self.task, Grades) else []
        named = f" ({listed(of, most=4)})" if of else self._called
        return f"the submission follows from {self.sample}: {rows}, {what} in {listed(self._filled, most=4)}{named}"

    @property
    def _called(self) -> str:
        """How the first class is written, where that isn't its name."""
        heads = [self.task.outputs[at].names for at in self.places] if self.words else []
        odd = [
            (word, name)
            for words, names in zip(self.words, heads, strict=True)
            for word, name in zip(words, names, strict=True)
        ]
        return next((f" ({word!r} is {name})" for word, name in odd if word != name), "")

    @property
    def _filled(self) -> tuple[str, ...]:
        """Titles of the columns that are filled in."""
        return (self.value,) if self.long else self.things

    @property
    def _probable(self) -> bool:
        return all(output.kind in ("classes", "labels") for output in self.task.outputs)

    @property
    def _lowest(self) -> int:
        """What the lowest grade is as a number: 1 where grades are called 1, 2, …, else 0."""
        names = self.task.classes
        counted = all(name.isdecimal() for name in names) and [*map(int, names)] == [
            int(names[0]) + at for at in range(len(names))
        ]
        return int(names[0]) if counted else 0

    def write(self, prediction: Prediction, path: Path) -> None:
        """The prediction's answer, in the sample's order; UserError where its images aren't the sample's."""
        order = self._order(prediction.ids)
        with packed_by_name(path) as file:
            if self.cell == "pixels":
                write_pixels(file, prediction.answer if order == [*range(len(order))] else prediction.answer[order])
            else:
                write_csv(file, self._table(self._columns(prediction.answer, order)), self.separator)

    def _order(self, ids: Iterable[Any]) -> list[int]:
        """The rows of the prediction, in the sample's order."""
        rows = {str(one): row for row, one in enumerate(ids)}
        if odd := [one for one in rows if one not in self.ids] or [one for one in self.ids if one not in rows]:
            raise UserError(
                f"the test images are others than those in {self.sample}: {listed(odd, repr, 3)} is in one of them"
            )
        return [rows[one] for one in self.ids]

    def _columns(self, answer: Any, order: Sequence[int]) -> list[Sequence[Any] | np.ndarray]:
        """What is said of each thing: K columns of M cells."""
        if self.cell == "runs":
            return list(zip(*(self._runs(answer[row]) for row in order), strict=True))
        said = np.asarray(answer)[order]
        if self.cell == "value":
            return list(self._values(said).T)
        if self.cell == "flag":
            given = said[:, self.places] if isinstance(self.task, Labels) else said[:, None] == np.array(self.places)
            return list(given.astype(np.int64).T)
        if self.cell == "class":
            columns = said.reshape(len(said), -1)[:, self.places].T.tolist()
            return [[words[at] for at in column] for words, column in zip(self.words, columns, strict=True)]
        (words,) = self.words
        if self.cell == "given":
            parts = [[name for name, one in zip(words, row, strict=True) if one > 0] for row in said.tolist()]
        else:
            unknown = getattr(self.task, "unknown", None)
            called = dict(enumerate(words)) | ({} if unknown is None else {UNKNOWN: unknown})
            parts = [[called[at] for at in row if at in called] for row in said.tolist()]
        return [[self.gap.join(part) or self.empty for part in parts]]

    def _values(self, said: np.ndarray) -> np.ndarray:
        """(M, K); where log loss is asked for never 0 or 1, of which the logarithm would have no end."""
        if isinstance(self.task, Grades):
            return said[:, None] + self._lowest
        least = TINY if isinstance(self.metric, LogLoss) else 0.0
        found = said[:, self.places].astype(np.float64)
        if not self._probable:
            return found
        found = np.clip(found, least, 1 - least)
        return found / found.sum(1, keepdims=True) if self._whole else found

    @property
    def _whole(self) -> bool:
        """Are these the probabilities of all of several classes, one of which is true?"""
        return self.cell == "value" and self.task.exclusive and len(self.things) > 1

    def _runs(self, mask: np.ndarray) -> list[str]:
        bits = isinstance(self.task, OverlappingMasks)
        shown = (partial(np.bitwise_and, 1 << at) if bits else partial(np.equal, at) for at in self.places)
        return [run_lengths(mask, self.by, self.first, one) or self.empty for one in shown]

    def _table(self, columns: Sequence[Sequence[Any] | np.ndarray]) -> dict[str, Any]:
        called = list(self.ids.values())
        if not self.long:
            made: dict[str, Any] = {self.image: called, **dict(zip(self.things, columns, strict=True))}
            return {title: made[title] for title in self.titles}
        keys = [(one, thing) for one in called for thing in self.things]
        said = [cell for row in zip(*columns, strict=True) for cell in row]
        if self.by_thing:
            turned = np.arange(len(keys)).reshape(len(called), -1).T.ravel().tolist()
            keys, said = [keys[at] for at in turned], [said[at] for at in turned]
        if self.between is not None:
            made = {self.image: [f"{one}{self.between}{thing}" for one, thing in keys]}
        else:
            made = {self.image: [one for one, _ in keys], self.thing: [thing for _, thing in keys]}
        made[self.value] = said
        return {title: made[title] for title in self.titles}

    def read(self, path: Path, ids: Iterable[Any]) -> np.ndarray:
        """What the file says of the images, in the form of `Prediction.answer`; its rows may stand in any order.

        UserError for what the organisers would refuse, with its line.
        """
        names = [str(one) for one in ids]
        order = self._order(names)
        if self.cell == "pixels":
            made = np.empty((len(names), *self.task.image_shape[:2]), np.uint8)
            made[order] = read_pixels(path, len(names), self.task.image_shape[:2], len(self.task.classes))
            return made
        if self.cell == "runs":
            mask = self.mask_reader(path, names, np.tile(self.task.image_shape[:2], (len(names), 1)))
            return np.stack([mask(row) for row in range(len(names))])
        texts, lines = self._texts(path, names)
        if self.cell in ("value", "flag"):
            return self._read_values(path, texts, lines)
        if self.cell != "class":
            read = self._read_given if self.cell == "given" else self._read_list
            return np.array([read(path, text, line) for (text,), (line,) in zip(texts, lines, strict=True)])
        titles = self.things if not self.long else (self.value,) * len(self.things)
        made = np.empty((len(names), len(self.things)), np.int64)
        for at, (title, words) in enumerate(zip(titles, self.words, strict=True)):
            column = [place(path, row[at], line[at], words, title) for row, line in zip(texts, lines, strict=True)]
            made[:, self.places[at]] = column
        return made if len(self.task.outputs) > 1 else made[:, 0]

    def mask_reader(self, path: Path, ids: Iterable[Any], shapes: np.ndarray) -> Callable[[int], np.ndarray]:
        """Of run lengths, what makes the mask uint8 (h, w) of an image; shapes: int64 (M, 2), of each.

        UserError for images that are missing or unknown at once, for runs that are wrong when their mask is made.
        """
        texts, lines = self._texts(path, [str(one) for one in ids])

        def mask(row: int) -> np.ndarray:
            shape = (int(shapes[row][0]), int(shapes[row][1]))
            overlapping = isinstance(self.task, OverlappingMasks)
            made = np.full(shape, 0 if overlapping else IGNORED, np.uint8)
            for at, text, line in zip(self.places, texts[row], lines[row], strict=True):
                runs = self._runs_of(path, text, line, shape)
                for where, part in parts_of_runs(*runs, shape, self.by):
                    if overlapping:
                        made[where] |= part.view(np.uint8) << np.uint8(at)
                        continue
                    if (made[where][part] != IGNORED).any():
                        raise UserError(f"{path} line {line}: {self.value} claims pixels that another row claims")
                    made[where][part] = at
            for line_of in made if not overlapping else ():  # no copy of the whole is made
                line_of[line_of == IGNORED] = 0
            return made

        return mask

    def _texts(self, path: Path, ids: Sequence[str]) -> tuple[list[list[str]], list[list[int]]]:
        """M rows of K cells, and the lines that these are in."""
        called = [self.ids[one] for one in ids]
        if not self.long:
            keys = [[one] for one in called]
            texts, found = cells(path, keys, (self.image,), self.things, order=self.titles, separator=self.separator)
            return texts, [[line] * len(self.things) for line in found]
        if self.between is not None:
            keys = [[f"{one}{self.between}{thing}"] for one in called for thing in self.things]
        else:
            keys = [[one, thing] for one in called for thing in self.things]
        columns = (self.image, self.thing) if self.thing else (self.image,)
        flat, found = cells(path, keys, columns, (self.value,), order=self.titles, separator=self.separator)
        starts, each = range(0, len(flat), len(self.things)), len(self.things)
        return [[text for (text,) in flat[at : at + each]] for at in starts], [found[at : at + each] for at in starts]

    def _read_values(self, path: Path, texts: list[list[str]], lines: list[list[int]]) -> np.ndarray:
        low, high = self._range
        if self.long:
            flat, at = [[text] for row in texts for text in row], [line for row in lines for line in row]
            found = numbers(path, flat, at, (self.value,), low, high).reshape(len(texts), -1)
        else:
            found = numbers(path, texts, [row[0] for row in lines], self.things, low, high)
        if self.cell == "flag":
            return self._read_flags(path, found, lines)
        if isinstance(self.task, Grades):
            return np.asarray(found[:, 0] - self._lowest)
        if self._whole:
            wrong = np.abs(found.sum(1) - 1) > SUMS
            if wrong.any():
                row = int(wrong.argmax())
                raise UserError(
                    f"{path} line {lines[row][0]}: the probabilities of one image sum to {found[row].sum():.6g}, "
                    "expected 1"
                )
        if isinstance(self.task, Classification) and len(self.things) == 1:
            (one,) = self.places
            found = np.concatenate([found, 1 - found], axis=1)
            return found if one == 0 else found[:, ::-1]
        made = np.empty((len(found), self.task.channels))
        made[:, self.places] = found
        return made

    @property
    def _range(self) -> tuple[float | None, float | None]:
        """What no number is below or above."""
        if isinstance(self.task, Grades):
            return self._lowest, self._lowest + len(self.task.grades) - 1
        return (0, 1) if self._probable else (None, None)

    def _read_flags(self, path: Path, found: np.ndarray, lines: list[list[int]]) -> np.ndarray:
        broken = (found != 0) & (found != 1)
        if broken.any():
            row, at = np.argwhere(broken)[0].tolist()
            title = self.value if self.long else self.things[at]
            raise UserError(f"{path} line {lines[row][at]}: {title} is {found[row, at]:g}, expected 0 or 1")
        if isinstance(self.task, Labels):
            made = np.empty((len(found), len(self.task.labels)), np.int8)
            made[:, self.places] = found
            return made
        if (found.sum(1) != 1).any():
            row = int((found.sum(1) != 1).argmax())
            what = f"{found[row].sum():g} classes are 1, expected one"
            raise UserError(f"{path} line {lines[row][0]}: {what}")
        return np.array(self.places)[found.argmax(1)]

    def _read_list(self, path: Path, text: str, line: int) -> np.ndarray:
        length, said = getattr(self.metric, "length", 5), text.split(self.gap) if text else []
        if len(said) > length or len(set(said)) < len(said):
            what = f"{len(said)} names, at most {length} count" if len(said) > length else "a name twice"
            raise UserError(f"{path} line {line}: {self.value} has {what}")
        if not said:
            raise UserError(f"{path} line {line}: {self.value} is blank, expected names of classes")
        unknown, (words,) = getattr(self.task, "unknown", None), self.words
        made = np.full(length, PAD, np.int64)
        made[: len(said)] = [UNKNOWN if one == unknown else place(path, one, line, words, self.value) for one in said]
        return made

    def _read_given(self, path: Path, text: str, line: int) -> np.ndarray:
        if self.empty and not text:
            raise UserError(
                f"{path} line {line}: {self.value} is blank, expected {self.empty!r} where no label is given"
            )
        (words,) = self.words
        said = [] if text == self.empty else text.split(self.gap)
        made = np.zeros(len(words), np.int8)
        for one in said:
            at = place(path, one, line, words, self.value)
            if made[at]:
                raise UserError(f"{path} line {line}: {self.value} has {one!r} twice")
            made[at] = 1
        return made

    def _runs_of(self, path: Path, text: str, line: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        if self.empty and not text:
            raise UserError(f"{path} line {line}: {self.value} is blank, expected {self.empty!r} for an empty mask")
        try:
            return runs_in("" if text == self.empty else text, shape, self.first)
        except ValueError as error:
            raise UserError(f"{path} line {line}: {self.value}: {error}") from None
