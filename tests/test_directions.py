"""What may import what: a room only its own package or layer, and the layers before it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

LAYERS = (
    "errors compiled waiting commits competition_folders",
    "events task processes partial_files store checked outcome progress claims leftovers rules top_k weight_files",
    "steps noise",
    "disk faults archives",
    "metrics recipe recipe_fields probabilities images kaggle",
    "decisions",
    "sample_losses",
    "answers",
    "formats",
    "competition competition_code search_space saved_recipes",
    "data augmentation pages bars cell screen commands",
    "networks frames",
    "predictions",
    "run_folds",
    "runs",
    "unseen_choices",
    "auditing",
    "scoring",
    "training blending cluster",
    "tuning submission",
    "removable",
    "planning",
    "notebooks",
    "reporting",
    "preflight",
    "tracking",
    "next_steps overview difference recipe_tables",
    "opened needs project pipeline",
    "recognition",
    "usage",
    "command_line new audit folds train boost search ensemble submit report clean status diff recipes grade run "
    "__main__",
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms.split()}


def imported(node: ast.AST) -> Iterator[str]:
    """Modules that are imported below a node, anywhere but for types alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def against(file: Path) -> Iterator[str]:
    """What a file of the toolkit imports from a later layer, or of the competitions."""
    room = file.relative_to(ROOT / "toolkit").parts[0].removesuffix(".py")
    for name in imported(ast.parse(file.read_text(encoding="utf-8"))):
        package, other = [*name.split("."), ""][:2]
        if package == "competitions" or (package == "toolkit" and LAYER.get(other, 0) > LAYER[room]):
            yield f"{file.relative_to(ROOT)} imports {name}"


def test_imports_go_one_way() -> None:
    files = [path for path in sorted((ROOT / "toolkit").rglob("*.py")) if path != ROOT / "toolkit" / "__init__.py"]
    assert [line for file in files for line in against(file)] == []
