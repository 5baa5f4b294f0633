"""Writer and reader of a submission as text, where no sample submission says what it is."""

from toolkit.recognition.proposal import Proposal
from toolkit.recognition.text import Text, quoted, tupled


def submission(proposal: Proposal, text: Text) -> tuple[list[str], list[str]]:
    """Lines of the two functions, and the arguments of `Competition` for them."""
    text.use("Prediction")
    text.plain.append("import numpy as np")
    write, read = _calls(proposal, text)
    lines = [
        "\n",
        "def write_submission(prediction: Prediction, path: Path) -> None:",
        *(f"    {line}" for line in write),
        "\n",
        "def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:",
        *(f"    {line}" for line in read),
    ]
    return lines, ["write_submission=write_submission", "read_submission=read_submission", 'submission_suffix=".csv"']


def _calls(proposal: Proposal, text: Text) -> tuple[list[str], list[str]]:
    task, needs, sample = proposal.task, proposal.metric.needs, proposal.found.sample
    given = sample.columns if sample else ()
    title = given[0] if given else (proposal.targets.columns[:1] or ("id",))[0] or "id"
    titled = f"title={quoted(title)}"
    label = (title, given[1] if len(given) == 2 else "label")
    if task in ("Segmentation", "OverlappingMasks"):
        text.use("write_run_lengths", "read_run_lengths")
        one = len(proposal.names) <= (2 if task == "Segmentation" else 1)
        if one:
            titles = f"titles={tupled((title, given[1] if len(given) == 2 else 'rle'))}"
            return (
                [f"write_run_lengths(path, prediction.ids, prediction.answer, {titles})"],
                [f"return read_run_lengths(path, ids, TASK.image_shape, {titles})"],
            )
        if task == "OverlappingMasks":
            titles = f"titles={tupled(given if len(given) == 3 else (title, 'class', 'rle'))}"
            return (
                [f"write_run_lengths(path, prediction.ids, prediction.answer, labels=TASK.labels, {titles})"],
                [f"return read_run_lengths(path, ids, TASK.image_shape, TASK.labels, {titles})"],
            )
        text.use("write_pixels", "read_pixels")
        text.named -= {"write_run_lengths", "read_run_lengths"}
        return (
            ["write_pixels(path, prediction.answer)"],
            ["return read_pixels(path, len(images), TASK.image_shape[:2], len(TASK.classes))"],
        )
    if needs == "lists":
        text.use("write_lists", "read_lists")
        length, unknown = proposal.word.partition("@")[2], ", TASK.unknown" if proposal.targets.unknown else ""
        return (
            [f"write_lists(path, prediction.ids, prediction.answer, TASK.classes, {tupled(label)}{unknown})"],
            [f"return read_lists(path, ids, TASK.classes, {length}, {tupled(label)}{unknown})"],
        )
    if task == "Labels" and needs == "labels":
        text.use("write_given", "read_given")
        return (
            [f"write_given(path, prediction.ids, prediction.answer, TASK.labels, {tupled(label)})"],
            [f"return read_given(path, ids, TASK.labels, {tupled(label)})"],
        )
    if needs == "labels" and task != "Heads":
        text.use("write_csv", "read_labels")
        column = "[TASK.classes[label] for label in prediction.answer]"
        return (
            [f"write_csv(path, {{{quoted(label[0])}: prediction.ids, {quoted(label[1])}: {column}}})"],
            [f"return read_labels(path, ids, TASK.classes, {tupled(label)})"],
        )
    text.use("write_columns", "read_columns")
    if task == "Heads":
        names = tupled(proposal.names)
        return (
            [f"write_columns(path, prediction.ids, prediction.answer, {names}, {titled})"],
            [f"return read_columns(path, ids, {names}, {titled}).astype(np.int64)"],
        )
    if task == "Grades":
        name = tupled((label[1],))
        return (
            [f"write_columns(path, prediction.ids, prediction.answer, {name}, {titled})"],
            [f"return read_columns(path, ids, {name}, {titled})[:, 0]"],
        )
    limits = "" if task == "Numbers" else ", low=0, high=1"
    if task == "Classification" and len(proposal.names) == 2 and len(given) == 2:
        name = tupled(given[1:])
        return (
            [f"write_columns(path, prediction.ids, prediction.values[:, 1], {name}, {titled})"],
            [
                f"said = read_columns(path, ids, {name}, {titled}{limits})[:, 0]",
                "return np.stack([1 - said, said], axis=1)",
            ],
        )
    names = "TASK.classes"
    if len(given) == len(proposal.names) + 1 and given[1:] != proposal.names:
        names = tupled(given[1:])
    return (
        [f"write_columns(path, prediction.ids, prediction.values, {names}, {titled})"],
        [f"return read_columns(path, ids, {names}, {titled}{limits})"],
    )
