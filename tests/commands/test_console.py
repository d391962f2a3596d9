"""Errors in one line with their status, and tables."""

import click
import pytest
from click.testing import CliRunner

from qi_datasets.commands.console import one_line_errors, table
from qi_datasets.errors import OptionError, QIDatasetsError


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


def test_columns_are_aligned_and_lines_have_no_trailing_blanks() -> None:
    text = table(["set", "rows"], [["qi", "12"], ["rook", ""], ["red_green", "5000"]], right=frozenset({"rows"}))

    assert text.splitlines() == [
        "set        rows",
        "---------  ----",
        "qi           12",
        "rook",
        "red_green  5000",
    ]
