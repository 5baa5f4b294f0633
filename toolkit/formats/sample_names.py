"""What a sample submission calls classes, labels, numbers and heads, and what its cells look like."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

NOT = {"not", "no", "non"}  # in a title, before what a column isn't


def places_of(things: Sequence[str], names: Sequence[str], columns: Mapping[str, str]) -> tuple[int, ...] | None:
    """Of each thing its place among the names: called the same, the same with something around it, or numbered.

    columns: what things are called otherwise. None where they are something else.
    """
    said = [columns.get(one, one) for one in things]
    place = {name: at for at, name in enumerate(names)}
    if len(short := {plain(name): at for name, at in place.items()}) == len(place):
        place = short
        said = [plain(one) for one in said]
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


def words_of(
    said: Sequence[str], names: Sequence[str], columns: Mapping[str, str], other: str | None
) -> tuple[str, ...] | None:
    """How each of the names is written, of which `said` are examples: as it is or as `columns` have it, or by its
    place from 0 or, where one is above all of these, from 1.

    Names that are numbers are no places: `0` in each row is a filler where they are 1 to 5.

    other: what may stand for none of them. None where the examples are something else.
    """
    back = {name: word for word, name in columns.items()}
    words = tuple(back.get(name, name) for name in names)
    known = [one for one in said if one != other]
    if not set(known) - set(words):
        return words
    if all(
        map(str.isdecimal, words)
    ):  # numbers of their own, of which a cell that is the same everywhere says nothing
        return words if len(set(known)) == 1 and known[0].isdecimal() else None
    numbers = [int(one) for one in known if one.isdecimal()]
    if len(numbers) < len(known) or max(numbers) > len(names) - (min(numbers) == 0):
        return None
    first = int(max(numbers) == len(names))
    return tuple(str(at + first) for at in range(len(names)))


def _around(said: str, place: Mapping[str, int]) -> list[tuple[str, str]]:
    """What may stand before and after a name, the least first: `is_rust` is `rust` with `is_` before it."""
    found = {
        (said[: said.index(name)], said[said.index(name) + len(name) :]) for name in place if name and name in said
    }
    return sorted({("", ""), *found}, key=lambda both: len(both[0]) + len(both[1]))


def plain(name: str) -> str:
    """Letters and digits alone, small: what is left of a name where a header writes it in another way."""
    return "".join(sign for sign in name.casefold() if sign.isalnum()) or name


def called_by(title: str, names: Sequence[str]) -> int | None:
    """Of two classes, the one that a column is called by, `is_dog` or `not_cat`; None where that isn't known."""
    whole = [at for at, name in enumerate(names) if plain(name) == plain(title)]
    parts = set(re.split(r"[\W_]+", title.casefold()))
    found = whole or [at for at, name in enumerate(names) if plain(name) in parts]
    if len(found) != 1:
        return None
    return 1 - found[0] if not whole and parts & NOT else found[0]


def is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def is_mask(text: str) -> bool:
    """Is it run lengths, of one pixel or more?"""
    parts = text.split()
    return len(parts) > 1 and not len(parts) % 2 and all(map(str.isdecimal, parts)) and "0" not in parts[1::2]
