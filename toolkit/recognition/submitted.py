"""How a submission is written and read back: as the organisers' sample has it or, without one, by two functions."""

from toolkit.formats.sample_names import called_by
from toolkit.recognition.found import Found, Sample
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.text import Text, quoted, tupled


def submission(proposal: Proposal, text: Text) -> tuple[list[str], list[str]]:
    """Lines of functions, and arguments of `Competition`: none of both where the sample submission says it all, or
    there are no test images.
    """
    sample = proposal.found.sample
    if sample is not None and has_tests(proposal.found):
        file = f"file={quoted(sample.path.rpartition('/')[2])}" if sample.named else ""
        positive = _positive(proposal, sample)
        known = f"positive={quoted(positive)}" if positive else ""
        targets = proposal.targets
        counted = [f"by={quoted(targets.by)}"] if targets.by == "rows" else []
        counted += [f"first={targets.first}"] if targets.first != 1 else []
        doubt = f"  # CHOOSE: whose probability {sample.columns[1]} is; guessed, as the second" if positive else ""
        if file or known or counted:
            text.use("Dialect")
            return [], [f"dialect=Dialect({', '.join(filter(None, (file, known, *counted)))}),{doubt}"]
    if sample is not None or not has_tests(proposal.found):
        return [], []
    text.use("Prediction")
    text.plain.append("import numpy as np")
    write, read = _calls(proposal, text)
    lines = [
        "\n",
        "def write_submission(prediction: Prediction, path: Path) -> None:",
        f"    {write}",
        "\n",
        "def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:",
        f"    return {read}",
    ]
    return lines, [
        "write_submission=write_submission,",
        "read_submission=read_submission,",
        'submission_suffix=".csv",',
    ]


def _positive(proposal: Proposal, sample: Sample) -> str:
    """Of two classes, the one whose probability the sample's column is taken for; "" where that is known."""
    asked = proposal.task == "Classification" and proposal.metric.needs == "values" and len(proposal.names) == 2
    if not asked or len(sample.columns) != 2 or proposal.names == ("0", "1"):
        return ""
    return proposal.names[1] if called_by(sample.columns[1], proposal.names) is None else ""


def has_tests(found: Found) -> bool:
    split = found.targets.split if found.targets else None
    return bool(found.test or found.test_names or (split and split[2]))


def _calls(proposal: Proposal, text: Text) -> tuple[str, str]:
    """What is written, and what reads it: the usual form of what the metric needs, under the table's own titles."""
    task, needs = proposal.task, proposal.metric.needs
    title = (proposal.targets.columns[:1] or ("id",))[0] or "id"
    titles = tupled((title, "label"))
    write, read = "path, prediction.ids, prediction.answer", "path, ids"
    if task == "Segmentation" and len(proposal.names) > 2:
        text.use("write_pixels", "read_pixels")
        return (
            "write_pixels(path, prediction.answer)",
            "read_pixels(path, len(images), TASK.image_shape[:2], len(TASK.classes))",
        )
    if task in ("Segmentation", "OverlappingMasks"):
        text.use("write_run_lengths", "read_run_lengths")
        labels = "" if task == "Segmentation" or len(proposal.names) == 1 else ", labels=TASK.labels"
        return f"write_run_lengths({write}{labels})", f"read_run_lengths({read}, images{labels})"
    if needs == "lists":
        text.use("write_lists", "read_lists")
        length, unknown = proposal.word.partition("@")[2], ", TASK.unknown" if proposal.targets.unknown else ""
        lists = f"write_lists({write}, TASK.classes, {titles}{unknown})"
        return lists, f"read_lists({read}, TASK.classes, {length}, {titles}{unknown})"
    if task == "Labels" and needs == "labels":
        text.use("write_given", "read_given")
        return f"write_given({write}, TASK.labels, {titles})", f"read_given({read}, TASK.labels, {titles})"
    if needs == "labels" and task != "Heads":
        text.use("write_csv", "read_labels")
        columns = f'{quoted(title)}: prediction.ids, "label": prediction.names'
        return f"write_csv(path, {{{columns}}})", f"read_labels({read}, TASK.classes, {titles})"
    text.use("write_columns", "read_columns")
    titled = f"title={quoted(title)}"
    if task in ("Heads", "Grades"):
        names = tupled(proposal.names if task == "Heads" else ("label",))
        end = ".astype(np.int64)" if task == "Heads" else "[:, 0]"
        return f"write_columns({write}, {names}, {titled})", f"read_columns({read}, {names}, {titled}){end}"
    limits = "" if task == "Numbers" else ", low=0, high=1"
    named = f"TASK.classes, {titled}"
    return f"write_columns({write}, {named})", f"read_columns({read}, {named}{limits})"
