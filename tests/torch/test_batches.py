"""Batches that are padded as a whole equal the images that the views give one by one."""

from pathlib import Path

import numpy as np
import pytest

from qi_datasets import load_dataset
from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import OptionError
from qi_datasets.sources import DemoSource
from qi_datasets.specs import QI

torch = pytest.importorskip("torch")

from qi_datasets.torch import padded_batches

PER_SPLIT = 4


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    plan = plan_set(QI, DemoSource.of(3 * PER_SPLIT), splits={"qi": dict.fromkeys(QI.splits, PER_SPLIT)}, borders=[0])
    build_set(plan, folder)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("border", [1, 16, 64])
def test_batches_equal_the_view(output: Path, border: int, workers: int) -> None:
    view = load_dataset("qi", border=border, split="test", output=output)
    batches = list(padded_batches(view, batch_size=3, workers=workers))
    assert [len(batch["image"]) for batch in batches] == [3, 3, 2]
    images = torch.cat([batch["image"] for batch in batches])
    assert images.dtype == torch.uint8
    expected = np.stack([np.asarray(row["image"]) for row in view]).transpose(0, 3, 1, 2)
    assert np.array_equal(images.numpy(), expected)
    for name in ("label", "x", "y", "border"):
        assert torch.cat([batch[name] for batch in batches]).tolist() == view[name][:]
    assert [source for batch in batches for source in batch["source"]] == view["source"][:]


def test_grey_images_keep_one_channel(output: Path) -> None:
    (batch,) = padded_batches(load_dataset("rook", border=5, split="train", output=output))
    assert batch["image"].shape == (2, 1, 42, 42)


def test_selected_and_shuffled_views_work(output: Path) -> None:
    view = load_dataset("qi", border=2, split="test", output=output).shuffle(seed=1).select([5, 0, 3])
    (batch,) = padded_batches(view)
    assert np.array_equal(batch["image"][1].permute(1, 2, 0).numpy(), np.asarray(view[1]["image"]))


def test_what_is_no_fresh_view_is_refused(output: Path) -> None:
    with pytest.raises(OptionError, match="takes a view"):
        next(padded_batches(load_dataset("qi", split="test", output=output)))
    rewritten = load_dataset("qi", border=2, split="test", output=output).map(lambda row: {"image": row["image"]})
    with pytest.raises(OptionError, match="rewritten"):
        next(padded_batches(rewritten))
