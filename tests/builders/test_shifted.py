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
from qi_datasets.building.build import build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import plan_set
from qi_datasets.commands.build import main
from qi_datasets.sources import open_source
from qi_datasets.specs import QI, SHIFTED
from tests import expected, pictures

TAKEN = 4


def base(file: bytes) -> npt.NDArray[np.uint8]:
    """Returns (288, 288, 3): the centred square of the shorter side, in one antialiased bilinear step."""
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


@pytest.fixture(scope="module", params=["flat", "class_folders"])
def built(request: pytest.FixtureRequest, album: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an output folder with 4 sources of `shifted`, after QI's 3."""
    val = pictures.LAYOUTS[request.param](album, tmp_path_factory.mktemp("val"))
    output = tmp_path_factory.mktemp(request.param)
    arguments = ["--imagenet-val", val, "--set", "shifted", "--per-split", "1", "--shifted-images", str(TAKEN)]
    result = CliRunner().invoke(main, [*arguments, "--workers", "1", "--quiet", "--output", str(output)])
    assert result.exit_code == 0, result.output
    return output


def test_rows_are_as_published(built: Path, album: dict[str, bytes]) -> None:
    rows = load_dataset("shifted", split="test", output=built)

    names = expected.in_order(album)[3 : 3 + TAKEN]
    assert rows["source"][:] == names
    for row, name in zip(rows, names, strict=True):
        np.testing.assert_array_equal(np.asarray(row["image"]), base(album[name]))
        assert row["pairs"] == [pair(name, k) for k in range(5)]
        assert row["wnid"] == expected.val_wnid(name)
        assert row["label"] == expected.wnids().index(row["wnid"])


def test_other_images_have_a_label_if_their_folder_is_a_synset(album: dict[str, bytes], tmp_path: Path) -> None:
    labels = {"n02119789/a.jpg": 278, "cats/b.jpg": -1, "c.jpg": -1, "n00000000/d.jpg": -1}
    for name, content in zip(labels, album.values(), strict=False):
        pictures.write(tmp_path / "images" / name, content)
    sizes = {"qi": dict.fromkeys(QI.splits, 0), "shifted": {"test": 4}}
    plan = plan_set(SHIFTED, open_source(tmp_path / "images"), splits=sizes)
    build_set(plan, tmp_path, engine=Engine(1))

    rows = load_dataset("shifted", split="test", output=tmp_path)

    assert dict(zip(rows["source"], rows["label"], strict=True)) == labels


def test_the_digest_leaves_labels_out(built: Path, album: dict[str, bytes]) -> None:
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
