"""Two small competitions whose images are neither grey nor colour."""

from pathlib import Path

FOLDER = Path(__file__).parent
SIDE = 16
