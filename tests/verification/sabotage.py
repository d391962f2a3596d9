"""Ways to damage a stored set, and to hide it: the manifest's hashes and digests are made to agree."""

import io
import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from qi_datasets.errors import QIDatasetsError
from qi_datasets.pixels.digests import row_digest, sha256_hex, split_digest
from qi_datasets.pixels.geometry import whole
from qi_datasets.registry import look_up_spec
from qi_datasets.storage.card import CARD
from qi_datasets.storage.croissant import CROISSANT, write_croissant
from qi_datasets.storage.manifest import MANIFEST, Manifest
from qi_datasets.storage.manifest_file import text_of
from qi_datasets.storage.parquet import ROW_GROUP_ROWS, file_record

SPLITS = {"train": 8, "validation": 4, "test": 4}
"""Sources of the small `qi` that is spoilt."""

BORDERS = (0, 16)


def read_manifest(folder):
    return json.loads((folder / MANIFEST).read_text())


def write_manifest(folder, manifest):
    (folder / MANIFEST).write_text(text_of(manifest))


def pixels(row):
    """Returns the image of a stored row, (h, w, c) or (h, w), writable."""
    return np.array(Image.open(io.BytesIO(row["image"]["bytes"])))


def put(row, image, kind="PNG"):
    """Stores another image in a row."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    row["image"]["bytes"] = file.getvalue()


def rewrite(folder, split, change, configs=None):
    """Calls `change(rows, border)`, which changes the list of rows in place, on a split of every config (or some)."""
    for name, config in read_manifest(folder)["configs"].items():
        if configs is None or name in configs:
            (file,) = config["splits"][split]["files"]
            table = pq.read_table(folder / file)
            rows = table.to_pylist()
            change(rows, config["border"])
            pq.write_table(
                pa.Table.from_pylist(rows, schema=table.schema), folder / file, row_group_size=ROW_GROUP_ROWS
            )


def digests_of(config):
    """Returns all digests of a config of a manifest, its own first, as the card quotes them."""
    splits = [split["digest"].encode() for split in config["splits"].values()]
    return [sha256_hex(b"".join(splits)).encode(), *splits]


def hide(folder, *, digests=True):
    """Makes sizes, hashes and digests in manifest and card agree with the files, so that they reveal nothing."""
    manifest = read_manifest(folder)
    in_digest = look_up_spec(manifest["name"]).label_in_digest
    card = (folder / CARD).read_bytes() if (folder / CARD).is_file() else None
    for config in manifest["configs"].values() if digests else ():
        before = digests_of(config)
        for split in config["splits"].values():
            rows = [row for file in split["files"] for row in pq.read_table(folder / file).to_pylist()]
            split["digest"] = split_digest(
                row_digest(whole(pixels(row)), row["label"] if in_digest else "", row.get("source", str(number)))
                for number, row in enumerate(rows)
            )
        for old, new in zip(before, digests_of(config), strict=True):
            card = card and card.replace(old, new)
    if card is not None:
        splits = [split for config in manifest["configs"].values() for split in config["splits"].values()]
        sizes = (sum((folder / file).stat().st_size for file in split["files"]) for split in splits)
        card = re.sub(rb"num_bytes: \d+", lambda _: b"num_bytes: %d" % next(sizes), card)
        (folder / CARD).write_bytes(card)
    for name, record in manifest["files"].items():
        record.update(asdict(file_record(folder / name)))
    write_manifest(folder, manifest)
    if CROISSANT in manifest["files"]:
        with suppress(QIDatasetsError):  # a manifest that can't be read has no description
            known = Manifest.read(folder)
            parquet = {name: record for name, record in known.files.items() if name.endswith(".parquet")}
            write_croissant(folder, look_up_spec(known.name), known, parquet)
            manifest["files"][CROISSANT].update(asdict(file_record(folder / CROISSANT)))
            write_manifest(folder, manifest)


def corner_of(row):
    return row["y"], row["x"]


@dataclass(frozen=True)
class Sabotage:
    """One way to damage a set. check: the check that must fail although it is hidden. words: parts of its cause."""

    title: str
    set: str
    spoil: Any
    check: str
    words: str
    hides_digests: bool = True


def swap_labels(folder):
    def change(rows, border):
        for row in rows:
            row["label"] = 1 - row["label"]

    rewrite(folder, "test", change)


def flip_one_percent(folder):
    def change(rows, border):
        for row in rows[::100]:
            row["label"] = 1 - row["label"]

    rewrite(folder, "train", change)


def change_one_grey_level(folder):
    def change(rows, border):
        image, (y, x) = pixels(rows[5]), corner_of(rows[5])
        image[y + 30, x + 20, 1] ^= 1
        put(rows[5], image)

    rewrite(folder, "validation", change)


def set_one_background_pixel(folder):
    def change(rows, border):
        image = pixels(rows[4])
        image[border + 80, border + 70, 2] = 1
        put(rows[4], image)

    rewrite(folder, "train", change)


def watermark(place):
    """A faint mark on every image of label 1, inside the patch or outside it."""

    def spoil(folder):
        def change(rows, border):
            for row in rows[1::2]:
                image, (y, x) = pixels(row), corner_of(row)
                y, x = (y + 3, x + 3) if place == "inside" else (border + 2, border + 100)
                image[y : y + 4, x : x + 4] ^= 1
                put(row, image)

        for split in SPLITS:
            rewrite(folder, split, change)

    return spoil


def put_source_into_two_splits(folder):
    kept = {}

    def keep(rows, border):
        kept[border] = rows[:2]

    def change(rows, border):
        rows[:2] = kept[border]

    rewrite(folder, "train", keep)
    rewrite(folder, "validation", change)
    manifest = read_manifest(folder)
    manifest["sources"]["validation"][0] = manifest["sources"]["train"][0]
    write_manifest(folder, manifest)


def move_one_image(folder):
    def change(rows, border):
        put(rows[3], np.roll(pixels(rows[3]), (1, 0), axis=(0, 1)))

    rewrite(folder, "test", change, configs=["border_16"])


def repeat_image(folder):
    def change(rows, border):
        rows[6] = rows[2]

    rewrite(folder, "validation", change)


def flip(path, place):
    """Flips a bit of the byte at `place(data)` of a file."""
    data = bytearray(path.read_bytes())
    data[place(data)] ^= 0x20
    path.write_bytes(data)


def flip_one_byte(folder):
    flip(folder / "border_16/train-00000-of-00001.parquet", lambda data: data.index(b"IDAT"))


def reorder_rows(folder):
    def change(rows, border):
        rows[0:4] = rows[2:4] + rows[0:2]

    rewrite(folder, "test", change)


def reorder_corners(folder):
    def change(rows, border):
        rows[0:2] = rows[1::-1]

    rewrite(folder, "test", change)


def take_manifest_of_another_build(folder):
    other = folder.parent.parent / "other_manifest.json"
    (folder / MANIFEST).write_bytes(other.read_bytes())


def save_as_jpeg(folder):
    def change(rows, border):
        for row in rows:
            put(row, pixels(row), "JPEG")

    rewrite(folder, "train", change)


def do_nothing(folder):
    pass


SABOTAGES = (
    Sabotage("labels of one split swapped", "qi", swap_labels, "labels", "border_0/test row 0 has label 1"),
    Sabotage("1 % of labels flipped", "red_green", flip_one_percent, "labels", "train row 0 has label 1"),
    Sabotage(
        "one grey level changed in one patch of a pair",
        "qi",
        change_one_grey_level,
        "patch",
        "1 pixel differs, at row 30, column 20",
    ),
    Sabotage(
        "one background pixel set to 1",
        "qi",
        set_one_background_pixel,
        "background",
        "train row 4: row 80, column 70 is 1",
    ),
    Sabotage("a faint watermark by label, inside the patch", "qi", watermark("inside"), "patch", "16 pixels differ"),
    Sabotage(
        "a faint watermark by label, beside the patch",
        "qi",
        watermark("beside"),
        "background",
        "row 2, column 100 is 1",
    ),
    Sabotage("a source in two splits", "qi", put_source_into_two_splits, "sources", "is in train and in validation"),
    Sabotage(
        "border off by one pixel in one row",
        "qi",
        move_one_image,
        "borders",
        "border_16/test row 3: the content is off by +1 rows",
    ),
    Sabotage("the 112 template", "qi-canvas_112", do_nothing, "displacement", "total stride 16, 32, 64"),
    Sabotage(
        "a red-green image repeated",
        "red_green",
        repeat_image,
        "repeats",
        "validation row 6 repeats the image of validation row 2",
    ),
    Sabotage(
        "a Parquet file with one byte flipped",
        "qi",
        flip_one_byte,
        "readable",
        "border_16/train row 0: the image can't be decoded (it is no image file)",
        hides_digests=False,
    ),
    Sabotage("rows reordered", "qi", reorder_rows, "sources", "test row 0 has the source"),
    Sabotage("the two corners of a source reordered", "qi", reorder_corners, "place", "is upper_left"),
    Sabotage(
        "the manifest of another build", "qi", take_manifest_of_another_build, "sources", "the manifest says demo_001"
    ),
    Sabotage("images saved as JPEG", "qi", save_as_jpeg, "images", "is stored as JPEG"),
)
