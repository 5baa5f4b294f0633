"""The phases of a training, by the names that people see, and what each costs beside the others."""

from toolkit.data.labelled import Labelled
from toolkit.recipe import Recipe
from toolkit.scoring.corruption_suite import count_cells
from toolkit.scoring.stress import SHARE

FOLDS, OUT_OF_FOLD, TESTS = "folds", "scoring out of fold", "test images"
STRESS_SCORE, LOOKS, TEST_LIKE = "stress score", "finding out how test images look", "test-like score"
STEP = 3  # predictions of an image that a step of training takes as long as


def costs(labelled: Labelled, recipe: Recipe, stress: str, test_images: bool) -> dict[str, float]:
    """Of one training, in predictions of an image by one network."""
    samples, folds = len(labelled.fold), labelled.folds
    trained = STEP * recipe.schedule.epochs * (folds - 1) * samples + samples
    found = {FOLDS: float(trained), OUT_OF_FOLD: 0.02 * trained}
    if test_images and labelled.has_test_images:
        found[TESTS] = folds * len(labelled.test_images)
    if stress != "none":
        cells = count_cells(labelled.competition.rgb)
        found[STRESS_SCORE] = samples * cells if stress == "full" else SHARE * trained
        if labelled.shows_how_tests_look:
            found |= {LOOKS: samples, TEST_LIKE: samples}
    return found
