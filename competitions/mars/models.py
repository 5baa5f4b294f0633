"""Which networks fit mars, by the name that a recipe gives in model.name."""

from collections.abc import Callable

from competitions.mars.unets import AttentionUNet, Body, RefinedAttentionUNet, UNet, UNet3Plus
from toolkit import Model, Network, UserError, from_scratch, segmenter

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
        body = UNETS[model.name](classes, channels)
        return from_scratch(body, model, channels, body.stride)
    if model.name not in SMP_NAMES:
        raise UserError(f"mars has no model {model.name!r}; there are {', '.join((*UNETS, *SMP_NAMES))}")
    return segmenter(SMP_NAMES[model.name], model, classes, channels)
