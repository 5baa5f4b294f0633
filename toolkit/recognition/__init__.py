"""From a download to a competition's folder: what lies there, how surely, and the file that says so."""
