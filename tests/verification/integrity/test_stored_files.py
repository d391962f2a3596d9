"""Manifests that lie, files that are damaged or gone, columns of other types."""

import pyarrow.parquet as pq
import pytest

from qi_datasets.storage.manifest import Manifest
from qi_datasets.verification.report.report import Status
from qi_datasets.verification.verify import verify
from tests.verification.reports import failing
from tests.verification.sabotage import flip, hide, read_manifest, write_manifest


def edited(folder, change):
    manifest = read_manifest(folder)
    change(manifest)
    write_manifest(folder, manifest)
    return verify(folder, only="integrity")


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (lambda m: m.update(spec_version="0.9.0"), "manifest", "spec version 0.9.0"),
        (lambda m: m.update(size=7), "manifest", "canvas must be"),
        (lambda m: m["configs"]["border_16"].update(border=17), "manifest", "config border_16 has border 17"),
        (lambda m: m["configs"]["border_16"].update(size=150), "manifest", "images of 150 pixels"),
        (lambda m: m["configs"].pop("border_0"), "manifest", "no config border_0"),
        (lambda m: m["configs"]["border_0"]["splits"].pop("test"), "manifest", "has the splits train, validation"),
        (lambda m: m["files"].pop("border_0/test-00000-of-00001.parquet"), "list", "belongs to the set"),
        (lambda m: m["files"].update(lost={"bytes": 1, "sha256": "0" * 64}), "files", "lost can't be read"),
        (lambda m: m["configs"]["border_0"]["splits"]["test"].update(rows=9), "counts", "8 rows, but 9"),
        (lambda m: m["configs"]["border_16"]["splits"]["test"].update(digest="0" * 64), "digests", "border_16/test"),
        (lambda m: m["sources"]["test"].pop(), "counts", "8 rows, but 6 by 2 per source"),
        (lambda m: m.update(canonical=True), "pinned", "not the official selection"),
        (lambda m: m.update(canonical=True), "counts", "2000 by the specification of a canonical set"),
        (lambda m: m["sources"]["test"][1].update(patch_sha256="0" * 64), "patch", "not the one that the manifest"),
        (lambda m: m["sources"]["test"][1].update(wnid="n00000001"), "sources", "', the manifest says 'n0"),
    ],
)  # fmt: skip
def test_a_manifest_that_lies_is_told(copy, change, check, words):
    assert words in failing(edited(copy("qi"), change))[check]


@pytest.mark.parametrize("content", ["", "[]", '{"name": 3}', "{"])
def test_a_manifest_that_is_none_is_one_failed_check(copy, content):
    folder = copy("rook")
    (folder / "manifest.json").write_text(content)
    report = verify(folder)
    assert list(failing(report)) == ["manifest"]
    assert "\n" not in failing(report)["manifest"]


@pytest.mark.parametrize(("name", "value"), [("rows", "8"), ("files", "x"), ("digest", None)])
def test_a_manifest_of_wrong_types_is_one_failed_check(copy, name, value):
    report = edited(copy("rook"), lambda m: m["configs"]["default"]["splits"]["train"].update({name: value}))
    assert f"splits/train/{name}: {value!r} is not of type" in failing(report)["manifest"]


def test_files_that_are_gone_or_no_parquet_are_told(copy):
    folder = copy("qi")
    (folder / "border_0/train-00000-of-00001.parquet").unlink()
    (folder / "border_16/test-00000-of-00001.parquet").write_bytes(b"no Parquet file at all")
    found = failing(verify(folder))
    assert "border_0/train" in found["readable"]
    assert "border_16/test" in found["readable"]
    assert "can't be read" in found["files"]


@pytest.mark.parametrize("share", [0.001, 0.2, 0.4, 0.6, 0.8, 0.99, 0.999])
def test_a_flipped_byte_anywhere_is_told_and_never_raises(copy, share):
    folder = copy("qi")
    flip(folder / "border_0/train-00000-of-00001.parquet", lambda data: int(share * len(data)))
    assert "border_0/train-00000-of-00001.parquet has SHA-256" in failing(verify(folder, only="integrity"))["files"]


def test_networks_are_not_tried_on_a_damaged_set(copy):
    folder = copy("rook")
    (folder / "default/train-00000-of-00001.parquet").unlink()
    report = verify(folder)
    assert report.check("rook", "separability").status is Status.NOT_CHECKED
    assert "damaged" in report.check("rook", "separability").cause
    assert report.exit_status == 1


def test_another_column_type_is_told(copy):
    folder = copy("corner")
    path = folder / "default/train-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "label", table["label"].cast("int32")), path)
    hide(folder)
    assert "label int32" in failing(verify(folder, only="integrity"))["schema"]


def test_what_file_managers_leave_beside_a_set_is_no_part_of_it(copy):
    folder = copy("qi")
    for name in (
        ".DS_Store",
        "Thumbs.db",
        "._README.md",
        "border_0/._test-00000-of-00001.parquet",
        "border_0/.DS_Store",
    ):
        (folder / name).write_bytes(b"\0\0")
    assert verify(folder, only="integrity").exit_status == 0
    assert Manifest.read(folder).foreign_files(folder) == []
    (folder / "notes.txt").touch()
    assert failing(verify(folder, only="integrity")) == {
        "list": "notes.txt (file) is not in the manifest, yet stock loaders or people may read it; remove it"
    }


def test_line_ends_of_windows_are_called_so(copy):
    folder = copy("rook")
    card = (folder / "README.md").read_bytes()
    (folder / "README.md").write_bytes(card.replace(b"\n", b"\r\n"))
    causes = failing(verify(folder, only="integrity"))
    assert list(causes) == ["files"]
    assert "README.md has line ends of Windows (CRLF)" in causes["files"]
    assert causes["files"].endswith("write it with LF again")
    (folder / "README.md").write_bytes(card.replace(b"rook", b"bishop", 1).replace(b"\n", b"\r\n"))
    assert "bytes, the manifest says" in failing(verify(folder, only="integrity"))["files"]
