"""Errors of other libraries are told in one line."""

import pytest

from qi_datasets.errors import one_line


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
