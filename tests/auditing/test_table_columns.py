"""What an audit says of a table: what is missing, what is typical, and how far the test images' rows are apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests import kinds
from toolkit.auditing.table_columns import HEAD, find_columns
from toolkit.data.dataset import Dataset
from toolkit.data.tables import table_arrays


def beside(shift: float, number: int = 300) -> Dataset:
    data, rng = kinds.drawn("classes", number), np.random.default_rng(3)

    def drawn(mean: float, sites: list[str]) -> pd.DataFrame:
        age = np.where(rng.random(number) < 0.2, np.nan, rng.normal(mean, 1, number))
        return pd.DataFrame({"age": age, "site": rng.choice(sites, number), "only": rng.normal(0, 1, number)})

    train, test = (
        drawn(0, ["arm", "back", "back"]),
        drawn(shift, ["arm", "neck"] if shift else ["arm", "back", "back"]),
    )
    if shift:
        test["only"] = np.nan
    return replace(data, test_images=data.images, **table_arrays(train, test))


def test_columns_of_both_sides_stand_beside_each_other() -> None:
    found = find_columns(beside(2), np.arange(300), True)
    assert found is not None and found.auc is not None and found.auc > 0.95 and found.unknown == ["only"]
    rows = {row[0]: dict(zip(HEAD, row, strict=True)) for row in found.rows}
    assert rows["age"]["is"] == "number" and 15 < float(rows["age"]["lacks"][:-1]) < 25
    assert float(rows["age"]["in test"]) == pytest.approx(2, abs=0.3) and 0.5 < float(rows["age"]["apart"]) < 0.75
    assert rows["site"]["typical"].startswith("back 6") and rows["site"]["in test"] == "arm 100%"
    assert 0.6 < float(rows["site"]["apart"]) < 0.75 and rows["only"]["apart"] == "1.00"
    leave_out, apart = found.words
    assert leave_out == "column only is known of no test image: leave it out of the table"
    assert apart.endswith("most apart: only (1.00)") and found.table.rows == found.rows


def test_alike_sides_are_called_so_and_unseen_ones_not_looked_at() -> None:
    alike = find_columns(beside(0), np.arange(300), True)
    assert alike is not None and alike.auc is not None and 0.4 < alike.auc < 0.6
    assert all(float(row[-1]) < 0.2 for row in alike.rows)
    unseen = find_columns(beside(2), np.arange(300), False)
    assert unseen is not None and unseen.auc is None and not unseen.words and unseen.rows[0][3] == "-"
    assert find_columns(kinds.drawn("classes"), np.arange(96), True) is None
