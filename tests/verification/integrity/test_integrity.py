"""Checks that the sabotage table lacks: damaged rows and columns, further sets, sets of other packages."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from qi_datasets import registry
from qi_datasets.builder import GeneratedSet, Row
from qi_datasets.building.build import build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import plan_set
from qi_datasets.pixels.geometry import whole
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import open_source
from qi_datasets.specs import QI, SHIFTED, SPECS
from qi_datasets.storage.card import write_card
from qi_datasets.storage.manifest import Manifest
from qi_datasets.verification.integrity import integrity
from qi_datasets.verification.integrity.integrity import CHECKS, check_integrity
from qi_datasets.verification.integrity.quadrant import leaking_strides
from qi_datasets.verification.report.report import Status
from qi_datasets.verification.stored_folder import StoredFolder
from qi_datasets.verification.verify import verify
from tests import pictures
from tests.verification.reports import failing
from tests.verification.sabotage import hide, pixels, put, read_manifest, rewrite, write_manifest


def test_names_in_the_table_are_unique():
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_an_image_of_another_size_or_mode_is_told(copy):
    folder = copy("qi")
    rewrite(folder, "test", lambda rows, border: put(rows[0], pixels(rows[0])[1:, 1:]), ["border_0"])
    rewrite(folder, "train", lambda rows, border: put(rows[0], pixels(rows[0])[:, :, 0]), ["border_16"])
    found = failing(verify(folder, only="integrity"))
    assert "border_0/test row 0 is 119x119 RGB, not 120x120 RGB" in found["images"]
    assert "border_16/train row 0 is 152x152 L, not 152x152 RGB" in found["images"]
    assert "no such row in border_0" in found["borders"]


def test_columns_of_a_border_config_must_follow_the_border(copy):
    folder = copy("qi")
    rewrite(folder, "test", lambda rows, border: rows[2].update(x=rows[2]["x"] + 1), ["border_16"])
    hide(folder)
    assert "border_16/test row 2: x is 17, but 16 by border_0" in failing(verify(folder, only="integrity"))["borders"]


def test_a_border_that_is_not_black_is_told(copy):
    def change(rows, border):
        image = pixels(rows[0])
        image[0, 0] = 1
        put(rows[0], image)

    folder = copy("qi")
    rewrite(folder, "test", change, ["border_16"])
    hide(folder)
    cause = failing(verify(folder, only="integrity"))["borders"]
    assert "border_16/test row 0: there is content from row 0, column 0" in cause


def test_columns_of_a_generated_set_are_compared_with_its_builder(copy):
    folder = copy("red_green")
    rewrite(folder, "train", lambda rows, border: rows[3].update(ry=0))
    found = failing(verify(folder, only="integrity"))
    assert found["columns"].startswith("default/train row 3: ry is 0, but ")
    assert "default/train row 3" in found["boxes"]


def test_a_label_that_is_more_frequent_is_told(copy):
    folder = copy("qi")
    rewrite(folder, "test", lambda rows, border: rows[2].update(label=1))
    found = failing(verify(folder, only="integrity"))
    assert found["balance"] == "test has 3 upper_left, 5 bottom_right"


def test_moved_dissimilar_pictures_are_told(copy):
    folder = copy("red_green")
    rewrite(folder, "test_dissimilar", lambda rows, border: put(rows[4], np.roll(pixels(rows[4]), 1, axis=0)))
    hide(folder)
    found = failing(verify(folder, only="integrity"))
    assert "test_dissimilar row 4 is not the image of test_similar row 4 moved by 16 rows" in found["pairs"]
    assert {"pixels", "boxes", "pinned"} <= found.keys()


def test_shifted_pairs_label_and_image_follow_from_the_names(copy):
    folder = copy("shifted")

    def change(rows, border):
        rows[0]["pairs"][2][1] += 1
        rows[1]["label"] = 7
        rows[2]["image"], rows[3]["image"] = rows[3]["image"], rows[2]["image"]

    rewrite(folder, "test", change)
    hide(folder, digests=False)
    found = failing(verify(folder, only="integrity"))
    assert "default/test row 0: pairs" in found["drawn"]
    assert "row 1: label 7, but -1 is no synset" in found["drawn"]
    assert "row 2" in found["base"]
    assert "row 3" in found["base"]
    assert "files" not in found


def test_the_same_pixels_under_two_names_are_a_warning(copy):
    taken = {}

    def keep(rows, border):
        taken[border] = [row["image"]["bytes"] for row in rows[:2]]

    def change(rows, border):
        for row, image in zip(rows, taken[border], strict=False):
            row["image"]["bytes"] = image

    folder = copy("qi")
    rewrite(folder, "train", keep)
    rewrite(folder, "test", change)
    manifest = read_manifest(folder)
    manifest["sources"]["test"][0]["patch_sha256"] = manifest["sources"]["train"][0]["patch_sha256"]
    write_manifest(folder, manifest)
    hide(folder)
    write_card(folder, QI, Manifest.read(folder))
    hide(folder)
    report = verify(folder, only="integrity")
    check = report.check("qi", "duplicates")
    assert check.status is Status.WARN
    assert "(train)" in check.cause
    assert "(test)" in check.cause
    assert report.exit_status == 0


def test_two_threads_and_two_processes_find_what_one_finds(copy, monkeypatch):
    monkeypatch.setattr(integrity, "WORTH_PROCESSES", 1)
    folder = copy("qi")
    rewrite(folder, "train", lambda rows, border: [row.update(label=0) for row in rows])
    stored = StoredFolder.open(folder)
    engines = (Engine(1), Engine(2), Engine(2, processes=True))
    alone, together, apart = (check_integrity(stored, engine=engine) for engine in engines)
    assert alone == together == apart
    assert any(check.status is Status.FAIL for check in alone.checks)


@pytest.mark.parametrize("name", ["rook", "corner", "red_green"])
def test_rows_are_read_in_chunks_and_a_generated_set_is_made_once_for_all(name, good, monkeypatch):
    """So that memory stays flat."""
    asked, made = [], Counter()
    read = integrity.read_chunk

    def counted(stored, stretch, *options):
        asked.append(stretch.stop - stretch.start)
        return read(stored, stretch, *options)

    monkeypatch.setattr(integrity, "read_chunk", counted)
    builder = type(registry.builder_of(SPECS[name], SPECS[name].size))
    rows = builder.rows

    def noted(self, split):
        for row in rows(self, split):
            made[split] += 1
            yield row

    monkeypatch.setattr(builder, "rows", noted)
    check_integrity(StoredFolder.open(good / name))
    splits = dict(SPECS[name].splits)
    assert made == splits
    assert (max(asked), sum(asked)) == (min(100, max(splits.values())), sum(splits.values()))


@pytest.mark.parametrize(
    ("distance", "strides"), [(64, []), (56, [16, 32, 64]), (32, [64]), (57, [2, 4, 8, 16, 32, 64])]
)
def test_leaking_strides(distance, strides):
    assert leaking_strides(distance) == strides


class Stripes(GeneratedSet):
    """A set of another package."""

    spec = SetSpec(
        name="stripes",
        title="Stripes",
        summary="",
        builder="",
        mode="L",
        size=6,
        labels=("a", "b"),
        splits={"train": 4},
    )

    def rows(self, split):
        for number in range(4):
            image = np.zeros((6, 6), np.uint8)
            image[number] = 9
            yield Row(whole(image), number % 2)


def test_a_set_of_another_package_gets_the_generic_checks(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "third_party_builders", lambda: {"stripes": Stripes})
    folder = build_set(plan_set(Stripes.spec), tmp_path).folder
    report = verify(tmp_path)
    assert report.exit_status == 0
    names = {check.name for check in report.checks}
    assert {"files", "labels", "pixels", "digests"} <= names
    assert "separability" not in names
    rewrite(folder, "train", lambda rows, border: put(rows[1], pixels(rows[1]) + 1))
    hide(folder)
    found = failing(verify(tmp_path))
    assert list(found) == ["pixels"]
    assert "default/train row 1: 36 pixels differ" in found["pixels"]


def test_pictures_of_one_colour_are_counted_and_no_failure(tmp_path):
    colours = {pictures.name_of(n): pictures.encoded(Image.new("RGB", (60, 60), (n, 2 * n, 0))) for n in (1, 2, 3, 4)}
    album = {pictures.name_of(n): pictures.encoded(pictures.picture(n, (60, 50))) for n in range(1, 15)} | colours
    source = open_source(pictures.flat(album, tmp_path / "images"))
    splits = {QI.name: dict.fromkeys(QI.splits, 2), SHIFTED.name: {"test": 8}}
    for spec in (QI, SHIFTED):
        folder = build_set(plan_set(spec, source, splits=splits, official=False, borders=[0]), tmp_path / "out").folder
        check = verify(folder, only="integrity").check(spec.name, "constant")
        used = [name for records in read_manifest(folder)["sources"].values() for name in (r["name"] for r in records)]
        found = sorted(set(used) & colours.keys())
        assert check.status is (Status.WARN if found else Status.PASS)
        assert sum(name in check.cause for name in used) == min(len(found), 3)
        assert ("and 1 more" in check.cause) == (len(found) == 4)


def test_an_all_black_picture_is_as_right_as_any(tmp_path):
    album = {pictures.name_of(n): pictures.encoded(Image.new("RGB", (60, 60), (0, 0, 0))) for n in range(1, 7)}
    source = open_source(pictures.flat(album, tmp_path / "images"))
    splits = {QI.name: dict.fromkeys(QI.splits, 2)}
    plan = plan_set(QI, source, splits=splits, official=False, borders=[0, 16])
    folder = build_set(plan, tmp_path / "out").folder
    assert not failing(verify(folder, only="integrity"))
    assert not failing(verify(folder, only="integrity", full=True))
