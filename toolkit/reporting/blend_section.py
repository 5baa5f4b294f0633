"""The blend in the report: its gain over a single run, the ways that were tried, its runs on the held-out samples."""

from typing import Any

from toolkit.blending.adaptation import words as adapted_words
from toolkit.blending.blend_folder import Blend, gave_way
from toolkit.outcome import counted, interval, number
from toolkit.pages.html import Chart, Row, Section, Table, Words
from toolkit.pages.pictures import stored_png
from toolkit.reporting.commands import compete
from toolkit.reporting.first_screen import ends
from toolkit.reporting.inputs import Material

BLEND_PICTURES = ("weights", "correlation", "gain", "repairs")


def blend_section(material: Material) -> Section:
    """How the blend was made, and what it is worth beside its runs."""
    blend = material.blend
    if blend is None:
        return Section("Blend", [], f"No blend of the present runs yet: `{compete(material.labelled, 'ensemble')}`.")
    metrics = blend.metrics
    clean = metrics["clean"]
    included = "as it was asked for" if blend.asked else "including the choice of method"
    words = [
        f"{blend.name}: {material.metric} {interval(clean)}, cross-fitted, {included}; in sample "
        f"{number(metrics['naive'])}, {number(metrics['optimism'], '+')} of it selection bias."
    ]
    if len(blend.shares) > 1 and blend.name != "single":
        words.append(
            f"The best single run, chosen alike: {number(metrics['single'])}; the gain of "
            f"{number(metrics['gain'], '+')} is above 0 with probability {metrics['gain_is_real']:.2f}."
        )
    if metrics.get("adapted"):
        words.append(f"{adapted_words(blend.adapted, metrics['adapted'], material.metric)}.")
    if metrics.get("gave_way"):
        words.append(f"{gave_way(metrics['gave_way'])}.")
    drawn = {
        name: Chart("", stored_png(path, f"remove {blend.folder} and run `compete ensemble …` again"), alt=name)
        for name in BLEND_PICTURES
        if sum(share > 0 for share in blend.shares.values()) > 1  # of one run there is nothing to see
        and (path := blend.folder / f"{name}.png").exists()
    }
    wide = [drawn.pop("repairs")] if "repairs" in drawn else []
    ways = [_ways(blend, metrics)] if len(metrics["blenders"]) > 1 else []
    held = [_held_out(material, blend)] if material.holdout else []
    return Section("Blend", [Words(words), Row(list(drawn.values())), *wide, *ways, *held])


def _held_out(material: Material, blend: Blend) -> Table:
    """Runs and blend on the held-out samples, beside what they were out of fold."""
    held, shares = material.holdout or {}, blend.shares
    runs = ((name, shares[name], blend.run(name).score, score) for name, score in held["runs"].items())
    rows = [
        [name, f"{share:.3f}", number(clean), f"{number(score['score'])}\n{ends(score)}"]
        for name, share, clean, score in [*runs, (blend.name, 1, blend.score, held)]
    ]
    note = (
        f"{counted(held['samples'], 'sample')} in {counted(held['groups'], 'group')}, each judged by all networks; "
        "out of fold by one."
    )
    return Table("Held-out score, as handed in", ("run", "share", "CV", "held out"), rows, note)


def _ways(blend: Blend, metrics: dict[str, Any]) -> Table:
    sign, beside = blend.labelled.competition.metric.sign, metrics.get("chosen_by")

    def score(one: dict[str, Any]) -> float:
        """By which it is chosen."""
        return float(one["score"] if one.get("worn") is None else (one["score"] + one["worn"]) / 2)

    ways = sorted(metrics["blenders"], key=lambda one: -sign * score(one))
    chosen = next((at for at, one in enumerate(ways) if one["name"] == blend.name), None)
    rows = []
    best = next((one["name"] for one in ways if one["eligible"]), None)
    for one in ways:
        standing = "not distinguishable from the best" if one["within"] else ""
        standing = "the best" if one["name"] == best else standing
        if not one["eligible"]:
            standing = "not possible in a code submission"
        elif one["name"] == blend.name:
            standing = "asked for" if blend.asked else "chosen"
        worn = ["-" if one["worn"] is None else number(one["worn"])] if beside else []
        rows.append([one["name"], number(one["score"]), *worn, number(one["naive"]), standing])
    columns = ("method", "cross-fitted", *([beside] if beside else []), "in sample", "")
    note = f"Chosen by the mean of the scores on the samples and on {beside} images." if beside else ""
    title = "Blending methods, the best first"
    return Table(title, columns, rows, note, chosen, (0, len(columns) - 1))
