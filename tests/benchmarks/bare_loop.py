"""The floor of a build: decode and resize every file of a folder, and nothing else."""

import math
import os
import sys

from PIL import Image

from qi_datasets.specs import QUADRANT

folder, side = sys.argv[1], QUADRANT.patch
for name in os.listdir(folder):
    image = Image.open(os.path.join(folder, name)).convert("RGB")
    width, height = image.size
    square = QUADRANT.crop * min(width, height)
    left, top, right, bottom = (width - square) / 2, (height - square) / 2, (width + square) / 2, (height + square) / 2
    x, y = math.floor(left), math.floor(top)
    crop = image.crop((x, y, math.ceil(right), math.ceil(bottom)))
    crop.resize((side, side), Image.Resampling.BILINEAR, box=(left - x, top - y, right - x, bottom - y))
