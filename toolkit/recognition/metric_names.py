"""Metrics by the words of `--metric`, and which one a download most likely asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from toolkit.errors import UserError, listed
from toolkit.recognition.found import Sample, Sure


@dataclass(frozen=True)
class Named:
    """expression: as it stands in a competition; tasks: names of those that it scores, the best first; needs: as the
    metric's.
    """

    expression: str
    tasks: tuple[str, ...]
    needs: str


CLASSES = ("Classification", "Grades", "Segmentation")
GIVEN = ("Labels", "OverlappingMasks")
SAID = ("Classification", "Labels")
MEASURED = ("Numbers", "Grades")
METRICS: Mapping[str, Named] = {
    "accuracy": Named("Accuracy()", CLASSES, "labels"),
    "balanced_accuracy": Named("BalancedAccuracy()", CLASSES, "labels"),
    "f1": Named('F1("macro")', CLASSES, "labels"),
    "micro_f1": Named('F1("micro")', CLASSES, "labels"),
    "weighted_f1": Named('F1("weighted")', CLASSES, "labels"),
    "kappa": Named("QuadraticKappa()", ("Grades", "Classification"), "labels"),
    "label_f1": Named('LabelF1("macro")', GIVEN, "labels"),
    "samples_f1": Named("SamplesF1()", ("Labels",), "labels"),
    "iou": Named("MeanIoU()", ("Segmentation", "Classification"), "labels"),
    "dice": Named("MeanDice(both_empty=1)", ("OverlappingMasks", "Segmentation"), "labels"),
    "map@5": Named("MAP(5)", ("Classification",), "lists"),
    "auc": Named("RocAuc()", SAID, "values"),
    "average_precision": Named("AveragePrecision()", SAID, "values"),
    "log_loss": Named("LogLoss()", SAID, "values"),
    "probabilistic_f1": Named("ProbabilisticF1()", SAID, "values"),
    "rmse": Named("Rmse()", MEASURED, "values"),
    "mae": Named("Mae()", MEASURED, "values"),
    "rmsle": Named("Rmsle()", MEASURED, "values"),
    "r2": Named('R2("columns")', MEASURED, "values"),
    "pearson": Named("Pearson()", MEASURED, "values"),
    "macro_recall": Named("WeightedMacroRecall()", ("Heads",), "labels"),
    "head_accuracy": Named("HeadAccuracy()", ("Heads",), "labels"),
}


def metric_named(name: str) -> tuple[str, Named]:
    """By its word, `map@3` for any k; UserError for one that isn't known."""
    word = name.lower().replace("-", "_").replace(" ", "_")
    word = {
        "qwk": "kappa",
        "logloss": "log_loss",
        "roc_auc": "auc",
        "macro_f1": "f1",
        "miou": "iou",
        "pf1": "probabilistic_f1",
    }.get(word, word)
    if word.startswith("map@") and word[4:].isdecimal():
        return word, Named(f"MAP({word[4:]})", ("Classification",), "lists")
    if word not in METRICS:
        close = get_close_matches(word, METRICS, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"{name!r} is no metric that `new` knows{hint}; there are {listed(tuple(METRICS))}, map@3, …")
    return word, METRICS[word]


def likely_metric(task: str, sample: Sample | None, labels: int) -> tuple[str, str, Sure]:
    """A metric's word for a task, why, and how surely; labels: how many there are of them."""
    cells = sample.cells if sample else "blank"
    if task == "Grades":
        return "kappa", "grades in their order", "likely"
    if task == "Numbers":
        return "rmse", "numbers", "guess"
    if task == "Heads":
        return "head_accuracy", "several heads", "guess"
    if task == "OverlappingMasks":
        return "dice", "masks", "guess"
    if task == "Segmentation":
        return "iou", "classes of pixels", "guess"
    if cells == "lists" and task == "Classification":
        assert sample is not None
        return f"map@{sample.longest}", f"{sample.path} lists {sample.longest} a row", "likely"
    if task == "Labels":
        one = sample is not None and len(sample.columns) == 2 and sample.ids != "rows"  # column for all labels
        given = labels > 1 and one and cells != "values"
        if given:
            return "samples_f1", "labels are handed in", "guess"
        return "auc", "probabilities of labels", "guess"
    if cells == "values":
        return "log_loss", "a probability a class", "guess"
    return "accuracy", "a class an image", "guess"
