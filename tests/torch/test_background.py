"""The transform that normalises the patch and keeps black at zero: by rows, by batches, after other transforms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader
from torchvision import transforms as v1
from torchvision.transforms import v2

from qi_datasets import load_dataset
from qi_datasets.errors import OptionError
from qi_datasets.torch import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OnPatch,
    QuadrantImageNet,
    ZeroBackgroundNormalize,
    padded_batches,
)
from tests.refusals import refused

PLAIN = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)])


@pytest.mark.parametrize("border", [0, 16, 32, 64, 128, 256, 512])
def test_only_the_patch_is_normalised(border: int, output: Path) -> None:
    data = QuadrantImageNet(output, "train", border)
    for number in (0, 1):
        image, label = data[number]
        x = y = border + 64 * label
        assert image.info["patch"] == (x, y, 56, 56)

        plain, ours = PLAIN(image), ZeroBackgroundNormalize()(image)

        assert ours.dtype == torch.float32
        assert torch.equal(ours[:, y : y + 56, x : x + 56], plain[:, y : y + 56, x : x + 56])
        outside = torch.ones(image.size, dtype=torch.bool)
        outside[y : y + 56, x : x + 56] = False
        assert (ours[:, outside] == 0).all()
        assert (plain[:, outside] < -1.7).all()


def test_rows_and_batches_tell_the_place_themselves(output: Path) -> None:
    normal = ZeroBackgroundNormalize(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    data = QuadrantImageNet(output, "train", 16)
    wanted = torch.stack([normal(data[i][0]) for i in range(8)])
    rows = load_dataset("qi", border=16, split="train", output=output)

    for number, row in enumerate(rows):
        assert torch.equal(normal(row["image"], row["x"], row["y"]), wanted[number])
    batch = rows.with_format("torch")[:8]
    assert batch["image"].dtype == torch.uint8
    assert torch.equal(normal(batch["image"], batch["x"], batch["y"]), wanted)
    floats = normal(batch["image"].double() / 255, x=batch["x"].numpy(), y=batch["y"].tolist())
    torch.testing.assert_close(floats, wanted, rtol=0, atol=1e-5)
    assert torch.equal(normal(batch["image"][::2], 16, 16), wanted[::2])
    assert torch.equal(normal(batch["image"][1], batch["x"][1], batch["y"][1]), wanted[1])


def test_the_place_is_never_guessed_from_the_pixels() -> None:
    image = Image.new("RGB", (120, 120))
    image.putpixel((90, 100), (255, 255, 255))
    image.info["patch"] = (64, 64, 56, 56)

    ours = ZeroBackgroundNormalize()(image)

    assert torch.equal(ours[:, 64:, 64:], PLAIN(image)[:, 64:, 64:])
    assert (ours[0, 64:, 64:] != 0).all()


def test_x_goes_right_and_y_goes_down() -> None:
    images = torch.zeros(2, 3, 120, 130)
    images[0, :, 60, 3] = images[1, :, 4, 71] = 1

    ours = ZeroBackgroundNormalize()(images, [3, 70], torch.tensor([60, 0]))

    assert [(place.min().item(), place.max().item()) for place in ours[0, 0].nonzero().T] == [(60, 115), (3, 58)]
    assert [(place.min().item(), place.max().item()) for place in ours[1, 0].nonzero().T] == [(0, 55), (70, 125)]


def test_it_cannot_see_a_flip_that_comes_after_it(output: Path) -> None:
    transform = v2.Compose([ZeroBackgroundNormalize(), v2.RandomHorizontalFlip(1), v2.ToDtype(torch.float16)])
    data = QuadrantImageNet(output, "train", transform=transform)

    image = data[0][0]
    assert (image.dtype, tuple(image.shape)) == (torch.float16, (3, 120, 120))
    assert (image[:, :, :64] == 0).all()
    assert (image[:, :56, 64:] != 0).any()


SQUARE = np.zeros((120, 120, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Image.fromarray(SQUARE),), OptionError, r"nothing says where the patch of this Image is"),
        ((torch.zeros(3, 120, 120),), OptionError, "give x and y"),
        ((torch.zeros(3, 120, 120), 3), OptionError, "go together"),
        ((torch.zeros(3, 120, 120), 0.5, 0), OptionError, "integer"),
        ((torch.zeros(2, 3, 120, 120), [0, 0, 0], [0, 0, 0]), OptionError, "each of 2 images"),
        ((torch.zeros(3, 120, 120), 65, 0), OptionError, "56x56 at x=65, y=0"),
        ((torch.zeros(3, 120, 120), 0, -1), OptionError, "120x120"),
        ((torch.zeros(1, 120, 120), 0, 0), OptionError, "C=3"),
        ((torch.zeros(120, 120), 0, 0), OptionError, "C, H, W"),
        ((torch.ones(3, 120, 120), 0, 0), OptionError, "not black outside its patch"),
    ],
)
def test_what_has_no_patch_there_is_an_error(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ZeroBackgroundNormalize()(*arguments)


@pytest.mark.parametrize("moving", [v2.Resize(224), v2.RandomHorizontalFlip(1), v2.CenterCrop(112)])
def test_a_place_that_is_no_longer_right_is_an_error(moving: Any, output: Path) -> None:
    data = QuadrantImageNet(output, "train", transform=v2.Compose([moving, ZeroBackgroundNormalize()]))

    with pytest.raises(OptionError):
        data[0]


FLOAT = v2.ToDtype(torch.float32, scale=True)
JITTER = v2.ColorJitter(0.5, 0.5, 0.5, 0.1)
BEFORE: dict[str, list[Any]] = {
    "ToImage": [v2.ToImage()],
    "ToImage, ToDtype": [v2.ToImage(), FLOAT],
    "PILToTensor": [v2.PILToTensor()],
    "the old ToTensor": [v1.ToTensor()],
    "numpy": [np.array, v2.ToImage(), FLOAT],
    "jitter of the patch": [OnPatch(JITTER)],
    "jitter of the patch, then ToImage": [OnPatch(JITTER), v2.ToImage(), FLOAT],
    "jitter of the patch as a tensor": [v2.ToImage(), FLOAT, OnPatch(JITTER)],
    "a copy that knows nothing": [lambda image: Image.fromarray(np.asarray(image))],
}
"""Transforms that may come before it in a set's `transform`."""


@pytest.mark.crossed
@pytest.mark.parametrize("border", [0, 16])
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_it_knows_the_patch_after_other_transforms(before: list[Any], border: int, output: Path) -> None:
    data = QuadrantImageNet(output, "test", border, transform=v2.Compose([*before, ZeroBackgroundNormalize()]))
    plain = QuadrantImageNet(output, "test", border)

    for number in range(4):
        image, label = data[number]
        corner = border + 64 * label
        inside = (slice(None), slice(corner, corner + 56), slice(corner, corner + 56))
        whole = PLAIN(plain[number][0])
        assert (image.dtype, image.shape) == (torch.float32, whole.shape)
        if not any(isinstance(one, OnPatch) for one in before):
            torch.testing.assert_close(image[inside], whole[inside], rtol=0, atol=1e-6)
        else:
            assert not torch.allclose(image[inside], whole[inside], atol=0.01)
        image[inside] = 0
        assert not image.any()


WRONG_BEFORE = {
    "jitter of the whole image": ([v2.ColorJitter(contrast=(0.5, 0.5))], "transforms of colour into OnPatch"),
    "jitter of the whole tensor": (
        [v2.ToImage(), v2.ColorJitter(contrast=(0.5, 0.5))],
        "transforms of colour into OnP",
    ),
    "a flip": ([v2.RandomHorizontalFlip(1)], "before transforms that move pixels"),
    "a flip of the tensor": ([v2.ToImage(), v2.RandomHorizontalFlip(1)], "before transforms that move pixels"),
    "resizing": ([v2.Resize(224)], r"known for an image of \(120, 120\), not of \(224, 224\)"),
    "resizing of the tensor": ([v2.ToImage(), v2.Resize(112)], r"known for an image of \(120, 120\), not of \(112"),
    "floats up to 255": ([v2.ToImage(), v2.ToDtype(torch.float32)], r"must be in \[0, 1\].*ToDtype"),
    "itself": ([ZeroBackgroundNormalize()], r"must be in \[0, 1\].*normalise once"),
}


@pytest.mark.parametrize(("before", "message"), WRONG_BEFORE.values(), ids=WRONG_BEFORE)
def test_what_may_not_come_before_it_is_an_error(before: list[Any], message: str, output: Path) -> None:
    data = QuadrantImageNet(output, "train", transform=v2.Compose([*before, ZeroBackgroundNormalize()]))

    with pytest.raises(OptionError, match=message):
        data[0]


def test_outside_of_a_set_nothing_remembers_the_patch(output: Path) -> None:
    data = QuadrantImageNet(output, "train", transform=v2.ToImage())
    image, _ = data[0]

    with refused(OptionError, "missing-argument", match="nothing says where the patch"):
        ZeroBackgroundNormalize()(image)


@pytest.mark.crossed
@pytest.mark.parametrize("border", [0, 3])
@pytest.mark.parametrize("convert", [[], [v2.ToImage()], [v2.ToImage(), FLOAT, OnPatch(v2.RandomHorizontalFlip(0))]])
def test_it_is_a_transform_of_rows_for_datasets(border: int, convert: list[Any], output: Path) -> None:
    rows = load_dataset("qi", border=border, split="test", output=output)
    wanted = [ZeroBackgroundNormalize()(row["image"], row["x"], row["y"]) for row in rows]
    rows.set_transform(v2.Compose([*convert, ZeroBackgroundNormalize()]))

    for number in (0, 3):
        torch.testing.assert_close(rows[number]["image"], wanted[number], rtol=0, atol=1e-6)
        assert rows[number]["label"] == number % 2
    torch.testing.assert_close(torch.stack(rows[2:5]["image"]), torch.stack(wanted[2:5]), rtol=0, atol=1e-6)
    (batch,) = DataLoader(rows, batch_size=8, num_workers=1)
    torch.testing.assert_close(batch["image"], torch.stack(wanted), rtol=0, atol=1e-6)


@pytest.mark.parametrize("border", [0, 3])
def test_it_is_a_transform_of_batches(border: int, output: Path) -> None:
    rows = load_dataset("qi", border=border, split="test", output=output)
    normal = ZeroBackgroundNormalize()
    wanted = torch.stack([normal(row["image"], row["x"], row["y"]) for row in rows])

    (batch,) = map(normal, padded_batches(rows))
    assert torch.equal(batch["image"], wanted)
    assert batch["label"].tolist() == [0, 1] * 4
    assert torch.equal(torch.stack([normal(row)["image"] for row in rows]), wanted)
    assert torch.equal(normal(rows.with_format("torch")[:8])["image"], wanted)


def test_a_row_that_says_nothing_of_its_patch_is_an_error(output: Path) -> None:
    row = load_dataset("qi", split="test", output=output)[0]

    with refused(OptionError, "missing-argument", match="nothing says"):
        ZeroBackgroundNormalize()({"image": row["image"]})
    with refused(OptionError, "contradiction", match="its own x and y"):
        ZeroBackgroundNormalize()(row, 0, 0)


def test_no_images_are_no_images() -> None:
    assert ZeroBackgroundNormalize()(torch.zeros(0, 3, 120, 120), [], []).shape == (0, 3, 120, 120)
