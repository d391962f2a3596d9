#!/usr/bin/env bash
# pyarrow reads, writes and groups columns of views (string_view), but selects no row of them.
#
# Versions: pyarrow 26.0.1.
# Expected: what can be read from Parquet, grouped and made unique can also be filtered, taken, compared and sorted.
# Behaviour: `filter`, `take`, `equal`, `is_in`, `starts_with` and `sort_by` have no kernel for views; `filter` and `take`
#   fail for the whole table, also by a mask that has nothing to do with that column. `cast` to string has one, and makes
#   all of it work. A file carries the type along: a table of views is one again when it is read from Parquet.
# Output seen:
#   read back as string_view
#   works: cast, drop_null, group_by, slice, unique
#   fails: equal, filter, is_in, sort_by, starts_with, take
#   after cast all of them work: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pyarrow==26.0.1
cat > "$work/expected" << 'END'
read back as string_view
works: cast, drop_null, group_by, slice, unique
fails: equal, filter, is_in, sort_by, starts_with, take
after cast all of them work: True
END
cd "$work"
"$work/venv/bin/python" - > "$work/seen" << 'END'
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in (3, 1, 2)]
pq.write_table(pa.table({"name": pa.array(names, pa.string_view()), "label": [1, 2, 3]}), "names.parquet")
table = pq.read_table("names.parquet")
print("read back as", table.schema.field("name").type)
ways = {
    "cast": lambda table: table["name"].cast(pa.string()),
    "drop_null": lambda table: table.drop_null(),
    "equal": lambda table: pc.equal(table["name"], names[0]),
    "filter": lambda table: table.filter(pc.greater(table["label"], 1)),
    "group_by": lambda table: table.group_by("name").aggregate([([], "count_all")]),
    "is_in": lambda table: pc.is_in(table["name"], pa.array(names[:1])),
    "slice": lambda table: table.slice(1, 1),
    "sort_by": lambda table: table.sort_by("name"),
    "starts_with": lambda table: pc.starts_with(table["name"], "ILSVRC"),
    "take": lambda table: table.take([0, 2]),
    "unique": lambda table: table["name"].unique(),
}


def works(way, table):
    try:
        way(table)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowInvalid):
        return False
    return True


answers = {name: works(way, table) for name, way in ways.items()}
print("works:", ", ".join(name for name in answers if answers[name]))
print("fails:", ", ".join(name for name in answers if not answers[name]))
plain = table.cast(pa.schema({"name": pa.string(), "label": pa.int64()}))
print("after cast all of them work:", all(works(way, plain) for way in ways.values()))
END
cat "$work/seen"
diff "$work/expected" "$work/seen"
