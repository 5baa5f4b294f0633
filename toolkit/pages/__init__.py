"""HTML, charts, pictures."""
