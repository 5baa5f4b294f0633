"""What can't be meant, or can't be reached, is said in one sentence, soon."""

import socket
import time
from pathlib import Path

import pytest

from tests import tiny
from toolkit.cluster.place import ask, cluster, leave
from toolkit.errors import UserError


@pytest.mark.parametrize(
    ("address", "device", "told"),
    [
        ("ray://head:10001", "auto", "run the command on a machine of the cluster with --cluster auto"),
        ("head", "auto", "give local, auto or host:port"),
        ("10.0.0.5:6379", "cuda:0,cuda:1", "a fold has one device of one machine: --device auto, cpu, cuda"),
    ],
)
def test_what_is_no_cluster_is_refused_at_once(address: str, device: str, told: str) -> None:
    pytest.importorskip("ray", reason="without Ray that is said first")
    with pytest.raises(UserError, match=told):
        ask(address, device)


def test_without_ray_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.cluster.place.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[cluster\]'"):
        tiny.project(tmp_path, cluster="local")


def test_an_address_where_nothing_or_something_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="what is reached is Ray")
    monkeypatch.setattr("toolkit.cluster.connection.ANSWERED", 0.5)
    begun = time.monotonic()
    with socket.socket() as other:
        other.bind(("", 0))
        port = other.getsockname()[1]
        ask(f"127.0.0.1:{port}")
        with pytest.raises(UserError, match=rf"nothing answers at .*:{port} .*give the address that `ray start"):
            cluster()
        other.listen()
        with pytest.raises(UserError, match=r"is no head of a Ray cluster"):
            cluster()
    leave()
    assert time.monotonic() - begun < 60  # Ray itself would ask for minutes
