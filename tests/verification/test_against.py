"""Two builds are compared: each image that differs is named, and whether its file or the decoder does."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qi_datasets.errors import OptionError
from qi_datasets.storage.manifest import Manifest
from qi_datasets.verification.report.report import Status
from qi_datasets.verification.verify import verify


def other(good: Path, folder: Path, **changed: str) -> Path:
    """Returns the manifest of `qi` with one source changed, in a folder of its own."""
    manifest = Manifest.read(good / "qi")
    split, (first, *rest) = next(iter(manifest.sources.items()))
    sources = manifest.sources | {split: [replace(first, **changed), *rest]}
    folder.mkdir()
    replace(manifest, sources=sources).write(folder)
    return folder / "manifest.json"


@pytest.mark.parametrize(
    ("changed", "kind", "status"),
    [
        ({}, "", Status.PASS),
        ({"sha256": "0" * 64}, "file", Status.WARN),
        ({"sha256": "0" * 64, "patch_sha256": "1" * 64}, "file", Status.FAIL),
        ({"patch_sha256": "1" * 64}, "decoder", Status.FAIL),
    ],
)
def test_the_image_is_named_and_what_of_it_differs(changed, kind, status, good, tmp_path) -> None:
    where = other(good, tmp_path / "other", **changed)

    report = verify(good / "qi", only="integrity", against=where)

    check = report.check("qi", "against")
    assert check.status is status, check.cause
    if changed:
        name = next(iter(Manifest.read(good / "qi").sources.values()))[0].name
        assert f"{kind}: train/{name}" in check.cause
        (row,) = next(table for table in report.tables if "what differs" in table.title).rows
        assert row[:2] == (kind, f"train/{name}")


def test_a_folder_of_sets_is_compared_set_by_set(good, tmp_path) -> None:
    for name in ("rook", "corner"):
        shutil.copytree(good / name, tmp_path / name)

    report = verify(good, ["rook", "red_green"], only="integrity", against=tmp_path)

    assert report.check("rook", "against").status is Status.PASS
    assert report.check("red_green", "against").status is Status.NOT_CHECKED
    assert report.exit_status == 3


def test_what_is_no_build_is_refused(good, tmp_path) -> None:
    (tmp_path / "x.json").write_text("{}")

    with pytest.raises(OptionError, match="against="):
        verify(good / "rook", only="integrity", against=tmp_path / "x.json")
