"""Boosted trees on the table beside the images and on what runs predict of these: a run without a network.

Out of fold throughout: fold k is predicted by trees that were fitted on the other folds' rows, each with what its own
fold's network, which hadn't seen it, said of it (stacking: Wolpert 1992). Trees are fitted in seconds and to the same
bits, so none are stored: what else is asked of them (samples that were held out) is asked of new ones.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from toolkit.answers import values_of
from toolkit.claims import alone
from toolkit.data.dataset import relabel
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.events import scores_of
from toolkit.probabilities import as_stored, no_values, probabilities, read, value_type, write_probabilities
from toolkit.progress import SILENT, Progress
from toolkit.runs import Boosted, Run, best_run, current_runs
from toolkit.scoring.comparison import compare_with_best
from toolkit.scoring.matched_to_test import kept_of_match, read_match, store_matched
from toolkit.scoring.out_of_fold import write_oof
from toolkit.scoring.stress import keep_evidence, read_evidence
from toolkit.scoring.stress_sampling import Evidence, all_triples, score_triples
from toolkit.store import atomic, hash_json, write_json, write_manifest
from toolkit.task import Numbers
from toolkit.training.alone import claim_of, waiting_for
from toolkit.training.run_scores import tell_score
from toolkit.training.saving import store_test

CHANNELS = 50  # of a run's values that trees look at; of more the commonest
MOST = 100  # channels that trees can predict: a round grows a tree for each
CATEGORIES = 255  # more than trees can tell apart: their places are numbers then
ROUNDS = 300  # at most; how many is chosen on another fold
FEW = 100  # of two folds, where there is no other to choose on
SHARE = 10  # the smallest leaf has at most one in so many rows: of few samples no tree would grow else
TREES = {"learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 20, "l2_regularization": 1.0}
Predictor = Callable[[np.ndarray], np.ndarray]  # from inputs (n, D) to values float32 (n, channels)


def boost(
    labelled: Labelled,
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Boosted:
    """Fit trees on the table and the values of runs, store what they predict, and score it as any run.

    names: of the runs (None: the best one). The stress and test-like scores are made from what these runs kept;
    None where one of them kept nothing. UserError where there is no table, a run isn't there, or classes are too many.
    """
    sources = _sources(labelled, names)
    fields = {
        "name": "boosted",
        "features": [run.name for run in sources],
        "boosting": {**TREES, "rounds": ROUNDS},
        "seed": seed,
    }
    name = hash_json([fields, _made_from(sources), labelled.data_hash, labelled.folds_hash])[:8]
    run = Boosted(labelled.workspace.train / f"boosted-{name}", labelled)
    with alone(claim_of(run), waiting_for(run, progress)):
        boosted = _boost(run, fields, sources, device, progress)
    progress.tell(scores_of(boosted.name, boosted.metrics))
    return boosted


def _boost(run: Boosted, fields: dict[str, Any], sources: Sequence[Run], device: str, progress: Progress) -> Boosted:
    labelled = run.labelled
    if run.finished:
        progress.say(f"{run.name}: already fitted")
        return run
    for source in sources:
        if labelled.has_test_images and source.test is None:
            progress.say(f"{source.name}: predicting {len(labelled.test_images):,} test images")
            store_test(source, device, progress)
    with atomic(run.folder) as folder:
        folder.mkdir()
        files = Boosted(folder, labelled)
        write_json(files.recipe_path, fields)
        with progress.phase("fitting trees"):
            _store(files)
        inputs = {"recipe": hash_json(fields), "data": labelled.data_hash, "folds": labelled.folds_hash}
        complete = all(source.complete for source in sources)
        more = {"seed": fields["seed"], "complete": complete, "features": _made_from(sources)}
        write_manifest(folder, inputs | more, labelled.competition.folder)
    tell_score(run, "", progress)
    wanted = ["stress", *["matched"] * labelled.shows_how_tests_look]
    if lacking := [kind for kind in wanted if run.metrics[kind] is None]:
        text = "what they would be made from isn't kept by all of"
        progress.say(
            f"{run.name}: no {' and no '.join(lacking)} score; {text} {', '.join(run.recipe_fields['features'])}"
        )
    if words := compare_with_best(run):
        progress.say(words)
    return run


def _made_from(sources: Sequence[Run]) -> dict[str, Any]:
    return {run.name: run.manifest for run in sources}


def _sources(labelled: Labelled, names: Sequence[str] | None) -> list[Run]:
    where = labelled.workspace.train
    if labelled.table is None:
        raise UserError(
            f"{labelled.competition.name} has no table beside its images; trees on what runs predict alone are no "
            "more than a blend: `compete ensemble` makes one"
        )
    task = labelled.competition.task
    if task.channels > MOST:
        raise UserError(
            f"{task.channels:,} outputs are too many for boosted trees, which can predict {MOST}: networks take the "
            "table too, and a recipe with more table.width makes more of it"
        )
    known = {run.name: run for run in current_runs(labelled) if not isinstance(run, Boosted)}
    for name in names or ():
        if name not in known:
            has = ", ".join(known) or "none"
            raise UserError(f"{where} has no trained run {name!r} on the present data and folds; it has {has}")
    best = best_run(list(known.values()))
    if best is None:
        raise UserError(f"{where} has no trained run on the present data and folds; train one first")
    return [known[name] for name in dict.fromkeys(names)] if names else [best]


def _store(run: Boosted) -> None:
    """All that a run leaves, but for its manifest."""
    labelled, task = run.labelled, run.labelled.competition.task
    assert labelled.table is not None
    trees = list(_fitted(run))
    merged = no_values(labelled.probability_shape(len(labelled.truth)), value_type(task))
    for k, predict in enumerate(trees):
        rows = labelled.rows(k)
        merged[rows] = predict(_inputs(run, labelled.table[rows], [source.oof[rows] for source in run.sources]))
    metrics: dict[str, Any] = {**labelled.competition.scored_by}
    metrics["clean"] = write_oof(run.oof_path, merged, labelled)
    write_json(run.metrics_path, metrics)
    if labelled.has_test_images:
        assert labelled.test_table is not None
        tests = _inputs(run, labelled.test_table, [read(source.test) for source in run.sources])  # type: ignore[arg-type]
        mean = np.mean([predict(tests) for predict in trees], axis=0)
        write_probabilities(run.test_path, [mean], mean.shape, run.oof.dtype)
    metrics |= {"stress": _stress(run, trees), "matched": _matched(run, trees)}
    write_json(run.metrics_path, metrics)


def _fitted(run: Boosted) -> Iterator[Predictor]:
    """The trees of each fold."""
    labelled = run.labelled
    assert labelled.table is not None
    inside = np.flatnonzero(labelled.inside)
    inputs = np.full((len(labelled.fold), labelled.table.shape[1] + _width(run)), np.nan, np.float32)
    inputs[inside] = _inputs(run, labelled.table[inside], [source.oof[inside] for source in run.sources])
    trees = partial(_predictor, run, inputs)
    for k in range(labelled.folds):
        rows = labelled.training_rows(k)
        rows = rows[labelled.inside[rows]]  # of what is in no fold nothing was predicted
        targets = relabel(labelled.truth, labelled.training_relabels(k))
        yield trees(targets, rows, (k + 1) % labelled.folds if labelled.folds > 2 else None)


def _inputs(run: Boosted, table: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
    """float32 (n, D) of a table's rows and stored values (n, channels) of each source."""
    channels = _channels(run)
    return np.concatenate([table, *(probabilities(each)[:, channels] for each in values)], axis=1, dtype=np.float32)


def _channels(run: Boosted) -> np.ndarray:
    """Those that trees look at, int64: all, or the CHANNELS commonest."""
    labelled = run.labelled
    channels = labelled.competition.task.channels
    if channels <= CHANNELS:
        return np.arange(channels)
    often = np.nanmean(values_of(labelled.competition.task, labelled.truth[labelled.inside]), axis=0)
    return np.sort(np.argsort(-np.nan_to_num(often), kind="stable")[:CHANNELS])


def _width(run: Boosted) -> int:
    return len(_channels(run)) * len(run.sources)


def _predictor(
    run: Boosted, inputs: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen_on: int | None
) -> Predictor:
    """Trees fitted on rows of inputs (N, D) and targets (N, ...); chosen_on: the fold that says how many rounds."""
    labelled = run.labelled
    competition, task = labelled.competition, labelled.competition.task
    few = [c.categories is not None and len(c.categories) <= CATEGORIES for c in labelled.columns]
    categorical = np.array([*few, *[False] * _width(run)])
    leaf = min(TREES["min_samples_leaf"], max(2, len(rows) // SHARE))
    seed = run.recipe_fields["seed"]
    settings = {**TREES, "min_samples_leaf": int(leaf), "categorical_features": categorical, "random_state": seed}
    truth, held = values_of(task, targets[rows]), labelled.fold[rows] == chosen_on
    parts = []
    for output, span in zip(task.outputs, task.spans, strict=True):
        scored = [at - span.start for at in competition.scored if span.start <= at < span.stop]
        if output.kind == "classes":
            parts.append(
                (span, _classes(inputs[rows], truth[:, span], scored or range(output.channels), held, settings))
            )
        else:
            for at in range(span.start, span.stop):
                of = _number if output.kind == "numbers" else _yes
                parts.append((slice(at, at + 1), of(inputs[rows], truth[:, at], held, settings)))

    def predict(asked: np.ndarray) -> np.ndarray:
        values = np.zeros((len(asked), task.channels), np.float32)
        for span, part in parts:
            values[:, span] = part(asked)
        for output, span in zip(task.outputs, task.spans, strict=True):
            if output.kind == "grades":  # at least the second is at least the first
                values[:, span] = np.minimum.accumulate(values[:, span], axis=1)
        if isinstance(task, Numbers) and (task.low is not None or task.high is not None):
            values = np.clip(values, task.low, task.high)
        return values

    return predict


def _classes(
    inputs: np.ndarray, truth: np.ndarray, scored: Sequence[int], held: np.ndarray, settings: dict[str, Any]
) -> Predictor:
    """Of one of several classes: truth (n, C), 1 at its class; the scored ones alone are learnt and predicted."""
    places, channels = np.array(scored), truth.shape[1]
    known = truth[:, places].sum(1) == 1  # not of what is missing, which is no number, or isn't scored
    labels = places[truth[known][:, places].argmax(1)]
    said = _trees(inputs[known], labels, held[known], settings)
    assert not isinstance(said, float)

    def predict(asked: np.ndarray) -> np.ndarray:
        values = np.zeros((len(asked), channels), np.float32)
        found, classes = said(asked)
        values[:, classes] = found
        return values

    return predict


def _yes(inputs: np.ndarray, truth: np.ndarray, held: np.ndarray, settings: dict[str, Any]) -> Predictor:
    """Of yes or no, (n,), NaN where nobody knows."""
    known = ~np.isnan(truth)
    said = _trees(inputs[known], truth[known].astype(np.int64), held[known], settings)

    def predict(asked: np.ndarray) -> np.ndarray:
        found, classes = said(asked)
        return found[:, classes == 1].sum(1, keepdims=True)

    return predict


def _trees(
    inputs: np.ndarray, labels: np.ndarray, held: np.ndarray, settings: dict[str, Any]
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Probabilities (n, classes) and which classes int64 these are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    present = np.unique(labels)
    if len(present) < 2:
        one = present if len(present) else np.zeros(1, np.int64)
        return lambda asked: (np.full((len(asked), 1), float(len(present))), one)

    def losses(fitted: Any) -> Iterator[float]:
        seen = held & np.isin(labels, fitted.classes_)
        place = np.searchsorted(fitted.classes_, labels[seen])[:, None]
        for said in fitted.staged_predict_proba(inputs[seen]):
            yield float(-np.log(np.take_along_axis(said, place, 1).clip(1e-7)).mean())

    made = partial(HistGradientBoostingClassifier, early_stopping=False, **settings)
    few = len(np.unique(labels[~held])) < 2
    fitted = made(max_iter=_rounds(made, inputs, labels, held & (not few), losses)).fit(inputs, labels)
    return lambda asked: (fitted.predict_proba(asked), fitted.classes_)


def _number(inputs: np.ndarray, truth: np.ndarray, held: np.ndarray, settings: dict[str, Any]) -> Predictor:
    """Of a number, (n,), NaN where it wasn't measured."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    known = ~np.isnan(truth)
    inputs, truth, held = inputs[known], truth[known].astype(np.float64), held[known]

    def losses(fitted: Any) -> Iterator[float]:
        for said in fitted.staged_predict(inputs[held]):
            yield float(((said - truth[held]) ** 2).mean())

    made = partial(HistGradientBoostingRegressor, early_stopping=False, **settings)
    fitted = made(max_iter=_rounds(made, inputs, truth, held, losses)).fit(inputs, truth)
    return lambda asked: fitted.predict(asked)[:, None]


def _rounds(
    made: Any, inputs: np.ndarray, truth: np.ndarray, held: np.ndarray, losses: Callable[[Any], Iterator[float]]
) -> int:
    """How many rounds are best on the rows that are held, of trees fitted on the others."""
    if not held.any() or held.all():
        return FEW
    fitted = made(max_iter=ROUNDS).fit(inputs[~held], truth[~held])
    return 1 + int(np.argmin(list(losses(fitted))))


def _stress(run: Boosted, trees: Sequence[Predictor]) -> dict[str, Any] | None:
    """The stress score, from the corrupted images of which all sources kept what they predict."""
    kept = [evidence for source in run.sources if (evidence := read_evidence(source)) is not None]
    if len(kept) < len(run.sources):
        return None
    labelled, count = run.labelled, min(len(evidence.probabilities) for evidence in kept)
    triples = all_triples(labelled)
    if any(not np.array_equal(evidence.triples[:count], triples[:count]) for evidence in kept):
        return None
    rows = triples[:count, 0]
    predicted = _by_fold(run, trees, rows, [evidence.probabilities[:count] for evidence in kept])
    evidence = Evidence(triples[:count], as_stored(predicted, value_type(labelled.competition.task)))
    keep_evidence(run, evidence)
    return {**score_triples(labelled, evidence, len(triples), run.fold_decisions), "seconds": 0.0}


def _matched(run: Boosted, trees: Sequence[Predictor]) -> dict[str, Any] | None:
    """The test-like score, where all sources kept what they predict of the images that are like the test's."""
    match = read_match(run.labelled.workspace.match)
    if match is None or not run.labelled.shows_how_tests_look:
        return None
    kept = [values for source in run.sources if (values := kept_of_match(source, match)) is not None]
    if len(kept) < len(run.sources):
        return None
    return store_matched(run, match, _by_fold(run, trees, match.rows, kept))


def _by_fold(run: Boosted, trees: Sequence[Predictor], rows: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
    """Values float32 (n, channels) of rows, each by the trees of its fold; values: what the sources say of them."""
    labelled = run.labelled
    assert labelled.table is not None
    inputs, fold = _inputs(run, labelled.table[rows], values), labelled.fold[rows]
    predicted = np.zeros((len(rows), labelled.competition.task.channels), np.float32)
    for k, predict in enumerate(trees):
        predicted[fold == k] = predict(inputs[fold == k])
    return predicted


def predict_boosted(run: Boosted, table: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
    """Values float32 (n, channels) of samples in no fold, by all folds' trees: their mean.

    table: float32 (n, K); values: stored (n, channels) of each source, the mean of its networks.
    """
    inputs = _inputs(run, table, values)
    mean: np.ndarray = np.mean([predict(inputs) for predict in _fitted(run)], axis=0)
    return mean
