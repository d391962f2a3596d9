"""The same images give the same set, in every layout, with any number of threads, and whatever was there before."""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qi_datasets import load_dataset
from qi_datasets.building.build import build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import BuilderError, OptionError, SourceError
from qi_datasets.sources import DemoSource, open_source
from qi_datasets.specs import CORNER, QI, ROOK, SPECS
from qi_datasets.storage.location import set_folder
from qi_datasets.storage.manifest import MANIFEST, Manifest
from tests import expected, pictures
from tests.building.small_builds import ALONE, built, digests, plan_of


@pytest.fixture(scope="module")
def published(album: dict[str, bytes]) -> dict[tuple[str, str], str]:
    """Computes digests of the album's set from its files and the specification alone."""
    names = expected.in_order(album)
    parts = {"train": names[:4], "validation": names[4:8], "test": names[8:12]}
    return {
        (f"border_{border}", split): expected.quadrant_digest(album, members, border)
        for border in (0, 16)
        for split, members in parts.items()
    }


@pytest.mark.parametrize("layout", pictures.LAYOUTS)
def test_every_layout_gives_the_published_set(
    layout: str, album: dict[str, bytes], published: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    place = pictures.LAYOUTS[layout](album, tmp_path / "images")

    one = built(place, tmp_path / "out", (0, 16))

    assert digests(one.manifest) == published
    assert {path.name for path in one.folder.iterdir()} == {
        MANIFEST,
        "README.md",
        "croissant.json",
        "preview.png",
        "border_0",
        "border_16",
    }
    rows = load_dataset("qi", output=tmp_path / "out")["test"]
    assert rows["wnid"][:] == list(map(expected.val_wnid, rows["source"]))


def test_the_order_of_files_is_irrelevant(
    album: dict[str, bytes], published: dict[tuple[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backwards = dict(reversed(album.items()))
    scan, listdir = os.scandir, os.listdir

    class Reversed:
        def __init__(self, *arguments: object) -> None:
            with scan(*arguments) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("qi_datasets.sources.folders.os.scandir", Reversed)
    monkeypatch.setattr(os, "listdir", lambda *arguments: sorted(listdir(*arguments), reverse=True))
    for layout in ("class_folders", "tar_file", "shards"):
        place = pictures.LAYOUTS[layout](backwards, tmp_path / layout)
        plan = plan_of(place, (0, 16))
        monkeypatch.setattr(os, "scandir", scan)
        assert digests(build_set(plan, tmp_path / f"out {layout}", engine=ALONE).manifest) == published
        monkeypatch.setattr("qi_datasets.sources.folders.os.scandir", Reversed)


def test_the_number_of_threads_is_irrelevant(tmp_path: Path) -> None:
    splits = {"qi": {"train": 20, "validation": 17, "test": 4}}
    source = open_source(pictures.flat(pictures.album(41), tmp_path / "images"))
    plan = plan_set(QI, source, splits=splits, official=False, borders=[16])

    one = build_set(plan, tmp_path / "one", engine=ALONE)
    two = build_set(plan, tmp_path / "two", engine=Engine(2))

    assert two.manifest == one.manifest
    for name in one.manifest.files:
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


def test_a_set_is_the_same_in_every_byte_when_built_again(flat_folder: str, tmp_path: Path) -> None:
    first, second = (built(flat_folder, tmp_path / name) for name in ("first", "second"))

    for path in first.folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (second.folder / path.relative_to(first.folder)).read_bytes()


def test_the_manifest_knows_every_source_file_and_patch(album: dict[str, bytes], small_qi: Path) -> None:
    manifest = Manifest.read(small_qi / "qi")
    names = expected.in_order(album)

    records = [record for split in ("train", "validation", "test") for record in manifest.sources[split]]
    assert [record.name for record in records] == names[:12]
    for record in records:
        assert record.bytes == len(album[record.name])
        assert record.sha256 == hashlib.sha256(album[record.name]).hexdigest()
        patch = expected.quadrant_patch(album[record.name])
        assert record.patch_sha256 == hashlib.sha256(patch.tobytes()).hexdigest()


class TestCanonical:
    @pytest.mark.parametrize("layout", ["flat", "class_folders", "kaggle", "tar_in_folder", "shards"])
    def test_the_selected_ids_make_it_canonical_in_every_layout(self, layout: str, tmp_path: Path) -> None:
        files = {pictures.name_of(number): b"not yet read" for number in expected.official_ids()[:3001]}
        place = pictures.LAYOUTS[layout](files, tmp_path)

        plan = plan_set(QI, open_source(place))

        assert plan.canonical
        names = [image.name for split in ("train", "validation", "test") for image in plan.images[split]]
        assert names == list(files)[:3000]

    def test_1000_per_split_given_by_the_user_is_canonical_if_it_is_the_same(self, official_folder: Path) -> None:
        splits = {"qi": dict.fromkeys(QI.splits, 1000)}

        assert plan_set(QI, open_source(official_folder), splits=splits, official=False).canonical

    def test_other_sizes_canvases_and_images_are_not(self, official_folder: Path, tmp_path: Path) -> None:
        source = open_source(official_folder)
        folder = tmp_path / "others"
        for number in range(3000):
            pictures.write(folder / f"{number}.jpg", b"not yet read")

        assert not plan_set(QI, source, size=128).canonical
        assert not plan_set(QI, source, splits={"qi": dict.fromkeys(QI.splits, 999)}, official=False).canonical
        assert not plan_set(QI, open_source(folder)).canonical
        assert not plan_set(CORNER, size=7).canonical
        assert plan_set(CORNER).canonical

    def test_one_missing_image_ends_it(self, official_copy: Path) -> None:
        name = pictures.name_of(expected.official_ids()[1234])
        (official_copy / f"{name}.JPEG").unlink()

        with pytest.raises(SourceError, match=f"1 of the 3000 .*{name}"):
            plan_set(QI, open_source(official_copy))


@pytest.mark.parametrize("rank", [0, 5, 11])
@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "no image", "truncated"])
@pytest.mark.parametrize("layout", ["flat", "tar_file", "shards"])
def test_a_damaged_image_is_named_and_leaves_nothing(
    layout: str, rank: int, content: bytes | None, album: dict[str, bytes], tmp_path: Path
) -> None:
    name = expected.in_order(album)[rank]
    damaged = album | {name: album[name][:-40] if content is None else content}
    place = pictures.LAYOUTS[layout](damaged, tmp_path / "images")

    with pytest.raises(SourceError, match=name) as raised:
        built(place, tmp_path / "a" / "out")

    assert str(tmp_path / "a") not in str(raised.value), "a temporary file that is gone by now"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not {"images", ".qi.lock"} & {*path.parts}]


def test_an_image_that_vanishes_meanwhile_leaves_nothing(album: dict[str, bytes], tmp_path: Path) -> None:
    place = pictures.flat(album, tmp_path / "images")
    plan = plan_of(place)
    shutil.rmtree(place)

    with pytest.raises(SourceError, match="cannot read"):
        build_set(plan, tmp_path / "out", engine=ALONE)

    assert [path.name for path in (tmp_path / "out").iterdir()] == [".qi.lock"]


def test_many_builders_at_once_make_one_set(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        sets = list(pool.map(lambda _: build_set(plan_set(CORNER), tmp_path), range(12)))

    assert sum(one.made for one in sets) == 1
    assert len({json.dumps(digests(one.manifest)["default", "train"]) for one in sets}) == 1


def test_pixels_that_differ_from_the_pinned_ones_are_never_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qi_datasets.builders.rook.GREY_PER_DIGIT", 27)

    with pytest.raises(BuilderError, match="rook: the pixels differ from the pinned ones"):
        build_set(plan_set(ROOK), tmp_path / "out")

    assert [path.name for path in (tmp_path / "out").iterdir()] == [".rook.lock"]


def test_sets_of_other_sizes_live_in_folders_of_their_own(tmp_path: Path) -> None:
    build_set(plan_set(CORNER, size=7), tmp_path)
    build_set(plan_set(CORNER), tmp_path)

    assert set_folder(tmp_path, CORNER, 7) == tmp_path / "corner-size_7"
    assert set_folder(tmp_path, QI, 128) == tmp_path / "qi-canvas_128"
    assert Manifest.read(tmp_path / "corner-size_7").size == 7
    assert Manifest.read(tmp_path / "corner").size == 5


def test_options_are_checked_before_anything_is_written(flat_folder: str) -> None:
    with pytest.raises(OptionError, match="border must be an integer from 0 to 4096, not -1"):
        plan_of(flat_folder, (0, -1))
    with pytest.raises(OptionError, match="canvas"):
        plan_of(flat_folder, size=113)
    with pytest.raises(OptionError, match="qi is made from images: give imagenet_val=PATH, or demo=True"):
        plan_set(QI)
    assert plan_set(QI, DemoSource.of(3000)).borders == QI.borders
    assert plan_of(flat_folder, (64,)).borders == (0, 64)


@pytest.mark.parametrize("name", sorted({"rook", "qi"} & set(SPECS)))
def test_a_set_may_lie_behind_a_url(name: str, flat_folder: str, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.as_posix()}/{name}"
    plan = plan_of(flat_folder) if name == "qi" else plan_set(SPECS[name])

    assert build_set(plan, url, engine=ALONE).made
    assert not build_set(plan, url, engine=ALONE).made
    local = build_set(plan, tmp_path, engine=ALONE)

    assert digests(local.manifest) == digests(Manifest.read(f"{url}/{name}"))
    there, here = (
        load_dataset(name, output=place, border=3, split="train", streaming=True) for place in (url, tmp_path)
    )
    for one, other in zip(there, here, strict=True):
        assert one.pop("image").tobytes() == other.pop("image").tobytes()
        assert one == other
