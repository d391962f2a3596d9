"""Batches that are padded as a whole equal the images that the views give one by one, and load as DataLoader does."""

import math
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, SequentialSampler
from torchvision.transforms import v2

from qi_datasets import as_stock, load_dataset
from qi_datasets.errors import OptionError
from qi_datasets.torch import QuadrantImageNet, RedGreen, Rook, ShiftedImageNet, padded_batches

QI, ROWS = "qi", 8


def qi(output: Path, border: int = 2) -> datasets.Dataset:
    return load_dataset(QI, border=border, split="test", output=output)


def stacked(rows: Any) -> Any:
    """Returns the images of a dataset, one by one: (n, c, h, w)."""
    images = [np.asarray(row["image"]) for row in rows]
    return torch.from_numpy(np.stack([one[..., None] if one.ndim == 2 else one for one in images])).permute(0, 3, 1, 2)


def joined(batches: Any, name: str = "image") -> Any:
    return torch.cat([batch[name] for batch in batches])


@pytest.mark.crossed
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("border", [0, 1, 16, 64])
def test_batches_equal_the_view(output: Path, border: int, num_workers: int) -> None:
    view = qi(output, border)

    batches = list(padded_batches(view, batch_size=3, num_workers=num_workers))

    assert [len(batch["image"]) for batch in batches] == [3, 3, 2]
    assert joined(batches).dtype == torch.uint8
    assert torch.equal(joined(batches), stacked(view))
    for name in ("label", "x", "y", "border"):
        assert joined(batches, name).tolist() == view[name][:]
    assert [source for batch in batches for source in batch["source"]] == view["source"][:]


SPLITS = {
    "shifted": lambda output: load_dataset("shifted", mode="zero", shift=9, split="test", output=output),
    "bases": lambda output: load_dataset("shifted", split="test", output=output),
    "red_green": lambda output: load_dataset("red_green", split="validation[:5]", output=output),
    "a grid": lambda output: load_dataset("qi", grid=3, border=5, split="test", output=output),
    "grey, of a border": lambda output: load_dataset("rook", border=5, split="train", output=output),
    "grey": lambda output: load_dataset("rook", split="train", output=output),
    "written out": lambda output: as_stock(qi(output, 3)),
    "selected and shuffled": lambda output: qi(output).shuffle(seed=1).select([5, 0, 3]),
    "images rewritten without a border": lambda output: qi(output, 0).map(lambda row: {"image": row["image"].copy()}),
    "some columns": lambda output: qi(output).select_columns(["image", "label"]),
    "formatted": lambda output: qi(output).with_format("torch", columns=["label"]),
}


@pytest.mark.parametrize("case", SPLITS)
def test_every_split_of_images_will_do(case: str, output: Path) -> None:
    rows = SPLITS[case](output)

    assert torch.equal(joined(padded_batches(rows, batch_size=2)), stacked(rows.with_format(None)))


SETS = {
    "qi": lambda output: QuadrantImageNet(output, "test", 16),
    "qi without border": QuadrantImageNet,
    "rook": lambda output: Rook(output, border=1),
    "shifted": lambda output: ShiftedImageNet(output, mode="circular", shift=1),
    "red_green": lambda output: RedGreen(output, "test_similar[:3]"),
}


@pytest.mark.parametrize("case", SETS)
def test_the_sets_of_torch_will_do(case: str, output: Path) -> None:
    data = SETS[case](output)

    batches = list(padded_batches(data, batch_size=2))

    assert torch.equal(joined(batches), stacked(data.rows))
    assert joined(batches, "label").tolist() == data.targets


def test_columns_keep_their_kind(output: Path) -> None:
    floats = [0.25, 0.5, 1.5, 0.0, -1.0, 2.0, 3.0, 4.0]
    rows = qi(output).add_column("double", floats).add_column("flag", [True, False] * 4)
    rows = rows.add_column("single", np.array(floats, np.float32)).add_column("byte", np.arange(8, dtype=np.uint8))
    rows = rows.add_column("gap", [None, *range(7)]).add_column("nested", [[1, 2]] * 8)

    (batch,) = padded_batches(rows)

    kinds = {name: batch[name].dtype for name in ("double", "single", "flag", "byte", "label")}
    assert kinds == {
        "double": torch.float64,
        "single": torch.float32,
        "flag": torch.bool,
        "byte": torch.int64,
        "label": torch.int64,
    }
    assert batch["double"].tolist() == batch["single"].tolist() == floats
    assert batch["flag"].tolist() == [True, False] * 4
    assert batch["gap"] == [None, *range(7)]
    assert batch["nested"] == [[1, 2]] * 8


def test_shuffling_is_that_of_the_generator(output: Path) -> None:
    rows = qi(output)

    def order(seed: int) -> list[int]:
        number = rows.add_column("n", list(range(ROWS)))
        batches = list(
            padded_batches(number, batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(seed))
        )
        found = joined(batches, "n").tolist()
        assert torch.equal(joined(batches), stacked(rows)[found])
        return found

    stock = DataLoader(range(ROWS), batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(1))
    assert order(1) == order(1) == torch.cat(list(stock)).tolist() != list(range(ROWS))
    assert sorted(order(2)) == list(range(ROWS))
    assert order(2) != order(1)


def test_epochs_are_shuffled_anew(output: Path) -> None:
    loader = padded_batches(qi(output).add_column("n", list(range(ROWS))), shuffle=True, batch_size=ROWS)

    assert len({tuple(batch["n"].tolist()) for _ in range(5) for batch in loader}) > 1


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 8, 9])
def test_lengths_are_those_of_the_stock_loader(batch_size: int, drop_last: bool, output: Path) -> None:
    loader = padded_batches(qi(output), batch_size=batch_size, drop_last=drop_last)

    assert len(loader) == len(list(loader)) == (math.floor if drop_last else math.ceil)(ROWS / batch_size)


@pytest.mark.parametrize(("device", "border"), [("cpu", 2), (torch.device("cpu"), 0), ("meta", 2), ("meta", 0)])
def test_images_come_on_the_device_and_numbers_on_the_cpu(device: Any, border: int, output: Path) -> None:
    (batch,) = padded_batches(qi(output, border), device=device)

    assert batch["image"].device.type == torch.device(device).type
    assert batch["image"].shape == (ROWS, 3, 120 + 2 * border, 120 + 2 * border)
    assert batch["label"].device.type == "cpu"


def test_further_arguments_are_those_of_the_stock_loader(output: Path) -> None:
    rows = qi(output)

    (batch,) = padded_batches(rows, sampler=SequentialSampler(range(2)))

    assert torch.equal(batch["image"], stacked(rows.select(range(2))))
    loader = padded_batches(rows, num_workers=1, persistent_workers=True)
    assert [len(batch["image"]) for _ in range(2) for batch in loader] == [ROWS, ROWS]


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a stream": (lambda output: load_dataset(QI, split="test", output=output, streaming=True), {}, "takes a split"),
    "all splits": (lambda output: load_dataset(QI, output=output), {}, "takes a split"),
    "no images": (lambda output: qi(output).remove_columns("image"), {}, "takes a split"),
    "a list": (lambda output: [1, 2], {}, "takes a split"),
    "rewritten images": (lambda output: qi(output).map(lambda row: {"image": row["image"]}), {}, "rewritten"),
    "a lost image": (lambda output: qi(output).map(lambda row: {"image": None}), {}, "no image"),
    "several sizes": (
        lambda output: datasets.concatenate_datasets([as_stock(qi(output, border)) for border in (1, 2)]),
        {},
        "one size",
    ),
    "a transform": (lambda output: QuadrantImageNet(output, transform=v2.ToImage()), {}, "applies no transform"),
    "a target transform": (lambda output: Rook(output, target_transform=str), {}, "applies no transform"),
    "no batch": (qi, {"batch_size": 0}, "batch_size must be an integer of 1 or more, not 0"),
    "batches that are true": (qi, {"batch_size": True}, "not True"),
    "the old name": (qi, {"workers": 2}, r"no argument 'workers' \(did you mean 'num_workers'"),
    "another collation": (qi, {"collate_fn": list}, "no argument 'collate_fn'"),
    "contradictions": (
        qi,
        {"sampler": SequentialSampler([0]), "shuffle": True},
        "can't take these arguments: .*sampler",
    ),
    "negative workers": (qi, {"num_workers": -1}, "can't take these arguments"),
}


@pytest.mark.parametrize(("rows", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_batched_is_an_error(rows: Any, options: dict[str, Any], message: str, output: Path) -> None:
    with pytest.raises(OptionError, match=message):
        list(padded_batches(rows(output), **options))
