"""A notebook submission on its way to Kaggle, against a client that answers as the official one does."""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kaggle.clients import HttpError
from tests.tiny import Heard
from toolkit.errors import UserError
from toolkit.notebooks.upload import upload_notebook
from toolkit.progress import SILENT, Progress
from toolkit.rules import Rules

PAGE = "https://www.kaggle.com/code/me/leaf-by-blend"


class Client:
    """Kaggle's client, as far as it is used: names, arguments and answers of version 2.2."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: dict[str, Any] = {}
        self.dataset = ["", "individual_blobs_compressed", "ready"]  # empty: there is none
        self.created = SimpleNamespace(status="ok", error=None)
        self.pushed = SimpleNamespace(
            error="", version_number=3, url=PAGE, invalid_dataset_sources=[], invalid_competition_sources=[]
        )
        self.runs = ["QUEUED", "RUNNING", "COMPLETE"]
        self.reason = ""
        self.log = ""
        self.answer = SimpleNamespace(ref=78, message="Successfully submitted")
        self.limits = SimpleNamespace(num_today=0, num_allowed_now=5, num_total=0)

    def get_config_value(self, name: str) -> str | None:
        return {"username": "me"}.get(name)

    def competition_get_submission_limits(self, competition_name: str) -> Any:
        self.limits.num_total = 1
        return self.limits

    def dataset_status(self, dataset: str, format: str | None = None) -> str:
        self.calls.append("status")
        status = self.dataset.pop(0) if len(self.dataset) > 1 else self.dataset[0]
        if not status:
            raise HttpError(404, "404 Client Error: Not Found")
        return status

    def _keep(self, folder: str, dir_mode: str) -> Any:
        files = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
        self.sent["dataset"] = json.loads((Path(folder) / "dataset-metadata.json").read_text())
        self.sent["files"], self.sent["dir_mode"] = files, dir_mode
        self.sent["module"] = (Path(folder) / "toolkit" / "a.py").read_text()  # through a link
        print("Upload successful: bundle.json (2B)")
        return self.created

    def dataset_create_new(
        self,
        folder: str,
        public: bool = False,
        quiet: bool = False,
        convert_to_csv: bool = True,
        dir_mode: str = "skip",
        ignore_patterns: list[str] | None = None,
    ) -> Any:
        self.calls.append("create")
        assert not public
        return self._keep(folder, dir_mode)

    def dataset_create_version(
        self,
        folder: str,
        version_notes: str,
        quiet: bool = False,
        convert_to_csv: bool = True,
        delete_old_versions: bool = False,
        dir_mode: str = "skip",
        ignore_patterns: list[str] | None = None,
    ) -> Any:
        self.calls.append("version")
        return self._keep(folder, dir_mode)

    def kernels_push(
        self, folder: str, timeout: str | None = None, acc: str | None = None, no_run: bool = False
    ) -> Any:
        self.calls.append("push")
        assert not no_run and (Path(folder) / "script.py").is_file()
        self.sent["kernel"] = json.loads((Path(folder) / "kernel-metadata.json").read_text())
        return self.pushed

    def kernels_status(self, kernel: str) -> Any:
        self.calls.append(kernel)
        status = self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]
        return SimpleNamespace(status=SimpleNamespace(name=status), failure_message=self.reason)

    def kernels_logs(self, kernel: str | None) -> str:
        return self.log

    def competition_submit_code(
        self,
        file_name: str,
        message: str,
        competition: str | None = None,
        kernel: str | None = None,
        kernel_version: int | None = None,
        quiet: bool = False,
    ) -> Any:
        self.calls.append("submit")
        self.sent["submitted"] = (file_name, message, competition, kernel, kernel_version)
        return self.answer

    def competition_submissions(self, competition: str) -> list[Any]:
        status = SimpleNamespace(name="COMPLETE")
        return [SimpleNamespace(ref=78, status=status, public_score="0.81", private_score="", error_description="")]

    def take(self) -> None:
        self.calls.append("taken")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {
        "dataset/bundle.json": "{}",
        "dataset/toolkit/a.py": "A = 1\n",
        "dataset/dataset-metadata.json": json.dumps({"id": "OWNER/leaf-0a1b2c", "title": "leaf-0a1b2c"}),
        "kernel/script.py": "",
        "kernel/kernel-metadata.json": json.dumps(
            {"id": "OWNER/leaf-by-blend", "dataset_sources": ["OWNER/leaf-0a1b2c", "other/one"]}
        ),
    }
    for name, text in texts.items():
        path = tmp_path / "made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "made"


def send(folder: Path, client: Client, progress: Progress = SILENT, rules: Rules | None = None) -> dict[str, str]:
    return upload_notebook(
        folder,
        "leaf-class",
        "note",
        rules or Rules(),
        client,
        client.take,
        progress=progress,
        sleep=lambda seconds: None,
    )


def test_a_notebook_is_attached_run_and_submitted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client, heard = Client(), Heard()
    before = sorted((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file())
    assert send(folder, client, heard) == {"public": "0.81", "private": ""}
    ran = ["me/leaf-by-blend/3"] * 3
    assert client.calls == ["status", "create", "status", "status", "push", *ran, "submit", "taken"]
    assert client.sent["dataset"]["id"] == "me/leaf-0a1b2c" and client.sent["dir_mode"] == "zip"
    assert client.sent["files"] == ["bundle.json", "dataset-metadata.json"]  # and what is behind the link toolkit/
    assert client.sent["module"] == "A = 1\n"
    assert client.sent["kernel"] == {
        "id": "me/leaf-by-blend",
        "dataset_sources": ["me/leaf-0a1b2c", "other/one"],
    }
    assert client.sent["submitted"] == ("submission.csv", "note", "leaf-class", "me/leaf-by-blend", 3)
    assert sorted((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file()) == before
    assert "version 3 of me/leaf-by-blend runs on the visible files: " + PAGE in heard.lines
    assert capsys.readouterr().out == ""


def test_a_dataset_that_is_there_is_not_sent_again(folder: Path) -> None:
    client = Client()
    client.dataset = ["ready"]
    send(folder, client)
    assert client.calls[:2] == ["status", "push"]


def test_a_dataset_that_failed_gets_another_version(folder: Path) -> None:
    client = Client()
    client.dataset = ["failed", "ready"]
    send(folder, client)
    assert client.calls[:4] == ["status", "version", "status", "push"]


def refused(client: Client) -> None:
    client.created = SimpleNamespace(status="error", error="the slug is in use")


def unreadable(client: Client) -> None:
    client.dataset = ["", "failed"]


def never_ready(client: Client) -> None:
    client.dataset = ["", "blobs_received"]


def not_pushed(client: Client) -> None:
    client.pushed.error = "Maximum batch GPU session count of 2 reached."


def not_attached(client: Client) -> None:
    client.pushed.invalid_dataset_sources = ["me/leaf-0a1b2c"]


def not_joined(client: Client) -> None:
    client.pushed.invalid_competition_sources = ["leaf-class"]


def failed(client: Client) -> None:
    parts = [{"stream_name": "stderr", "time": at, "data": f"line {at}\n"} for at in range(20)]
    client.runs, client.log = ["RUNNING", "ERROR"], json.dumps(parts)


def stopped(client: Client) -> None:
    client.runs, client.log = ["CANCEL_ACKNOWLEDGED"], "one\ntwo"


def endless(client: Client) -> None:
    client.runs = ["RUNNING"]


def not_taken(client: Client) -> None:
    client.answer = SimpleNamespace(ref=0, message="You have used all submissions")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refused, "did not take the dataset me/leaf-0a1b2c: the slug is in use"),
        (unreadable, r"could not read the dataset me/leaf-0a1b2c \(failed\)"),
        (never_ready, "has not made the dataset me/leaf-0a1b2c ready within 60 min"),
        (not_pushed, "did not take the notebook: Maximum batch GPU session count"),
        (not_attached, "could not attach me/leaf-0a1b2c to the notebook: no such dataset"),
        (not_joined, "could not attach leaf-class to the notebook: no such competition .accept its rules at"),
        (
            failed,
            r"leaf-by-blend/3 failed on Kaggle: it gives no reason\nits log ends so:\n  line 5\n(.*\n)*  line 19$",
        ),
        (stopped, r"failed on Kaggle: it was stopped\nits log ends so:\n  one\n  two$"),
        (endless, "has not run within 600 min"),
        (not_taken, "did not take version 3 of me/leaf-by-blend: You have used all submissions"),
    ],
)
def test_what_fails_there_is_said_with_its_reason(fault: Any, reason: str, folder: Path) -> None:
    client = Client()
    fault(client)
    with pytest.raises(UserError, match=reason):
        send(folder, client)
    assert "taken" not in client.calls


def test_nothing_is_sent_where_no_submission_is_left(folder: Path) -> None:
    client = Client()
    client.limits.num_allowed_now = 0
    with pytest.raises(UserError, match="allows no further submission to leaf-class today"):
        send(folder, client)
    assert client.calls == []


def test_gaps_of_the_network_are_waited_through(folder: Path) -> None:
    class Cut(Client):
        gaps = 3

        def kernels_status(self, kernel: str) -> Any:
            self.gaps -= 1
            if self.gaps > 0:
                raise ConnectionError("no route to host")
            return super().kernels_status(kernel)

    assert send(folder, Cut())["public"] == "0.81"


def test_the_stand_in_takes_what_the_official_client_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    official = pytest.importorskip("kaggle.api.kaggle_api_extended").KaggleApi
    for name, ours in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_") or name == "take":
            continue
        theirs = list(inspect.signature(getattr(official, name)).parameters)
        assert theirs[: len(inspect.signature(ours).parameters)] == list(inspect.signature(ours).parameters)
