"""`python -m toolkit` lists the commands."""

COMMANDS = {
    "audit": "load and check the data, say what is in it, propose the cleaning",
    "folds": "make or show the split: which sample is validated when",
    "train": "train one recipe on all folds",
    "search": "look for better recipes in the search space",
    "ensemble": "blend the finished runs",
    "submit": "build the submission, check it, register it",
    "report": "everything that is known of the runs, on one page",
    "grade": "score a submission against truth that is at hand",
    "run": "all of it within a time budget",
}


def main() -> None:
    print("Raw competition files in, a submission you can trust out.\n")
    print("python -m toolkit.COMMAND competitions/NAME [options] [recipe.field=value …]\n")
    for name, text in COMMANDS.items():
        print(f"  {name:<10}{text}")
    print("\n`python -m toolkit.COMMAND --help` says more; --practice tries any of them on drawn data.")


if __name__ == "__main__":
    main()
