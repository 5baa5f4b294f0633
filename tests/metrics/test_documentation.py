"""The page of metrics names what there is, with its direction and what it needs."""

import re

import toolkit
from tests.conftest import ROOT
from tests.metrics.cases import CASES
from toolkit.metrics.metric import Metric
from toolkit.recognition.metric_names import METRICS


def test_every_metric_of_the_page_is_there_as_it_says_and_none_is_missing() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    named, words = set(), set()
    for row in rows:
        if len(row) != 6 or row[0] == "metric":
            continue
        for call in re.findall(r"`(\w+\(.*?\))`", row[1]):
            metric = eval(call, {name: getattr(toolkit, name) for name in dir(toolkit) if name[0].isupper()})
            assert isinstance(metric, Metric)
            assert (metric.needs, metric.lower_is_better) == (row[4], row[5] == "lower"), call
            named.add(type(metric))
        for word in re.findall(r"`(.*?)`", row[2]):
            assert f"`{METRICS[word].expression.partition('(')[0]}(" in row[1], "the word of `new --metric`"
            words.add(word)
    assert named >= {type(case.metric) for case in CASES} and words == set(METRICS)
