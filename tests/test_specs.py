"""The spec table says what the specification says."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.errors import OptionError
from qi_datasets.set_spec import MIT, IntegerOption
from qi_datasets.specs import BORDER, QUADRANT, SPEC_VERSION, SPECS
from qi_datasets.verification.integrity.integrity import CHECKS
from tests import expected

PUBLISHED = {
    "rook": ("L", 32, ("upper_left", "bottom_right"), {"train": 2}),
    "corner": ("L", 5, ("upper_left", "bottom_right"), {"train": 2}),
    "red_green": (
        "RGB",
        32,
        ("red_left_of_green", "green_left_of_red"),
        {"train": 2000, "validation": 1000, "test_similar": 1000, "test_dissimilar": 1000},
    ),
    "qi": ("RGB", 120, ("upper_left", "bottom_right"), {"train": 2000, "validation": 2000, "test": 2000}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_set_is_as_published(name: str) -> None:
    spec = SPECS[name]

    assert (spec.name, spec.mode, spec.size, spec.labels) == (name, *PUBLISHED[name][:3])
    assert {split: spec.rows(split) for split in spec.splits} == PUBLISHED[name][3]


def test_qi_has_seven_borders_and_the_first_config_is_the_default() -> None:
    sides = [SPECS["qi"].size + 2 * border for border in SPECS["qi"].borders]

    assert sides == [120, 152, 184, 248, 376, 632, 1144]
    assert SPECS["qi"].configs == tuple(f"border_{n}" for n in (0, 16, 32, 64, 128, 256, 512))
    assert SPECS["rook"].configs == ("default",)


def test_the_displacement_is_a_multiple_of_every_usual_stride() -> None:
    assert QUADRANT.displacement == 64
    assert (QUADRANT.canvas, QUADRANT.patch, QUADRANT.crop) == (expected.CANVAS, expected.PATCH, 0.875)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_set_that_needs_no_input_has_pinned_digests(spec) -> None:
    assert set(spec.digests) == (set() if spec.needs_images else set(spec.splits))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_sets_made_from_images_have_sizes_for_the_demo(spec) -> None:
    assert bool(spec.demo_splits) == spec.needs_images
    assert set(spec.demo_splits) == set(spec.demo_digests) <= set(spec.splits)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_photographs_are_not_for_everybody(spec) -> None:
    assert spec.publishable == (spec.licence == MIT) == (not spec.needs_images)
    assert spec.licence == MIT or (spec.licence.id == "other" and spec.licence.name and spec.licence.link)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_checks_that_it_names_are_there(spec) -> None:
    named = {check.name for check in CHECKS if check.applies is None}

    assert set(spec.integrity) <= named
    assert not spec.separability or find_spec(spec.separability.partition(":")[0])
    assert {name for other in SPECS.values() for name in other.integrity} == named


def test_the_version_is_semantic() -> None:
    assert [part.isdigit() for part in SPEC_VERSION.split(".")] == [True] * 3


@given(st.integers(), st.integers(0, 50), st.integers(0, 400), st.integers(1, 4))
def test_an_integer_option_takes_its_range_and_nothing_else(value: int, low: int, length: int, step: int) -> None:
    option = IntegerOption("n", default=low, low=low, high=low + length, step=step)

    if value in range(low, low + length + 1, step):
        assert option.check(value) == value
    else:
        with pytest.raises(OptionError, match=f"not {value}"):
            option.check(value)


@pytest.mark.parametrize("value", [0, 4096, np.int64(64), np.uint8(7)])
def test_a_border_is_any_integer_from_0_to_4096(value: int) -> None:
    checked = BORDER.check(value)

    assert (checked, type(checked)) == (int(value), int)


@pytest.mark.parametrize("value", [-1, 4097, 1.5, 2.0, "64", True, False, np.True_, None, [1]])
def test_other_borders_are_refused_with_the_value(value: object) -> None:
    with pytest.raises(OptionError, match="border must be an integer from 0 to 4096") as raised:
        BORDER.check(value)

    assert repr(value) in str(raised.value)


@pytest.mark.parametrize("canvas", [110, 111, 113, 121, 4097, 4098])
def test_a_canvas_is_even_and_holds_two_patches(canvas: int) -> None:
    option = SPECS["qi"].size_option
    assert option is not None

    with pytest.raises(OptionError, match="an even integer from 112 to 4096"):
        option.check(canvas)
    assert option.check(112) == 112
