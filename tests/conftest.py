"""Shared test data: competitions, and their practice data drawn once in a small size."""

import gc
import multiprocessing
import os
import warnings
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from matplotlib.figure import Figure

from tests import unpainted as unpainted_charts
from toolkit.competition import Competition, load_competition
from toolkit.submission import torchscript
from toolkit.weight_files import FOLDERS, look_in

hypothesis.settings.load_profile("ci")  # no deadline for an example: the machine may be busy
ROOT = Path(__file__).parent.parent
NAMES = ("blood_cells", "mars")
RGB = (0, 1, 2)
# each process is a copy of one that has imported everything, so that a start costs no seconds; there is one server for
# all tests, and of two lists of what it imports the last would win
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload(
    [
        "torch._dynamo",  # which optimizers import
        "tests.test_kill",
        "tests.training.test_alone",
        "tests.training.test_workers",
        "tests.test_claims",
        "tests.test_partial_files",
        "tests.tuning.test_search_loop",
        "tests.tuning.test_study",
    ]
)


def pytest_collection() -> None:
    """Nothing is garbage until all tests are imported."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there by now stays: to look at all of it again and again took a twentieth of the time."""
    gc.freeze()
    gc.enable()


def rgb_of(channels: int) -> tuple[int, ...]:
    """Which of so many channels are red, green and blue, where no competition says."""
    return RGB if channels == 3 else ()


@pytest.fixture
def weights_folder(tmp_path: Path) -> Iterator[Path]:
    """Where pretrained weights are looked for, as with `--weights`."""
    made = tmp_path / "pretrained"
    made.mkdir()
    look_in(made)
    yield made
    FOLDERS.remove(made)


@pytest.fixture(params=NAMES)
def competition(request: pytest.FixtureRequest) -> Competition:
    return load_competition(ROOT / "competitions" / request.param)


@pytest.fixture
def mars() -> Competition:
    return load_competition(ROOT / "competitions" / "mars")


@pytest.fixture
def blood_cells() -> Competition:
    return load_competition(ROOT / "competitions" / "blood_cells")


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> None:
    """What is written is there after a power failure: no test can see that, and it costs a hundredth of a second."""
    os.fsync = lambda fd: None


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are composed and not painted, which takes most of a report's time."""

    monkeypatch.setattr(Figure, "savefig", unpainted_charts.save)


@pytest.fixture
def undrawn(unpainted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blends and searches without their pictures, reports with unpainted ones."""
    monkeypatch.setattr("toolkit.blending.blend.draw", lambda *_: None)
    monkeypatch.setattr("toolkit.tuning.summary.draw", lambda *_: [])


@pytest.fixture
def forked() -> None:
    """The server that folds side by side are forked from has imported the tests, too."""
    forkserver.ensure_running()


@pytest.fixture
def forked_exports(forked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are exported by forks of that server: a process of its own imports for seconds what that has."""
    monkeypatch.setattr(torchscript, "in_a_process", in_a_fork)


def in_a_fork(job: dict[str, Any]) -> str:
    """As `torchscript.in_a_process`."""
    heard, told = START.Pipe(duplex=False)
    process = START.Process(target=_exporting, args=(job, told))
    process.start()
    told.close()
    said: str = heard.recv()
    process.join()
    return said


def _exporting(job: dict[str, Any], told: Connection) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        torchscript.export_here(job)
        told.send("")
    except Exception as error:
        told.send(f"{type(error).__name__}: {error}")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks so small that waiting for more threads costs more than they give."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of `raw/` and `truth/` for each competition, of the smallest useful size."""
    folders = {}
    for name in NAMES:
        folders[name] = tmp_path_factory.mktemp(name)
        load_competition(ROOT / "competitions" / name).practice(folders[name], 0, 48)
    return folders


def real_data(name: str) -> Path:
    """Folder of the organisers' real files; the test is skipped where it isn't at hand."""
    folder = ROOT.parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the real files are not at hand in {folder}")
    return folder
