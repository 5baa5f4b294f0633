"""From what networks say to what is handed in, and the choices on the way, fitted out of fold."""
