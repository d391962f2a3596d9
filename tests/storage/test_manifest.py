"""Manifests are the same after writing and reading, and nothing else is accepted as one."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from qi_datasets import load_dataset
from qi_datasets.errors import NewerSetError, QIDatasetsError, StoredSetError
from qi_datasets.set_spec import IMAGENET_TERMS, MIT, SetSpec
from qi_datasets.sources import DemoSource
from qi_datasets.specs import SPECS
from qi_datasets.storage.manifest import (
    DEMO_DIGESTS,
    GENERATED,
    MANIFEST,
    ConfigRecord,
    Manifest,
    SourceRecord,
    SplitRecord,
    library_versions,
    with_pixels,
)
from qi_datasets.storage.manifest_file import (
    MANIFEST_VERSION,
    text_of,
)
from tests.old_sets import as_0_1_0
from tests.refusals import refused
from tests.storage.strategies import everything, manifests


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


def made_of(split_pictures: Mapping[str, str], **facts: Any) -> Manifest:
    """Returns a manifest of pictures, a letter each, by split."""
    sources = {
        split: [SourceRecord(f"{split}{place}", "", 1, "", letter) for place, letter in enumerate(letters)]
        for split, letters in split_pictures.items()
    }
    empty: dict[str, Any] = {"configs": {}, "layout": "a folder", "size": 120, "verified_against": ""}
    return Manifest(name="qi", spec_version="1.0.0", package_version="1", sources=sources, **{**empty, **facts})


APART, SHARED = {"train": "ab", "test": "cd"}, {"train": "ab", "test": "bc"}
TRACK_OF: dict[str, tuple[Mapping[str, str], dict[str, Any], str]] = {
    "pinned": (APART, {"canonical": True, "pixels": "pinned"}, "official"),
    "a recipe": (APART, {"canonical": True, "pixels": "verified", "verified_against": "org/qi"}, "official"),
    "names alone": (APART, {"canonical": True, "pixels": "unverified"}, "unverified"),
    "one split's pictures twice": (
        {"train": "aa", "test": "b"},
        {"canonical": True, "pixels": "unverified"},
        "unverified",
    ),
    "pictures in two splits": (SHARED, {"canonical": True, "pixels": "unverified"}, "other"),
    "a recipe of such": (SHARED, {"canonical": True, "pixels": "verified", "verified_against": "org/qi"}, "other"),
    "pinned, whatever they are": (SHARED, {"canonical": True, "pixels": "pinned"}, "official"),
    "other names": (APART, {"canonical": False, "pixels": "verified", "verified_against": "org/qi"}, "other"),
    "demo pictures": (
        APART,
        {"canonical": False, "pixels": "verified", "verified_against": DEMO_DIGESTS, "layout": DemoSource.layout},
        "demo",
    ),
    "some demo pictures": (APART, {"canonical": False, "pixels": "unverified", "layout": DemoSource.layout}, "other"),
}


@pytest.mark.parametrize(("pictures", "facts", "track"), TRACK_OF.values(), ids=TRACK_OF)
def test_a_track_is_what_the_pixels_were_compared_with(
    pictures: Mapping[str, str], facts: dict[str, Any], track: str
) -> None:
    manifest = made_of(pictures, **facts)

    assert manifest.track == manifest.provenance["track"] == track
    assert ("several splits" in manifest.caveat) == (pictures is SHARED)
    assert (manifest.caveat == "qi: official names, pixels unverified") == (track == "unverified" and pictures is APART)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_other_bytes_are_no_manifest(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)

    with pytest.raises(StoredSetError, match="is no manifest of this package"):
        Manifest.read(tmp_path)


def test_without_a_manifest_a_folder_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(StoredSetError, match=f"without it {tmp_path} is no set"):
        Manifest.read(tmp_path)


def damaged(manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns manifests with one fault, by their fault."""
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

    with refused(
        NewerSetError, "newer-version", match=r"manifest\.json has version 2, this package knows 1; upgrade qi-datasets"
    ):
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
    """Returns a manifest of a set of that layout whose splits have those digests."""
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


def test_a_pointer_of_git_lfs_in_the_place_of_a_manifest_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")

    with pytest.raises(StoredSetError, match="run git lfs pull"):
        Manifest.read(tmp_path)
