"""`shifted`: bases, pairs and labels as published, whichever layout they come from."""

import hashlib
import io
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image

from qi_datasets import load_dataset
from qi_datasets.commands.build import main
from tests import expected, pictures

WNIDS = {"n01440764": 0, "n02119789": 278, "n07747607": 950}
TAKEN = 4


def base(file: bytes) -> npt.NDArray[np.uint8]:
    """(288, 288, 3): the centred square of the shorter side, in one antialiased bilinear step."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    w, h = image.size
    m = min(w, h)
    left, top = (w - m) / 2, (h - m) / 2
    x, y = math.floor(left), math.floor(top)
    crop = image.crop((x, y, math.ceil(left + m), math.ceil(top + m)))
    box = (left - x, top - y, left + m - x, top + m - y)
    return np.asarray(crop.resize((288, 288), Image.Resampling.BILINEAR, box=box))


def pair(source: str, k: int) -> list[int]:
    digest = hashlib.sha256(f"qi-datasets/v1/pair/{source}/{k}".encode()).digest()
    return [int.from_bytes(digest[2 * i : 2 * i + 2], "big") % 65 for i in range(4)]


@pytest.fixture(scope="module", params=["flat", "kaggle"])
def built(request: pytest.FixtureRequest, album: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with 4 sources of `shifted`, after QI's 3, from a layout with or without wnids."""
    val = pictures.LAYOUTS[request.param](album, tmp_path_factory.mktemp("val"))
    output = tmp_path_factory.mktemp(request.param)
    arguments = ["--imagenet-val", val, "--set", "shifted", "--per-split", "1", "--shifted-images", str(TAKEN)]
    result = CliRunner().invoke(main, [*arguments, "--workers", "1", "--quiet", "--output", str(output)])
    assert result.exit_code == 0, result.output
    return output


def test_rows_are_as_published(built: Path, album: dict[str, bytes]) -> None:
    rows = load_dataset("shifted", split="test", output=built)
    labelled = built.name.startswith("kaggle")

    names = expected.in_order(album)[3 : 3 + TAKEN]
    assert rows["source"][:] == names
    for row, name in zip(rows, names, strict=True):
        np.testing.assert_array_equal(np.asarray(row["image"]), base(album[name]))
        assert row["pairs"] == [pair(name, k) for k in range(5)]
        assert row["wnid"] == (pictures.wnid_of(name) if labelled else "")
        assert row["label"] == (WNIDS[row["wnid"]] if labelled else -1)


def test_layouts_with_and_without_labels_have_one_digest(built: Path, album: dict[str, bytes]) -> None:
    manifest = json.loads((built / "shifted" / "manifest.json").read_text())

    names = expected.in_order(album)[3 : 3 + TAKEN]
    digests = [expected.row_digest(base(album[name]), "", name) for name in names]
    assert manifest["configs"]["default"]["splits"]["test"]["digest"] == expected.split_digest(digests)


def test_the_card_shows_the_modes_and_counts_the_classes(built: Path) -> None:
    card = (built / "shifted" / "README.md").read_text()
    manifest = json.loads((built / "shifted" / "manifest.json").read_text())

    with_synset = [one for one in manifest["sources"]["test"] if one["wnid"]]
    classes = {one["wnid"] for one in with_synset}
    assert f"{len(with_synset)} of {TAKEN} images have a synset, of {len(classes)} classes" in " ".join(card.split())
    assert "(modes.png)" in card
    assert "modes.png" in manifest["files"]
    picture = Image.open(built / "shifted" / "modes.png")
    assert picture.width > 5 * 128
    assert picture.height > 3 * 128
