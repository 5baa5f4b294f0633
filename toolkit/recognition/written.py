"""A proposal as the `__init__.py` of a competition's folder."""

from collections.abc import Sequence

from toolkit.recognition.loaded import load_lines
from toolkit.recognition.proposal import Proposal
from toolkit.recognition.submitted import submission
from toolkit.recognition.text import LINE, Text, quoted, tupled


def written(proposal: Proposal, kaggle: str = "") -> str:
    """The text of `__init__.py`, about 60 lines; names that are long stand in `classes.txt` beside it.

    kaggle: the competition's name there, if it has one.
    """
    text = Text()
    text.use("Competition", "Recipe", "Rules", *([] if proposal.targets.where == "pairs" else ["Samples"]))
    task = _task(proposal, text)
    recipes = _recipes(proposal, text)
    load = load_lines(proposal, text)
    model = _model(proposal)
    functions, given = submission(proposal, text)
    metric = proposal.metric.expression
    text.use(metric.partition("(")[0])
    doubt = f"  # CHOOSE: {proposal.sure} ({proposal.why}); the organisers say by what they score"
    doubt = "" if proposal.sure == "sure" else doubt
    body = [
        "FOLDER = Path(__file__).parent",
        *task,
        f"METRIC = {metric}{doubt}",
        *recipes,
        "\n",
        *load,
        "\n",
        *model,
        *functions,
        "\n",
        "competition = Competition(",
        f"    name={quoted(proposal.name)},",
        "    task=TASK,",
        "    metric=METRIC,",
        "    load=load,",
        "    build_model=build_model,",
        "    recipes={recipe.name: recipe for recipe in (FIRST, SECOND)},",
        "    rules=Rules(),  # CHOOSE: what organisers forbid, as pretrained=False, unlabelled_test_images=False",
        *(f"    {line}" for line in given),
        *([] if proposal.flips else ['    symmetries="none",']),
        "    folder=FOLDER,",
        *([f"    kaggle={quoted(kaggle)},"] if kaggle else []),
        ")",
    ]
    head = f'"""{proposal.name}: {_said(proposal)}."""'
    return "\n".join([head, "", *text.imports(), "", *body, ""]).replace("\n\n\n\n", "\n\n\n")


def _said(proposal: Proposal) -> str:
    kinds = {
        "Classification": f"one of {len(proposal.names):,} classes",
        "Labels": f"{len(proposal.names):,} yes/no label{'s' if len(proposal.names) > 1 else ''}",
        "Grades": f"{len(proposal.names)} grades",
        "Numbers": f"{len(proposal.names):,} number{'s' if len(proposal.names) > 1 else ''}",
        "Heads": f"{len(proposal.names)} heads",
        "Segmentation": f"one of {len(proposal.names)} classes a pixel",
        "OverlappingMasks": "masks",
    }
    return f"{kinds[proposal.task]}; written by `compete new`"


def _task(proposal: Proposal, text: Text) -> list[str]:
    text.use(proposal.task)
    field = {"Labels": "labels", "OverlappingMasks": "labels", "Grades": "grades", "Numbers": "targets"}
    word, shape = field.get(proposal.task, "classes"), f"image_shape={proposal.shape}"
    if proposal.task == "Heads":
        heads = [
            f"    ({quoted(name)}, {_counted(classes) or tupled(classes)}),"
            for name, classes in proposal.targets.heads
        ]
        return ["TASK = Heads(", "    heads=(", *(f"    {line}" for line in heads), "    ),", f"    {shape},", ")"]
    unknown = f", unknown={quoted(proposal.targets.unknown)}" if proposal.targets.unknown else ""
    if proposal.counted:
        names = f"tuple(map(str, range({len(proposal.names)})))"
    elif proposal.long:
        names = "NAMES"
    else:
        names = tupled(proposal.names)
    first = (
        ['NAMES = tuple((FOLDER / "classes.txt").read_text(encoding="utf-8").splitlines())'] if proposal.long else []
    )
    line = f"TASK = {proposal.task}({word}={names}, {shape}{unknown})"
    if proposal.metric.needs == "lists" and not unknown:
        first.append(
            '# CHOOSE: unknown="…" below, if test images may be of none of these; the organisers say what it is called'
        )
    if len(line) > LINE:
        broken = [f"    {word}={names},", f"    {shape},", *([f"    {unknown[2:]},"] if unknown else [])]
        return [*first, f"TASK = {proposal.task}(", *broken, ")"]
    return [*first, line]


def _counted(classes: Sequence[str]) -> str:
    """Numbers from 0, where they are many; "" for other names."""
    if len(classes) < 8 or not all(name.isdecimal() for name in classes):
        return ""
    return f"tuple(map(str, range({max(map(int, classes)) + 1})))"


def _recipes(proposal: Proposal, text: Text) -> list[str]:
    text.use("Augment", "Model", "Optimizer", "Schedule")
    text.plain.append("from dataclasses import replace")
    flip = "" if proposal.flips else 'flip="none", '
    augment = f"Augment({flip}rotate=10, scale=0.1, shift=0.05, colour=0.3)"
    scale = min(4, max(1, round(64 / max(proposal.shape[:2]), 1)))  # networks halve images five times
    larger = f", input_scale={scale:g}" if scale > 1 else ""
    if proposal.task in ("Segmentation", "OverlappingMasks"):
        first = f'name="unet", model=Model(name="Unet", encoder="resnet18"{larger})'
        training = "optimizer=Optimizer(lr=1e-3), schedule=Schedule(epochs=30)"
        second = f'name="deeplab", model=Model(name="DeepLabV3Plus", encoder="resnet18"{larger})'
    else:
        first = f'name="lite0", model=Model(name="tf_efficientnet_lite0", pretrained=True{larger})'
        training = "optimizer=Optimizer(lr=2e-3, backbone_factor=0.5), schedule=Schedule(epochs=20, freeze=0.1)"
        second = f'name="resnet18", model=Model(name="resnet18"{larger})'
    return [
        "FIRST = Recipe(",
        f"    {first},",
        f"    augment={augment},",
        f"    {training},",
        ")",
        f"SECOND = replace(FIRST, {second})",
    ]


def _model(proposal: Proposal) -> list[str]:
    masks = proposal.task in ("Segmentation", "OverlappingMasks")
    name = "segmenter" if masks else "classifier"
    return [
        "def build_model(recipe: Recipe):",
        f"    from toolkit import {name}  # imports torch, which `--help` does without",
        "",
        f"    return {name}(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])",
    ]
