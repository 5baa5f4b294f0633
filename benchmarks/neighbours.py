"""How training goes on beside other programs that want the same cores.

    python -m benchmarks.neighbours [--json] [--only steps run] [--seconds 3] [--rounds 3] [--settings NAME …]
    python -m benchmarks.neighbours --only run [--competition mars] [--budget 5m]

steps: steps/s of mars' small U-Net alone and beside 1, 2 and 4 processes that compute without end, once as PyTorch
waits by itself (`before`) and once as the toolkit has it wait (`chosen`, see toolkit/waiting.py), in turns, each in a
process that stays. Figures are medians, `chosen_over_before` the median ratio of the turns. Under 3 minutes.
`waited` is the share of their time in which the threads wanted a core and had none: nearly 0 on a quiet machine
without neighbours. Where others compute meanwhile, the ratios alone say something.
run: `run` within a budget on practice data while two neighbours come and go; `run_over_budget` is what it took over
what it was given.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from toolkit.command_line import parse_duration
from toolkit.processes import meanwhile
from toolkit.waiting import POLICIES

ROOT = Path(__file__).parent.parent
NEIGHBOURS = (0, 1, 2, 4)
COME, STAY = 20.0, 40.0  # seconds: neighbours of a run come after the first, go after the second, and so on
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # how many is left to each library
SETTINGS: dict[str, dict[str, str]] = {
    "before": {"GOMP_SPINCOUNT": "300000"},  # what GNU's OpenMP does where nothing is said
    "chosen": {},
    # what else was tried
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "active": {"OMP_WAIT_POLICY": "ACTIVE"},
    "spin1000": {"GOMP_SPINCOUNT": "1000"},
    "spin10000": {"GOMP_SPINCOUNT": "10000"},
    "one_thread": {"OMP_NUM_THREADS": "1"},
}


def environment(settings: dict[str, str]) -> dict[str, str]:
    """This process's, with these settings of threads alone."""
    kept = {name: value for name, value in os.environ.items() if name not in (*POLICIES, *THREADS)}
    return kept | settings


class Trainer:
    """A process that trains when it is told to."""

    def __init__(self, settings: dict[str, str], precision: str) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.neighbours", "--trainer", precision]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment(settings), **pipes)

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def steps(self, seconds: float) -> dict[str, float]:
        """`rate`: steps/s; `waited`: see above; `threads`: how many compute."""
        told, heard = self.process.stdin, self.process.stdout
        assert told is not None and heard is not None
        print(seconds, file=told, flush=True)
        found: dict[str, float] = json.loads(heard.readline())
        return found


def train_when_told(precision: str, told: IO[str]) -> None:
    """Each line of `told` says for how many seconds to train; a line of JSON answers it."""
    import torch

    from benchmarks.training import make_case
    from toolkit.networks.contention import contention
    from toolkit.networks.speed import Settings
    from toolkit.training.loop import Training

    with tempfile.TemporaryDirectory() as folder:
        training = Training(replace(make_case("small_unet", 8, Path(folder)).job, settings=Settings(precision)))
        for line in told:
            begun, steps = time.perf_counter(), 0
            with contention() as waited:
                while steps == 0 or time.perf_counter() - begun < float(line):
                    at = steps % training.batches.steps
                    training.step(*training.batches[0, at], at)
                    steps += 1
            rate = steps / (time.perf_counter() - begun)
            print(json.dumps({"rate": rate, "waited": waited.share, "threads": torch.get_num_threads()}), flush=True)


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """So many processes that compute without end, each on one core; they end with this one, however it ends."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}:\n    sum(range(100_000))"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def coming_and_going(number: int, come: float = COME, stay: float = STAY) -> Iterator[None]:
    """So many neighbours that come after `come` seconds, go after `stay` more, come again …"""

    def disturb(ended: threading.Event) -> None:
        while not ended.wait(come):
            with neighbours(number):
                ended.wait(stay)

    with meanwhile(disturb):
        yield


def measure_steps(
    names: Sequence[str], seconds: float, rounds: int, precision: str = "float32", beside: Sequence[int] = NEIGHBOURS
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        trainers = {name: stack.enter_context(Trainer(SETTINGS[name], precision)) for name in names}
        figures["threads"] = {name: trainer.steps(1.0)["threads"] for name, trainer in trainers.items()}
        for number in beside:
            with neighbours(number):
                turns = [{name: trainer.steps(seconds) for name, trainer in trainers.items()} for _ in range(rounds)]
            for name in names:
                rates = [turn[name]["rate"] for turn in turns]
                ratios = [turn[name]["rate"] / turn[names[0]]["rate"] for turn in turns]
                figures[f"beside_{number}_{name}_steps_per_s"] = statistics.median(rates)
                figures[f"beside_{number}_{name}_low"], figures[f"beside_{number}_{name}_high"] = (
                    min(rates),
                    max(rates),
                )
                figures[f"beside_{number}_{name}_waited"] = statistics.median(turn[name]["waited"] for turn in turns)
                if name != names[0]:
                    figures[f"beside_{number}_{name}_over_{names[0]}"] = statistics.median(ratios)
                    figures[f"beside_{number}_{name}_over_worst_{names[0]}"] = statistics.median(rates) / min(
                        turn[names[0]]["rate"] for turn in turns
                    )
    return figures


def words(competition: str, budget: float, folder: str) -> list[str]:
    """Of the command that runs within a budget on practice data."""
    places = ["--workspace", f"{folder}/workspace", "--submissions", f"{folder}/submissions"]
    return [f"competitions/{competition}", "--practice", "--json", f"--budget={budget:.0f}s", *places]


def measure_run(competition: str, budget: float, number: int = 2) -> dict[str, Any]:
    """A run on practice data, and how far it ended from its budget."""
    with tempfile.TemporaryDirectory() as folder, coming_and_going(number):
        command = [sys.executable, "-m", "toolkit.run", *words(competition, budget, folder)]
        begun = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment({}), capture_output=True, text=True, check=False)
        took = time.monotonic() - begun
        lines = [
            json.loads(path.read_text())
            for path in sorted(Path(folder).glob("workspace/*/train/*/fold_*/history.json"))
        ]
    if done.returncode:  # as where the machine is too busy for one epoch a fold
        return {"run_budget_s": budget, "run_fault": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    said = json.loads(done.stdout)
    return {
        "run_budget_s": budget,
        "run_seconds": said["seconds"],
        "run_seconds_with_start": took,
        "run_over_budget": said["seconds"] / budget,
        "run_epochs_of_folds": [len(epochs) for epochs in lines],
        "run_score": said["clean"]["score"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=("steps", "run"), default=["steps", "run"])
    parser.add_argument("--seconds", type=float, default=3.0, help="of training in each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["before", "chosen"])
    parser.add_argument("--competition", default="mars")
    parser.add_argument("--budget", type=parse_duration, default="5m")
    parser.add_argument("--trainer", choices=("float32", "bfloat16"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trainer:
        train_when_told(options.trainer, sys.stdin)
        return
    figures: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    if "steps" in options.only:
        figures |= measure_steps(options.settings, options.seconds, options.rounds, options.precision)
    if "run" in options.only:
        figures |= measure_run(options.competition, options.budget)
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:44}", f"{value:.3f}" if isinstance(value, float) else value)


if __name__ == "__main__":
    main()
