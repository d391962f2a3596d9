#!/usr/bin/env bash
# `Dataset.map` that only looks at an image writes all images again.
#
# Versions: datasets 5.2.0, Pillow 13.0.0.
# Expected: `map(lambda row: {"width": row["image"].width})` adds a column of numbers and leaves the column of images as
#   it is, as `map(lambda row: {"width": 80})` does.
# Behaviour: of a row that a function has read an image from, `map` keeps what the function saw, a decoded image, and
#   encodes it again. A JPEG is compressed a second time at Pillow's quality of 75, and its name is lost (`path` is None).
#   In a batch one look at one image does it to all. With `input_columns=["image"]` nothing is written again, nor does
#   `filter`. So a copy of ImageNet that somebody gave a column of widths has neither ImageNet's pixels nor its names.
# Output seen:
#   function of the label        path kept: True   bytes equal: True
#   width of the image           path kept: False  bytes equal: False
#   one image of the batch       path kept: False  bytes equal: False
#   width, by input_columns      path kept: True   bytes equal: True
#   filter by width              path kept: True   bytes equal: True
#   largest difference of a pixel above 8 levels: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0
cat > "$work/expected" << 'END'
function of the label        path kept: True   bytes equal: True
width of the image           path kept: False  bytes equal: False
one image of the batch       path kept: False  bytes equal: False
width, by input_columns      path kept: True   bytes equal: True
filter by width              path kept: True   bytes equal: True
largest difference of a pixel above 8 levels: True
END
HF_HOME="$work/hf" HF_HUB_OFFLINE=1 "$work/venv/bin/python" - > "$work/seen" << 'END'
import io

import datasets
import numpy as np
from PIL import Image

datasets.disable_progress_bars()
rng = np.random.default_rng(0)


def jpeg():
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


files = [jpeg() for _ in range(4)]
rows = datasets.Dataset.from_dict(
    {"image": [{"bytes": file, "path": f"{i}.JPEG"} for i, file in enumerate(files)], "label": [0, 1, 2, 3]},
    features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
)
ways = {
    "function of the label": lambda: rows.map(lambda row: {"double": 2 * row["label"]}),
    "width of the image": lambda: rows.map(lambda row: {"width": row["image"].width}),
    "one image of the batch": lambda: rows.map(lambda batch: {"width": [batch["image"][0].width] * 4}, batched=True),
    "width, by input_columns": lambda: rows.map(lambda image: {"width": image.width}, input_columns=["image"]),
    "filter by width": lambda: rows.filter(lambda row: row["image"].width > 0),
}
for name, way in ways.items():
    stored = way().cast_column("image", datasets.Image(decode=False))["image"]
    named = all(cell["path"] == f"{i}.JPEG" for i, cell in enumerate(stored))
    equal = all(cell["bytes"] == file for cell, file in zip(stored, files, strict=True))
    print(f"{name:<28} path kept: {named!s:<6} bytes equal: {equal}")
again = np.asarray(ways["width of the image"]()[0]["image"]).astype(int)
difference = np.abs(again - np.asarray(Image.open(io.BytesIO(files[0]))).astype(int)).max()
print("largest difference of a pixel above 8 levels:", bool(difference > 8))
END
cat "$work/seen"
diff "$work/expected" "$work/seen"
