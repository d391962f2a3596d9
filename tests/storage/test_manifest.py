"""Manifests survive the way to disk and back, and nothing else passes for one."""

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qi_datasets import load_dataset
from qi_datasets.errors import NewerSetError, QIDatasetsError, StoredSetError
from qi_datasets.set_spec import IMAGENET_TERMS, MIT, SetSpec
from qi_datasets.sources import DemoSource
from qi_datasets.specs import SPECS
from qi_datasets.storage.manifest import (
    GENERATED,
    MANIFEST,
    PINNED,
    UNVERIFIED,
    VERIFIED,
    ConfigRecord,
    FileRecord,
    Manifest,
    SourceRecord,
    SplitRecord,
    library_versions,
    with_pixels,
)
from qi_datasets.storage.manifest_file import (
    MANIFEST_VERSION,
    SEAL,
    VERSION,
    _plainly_right,
    check_schema,
    parsed,
    text_of,
)
from tests.old_sets import as_0_1_0

texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=8)
numbers, names = st.integers(0, 10**12), st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,8}", fullmatch=True)
hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
wnids = st.just("") | st.from_regex(r"n[0-9]{8}", fullmatch=True)
sides = st.integers(1, 9336)
splits = st.builds(SplitRecord, numbers, hexes, st.lists(paths, min_size=1, max_size=2, unique=True))
configs = st.builds(ConfigRecord, st.integers(0, 4096), sides, st.dictionaries(names, splits, min_size=1, max_size=2))
manifests = st.builds(
    Manifest,
    name=names,
    spec_version=texts,
    package_version=texts,
    canonical=st.booleans(),
    pixels=st.sampled_from([PINNED, VERIFIED, UNVERIFIED]),
    layout=texts,
    size=sides,
    configs=st.dictionaries(names, configs, min_size=1, max_size=3),
    sources=st.dictionaries(
        names,
        st.lists(st.builds(SourceRecord, texts.filter(bool), wnids, numbers, hexes, hexes), max_size=2),
        max_size=2,
    ),
    files=st.dictionaries(paths, st.builds(FileRecord, numbers, hexes), max_size=3),
    libraries=st.dictionaries(texts, texts, max_size=3),
)
everything = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifests)
def test_a_manifest_survives_the_way_to_disk_and_back(tmp_path: Path, manifest: Manifest) -> None:
    manifest.write(tmp_path)

    assert Manifest.read(tmp_path) == manifest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(everything)
def test_other_json_is_no_manifest(tmp_path: Path, content: Any) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(content))

    with pytest.raises(StoredSetError, match="is no manifest of this package"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_other_bytes_are_no_manifest(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)

    with pytest.raises(StoredSetError, match="is no manifest of this package"):
        Manifest.read(tmp_path)


def test_without_a_manifest_a_folder_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(StoredSetError, match=f"without it {tmp_path} is no set"):
        Manifest.read(tmp_path)


def damaged(manifest: dict[str, Any]) -> dict[str, Any]:
    """Manifests with one thing wrong, by what is wrong."""
    config, record = manifest["configs"]["border_0"], next(iter(manifest["files"].values()))
    split = config["splits"]["train"]
    return {
        "no configs": manifest | {"configs": {}},
        "another config alone": manifest | {"configs": {"border_7": config}},
        "a config without splits": manifest | {"configs": {"border_0": config | {"splits": {}}}},
        "no version": {name: value for name, value in manifest.items() if name != "spec_version"},
        "something new": manifest | {"colour": "red"},
        "files as a list": manifest | {"files": [record]},
        "a file without a hash": manifest | {"files": {"README.md": {"bytes": 3}}},
        "a size that is a text": manifest | {"files": {"README.md": record | {"bytes": "three"}}},
        "files of a split that are a number": manifest
        | {"configs": {"border_0": config | {"splits": {"train": split | {"files": 3}}}}},
        "another version": manifest | {"spec_version": "0.9.0"},
        **{
            f"manifest version {number!r}": manifest | {"manifest_version": number}
            for number in (2, -1, "1", True, 1.0)
        },
        "manifest version 0 without its fields": manifest | {"manifest_version": 0},
    }


DAMAGES = (
    "no configs",
    "another config alone",
    "a config without splits",
    "no version",
    "something new",
    "files as a list",
    "a file without a hash",
    "a size that is a text",
    "files of a split that are a number",
    "another version",
    "manifest version 2",
    "manifest version -1",
    "manifest version '1'",
    "manifest version True",
    "manifest version 1.0",
    "manifest version 0 without its fields",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_one_of_our_errors(damage: str, qi_copy: Path) -> None:
    path = qi_copy / "qi" / MANIFEST
    path.write_text(text_of(damaged(json.loads(path.read_text()))[damage]))

    with pytest.raises(QIDatasetsError):
        load_dataset("qi", output=qi_copy)


def test_a_manifest_states_its_version(small_qi: Path) -> None:
    content = json.loads((small_qi / "qi" / MANIFEST).read_text())

    assert content["manifest_version"] == MANIFEST_VERSION
    assert not Manifest.read(small_qi / "qi").outdated


def test_a_manifest_of_0_1_0_is_read_as_version_0(qi_copy: Path) -> None:
    fresh = Manifest.read(qi_copy / "qi")
    as_0_1_0(qi_copy / "qi")

    old = Manifest.read(qi_copy / "qi")

    assert (old.manifest_version, old.outdated, old.package_version) == (0, True, "0.1.0")
    assert old.configs == fresh.configs


def test_a_later_version_asks_for_an_upgrade(qi_copy: Path) -> None:
    path = qi_copy / "qi" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"manifest_version": 2, "configs": "something new"}))

    with pytest.raises(NewerSetError, match=r"manifest\.json has version 2, this package knows 1; upgrade qi-datasets"):
        load_dataset("qi", output=qi_copy)


def test_files_that_are_gone_or_cut_off_are_found(qi_copy: Path) -> None:
    folder = qi_copy / "qi"
    manifest = Manifest.read(folder)
    gone, cut, *_ = manifest.files
    assert manifest.missing_files(folder) == []

    (folder / gone).unlink()
    (folder / cut).write_bytes((folder / cut).read_bytes()[:-1])

    assert manifest.missing_files(folder) == [gone, cut]


def test_it_says_with_which_libraries_a_set_was_made() -> None:
    versions = library_versions()

    assert versions["pillow"] == version("pillow")
    assert versions["numpy"] == version("numpy")
    assert {"libjpeg_turbo", "jpg"} & versions.keys()


def with_digests(spec: SetSpec, layout: str, digests: Mapping[str, str]) -> Manifest:
    """A manifest of a set of that layout whose splits have those digests."""
    splits = {split: SplitRecord(2, digest, []) for split, digest in digests.items()}
    config = ConfigRecord(0, spec.size, splits)
    return Manifest(spec.name, "1.0.0", "1", True, "?", layout, spec.size, {spec.config_of(0): config}, {})


@pytest.mark.parametrize(
    ("name", "layout", "pinned", "wanted"),
    [
        ("rook", GENERATED, SPECS["rook"].digests, "pinned"),
        ("red_green", GENERATED, SPECS["red_green"].digests, "pinned"),
        ("qi", DemoSource.layout, SPECS["qi"].demo_digests, "verified"),
        ("shifted", DemoSource.layout, SPECS["shifted"].demo_digests, "verified"),
    ],
)
def test_pixels_are_known_if_every_split_has_the_pinned_digest(
    name: str, layout: str, pinned: Mapping[str, str], wanted: str
) -> None:
    spec = SPECS[name]
    good = with_pixels(spec, with_digests(spec, layout, pinned))
    changed = with_pixels(spec, with_digests(spec, layout, {**pinned, next(iter(pinned)): "0" * 64}))

    assert (good.pixels, bool(good.verified_against)) == (wanted, wanted == "verified")
    assert (changed.pixels, changed.verified_against) == ("unverified", "")


def test_demo_digests_in_another_layout_verify_nothing() -> None:
    spec = SPECS["qi"]

    assert with_pixels(spec, with_digests(spec, "flat folder", spec.demo_digests)).pixels == "unverified"


def test_photographs_keep_their_terms_and_demo_pictures_are_ours() -> None:
    spec = SPECS["qi"]
    photos, demo = (with_digests(spec, layout, {"train": "0"}) for layout in ("tar", DemoSource.layout))

    assert (photos.licence(spec), photos.publishable(spec)) == (IMAGENET_TERMS, False)
    assert (demo.licence(spec), demo.publishable(spec)) == (MIT, True)


def test_pixels_of_a_set_without_pinned_digests_are_unverified(small_qi: Path) -> None:
    manifest = Manifest.read(small_qi / "qi")

    assert manifest.pixels == "unverified"
    assert manifest.borders == {0, 16}


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
        parsed(text_of(content).encode())
    assert len(str(raised.value).splitlines()) == 1


def test_a_change_that_keeps_the_form_is_found_by_the_digest_of_its_own(small_qi: Path) -> None:
    text = (small_qi / "qi" / MANIFEST).read_text()
    assert parsed(text.encode())["layout"] == "flat folder"

    with pytest.raises(ValueError, match="was changed after it was written"):
        parsed(text.replace('"flat folder"', '"demo pictures"').encode())
    assert parsed(json.dumps(json.loads(text)).encode()) == parsed(text.encode()), "white space says nothing"


def test_one_without_a_version_reads_as_of_0_1_0(small_qi: Path) -> None:
    content = json.loads((small_qi / "qi" / MANIFEST).read_text())
    del content[SEAL], content[VERSION], content["verified_against"]

    assert parsed(json.dumps(content).encode())[VERSION] == 0
    for half in (SEAL, VERSION):
        with pytest.raises(ValueError, match="is a dependency of"):
            parsed(json.dumps(content | {half: "0" * 64 if half == SEAL else 1}).encode())


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"sources":[{"a":'])
def test_depth_is_bounded(opening: bytes) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting|is not|required"):
        parsed(opening * 100_000)
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting|is not|required"):
        parsed(b'{"sources": {"train": [' + b"[" * 900 + b"]" * 900 + b"]}}")


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
