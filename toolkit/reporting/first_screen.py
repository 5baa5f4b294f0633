"""The first screen of a report: what would be handed in is worth this, that is doubtful about it, try this next."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.outcome import FEW_GROUPS, MENDED, RESIZED, ROUGH_GROUPS, counted, number
from toolkit.pages.html import Advice, Block, Fact, Section, Words
from toolkit.reporting.advice import advise_next, epochs_of, recorded
from toolkit.reporting.commands import is_practice, train_command
from toolkit.reporting.forecast import NEEDED
from toolkit.reporting.inputs import Material
from toolkit.reporting.run_table import better_elsewhere, was_cut
from toolkit.store import read_json
from toolkit.submission.holdout import ordinal, other_looks
from toolkit.submission.ledger import Line, identity

ROUNDED = 1e-5  # of a score, as the ledger keeps it
MEANING = {
    "clean": "CV score (out of fold)",
    "matched": "test-like score: validation images made to look like the test images",
    "stress": "stress score: under corruptions",
}


def ends(score: Mapping[str, Any]) -> str:
    """Of its interval, in as few digits as say something."""
    return f"{short(score['low'])} to {short(score['high'])}"


def short(score: float) -> str:
    """With three digits, of large ones fewer."""
    return number(score, digits=3)


def cards(material: Material) -> list[Fact]:
    """The scores of what would be handed in, CV first; and what the leaderboard says or will say of it."""
    metrics = material.metrics
    found: list[Fact] = [
        (number(score["score"]), text, _small_print(material, name, score))
        for name, text in MEANING.items()
        if (score := metrics.get(name))
    ]
    if held := material.holdout:
        seen = "seen by no choice" if held["looks"] == 1 else f"the {ordinal(held['look'])} blend scored on it"
        found.append((number(held["score"]), "held-out score", f"95 %: {ends(held)} · {seen}"))
    board = leaderboard(material)
    return [*found, board] if board else found


def _small_print(material: Material, name: str, score: Mapping[str, Any]) -> str:
    parts = [f"95 %: {ends(score)}"]
    if name == "clean":
        parts.append(material.name)
        parts += [one.chosen.words for one in material.unseen]
        if mended := score.get("mended"):
            parts.append(f"{MENDED} {number(mended['score'])} ({ends(mended)})")
        if small := score.get("resized"):
            parts.append(f"{RESIZED} {number(small['score'])} ({ends(small)})")
    if "without" in score:
        parts.append(f"without the blend's {' and '.join(score['without'])}")
    return " · ".join(parts)


def leaderboard(material: Material) -> Fact | None:
    """What it said of the submission of the chosen blend, else what it will likely say, else how far that is away."""
    line, kind = submitted(material), "practice leaderboard" if is_practice(material.labelled) else "leaderboard"
    said = None if line is None else recorded(line)
    if line is not None and said is not None:
        private = f" · private {number(float(line['private']))}" if line["private"] else ""
        return number(said), kind, f"of {identity(line)}, built {day(line)}{private}"
    if expected := material.forecast.range:
        return number(expected.mean), f"{kind}, forecast", f"95 %: {short(expected.low)} to {short(expected.high)}"
    have = sum(recorded(one) is not None for one in material.lines)
    if not have:
        return None
    return "-", f"{kind}: no forecast yet", f"{have} of the {NEEDED} recorded scores that it needs"


def submitted(material: Material) -> Line | None:
    """The newest line of the chosen blend."""
    if material.blend is None:
        return None
    name = f"{material.blend.name}-"
    own = [line for line in material.lines if identity(line).startswith(name) and _same(line, material)]
    return own[-1] if own else None


def _same(line: Line, material: Material) -> bool:
    """Is its CV score that of the blend?"""
    score = material.metrics["clean"]["score"]
    return bool(line["clean"]) and abs(float(line["clean"]) - score) <= ROUNDED * max(1.0, abs(score))


def day(line: Line) -> str:
    return line["time"][:16].replace("T", " ")


def doubts(material: Material) -> list[str]:
    """What one should know before trusting the scores."""
    metrics = material.metrics
    words = [_cut_words(material), _choice_words(material), _groups_words(metrics["clean"])]
    words += [f"{one.sentence}." for one in material.unseen]
    words += other_looks(material.holdout) if material.holdout else []
    words += better_elsewhere(material.runs, metrics)
    if material.unscored:
        words.append(f"Not scored on the held-out samples: {material.unscored}.")
    return [f"{text[0].upper()}{text[1:]}" for text in words if text]


def _cut_words(material: Material) -> str:
    """Which runs of the score a budget cut short, and what finishes the first."""
    used = material.blend.shares if material.blend else {material.best.name: 1.0}
    cut = [run for run in material.runs if was_cut(run) and used.get(run.name)]
    if not cut:
        return ""
    run = cut[0]
    more = f", and {counted(len(cut) - 1, 'other run')} in this score" if len(cut) > 1 else ""
    return (
        f"The budget cut {run.name} short{more}: its folds have {epochs_of(run)} of {run.recipe.schedule.epochs}, so "
        f"the score is not that of its recipe. `{train_command(run)}` finishes it."
    )


def _choice_words(material: Material) -> str:
    one = material.choice
    if one is None:
        return ""
    return (
        f"Without a blend the best of {one.candidates} runs would be handed in, {material.best.name} with "
        f"{number(one.naive)}; the score is that of runs chosen on the other folds, so the selection bias is "
        f"{one.words}."
    )


def _groups_words(clean: Mapping[str, Any]) -> str:
    groups = clean.get("groups", FEW_GROUPS)
    if groups >= FEW_GROUPS:
        return ""
    rough = ", which is so few that the intervals are rough themselves" if groups < ROUGH_GROUPS else ""
    return f"The intervals rest on {counted(groups, 'group')} of one origin{rough}."


def first_blocks(material: Material) -> Sequence[Block | Section]:
    """Below the cards: doubts, then advice."""
    known = doubts(material)
    steps = [(step.text, step.command) for step in advise_next(material.labelled, material.ledger)]
    blocks: list[Block | Section] = [Words(known, strong=was_cut(material.best))] if known else []
    return [*blocks, Advice(steps)] if steps else blocks


def subtitle(material: Material) -> str:
    """What the page is of: whose data, how many runs, when the best was trained."""
    data = ["synthetic practice data"] if is_practice(material.labelled) else []
    trained = max(str(read_json(run.manifest_path, "inputs")["finished"]) for run in material.runs)
    return " · ".join([*data, counted(len(material.runs), "run"), f"last trained {trained[:16].replace('T', ' ')}"])
