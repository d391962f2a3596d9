"""Results of networks on good sets, and that each of these checks fails on a set without them."""

import numpy as np
import pytest
import torch

from qi_datasets.protocols.red_green import LabelledImages
from qi_datasets.verification.report.report import Plot, Status, Tiles
from qi_datasets.verification.separability import corner, horizon, quadrant, red_green, rook
from qi_datasets.verification.separability.options import DEFAULT_SOURCES, NetworkOptions
from qi_datasets.verification.stored_folder import StoredFolder
from tests.verification.sabotage import SPLITS, pixels, put, rewrite

QUICK = NetworkOptions()

torch.set_num_threads(1)  # the images are small


@pytest.fixture(scope="module")
def qi(good):
    return quadrant.check(StoredFolder.open(good / "qi"), QUICK)


@pytest.fixture
def few_red_green(monkeypatch):
    """Limits red-green to the first 200 rows of each split."""

    def few(stored, split):
        data = load(stored, split)
        return LabelledImages(data.images[:200], data.labels[:200])

    load = red_green.load
    monkeypatch.setattr(red_green, "load", few)


def named(measured):
    return {check.name: check for check in measured.checks}


def test_rook_is_read_with_same_padding_and_never_with_full(good):
    measured = rook.check(StoredFolder.open(good / "rook"), QUICK)
    assert {check.status for check in measured.checks} == {Status.PASS}
    found = named(measured)
    assert found["same reads"].figure.endswith("of 20 seeds")
    assert found["full never reads"].figure == "0 of 20 seeds"
    assert found["full is equal"].figure == "0.0e+00 of scale"
    assert all(isinstance(figure, Tiles) for figure in measured.figures)


@pytest.mark.parametrize(("options", "seeds"), [(NetworkOptions(seeds=3), 3), (NetworkOptions(full=True), 200)])
def test_rook_takes_the_asked_number_of_seeds(good, options, seeds):
    measured = rook.check(StoredFolder.open(good / "rook"), options)
    assert str(measured.tables[0].rows[0][2]) == str(seeds)


def test_rook_fails_when_appearance_gives_the_label_away(copy):
    folder = copy("rook")
    rewrite(folder, "train", lambda rows, border: put(rows[1], pixels(rows[1]) // 2))
    found = named(rook.check(StoredFolder.open(folder), QUICK))
    assert found["full never reads"].status is Status.FAIL
    assert found["full is equal"].status is Status.FAIL
    assert "something but location tells" in found["full never reads"].cause


def test_rook_fails_when_same_padding_cannot_read_it(copy):
    folder = copy("rook")
    rewrite(folder, "train", lambda rows, border: put(rows[1], pixels(rows[0])))
    found = named(rook.check(StoredFolder.open(folder), QUICK))
    assert found["same reads"].status is Status.FAIL
    assert "only 0 of 20" in found["same reads"].cause


def test_corner_gives_the_table_of_the_specification(good):
    measured = corner.check(StoredFolder.open(good / "corner"), QUICK)
    assert {check.status for check in measured.checks} == {Status.PASS}
    assert tuple(tuple(map(str, row)) for row in measured.tables[0].rows) == (
        ("valid", "0", "1", "0 of 9"),
        ("same", "0", "1", "1 of 9"),
        ("full", "1", "1", "9 of 9"),
    )


def test_corner_fails_on_a_pixel_that_is_not_in_the_corner(copy):
    folder = copy("corner")
    rewrite(folder, "train", lambda rows, border: put(rows[0], np.roll(pixels(rows[0]), (2, 2), axis=(0, 1))))
    found = named(corner.check(StoredFolder.open(folder), QUICK))
    assert found["corner filter"].status is Status.FAIL
    assert "valid gives (1.0, 1.0), not (0.0, 1.0)" in found["corner filter"].cause


def test_corner_fails_on_a_dim_pixel(copy):
    folder = copy("corner")
    rewrite(folder, "train", lambda rows, border: put(rows[0], pixels(rows[0]) // 2))
    assert named(corner.check(StoredFolder.open(folder), QUICK))["full keeps all"].status is Status.FAIL


def test_red_green_is_answered_alike_by_blind_paddings_only(good):
    measured = red_green.check(StoredFolder.open(good / "red_green"), QUICK)
    found = named(measured)
    assert found.pop("trained nets").status is Status.LEFT_OUT
    assert {check.status for check in found.values()} == {Status.PASS}
    assert [str(row[2]) for row in measured.tables[0].rows] == ["no", "no", "yes", "yes"]


def test_red_green_fails_when_the_shift_is_no_multiple_of_the_stride(copy, few_red_green):
    folder = copy("red_green")

    def change(rows, border):
        for row in rows:
            put(row, np.roll(pixels(row), 3, axis=0))

    rewrite(folder, "test_dissimilar", change)
    found = named(red_green.check(StoredFolder.open(folder), QUICK))
    assert found["full, random weights"].status is Status.FAIL
    assert found["circular, random weights"].status is Status.FAIL
    assert "differ by" in found["full, random weights"].cause


def test_red_green_fails_when_the_tests_show_nothing(copy, few_red_green):
    folder = copy("red_green")
    kept = []
    rewrite(folder, "test_similar", lambda rows, border: kept.extend(rows))
    rewrite(folder, "test_dissimilar", lambda rows, border: rows.__setitem__(slice(None), kept))
    found = named(red_green.check(StoredFolder.open(folder), QUICK))
    assert found["valid, random weights"].status is Status.FAIL


def test_red_green_trains_when_all_is_asked_for(good, few_red_green, monkeypatch):
    def quick(*arguments, **options):
        return trained(*arguments, **options | {"epochs": 1})

    trained = red_green.train_red_green
    monkeypatch.setattr(red_green, "train_red_green", quick)
    monkeypatch.setattr(red_green, "PADDINGS", ("valid", "full"))
    measured = red_green.check(StoredFolder.open(good / "red_green"), NetworkOptions(seeds=1, full=True))
    found = named(measured)
    assert found["full, trained"].status is Status.PASS
    assert found["valid, trained"].status is Status.FAIL  # after one epoch
    assert "at least 99% and at most 2% are expected" in found["valid, trained"].cause
    assert measured.tables[1].rows[1][4:6] == ("89.7", "89.7")
    assert isinstance(measured.figures[0], Plot)


def test_qi_full_is_blind_and_same_is_not(qi):
    found = named(qi)
    shown = {name: check for name, check in found.items() if check.status is Status.SHOWN}
    assert list(shown) == ["biased full leaks", "circular"]
    assert {check.status for name, check in found.items() if name not in shown} == {Status.PASS}
    assert found["full is blind"].figure == "0.0e+00 of scale, 2 borders"
    assert found["same reads"].interval[0] > 0.5
    assert found["same goes blind"].figure == "equal from border 16 on"
    assert shown["biased full leaks"].interval[0] > 0.5


def test_qi_tables_tell_every_border_and_bound(qi):
    by_border, reaches = qi.tables
    assert [row[0] for row in by_border.rows] == ["0", "16"]
    assert [row[1:3] for row in reaches.rows] == [("9", "1"), ("15", "8"), ("31", "16"), ("63", "32")]
    assert {str(row[5]) for row in reaches.rows} == {"none / none"}


def test_qi_on_the_112_template_fails_and_names_the_stride(good):
    found = named(quadrant.check(StoredFolder.open(good / "qi-canvas_112"), QUICK))
    for name in ("full is blind", "exact is blind", "same goes blind", "horizon"):
        assert found[name].status is Status.FAIL, name
    assert "the displacement 56 is no multiple of the total stride 16" in found["full is blind"].cause


def test_qi_fails_when_a_patch_gives_the_label_away(copy):
    folder = copy("qi")

    def change(rows, border):
        for row in rows[1::2]:
            put(row, pixels(row) // 2)

    for split in SPLITS:
        rewrite(folder, split, change)
    found = named(quadrant.check(StoredFolder.open(folder), QUICK))
    assert found["full is blind"].status is Status.FAIL
    assert "at border 0, 16" in found["full is blind"].cause
    assert found["same goes blind"].status is Status.FAIL


def test_qi_fails_when_same_padding_cannot_read_it(copy):
    folder = copy("qi")

    def change(rows, border):
        for first, second in zip(rows[0::2], rows[1::2], strict=True):
            second["image"] = first["image"]

    for split in SPLITS:
        rewrite(folder, split, change)
    stored = StoredFolder.open(folder)
    check = quadrant.same_reads(stored, quadrant.measure(stored, QUICK))
    assert check.status is Status.FAIL
    assert "50.0% at border 0" in check.cause


def test_a_network_beyond_its_bound_fails(good, monkeypatch):
    monkeypatch.setattr(horizon, "location_horizon", lambda field, padding, biased: 3)
    found = named(horizon.check_horizons(StoredFolder.open(good / "qi"), QUICK))
    assert found["horizon"].status is Status.FAIL
    assert "the corners differ at border 4, beyond 3" in found["horizon"].cause


def test_sources_are_few_unless_all_are_asked_for():
    assert QUICK.sources(1000) == DEFAULT_SOURCES == 32
    assert QUICK.sources(5) == 5
    assert NetworkOptions(full=True).sources(1000) == 1000
