"""What is asked for a fold on a cluster: measured by what folds have in common, guessed where one failed."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from toolkit.cluster.connection import Machine, places
from toolkit.cluster.need import MARGIN, Need, Used, largest
from toolkit.store import hash_json
from toolkit.training.jobs import FoldJob

UNKNOWN = 2e9  # bytes of memory for a fold of which nothing is known, where every machine has as much for each


class Allotments:
    """machines: those that are alive; first: what is asked for a fold of which nothing is known; last: for one like
    that which was measured last.
    """

    def __init__(self, machines: Callable[[], Sequence[Machine]], able: Sequence[Machine], bare: Need) -> None:
        """able: machines that can train a fold; bare: what it takes of them beside memory."""
        self.machines = machines
        room = min(one.memory // max(1, places([one], bare)) for one in able)
        self.first = self.last = replace(bare, memory=int(min(UNKNOWN, room)))
        self.measured, self.guessed = dict[str, Need](), dict[str, Need]()
        self.lock = threading.RLock()

    def knows(self, job: FoldJob) -> bool:
        return _kind(job) in self.measured

    def look_at(self, job: FoldJob) -> None:
        """What is trained next is like this one, which was measured."""
        with self.lock:
            self.last = self.measured[_kind(job)]

    def of(self, job: FoldJob) -> Need:
        """Of one that wasn't measured: a whole GPU, and memory for any that was, if every machine has it."""
        kind = _kind(job)
        with self.lock:
            found = self.guessed.get(kind) or self.measured.get(kind)
            if found or not self.measured:
                return found or self.first
            most = max(one.memory for one in self.measured.values())
        return replace(self.first, memory=int(min(most, *(one.memory for one in self._able(self.first)))))

    def learn(self, job: FoldJob, had: Need, used: Used) -> bool:
        """Ask for what any such fold took from now on; is it the first of which that is known?"""
        kind, seen = _kind(job), had.after(used)
        with self.lock:
            known = self.measured.get(kind)
            self.guessed.pop(kind, None)
            self.last = self.measured[kind] = self._within(seen if known is None else largest([known, seen]))
            return known is None and len(self.measured) == 1

    def give_more_memory(self, job: FoldJob, had: Need) -> None:
        with self.lock:
            self.guessed[_kind(job)] = self._within(replace(had, memory=2 * had.memory))

    def give_whole_gpu(self, job: FoldJob, had: Need) -> None:
        with self.lock:
            self.guessed[_kind(job)] = replace(had, gpus=1)

    def _able(self, need: Need) -> list[Machine]:
        """Machines that have it, but for memory."""
        return [one for one in self.machines() if places([one], replace(need, memory=0))]

    def _within(self, need: Need) -> Need:
        """With no more memory than a machine has, so that it is tried at least; machines that are alike have a little
        more or less.
        """
        found = [one.memory for one in self._able(need)]
        if not found:
            return need
        enough = [memory for memory in found if memory >= need.memory / MARGIN]
        return replace(need, memory=int(min(need.memory, min(enough) if enough else max(found))))


def _kind(job: FoldJob) -> str:
    """What folds have in common that take the same."""
    of = job.recipe
    parts = [asdict(part) for part in (of.model, of.images, of.sets)]
    return hash_json([str(job.data), *parts, of.batch_size, of.precision, of.schedule.freeze, job.teacher is None])
