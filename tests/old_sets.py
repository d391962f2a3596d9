"""Sets as package 0.1.0 wrote them, made from fresh ones: same images, no synsets, no manifest version."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qi_datasets.storage.manifest import MANIFEST
from qi_datasets.storage.parquet import file_record

BLANK = {"wnid": "", "label": -1}
"""Values that a layout without labels gave."""


def as_0_1_0(folder: Path, *blank: str) -> None:
    """Turns the set in a folder into one of 0.1.0. blank: columns that it did not fill, "wnid" and "label"."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    for name in ("manifest_version", "manifest_sha256", "verified_against"):
        del manifest[name]
    manifest["package_version"] = "0.1.0"
    if blank:
        for file in folder.rglob("*.parquet"):
            rewrite(file, blank)
        for records in manifest["sources"].values():
            for record in records:
                record["wnid"] = ""
    card = folder / "README.md"
    card.write_text(re.sub(r",\s+manifest version\s+\d+", "", card.read_text()))
    for config in manifest["configs"].values():
        for split in config["splits"].values():
            split["image_bytes"] = sum(image_bytes(folder / file) for file in split["files"])
    for name in manifest["files"]:
        record = file_record(folder / name)
        manifest["files"][name] = {"bytes": record.bytes, "sha256": record.sha256}
    path.write_text(json.dumps(manifest, indent=1) + "\n")


def rewrite(file: Path, blank: tuple[str, ...]) -> None:
    table = pq.read_table(file)
    for name in blank:
        cells = pa.array([BLANK[name]] * table.num_rows, table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), cells)
    pq.write_table(table, file, row_group_size=100)


def image_bytes(file: Path) -> int:
    return sum(len(cell["bytes"]) for cell in pq.read_table(file, columns=["image"])["image"].to_pylist())
