"""Python as text: names in tuples, imports."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

OWN = ("re", "dataclasses", "pathlib")  # of Python itself
WIDTH = 110  # of imports
LINE = 119  # characters


def quoted(text: str) -> str:
    """As a Python literal, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def tupled(names: Sequence[str]) -> str:
    listed = ", ".join(map(quoted, names))
    return f"({listed},)" if len(names) == 1 else f"({listed})"


@dataclass
class Text:
    """What the written functions take. plain: lines of imports; named: names of the toolkit."""

    plain: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)

    def use(self, *names: str) -> None:
        self.named |= set(names)

    def imports(self) -> list[str]:
        plain = {*self.plain, "from pathlib import Path"}
        ours = sorted((one for one in plain if one.split()[1] in OWN), key=lambda one: (one.startswith("from"), one))
        others = sorted(plain - set(ours))
        lines, line = [], ""
        for name in sorted(self.named):
            if len(line) + len(name) > WIDTH - 22:
                lines.append(line)
                line = ""
            line = f"{line}, {name}" if line else name
        lines.append(line)
        return [*ours, "", *([*others, ""] if others else []), *(f"from toolkit import {line}" for line in lines)]
