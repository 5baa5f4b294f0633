"""Submissions that are notebooks: what a code competition on Kaggle runs on its hidden test images."""
