"""Three downloads as organisers who never saw a Kaggle competition would pack them, drawn."""

from pathlib import Path

import numpy as np

from tests.recognition.layouts import TEST, TRAIN, picture, table


def breeders(folder: Path) -> None:
    """German headings, semicolons, decimal commas; photographs in parts; a text file lists those to be told."""
    rows = [(f"{at:04}", f"{12.5 + at % 7:.1f}".replace(".", ","), f"Z{at % 9}") for at in range(TRAIN)]
    lines = [";".join(row) for row in [("Bildnummer", "Gewicht in g", "Züchter"), *rows]]
    (folder / "Tabellen").mkdir(parents=True)
    (folder / "Tabellen" / "Messwerte.csv").write_bytes("\r\n".join(lines).encode("latin-1"))
    (folder / "Tabellen" / "Testbilder.txt").write_text(
        "\n".join(f"B_{at:04}.JPG" for at in range(TRAIN, TRAIN + TEST))
    )
    (folder / "LIESMICH.txt").write_text("Bewertet wird nach der Wurzel des mittleren quadratischen Fehlers.")
    for at in range(TRAIN + TEST):
        picture(folder / "Fotos" / f"Teil {1 + at % 3}" / f"B_{at:04}.JPG", at % 7 / 3)


def clinic(folder: Path) -> None:
    """A folder a patient, whose diagnosis is a word in its name; others are to be told; a sample in German."""
    for at in range(TRAIN):
        for each in range(1 + at % 3):
            home = folder / "Patienten" / f"P{at:03}_{('benigne', 'maligne')[at % 2]}"
            picture(home / f"Aufnahme_{each}.png", at % 2)
    for at in range(TEST):
        for each in range(1 + at % 2):
            picture(folder / "Pruefung" / f"P{900 + at}" / f"Aufnahme_{each}.png", at % 2)
    rows = ((f"P{900 + at}", "benigne") for at in range(TEST))
    table(folder / "Abgabe_Beispiel.csv", ("Patient", "Diagnose"), *rows, separator=";")


def field_parts(folder: Path) -> None:
    """Equal names in several part folders, arrays beside the pictures, a table and a list keyed by path."""
    paths = [f"part_{1 + at % 4}/{at // 4:02}.png" for at in range(TRAIN + TEST)]
    for at, path in enumerate(paths):
        picture(folder / "survey" / path, at % 3)
        np.savez(folder / "survey" / path.replace(".png", ".npz"), height=np.zeros((4, 4), np.float32))
    said = ("bare", "crop", "weed")
    rows = [(path, f"plot {at // 4}", said[at % 3]) for at, path in enumerate(paths[:TRAIN])]
    table(folder / "ground truth" / "observations.tsv", ("path", "plot", "cover"), *rows, separator="\t")
    table(folder / "predict.csv", ("path", "cover"), *((path, "") for path in paths[TRAIN:]))
