"""Images as they lie in files: which there are, how each is read, decoded once and looked at a few at a time."""
