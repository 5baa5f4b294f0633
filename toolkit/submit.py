"""command: build the submission from the blend, read it back as the organisers would, register it.

    compete submit mars
    compete submit mars --show [--verbose]
    compete submit mars --upload
    compete submit mars --notebook --test-images 3000
    compete submit mars --score 0.71 --private 0.64
    compete submit mars --reproduce ID
    compete submit mars --forget ID

Leaves `submissions/<competition>/<blend>-<hash>.<csv|zip>` and a line in `submissions/ledger.csv`. A file
that fails its check is never put there.
"""

import argparse
from dataclasses import replace

from toolkit.command_line import at_least, finite, main, parser, whole
from toolkit.errors import UserError
from toolkit.outcome import Outcome
from toolkit.project import Project

OF_PRIVATE = True  # --private with no number


def submit(project: Project, options: argparse.Namespace) -> Outcome:
    if options.show:
        return replace(project.ledger, verbose=options.verbose)
    if options.forget is not None:
        return project.forget(options.forget)
    if options.remember is not None:
        return project.remember(options.remember)
    if options.private is OF_PRIVATE:
        return project.record_score(options.id, private=options.score)
    if options.score is not None or options.private is not None:
        return project.record_score(options.id, public=options.score, private=options.private)
    if options.reproduce is not None:
        return project.reproduce(options.reproduce)
    if options.notebook:
        return _notebook(project, options)
    if options.test_images is not None or options.visible_only:
        given = "--visible-only" if options.test_images is None else "--test-images"
        raise UserError(f"{given} is for the trial of a --notebook")
    if options.upload:
        return project.upload(options.id, kaggle=options.kaggle, team=options.team)
    return project.submit(half=options.half, images=options.images, known_answers=options.known_answers)


def _notebook(project: Project, options: argparse.Namespace) -> Outcome:
    for name in ("half", "known_answers", "images"):
        if getattr(options, name):
            raise UserError(
                f"--{name.replace('_', '-')} is for submissions of other kinds; leave it out with --notebook"
            )
    if options.upload and project.practice:
        raise UserError("a notebook for practice data can't be uploaded; leave out --upload")
    trial = {"test_images": options.test_images, "visible_only": options.visible_only}
    made = project.submit_notebook(kaggle=options.kaggle, **trial)
    if not options.upload:
        return made
    project.progress.show(made)
    return project.upload(made.path.name, team=options.team)


def add_options(made: argparse.ArgumentParser) -> None:
    what = made.add_argument_group("with submissions that are registered").add_mutually_exclusive_group()
    what.add_argument("--show", action="store_true", help="list the submissions and their scores")
    what.add_argument("--forget", metavar="ID", help="take a line off the ledger; the file stays")
    what.add_argument("--remember", metavar="ID", help="put a line back that was forgotten")
    what.add_argument("--score", type=finite, metavar="S", help="record the score on the public leaderboard")
    what.add_argument("--reproduce", metavar="ID", help="build it again, byte for byte")
    what.add_argument("--upload", action="store_true", help="hand it in: to Kaggle, or say where")
    made.add_argument(
        "-v", "--verbose", action="store_true", help="with --show: intervals, costs, commits, all scores"
    )
    notebook = "build a notebook for a code competition on Kaggle, and try it; with --upload hand it in"
    made.add_argument("--notebook", action="store_true", help=notebook)
    hidden = "images of the hidden test set, for the estimate of the notebook's time (default: the visible ones)"
    made.add_argument("--test-images", type=at_least(1, "there must be at least 1 image"), metavar="N", help=hidden)
    visible = "don't try the notebook on training images under other names, where these can't be laid out as the test"
    made.add_argument("--visible-only", action="store_true", help=visible)
    made.add_argument("--half", action="store_true", help="store parameters as float16 if the score doesn't change")
    known = "test images that are training images to the last bit get these' labels (files only)"
    made.add_argument("--known-answers", action="store_true", help=known)
    made.add_argument("--id", metavar="ID", help="the submission to score or upload (default: the newest)")
    private = "record the score on the private leaderboard; without a number, --score is that one"
    made.add_argument("--private", type=finite, nargs="?", const=OF_PRIVATE, metavar="S", help=private)
    made.add_argument("--kaggle", metavar="NAME", help="the competition's name on Kaggle, as in its address")
    made.add_argument("--team", type=whole, metavar="N", help="members of your team, checked against the rules")
    images = "training images to run a code submission on (default: 256)"
    made.add_argument("--images", type=at_least(1, "there must be at least 1 image"), metavar="N", help=images)


if __name__ == "__main__":
    made = parser("submit", "Build the submission, check it, register it.", __doc__)
    add_options(made)
    main(made, submit)
