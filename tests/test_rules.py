"""Each broken rule stops with a sentence that names it and says where it is stated."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import ROOT
from toolkit import Competition, Rules, UserError

NOON = datetime(2024, 12, 1, 12, tzinfo=UTC)


def test_what_a_competition_rules_has_a_source_in_its_folder(competition: Competition) -> None:
    rules, plain = competition.rules, Rules()
    for rule in type(rules).__dataclass_fields__:
        if rule != "sources" and getattr(rules, rule) != getattr(plain, rule):
            assert rule in rules.sources, rule
    for rule, source in rules.sources.items():
        place, _, said = source.partition(", Rules: ")
        assert f"| {rule} |" in (ROOT / place).read_text(encoding="utf-8") and said
        assert (ROOT / place).parent == competition.folder


def test_a_source_belongs_to_a_rule() -> None:
    with pytest.raises(ValueError, match="'submision_bytes' is not a rule"):
        Rules(sources={"submision_bytes": "the page"})


def test_external_data() -> None:
    Rules().check_data("run", "abc", "abc")
    Rules(external_data=True).check_data("run", "abc", "def")
    with pytest.raises(UserError, match=r"run one was trained on other data \(abc\).*\(rule external_data"):
        Rules().check_data("one", "abc", "def")


def test_size(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(bytes(1001))
    Rules().check_size(path)
    Rules(submission_bytes=1001).check_size(path)
    with pytest.raises(UserError, match=r"has 1,001 bytes, more than 1,000; .*\(rule submission_bytes: the page\)"):
        Rules(submission_bytes=1000, sources={"submission_bytes": "the page"}).check_size(path)


def test_submissions_a_day() -> None:
    rules = Rules(daily_submissions=3, sources={"daily_submissions": "the page"})
    rules.check_upload(2, NOON)
    Rules().check_upload(1000, NOON)
    with pytest.raises(UserError, match=r"3 of 3 submissions were made today.*\(rule daily_submissions: the page\)"):
        rules.check_upload(3, NOON)


def test_the_deadline_is_a_moment_whatever_the_zone() -> None:
    for passed, deadline in ((False, "2024-12-01T13:00:00+01:00"), (True, "2024-12-01T12:59:59+01:00")):
        rules = Rules(deadline=deadline, sources={"deadline": "the page"})
        if not passed:
            rules.check_upload(0, NOON)
        else:
            with pytest.raises(UserError, match=rf"the deadline was {deadline[:10]}.*\(rule deadline: the page\)"):
                rules.check_upload(0, NOON)
    with pytest.raises(ValueError, match="needs its time zone"):
        Rules(deadline="2024-12-01T13:00:00")


def test_the_team() -> None:
    rules = Rules(team_size=4, sources={"team_size": "the page"})
    rules.check_upload(0, NOON, team=4)
    rules.check_upload(0, NOON)
    with pytest.raises(UserError, match=r"the team has 5 members, at most 4 .*\(rule team_size: the page\)"):
        rules.check_upload(0, NOON, team=5)


def test_a_limit_of_ours_is_not_passed_off_as_the_organisers() -> None:
    assert Rules().sentence("submission_seconds", "too slow") == "too slow (rule submission_seconds: not published)"
    assert Rules(submission_seconds=9).sentence("submission_seconds", "too slow").endswith("no source given)")
