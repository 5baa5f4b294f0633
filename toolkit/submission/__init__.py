"""Write, read back, run as the server would, hand in, remember."""
