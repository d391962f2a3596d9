"""Stored sets that lie: every hash and digest is made to agree with what is there, and yet they load as something else.

Each names the check that must find it.
"""

import io
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, PngImagePlugin

from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.specs import CORNER
from qi_datasets.storage.manifest import MANIFEST
from tests.verification import sabotage
from tests.verification.sabotage import read_manifest, rewrite, write_manifest

Spoil = Callable[[Path], None]


@dataclass(frozen=True)
class Liar:
    """One set that lies.

    title: what is wrong.
    set: whose copy is spoilt.
    check: the one that must fail.
    redone: whether digests of pixels and hashes of files are made to agree, or hashes alone, or nothing.
    """

    title: str
    set: str
    spoil: Spoil
    check: str
    redone: str = "digests"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk with its right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def in_png(kind: bytes, data: bytes, before: bytes = b"IDAT") -> Callable[[bytes], bytes]:
    """Puts a chunk into a PNG file, before the first one of another kind."""

    def spoil(png: bytes) -> bytes:
        at = png.index(before) - 4
        return png[:at] + chunk(kind, data) + png[at:]

    return spoil


def sideways(png: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    return in_png(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))(png)


def saved(**options: Any) -> Callable[[bytes], bytes]:
    """The same pixels, saved by Pillow with options of its own."""

    def spoil(png: bytes) -> bytes:
        file = io.BytesIO()
        Image.open(io.BytesIO(png)).save(file, "PNG", **options)
        return file.getvalue()

    return spoil


def animated(png: bytes) -> bytes:
    first = Image.open(io.BytesIO(png))
    file = io.BytesIO()
    first.save(file, "PNG", save_all=True, append_images=[Image.new(first.mode, first.size, 255)], default_image=True)
    return file.getvalue()


def text(png: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "upper_left")
    return saved(pnginfo=info)(png)


def of_16_bits(png: bytes) -> bytes:
    """Grey levels whose high bytes are the right ones: Pillow shows these, other decoders scale."""
    levels = np.asarray(Image.open(io.BytesIO(png)))
    height, width, channels = levels.shape
    rows = np.zeros((height, 1 + width * channels * 2), np.uint8)
    rows[:, 1::2] = levels.reshape(height, -1)
    rows[:, 2::2] = 200
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def interlaced(png: bytes) -> bytes:
    """The same pixels in seven passes."""
    levels = np.asarray(Image.open(io.BytesIO(png)))
    height, width, _ = levels.shape
    passes = [levels[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def of_a_palette(png: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).quantize(256).save(file, "PNG")
    return file.getvalue()


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


LIARS = (
    Liar("an EXIF orientation in the PNG", "qi", pngs(sideways), "images"),
    Liar("one EXIF orientation under a border", "qi", pngs(sideways, 7, ["border_16"]), "images"),
    Liar("a transparent colour", "qi", pngs(in_png(b"tRNS", bytes(6))), "images"),
    Liar("an animation", "qi", pngs(animated), "images"),
    Liar("a text chunk", "qi", pngs(text), "images"),
    Liar("a compressed text chunk", "qi", pngs(in_png(b"zTXt", b"a\0\0" + zlib.compress(b"b"))), "images"),
    Liar("a gamma", "qi", pngs(in_png(b"gAMA", struct.pack(">I", 10_000))), "images"),
    Liar("a colour profile", "qi", pngs(in_png(b"iCCP", b"a\0\0" + zlib.compress(b"b"))), "images"),
    Liar("a background colour", "qi", pngs(in_png(b"bKGD", bytes(6))), "images"),
    Liar("pixels that are not square", "qi", pngs(in_png(b"pHYs", struct.pack(">IIB", 1, 2, 1))), "images"),
    Liar("a private chunk", "qi", pngs(in_png(b"qiLb", b"1")), "images"),
    Liar("bytes after the end", "qi", pngs(lambda png: png + b"more"), "images"),
    Liar("a second image after the end", "qi", pngs(lambda png: png + png), "images"),
    Liar("pixels that are coded in another order", "qi", pngs(interlaced), "images"),
    Liar("16 bits a channel", "qi", pngs(of_16_bits), "images"),
    Liar("a palette", "qi", pngs(of_a_palette), "images"),
    Liar("a chunk after the pixels", "qi", pngs(in_png(b"tEXt", b"a\0b", b"IEND")), "images"),
    Liar("paths without their border", "qi", paths(lambda path: path.replace(".border_0", "")), "paths"),
    Liar("paths of another border", "qi", paths(lambda path: path.replace("_16.", "_0."), ["border_16"]), "paths"),
    Liar("no paths", "qi", paths(lambda path: None), "paths"),
    Liar("paths that lead out", "qi", paths(lambda path: "/etc/passwd"), "paths"),
    Liar("no paths in a set without borders", "rook", paths(lambda path: None), "paths"),
    Liar("label names swapped in the Parquet metadata", "qi", features(swap_names), "schema"),
    Liar("one file's label names swapped", "red_green", features(swap_names), "schema"),
    Liar("a feature of another type", "qi", features(lambda f: f["x"].update(dtype="string")), "schema"),
    Liar("an image feature that is not decoded", "qi", features(lambda f: f["image"].update(decode=False)), "schema"),
    Liar("no features", "qi", tables(lambda table: table.replace_schema_metadata(None)), "schema"),
    Liar(
        "metadata of another library beside them",
        "qi",
        tables(lambda t: t.replace_schema_metadata({**t.schema.metadata, b"pandas": b"{}"})),
        "schema",
    ),
    Liar("test rows that are training rows", "qi", card("test-*.parquet", "train-*.parquet"), "card"),
    Liar("another default config", "qi", card("  default: true\n", ""), "card"),
    Liar("another licence", "qi", card("license: mit", "license: cc0-1.0"), "card"),
    Liar(
        "a further split on the card",
        "rook",
        card("  - split: train", "  - split: test\n    path: x\n  - split: train"),
        "card",
    ),
    Liar("data of the Hub's own layout", "rook", card("configs:", "viewer: false\nconfigs:"), "card"),
    Liar("a key twice on the card", "rook", card("license: mit", "license: mit\nlicense: mit"), "card"),
    Liar("an alias on the card", "rook", card("license: mit", "license: &a mit\nlicence: *a"), "card"),
    Liar("no head", "rook", lambda folder: (folder / "README.md").write_text("# Rook\n") and None, "card"),
    Liar("a card that is no text", "rook", lambda folder: (folder / "README.md").write_bytes(b"\xff") and None, "card"),
    Liar("another text on the card", "qi", card("# ", "# The real ImageNet, "), "card"),
    Liar("a README that nobody lists", "qi", extra("readme.md"), "list"),
    Liar("a preview that nobody lists", "qi", extra("preview2.png"), "list"),
    Liar("a table that nobody lists", "qi", extra("train.csv"), "list"),
    Liar("a script that nobody lists", "qi", extra("qi.py"), "list"),
    Liar("Parquet in capitals", "qi", extra("border_0/train-00001-of-00002.PARQUET"), "list"),
    Liar("a metadata file", "qi", extra("border_0/metadata.jsonl"), "list"),
    Liar("a hidden file", "qi", extra("border_0/.train.parquet"), "list"),
    Liar("a folder", "qi", lambda folder: (folder / "border_32").mkdir(), "list"),
    Liar("a linked folder", "qi", linked("border_32", "border_0"), "list"),
    Liar("a linked file", "qi", linked("border_0/test-00001-of-00002.parquet", "test-00000-of-00001.parquet"), "list"),
    Liar("a script that is listed", "qi", extra("qi.py", listed=True), "list"),
    Liar("a README off the list", "qi", unlisted("README.md"), "list"),
    Liar("a README off the list and the disk", "qi", unlisted("README.md", delete=True), "list"),
    Liar("a preview off the list and the disk", "qi", unlisted("preview.png", delete=True), "list"),
    Liar("a picture of the builder's off the list", "shifted", unlisted("modes.png", delete=True), "list"),
    Liar("a file renamed", "qi", renamed_file, "list"),
    Liar("two splits that change files", "qi", swapped_splits, "list"),
    Liar("a file outside the folder", "qi", outside, "manifest", "nothing"),
    Liar(
        "an absolute file",
        "qi",
        at("files", "/dev/zero", value={"bytes": 1, "sha256": "0" * 64}),
        "manifest",
        "nothing",
    ),
    Liar("another set under this name", "rook", another_set, "manifest", "nothing"),
    Liar("a manifest of brackets", "qi", deep, "manifest", "nothing"),
    Liar("a pipe for a manifest", "qi", piped(MANIFEST), "manifest", "nothing"),
    Liar("a pipe for a split", "qi", piped("border_0/test-00000-of-00001.parquet"), "files", "nothing"),
    Liar("a pipe for a card", "qi", piped("README.md"), "card", "nothing"),
    Liar("a null byte in a source", "qi", first_source("name", "a\0"), "manifest"),
    Liar("a huge border", "qi", at("configs", "border_16", "border", value=10**12), "manifest"),
    Liar("a hash that is a fraction", "qi", first_source("sha256", 1.5), "manifest"),
    Liar("a split renamed", "qi", renamed_split, "manifest"),
    Liar("a config renamed", "qi", renamed_config, "manifest"),
    Liar("pixels pinned by hand", "qi", at("pixels", value="pinned"), "manifest"),
    Liar("pixels verified by hand", "qi", at("pixels", value="verified"), "manifest"),
    Liar("pixels no longer pinned", "rook", at("pixels", value="unverified"), "manifest"),
    Liar("canonical by hand", "qi", at("canonical", value=True), "manifest"),
    Liar("no longer canonical", "rook", at("canonical", value=False), "manifest"),
    Liar("a patch hash changed by hand", "qi", first_source("patch_sha256", "0" * 64), "patch"),
    Liar("a base's hash changed by hand", "shifted", at("sources", "test", 0, "patch_sha256", value="0" * 64), "base"),
    Liar("a set that needs no images made from some", "rook", at("layout", value="demo pictures"), "manifest"),
    Liar("photographs that call themselves demo pictures", "qi", sourced("photo.jpg"), "manifest"),
    Liar("a synset that ImageNet gives otherwise", "qi", synset, "sources"),
    Liar("another data version", "qi", at("spec_version", value="9.0.0"), "manifest"),
    Liar("another size", "qi", at("size", value=124), "manifest"),
    Liar(
        "a field changed without its digest",
        "qi",
        lambda f: edited(f, '"layout": "demo', '"layout": "Demo'),
        "manifest",
        "nothing",
    ),
    Liar("labels that are texts", "qi", retyped("label", lambda v: pa.array(list(map(str, v)))), "schema", "hashes"),
    Liar(
        "labels that are no numbers",
        "qi",
        retyped("label", lambda v: pa.array([float("nan")] * len(v))),
        "schema",
        "hashes",
    ),
    Liar("labels that are lists", "qi", retyped("label", lambda v: pa.array([[x] for x in v])), "schema", "hashes"),
    Liar("labels of 32 bits", "qi", retyped("label", lambda v: pa.array(v, pa.int32())), "schema", "hashes"),
    Liar("places that are texts", "qi", retyped("x", lambda v: pa.array(list(map(str, v)))), "schema", "hashes"),
    Liar(
        "bytes that are lists",
        "qi",
        retyped("image", lambda v: pa.array([{"bytes": list(r["bytes"][:9]), "path": r["path"]} for r in v])),
        "schema",
        "hashes",
    ),
    Liar(
        "images that are bytes", "qi", retyped("image", lambda v: pa.array([r["bytes"] for r in v])), "schema", "hashes"
    ),
    Liar("pairs that are flat", "shifted", flat_pairs, "schema", "hashes"),
    Liar(
        "a column more", "qi", tables(lambda t: t.append_column("split", pa.array(["x"] * len(t)))), "schema", "hashes"
    ),
    Liar("a column less", "qi", tables(lambda t: t.drop_columns(["wnid"])), "schema", "hashes"),
    Liar("columns in another order", "qi", tables(lambda t: t.select(t.schema.names[::-1])), "schema", "hashes"),
    Liar("a place off by one", "qi", moved("x", 1), "place"),
    Liar("a place off by one under a border", "qi", moved("y", 1, ["border_16"]), "borders"),
    Liar("a border that is not there", "qi", moved("border", 16, ["border_0"]), "place"),
    Liar("a label that is null", "qi", null("label"), "readable", "hashes"),
    Liar("a source that is null", "qi", null("source"), "readable", "hashes"),
    Liar("an image without bytes", "qi", no_bytes, "readable", "hashes"),
)


def tell(liar: Liar, folder: Path) -> None:
    """Makes the copy of a set in `folder` lie."""
    liar.spoil(folder)
    if liar.redone != "nothing":
        sabotage.hide(folder, digests=liar.redone == "digests")
