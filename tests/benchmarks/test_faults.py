"""A short form of `benchmarks.faults`: a few tries of each kind; nothing is lost, wrong, or a traceback."""

import json
import random
import signal
from pathlib import Path

import pytest

from benchmarks.faults import __main__ as campaign
from benchmarks.faults import damage, disk, kills, lines, together
from benchmarks.faults.cases import RIGHT, WRONG, Case, Kept, Tries
from benchmarks.faults.contents import contents, differences
from benchmarks.faults.forks import begin, forked, signal_at
from benchmarks.faults.steps import ALL, Stages, points, shares, without

SLOW = ("soup", "frozen", "search", "views", "new", "notebook", "run", "berries", "boost")


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """Without what takes seconds. So few tries are all of the command with the most points, `train`."""
    return Stages(tmp_path_factory.mktemp("faults"), without(*SLOW))


def wrong(tries: Tries, number: int) -> list[Case]:
    """What isn't right of so many tries."""
    came = [(one.what, one.attempt()) for one in tries]
    assert len(came) == number
    return [case for _, case in came if case.kind not in RIGHT]


@pytest.mark.parametrize(("kind", "count"), [(kills, 3), (together, 1), (disk, 3)])
def test_a_command_that_is_disturbed_ends_the_next_time_as_if_nothing_had_happened(
    kind: object, count: int, stages: Stages
) -> None:
    tries = kind.tries(stages, count, random.Random(0))  # type: ignore[attr-defined]
    assert wrong(tries, count) == []


@pytest.mark.parametrize(("kind", "count"), [(lines, 5), (damage, 1)])
def test_what_is_wrong_is_a_sentence_or_is_healed(kind: object, count: int, stages: Stages) -> None:
    assert wrong(kind.tries(stages, count, random.Random(0)), count) == []  # type: ignore[attr-defined]


def test_two_submissions_at_once_are_one_line_of_the_ledger(stages: Stages) -> None:
    assert together.both(stages.stage("submit"), 20) == Case("same")
    assert len((stages.root / "s" / "ledger.csv").read_text().splitlines()) == 2


def test_a_fork_tells_how_it_ended(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()

    def broken() -> int:
        raise KeyError("x")

    def linger() -> int:
        while True:
            pass

    def write() -> int:
        for name in "abc":
            (root / name).write_text(name)
        return 0

    assert forked(broken, root).kind == "traceback"
    assert forked(linger, root, limit=1).kind == "going on"
    assert (forked(write, root).kind, forked(write, root).changes) == ("same", 3)
    for path in root.iterdir():
        path.unlink()
    assert forked(write, root, signal_at(3, signal.SIGKILL)).kind == "killed"
    assert sorted(path.name for path in root.iterdir()) == ["a", "b"]
    assert begin(write, root, name="other").end().kind == "same"


def test_points_are_spread_over_all_changes_and_shared_out_to_what_has_few() -> None:
    assert (points(9, 3), points(2, 5), points(5, 1), points(4, 0)) == ([1, 5, 9], [1, 2], [3], [])
    assert shares([5, 100, 3, 100, 0], 58) == [5, 25, 3, 25, 0]
    assert shares([5, 1, 5, 0], 5) == [2, 1, 2, 0]
    assert sum(shares([100] * 7, 10)) == 10


def test_steps_that_are_left_out_are_skipped_over() -> None:
    after = {step.name: step.after for step in without("search", "ensemble")}
    assert after["submit"] == "train" and "search" not in after
    assert {step.after for step in ALL} - {""} <= {step.name for step in ALL}


def test_what_is_another_is_seen_and_times_are_not(tmp_path: Path) -> None:
    def left(name: str, **texts: str) -> dict[str, str]:
        for file, text in texts.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file.replace("_", ".")).write_text(text)
        return contents(tmp_path / name)

    manifest = {"inputs": {"seconds": 1.5, "seed": 0}, "finished": "2026-01-01", "files": {"history.json": "a"}}
    later = manifest | {
        "inputs": {"seconds": 2.5, "seed": 0},
        "finished": "2026-02-02",
        "files": {"history.json": "b"},
    }
    first = left("first", manifest_json=json.dumps(manifest), page_html="written 2026-01-01 10:00, 3", oof_npy="1")
    second = left("second", manifest_json=json.dumps(later), page_html="written 2026-01-02 11:30, 3", oof_npy="1")
    assert first == second
    third = left("second", manifest_json=json.dumps(later | {"inputs": {"seed": 1}}), oof_npy="2", left="")
    assert differences(third, first | {"gone": ""}) == [
        ("lost", "gone is missing"),
        ("other bits", "manifest.json has other bits"),
        ("other bits", "oof.npy has other bits"),
        ("left over", "left is left over"),
    ]


def test_what_was_right_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(tmp_path / "kept.jsonl")
    kept.add("lines", "one", Case("sentence", "error: no"))
    kept.add("lines", "other", Case("traceback", "KeyError"))
    with kept.path.open("a") as file:
        file.write('{"campaign": "lin')  # cut by a kill
    again = Kept(kept.path)
    assert again.is_right("lines", "one") and not again.is_right("lines", "other")
    monkeypatch.setattr(campaign, "campaign", lambda *_: None)
    assert campaign.main(["--only", "lines", "--kept", str(kept.path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["lines"] == {"sentence": 1, "traceback": 1}
    assert [case["what"] for case in told["wrong"]] == ["other"]
    assert not RIGHT.keys() & WRONG.keys()
