"""The audit's pictures: what a person decides can be ticked, with how sure it is; what repeats is shown once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import kinds
from tests.auditing.test_kinds import nothing_found
from toolkit.auditing.findings import LINKS
from toolkit.auditing.galleries import Galleries
from toolkit.auditing.label_errors import nothing_said
from toolkit.store import Workspace

NUMBER = 24
LINES = [
    (3, "drop?", "", "unlike the rest: 9.1 robust standard deviations", 0.5),
    (4, "relabel?", "b", "doubtful label: a, looks like b", 0.9996),
    (5, "relabel?", "b", "doubtful label: a, looks like b", 0.984),
    (6, "drop", "", "repeated picture: 7 times", 1.0),
]


@pytest.fixture
def galleries(tmp_path: Path) -> Galleries:
    data = kinds.drawn("classes", NUMBER)
    data = replace(data, names=np.array([f"a {row}.png" for row in range(NUMBER)]))
    errors = nothing_said(NUMBER, "a quick first model")
    errors.quality[:] = np.linspace(0, 1, NUMBER)
    found = replace(nothing_found(NUMBER, errors), outlyingness=np.linspace(0, 12, NUMBER))
    found = replace(found, same=(np.arange(6, 13), np.array([14, 15])))
    proposal = pd.DataFrame(LINES, columns=["index", "action", "value", "reason", "confidence"])
    of = kinds.competition("classes")
    return Galleries(of, Workspace(tmp_path, of.name), data, found, proposal, data, np.array([3, 4]))


def test_suggestions_are_ticked_by_name_and_say_how_sure_they_are_of_what(galleries: Galleries) -> None:
    (made,) = galleries.decisions()
    sure, decided, far = made.figures
    assert (sure.title.endswith(" → b?"), sure.caption, sure.choice) == (True, "more than 99.9% sure", "'a 4.png'")
    assert sure.name.startswith("labelled ") and [name for name, _ in sure.layers] == ["a sure b"]
    assert (decided.caption, decided.choice) == ("98.4% sure (decided)", "")
    assert (far.caption, far.choice, far.tags) == ("distance 2", "'a 3.png'", ("unlike the rest",))
    assert "95 % of the pictures are below 11.4" in made.advice and "a quick first model" in made.advice
    accept, refuse = made.command.split("\n")
    assert (
        accept.endswith("--accept") and refuse.endswith("--refuse") and f"`{accept} 'doubtful label'`" in made.advice
    )


def test_what_repeats_is_shown_once_with_its_number(galleries: Galleries) -> None:
    (made,) = galleries.intruders()
    assert [figure.title for figure in made.figures] == ["× 7"]  # noqa: RUF001
    group = np.arange(NUMBER)
    group[15] = 14
    keep = ~np.isin(group, np.arange(6, 13))
    (exact,) = galleries.copies(group, keep)
    assert exact.title == "Exact copies" and [figure.title for figure in exact.figures] == ["× 2"]  # noqa: RUF001


def test_a_seam_has_a_gap_and_copies_lie_on_each_other(galleries: Galleries) -> None:
    same = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    rows = [(16, 17, "right", False, 0, 0.9, ()), (18, 19, "copy", False, 40, 0.95, same)]
    found = replace(galleries.findings, links=pd.DataFrame(rows, columns=list(LINKS)), same=())
    with_links = replace(galleries, findings=found)
    (seams,) = with_links.seams()
    apart, joined = (picture for _, picture in seams.figures[0].pictures)
    assert apart.shape == joined.shape and (apart != joined).any()
    group = np.arange(NUMBER)
    group[19] = 18
    (copies,) = with_links.copies(group, np.ones(NUMBER, bool))
    assert [name for name, _ in copies.figures[0].pictures] == ["a 18.png", "a 19.png", "laid on it", "difference"]
    assert copies.figures[0].caption == "40 keypoints agree, similarity 0.95"


def test_examples_of_masks_have_their_mask_and_a_legend(tmp_path: Path) -> None:
    data, of = kinds.drawn("masks", NUMBER), kinds.competition("masks")
    found = nothing_found(NUMBER, nothing_said(NUMBER))
    nothing = pd.DataFrame(columns=["index", "action", "value", "reason", "confidence"])
    made = Galleries(of, Workspace(tmp_path, of.name), data, found, nothing, data, np.arange(0))
    (examples,) = made.examples(np.ones(NUMBER, bool))
    assert [name for name, _ in examples.legend] == ["a: not painted", "b"]
    assert all(figure.layers[0][0] == "mask" for figure in examples.figures) and made.decisions() == []
