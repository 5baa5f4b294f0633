"""`compete`, or `python -m toolkit`: lists the commands, or calls one."""

import sys
from difflib import get_close_matches
from runpy import run_module

from toolkit import __version__
from toolkit.competition_folders import competition_folders

COMMANDS = {
    "run": "all of it, from raw files to a checked submission, in a budget",
    "status": "what was run, what is best, what was handed in, what to do next",
    "new": "look at a download and write a competition's folder",
    "audit": "load and check the data, say what is in it, propose the cleaning",
    "folds": "make or show the split: which sample is validated when",
    "recipes": "list the recipes, or all fields of one and what they mean",
    "train": "train one recipe on all folds",
    "boost": "boosted trees on the table beside images and on what runs predict",
    "search": "look for better recipes in the search space",
    "diff": "two runs side by side: what differs, and is one really better?",
    "ensemble": "blend the finished runs",
    "submit": "build the submission, check it, register it",
    "report": "everything that is known of the runs, on one page",
    "clean": "remove what takes room and can be made again",
    "grade": "score a submission against truth that is at hand",
}


def listed() -> str:
    """All commands, as text."""
    names = " or ".join(competition_folders()) or "such as mars"
    lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        (
            "Raw competition files in, a submission you can trust out.\n",
            "compete COMMAND NAME [options]\n",
            *lines,
            f"\nNAME is a competition, {names}, or the folder of one.",
            "\nStart with:  compete run mars --practice --budget 3m   on synthetic data",
            "             compete new NAME --data FOLDER            writes one of your own",
            "Options:     compete COMMAND --help",
        )
    )


def main() -> None:
    """Call the command that the first argument names, as `python -m toolkit.COMMAND` does."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print(listed())
    elif name in ("-V", "--version"):
        print(f"compete {__version__}")
    elif name in COMMANDS:
        sys.argv[:2] = [f"compete {name}"]
        run_module(f"toolkit.{name}", run_name="__main__")
    else:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean `compete {near[0]}`?" if near else f"there are {', '.join(COMMANDS)}"
        from toolkit.screen import Screen

        Screen(stderr=True).say(f"{name} is not a command; {hint}", "error: ", "bold red")
        sys.exit(2)


if __name__ == "__main__":
    main()
