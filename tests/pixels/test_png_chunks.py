"""PNG files with only pixels are distinguished from all others."""

import numpy as np
import pytest

from qi_datasets.pixels.png import PatchEncoder
from qi_datasets.pixels.png_chunks import addition
from tests import pictures
from tests.faults.odd_pngs import animated, in_png, interlaced, of_16_bits, of_a_palette, sideways, text


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_plain_files_of_any_writer_have_no_addition(mode: str) -> None:
    image = pictures.picture(3, (30, 20)).convert(mode)
    levels = np.asarray(image).reshape(20, 30, len(mode))

    for plain in (pictures.encoded(image, "PNG"), PatchEncoder(levels).png(3, 4, 60, 60)):
        assert addition(plain, mode) == ""
        assert addition(plain, "L" if mode == "RGB" else "RGB") != ""


PLAIN = pictures.encoded(pictures.picture(3, (30, 20)), "PNG")
OTHERS = {
    "eXIf": sideways(PLAIN),
    "acTL": animated(PLAIN),
    "tEXt": text(PLAIN),
    "tRNS": in_png(b"tRNS", bytes(6))(PLAIN),
    "8 bits, row by row": interlaced(PLAIN),
    "of 8 bits": of_16_bits(PLAIN),
    "PLTE": of_a_palette(PLAIN),
    "3 bytes after its end": PLAIN + b"end",
    "cut off or damaged": PLAIN[:60] + bytes([PLAIN[60] ^ 1]) + PLAIN[61:],
    "another order": PLAIN[:33] + PLAIN[-12:],
    "another signature": b"GIF89a",
}


@pytest.mark.parametrize(("words", "data"), OTHERS.items())
def test_what_is_more_is_named(words: str, data: bytes) -> None:
    assert words in addition(data, "RGB")


def test_every_end_that_is_cut_off_is_noticed() -> None:
    for length in range(len(PLAIN)):
        assert addition(PLAIN[:length], "RGB"), length
