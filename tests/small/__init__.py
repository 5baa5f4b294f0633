"""Small competitions on drawn data, one of each kind of output and one with a table, in the organisers' own files."""

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = ("nodules", "retina", "scans", "buds", "spots", "glyphs", "whales", "berries")
