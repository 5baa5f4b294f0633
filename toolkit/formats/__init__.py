"""Forms of submission files: writers, readers, and what a sample submission says of itself."""
