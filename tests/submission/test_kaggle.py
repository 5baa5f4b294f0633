"""Uploads to Kaggle, against a client that answers as the official one does."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.kaggle.clients import HttpError
from tests.tiny import Heard
from toolkit.errors import UserError
from toolkit.kaggle.client import kaggle_client
from toolkit.rules import Rules
from toolkit.submission.kaggle import upload_to_kaggle

FILE = Path("s.csv")


class Client:
    """Kaggle's client, as far as it is used: names and fields of version 2.2."""

    def __init__(
        self, today: int = 2, left: int = 8, total: int = 9, statuses: tuple[str, ...] = ("COMPLETE",)
    ) -> None:
        self.limits = SimpleNamespace(num_today=today, num_allowed_now=left, num_total=total)
        self.statuses = list(statuses)
        self.sent: list[tuple[str, str, str]] = []
        self.answer = SimpleNamespace(ref=77, message="Successfully submitted")
        self.error = ""
        self.taken = 0

    def take(self) -> None:
        self.taken += 1

    def competition_get_submission_limits(self, competition: str) -> Any:
        return self.limits

    def competition_submit(self, file_name: str, message: str, competition: str, quiet: bool = False) -> Any:
        self.sent.append((file_name, message, competition))
        print("100%|####| 164M/164M")  # as the client does, whatever it is told
        return self.answer

    def competition_submissions(self, competition: str) -> list[Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        scores = ("0.71", "") if status == "COMPLETE" else ("", "")
        mine = SimpleNamespace(
            ref=77,
            status=SimpleNamespace(name=status),
            public_score=scores[0],
            private_score=scores[1],
            error_description=self.error,
        )
        older = SimpleNamespace(ref=76, status=SimpleNamespace(name="ERROR"), error_description="another's")
        return [older, mine]


def send(client: Client, rules: Rules | None = None, **more: Any) -> dict[str, str]:
    return upload_to_kaggle(
        FILE, "mars-25", "note", rules or Rules(), client, client.take, sleep=lambda s: None, **more
    )


def test_the_outcome_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(statuses=("PENDING", "PENDING", "COMPLETE"))
    assert send(client) == {"public": "0.71", "private": ""}
    assert client.sent == [("s.csv", "note", "mars-25")]
    assert capsys.readouterr().out == ""  # what the client prints would spoil --json


def test_what_is_left_today_is_read_and_said_first() -> None:
    heard = Heard()
    send(Client(left=3), progress=heard)
    assert heard.lines[0] == "3 submissions are left today, this one included"


@pytest.mark.parametrize(
    ("client", "rules", "reason"),
    [
        (Client(today=5, left=0), Rules(), "no further submission to mars-25 today: 5 were made; wait a day"),
        (Client(today=0, left=0, total=0), Rules(), "you have not joined it; accept its rules at https://www.kaggle"),
        (
            Client(today=5),
            Rules(daily_submissions=5, sources={"daily_submissions": "README.md, Rules"}),
            r"5 of 5 submissions were made today; none is left, wait a day \(rule daily_submissions: README.md",
        ),
        (
            Client(),
            Rules(deadline="2001-01-01T00:00:00+00:00", sources={"deadline": "the page"}),
            r"the deadline was 2001-01-01T00:00:00\+00:00; nothing is taken any more \(rule deadline: the page\)",
        ),
    ],
)
def test_nothing_is_sent_that_would_be_lost(client: Client, rules: Rules, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        send(client, rules)
    assert client.sent == [] and client.taken == 0


def test_a_team_that_is_too_large_is_refused() -> None:
    with pytest.raises(UserError, match=r"the team has 5 members, at most 4 are allowed \(rule team_size"):
        send(Client(), Rules(team_size=4), team=5)


def test_the_reason_of_a_refusal_is_shown() -> None:
    client = Client(statuses=("PENDING", "ERROR"))
    client.error = "Submission must have 10022 rows"
    with pytest.raises(UserError, match=r"Kaggle could not score s.csv: Submission must have 10022 rows"):
        send(client)


def test_an_upload_that_breaks_off_is_said_to_have() -> None:
    client = Client()
    client.answer = SimpleNamespace(ref=0, message="Could not submit to competition")
    with pytest.raises(UserError, match=r"Kaggle did not take s.csv: Could not submit"):
        send(client)


def test_a_competition_that_takes_notebooks_alone_refuses_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file_name: str, message: str, competition: str, quiet: bool = False) -> Any:
        raise HttpError(400, "400 Client Error: Bad Request")

    client = Client()
    monkeypatch.setattr(client, "competition_submit", refuse)
    with pytest.raises(UserError, match=r"where notebooks alone are taken: submit --notebook: 400 Client Error"):
        send(client)
    assert client.taken == 0


def test_the_wait_has_an_end() -> None:
    client = Client(statuses=("PENDING",))
    with pytest.raises(UserError, match=r"has taken s.csv \(submission 77\) but not scored it within 30 minutes"):
        send(client)
    assert client.taken == 1


def test_a_file_that_was_taken_is_waited_for_through_a_gap_of_the_network() -> None:
    class Cut(Client):
        def competition_submissions(self, competition: str) -> list[Any]:
            self.taken += 10
            if self.taken < 30:
                raise OSError("no route to host")
            return super().competition_submissions(competition)

    client = Cut()
    assert send(client)["public"] == "0.71" and len(client.sent) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("Name or service not known"), "can't be reached .is there a network.*: Name or service"),
        (HttpError(401), "Kaggle refuses the login"),
        (HttpError(403), "accept the rules of mars-25 at https://www.kaggle.com/competitions/mars-25/rules"),
        (HttpError(404), "Kaggle knows no competition 'mars-25'"),
        (RuntimeError("odd\nand long"), "Kaggle's client failed: odd$"),
        (SystemExit(1), "Kaggle's client failed: 1"),
    ],
)
def test_errors_of_the_client_become_one_sentence(
    error: BaseException, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(competition: str) -> Any:
        raise error

    client = Client()
    monkeypatch.setattr(client, "competition_get_submission_limits", fail)
    with pytest.raises(UserError, match=reason):
        send(client)


def test_without_the_client_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaggle", None)
    with pytest.raises(UserError, match=r"install it with `pip install '\.\[kaggle\]'`"):
        kaggle_client()


def installed(monkeypatch: pytest.MonkeyPatch, authenticate: Any) -> None:
    for name in ("kaggle", "kaggle.api", "kaggle.api.kaggle_api_extended"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    api = type("KaggleApi", (), {"authenticate": authenticate})
    monkeypatch.setattr(sys.modules["kaggle.api.kaggle_api_extended"], "KaggleApi", api, raising=False)


def test_without_a_login_it_says_where_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def authenticate(self: Any) -> None:
        print("Authentication required to call the Kaggle API.")
        sys.exit(1)

    installed(monkeypatch, authenticate)
    with pytest.raises(UserError, match="run `kaggle auth login`, or put an API token"):
        kaggle_client()
    assert capsys.readouterr().out == ""


def test_with_a_login_the_client_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, lambda self: None)
    assert type(kaggle_client()).__name__ == "KaggleApi"


def test_the_official_client_has_what_is_asked_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    module = pytest.importorskip("kaggle.api.kaggle_api_extended")
    for name in ("authenticate", "competition_get_submission_limits", "competition_submit", "competition_submissions"):
        assert callable(getattr(module.KaggleApi, name))
