"""Candidates, blenders, the honest choice."""
