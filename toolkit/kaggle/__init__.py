"""Kaggle's official client (the extra `kaggle`), and what it downloads."""
