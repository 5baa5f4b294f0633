"""A recipe on a fold, on all folds, within a budget."""
