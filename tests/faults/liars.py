"""Stored sets that lie: every hash and digest is made to agree with the files, and yet they load as something else.

Each names the check that must find it.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from qi_datasets.storage.manifest import MANIFEST
from tests.faults.odd_pngs import animated, in_png, interlaced, of_16_bits, of_a_palette, sideways, text
from tests.faults.spoils import (
    Spoil,
    another_set,
    at,
    card,
    deep,
    edited,
    extra,
    features,
    first_source,
    flat_pairs,
    linked,
    moved,
    no_bytes,
    null,
    outside,
    paths,
    piped,
    pngs,
    renamed_config,
    renamed_file,
    renamed_split,
    retyped,
    sourced,
    swap_names,
    swapped_splits,
    synset,
    tables,
    unlisted,
)
from tests.verification import sabotage


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
