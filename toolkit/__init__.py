"""Raw competition files in, a submission you can trust out.

The public names are imported on first use, so that `python -m toolkit.VERB --help` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.competition import Competition, Prediction, Rules
    from toolkit.data.dataset import Dataset
    from toolkit.errors import UserError
    from toolkit.metrics import Accuracy, MacroF1, MeanIoU
    from toolkit.recipe import Recipe
    from toolkit.task import Classification, Segmentation

__version__ = "0.1.0"

_HOMES = {
    "Accuracy": "metrics",
    "Classification": "task",
    "Competition": "competition",
    "Dataset": "data.dataset",
    "MacroF1": "metrics",
    "MeanIoU": "metrics",
    "Prediction": "competition",
    "Recipe": "recipe",
    "Rules": "competition",
    "Segmentation": "task",
    "UserError": "errors",
}
__all__ = [
    "Accuracy",
    "Classification",
    "Competition",
    "Dataset",
    "MacroF1",
    "MeanIoU",
    "Prediction",
    "Recipe",
    "Rules",
    "Segmentation",
    "UserError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    return getattr(import_module(f"toolkit.{_HOMES[name]}"), name)
