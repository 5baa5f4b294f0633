"""What a split is asked to be, and what the folds that are there say where nothing is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.data.folds import AUTO, GROUPS, PLAIN
from toolkit.errors import UserError

SPLITS = (AUTO, GROUPS, PLAIN)


@dataclass(frozen=True)
class SplitOptions:
    """folds: None: FOLDS, or as many as groups can fill; holdout: a share, or AUTO; asked: of SPLITS; as_there: is
    nothing else asked than there is?
    """

    folds: int | None
    repeats: int
    holdout: float | str
    seed: int
    asked: str
    as_there: bool

    @property
    def words(self) -> str:
        """What a person asked the split to be."""
        return AUTO if self.as_there else self.asked


def split_options(
    there: Mapping[Any, Any],
    folds: int | None,
    repeats: int | None,
    holdout: float | str | None,
    seed: int,
    asked: str | None,
) -> SplitOptions:
    """there: attributes of the table on disk, empty where there is none. UserError for what can't be."""
    if asked not in (*SPLITS, None):
        raise UserError(f"there is no split {asked!r}; there are {', '.join(SPLITS)}")
    if folds is not None and folds < 2:
        raise UserError(f"there must be at least 2 folds, got {folds}")
    if repeats is not None and repeats < 1:
        raise UserError(f"there must be at least 1 split, got {repeats} repeats")
    as_there = bool(there) and (folds, repeats, asked) == (None,) * 3 and not seed and holdout in (None, AUTO)
    if as_there:
        seed, asked = there.get("seed", 0), there.get("split", GROUPS)
    if holdout is None or holdout == AUTO:
        holdout = there.get("holdout", 0.0 if holdout is None else holdout)
    if holdout != AUTO and not (isinstance(holdout, int | float) and 0 <= holdout < 0.9):
        raise UserError(f"the holdout must be a share from 0 to 0.9, such as 0.1, got {holdout!r}")
    folds, repeats = folds or there.get("folds"), repeats or there.get("repeats", 1)
    return SplitOptions(folds, repeats, holdout, seed, asked or AUTO, as_there)
