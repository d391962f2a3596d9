"""Submissions: new entries are named, and so is everything that is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.entry import ENTRY, Entry
from qi_datasets.evaluation.grid import SETTINGS
from qi_datasets.leaderboard.submission import check
from tests.evaluation import entries
from tests.evaluation.entries import put
from tests.leaderboard.made import network, on_grid, written


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return written(tmp_path / "published", old=network(1), older=network(2))


@pytest.fixture
def submitted(tmp_path: Path) -> Path:
    return written(tmp_path / "submitted", old=network(1), older=network(2), fresh=network(3))


def test_a_folder_of_all_entries(submitted: Path, published: Path) -> None:
    found = check(submitted, [published])

    assert (found.new, found.unchanged, found.refused) == (("fresh",), ("old", "older"), ())


def test_one_entry(submitted: Path, published: Path) -> None:
    found = check(submitted / "fresh", [published])

    assert (found.new, found.unchanged, found.refused) == (("fresh",), (), ())
    assert check(submitted / "fresh").new == ("fresh",)
    assert check(submitted / "old", [published]).unchanged == ("old",)


def test_words_about_a_published_network_may_change(submitted: Path, published: Path) -> None:
    Entry.read(submitted / "old").described(name="Ours", notes="found by the authors").write(submitted / "old")

    found = check(submitted, [published])
    assert (found.new, found.unchanged, found.refused) == (("fresh",), ("old", "older"), ())


def again(folder_name: str, number: int, **made: object) -> Callable[[Path], object]:
    return lambda folder: network(number, **made).write(folder / folder_name)  # type: ignore[arg-type]


CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "an altered figure of an old entry": (
        lambda folder: entries.rewrite(folder / "old", put("figures.random.reach", 64), seal=True),
        "old",
        "figures.random.reach is 64, but the predictions give 32",
    ),
    "an old entry with other answers": (
        again("old", 1, missed=3),
        "old",
        "predictions.sha256 is",
    ),
    "an old entry with another date": (
        lambda folder: entries.rewrite(folder / "old", put("date", "2025-02-02"), seal=True),
        "old",
        "date is '2025-02-02', but was published as '2025-01-31'; a new revision needs a folder of its own",
    ),
    "an old entry that is gone": (
        lambda folder: [path.unlink() for path in (folder / "older").iterdir()],
        "older",
        "it is published, but gone here",
    ),
    "a published entry under a new name": (
        again("mine", 1),
        "mine",
        "it is a duplicate of old",
    ),
    "the answers of a published entry": (
        again("mine", 1, name="mine", weights_sha256={"random": ["e" * 64]}),
        "mine",
        "its predictions are those of old, to the bit",
    ),
    "a name that is none": (again("my net", 4), "my net", "must be MODEL-REVISION"),
    "a further file": (
        lambda folder: (folder / "fresh" / "setup.py").write_text("import os"),
        "fresh",
        "its folder holds 'setup.py'",
    ),
    "a damaged entry": (lambda folder: (folder / "fresh" / ENTRY).write_text("{"), "fresh", "no JSON of an entry"),
}


@pytest.mark.parametrize(("change", "name", "reason"), CHANGES.values(), ids=CHANGES)
def test_what_is_refused_is_named(
    change: Callable[[Path], object], name: str, reason: str, submitted: Path, published: Path
) -> None:
    change(submitted)

    found = check(submitted, [published])

    assert {one.name for one in found.refused} == {name}
    assert any(reason in one.reason for one in found.refused)
    assert not any(str(submitted) in one.reason for one in found.refused)


def test_a_grid_may_stand_beside_its_entry(submitted: Path, published: Path) -> None:
    on_grid(network(3)).write(submitted / "fresh")
    assert check(submitted, [published]).new == ("fresh",)

    entries.rewrite(submitted / "fresh", put("figures.random.bits.value", 9.0), file=SETTINGS, seal=True)
    (refused,) = check(submitted, [published]).refused
    assert "the figures are not those of the answers" in refused.reason
    on_grid(network(4)).write(submitted / "fresh")
    (refused,) = check(submitted, [published]).refused
    assert "grid.json is of another network: its name is 'network_4'" in refused.reason


def test_a_linked_file_is_refused(submitted: Path, published: Path) -> None:
    (submitted / "fresh" / ENTRY).rename(submitted.parent / "elsewhere.json")
    (submitted / "fresh" / ENTRY).symlink_to(submitted.parent / "elsewhere.json")

    (refused,) = check(submitted, [published]).refused
    assert refused.reason == "entry.json is a link; put the file itself there"


def test_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is no folder"):
        check(tmp_path / "nowhere")
    with pytest.raises(OptionError, match="there are no entries in"):
        check(tmp_path)
