"""A manifest's file: every field's type and range, the digest of its own, old versions, bounds."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.errors import StoredSetError
from qi_datasets.storage.manifest import (
    MANIFEST,
    Manifest,
)
from qi_datasets.storage.manifest_file import (
    SEAL,
    VERSION,
    _plainly_right,
    check_schema,
    parse_manifest,
    text_of,
)
from tests.storage.strategies import hexes, names, texts, wnids


def at(content: dict[str, Any], *path: str | int) -> Any:
    for step in path:
        content = content[step]
    return content


CHANGES: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "a path that leads out": (("files", "../README.md"), {"bytes": 1, "sha256": "0" * 64}),
    "an absolute path": (("files", "/dev/zero"), {"bytes": 1, "sha256": "0" * 64}),
    "a path with a dot folder": (("files", "a/./b"), {"bytes": 1, "sha256": "0" * 64}),
    "a path of a hidden file": (("files", ".hidden"), {"bytes": 1, "sha256": "0" * 64}),
    "a path with a null byte": (("files", "a\0b"), {"bytes": 1, "sha256": "0" * 64}),
    "a path with a line break at its end": (("files", "README.md\n"), {"bytes": 1, "sha256": "0" * 64}),
    "a split file that leads out": (("configs", "border_0", "splits", "test", "files"), ["../../qi/x.parquet"]),
    "a split file twice": (("configs", "border_0", "splits", "test", "files"), ["a.parquet", "a.parquet"]),
    "no split file": (("configs", "border_0", "splits", "test", "files"), []),
    "a surrogate": (("sources", "train", 0, "name"), "a\ud800"),
    "a null byte in a source": (("sources", "train", 0, "name"), "a\0"),
    "an empty source": (("sources", "train", 0, "name"), ""),
    "a synset that is none": (("sources", "train", 0, "wnid"), "cat"),
    "a hash that is a fraction": (("sources", "train", 0, "sha256"), 0.5),
    "a hash in capitals": (("sources", "train", 0, "sha256"), "A" * 64),
    "a short hash": (("sources", "train", 0, "patch_sha256"), "0" * 63),
    "negative bytes": (("sources", "train", 0, "bytes"), -1),
    "bytes that are true": (("sources", "train", 0, "bytes"), True),
    "a source that is a list": (("sources", "train", 0), []),
    "a source with a further field": (("sources", "train", 0, "path"), "x"),
    "a huge border": (("configs", "border_0", "border"), 1 << 40),
    "a border that is a whole fraction": (("configs", "border_0", "border"), 0.0),
    "a negative border": (("configs", "border_0", "border"), -1),
    "a size of nothing": (("size",), 0),
    "canonical as a number": (("canonical",), 1),
    "pixels of an unknown kind": (("pixels",), "surely"),
    "a layout that is a list": (("layout",), ["demo pictures"]),
    "a library without a version": (("libraries", "numpy"), None),
    "a split whose name leads out": (("configs", "border_0", "splits", "../x"), {}),
    "a name with an escape": (("name",), "qi\x1b[2J"),
}


@pytest.mark.parametrize(("path", "value"), CHANGES.values(), ids=CHANGES)
def test_every_field_has_its_type_and_range(path: tuple[str | int, ...], value: Any, small_qi: Path) -> None:
    content = json.loads((small_qi / "qi" / MANIFEST).read_text())
    at(content, *path[:-1])[path[-1]] = value

    with pytest.raises(ValueError, match=r"\w") as raised:
        parse_manifest(text_of(content).encode())
    assert len(str(raised.value).splitlines()) == 1


def test_a_change_that_keeps_the_form_is_found_by_the_digest_of_its_own(small_qi: Path) -> None:
    text = (small_qi / "qi" / MANIFEST).read_text()
    assert parse_manifest(text.encode())["layout"] == "flat folder"

    with pytest.raises(ValueError, match="was changed after it was written"):
        parse_manifest(text.replace('"flat folder"', '"demo pictures"').encode())
    assert parse_manifest(json.dumps(json.loads(text)).encode()) == parse_manifest(text.encode()), (
        "white space says nothing"
    )


def test_one_without_a_version_reads_as_of_0_1_0(small_qi: Path) -> None:
    content = json.loads((small_qi / "qi" / MANIFEST).read_text())
    del content[SEAL], content[VERSION], content["verified_against"]

    assert parse_manifest(json.dumps(content).encode())[VERSION] == 0
    for half in (SEAL, VERSION):
        with pytest.raises(ValueError, match="is a dependency of"):
            parse_manifest(json.dumps(content | {half: "0" * 64 if half == SEAL else 1}).encode())


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"sources":[{"a":'])
def test_depth_is_bounded(opening: bytes) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting|is not|required"):
        parse_manifest(opening * 100_000)
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting|is not|required"):
        parse_manifest(b'{"sources": {"train": [' + b"[" * 900 + b"]" * 900 + b"]}}")


@given(
    st.fixed_dictionaries(
        {
            "name": texts | names | st.integers(),
            "wnid": wnids | texts | st.none(),
            "bytes": st.integers() | st.booleans() | st.floats(),
            "sha256": hexes | texts,
            "patch_sha256": hexes,
        },
        optional={"more": st.none()},
    )
)
def test_what_the_shortcut_takes_the_schema_takes(small_manifest: dict[str, Any], record: dict[str, Any]) -> None:
    if _plainly_right(record):
        small_manifest["sources"] = {"train": [record | {"name": record["name"] + " "}]}
        check_schema(small_manifest)


@pytest.fixture(scope="module")
def small_manifest(small_qi: Path) -> dict[str, Any]:
    return dict(json.loads((small_qi / "qi" / MANIFEST).read_text()))


def test_a_pipe_in_its_place_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MANIFEST)

    with pytest.raises(StoredSetError, match="no regular file"):
        Manifest.read(tmp_path)
