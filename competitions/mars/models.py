"""Which networks fit mars, by the name that a recipe gives in model.name."""

from toolkit.errors import UserError
from toolkit.models import Network, segmenter, small_unet
from toolkit.recipe import Model

SMP_NAMES = {"unet": "Unet", "deeplabv3plus": "DeepLabV3Plus", "segformer": "Segformer"}


def build(model: Model, classes: int, channels: int) -> Network:
    """UserError for a name that isn't known."""
    if model.name == "small_unet":
        return small_unet(model, classes, channels)
    if model.name not in SMP_NAMES:
        raise UserError(f"mars has no model {model.name!r}; there are small_unet, {', '.join(SMP_NAMES)}")
    return segmenter(SMP_NAMES[model.name], model, classes, channels)
