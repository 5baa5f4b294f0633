"""Which networks fit mars, by the name that a recipe gives in model.name."""

from collections.abc import Callable

from toolkit.errors import UserError
from toolkit.models import Network, from_scratch, segmenter
from toolkit.recipe import Model
from toolkit.unets import AttentionUNet, Body, RefinedAttentionUNet, UNet, UNet3Plus

UNETS: dict[str, Callable[[int, int], Body]] = {
    "small_unet": UNet,
    "attention_unet": AttentionUNet,
    "refined_attention_unet": RefinedAttentionUNet,
    "unet3plus": UNet3Plus,
}
SMP_NAMES = {"unet": "Unet", "deeplabv3plus": "DeepLabV3Plus", "segformer": "Segformer"}


def build(model: Model, classes: int, channels: int) -> Network:
    """UserError for a name that isn't known."""
    if model.name in UNETS:
        return from_scratch(UNETS[model.name](classes, channels), model, channels)
    if model.name not in SMP_NAMES:
        raise UserError(f"mars has no model {model.name!r}; there are {', '.join((*UNETS, *SMP_NAMES))}")
    return segmenter(SMP_NAMES[model.name], model, classes, channels)
