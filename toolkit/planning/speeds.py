"""How fast recipes are here, found out in no more time than a budget has for it."""

import time
from dataclasses import replace

from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.networks.devices import CLUSTER, resolve_device
from toolkit.networks.outputs import build_network
from toolkit.networks.speed import COMPILE_FROM, RACE
from toolkit.progress import SILENT, Progress
from toolkit.recipe import Recipe, with_epochs
from toolkit.training.budget import Cost, run_cost

SHORT = 900.0  # seconds; in a longer budget it always pays to find out what is fastest, as it does on GPUs
WORTH = 0.1  # of the time that is left may be spent on that: it makes training 1.0 to 1.7 times as fast


def measured(
    labelled: Labelled,
    recipe: Recipe,
    budget: float,
    left: float,
    stress: str,
    device: str = "auto",
    progress: Progress = SILENT,
) -> tuple[Recipe, Cost]:
    """What the recipe costs; in plain float32 where to find out what is faster takes more than it gains.

    Whether compiling is faster is asked only where training could be long enough for it to pay back.
    """
    begun = time.monotonic()

    def cost(of: Recipe) -> Cost:
        rest = left - (time.monotonic() - begun)
        shown = with_epochs(of, 1) if left < COMPILE_FROM else of
        return run_cost(labelled, shown, stress, device, progress, WORTH / 2 * rest)

    on_cpu = resolve_device(device).type == "cpu"
    if recipe.precision != "auto" or budget > SHORT or not on_cpu or device.startswith(CLUSTER):
        return recipe, cost(recipe)
    plain = replace(recipe, precision="float32")
    known = cost(plain)
    spent = time.monotonic() - begun
    if spent + RACE * known.step > WORTH * (left - spent):
        return plain, known
    return recipe, cost(recipe)


def obeys_scale(competition: Competition, recipe: Recipe) -> bool:
    """Does its network resize images as `model.input_scale` says? A competition's own may not."""
    try:
        network = build_network(competition, recipe)
    except UserError:
        return False
    return getattr(network, "input_scale", None) == recipe.model.input_scale


def like_known(recipe: Recipe, known: Recipe, cost: Cost) -> Cost | None:
    """What the recipe costs by that of a known one, in its precision: where the two differ in what takes next to no
    time (losses, rates, augmentations), and in how many pixels images have. None where they differ in more.
    """

    def decides(one: Recipe) -> tuple[object, ...]:
        head = one.schedule.freeze, one.schedule.freeze_norm, one.pseudo
        model = replace(one.model, input_scale=1.0)
        return model, one.images, one.sets, one.table, one.batch_size, one.optimizer.name, head

    if decides(recipe) != decides(known) or recipe.precision not in ("auto", known.precision):
        return None
    return cost.of_pixels((recipe.model.input_scale / known.model.input_scale) ** 2)
