"""What code and zips try that are handed in: the list that tests have, tried in one fork each."""

import json
import os
import random
import re
import tempfile
from pathlib import Path

from benchmarks.faults.cases import Case, Tries, Try
from benchmarks.faults.forks import forked
from benchmarks.faults.steps import Stages
from tests.submission.attack import OUTPUT, PROCESSES, Attack, has_walls, said_of
from tests.submission.attacks import ATTACKS
from toolkit.submission import sandbox


def tries(stages: Stages, count: int, rng: random.Random) -> Tries:
    """The first `count` of the list, but for those that this system can't refuse."""
    able = [name for name, attack in ATTACKS.items() if has_walls() or not attack.walled]
    for name in able[:count]:
        yield Try(name, lambda name=name: _attacked(ATTACKS[name]))  # type: ignore[misc]


def _attacked(attack: Attack) -> Case:
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        root = Path(place).resolve() / "root"
        root.mkdir()
        told = root.parent / "came.json"

        def attempt() -> int:
            os.environ["SECRET"] = "1"
            sandbox.OUTPUT, sandbox.PROCESSES = OUTPUT, PROCESSES
            told.write_text(json.dumps(said_of(attack, root)), encoding="utf-8")
            return 0

        ended = forked(attempt, root)
        if ended.kind != "same" or not told.exists():
            return Case("traceback" if ended.kind == "same" else ended.kind, ended.said)
        said = json.loads(told.read_text(encoding="utf-8"))
    if re.search(attack.sentence, said):
        return Case("sentence", said)
    return Case("silent" if said in ("passed", "changed", "refused") else "unforeseen", said)
