"""Errors in one line with their status, and tables."""

from importlib.metadata import entry_points, version

import click
import pytest
from click.testing import CliRunner

from qi_datasets.commands.console import one_line_errors, table
from qi_datasets.errors import NamedArgument, OptionError, QIDatasetsError


def test_an_error_is_one_line_with_its_status() -> None:
    class CheckError(QIDatasetsError):
        exit_status = 1

    for error in (OptionError, CheckError):

        @click.command()
        @one_line_errors
        def fail(error: type[QIDatasetsError] = error) -> None:
            raise error("first\n  second")

        result = CliRunner().invoke(fail)

        assert (result.exit_code, result.stderr) == (error.exit_status, "error: first second\n")
        assert result.stdout == ""


def test_other_exceptions_are_bugs_and_stay_visible() -> None:
    @click.command()
    @one_line_errors
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(fail, catch_exceptions=False)


FLAGS = [
    (("ask for fewer with ", NamedArgument("per_split", "N")), "ask for fewer with --per-split N"),
    (("add ", NamedArgument("force", True), " to replace it"), "add --force to replace it"),
    ((NamedArgument("sets", "'q'"), " is none; ", NamedArgument("sets", "NAME")), "--set 'q' is none; --set NAME"),
    ((NamedArgument("workers", ""), " too"), "--workers too"),
    ((NamedArgument("workers"), " must be 1"), "--workers must be 1"),
    (("give ", NamedArgument("out", "OUT"), ", or ", NamedArgument("x", 3)), "give out=OUT, or x=3"),
    (("a file called force=True", ""), "a file called force=True"),
    ((OptionError("no ", NamedArgument("workers", 3)),), "no --workers 3"),
]


@pytest.mark.parametrize(("parts", "shown"), FLAGS)
def test_arguments_of_python_become_the_flags_of_the_command(parts: tuple[object, ...], shown: str) -> None:
    @click.command()
    @click.argument("out", required=False)
    @click.option("--per-split", type=int)
    @click.option("--force", is_flag=True)
    @click.option("--set", "sets", multiple=True)
    @click.option("--workers", type=int)
    @one_line_errors
    def fail(**_: object) -> None:
        raise OptionError(*parts)

    assert CliRunner().invoke(fail).stderr == f"error: {shown}\n"


def test_columns_are_aligned_and_lines_have_no_trailing_blanks() -> None:
    text = table(["set", "rows"], [["qi", "12"], ["rook", ""], ["red_green", "5000"]], right=frozenset({"rows"}))

    assert text.splitlines() == [
        "set        rows",
        "---------  ----",
        "qi           12",
        "rook",
        "red_green  5000",
    ]


COMMANDS = [each.name for each in entry_points(group="console_scripts") if each.value.startswith("qi_datasets.")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_version(name: str) -> None:
    (script,) = entry_points(group="console_scripts", name=name)
    command = script.load()

    for flag in ("-h", "--help"):
        assert CliRunner().invoke(command, [flag]).output.startswith("Usage:")
    assert version("qi-datasets") in CliRunner().invoke(command, ["--version"]).output
