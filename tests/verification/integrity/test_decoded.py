"""Images that integrity decodes: the first of a source, those whose bytes prove nothing, a sample; with `full` all."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from qi_datasets.specs import QI
from qi_datasets.verification import stored_folder as stored
from qi_datasets.verification.integrity import decoded
from qi_datasets.verification.integrity.decoded import is_sampled
from qi_datasets.verification.report.report import Status
from qi_datasets.verification.verify import verify
from tests.verification.reports import failing
from tests.verification.sabotage import BORDERS, SPLITS, hide, pixels, put, rewrite

IMAGES = {
    (f"border_{border}", split, number)
    for border in BORDERS
    for split, sources in SPLITS.items()
    for number in range(2 * sources)
}
"""Config, split and row number of every image of the small `qi`."""

SAMPLE = 5
"""Of so few images, one in 100 would be none."""


def by_bytes(folder):
    """Returns config, split and row number of each stored image, by its file."""
    found = {}
    for config, split, number in IMAGES:
        (path,) = (folder / config).glob(f"{split}-*.parquet")
        found[pq.read_table(path, columns=["image"])["image"][number].as_py()["bytes"]] = config, split, number
    assert len(found) == len(IMAGES)
    return found


@pytest.fixture
def counted(monkeypatch):
    """Verifies the integrity of `qi` in a folder; returns the report, and the decoded images."""
    monkeypatch.setattr(decoded, "SAMPLE", SAMPLE)

    def run(folder, **options):
        opened = []
        decode = stored.decode_file
        monkeypatch.setattr(stored, "decode_file", lambda data: opened.append(data) or decode(data))
        report = verify(folder, only="integrity", **options)
        names = by_bytes(folder)
        return report, {names[data] for data in opened}

    return run


def sampled():
    return {image for image in IMAGES if is_sampled(*image)}


def first_of_a_source():
    """At border 0, whose pixels are compared with what the manifest says of the source."""
    return {(config, split, number) for config, split, number in IMAGES if config == "border_0" and number % 2 == 0}


def test_the_first_image_of_a_source_and_the_sample_are_decoded(counted, copy):
    report, opened = counted(copy("qi"))

    assert failing(report) == {}
    assert {config for config, _, _ in sampled() - first_of_a_source()} == {"border_0", "border_16"}
    assert opened == sampled() | first_of_a_source()


def test_in_full_every_image_is_decoded(counted, copy):
    report, opened = counted(copy("qi"), full=True)

    assert failing(report) == {}
    assert opened == IMAGES


@pytest.mark.parametrize("config", ["border_0", "border_16"])
def test_right_pixels_in_other_bytes_pass_the_slow_way(config, counted, copy):
    """Python's zlib writes the same image in other bytes than this package's own writer."""
    folder = copy("qi")

    def change(rows, border):
        for row in rows:
            before = row["image"]["bytes"]
            put(row, pixels(row))
            assert row["image"]["bytes"] != before

    rewrite(folder, "train", change, [config])
    hide(folder)
    report, opened = counted(folder)

    assert [check.cause for check in report.checks if check.status is not Status.PASS] == []
    others = {image for image in IMAGES if image[:2] == (config, "train")}
    assert others - sampled() - first_of_a_source()
    assert opened == others | sampled() | first_of_a_source()


@pytest.mark.parametrize(
    ("config", "check", "where"), [("border_0", "patch", "train row 2 and 3"), ("border_16", "borders", "train row 3:")]
)
def test_one_wrong_pixel_in_other_bytes_is_found(config, check, where, copy):
    folder = copy("qi")

    def change(rows, border):
        for row in rows:
            image = pixels(row)
            if row is rows[3]:
                image[row["y"] + 30, row["x"] + 20, 1] ^= 1
            put(row, image)

    rewrite(folder, "train", change, [config])
    hide(folder)

    cause = failing(verify(folder, only="integrity"))[check]
    assert f"{config}/{where}" in cause
    assert "1 pixel differs" in cause


@pytest.mark.parametrize(
    ("sample", "full", "found"), [(SAMPLE, False, True), (10**9, True, True), (10**9, False, False)]
)
def test_a_writer_that_errs_is_found_by_the_sample_alone(sample, full, found, copy, monkeypatch):
    """Integrity writes each file again, and would agree with a writer that makes the same mistake in both places."""
    folder = copy("qi")
    written = {}

    def change(rows, border):
        for row in rows:
            image = pixels(row)
            right = image.tobytes()
            image[0, 0, 0] ^= 1
            put(row, image)
            written[right] = row["image"]["bytes"]

    for split in SPLITS:
        rewrite(folder, split, change, ["border_16"])
    hide(folder)
    write = decoded.KnownFiles.png

    def wrong(self, image):
        return written.get(np.ascontiguousarray(image.pixels()).tobytes()) or write(self, image)

    monkeypatch.setattr(decoded.KnownFiles, "png", wrong)
    monkeypatch.setattr(decoded, "SAMPLE", sample)

    assert ("borders" in failing(verify(folder, only="integrity", full=full))) == found


@pytest.mark.parametrize("split", QI.splits)
@pytest.mark.parametrize("config", QI.configs)
def test_one_image_in_a_hundred_is_in_the_sample(config, split):
    rows = range(QI.rows(split))
    chosen = [number for number in rows if is_sampled(config, split, number)]

    assert 0.005 < len(chosen) / len(rows) < 0.015
    assert any(number % 2 for number in chosen), "at border 0 the first image of a source is decoded anyway"
