"""verb: build the submission from the blend, read it back as the organisers would, register it.

    python -m toolkit.submit competitions/mars
    python -m toolkit.submit competitions/mars --show
    python -m toolkit.submit competitions/mars --upload
    python -m toolkit.submit competitions/mars --score 0.71 [--private 0.64] [--id ID]
    python -m toolkit.submit competitions/mars --reproduce ID

Leaves `submissions/<competition>/<blend>-<hash>.<csv|zip>` and a line in `submissions/ledger.csv`. A file
that fails its check is never put there.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import Workspace, atomic, chosen_blend, hash_json, read_json, read_manifest, sha256
from toolkit.submission import ledger

if TYPE_CHECKING:
    from toolkit.competition import Competition

CHECKED = 256  # training images on which a code submission must agree with the blend
HALF = "-fp16"
OF_PRIVATE = float("inf")  # --private with no number
SAMPLE = "sample_submission.csv"  # in the organisers' folder, as Kaggle names it


def submit_verb(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    if options.show:
        return show(workspace, options)
    if options.score is not None or options.private is not None:
        return record_score(workspace, options)
    if options.reproduce:
        return reproduce(competition, workspace, options)
    if options.upload:
        return upload(competition, workspace, options)
    return submit(competition, workspace, options)


def submit(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Build, check and register; a submission of the same blend is not built twice."""
    from toolkit.submission.checks import blend_prediction, check_submission, compares, oof_counts

    blend, manifest = _blend(workspace)
    metrics = read_json(blend / "metrics.json")
    folder, suffix = options.submissions / workspace.name, competition.submission_suffix
    path, half = folder / f"{_name(blend, manifest)}{suffix}", False
    book = options.submissions / "ledger.csv"
    known = _registered(book, path)
    if getattr(options, "half", False):
        halved = folder / f"{_name(blend, manifest)}{HALF}{suffix}"
        found = _registered(book, halved)
        if found is not None or _may_halve(competition, workspace, blend, options):
            path, half, known = halved, True, found
    if known is not None:
        console.say(f"{path}: already built and checked")
    else:
        _check_runs(competition, workspace, manifest)
        images = getattr(options, "images", None) or CHECKED
        prediction = blend_prediction(competition, workspace, blend, images, options.device, half)
        sample = _raw(competition, workspace, options) / SAMPLE
        expected = oof_counts(competition, blend / "oof.npy")
        with atomic(path) as partial:
            competition.write_submission(prediction, partial)
            figures, doubts = check_submission(competition, prediction, partial, sample, expected)
        if competition.submission_suffix == ".csv" and not compares(competition, sample):
            console.say(f"there is no {sample}, so the ids were not compared with the organisers'; --data says where")
        for doubt in doubts:
            console.warn(doubt)
        _show_check(competition, path, figures, len(prediction.images))
        known = _line(competition, workspace, blend, manifest, path, metrics) | figures
        known |= ledger.told(ledger.read(book), known)
        ledger.append(book, known)
    clean = metrics["clean"]
    console.say(f"{path} ({path.stat().st_size / 1e6:.1f} MB) passed its check")
    console.say(f"out-of-fold {competition.metric.name}: {console.interval(clean)}")
    scores = {name: metrics.get(name) for name in ("clean", "stress", "matched")}
    return {"submission": str(path), **scores, "ledger": known}


def _may_halve(competition: "Competition", workspace: Workspace, blend: Path, options: argparse.Namespace) -> bool:
    """May parameters be stored as float16? Only where not even the last digit of the out-of-fold score changes."""
    from toolkit.submission.checks import score_again

    if competition.try_submission is None:
        raise UserError(f"--half is for code submissions; {competition.name} takes files")
    console.say("predicting every training image out of fold twice, once with parameters rounded to float16")
    full, score = (score_again(competition, workspace, blend, options.device, half) for half in (False, True))
    if score != full:
        console.warn(f"float16 changes the out-of-fold score from {full:.6f} to {score:.6f}; parameters stay float32")
    return score == full


def _blend(workspace: Workspace) -> tuple[Path, dict[str, Any]]:
    folder = chosen_blend(workspace)
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"there is no blend in {folder} yet; run `python -m toolkit.ensemble` first")
    if (folder / "views.json").exists():  # other views make another submission of the same runs
        manifest["views"] = read_json(folder / "views.json")
    return folder, manifest


def _name(blend: Path, manifest: dict[str, Any]) -> str:
    return f"{blend.name}-{hash_json(manifest)[:8]}"


def _registered(book: Path, path: Path) -> ledger.Line | None:
    """The file's line, if it is there and whole; a kill may have come between the two."""
    relative = path.relative_to(book.parent).as_posix()
    lines = [line for line in ledger.read(book) if line["submission"] == relative]
    if not lines or not path.exists() or not sha256(path).startswith(lines[-1]["sha256"]):
        return None
    return lines[-1]


def _check_runs(competition: "Competition", workspace: Workspace, manifest: dict[str, Any]) -> None:
    from toolkit.data.dataset import data_hash

    for run, inputs in manifest["runs"].items():
        competition.rules.check_data(run, inputs["data"], data_hash(workspace.data))


def _raw(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> Path:
    if options.practice:
        return workspace.practice / "raw"
    folder: Path = options.data or competition.folder / "data"
    return folder


def _show_check(competition: "Competition", path: Path, figures: dict[str, Any], images: int) -> None:
    rules = competition.rules

    def limit(rule: str, text: str) -> str:
        return "not published" if getattr(rules, rule) is None else text

    same = figures["checked"] - round((1 - figures["agreement"]) * figures["checked"])
    rows = [
        ["agrees with the blend", f"{same:,} of {figures['checked']:,} labels, {figures['ties']} ties", "all"],
        [
            "size",
            f"{path.stat().st_size / 1e6:.1f} MB",
            limit("submission_bytes", f"{(rules.submission_bytes or 0) / 1e6:,.0f} MB"),
        ],
    ]
    if "seconds" in figures:
        rows += [
            [
                f"seconds for {images:,} images",
                f"{figures['seconds']:.1f}",
                limit("submission_seconds", f"{rules.submission_seconds}"),
            ],
            [
                "memory",
                f"{figures['peak_bytes'] / 1e6:,.0f} MB",
                limit("submission_memory", f"{(rules.submission_memory or 0) / 1e6:,.0f} MB"),
            ],
            ["network", f"none ({figures['network']})", "none"],
        ]
    console.table(f"{competition.name}: the submission's check", ["", "here", "allowed"], rows)


def _line(
    competition: "Competition",
    workspace: Workspace,
    blend: Path,
    manifest: dict[str, Any],
    path: Path,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """The ledger's line, but for the figures of the check."""
    clean, stress, matched = metrics["clean"], metrics["stress"] or {}, metrics.get("matched") or {}
    commit, tree = _git(competition.folder)
    runs = list(manifest["runs"].values())
    shares = read_json(blend / "blend.json")["runs"]
    limits = [f"--{name.replace('_', '-')}={value}" for name, value in manifest.get("limits", {}).items()]
    views = (read_manifest(blend) or {}).get("views", [])  # all that were tried
    limits += ["--views", *(views if len(views) > 1 else ["none"])]
    scores = {"clean": clean["score"], "low": clean["low"], "high": clean["high"]}
    scores |= {"stress": stress.get("score"), "stress_low": stress.get("low"), "stress_high": stress.get("high")}
    scores |= {"matched": matched.get("score"), "matched_low": matched.get("low"), "matched_high": matched.get("high")}
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "competition": workspace.name,
        "submission": f"{workspace.name}/{path.name}",
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "commit": commit,
        "tree": tree,
        "blend": " ".join([f"{run}={share:.6g}" for run, share in shares.items()] + limits),
        "folds": runs[0]["folds"],
        "data": runs[0]["data"],
        "metric": competition.metric.name,
    } | {name: None if value is None else round(value, 6) for name, value in scores.items()}


def _git(folder: Path) -> tuple[str, str]:
    """The commit of the repository around `folder` and whether files differ from it; empty where there is none."""
    answers = []
    for question in (("rev-parse", "HEAD"), ("status", "--porcelain")):
        try:
            done = subprocess.run(["git", "-C", str(folder), *question], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "", ""
        if done.returncode != 0:
            return "", ""
        answers.append(done.stdout.strip())
    return answers[0], "changed" if answers[1] else "clean"


def show(workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """The ledger's lines of this competition as a table."""
    book = options.submissions / "ledger.csv"
    lines = [line for line in ledger.read(book) if line["competition"] == workspace.name]
    # a column of dashes would only take the width
    more = [name for name in ("stress", "matched") if any(line[name] for line in lines)]
    rows = []
    for line in lines:
        cost = [f"{float(line['bytes']) / 1e6:,.1f} MB"] if line["bytes"] else []
        if line["seconds"]:
            cost += [f"{float(line['seconds']):.0f} s", f"{float(line['peak_bytes']) / 1e6:,.0f} MB held"]
        rows.append(
            [
                ledger.identity(line),
                "\n".join([*line["time"][:16].split("T"), line["commit"][:8] + "+" * (line["tree"] == "changed")]),
                _interval(line, "clean", "low", "high"),
                *(_interval(line, name, f"{name}_low", f"{name}_high") for name in more),
                f"{line['public'] or '-'}\n{line['private'] or '-'}",
                "\n".join(cost) or "-",
            ]
        )
    columns = ["ID", "built", "clean", *more, "public/private", "cost"]
    console.table(f"{book}: {workspace.name}, {len(rows)} submissions", columns, rows)
    return {"ledger": lines}


def _interval(line: ledger.Line, score: str, low: str, high: str) -> str:
    return f"{float(line[score]):.4f}\n{float(line[low]):.3f} to {float(line[high]):.3f}" if line[score] else "-"


def record_score(workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Write down what the leaderboard said."""
    book = options.submissions / "ledger.csv"
    name = ledger.identity(ledger.find(ledger.read(book), workspace.name, options.id, book))
    if options.private == OF_PRIVATE:
        scores = {"private": options.score}
    else:
        scores = {"public": options.score, "private": options.private}
    scores = {board: score for board, score in scores.items() if score is not None}
    if not scores:
        raise UserError("--private needs a score: --private 0.64")
    ledger.update(book, workspace.name, name, {board: f"{score:g}" for board, score in scores.items()})
    for board, score in scores.items():
        console.say(f"{name}: {board} score {score:g}")
    return {"id": name} | scores


def reproduce(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Build a past submission again and prove that it is the same, byte for byte."""
    from toolkit.submission.checks import blend_prediction

    book = options.submissions / "ledger.csv"
    line = ledger.find(ledger.read(book), workspace.name, options.reproduce, book)
    name = ledger.identity(line)
    blend, manifest = _blend(workspace)
    half = name.endswith(HALF)
    if _name(blend, manifest) != name.removesuffix(HALF):
        shares, *options_given = line["blend"].partition(" --")
        runs = " ".join([part.rpartition("=")[0] for part in shares.split()]) + "".join(options_given)
        raise UserError(
            f"the blend is now {_name(blend, manifest)}; to reproduce {name}, blend its runs first: "
            f"`python -m toolkit.ensemble … --runs {runs}`"
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}{competition.submission_suffix}"
        prediction = blend_prediction(competition, workspace, blend, 0, options.device, half)
        competition.write_submission(prediction, path)
        made = sha256(path)
    if not made.startswith(line["sha256"]):
        now = _git(competition.folder)
        raise UserError(
            f"{name} can't be reproduced: its SHA-256 was {line['sha256'][:16]}…, now it is {made[:16]}…; it was "
            f"built at commit {line['commit'][:12] or 'unknown'} ({line['tree'] or 'unknown'}), this is "
            f"{now[0][:12] or 'unknown'} ({now[1] or 'unknown'})"
        )
    console.say(f"{name}: built again, and identical (SHA-256 {made})")
    return {"id": name, "sha256": made, "identical": True}


def upload(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Hand a registered submission in, through Kaggle's client or, elsewhere, by telling where."""
    from datetime import UTC, datetime

    from toolkit.submission.kaggle import kaggle_client, upload_to_kaggle

    if options.practice:
        raise UserError("a submission of practice data is for nobody; leave out --practice to upload a real one")
    book = options.submissions / "ledger.csv"
    lines = ledger.read(book)
    line = ledger.find(lines, workspace.name, options.id, book)
    name, path = ledger.identity(line), options.submissions / line["submission"]
    if not path.exists() or not sha256(path).startswith(line["sha256"]):
        raise UserError(f"{path} is not the file that was checked any more; build it again")
    slug, result = options.kaggle or competition.kaggle, {"public": line["public"], "private": line["private"]}
    now = datetime.now(UTC)

    def taken() -> None:
        ledger.update(book, workspace.name, name, {"uploaded": now.isoformat(timespec="seconds")})

    if slug:
        message = f"{name}, commit {line['commit'][:12]}, out of fold {line['clean']}"
        client = kaggle_client()
        result = upload_to_kaggle(path, slug, message, competition.rules, client, console.say, taken, options.team)
        ledger.update(book, workspace.name, name, result)
        console.say(
            f"{name}: public score {result['public'] or 'not shown'}, private {result['private'] or 'not shown'}"
        )
    else:
        today = sum(
            line["competition"] == workspace.name and line["uploaded"][:10] == str(now.date()) for line in lines
        )
        competition.rules.check_upload(today, now, options.team)
        if not competition.page:
            raise UserError(
                f"where {competition.name} takes submissions is not known: give its Kaggle name with --kaggle NAME, "
                f"or set page in {competition.folder / '__init__.py'}; the file is {path.resolve()}"
            )
        console.say(f"open {competition.page}\nand hand in {path.resolve()}")
        taken()
    return {"id": name, "submission": str(path.resolve()), "page": competition.page} | result


def add_options(made: argparse.ArgumentParser) -> None:
    what = made.add_argument_group("with submissions that are registered").add_mutually_exclusive_group()
    what.add_argument("--show", action="store_true", help="the ledger as a table")
    what.add_argument("--score", type=float, metavar="S", help="write down what the leaderboard said")
    what.add_argument("--reproduce", metavar="ID", help="build it again and prove that it is identical")
    what.add_argument("--upload", action="store_true", help="hand it in: to Kaggle, or show where")
    made.add_argument("--half", action="store_true", help="store parameters as float16 if the score doesn't change")
    made.add_argument("--id", metavar="ID", help="of the submission to score or upload (default: the newest)")
    private = "the private leaderboard's score; with no number, --score is that"
    made.add_argument("--private", type=float, nargs="?", const=OF_PRIVATE, metavar="S", help=private)
    made.add_argument("--kaggle", metavar="NAME", help="the competition's name on Kaggle, as in its address")
    made.add_argument("--team", type=int, metavar="N", help="members of your team, checked against the rules")
    made.add_argument(
        "--images",
        type=_positive,
        metavar="N",
        help=f"training images to run a code submission on (default: {CHECKED})",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("there must be at least 1 image")
    return value


if __name__ == "__main__":
    made = console.parser("submit", "Build the submission, check it, register it.")
    add_options(made)
    console.main(made, submit_verb)
