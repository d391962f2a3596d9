"""The columns of a set in the types of the `datasets` library, from its row of the spec table."""

import re
from typing import Any

from datasets import ClassLabel, Features, Image, List, Value

from qi_datasets.errors import BuilderError
from qi_datasets.specs import SetSpec

NESTED = re.compile(r"(?P<item>\w+)\[(?P<lengths>\d+(?:,\d+)*)\]")


def features_of(spec: SetSpec) -> Features:
    """`image`, `label`, then the spec's further columns."""
    columns: dict[str, Any] = {name: column_type(name, kind) for name, kind in spec.columns.items()}
    return Features({"image": Image(), "label": ClassLabel(names=list(spec.labels)), **columns})


def column_type(name: str, kind: str) -> Value | List:
    """The type that a spec writes as `int32`, `string`, or `int32[5,4]` for five lists of four."""
    nested = NESTED.fullmatch(kind)
    try:
        if nested is None:
            return Value(kind)
        feature: Value | List = Value(nested["item"])
    except ValueError as error:
        raise BuilderError(f"column {name} has the unknown type {kind!r}") from error
    for length in reversed(nested["lengths"].split(",")):
        feature = List(feature, length=int(length))
    return feature
