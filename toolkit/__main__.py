"""`python -m toolkit` lists the commands."""

import sys

COMMANDS = {
    "new": "look at a download and write a competition's folder",
    "audit": "load and check the data, say what is in it, propose the cleaning",
    "folds": "make or show the split: which sample is validated when",
    "train": "train one recipe on all folds",
    "boost": "boosted trees on the table beside the images and on what runs predict",
    "search": "look for better recipes in the search space",
    "ensemble": "blend the finished runs",
    "submit": "build the submission, check it, register it",
    "report": "everything that is known of the runs, on one page",
    "grade": "score a submission against truth that is at hand",
    "run": "all of it within a time budget",
}


def main() -> int:
    wrong = [word for word in sys.argv[1:] if word not in ("-h", "--help")]
    if wrong:
        name = wrong[0] if wrong[0] in COMMANDS else "COMMAND"
        what = "is called as" if name in COMMANDS else f"is no command; there are {', '.join(COMMANDS)}, called as"
        print(f"error: {wrong[0]} {what} `python -m toolkit.{name} competitions/NAME`", file=sys.stderr)
        return 2
    print("Raw competition files in, a submission you can trust out.\n")
    print("python -m toolkit.COMMAND competitions/NAME [options] [recipe.field=value …]\n")
    for name, text in COMMANDS.items():
        print(f"  {name:<10}{text}")
    print("\n`python -m toolkit.COMMAND --help` says more; --practice tries any of them on drawn data.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
