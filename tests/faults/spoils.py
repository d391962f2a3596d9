"""Ways to change one thing of a stored set: its pictures, tables, manifest, card or files."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.specs import CORNER
from qi_datasets.storage.manifest import MANIFEST
from tests.verification.sabotage import read_manifest, rewrite, write_manifest

Spoil = Callable[[Path], None]


def pngs(change: Callable[[bytes], bytes], every: int = 1, configs: list[str] | None = None) -> Spoil:
    """Changes stored PNG files of the split `train`."""

    def spoil(folder: Path) -> None:
        def changed(rows: list[dict[str, Any]], border: int) -> None:
            for row in rows[::every]:
                row["image"]["bytes"] = change(row["image"]["bytes"])

        rewrite(folder, "train", changed, configs)

    return spoil


def paths(value: Callable[[str], str | None], configs: list[str] | None = None) -> Spoil:
    """Changes the stored paths of images."""

    def spoil(folder: Path) -> None:
        def changed(rows: list[dict[str, Any]], border: int) -> None:
            for row in rows:
                row["image"]["path"] = value(row["image"]["path"])

        rewrite(folder, "train", changed, configs)

    return spoil


def tables(change: Callable[[pa.Table], pa.Table], split: str = "train") -> Spoil:
    """Changes whole Parquet files of a split, their schema included."""

    def spoil(folder: Path) -> None:
        for config in read_manifest(folder)["configs"].values():
            for file in config["splits"][split]["files"]:
                pq.write_table(change(pq.read_table(folder / file)), folder / file, row_group_size=100)

    return spoil


def retyped(column: str, values: Callable[[list[Any]], pa.Array]) -> Spoil:
    """Gives a column another type."""

    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        return table.set_column(at, column, values(table[column].to_pylist()))

    return tables(change)


def features(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Changes the features that the Parquet metadata names."""

    def changed(table: pa.Table) -> pa.Table:
        content = json.loads(table.schema.metadata[b"huggingface"])
        change(content["info"]["features"])
        return table.replace_schema_metadata({"huggingface": json.dumps(content)})

    return tables(changed)


def manifest(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Changes the manifest."""

    def spoil(folder: Path) -> None:
        content = read_manifest(folder)
        change(content)
        write_manifest(folder, content)

    return spoil


def card(old: str, new: str) -> Spoil:
    """Changes the card; `old` must be there."""

    def spoil(folder: Path) -> None:
        content = (folder / "README.md").read_text()
        assert old in content
        (folder / "README.md").write_text(content.replace(old, new))

    return spoil


def extra(name: str, content: bytes = b"mine", listed: bool = False) -> Spoil:
    """Adds a file, which the manifest lists or not."""

    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        if listed:
            manifest(lambda m: m["files"].update({name: {"bytes": 0, "sha256": "0" * 64}}))(folder)

    return spoil


def linked(name: str, target: str) -> Spoil:
    """Adds a link."""
    return lambda folder: (folder / name).symlink_to(target)


def unlisted(*names: str, delete: bool = False) -> Spoil:
    """Takes files off the manifest's list."""

    def spoil(folder: Path) -> None:
        manifest(lambda m: [m["files"].pop(name) for name in names])(folder)
        for name in names if delete else ():
            (folder / name).unlink()

    return spoil


def renamed_file(folder: Path) -> None:
    old, new = "border_0/test-00000-of-00001.parquet", "border_0/test-00000-of-00002.parquet"
    (folder / old).rename(folder / new)

    def change(content: dict[str, Any]) -> None:
        content["files"][new] = content["files"].pop(old)
        content["configs"]["border_0"]["splits"]["test"]["files"] = [new]

    manifest(change)(folder)


def swapped_splits(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        splits = content["configs"]["border_0"]["splits"]
        splits["validation"]["files"], splits["test"]["files"] = splits["test"]["files"], splits["validation"]["files"]

    manifest(change)(folder)


def outside(folder: Path) -> None:
    shutil.copy(folder / "border_0/test-00000-of-00001.parquet", folder.parent / "stray.parquet")

    def change(content: dict[str, Any]) -> None:
        content["configs"]["border_0"]["splits"]["test"]["files"] = ["../stray.parquet"]
        content["files"]["../stray.parquet"] = content["files"].pop("border_0/test-00000-of-00001.parquet")

    manifest(change)(folder)


def renamed_split(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for config in content["configs"].values():
            config["splits"]["dev"] = config["splits"].pop("validation")
        content["sources"]["dev"] = content["sources"].pop("validation")

    manifest(change)(folder)


def renamed_config(folder: Path) -> None:
    manifest(lambda m: m["configs"].update({"border_17": m["configs"].pop("border_16")}))(folder)


def piped(name: str) -> Spoil:
    """Puts a pipe in a file's place."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def deep(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 100_000)


def at(*path: str | int, value: Any) -> Spoil:
    """Sets one field of the manifest."""

    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return manifest(change)


def another_set(folder: Path) -> None:
    shutil.rmtree(folder)
    build_set(plan_set(CORNER), folder.parent)
    (folder.parent / CORNER.name).rename(folder)


def first_source(field: str, value: Any) -> Spoil:
    return at("sources", "train", 0, field, value=value)


def sourced(name: str) -> Spoil:
    """Gives the first source of `train` another name, in rows and manifest."""

    def spoil(folder: Path) -> None:
        def change(rows: list[dict[str, Any]], border: int) -> None:
            for row in rows[:2]:
                row["source"] = name

        rewrite(folder, "train", change)
        first_source("name", name)(folder)

    return spoil


def synset(folder: Path) -> None:
    sourced("ILSVRC2012_val_00000293")(folder)


def moved(column: str, by: int, configs: list[str] | None = None) -> Spoil:
    """Changes an integer column."""

    def spoil(folder: Path) -> None:
        def change(rows: list[dict[str, Any]], border: int) -> None:
            for row in rows:
                row[column] += by

        rewrite(folder, "train", change, configs)

    return spoil


def null(column: str) -> Spoil:
    def spoil(folder: Path) -> None:
        def change(rows: list[dict[str, Any]], border: int) -> None:
            rows[3][column] = None

        rewrite(folder, "train", change)

    return spoil


def no_bytes(folder: Path) -> None:
    def change(rows: list[dict[str, Any]], border: int) -> None:
        rows[3]["image"]["bytes"] = None

    rewrite(folder, "train", change)


def swap_names(features: dict[str, Any]) -> None:
    features["label"]["names"].reverse()


def edited(folder: Path, old: str, new: str) -> None:
    content = (folder / MANIFEST).read_text()
    assert old in content
    (folder / MANIFEST).write_text(content.replace(old, new))


def flat_pairs(folder: Path) -> None:
    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        flat = pa.array([[number for pair in pairs for number in pair] for pairs in table["pairs"].to_pylist()])
        pq.write_table(table.set_column(table.schema.get_field_index("pairs"), "pairs", flat), file)
