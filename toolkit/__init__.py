"""Raw competition files in, a submission you can trust out.

All names that a competition, a notebook or a test of a competition takes, wherever they live. Each is imported when
it is first asked for, so that `compete COMMAND --help` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from toolkit.waiting import wait_asleep

__version__ = "0.1.0"
wait_asleep()  # before anything loads PyTorch

_HOMES = {
    name: f"toolkit.{home}"
    for home, names in {
        "answers": "Member Prediction SandboxRun",
        "competition": "Competition load_competition",
        "images.array_files": "array_files",
        "data.coco": "coco_masks",
        "data.dataset": "Dataset Samples",
        "images.channel_files": "channel_files",
        "images.files": "ImageFiles class_folders image_folder",
        "images.reading": "read_image",
        "data.image_sets": "sets_of",
        "data.json_tables": "json_table",
        "data.labelled": "Labelled",
        "data.masks": "Masks label_mask_files mask_files run_length_masks",
        "images.places": "Places",
        "images.arrays": "Npz image_array label_array mask_array",
        "data.tables": "table_arrays table_of",
        "formats.run_lengths": "from_polygons from_run_lengths",
        "data.target_tables": "labels_in_names set_table target_table",
        "images.tiles": "Tiles tiles",
        "errors": "UserError",
        "events": "Epoch Scores",
        "formats.dialect": "Dialect",
        "metrics.confusion": "Accuracy ConfusionMetric MacroF1 MeanIoU",
        "metrics.heads": "HeadAccuracy WeightedMacroRecall",
        "metrics.labels": "LabelAccuracy LabelF1 SamplesF1",
        "metrics.lists": "MAP",
        "metrics.masks": "MeanDice MeanIoUPrecision",
        "metrics.metric": "CountedMetric WeighedMetric",
        "metrics.numbers": "Mae Pearson R2 Rmse Rmsle",
        "metrics.organisers": "from_function from_grade from_score",
        "metrics.probabilistic": "LogLoss ProbabilisticF1",
        "metrics.ranks": "AveragePrecision RocAuc",
        "metrics.single_label": "F1 BalancedAccuracy QuadraticKappa",
        "networks.network": "Network classifier from_scratch load_network segmenter",
        "networks.predict": "predict",
        "networks.pretrained": "has_weights",
        "networks.tta": "predict_views weighted_views",
        "project": "Project open",
        "recipe": "Augment Distil Images Loss LossName Model Optimizer Pseudo Recipe Schedule Sets Table override",
        "recognition.new": "new_competition",
        "rules": "Rules",
        "runs": "Run",
        "search_space": "Suggesting choose strength",
        "store": "Workspace",
        "formats.readers": "read_pixels",
        "submission.tables": "read_columns read_given read_labels read_lists read_rows read_run_lengths",
        "submission.sandbox": "run_code_submission",
        "submission.torchscript": "export",
        "formats.writers": "write_columns write_csv write_given write_lists write_parquet "
        "write_pixels write_rows write_run_lengths zipped",
        "task": "Classification Grades Heads Labels Numbers OverlappingMasks Segmentation",
    }.items()
    for name in names.split()
}

if TYPE_CHECKING:  # the same for editors and mypy
    from toolkit.answers import Member, Prediction, SandboxRun
    from toolkit.competition import Competition, load_competition
    from toolkit.data.coco import coco_masks
    from toolkit.data.dataset import Dataset, Samples
    from toolkit.data.image_sets import sets_of
    from toolkit.data.json_tables import json_table
    from toolkit.data.labelled import Labelled
    from toolkit.data.masks import Masks, label_mask_files, mask_files, run_length_masks
    from toolkit.data.tables import table_arrays, table_of
    from toolkit.data.target_tables import labels_in_names, set_table, target_table
    from toolkit.errors import UserError
    from toolkit.events import Epoch, Scores
    from toolkit.formats.dialect import Dialect
    from toolkit.formats.readers import read_pixels
    from toolkit.formats.run_lengths import from_polygons, from_run_lengths
    from toolkit.formats.writers import (
        write_columns,
        write_csv,
        write_given,
        write_lists,
        write_parquet,
        write_pixels,
        write_rows,
        write_run_lengths,
        zipped,
    )
    from toolkit.images.array_files import array_files
    from toolkit.images.arrays import Npz, image_array, label_array, mask_array
    from toolkit.images.channel_files import channel_files
    from toolkit.images.files import ImageFiles, class_folders, image_folder
    from toolkit.images.places import Places
    from toolkit.images.reading import read_image
    from toolkit.images.tiles import Tiles, tiles
    from toolkit.metrics.confusion import Accuracy, ConfusionMetric, MacroF1, MeanIoU
    from toolkit.metrics.heads import HeadAccuracy, WeightedMacroRecall
    from toolkit.metrics.labels import LabelAccuracy, LabelF1, SamplesF1
    from toolkit.metrics.lists import MAP
    from toolkit.metrics.masks import MeanDice, MeanIoUPrecision
    from toolkit.metrics.metric import CountedMetric, WeighedMetric
    from toolkit.metrics.numbers import R2, Mae, Pearson, Rmse, Rmsle
    from toolkit.metrics.organisers import from_function, from_grade, from_score
    from toolkit.metrics.probabilistic import LogLoss, ProbabilisticF1
    from toolkit.metrics.ranks import AveragePrecision, RocAuc
    from toolkit.metrics.single_label import F1, BalancedAccuracy, QuadraticKappa
    from toolkit.networks.network import Network, classifier, from_scratch, load_network, segmenter
    from toolkit.networks.predict import predict
    from toolkit.networks.pretrained import has_weights
    from toolkit.networks.tta import predict_views, weighted_views
    from toolkit.project import Project, open
    from toolkit.recipe import (
        Augment,
        Distil,
        Images,
        Loss,
        LossName,
        Model,
        Optimizer,
        Pseudo,
        Recipe,
        Schedule,
        Sets,
        Table,
        override,
    )
    from toolkit.recognition.new import new_competition
    from toolkit.rules import Rules
    from toolkit.runs import Run
    from toolkit.search_space import Suggesting, choose, strength
    from toolkit.store import Workspace
    from toolkit.submission.sandbox import run_code_submission
    from toolkit.submission.tables import (
        read_columns,
        read_given,
        read_labels,
        read_lists,
        read_rows,
        read_run_lengths,
    )
    from toolkit.submission.torchscript import export
    from toolkit.task import Classification, Grades, Heads, Labels, Numbers, OverlappingMasks, Segmentation
else:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
