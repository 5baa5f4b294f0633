"""command: one recipe on all folds.

    compete train mars
    compete train mars --practice schedule.epochs=3
    compete train mars --recipe unet_resnet18 model.encoder=resnet34 optimizer.lr=1e-3
    compete train mars optimizer.lr=1e-3 --save-as mine
    compete train mars --recipe mine --seed 1

Leaves `train/<recipe>+<what differs>-<hash>/`: recipe, out-of-fold and test probabilities, scores, the folds' weights.
Killed and started again it goes on from the last epoch; a finished run is not trained twice.
"""

import argparse
import shlex
from statistics import fmean
from typing import Any

from toolkit.command_line import main, parser, whole
from toolkit.outcome import Done, Outcome, Table
from toolkit.project import Project


class Families(Outcome):
    """Scores under families of corruptions, with and without training on them."""

    def __init__(self, title: str, scores: dict[str, dict[str, float]]) -> None:
        self.title, self.scores = title, scores

    def told(self) -> list[Table]:
        trained, held_out = self.scores["trained_on"], self.scores["held_out"]
        pairs = {family: (own, held_out[family]) for family, own in trained.items()}
        pairs["mean"] = (fmean(trained.values()), fmean(held_out.values()))
        rows = [[name, f"{own:.4f}", f"{other:.4f}", f"{other - own:+.4f}"] for name, (own, other) in pairs.items()]
        return [Table(self.title, ["family", "trained on", "held out", "difference"], rows, total=True)]

    def as_json(self) -> dict[str, Any]:
        return {"families": self.scores}


def train(project: Project, options: argparse.Namespace) -> Outcome:
    recipe = project.choose_recipe(options.recipe, options.overrides)
    if options.save_as is not None:
        recipe = project.save_recipe(recipe, options.save_as)
    if options.fold is not None:
        run = project.train_fold(recipe, options.fold)
        facts = {"run": str(run.folder), "recipe": recipe.name, "fold": options.fold}
        rest = [(_rest(options), "trains the other folds")]
        return Done(facts, [f"{run.name}: fold {options.fold} is trained"], rest)
    run = project.train(recipe, stress=options.stress)
    facts = run.as_json() | {"recipe": recipe.name}
    if options.families:
        title = f"{recipe.name}: {project.competition.metric.name} under families of corruptions"
        families = Families(title, project.train_without_families(run, stress=options.stress))
        project.progress.show(families)
        facts |= families.as_json()
    return Done(facts, [], run.next)  # the training has told its scores


def _rest(options: argparse.Namespace) -> str:
    """The command that trains the same recipe on all folds."""
    name = options.recipe if options.save_as is None else options.save_as
    fields = options.overrides if options.save_as is None else ()
    seed = ("--seed", str(options.seed)) if options.seed and options.save_as is None else ()
    return shlex.join(["compete", "train", *(("--recipe", name) if name else ()), *fields, *seed])


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--fold", type=whole, metavar="K", help="train this fold alone, from 0 (default: all)")
    kept = "keep the recipe, for `--recipe NAME`: a file in recipes/ in the competition's folder"
    made.add_argument("--save-as", metavar="NAME", help=kept)
    made.add_argument(
        "--families",
        action="store_true",
        help="train again without each family of corruptions: what is training on them worth?",
    )


if __name__ == "__main__":
    made = parser("train", "Train one recipe on all folds.", __doc__, overrides=True)
    add_options(made)
    main(made, train)
