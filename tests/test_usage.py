"""Wrong usage ends with one sentence that says what to write instead."""

import pytest

from toolkit.command_line import parser
from toolkit.usage import Parser


def made(command: str = "train") -> Parser:
    examples = "command.\n\n    compete train mars\n    compete train mars lr\n"
    found = parser(command, "Train.", examples, overrides=command == "train")
    found.add_argument("--budget")
    return found


def error(capsys: pytest.CaptureFixture[str], *arguments: str, command: str = "train") -> str:
    with pytest.raises(SystemExit) as ended:
        made(command).parse_intermixed_args(arguments)
    printed = capsys.readouterr().err
    assert ended.value.code == 2 and printed.count("\n") == 1
    return printed


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("mars", "--epochs", "5"), "there is no option --epochs; write schedule.epochs=5 ("),
        (("mars", "--epochs=5"), "write schedule.epochs=5 ("),
        (("mars", "--lr", "1e-3", "schedule.epochs=3"), "write optimizer.lr=1e-3 ("),
        (("--batch-size", "8", "mars"), "write batch_size=8 ("),
        (("mars", "--learning-rate"), "write optimizer.lr=0.001 ("),
        (("mars", "--model", "unet"), "write model.name=unet ("),
        (("mars", "--time-limit", "3"), "there is no option --time-limit; write --budget ("),
        (("mars", "--bugdet", "3m"), "there is no option --bugdet; did you mean --budget? ("),
        (("mars", "--frobnicate"), "there is no option --frobnicate (`compete train --help` lists the options)"),
        ((), "which competition? give its name or its folder: "),
    ],
)
def test_first_guesses_are_answered_with_what_to_write(
    typed: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in error(capsys, *typed)


def test_a_command_without_recipes_names_no_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no option --epochs (" in error(capsys, "mars", "--epochs", "5", command="audit")
    assert "'more' is one argument too many" in error(capsys, "mars", "more", command="audit")


def test_help_is_short_at_its_head_says_what_is_optional_and_ends_with_examples(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        made().parse_intermixed_args(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: compete train NAME [recipe.field=value …] [options]\n")
    assert text.endswith("examples:\n  compete train mars\n  compete train mars lr\n")
    described = text.split("options:", 1)[1]
    for option in ("--seed N", "--submissions FOLDER", "--workspace FOLDER", "--device NAME"):
        assert option in described


def test_of_two_runs_it_is_said_where_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    asks = Parser("compete diff", "")
    asks.add_argument("runs", nargs=2, metavar="RUN")
    with pytest.raises(SystemExit, match="2"):
        asks.parse_intermixed_args(["small_unet-1a"])
    assert "error: which two runs? `compete status` lists them (" in capsys.readouterr().err
