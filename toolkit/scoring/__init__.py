"""Out of fold, under corruptions, as the test images are; with intervals and comparisons."""
