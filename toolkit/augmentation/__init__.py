"""A batch, augmented."""
