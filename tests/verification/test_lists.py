"""The lists of `subset` are verified by computing them again from their names."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from qi_datasets.builders.subset import ListedImage

from qi_datasets.building.subset import FACTS, LIST, SCHEMA, list_digest, write_subset
from qi_datasets.commands.verify import main
from qi_datasets.errors import NotBuiltError
from qi_datasets.imagenet import wnids
from qi_datasets.sources.training import TrainingImages
from qi_datasets.verification.verify import verify

Rows = list[ListedImage]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Returns a folder of sets with lists of two images a class."""
    names = [f"{wnid}_{number}" for wnid in wnids() for number in (1, 20)]
    write_subset(TrainingImages("made up", "made up", dict.fromkeys(names, "")), tmp_path)
    return tmp_path


def rewrite(root: Path, change: Callable[[Rows], Rows]) -> None:
    """Writes other rows, and their digest, as a forger would."""
    folder = root / "subset"
    rows = change([ListedImage(*row.values()) for row in pq.read_table(folder / LIST).to_pylist()])
    columns = zip(SCHEMA, zip(*rows, strict=True), strict=True)
    pq.write_table(pa.table({field.name: pa.array(column, field.type) for field, column in columns}), folder / LIST)
    facts = json.loads((folder / FACTS).read_text())
    (folder / FACTS).write_text(json.dumps(facts | {"digest": list_digest(rows)}))


def test_lists_as_they_were_built_pass(built: Path) -> None:
    report = verify(built)

    assert [(check.set, check.name, check.status) for check in report.checks] == [
        ("subset", "order", "pass"),
        ("subset", "classes", "pass"),
    ]
    assert verify(built, ["subset"]).exit_status == 0
    ended = CliRunner().invoke(main, [str(built)])
    assert ended.exit_code == 0, ended.output
    assert "subset" in ended.output


def swapped(rows: Rows) -> Rows:
    first, second, *rest = rows
    return [second._replace(rank=0), first._replace(rank=1), *rest]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swapped, "subset, order: n01440764_"),
        (lambda rows: [rows[0]._replace(label=7), *rows[1:]], "subset, order: n01440764_"),
        (lambda rows: rows[2:], "subset, classes: there are 999 classes"),
    ],
    ids=["another order", "another label", "a class is gone"],
)
def test_other_rows_than_the_names_give_fail(built: Path, change: Callable[[Rows], Rows], words: str) -> None:
    rewrite(built, change)

    ended = CliRunner().invoke(main, [str(built), "--set", "subset"])
    assert ended.exit_code == 1
    assert words in ended.output


def test_lists_that_are_damaged_or_not_there(built: Path, tmp_path: Path) -> None:
    (built / "subset" / LIST).write_bytes(b"PAR1")
    assert CliRunner().invoke(main, [str(built), "--set", "subset"]).exit_code == 1
    with pytest.raises(NotBuiltError, match="subset is not built in"):
        verify(tmp_path / "nowhere", ["subset"])
