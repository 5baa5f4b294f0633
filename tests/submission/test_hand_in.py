"""A submission goes where it is taken, and what becomes of it is written down."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import competition
from toolkit.errors import UserError
from toolkit.rules import Rules
from toolkit.store import sha256
from toolkit.submission.hand_in import forget, record_score, remember, upload
from toolkit.submission.ledger import Ledger

PAGE = "https://www.codabench.org/competitions/1/"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two submissions, registered."""
    ledger = Ledger(tmp_path, "tiny")
    for name in ("first", "second"):
        (tmp_path / f"{name}.txt").write_text(name)
        line = {"competition": "tiny", "submission": f"{name}.txt", "sha256": sha256(tmp_path / f"{name}.txt")}
        ledger.append(line | {"clean": 0.61})
    return ledger


def scores(ledger: Ledger) -> list[tuple[str, str]]:
    return [(line["public"], line["private"]) for line in ledger.lines]


def test_scores_go_to_the_newest_or_to_a_named_submission(ledger: Ledger) -> None:
    record_score(ledger, public=0.71)
    record_score(ledger, "first", private=0.64)
    assert scores(ledger) == [("", "0.64"), ("0.71", "")]
    recorded = record_score(ledger, public=0.7, private=0.65)
    assert recorded.as_json() == {"id": "second", "public": 0.7, "private": 0.65, "before": {"public": "0.71"}}
    assert recorded.told() == ["second: public score 0.7, in place of 0.71", "second: private score 0.65"]
    assert scores(ledger) == [("", "0.64"), ("0.7", "0.65")]
    record_score(ledger, public=1234.56789)
    assert scores(ledger)[1] == ("1234.56789", "0.65"), "as the leaderboard shows it"
    with pytest.raises(UserError, match="--private needs a score"):
        record_score(ledger)
    with pytest.raises(UserError, match="'other' is none of the submissions of tiny; there are first, second"):
        record_score(ledger, "other", public=1)


def test_an_upload_by_hand_shows_file_and_page_and_counts(ledger: Ledger) -> None:
    rules = Rules(daily_submissions=1, sources={"daily_submissions": "README.md, Rules"})
    by_hand = replace(competition, page=PAGE, rules=rules)
    (told,) = upload(by_hand, ledger).told()
    assert told == f"open {PAGE}\nand hand in {ledger.folder.resolve() / 'second.txt'}"
    with pytest.raises(UserError, match="1 of 1 submissions were made today; none is left"):
        upload(by_hand, ledger, "first")
    assert [bool(line["uploaded"]) for line in ledger.lines] == [False, True]


def test_an_upload_needs_a_place_and_a_whole_file(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="where tiny takes submissions is not known"):
        upload(competition, ledger)
    (ledger.folder / "second.txt").write_text("other")
    with pytest.raises(UserError, match="is not the file that was checked any more"):
        upload(competition, ledger)


def test_an_upload_to_kaggle_writes_its_scores_down(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def send(
        path: Path, slug: str, message: str, rules: Rules, client: Any, taken: Any, **more: Any
    ) -> dict[str, str]:
        sent.append((path.name, slug, message))
        taken()
        return {"public": "0.7", "private": ""}

    monkeypatch.setattr("toolkit.submission.hand_in.kaggle_client", lambda: None)
    monkeypatch.setattr("toolkit.submission.hand_in.upload_to_kaggle", send)
    uploaded = upload(competition, ledger, kaggle="tiny-25")
    assert sent[0][:2] == ("second.txt", "tiny-25") and "out of fold 0.61" in sent[0][2]
    assert uploaded.told() == ["second: public score 0.7, private not shown"]
    assert scores(ledger)[1] == ("0.7", "") and ledger.lines[1]["uploaded"]


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_score(score: float, ledger: Ledger) -> None:
    for board in ("public", "private"):
        with pytest.raises(UserError, match="is no score of a leaderboard"):
            record_score(ledger, **{board: score})  # type: ignore[arg-type]


def test_a_submission_that_is_forgotten_comes_back_and_counts_for_its_day(ledger: Ledger) -> None:
    ledger.update("first", {"uploaded": "2024-11-01T10:00:00+00:00"})
    done = forget(ledger, "first")
    told = done.told()
    assert told[0].startswith("first is off the ledger; ") and "still counts" in told[1]
    assert done.next == [("compete submit --remember first", "takes it back")] and len(ledger.lines) == 1
    assert [line["uploaded"][:10] for line in ledger.forgotten] == ["2024-11-01"]
    assert remember(ledger, "first").as_json()["id"] == "first" and len(ledger.lines) == 2
