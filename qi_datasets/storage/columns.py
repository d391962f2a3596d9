"""Makes Arrow arrays of a column's values, without pandas.

`pyarrow.array` imports pandas, where it is installed, as soon as it is given a list. That takes a third of a second and
blocks other threads: in that time 150 photographs are decoded.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import TypeGuard, TypeVar

import numpy as np
import pyarrow as pa

Kind = TypeVar("Kind")


def array_of(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """Does the same as `pyarrow.array(values, kind)`, but refuses fractions, which that would truncate."""
    if pa.types.is_string(kind) and _all_are(values, str):
        return _of_bytes([value.encode() for value in values], kind)
    if pa.types.is_binary(kind) and _all_are(values, bytes):
        return _of_bytes(values, kind)
    if pa.types.is_fixed_size_list(kind) and _all_are(values, list) and {*map(len, values)} == {kind.list_size}:
        items = array_of(list(chain.from_iterable(values)), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(items, type=kind)
    if kind in (pa.int32(), pa.int64()) and _all_are(values, int):
        limit = 1 << kind.bit_width - 1
        if all(-limit <= value < limit for value in values):
            items = np.array(values, f"int{kind.bit_width}")
            return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(items)])
    found = pa.array(values, kind)
    if pa.types.is_integer(kind) and found.to_pylist() != list(values):
        raise pa.ArrowInvalid(f"{values} are not all integers")  # Arrow would truncate 2.5 to 2
    return found


def _all_are(values: Sequence[object], kind: type[Kind]) -> TypeGuard[Sequence[Kind]]:
    """Returns whether all values, missing ones included, are of this type."""
    return all(type(value) is kind for value in values)


def _of_bytes(values: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    ends = np.array(list(accumulate(map(len, values), initial=0)), np.int32)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))])
