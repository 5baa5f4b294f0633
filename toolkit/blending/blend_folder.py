"""A blend as it lies in its folder: whose shares it took, how good it is, what is said of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.blending.adaptation import words as adapted_words
from toolkit.blending.crossfit import UNREAL
from toolkit.blending.described import decisions_of, fold_decisions, out_of_fold_mix, runs_used
from toolkit.blending.view_choice import ViewChoice, read_choice
from toolkit.checked import arrays, checked
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import Decisions
from toolkit.errors import UserError
from toolkit.events import NAMES
from toolkit.networks.tta import IDENTITY
from toolkit.outcome import MENDED, Table, Warned, counted, mended, number
from toolkit.predictions import Predictions
from toolkit.runs import SCORES, Run, run_at
from toolkit.scoring.matched_to_test import blend_matched, read_match
from toolkit.scoring.stress import blend_stress
from toolkit.store import hash_json, read_json, whole_manifest, write_json
from toolkit.unseen_choices import UnseenChoice, unseen_choices

FURTHER = {kind: f"{NAMES[kind]} score" for kind in ("stress", "matched")}


class Blend(Predictions):
    """Weights over runs, and how the mixture becomes labels; named after the way it was made.

    Its `manifest` has `runs` with their manifests, `views` that were tried, the metric, `limits`, `chosen_by` (further
    images that had a say in the choice), and `blender` and `adapt` where these were asked for. Out of fold, each fold
    is predicted by the blend that was fitted without it; `metrics` has, beside the scores, what the choice is worth:
    `naive` (in sample), `optimism`, `single` (the best run), `gain` over it, `gain_is_real`, `blenders`, and the one
    that `gave_way` to the best run; and what adapting to the test images is worth, `adapted`, where it was measured.
    """

    @property
    def hash(self) -> str:
        """12 hex digits of what its predictions follow from: what it was made from, and the views chosen."""
        path = self.views_path
        chosen = {"views": read_json(checked(path, self.remedy(path)))} if self._has(path) else {}
        chosen |= {"adapted": self.adapted} if self.adapted else {}
        made_from = {key: value for key, value in (self.manifest or {}).items() if key != "adapt"}
        return hash_json(made_from | chosen)

    @property
    def description_path(self) -> Path:
        return self.folder / "blend.json"

    @property
    def described(self) -> dict[str, Any]:
        """`method`, `runs` (their shares), `biases`, `temperatures` or `slopes` of the `seed_groups`,
        `smallest_region`, `decisions`, `linear`, and each fold's own in `folds`.
        """
        path = self.description_path
        found: dict[str, Any] = read_json(checked(path, self.remedy(path)), "runs", "folds", remedy=self.remedy(path))
        return found

    @property
    def decisions(self) -> Decisions:
        """Thresholds, cuts, smallest regions, … of what is handed in."""
        return decisions_of(self.described)

    @property
    def fold_decisions(self) -> list[Decisions]:
        """The same of each fold, fitted without it."""
        return fold_decisions(self.described)

    @property
    def holdout_path(self) -> Path:
        """Probabilities (H, C, ...) of the held-out samples, in their order, as the submission predicts."""
        return self.folder / "holdout.npy"

    @property
    def shares(self) -> dict[str, float]:
        """Of each run by name, those without any too."""
        shares: dict[str, float] = self.described["runs"]
        return shares

    @property
    def used(self) -> set[str]:
        """Names of the runs that have a share in it, or in a fold's own."""
        return {name for name, share in self.shares.items() if share} | set(runs_used(self.described))

    @property
    def quantiles_path(self) -> Path:
        return self.folder / "quantiles.npz"

    @property
    def quantiles(self) -> dict[str, np.ndarray]:
        """Of each fold whose blend is made of ranks, float64 (seed groups, S, Q)."""
        path = self.quantiles_path
        return arrays(path, self.remedy(path)) if self._has(path) else {}

    @property
    def views_path(self) -> Path:
        return self.folder / "views.json"

    @property
    def views(self) -> ViewChoice | None:
        """Which test-time views are averaged; None: the image as it is."""
        path = self.views_path
        return read_choice(checked(path, self.remedy(path))) if self._has(path) else None

    @property
    def adapted_path(self) -> Path:
        return self.folder / "adapted.json"

    @property
    def adapted(self) -> dict[str, float]:
        """Shares of the test images' statistics, by the runs whose networks adapt to them; empty where none does."""
        path = self.adapted_path
        found: dict[str, float] = (
            read_json(checked(path, self.remedy(path)), "runs")["runs"] if self._has(path) else {}
        )
        return found

    def _has(self, path: Path) -> bool:
        """Was it made with this file? Then it may be gone, which is told where it is read."""
        return path.exists() or path.name in ((whole_manifest(self.folder) or {}).get("files") or {})

    @property
    def asked(self) -> str | None:
        """The blender that was asked for; None where it was chosen by its score."""
        return (self.manifest or {}).get("blender")

    @property
    def doubt(self) -> str | None:
        """A sentence where the best single run is surely better, and it isn't that which is handed in."""
        metrics = self.metrics
        real = metrics.get("gain_is_real", 1.0)
        if real >= UNREAL or self.name == "single":
            return None
        worse = number(-metrics["gain"])
        text = f"the blend is {worse} worse than the best single run: a gain is above 0 with probability"
        remedy = f"; it was asked for, leave out `--blender {self.asked}` to blend otherwise" if self.asked else ""
        return f"{text} {real:.2f}{remedy}"

    def run(self, name: str) -> Run:
        return run_at(self.labelled.workspace.train / name, self.labelled)

    @property
    def runs(self) -> list[Run]:
        """Those that it was made from and that are still there, with a share or without."""
        return [run for run in map(self.run, (self.manifest or {"runs": {}})["runs"]) if run.finished]

    @property
    def is_current(self) -> bool:
        """Are its runs on the present data and folds?"""
        made_from: Mapping[str, Any] = (self.manifest or {"runs": {}})["runs"]
        present = self.labelled.data_hash, self.labelled.folds_hash
        return all((one["data"], one["folds"]) == present for one in made_from.values())

    def check_runs(self) -> None:
        """UserError where one of its runs was trained anew since, to other bits than were blended."""
        made_from: Mapping[str, Any] = (self.manifest or {"runs": {}})["runs"]
        for run in (self.run(name) for name, share in self.shares.items() if share):
            if run.finished and run.manifest != made_from[run.name]:
                raise UserError(
                    f"{run.folder} was trained anew after it was blended in {self.folder}, to other predictions; run "
                    "`compete ensemble` again"
                )

    @property
    def is_older(self) -> bool:
        """Does it lack what newer versions keep of a blend? It is blended again then."""
        return "seed_groups" not in self.described

    @property
    def unseen(self) -> list[UnseenChoice]:
        """Choices among a search's trials that made its pool, of which its scores know nothing."""
        shares = self.shares
        return [one for one in unseen_choices(self.runs) if any(shares.get(run.name) for run in one.runs)]

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        return [
            ("compete submit", "builds and checks its submission"),
            ("compete report", "shows scores and mistakes on one page, and what to try next"),
        ]

    def told(self) -> Sequence[str | Warned | Table]:
        described, metrics = self.described, self.metrics
        name, metric = self.labelled.competition.name, metrics["metric"]
        told: list[str | Warned | Table] = [self._shares_told(described["runs"], metrics), *self._lacking(metrics)]
        if len(metrics["blenders"]) > 1:
            beside = [metrics["chosen_by"]] if metrics.get("chosen_by") else []
            columns = ["method", "cross-fitted", *beside, "in sample", "selection bias", ""]
            rows = [self._row(one, beside) for one in metrics["blenders"]]
            told.append(Table(f"{name}: blending methods, simplest first", columns, rows))
            if beside and not self.asked:
                told.append(f"methods are chosen by the mean of their scores on the samples and on {beside[0]} images")
        methods = [part["method"] for part in described["folds"]]
        if set(methods) != {self.name}:
            told.append(
                f"leaving out one fold at a time picks {', '.join(methods)}: the choice of the method is unstable"
            )
        if metrics.get("gave_way"):
            told.append(gave_way(metrics["gave_way"]))
        small = metrics["clean"].get("resized")
        chosen_at = f"at the task's size, at which runs are blended, {number(small['score'])}; " if small else ""
        included = "as was asked for" if self.asked else "including the choice of the method"
        told.append(
            f"{self.name}: CV score ({metric}) {number(metrics['clean']['score'])} cross-fitted, {included}; "
            f"{chosen_at}in sample {number(metrics['naive'])}: a selection bias of {number(metrics['optimism'], '+')}"
        )
        told += [f"{MENDED}: {text}" for text in mended(metrics["clean"])]
        if metrics.get("adapted"):
            told.append(adapted_words(self.adapted, metrics["adapted"], metric))
        if len(self.runs) > 1 and self.name != "single":
            told.append(
                f"gain over the best single run, chosen in the same way ({number(metrics['single'])}): "
                f"{number(metrics['gain'], '+')}, above 0 with probability {metrics['gain_is_real']:.2f}"
            )
        return [*told, *map(Warned, [*(one.sentence for one in self.unseen), *([self.doubt] if self.doubt else [])])]

    def _shares_told(self, shares: dict[str, float], metrics: dict[str, Any]) -> Table:
        of_runs = {run.name: run.metrics for run in self.runs}
        further = [kind for kind in ("stress", "matched") if any(one.get(kind) for one in of_runs.values())]
        chosen = {run.name: counted(run.chosen.trials, "trial") for run in self.runs if run.chosen}
        rows = [
            [
                name,
                f"{1 if one is metrics else shares.get(name, 0):.3f}",
                number(one["clean"]["score"]),
                f"{number(one['clean']['low'])} to {number(one['clean']['high'])}",
                *(number(one[kind]["score"]) if one.get(kind) else "-" for kind in further),
                *([chosen.get(name, "-")] if chosen else []),
            ]
            for name, one in [*of_runs.items(), (self.name, metrics)]
        ]
        columns = ["run", "share", "CV", "95 % interval", *(NAMES[kind] for kind in further)]
        columns += ["chosen among"] if chosen else []
        return Table(f"{self.labelled.competition.name}: blend, {metrics['metric']}", columns, rows, total=True)

    def _lacking(self, metrics: dict[str, Any]) -> list[str]:
        """What the stress and test-like score leave out of the blend, or why they are missing."""
        told, missing = [], {}
        used = [self.run(name) for name in runs_used(self.described)]
        for kind, name in FURTHER.items():
            if metrics.get(kind):
                if left_out := metrics[kind].get("without"):
                    told.append(f"the blend's {name} is that without its {' and '.join(left_out)}, as runs keep it")
            elif any(run.metrics.get(kind) for run in self.runs):
                lacking = [str(run.recipe_path) for run in used if not run.metrics.get(kind)]
                missing[name] = " and ".join(f"`train --recipe {path}`" for path in lacking)
        for recipes in dict.fromkeys(filter(None, missing.values())):
            names = " and no ".join(name for name, each in missing.items() if each == recipes)
            told.append(
                f"the blend has no {names}, as not all runs of its cross-fitting have one: {recipes}, then `ensemble`"
            )
        return told

    def _row(self, one: dict[str, Any], beside: Sequence[str]) -> list[str]:
        taken = "asked for" if self.asked else "chosen"
        note = taken if one["name"] == self.name else "within noise of the best" if one["within"] else ""
        note = note if one["eligible"] else "not possible in a code submission"
        optimism = self.labelled.competition.metric.sign * (one["naive"] - one["score"])
        worn = ["-" if one["worn"] is None else number(one["worn"]) for _ in beside]
        return [one["name"], number(one["score"]), *worn, number(one["naive"]), number(optimism, "+"), note]

    def as_json(self) -> dict[str, Any]:
        metrics, used = self.metrics, [name for name, share in self.shares.items() if share > 0]
        result = {"blend": str(self.folder), "method": self.name, "runs": used}
        scores = {kind: metrics.get(kind) for kind in SCORES}
        names = ("naive", "optimism", "single", "gain", "gain_is_real")
        further = {"gave_way": metrics.get("gave_way"), "unseen_choices": [one.sentence for one in self.unseen]}
        return result | scores | {name: metrics[name] for name in names} | further


def gave_way(blender: str) -> str:
    """That a blend gave way to the best run, in words."""
    return (
        f"{blender} was chosen and gave way to the best run: that it gains over it is real with a probability under "
        f"{UNREAL:.2f} (`--blender {blender}` takes it all the same)"
    )


def chosen_blend(labelled: Labelled) -> Blend | None:
    """The blend that was chosen last, or of the plain mean where none was; None where it isn't finished."""
    blend = Blend(labelled.workspace.chosen_blend, labelled)
    return blend if blend.finished else None


def choose(blend: Blend) -> None:
    write_json(blend.labelled.workspace.chosen, {"blend": blend.name})


def further_scores(
    labelled: Labelled,
    described: Mapping[str, Any],
    quantiles: Mapping[str, np.ndarray] | None = None,
    choice: ViewChoice | None = None,
) -> dict[str, Any]:
    """The stress and test-like score of what `blend.json` describes, from what its runs keep; None where one of
    them has kept nothing.

    `without` names what of the blend they leave out: runs keep what they predict of such images as they are, not
    through the chosen views.
    """
    runs = [run_at(labelled.workspace.train / name, labelled) for name in runs_used(described)]
    mix = out_of_fold_mix(described, quantiles or {}, labelled.competition)
    match = read_match(labelled.workspace.match)
    decisions = fold_decisions(described)
    matched = match and blend_matched(match, runs, mix, decisions)
    found = {"stress": blend_stress(runs, mix, decisions), "matched": matched}
    through = choice is not None and any(set(views) != {IDENTITY} for views in choice.by_fold)
    lacks = {"without": ["views"]} if through else {}
    return {kind: one and one | lacks for kind, one in found.items()}


def score_anew(blend: Blend) -> None:
    """Runs may have got scores since they were blended."""
    metrics = blend.metrics
    found = metrics | further_scores(blend.labelled, blend.described, blend.quantiles, blend.views)
    if found != metrics:
        write_json(blend.metrics_path, found)
