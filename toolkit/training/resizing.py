"""Batches of images and masks at another size, on the device that trains."""

import torch
import torch.nn.functional as F


def shrunk(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Images (B, C, H, W) of any type, their pixels' means: smaller, of the same type and layout."""
    if images.shape[2:] == (height, width):
        return images
    made = F.interpolate(images.float(), (height, width), mode="area")
    made = made if images.is_floating_point() else made.round()
    return made.to(images.dtype).contiguous(memory_format=torch.channels_last)


def nearest(masks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Masks (B, H, W) of any type, each pixel what lies there: at the size of their images."""
    if masks.shape[1:] == (height, width):
        return masks
    rows, columns = (
        ((torch.arange(new, device=masks.device) + 0.5) * (old / new)).long()
        for new, old in zip((height, width), masks.shape[1:], strict=True)
    )
    return masks[:, rows[:, None], columns]
