"""Values of a column as an Arrow array, without pandas.

`pyarrow.array` imports pandas, where it is installed, as soon as it is given a list. That takes a third of a second and
holds the interpreter meanwhile: as long as 150 photographs take to decode.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """What `pyarrow.array(values, kind)` gives, or raises; fractions, which it would cut off, are refused too."""
    if pa.types.is_string(kind) and _all_are(str, values):
        return _of_bytes([value.encode() for value in values], kind)
    if pa.types.is_binary(kind) and _all_are(bytes, values):
        return _of_bytes(values, kind)
    if pa.types.is_fixed_size_list(kind) and _all_are(list, values) and {*map(len, values)} == {kind.list_size}:
        items = array_of(list(chain.from_iterable(values)), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(items, type=kind)
    if kind in (pa.int32(), pa.int64()) and _all_are(int, values):
        limit = 1 << kind.bit_width - 1
        if all(-limit <= value < limit for value in values):
            items = np.array(values, f"int{kind.bit_width}")
            return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(items)])
    found = pa.array(values, kind)
    if pa.types.is_integer(kind) and found.to_pylist() != list(values):
        raise pa.ArrowInvalid(f"{values} are not all integers")  # which Arrow would make of 2.5
    return found


def _all_are(kind: type, values: Sequence[Any]) -> bool:
    """Returns whether no value is of another type, missing ones included."""
    return all(type(value) is kind for value in values)


def _of_bytes(values: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    ends = np.array(list(accumulate(map(len, values), initial=0)), np.int32)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))])
