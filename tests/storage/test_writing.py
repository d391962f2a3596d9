"""A file is replaced atomically, and an error of writing is one line."""

from pathlib import Path

import pytest

from qi_datasets.errors import OutputError
from qi_datasets.storage.writing import output_errors, write_atomically
from tests.refusals import refused


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write(place: Path) -> None:
        assert place.parent == tmp_path
        place.write_text("new")
        assert path.read_text() == "old"

    write_atomically(path, write)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_failed_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write(place: Path) -> None:
        place.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("advice", "end"), [("choose another folder", "; choose another folder"), ("", "")])
def test_an_error_says_what_and_why(advice: str, end: str, tmp_path: Path) -> None:
    with refused(OutputError, "cannot-write") as raised, output_errors("the page", advice):
        (tmp_path / "none" / "file").write_text("")
    assert str(raised.value) == f"cannot write the page: No such file or directory{end}"
