"""command: look at a download, say what it holds, and write a competition that every command takes.

    compete new leaves --data FOLDER --metric auc
    compete new leaves --kaggle leaf-classification

Nothing is asked: what can be seen is said with its evidence and how sure it is, and what can't is one line of the
file, marked `# CHOOSE`. `--kaggle` downloads first, through Kaggle's own client.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from toolkit.command_line import add_faults, attempted, check_words
from toolkit.competition_folders import HERE
from toolkit.outcome import Outcome
from toolkit.screen import Screen
from toolkit.usage import Parser


def new(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = options_of()
    check_words(parser, arguments)
    options = parser.parse_args(arguments)
    if options.data is None and options.kaggle is None:
        parser.error("give --data DIR, or --kaggle NAME to download")
    screen = Screen(stderr=options.json)

    def made() -> Outcome:
        from toolkit.recognition.new import new_competition

        return new_competition(
            _folder(options.competition),
            options.data,
            metric=options.metric,
            targets=options.target,
            force=options.force,
            unpack=options.unpack,
            kaggle=options.kaggle,
            progress=screen,
        )

    return attempted(made, screen, options)


def _folder(name: str) -> str:
    """A name alone is one in ./competitions."""
    return str(HERE / name) if len(Path(name).parts) == 1 and not Path(name).is_dir() else name


def options_of() -> argparse.ArgumentParser:
    text = "Look at a download, say what it holds, and write a competition that every command takes."
    made = Parser("compete new", text, __doc__)
    name = "a name, such as leaves: competitions/leaves is written; or the folder to be written"
    made.add_argument("competition", metavar="NAME", help=name)
    files = "the organisers' files; with --kaggle where they are put (default: COMPETITION/data)"
    made.add_argument("--data", type=Path, metavar="DIR", help=files)
    made.add_argument("--kaggle", metavar="NAME", help="download this competition, its name as in its page's address")
    made.add_argument("--metric", metavar="NAME", help="what they score by, such as auc, if it is known")
    text = "a column of the training table that is to be predicted; given several times for several"
    made.add_argument("--target", metavar="COLUMN", action="append", default=[], help=text)
    made.add_argument(
        "--unpack", action="store_true", help="unpack .zip and .tar of the download beside themselves first"
    )
    made.add_argument("--force", action="store_true", help="replace what was written there before")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    add_faults(made)
    return made


if __name__ == "__main__":
    sys.exit(new())
