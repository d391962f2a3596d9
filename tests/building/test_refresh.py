"""A set of 0.1.0 is completed without a source image, and is then the same as a fresh build."""

import json
from dataclasses import replace
from pathlib import Path

import datasets
import fsspec
import pytest

from qi_datasets.building.build import BuiltSet, Outcome, build_set, refresh_set
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import NewerSetError, OptionError, StoredSetError
from qi_datasets.sources import open_source
from qi_datasets.specs import QI, ROOK, SHIFTED, SPECS
from qi_datasets.storage.manifest import MANIFEST, Manifest
from qi_datasets.storage.manifest_file import MANIFEST_VERSION
from tests import expected, pictures
from tests.building.small_builds import ALONE, FOUR, built, contents, digests
from tests.old_sets import as_0_1_0
from tests.refusals import refused

SIZES = FOUR | {"shifted": {"test": 3}}
BORDERS = {"qi": [0, 16], "shifted": None, "rook": None}
BLANK = {"qi": ("wnid",), "shifted": ("wnid", "label"), "rook": ()}


def build(name: str, place: str, output: Path, **options: object) -> BuiltSet:
    """Builds `qi` with 4 sources per split, `shifted` with 3, or a generated set."""
    spec = SPECS[name]
    source = open_source(place) if spec.needs_images else None
    plan = plan_set(spec, source, splits=SIZES, official=False, borders=BORDERS[name])
    return build_set(plan, output, engine=ALONE, **options)


@pytest.fixture(params=["qi", "shifted", "rook"])
def old(request: pytest.FixtureRequest, flat_folder: str, tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """Returns the folder of a set of 0.1.0, and the content of a fresh build."""
    folder = build(request.param, flat_folder, tmp_path).folder
    fresh = contents(folder)
    as_0_1_0(folder, *BLANK[request.param])
    assert contents(folder) != fresh
    return folder, fresh


def test_it_becomes_a_fresh_build_byte_by_byte(old: tuple[Path, dict[str, bytes]], flat_folder: str) -> None:
    folder, fresh = old
    before = digests(Manifest.read(folder))

    one = build(folder.name, flat_folder, folder.parent)

    assert one.outcome is Outcome.REFRESHED
    assert contents(folder) == fresh
    assert digests(one.manifest) == before
    assert one.manifest == Manifest.read(folder)
    assert build(folder.name, flat_folder, folder.parent).outcome is Outcome.FOUND


def test_it_needs_no_source(old: tuple[Path, dict[str, bytes]]) -> None:
    folder, fresh = old

    one = refresh_set(folder)

    assert one is not None
    assert one.outcome is Outcome.REFRESHED
    assert contents(folder) == fresh
    assert refresh_set(folder) is None
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".{folder.name}.lock"}


def test_it_may_lie_behind_a_url(old: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    folder, fresh = old
    url = f"memory://{tmp_path.as_posix()}/{folder.name}"
    fs = fsspec.filesystem("memory")
    for name, content in contents(folder).items():
        fs.makedirs(f"{tmp_path}/{folder.name}/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{tmp_path}/{folder.name}/{name}", content)

    assert refresh_set(url) is not None

    found = fs.find(f"{tmp_path}/{folder.name}")
    assert {name.removeprefix(f"{tmp_path}/{folder.name}/"): fs.cat_file(name) for name in found} == fresh


def test_a_set_of_several_files_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(QI, rows_per_file=105)
    monkeypatch.setattr("qi_datasets.builders.quadrant.Quadrant.spec", spec)
    monkeypatch.setattr("qi_datasets.registry.SPECS", {"qi": spec})
    picture = pictures.encoded(pictures.picture(1))
    place = pictures.flat({pictures.name_of(number): picture for number in range(1, 61)}, tmp_path / "val")
    sizes = {"qi": {"train": 55, "validation": 3, "test": 2}}
    plan = plan_set(spec, open_source(place), splits=sizes, official=False, borders=[0])
    one = build_set(plan, tmp_path, engine=ALONE)
    fresh = contents(one.folder)
    assert len(one.manifest.configs["border_0"].splits["train"].files) == 2
    as_0_1_0(one.folder, "wnid")

    assert refresh_set(one.folder) is not None

    assert contents(one.folder) == fresh


def test_where_there_is_nothing_there_is_nothing_to_refresh(tmp_path: Path) -> None:
    assert refresh_set(tmp_path / "new" / "qi") is None
    assert list(tmp_path.iterdir()) == []


def test_synsets_that_a_layout_told_stay_unless_imagenet_has_others(album: dict[str, bytes], tmp_path: Path) -> None:
    official = pictures.name_of(1)
    files = {"n02119789/a.jpg": album[pictures.name_of(2)], "b.jpg": album[pictures.name_of(3)]}
    for name, content in files.items():
        pictures.write(tmp_path / "images" / name, content)
    splits = {"qi": dict.fromkeys(QI.splits, 0), "shifted": {"test": 2}}
    others = build_set(plan_set(SHIFTED, open_source(tmp_path / "images"), splits=splits), tmp_path / "others").folder
    pictures.write(tmp_path / "val" / "n02119789" / f"{official}.JPEG", album[official])
    one = {"qi": dict.fromkeys(QI.splits, 0), "shifted": {"test": 1}}
    val = build_set(
        plan_set(SHIFTED, open_source(tmp_path / "val"), splits=one, official=False), tmp_path / "val sets"
    ).folder
    for folder in (others, val):
        as_0_1_0(folder)
    manifest = json.loads((val / MANIFEST).read_text())
    manifest["sources"]["test"][0]["wnid"] = "n02119789"
    (val / MANIFEST).write_text(json.dumps(manifest))

    refreshed = {folder: refresh_set(folder) for folder in (others, val)}

    assert {source.name: source.wnid for source in refreshed[others].manifest.sources["test"]} == {
        "n02119789/a.jpg": "n02119789",
        "b.jpg": "",
    }
    assert refreshed[val].manifest.sources["test"][0].wnid == expected.val_wnid(official)


def test_a_users_file_in_the_folder_is_kept(old_qi: Path, untouched) -> None:
    (old_qi / "notes.txt").write_text("mine")
    before = untouched(old_qi)

    with refused(
        StoredSetError, "other-set", match=r"qi holds notes\.txt, which is not a file of the set; move it elsewhere"
    ):
        refresh_set(old_qi)

    assert untouched(old_qi) == before


def test_what_is_known_of_the_pixels_is_this_versions(tmp_path: Path) -> None:
    folder = build_set(plan_set(ROOK), tmp_path).folder
    as_0_1_0(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"pixels": "unverified"}))

    assert refresh_set(folder).manifest.pixels == "pinned"


def test_stock_datasets_reads_the_new_labels_not_its_cache_of_the_old(old_qi: Path, tmp_path: Path) -> None:
    def stock() -> list[str]:
        return datasets.load_dataset(str(old_qi), "border_16", split="test", cache_dir=str(tmp_path / "cache"))["wnid"][
            :
        ]

    assert set(stock()) == {""}
    refresh_set(old_qi)

    assert stock()[::2] == [expected.val_wnid(source.name) for source in Manifest.read(old_qi).sources["test"]]


@pytest.mark.parametrize("name", ["../rook/{}", "/elsewhere/{}", "default/../../{}"])
def test_a_manifest_names_no_file_outside_its_set(name: str, tmp_path: Path) -> None:
    folder = build_set(plan_set(ROOK), tmp_path).folder
    as_0_1_0(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (file,) = manifest["configs"]["default"]["splits"]["train"]["files"]
    manifest["configs"]["default"]["splits"]["train"]["files"] = [name.format(file)]
    manifest["files"][name.format(file)] = manifest["files"][file]
    (folder / MANIFEST).write_text(json.dumps(manifest))

    with pytest.raises(StoredSetError, match="is no manifest of this package"):
        refresh_set(folder)


class TestALaterVersion:
    @pytest.fixture
    def later(self, tmp_path: Path) -> Path:
        folder = build_set(plan_set(ROOK), tmp_path).folder
        manifest = json.loads((folder / MANIFEST).read_text())
        later = {"manifest_version": MANIFEST_VERSION + 1, "colour": "red"}
        (folder / MANIFEST).write_text(json.dumps(manifest | later))
        return folder

    def test_it_is_not_replaced_unasked(self, later: Path, untouched) -> None:
        before = untouched(later)

        for attempt in (refresh_set, lambda _: build_set(plan_set(ROOK), later.parent)):
            with refused(
                NewerSetError, "newer-version", match="has version 2, this package knows 1; upgrade qi-datasets"
            ):
                attempt(later)

        assert untouched(later) == before

    def test_force_replaces_it(self, later: Path) -> None:
        assert build_set(plan_set(ROOK), later.parent, force=True).made


def test_the_data_version_must_be_this_packages(tmp_path: Path) -> None:
    folder = build_set(plan_set(ROOK), tmp_path).folder
    as_0_1_0(folder)
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spec_version": "0.9.0"}))

    assert refresh_set(folder) is None


def test_options_are_errors_before_anything_is_refreshed(old_qi: Path, flat_folder: str, untouched) -> None:
    before = untouched(old_qi)

    with pytest.raises(OptionError):
        built(flat_folder, old_qi.parent, (-1,))

    assert untouched(old_qi) == before
