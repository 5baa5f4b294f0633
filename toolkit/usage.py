"""How options are read, and what a wrong one is answered with."""

import argparse
import re
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

from toolkit.competition_folders import competition_folders

SHARED = "shared options"  # the group of those that every command has
INSTEAD = {  # of options, not of fields
    "config": "--recipe",
    "cfg": "--recipe",
    "output": "--workspace",
    "output_dir": "--workspace",
    "out": "--workspace",
    "project": "--workspace",
    "gpu": "--device cuda",
    "gpus": "--device cuda:0,cuda:1",
    "time_limit": "--budget",
    "timeout": "--budget",
    "k": "--folds",
    "n_folds": "--folds",
    "num_workers": "--workers",
    "demo": "--practice",
}


class Parser(argparse.ArgumentParser):
    """Examples stand at the end of the help as they are written; a wrong option is answered with what was meant."""

    def __init__(self, prog: str, text: str, examples: str | None = None, takes_fields: bool = False) -> None:
        lines = [line[4:] for line in (examples or "").splitlines() if line.startswith("    ")]
        ends = "\n".join(["examples:", *(f"  {line}" for line in lines)]) if lines else None
        shape = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=text, epilog=ends, formatter_class=shape)
        self.takes_fields = takes_fields
        self.given: tuple[str, ...] = ()

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.given = tuple(sys.argv[1:] if args is None else args)
        words = [_word(action) for action in self._actions if not action.option_strings]
        self.usage = " ".join([self.prog, *words, "[options]"])  # instead of a list of all options
        return super().parse_intermixed_args(args, namespace)

    def format_help(self) -> str:
        """What all commands share stands last."""
        self._action_groups.sort(key=lambda group: group.title == SHARED)
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Status 2 after one sentence, not after all options."""
        found = re.match(r"unrecognized arguments: (.*)", message)
        unknown = [word for word in (found[1].split() if found else ()) if word.startswith("-")]
        if message.startswith("the following arguments are required: NAME"):
            message = f"which competition? {self._names()}"
        elif message.startswith("the following arguments are required: RUN"):
            message = "which two runs? `compete status` lists them"
        elif unknown:
            message = f"there is no option {unknown[0].partition('=')[0]}{self._hint(unknown[0])}"
        elif found:
            message = f"{found[1]!r} is one argument too many"
        from toolkit.screen import Screen

        Screen(stderr=True).say(f"{message} (`{self.prog} --help` lists the options)", "error: ", "bold red")
        self.exit(2)

    def _names(self) -> str:
        known = ", ".join(competition_folders())
        return f"give its name or its folder: {known}" if known else "`compete new NAME --data FOLDER` writes one"

    def _behind(self, option: str) -> str:
        """The word after an option, if it is its value."""
        after = self.given[self.given.index(option) + 1 :][:1] if option in self.given else ()
        return "".join(word for word in after if not word.startswith("-") and "=" not in word)

    def _hint(self, option: str) -> str:
        name, _, value = option.lstrip("-").partition("=")
        name, value = name.replace("-", "_"), value or self._behind(option)
        options = [one for action in self._actions for one in action.option_strings if one.startswith("--")]
        if self.takes_fields and (fields := _fields_meant(name)):
            shown = " or ".join(f"{field}={value or _example(field)}" for field in fields)
            return f"; write {shown}"
        if name in INSTEAD and INSTEAD[name].split()[0] in options:
            return f"; write {INSTEAD[name]}"
        near = get_close_matches(f"--{name.replace('_', '-')}", options, 1, 0.7)
        return f"; did you mean {near[0]}?" if near else ""


def _fields_meant(name: str) -> list[str]:
    from toolkit.recipe_fields import fields_meant

    return fields_meant(name)


def _example(field: str) -> str:
    from toolkit.recipe_fields import as_text, recipe_fields

    default = next(one.default for one in recipe_fields() if one.name == field)
    return "NAME" if default is None else as_text(default)


def _word(action: argparse.Action) -> str:
    """Of an argument in the first line of a help."""
    word = str(action.metavar or action.dest)
    if isinstance(action.nargs, int):
        return " ".join([word] * action.nargs)
    return {"*": f"[{word} …]", "?": f"[{word}]"}.get(str(action.nargs), word)
