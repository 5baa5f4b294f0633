"""What test images are called, and other names of the same pattern."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import basename, splitext

import numpy as np

from toolkit.data.dataset import Dataset

LETTERS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
HEXADECIMAL = frozenset(string.hexdigits)
LONG = 8  # characters from which on what may be a hexadecimal number is one
TRIES = 50  # of names that may be taken, before a longer one is tried


class NotTried(Exception):
    """Why training images can't be put in the place of test images."""


@dataclass(frozen=True)
class Names:
    """How test images are called, and how those are that take their places.

    old: of each of M visible ones the texts that tables and its path call it by; new: of each of n others the same;
    like: int64 (n,), the visible one that each takes after; of: what the n training images that they are are called,
    nothing where these have no names; ids: (n,), as a submission calls them; rows: int64 (n,), their places among
    the training images; numbered: places are the names.
    """

    old: Sequence[tuple[str, ...]]
    new: Sequence[tuple[str, ...]]
    like: np.ndarray
    of: Sequence[str]
    ids: np.ndarray
    rows: np.ndarray
    numbered: bool = False

    @cached_property
    def places(self) -> dict[str, int]:
        """The visible image of each text."""
        return {text: at for at, texts in enumerate(self.old) for text in texts}


def array_names(as_loaded: Dataset, rows: np.ndarray, rng: np.random.Generator) -> Names:
    """Of rows of arrays: their ids, where these aren't their places."""
    ids, number = as_loaded.test_ids, len(as_loaded.test_images)
    like = rng.permutation(np.resize(rng.permutation(number), len(rows)))
    places = np.arange(len(rows))
    if ids is None or (ids.dtype.kind in "iu" and np.array_equal(ids, np.arange(number) + ids[0])):
        new = places if ids is None else places + int(ids[0])
        first = 0 if ids is None else int(ids[0])
        old = [(str(at + first),) for at in range(number)]
        return Names(old, [(str(one),) for one in new], like, [], new, rows, numbered=True)
    old = [(str(one),) for one in ids]
    taken = {text for texts in old for text in texts} | set(as_loaded.called.tolist())
    made = new_texts(old, like, taken, rng)
    new_ids = np.array([texts[0] for texts in made])
    return Names(old, made, like, [], new_ids.astype(ids.dtype) if ids.dtype.kind in "iu" else new_ids, rows)


def texts_of(called: str, path: str) -> tuple[str, ...]:
    """What an image is called in tables and in its path: its id without folder and suffix, and where that isn't in its
    path the name of its file.
    """
    stem, suffix = splitext(basename(path))
    text = basename(called)
    text = text.removesuffix(suffix) if suffix else text
    if exchanged(path, text, "") != path:
        return (text,)
    if stem.isdecimal() and text.isdecimal() and int(stem) == int(text):
        return (text, stem) if text != stem else (text,)
    return text, stem


def _pattern(text: str) -> re.Pattern[str]:
    """The text where it is a name of its own, and no part of a longer one."""
    edge = "0-9" if text.isdecimal() else "0-9A-Za-z"
    return re.compile(rf"(?<![{edge}]){re.escape(text)}(?![{edge}])")


def exchanged(where: str, text: str, other: str) -> str:
    return _pattern(text).sub(lambda _: other, where)


def new_texts(
    old: Sequence[tuple[str, ...]], like: np.ndarray, taken: set[str], rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """For each image texts of the pattern of those that it takes after, none of them taken; adds them to `taken`."""
    varying = [_varying([texts[part] for texts in old]) for part in range(len(old[0]))]
    made = []
    for place in like.tolist():
        found: list[str] = []
        for part, text in enumerate(old[place]):
            if found and text.isdecimal() and found[0].isdecimal() and int(text) == int(old[place][0]):
                found.append(found[0].zfill(len(text)))  # the same number, with zeros before it
            else:
                found.append(_new_text(text, varying[part], taken, rng))
            taken.add(found[-1])
        made.append(tuple(found))
    return made


def _varying(texts: Sequence[str]) -> str:
    """Of texts of one length 1 where they differ and 0 where they don't; nothing of others, or where all are equal."""
    if len({len(text) for text in texts}) == 1 and len(texts) > 1:
        same = [len(set(signs)) == 1 for signs in zip(*texts, strict=True)]
        if not all(same):
            return "".join("0" if one else "1" for one in same)
    return ""


def _new_text(text: str, varying: str, taken: set[str], rng: np.random.Generator) -> str:
    tried = 0
    digits = any(sign.isdecimal() for sign in text)
    hexadecimal = len(text) >= LONG and {sign for sign in text if sign.isalnum()} <= HEXADECIMAL
    while True:
        signs = []
        for at, sign in enumerate(text):
            kind = next((letters for letters in LETTERS if sign in letters), "")
            free = varying[at] == "1" if varying else (sign.isdecimal() if digits and not hexadecimal else True)
            if hexadecimal and kind and not kind[0].isdecimal():
                kind = kind[:6]
            if not kind or not free:
                signs.append(sign)
            else:
                first = kind[0].isdecimal() and text.isdecimal() and not signs and text[0] != "0"
                signs.append(kind[int(rng.integers(1 if first else 0, len(kind)))])
        made = "".join(signs)
        if made not in taken:
            return made
        tried += 1
        if tried > TRIES:  # there are no more of that length
            text, varying, tried = text + "0", varying and varying + "1", 0
