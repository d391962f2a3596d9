"""All faults of an entry are reported at once; changes by a text editor are no faults."""

import json
from pathlib import Path
from typing import Any

import pytest

from qi_datasets.evaluation.entry import ENTRY, Entry
from qi_datasets.evaluation.faults import MAX_LINES, find_faults
from qi_datasets.evaluation.predictions import PREDICTIONS
from tests.evaluation import entries


def without_fractions(value: Any) -> Any:
    """Returns the value as a formatter writes it for whom 1.0 and 1 are the same number."""
    if isinstance(value, dict):
        return {name: without_fractions(at) for name, at in value.items()}
    if isinstance(value, list):
        return [without_fractions(at) for at in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text_of(folder: Path) -> str:
    return (folder / ENTRY).read_text()


EDITORS = {
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "no line ends": lambda text: json.dumps(json.loads(text)).encode(),
    "numbers without fractions": lambda text: json.dumps(without_fractions(json.loads(text)), indent=2).encode(),
    "sorted": lambda text: json.dumps(json.loads(text), sort_keys=True).encode(),
}


@pytest.mark.parametrize("edit", EDITORS.values(), ids=EDITORS)
def test_what_editors_change_is_no_tampering(edit: Any, folder: Path) -> None:
    before = Entry.read(folder)
    (folder / ENTRY).write_bytes(edit(text_of(folder)))
    assert find_faults(folder) == []
    assert Entry.read(folder).content == before.content
    assert json.dumps(Entry.read(folder).content, sort_keys=True) == json.dumps(before.content, sort_keys=True)


def test_a_number_that_was_changed_with_its_form_is_seen(folder: Path) -> None:
    content = without_fractions(json.loads(text_of(folder)))
    content["transform"]["std"] = [1, 1, 1]
    (folder / ENTRY).write_text(json.dumps(content))
    assert find_faults(folder) == ["the section transform was changed after the entry was written (its seal differs)"]


def test_every_fault_is_said(folder: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content["figures"]["random"]["reach"] = 64
        content["figures"]["random"]["borders"]["0"]["accuracy"] = 0.5
        content["run"]["device"] = "another"
        content["date"] = "2026-02-02"
        content["about"] = {"paper": "http://example.org"}

    entries.rewrite(folder, spoil)
    found = "\n".join(find_faults(folder))
    for words in (
        "figures.random.reach is 64, but the predictions give 32",
        "figures.random.borders.0.accuracy is 0.5",
        "about.paper must be a link that begins with https://",
        "the section figures was changed",
        "the section run was changed",
        "the section date was changed",
        "the section about was changed",
    ):
        assert words in found


def test_every_field_that_is_not_of_the_schema(folder: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content["model"]["padding"] = "some"
        content["data"]["evaluated"] = "all"
        content["protocol"]["borders"] = [{} for _ in range(50)]
        del content["run"]

    entries.rewrite(folder, spoil)
    found = find_faults(folder)
    assert any(line.startswith("model.padding: 'some' is not one of") for line in found)
    assert any("'run' is a required property" in line for line in found)
    assert len(found) == MAX_LINES + 1
    assert found[-1].startswith("and ")
    assert max(map(len, found)) < 300


def test_both_files_are_looked_at(folder: Path) -> None:
    (folder / ENTRY).write_text("{")
    (folder / PREDICTIONS).unlink()
    assert [line.rpartition("/")[2].split()[0] for line in find_faults(folder)] == ["entry.json", "predictions.parquet"]
