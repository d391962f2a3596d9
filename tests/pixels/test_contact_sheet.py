"""The contact sheet shows every image of every strip, small ones with hard pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qi_datasets.pixels.contact_sheet import CAPTION, GAP, INSET, MARGIN, TILE, Strip, contact_sheet
from tests import pictures


def test_every_image_is_on_the_sheet_at_its_place(tmp_path: Path) -> None:
    colours = [[(200, 0, 0), (0, 200, 0), (0, 0, 200)], [(90, 90, 0)]]
    strips = [
        Strip(
            f"strip {line}",
            [Image.new("RGB", (4 + 600 * line,) * 2, c) for c in row],
            ["a"] * len(row),
        )
        for line, row in enumerate(colours)
    ]

    contact_sheet(strips, tmp_path / "preview.png")

    sheet = np.asarray(Image.open(tmp_path / "preview.png"))
    assert sheet.shape[0] > 2 * TILE
    for line, row in enumerate(colours):
        top = GAP + line * (TILE + CAPTION + GAP)
        for column, colour in enumerate(row):
            left = MARGIN + column * (TILE + GAP)
            assert (sheet[top : top + TILE, left : left + TILE] == colour).all()
        assert (sheet[top : top + TILE, : MARGIN - 2] < 128).any(), "the strip has no title"


def test_small_images_keep_hard_pixels_and_large_ones_are_averaged(tmp_path: Path) -> None:
    chess = np.indices((512, 512)).sum(axis=0) % 2 * 255
    small, large = (Image.fromarray(chess[:side, :side].astype(np.uint8)) for side in (2, 512))

    contact_sheet([Strip("", [small, large], ["", ""])], tmp_path / "a.png")

    sheet = np.asarray(Image.open(tmp_path / "a.png"))[GAP : GAP + TILE, MARGIN : MARGIN + 2 * TILE + GAP, 0]
    assert set(np.unique(sheet[:, :TILE])) == {0, 255}
    assert np.abs(sheet[:, TILE + GAP :].astype(int) - 127).max() <= 1


def test_a_sheet_of_nothing_is_still_a_picture(tmp_path: Path) -> None:
    contact_sheet([], tmp_path / "a.png")

    assert Image.open(tmp_path / "a.png").size[1] == GAP


def test_every_image_has_its_caption(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        contact_sheet([Strip("", [pictures.picture(1)], [])], tmp_path / "a.png")


@pytest.mark.parametrize("corner", [0, 1])
def test_what_would_be_a_dot_is_magnified_in_the_opposite_corner(corner: int, tmp_path: Path) -> None:
    image = Image.new("RGB", (1144, 1144))
    image.paste((0, 255, 0), (512 + 64 * corner,) * 2 + (568 + 64 * corner,) * 2)

    contact_sheet([Strip("", [image], [""])], tmp_path / "a.png")

    tile = np.asarray(Image.open(tmp_path / "a.png"))[GAP : GAP + TILE, MARGIN : MARGIN + TILE]
    inset = tile[-GAP - INSET : -GAP, -GAP - INSET : -GAP] if corner == 0 else tile[GAP:, GAP:][:INSET, :INSET]
    assert (inset == (0, 255, 0)).all()


def test_what_is_large_enough_is_shown_once(tmp_path: Path) -> None:
    image = Image.new("RGB", (120, 120))
    image.paste((0, 255, 0), (0, 0, 56, 56))

    contact_sheet([Strip("", [image], [""])], tmp_path / "a.png")

    tile = np.asarray(Image.open(tmp_path / "a.png"))[GAP : GAP + TILE, MARGIN : MARGIN + TILE]
    assert not tile[70:, 70:].any()
