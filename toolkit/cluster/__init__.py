"""Folds on other machines, through Ray: what a fold needs is sent there once, what comes of it is written here."""
