"""Which networks fit blood_cells, by the name that a recipe gives in model.name."""

from toolkit import Model, Network, UserError, classifier

TIMM_NAMES = {
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "efficientnet_b0": "efficientnet_b0",
    "efficientnetv2_s": "tf_efficientnetv2_s",
    "convnext_tiny": "convnext_tiny",
    "mobilenetv3": "mobilenetv3_large_100",
    "resnet18": "resnet18",
}


def build(model: Model, classes: int, channels: int) -> Network:
    """UserError for a name that isn't known."""
    if model.name not in TIMM_NAMES:
        raise UserError(f"blood_cells has no model {model.name!r}; there are {', '.join(TIMM_NAMES)}")
    return classifier(TIMM_NAMES[model.name], model, classes, channels)
