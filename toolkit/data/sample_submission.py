"""A competition whose submission follows from the organisers' sample: recognised when files are read, kept since."""

import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import Competition
from toolkit.data.masks import Masks
from toolkit.errors import UserError
from toolkit.formats.readers import compare_with_sample
from toolkit.formats.recognition import sample_format
from toolkit.formats.sample_file import find_sample, samples_in
from toolkit.formats.sample_format import SampleFormat
from toolkit.store import Workspace, read_json, write_json


def recognised(competition: Competition, folder: Path, ids: np.ndarray) -> SampleFormat:
    """The form of the sample in the organisers' folder; UserError where there is none, or it can't be followed."""
    path = find_sample(folder, competition.dialect.file)
    if path is None:
        raise UserError(
            f"{folder} has no sample submission (a CSV called like sample_submission.csv), and {competition.name} has "
            "no write_submission: put the organisers' there, or give it write_submission and read_submission"
        )
    return sample_format(path, competition.task, competition.metric, ids, competition.dialect)


def compared(competition: Competition, path: Path, folder: Path) -> bool:
    """Were its ids compared with those of the organisers' sample in the folder of their files? False where there is
    none, or the submission at `path` is no CSV, packed or not; UserError where it hasn't the sample's ids.
    """
    if competition.form is not None:
        return True  # `read_submission` knows the sample
    if not _is_csv(path):
        return False
    samples = [one for one in samples_in(folder, competition.dialect.file) if one.suffix == ".csv"]
    if len(samples) == 1:
        compare_with_sample(path, samples[0])
    return len(samples) == 1


def _is_csv(path: Path) -> bool:
    """Is it one, or a `.gz` or `.zip` of nothing but one?"""
    if path.suffix != ".zip":
        return path.name.removesuffix(".gz").endswith(".csv")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return len(names) == 1 and names[0].endswith(".csv")


def keep(form: SampleFormat, workspace: Workspace) -> None:
    """For later commands, for which the organisers' files may be gone."""
    write_json(workspace.sample, form.stored())


def followed(competition: Competition, workspace: Workspace) -> Competition:
    """Itself, or with the functions that follow from the sample that was kept."""
    if not competition.follows_sample or not workspace.sample.exists():
        return competition
    return following(competition, SampleFormat.of(read_json(workspace.sample), competition.task, competition.metric))


def following(competition: Competition, form: SampleFormat) -> Competition:
    """With functions that write and read that form."""
    return replace(
        competition,
        write_submission=form.write,
        read_submission=partial(_read, form),
        submission_suffix=competition.submission_suffix or form.suffix,
        form=form,
    )


def _read(form: SampleFormat, path: Path, images: np.ndarray, ids: np.ndarray) -> Any:
    """images: of masks that are handed in at their pictures' own sizes these sizes, int64 (M, 2)."""
    if form.cell == "runs" and images.ndim == 2:
        return Masks(len(ids), form.mask_reader(path, ids, images), images)
    return form.read(path, ids)
