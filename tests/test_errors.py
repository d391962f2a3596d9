"""Errors have codes and know the arguments that they name; those of other libraries are reported in one line."""

import ast
import pickle
import re
from pathlib import Path

import pytest

import qi_datasets
from qi_datasets import errors
from qi_datasets.errors import (
    CODES,
    HubError,
    Message,
    NamedArgument,
    OptionError,
    QIDatasetsError,
    name_some,
    one_line,
    printable,
)

PACKAGE = Path(qi_datasets.__file__).parent
FOLDERS = (PACKAGE, PACKAGE.parent / "builders", PACKAGE.parent / "cards")


def classes(base: type[QIDatasetsError] = QIDatasetsError) -> set[type[QIDatasetsError]]:
    return {base}.union(*(classes(each) for each in base.__subclasses__() if each.__module__.startswith("qi_datasets")))


def codes_in_the_code() -> set[str]:
    """Returns the codes that calls and classes of the package name."""
    found = set()
    for folder in FOLDERS:
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                value = None
                if isinstance(node, ast.keyword) and node.arg == "code":
                    value = node.value
                if isinstance(node, ast.Assign | ast.AnnAssign):
                    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                    value = node.value if ast.unparse(target) == "code" else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.add(value.value)
    return found


def test_every_code_is_in_the_table_and_every_row_of_it_is_used() -> None:
    assert codes_in_the_code() == set(CODES)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", code) for code in CODES)


@pytest.mark.parametrize("error", sorted(classes(), key=lambda error: error.__name__))
def test_an_error_has_the_code_of_its_class_or_its_own(error: type[QIDatasetsError]) -> None:
    assert error.code in CODES
    if error.__init__ is QIDatasetsError.__init__:
        assert error("x").code == error.code
        assert error("x", code="no-effect").code == "no-effect"


def test_an_error_crosses_processes_with_code_and_arguments() -> None:
    sent = OptionError("a ", NamedArgument("border", 3), HubError("b"), code="no-effect")

    found = pickle.loads(pickle.dumps(sent))  # noqa: S301

    assert (type(found), str(found), found.code) == (OptionError, "a border=3b", "no-effect")
    assert found.message.parts == ("a ", NamedArgument("border", 3), "b")


def test_a_message_is_a_text_and_keeps_the_parts_of_what_it_is_made_of() -> None:
    inner = errors.SourceError("give ", NamedArgument("force", True))
    message = Message("left out: ", inner, Message("; or ", NamedArgument("seeds")))

    assert message == "left out: give force=True; or seeds"
    assert [part for part in message.parts if isinstance(part, NamedArgument)] == [
        NamedArgument("force", True),
        NamedArgument("seeds"),
    ]


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
