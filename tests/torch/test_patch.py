"""Transforms of the patch keep the black around it, for every transform and every kind of image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

torch = pytest.importorskip("torch")

from torchvision import tv_tensors
from torchvision.transforms import v2

from qi_datasets import load_dataset
from qi_datasets.errors import OptionError
from qi_datasets.torch import OnPatch, QuadrantImageNet

BORDER, PATCH = 8, 56
FLOAT = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
KINDS = {"PIL": None, "tv_tensor": v2.ToImage(), "tensor": v2.PILToTensor(), "floats": FLOAT}
TRANSFORMS = {
    "flip": v2.RandomHorizontalFlip(1),
    "jitter": v2.ColorJitter(0.9, (0.5, 0.5), 0.9, 0.2),
    "solarise": v2.RandomSolarize(0.1, p=1),
    "crop": v2.RandomResizedCrop(PATCH, (0.3, 0.5)),
}


def pixels(image: Any) -> Any:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) if isinstance(image, Image.Image) else image


@pytest.mark.crossed
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_patch_changes(kind: str, transform: Any, output: Path) -> None:
    made_of = KINDS[kind]
    before = QuadrantImageNet(output, "train", BORDER, transform=made_of)
    steps = [step for step in (made_of, OnPatch(transform)) if step is not None]
    after = QuadrantImageNet(output, "train", BORDER, transform=v2.Compose(steps))

    for number in (0, 1):
        (one, label), (other, _) = before[number], after[number]
        assert type(one) is type(other)
        old, new = pixels(one).as_subclass(torch.Tensor), pixels(other).as_subclass(torch.Tensor)
        corner = BORDER + 64 * label
        inside = (slice(None), slice(corner, corner + PATCH), slice(corner, corner + PATCH))
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
        assert not torch.equal(new[inside], old[inside])
        new[inside] = old[inside]
        assert torch.equal(new, old)


def test_a_flip_stays_in_its_corner(output: Path) -> None:
    plain, flipped = (
        QuadrantImageNet(output, "train", transform=v2.Compose([*flip, v2.PILToTensor()]))
        for flip in ([], [OnPatch(v2.RandomHorizontalFlip(1))])
    )

    assert torch.equal(flipped[1][0][:, 64:, 64:], plain[1][0][:, 64:, 64:].flip(2))


def test_jitter_of_a_whole_image_lifts_its_black() -> None:
    """The docstring warns of this; OnPatch avoids it."""
    image = Image.new("RGB", (120, 120))
    image.paste((200, 150, 100), (0, 0, PATCH, PATCH))

    assert v2.ColorJitter(contrast=(0.5, 0.5))(image).getpixel((119, 119)) > (10, 10, 10)
    assert OnPatch(v2.ColorJitter(contrast=(0.5, 0.5)))(image, 0, 0).getpixel((119, 119)) == (0, 0, 0)


def test_batches_rows_and_lists(output: Path) -> None:
    flip = OnPatch(v2.RandomHorizontalFlip(1))
    rows = load_dataset("qi", border=BORDER, split="train", output=output)
    wanted = [np.asarray(flip(row["image"], row["x"], row["y"])) for row in rows]
    batch = rows.with_format("torch")[:8]

    images = flip(batch["image"], batch["x"], batch["y"])
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), np.stack(wanted))
    assert torch.equal(flip(batch)["image"], images)
    assert flip(batch)["source"] == batch["source"]
    as_list = flip([row["image"] for row in rows], rows["x"][:], rows["y"][:])
    assert all(np.array_equal(np.asarray(one), other) for one, other in zip(as_list, wanted, strict=True))
    assert np.array_equal(np.asarray(flip(rows[3])["image"]), wanted[3])


def test_the_image_that_is_given_stays_as_it_is(output: Path) -> None:
    for kind in (lambda image: image, v2.ToImage()):
        row = load_dataset("qi", split="train", output=output)[0]
        image = kind(row["image"])
        before = pixels(image).clone()
        OnPatch(v2.RandomSolarize(0, p=1))(image, row["x"], row["y"])
        assert torch.equal(pixels(image), before)


@pytest.mark.parametrize(
    ("transform", "kind", "message"),
    [
        (v2.Resize(60), None, "keeps an image's size and mode"),
        (v2.ToImage(), None, "keeps an image's size and mode"),
        (v2.Grayscale(1), None, "keeps an image's size and mode"),
        (v2.Resize(60), v2.ToImage(), "keeps an image's shape and dtype"),
        (v2.ToDtype(torch.float32), v2.ToImage(), "keeps an image's shape and dtype"),
    ],
)
def test_what_is_no_patch_any_more_is_an_error(transform: Any, kind: Any, message: str, output: Path) -> None:
    steps = [step for step in (kind, OnPatch(transform)) if step is not None]

    with pytest.raises(OptionError, match=message):
        QuadrantImageNet(output, "train", transform=v2.Compose(steps))[0]


def test_any_callable_will_do_and_shows_in_the_representation() -> None:
    def blurred(patch: Image.Image) -> Image.Image:
        return patch.filter(ImageFilter.BLUR)

    assert "blurred" in repr(OnPatch(blurred))
    assert "RandomHorizontalFlip(p=0.5)" in repr(OnPatch(v2.RandomHorizontalFlip()))
    image = Image.new("RGB", (120, 120))
    image.paste((255, 0, 0), (64, 64, 92, 92))
    assert OnPatch(blurred)(image, 64, 64).getpixel((92, 80)) != (0, 0, 0)
    assert OnPatch(blurred)(image, 36, 36).getpixel((92, 80)) == (0, 0, 0)


def test_tensors_of_torchvision_stay_such() -> None:
    image = tv_tensors.Image(torch.zeros(3, 120, 120))

    assert isinstance(OnPatch(v2.RandomHorizontalFlip(1))(image, 0, 0), tv_tensors.Image)
