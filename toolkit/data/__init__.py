"""From the organisers' files to a table of folds."""
