"""Contact sheets: a few rows of each config and split of a set, for people to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TILE, GAP, MARGIN, CAPTION = 128, 8, 110, 18
DOT, INSET = 24, 44
"""Pixels: anything smaller than the one on a tile is shown again at the size of the other."""
PAPER, INK, FRAME = (250, 250, 248), (40, 40, 40), (205, 60, 40)


@dataclass(frozen=True)
class Strip:
    """One line of a contact sheet: its title, and its images with their captions."""

    title: str
    images: Sequence[Image.Image]
    captions: Sequence[str]


def magnify_dot(image: Image.Image, sheet: Image.Image, left: int, top: int) -> None:
    """Enlarges content that would be a dot on a tile, in the tile's opposite corner, with a line to the dot.

    Args:
        image: The image of one tile.
        sheet: The sheet to draw on.
        left: The tile's first pixel on the sheet.
        top: The tile's first pixel on the sheet.
    """
    box = image.getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) * TILE >= DOT * image.width:
        return
    x, y = ((box[axis] + box[axis + 2]) * TILE // (2 * image.width) for axis in (0, 1))
    near, far = GAP, TILE - GAP - INSET
    inset_x, inset_y = left + (near if x > TILE // 2 else far), top + (near if y > TILE // 2 else far)
    canvas = ImageDraw.Draw(sheet)
    canvas.line((left + x, top + y, inset_x + INSET // 2, inset_y + INSET // 2), fill=FRAME)
    sheet.paste(image.crop(box).resize((INSET, INSET), Image.Resampling.BICUBIC), (inset_x, inset_y))
    canvas.rectangle((inset_x - 1, inset_y - 1, inset_x + INSET, inset_y + INSET), outline=FRAME)


def contact_sheet(strips: Sequence[Strip], path: Path) -> None:
    """Writes the sheet as PNG: a line per strip, every image scaled to one size in a frame of one pixel."""
    columns = max((len(strip.images) for strip in strips), default=0)
    height = len(strips) * (TILE + CAPTION + GAP) + GAP
    sheet = Image.new("RGB", (MARGIN + columns * (TILE + GAP) + GAP, height), PAPER)
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for line, strip in enumerate(strips):
        top = GAP + line * (TILE + CAPTION + GAP)
        canvas.multiline_text((GAP, top), strip.title, INK, font)
        for column, (picture, caption) in enumerate(zip(strip.images, strip.captions, strict=True)):
            left = MARGIN + column * (TILE + GAP)
            image = picture.convert("RGB")
            # Small images keep their hard pixels; large ones are averaged, so that no row of pixels is skipped.
            enlarge = image.width <= TILE
            resample = Image.Resampling.NEAREST if enlarge else Image.Resampling.BOX
            sheet.paste(image.resize((TILE, TILE), resample), (left, top))
            canvas.rectangle((left - 1, top - 1, left + TILE, top + TILE), outline=FRAME)
            magnify_dot(image, sheet, left, top)
            canvas.text((left, top + TILE + 1), caption, INK, font)
    sheet.save(path)
