"""From a blend to a file that is checked and registered; and a past one built again, byte for byte.

A submission is `<competition>/<blend>-<hash>.<csv|zip>` beside the ledger, the hash being that of all it was made
from: the blend, and the code, form and metric that make a file of it. A file that fails its check is never put there.
"""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.answers import Prediction
from toolkit.blending.adaptation import words as adapted_words
from toolkit.blending.blend_folder import Blend
from toolkit.commits import commit_of
from toolkit.competition import Competition
from toolkit.competition_code import tell_of_code
from toolkit.data.known_answers import KnownAnswers, stored_answers
from toolkit.data.rehearsal import written_by
from toolkit.disk import bytes_in
from toolkit.errors import UserError, others_code
from toolkit.outcome import MENDED, Done, Outcome, Table, Warned, are, counted, interval, mended
from toolkit.partial_files import scratch as scratch_folder
from toolkit.progress import SILENT, Progress
from toolkit.rules import Rules
from toolkit.runs import SCORES
from toolkit.scoring.adaptation import may_adapt
from toolkit.store import atomic, hash_json, sha256
from toolkit.submission.checks import blend_prediction, check_submission, out_of_fold_said, score_again
from toolkit.submission.holdout import holdout_score, holdout_words
from toolkit.submission.ledger import Ledger, Line, content_hash, identity, runs_of

PREDICTING, WRITING = "predicting what it has to say", "writing the submission"  # phases
READING_BACK, TRYING = "reading it back", "running it as the server would"
CHECKED = 256  # training images on which a code submission must agree with the blend
HALF = "-fp16"  # ends the name of a submission with halved parameters
KNOWN = "-known"  # ends the name of one that gives known answers


@dataclass(frozen=True, repr=False)
class Submission(Outcome):
    """A file that passed its check.

    scores: of the blend, by kind, and `holdout`; line: of the ledger; images: it was checked on so many, None where it
    was built and checked before; remarks: what the check found odd; beside: what the scores know nothing of, such as
    ", chosen among 60 trials"; known: how many test images have a known answer; adapted: runs whose networks adapt to
    the test images, with their shares, and what that is worth in scores.
    """

    competition: Competition
    path: Path
    scores: Mapping[str, Any]
    line: Mapping[str, Any]
    images: int | None = None
    remarks: Sequence[str | Warned] = ()
    beside: str = ""
    known: int = 0
    adapted: Mapping[str, float] = field(default_factory=dict)

    def told(self) -> Sequence[str | Warned | Table]:
        told: list[str | Warned | Table] = [f"{self.path}: already built and checked"]
        if self.images is not None:
            title = f"{self.competition.name}: the submission's check"
            told = [*self.remarks, Table(title, ["", "here", "allowed"], self._check(self.competition.rules))]
        metric, holdout = self.competition.metric.name, self.scores["holdout"]
        return [
            *told,
            f"{self.path} ({_size(self.path.stat().st_size)}) passed its check",
            f"CV score ({metric}): {interval(self.scores['clean'])}{self.beside}",
            *(f"{MENDED}: {text}" for text in mended(self.scores["clean"])),
            *(holdout_words(holdout, metric) if holdout else []),
            *([adapted_words(self.adapted, self.scores["adapted"], metric)] if self.adapted else []),
            *self._answers(),
        ]

    def _answers(self) -> list[str]:
        if self.line.get("known"):
            given = are(int(self.line["known"]), "test image")
            return [f"{given} given the answers of equal training images, not the blend's"]
        if self.known:
            return [f"{are(self.known, 'test image')} equal to training images: --known-answers gives their answers"]
        return []

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        if str(self.line["competition"]).endswith("-practice"):
            return [("compete grade", "scores it as the leaderboard would")]
        return handing_in(self.competition, self.path)

    def as_json(self) -> dict[str, Any]:
        return {"submission": str(self.path), **self.scores, "ledger": dict(self.line)}

    def _check(self, rules: Rules) -> list[list[str]]:
        line, checked = self.line, self.line["checked"]
        same = checked - round((1 - line["agreement"]) * checked)
        blend = "the blend and the known answers" if line.get("known") else "the blend"
        of = {"labels": "labels", "values": "values", "lists": "places of lists"}[self.competition.metric.needs]
        tied = f", {line['ties']} ties" if self.competition.metric.needs == "labels" else ""
        rows = [
            [f"agrees with {blend}", f"{same:,} of {checked:,} {of}{tied}", "all"],
            ["size", _size(line["bytes"]), _megabytes(rules.submission_bytes)],
        ]
        if "seconds" in line:
            allowed = f"{rules.submission_seconds or 'not published'}"
            rows += [
                [f"seconds for {counted(self.images or 0, 'image')}", f"{line['seconds']:.1f}", allowed],
                ["memory", f"{line['peak_bytes'] / 1e6:,.0f} MB", _megabytes(rules.submission_memory)],
                ["network", f"none ({line['network']})", "none"],
            ]
        return rows


def handing_in(competition: Competition, path: Path) -> list[tuple[str, str]]:
    """How a submission is handed in, and what its score is good for."""
    score = ("compete submit … --score 0.71", "records what the leaderboard says (0.71); three give a forecast")
    if competition.kaggle:
        return [("compete submit … --upload", f"hands {path.name} in on Kaggle"), score]
    return [(f"{competition.page or 'the page of the organisers'}", f"hand in {path}"), score]


def _size(number: int) -> str:
    """In kB where MB would be 0.0, which looks like an empty file."""
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"


def _megabytes(limit: int | None) -> str:
    return "not published" if limit is None else f"{limit / 1e6:,.0f} MB"


def build(
    blend: Blend,
    ledger: Ledger,
    raw: Path,
    *,
    half: bool = False,
    images: int | None = None,
    known: bool = False,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Submission:
    """Build, check, score on the held-out samples and register; the same submission is not built twice.

    raw: the organisers' files, where their sample submission may lie. half: store a code submission's parameters as
    float16, if that doesn't change the score. images: of the training set, to run code on (default: CHECKED); what was
    run on another number is built and run again.
    known: test images that are training images get these' answers in place of the blend's. Raises UserError where the
    organisers would refuse the file, it isn't the blend, or a rule is broken.
    """
    check_options(blend.labelled.competition, half=half, known=known)
    check = READING_BACK if blend.labelled.competition.try_submission is None else TRYING
    with ledger.building(), progress.phase("submission", costs={PREDICTING: 1.0, WRITING: 1.0, check: 1.0}):
        return _build(blend, ledger, raw, half, images, known, device, progress)


def _build(
    blend: Blend,
    ledger: Ledger,
    raw: Path,
    half: bool,
    images: int | None,
    known: bool,
    device: str,
    progress: Progress,
) -> Submission:
    answers = _answers(blend, known)
    given, number = answers if known else None, len(answers or ())
    competition, name, metrics = blend.labelled.competition, submission_name(blend, given), blend.metrics
    blend.check_runs()
    tell_of_code(competition, [blend.run(run).folder for run in blend.shares], progress)
    adapted = blend.adapted
    scores = {kind: metrics.get(kind) for kind in (*SCORES, *(["adapted"] if adapted else []))}
    beside = "".join(f", {one.chosen.words}" for one in blend.unseen)
    folder, suffix = ledger.folder / ledger.competition, competition.submission_suffix
    path = folder / f"{name}{HALF}{suffix}"
    half = half and (ledger.line_of(path) is not None or _may_halve(blend, device, progress))
    if not half:
        path = folder / f"{name}{suffix}"
    line: Mapping[str, Any] | None = ledger.line_of(path)
    warn_of(blend, progress)
    if line is not None and _is_tried(blend, line, images):
        scores["holdout"] = holdout_score(blend, device, progress)
        return Submission(competition, path, scores, line, beside=beside, known=number, adapted=adapted)
    for run, inputs in _manifest(blend)["runs"].items():
        competition.rules.check_data(run, inputs["data"], blend.labelled.data_hash)
    with progress.phase(PREDICTING):
        prediction = blend_prediction(blend, images or CHECKED, device, half, given, raw)
    # under its own name: what writes a file may add a suffix that it misses, or compress it by that
    with scratch_folder(folder) as scratch:
        written = scratch / path.name
        with progress.phase(WRITING):
            _write(competition, prediction, written)
        with progress.phase(TRYING if competition.try_submission is not None else READING_BACK):
            figures, remarks = check_submission(competition, prediction, written, raw, out_of_fold_said(blend))
        scores["holdout"] = holdout_score(blend, device, progress)
        with atomic(path) as partial:
            os.replace(written, partial)
    line = ledger.append(ledger_line(blend, scores, ledger, path) | figures | {"known": number if known else None})
    return Submission(competition, path, scores, line, len(prediction.images), remarks, beside, number, adapted)


def warn_of(blend: Blend, progress: Progress) -> None:
    """What asks for a look before a blend is handed in."""
    if not blend.is_current:
        unscored = ", so it isn't scored on what these hold out" if blend.labelled.held_out.any() else ""
        remedy = "`compete ensemble` blends those on the present ones"
        progress.warn(f"the blend's runs are on other folds than the present ones{unscored}; {remedy}")
    if blend.doubt:
        progress.warn(blend.doubt)


def _is_tried(blend: Blend, line: Mapping[str, Any], images: int | None) -> bool:
    """Was code run on as many training images as are asked for now?"""
    if images is None or blend.labelled.competition.try_submission is None:
        return True
    return bool(line["checked"] == str(min(images, len(blend.labelled.images))))


def _write(competition: Competition, prediction: Prediction, path: Path) -> None:
    """UserError, one sentence, for whatever goes wrong in the competition's own code, or if it leaves no file."""
    with others_code(f"{competition.name}'s write_submission fails", competition.folder):
        competition.write_submission(prediction, path)
    if not path.is_file():
        raise UserError(
            f"{competition.name}'s write_submission wrote no file {path.name}; it has to write to its path"
        )


def check_options(competition: Competition, *, half: bool, known: bool) -> None:
    """UserError for what no submission of the competition can have, before anything is trained for it."""
    code = competition.try_submission is not None
    if known and code:
        raise UserError(f"known_answers is for submissions of files; {competition.name} takes code")
    if known and not competition.rules.unlabelled_test_images:
        text = "the test images may not be looked at, so no answer of theirs is known; leave out known_answers"
        raise UserError(competition.rules.sentence("unlabelled_test_images", text))
    if half and not code:
        raise UserError(f"half is for code submissions; {competition.name} takes files")


def _answers(blend: Blend, asked: bool) -> KnownAnswers | None:
    """Those that a submission of the blend could give; UserError where it is asked for some and there are none."""
    labelled, competition = blend.labelled, blend.labelled.competition
    if labelled.test_places is not None:
        if asked:
            raise UserError(
                "known answers have the size of the task, these masks that of each picture; leave out --known-answers"
            )
        return None
    possible = competition.try_submission is None and labelled.may_look_at_test_images
    found = stored_answers(labelled) if possible else None
    if asked and not found:
        raise UserError("no test image is equal to a training image whose answer is sure; leave out known_answers")
    return found


def submission_name(blend: Blend, known: KnownAnswers | None) -> str:
    """Its ID, from all that the blend was made from, what it is written by, and known answers given in its place."""
    _manifest(blend)
    made_from = [blend.hash, written_by(blend.labelled.competition), *([] if known is None else [known.hash])]
    return f"{blend.name}-{hash_json(made_from)[:8]}{'' if known is None else KNOWN}"


def _manifest(blend: Blend) -> dict[str, Any]:
    if blend.manifest is None:
        raise UserError(f"there is no blend in {blend.folder} yet; run `compete ensemble` first")
    return blend.manifest


def _may_halve(blend: Blend, device: str, progress: Progress) -> bool:
    """May parameters be stored as float16? Only where not even the last digit of the out-of-fold score changes."""
    progress.say("predicting every training image out of fold twice, once with parameters rounded to float16")
    with progress.phase("scoring with halved parameters"):
        full, score = (score_again(blend, device, half) for half in (False, True))
    if score != full:
        progress.warn(f"float16 changes the out-of-fold score from {full:.6f} to {score:.6f}; parameters stay float32")
    return score == full


def ledger_line(blend: Blend, scores: Mapping[str, Any], ledger: Ledger, path: Path) -> dict[str, Any]:
    """The ledger's line, but for the figures of the check."""
    competition, made_from = blend.labelled.competition, _manifest(blend)
    commit, tree = _git(competition.folder)
    first, *_ = made_from["runs"].values()
    limits = [f"--{name.replace('_', '-')}={value}" for name, value in made_from.get("limits", {}).items()]
    limits += [f"--blender={blend.asked}"] if blend.asked else []
    adapt = made_from.get("adapt", "none" if may_adapt(blend.labelled) else "auto")
    limits += [f"--adapt={adapt}"] if adapt != "auto" else []
    views = made_from.get("views", [])  # all that were tried
    line: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "competition": ledger.competition,
        "submission": path.relative_to(ledger.folder).as_posix(),
        "sha256": content_hash(path),
        "bytes": bytes_in(path) if path.is_dir() else path.stat().st_size,
        "commit": commit,
        "tree": tree,
        "blend": " ".join([_shares(blend), *limits, "--views", *(views if len(views) > 1 else ["none"])]),
        "folds": first["folds"],
        "data": first["data"],
        "metric": competition.metric.name,
    }
    for kind in (*SCORES, "holdout"):
        score, prefix = scores[kind], "" if kind == "clean" else f"{kind}_"
        for column, name in ((kind, "score"), (f"{prefix}low", "low"), (f"{prefix}high", "high")):
            line[column] = round(score[name], 6) if score else None
    line["chosen"] = "; ".join(one.cell(blend.shares) for one in blend.unseen)
    return line


def _shares(blend: Blend) -> str:
    return " ".join(f"{run}={share:.6g}" for run, share in blend.shares.items())


def check_blend(blend: Blend, line: Line, now: str) -> None:
    """UserError where a line is surely of another blend than the present one, whose submission would be called `now`.

    Names say less: they change with what a blend is written by, and the bytes may be the same all the same.
    """
    if blend.manifest is None:
        raise UserError(f"there is no blend; {blended_first(line)}")
    if line["blend"].partition(" --")[0] not in ("", _shares(blend)):
        raise UserError(f"the blend is now {now}; {blended_first(line)}")


def changed_since(line: Line, now: str) -> str:
    """What to say further of a line whose submission is of other bytes, and called otherwise now."""
    return (
        f"; it would be {now} now, as the blend, or the code, form or metric that make a file of it, may be others: "
        f"bring these back, or {blended_first(line)}"
    )


def blended_first(line: Line) -> str:
    """What has to be done before a submission can be built again, where the present blend is another one."""
    name, runs = identity(line), " ".join(filter(None, runs_of(line)))
    if not runs:
        return f"to reproduce {name}, blend its runs first; the ledger doesn't say which these were"
    options = "".join(line["blend"].partition(" --")[1:])
    return f"to reproduce {name}, blend its runs first: `compete ensemble … --runs {runs}{options}`"


def _git(folder: Path) -> tuple[str, str]:
    """The commit of the repository around `folder` and whether files differ from it; empty where there is none."""
    found = commit_of(folder.absolute(), untracked=True)
    return ("", "") if found is None else (found[0], "changed" if found[1] else "clean")


def reproduce(blend: Blend, ledger: Ledger, name: str, device: str = "auto") -> Done:
    """Build the submission of that ID again; UserError where the blend is another one, or the bytes are.

    It may be called otherwise now, as those that versions before named after the blend alone are.
    """
    line, competition = ledger.find(name), blend.labelled.competition
    name = identity(line)
    known = stored_answers(blend.labelled) if name.endswith(KNOWN) else None
    now = submission_name(blend, known) if blend.manifest else ""
    check_blend(blend, line, now)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}{competition.submission_suffix}"
        _write(competition, blend_prediction(blend, 0, device, name.endswith(HALF), known), path)
        made = sha256(path)
    if made != line["sha256"]:
        commit, tree = _git(competition.folder)
        renamed = "" if now == name.removesuffix(HALF) else changed_since(line, now)
        raise UserError(
            f"{name} can't be reproduced: its SHA-256 was {line['sha256'][:16]}…, now it is {made[:16]}…; it was "
            f"built at commit {line['commit'][:12] or 'unknown'} ({line['tree'] or 'unknown'}), this is "
            f"{commit[:12] or 'unknown'} ({tree or 'unknown'}){renamed}"
        )
    facts = {"id": name, "sha256": made, "identical": True}
    return Done(facts, [f"{name}: built again, and identical (SHA-256 {made})"])
