"""Official metrics: what is counted of each sample, and the score that follows from it."""
