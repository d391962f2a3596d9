"""The specification, computed again with numpy, Pillow and hashlib alone, so that no test relies on the code."""

import hashlib
import io
import math
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import qi_datasets

Pixels = npt.NDArray[np.uint8]
Placement = tuple[int, int, int, int]

PATCH, CANVAS = 56, 120


def draw(text: str) -> bytes:
    return hashlib.sha256(f"qi-datasets/v1/{text}".encode()).digest()


@cache
def official_ids() -> tuple[int, ...]:
    """Returns ids 1 to 50000 of ImageNet val, in the order of the selection."""
    return tuple(sorted(range(1, 50_001), key=lambda number: draw(f"{number:08d}")))


@cache
def val_classes() -> tuple[int, ...]:
    """Returns the class, 0 to 999, of validation images 1 to 50000: ten bits each, the highest first."""
    packed = Path(qi_datasets.__file__).with_name("imagenet_val_classes.bin").read_bytes()
    bits = np.unpackbits(np.frombuffer(packed, np.uint8)).reshape(-1, 10)
    return tuple((bits @ (1 << np.arange(9, -1, -1))).tolist())


@cache
def wnids() -> tuple[str, ...]:
    """Returns the 1000 synsets, sorted."""
    return tuple(Path(qi_datasets.__file__).with_name("imagenet_wnids.txt").read_text().split())


def val_wnid(name: str) -> str:
    """Returns the synset of `ILSVRC2012_val_<id>`."""
    return wnids()[val_classes()[int(name.removeprefix("ILSVRC2012_val_")) - 1]]


def in_order(names: Iterable[str]) -> list[str]:
    """Returns names `ILSVRC2012_val_<id>` in the order of their ids' digests."""
    return sorted(names, key=lambda name: draw(name.removeprefix("ILSVRC2012_val_")))


def quadrant_patch(file: bytes) -> Pixels:
    """Returns (56, 56, 3): the central 87.5 % of the shorter side, in one antialiased bilinear step."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    w, h = image.size
    m = 0.875 * min(w, h)
    box = ((w - m) / 2, (h - m) / 2, (w + m) / 2, (h + m) / 2)
    x, y = math.floor(box[0]), math.floor(box[1])
    crop = image.crop((x, y, math.ceil(box[2]), math.ceil(box[3])))
    moved = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
    return np.asarray(crop.resize((PATCH, PATCH), Image.Resampling.BILINEAR, box=moved))


def quadrant_image(patch: Pixels, label: int, border: int, canvas: int = CANVAS) -> Pixels:
    """Returns (canvas + 2 border, canvas + 2 border, 3): the patch upper left (0) or bottom right (1) on black."""
    corner = border + (canvas - PATCH if label else 0)
    image = np.zeros((canvas + 2 * border, canvas + 2 * border, 3), np.uint8)
    image[corner : corner + PATCH, corner : corner + PATCH] = patch
    return image


def antialiased_bilinear(image: Pixels, box: tuple[float, float, float, float], side: int) -> npt.NDArray[np.float64]:
    """Scales `image` (h, w, c) inside `box` (left, top, right, bottom) to `side` x `side` by a triangle filter."""

    def weights(low: float, high: float, size: int) -> npt.NDArray[np.float64]:
        scale = (high - low) / side
        support = max(scale, 1.0)
        centres = low + (np.arange(side) + 0.5) * scale
        distance = np.abs(np.arange(size)[None, :] + 0.5 - centres[:, None]) / support
        triangle = np.clip(1 - distance, 0, None)
        return triangle / triangle.sum(axis=1, keepdims=True)

    left, top, right, bottom = box
    rows, columns = weights(top, bottom, image.shape[0]), weights(left, right, image.shape[1])
    return np.einsum("ih,jw,hwc->ijc", rows, columns, image.astype(np.float64))


def row_digest(image: npt.ArrayLike, label: int | str, source: str | int) -> bytes:
    """Returns the digest of a row whose image is (h, w) or (h, w, c)."""
    pixels = np.asarray(image)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    h, w, c = pixels.shape
    ys, xs = np.nonzero(pixels.max(axis=2))
    y0, x0, y1, x1 = (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1) if ys.size else (0, 0, 0, 0)
    head = f"{h}x{w}x{c}|{y0},{x0},{y1},{x1}|{label}|{source}|"
    return hashlib.sha256(head.encode() + pixels[y0:y1, x0:x1].tobytes()).digest()


def split_digest(rows: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(rows)).hexdigest()


def quadrant_digest(files: dict[str, bytes], names: Iterable[str], border: int) -> str:
    """Returns the split digest of QI made from these images, in this order."""
    digests = []
    for name in names:
        patch = quadrant_patch(files[name])
        digests += [row_digest(quadrant_image(patch, label, border), label, name) for label in (0, 1)]
    return split_digest(digests)


@cache
def red_green_placements(label: int) -> tuple[Placement, ...]:
    """Returns every (left x, left y, right x, right y) of a label, in the order of its digest."""
    centre = (7, 23)[label]
    ys = range(centre - 4, centre + 4)
    placements = [
        (lx, ly, rx, ry)
        for lx in range(10)
        for rx in range(lx + 5, 28)
        for ly, ry in product(ys, ys)
    ]  # fmt: skip
    return tuple(sorted(placements, key=lambda p: draw(f"red_green/{label}/{p[0]},{p[1]},{p[2]},{p[3]}")))


def red_green_rows(split: str) -> Iterator[tuple[Pixels, int, Placement]]:
    """Yields image (32, 32, 3), label and placement of every row of a split."""
    start, count = {"train": (0, 1000), "validation": (1000, 500)}.get(split, (1500, 500))
    for k in range(start, start + count):
        for label in (0, 1):
            lx, ly, rx, ry = red_green_placements(label)[k]
            if split == "test_dissimilar":
                move = 16 if label == 0 else -16
                ly, ry = ly + move, ry + move
            image = np.zeros((32, 32, 3), np.uint8)
            left, right = ((255, 0, 0), (0, 255, 0)) if label == 0 else ((0, 255, 0), (255, 0, 0))
            image[ly : ly + 4, lx : lx + 4] = left
            image[ry : ry + 4, rx : rx + 4] = right
            yield image, label, (lx, ly, rx, ry)
