"""Checks the lists of `subset`: names alone decide them, so every row is computed again."""

from pathlib import Path

from qi_datasets.builders.subset import ListedImage, sort_by_digest
from qi_datasets.building.subset import FACTS, SUBSET, read_facts, read_subset, subset_folder
from qi_datasets.errors import QIDatasetsError, one_line
from qi_datasets.imagenet import wnids
from qi_datasets.storage.location import Place
from qi_datasets.verification.report.report import Check, CheckResults, Status

ORDER = "each class's names stand in the order of their digests, with its label and their ranks"
CLASSES = "all 1000 classes are there, and only they"


def has_lists(root: Place) -> bool:
    """Returns whether a folder of sets has the lists."""
    return isinstance(root, Path) and (subset_folder(root) / FACTS).is_file()


def check_lists(root: Path) -> CheckResults:
    """Computes the lists in a folder of sets again from their names, and compares every row."""
    try:
        table = read_subset(1, root, whole=True)
        facts = read_facts(root)
    except QIDatasetsError as error:
        whole = "the lists can be read, and have the digest that they say"
        return CheckResults((Check(SUBSET, "readable", Status.FAIL, "", whole, cause=one_line(error)),))
    columns = (table.column(name).to_pylist() for name in ("name", "wnid", "label", "rank"))
    rows = [ListedImage(*row) for row in zip(*columns, strict=True)]
    wrong = next(
        (row for row, right in zip(rows, sort_by_digest(row.name for row in rows), strict=True) if row != right), None
    )
    cause = "" if wrong is None else f"{wrong.name} stands at rank {wrong.rank} of {wrong.wnid}, where it should not"
    found = dict.fromkeys(row.wnid for row in rows)
    strange = "" if list(found) == list(wnids()) else f"there are {len(found)} classes, not ImageNet's 1000"
    figure = f"{len(rows)} names"
    return CheckResults(
        (
            Check(SUBSET, "order", Status.FAIL if cause else Status.PASS, figure, ORDER, cause=cause),
            Check(
                SUBSET,
                "classes",
                Status.FAIL if strange else Status.PASS,
                f"smallest has {facts['smallest_class']}",
                CLASSES,
                cause=strange,
            ),
        )
    )
