"""Columns as Arrow arrays: the result or error of `pyarrow.array`, without importing pandas."""

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.storage.columns import array_of

PAIRS = pa.list_(pa.list_(pa.int32(), 3), 2)


def integers(bits: int) -> st.SearchStrategy[int]:
    """Draws integers of that many bits, or a few more."""
    return st.integers(-(1 << bits - 1) - 2, (1 << bits - 1) + 1)


KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "string": (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
    "binary": (pa.binary(), st.binary(max_size=5)),
    "int32": (pa.int32(), integers(32)),
    "int64": (pa.int64(), integers(64)),
    "lists": (pa.list_(pa.int32(), 3), st.lists(integers(32), min_size=3, max_size=3)),
    "lists of lists": (PAIRS, st.lists(st.lists(integers(8), min_size=3, max_size=3), min_size=2, max_size=2)),
    "float64": (pa.float64(), st.floats(allow_nan=False)),
    "bool": (pa.bool_(), st.booleans()),
}


def same_as_pyarrow(values: list[Any], kind: pa.DataType) -> None:
    try:
        wanted = pa.array(values, kind)
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        with pytest.raises(type(error)):
            array_of(values, kind)
        return
    found = array_of(values, kind)
    found.validate(full=True)
    assert (found.type, found.null_count) == (wanted.type, wanted.null_count)
    assert found.equals(wanted)
    assert found.to_pylist() == wanted.to_pylist()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_values_become_the_array_that_pyarrow_makes(kind: str, data: st.DataObject) -> None:
    arrow, values = KINDS[kind]
    same_as_pyarrow(data.draw(st.lists(values, max_size=6)), arrow)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_missing_values_stay_missing(kind: str, data: st.DataObject) -> None:
    arrow, values = KINDS[kind]
    same_as_pyarrow(data.draw(st.lists(values | st.none(), max_size=6)), arrow)


@pytest.mark.parametrize("kind", ["string", "binary", "int32", "int64", "lists", "lists of lists"])
@pytest.mark.parametrize(
    "odd",
    ["x", b"x", "\ud800", 1, True, 1.0, 1 << 31, -(1 << 31), 1 << 63, -(1 << 63), [1, 2], [1, 2, None], {}, None],
    ids=repr,
)
def test_a_value_of_another_type_is_taken_or_refused_as_there(kind: str, odd: Any) -> None:
    arrow, _ = KINDS[kind]
    good = {"string": "a", "binary": b"a", "lists": [1, 2, 3], "lists of lists": [[1, 2, 3]] * 2}.get(kind, 7)
    same_as_pyarrow([good, odd], arrow)
    same_as_pyarrow([odd], arrow)


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64()], ids=str)
def test_no_part_of_a_number_is_lost(kind: pa.DataType) -> None:
    with pytest.raises(pa.ArrowInvalid, match=r"1\.5"):
        array_of([1, 1.5], kind)


def test_pandas_stays_out() -> None:
    pytest.importorskip("pandas")
    script = """
import sys
import pyarrow as pa
from qi_datasets.storage.columns import array_of
array_of(["a"], pa.string()), array_of([b"a"], pa.binary()), array_of([1], pa.int32()), array_of([1], pa.int64())
array_of([[[1, 2, 3], [4, 5, 6]]], pa.list_(pa.list_(pa.int32(), 3), 2))
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
