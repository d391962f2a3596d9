"""Errors of other libraries are told in one line."""

import pytest

from qi_datasets.errors import OptionError, name_some, one_line, printable


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("one\n  two\t three\r\n"), "one two three"),
        (ValueError(), "ValueError"),
        (ValueError(" \n "), "ValueError"),
        (FileNotFoundError(2, "No such file", "a b"), "[Errno 2] No such file: 'a b'"),
    ],
)
def test_an_error_is_one_line_and_never_empty(error: Exception, line: str) -> None:
    assert one_line(error) == line


def test_an_error_in_one_line_never_moves_a_terminal() -> None:
    hostile = "no \x1b[2J\x07 picture \udcff in\n\n  caf\u00e9 \u202e"

    shown = one_line(OptionError(hostile))

    assert shown == r"no \x1b[2J\x07 picture \udcff in café \u202e"
    assert printable("two\nlines") == "two\nlines"


@pytest.mark.parametrize(
    ("count", "text"), [(1, "n0"), (3, "n0, n1, n2"), (4, "n0, n1, n2 and 1 more"), (9, "n0, n1, n2 and 6 more")]
)
def test_many_names_are_some_and_a_number(count: int, text: str) -> None:
    assert name_some([f"n{number}" for number in range(count)], 3) == text
