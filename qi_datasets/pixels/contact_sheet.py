"""Contact sheets: a few rows of each config and split of a set, for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TILE, GAP, MARGIN, CAPTION = 128, 8, 150, 18
PAPER, INK, FRAME = (250, 250, 248), (40, 40, 40), (205, 60, 40)


@dataclass(frozen=True)
class Strip:
    """One line of a contact sheet: what it shows, and its images with their captions."""

    title: str
    images: Sequence[Image.Image]
    captions: Sequence[str]


def contact_sheet(strips: Sequence[Strip], path: Path) -> None:
    """Writes the sheet as PNG: a line per strip, every image scaled to one size inside a frame of one pixel."""
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
            canvas.text((left, top + TILE + 1), caption, INK, font)
    sheet.save(path)
