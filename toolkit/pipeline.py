"""What came of all steps in order, from raw files to a checked submission, and what is done before they are timed."""

from dataclasses import dataclass
from typing import Any

from toolkit.data.labelled import Labelled
from toolkit.outcome import MENDED, Outcome, Table, duration, interval, mended
from toolkit.progress import Progress
from toolkit.reporting.page import Report
from toolkit.scoring.matched_to_test import open_match
from toolkit.submission.build import Submission
from toolkit.submission.clean_environment import clean_python
from toolkit.submission.grading import Grade

SCORES = {
    "clean": "local score",
    "stress": "under corruptions",
    "matched": "as the test images are",
    "holdout": "held out, as handed in",
}


@dataclass(frozen=True, repr=False)
class Result(Outcome):
    """What came of it. grade: of practice data; seconds: taken, of `budget`."""

    title: str
    submission: Submission
    grade: Grade | None
    report: Report
    seconds: float
    budget: float

    def told(self) -> list[Table]:
        scores = self.submission.scores
        rows = [["submission", str(self.submission.path)]]
        known = {kind: text for kind, text in SCORES.items() if scores[kind]}
        unseen = self.submission.beside
        rows += [[text, interval(scores[kind]) + unseen * (kind != "holdout")] for kind, text in known.items()]
        rows[2:2] = [[MENDED, text] for text in mended(scores["clean"])]
        if self.grade is not None:
            rows.append(["practice leaderboard", f"{self.grade.score:.4f}"])
        rows.append(["report", str(self.report.path)])
        rows.append(["time", f"{duration(self.seconds)} of {duration(self.budget)}"])
        return [Table(self.title, ["", ""], rows)]

    def as_json(self) -> dict[str, Any]:
        scores = {kind: self.submission.scores[kind] for kind in SCORES}
        result: dict[str, Any] = {"submission": str(self.submission.path), **scores}
        if self.grade is not None:
            result["leaderboard"] = self.grade.score
        return result | {"seconds": self.seconds}


def prepare(labelled: Labelled, stress: str, progress: Progress) -> None:
    """What takes its time once, and so comes before the time that is left is planned."""
    packages = labelled.competition.rules.submission_packages
    if packages:
        clean_python(packages)
    if stress != "none" and labelled.may_look_at_test_images:
        progress.say(open_match(labelled).words(labelled.competition.rgb))
