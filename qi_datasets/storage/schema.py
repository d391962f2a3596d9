"""Makes the Arrow schema of a set, with the column types for the Hub, from its row of the spec table.

`datasets.Features` could make the same, but importing `datasets` takes half a second, a tenth of a whole build. The
schema reads back as those features; the tests compare them.
"""

import json
import re
from typing import Any

import pyarrow as pa

from qi_datasets.errors import BuilderError
from qi_datasets.set_spec import SetSpec

HUB_METADATA = "huggingface"
"""Key of the schema metadata in which the Hub and `datasets` look for the types of columns."""

NESTED = re.compile(r"(?P<item>\w+)\[(?P<lengths>\d+(?:,\d+)*)\]")
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})

Column = tuple[pa.DataType, dict[str, Any]]
"""A column's Arrow type, and its type for the Hub."""


def schema_of(spec: SetSpec) -> pa.Schema:
    """Returns the schema: `image`, `label`, then the spec's further columns. Raises BuilderError for unknown types."""
    columns: dict[str, Column] = {
        "image": (IMAGE, {"_type": "Image"}),
        "label": (pa.int64(), {"names": list(spec.labels), "_type": "ClassLabel"}),
        **{name: column_type(name, kind) for name, kind in spec.columns.items()},
    }
    hub = {"info": {"features": {name: feature for name, (_, feature) in columns.items()}}}
    fields = [(name, arrow) for name, (arrow, _) in columns.items()]
    return pa.schema(fields, metadata={HUB_METADATA: json.dumps(hub)})


def column_type(name: str, kind: str) -> Column:
    """Returns the type that a spec writes as `int32`, `string`, or `int32[5,4]` for five lists of four."""
    nested = NESTED.fullmatch(kind)
    item = nested["item"] if nested else kind
    try:
        arrow = pa.type_for_alias(item)
    except ValueError as error:
        raise BuilderError(f"column {name} has the unknown type {kind!r}") from error
    feature: dict[str, Any] = {"dtype": item, "_type": "Value"}
    for length in map(int, reversed(nested["lengths"].split(","))) if nested else ():
        arrow, feature = pa.list_(arrow, length), {"feature": feature, "length": length, "_type": "List"}
    return arrow, feature
