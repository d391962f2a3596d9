"""Items and batches of wide borders equal those of ordinary images, and travel without their border."""

import gc
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, default_collate
from torchvision import transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2

from qi_datasets.pixels import placed_image
from qi_datasets.pixels.placed_image import PlacedImage, ordinary_image
from qi_datasets.torch import OnPatch, QuadrantImageNet, Rook, ShiftedImageNet, ZeroBackgroundNormalize
from qi_datasets.torch.placed import Item, Places, TravellingTensor, can_precede_border
from tests.pixels.test_placed_image import KINDS

BORDER = 30
TO_FLOAT = v2.ToDtype(torch.float32, scale=True)
NORMAL = ZeroBackgroundNormalize()
JITTER = OnPatch(v2.ColorJitter(0.4, 0.4))


class Lifted(v2.ToImage):  # type: ignore[misc]
    """A transform that lifts black, although the one that it inherits from does not."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return super().transform(inpt, params) + 1


BEFORE_BORDER = {
    "ToImage": v2.ToImage(),
    "PILToTensor": v2.PILToTensor(),
    "PILToTensor of v1": v1.PILToTensor(),
    "ToTensor of v1": v1.ToTensor(),
    "floats": v2.Compose([v2.ToImage(), TO_FLOAT]),
    "half floats": v2.Compose([v2.ToImage(), v2.ToDtype(torch.bfloat16, scale=True)]),
    "normalised": NORMAL,
    "all of them": v2.Compose([JITTER, v1.Compose([v2.ToImage(), TO_FLOAT]), v2.Identity(), NORMAL, v2.ToPureTensor()]),
    "module": torch.nn.Sequential(v2.ToImage(), TO_FLOAT),
}
AFTER_BORDER = {
    "flip": v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(1)]),
    "plain normalisation": v2.Compose([v2.ToImage(), TO_FLOAT, v2.Normalize([0.5] * 3, [0.5] * 3)]),
    "subclass": Lifted(),
    "crop": v2.Compose([v2.CenterCrop(100), v2.ToImage()]),
    "function": v2.functional.to_image,
    "no tensor": JITTER,
}


def rows_of(output: Path, transform: Any, **options: Any) -> QuadrantImageNet:
    return QuadrantImageNet(output, border=BORDER, transform=transform, **options)


def of_ordinary_images(output: Path, transform: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The items that the set gives where Pillow's version is not a tested one."""
    with monkeypatch.context() as patch:
        patch.setattr(placed_image, "TESTED", frozenset())
        torch.manual_seed(0)
        return list(rows_of(output, transform))


@pytest.mark.parametrize("name", [*BEFORE_BORDER, *AFTER_BORDER])
def test_items_equal_those_of_ordinary_images(name: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transform = (BEFORE_BORDER | AFTER_BORDER)[name]
    wanted = of_ordinary_images(output, transform, monkeypatch)
    torch.manual_seed(0)

    found = list(rows_of(output, transform))

    assert can_precede_border(transform) == (name in BEFORE_BORDER)
    for (image, label), (other, same) in zip(found, wanted, strict=True):
        assert label == same
        if isinstance(image, torch.Tensor):
            assert type(image) is type(other)
            assert image.dtype == other.dtype
            assert torch.equal(image, other)
        else:
            assert image == other


@pytest.mark.crossed
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", [name for name in BEFORE_BORDER if name != "all of them"])
def test_batches_equal_stacked_items(name: str, workers: int, output: Path) -> None:
    rows = rows_of(output, BEFORE_BORDER[name])
    images = torch.stack([image for image, _ in rows])

    batches = list(DataLoader(rows, batch_size=3, num_workers=workers))

    assert {type(batch) for batch, _ in batches} == {torch.Tensor}
    assert torch.equal(torch.cat([batch for batch, _ in batches]), images)
    assert torch.cat([labels for _, labels in batches]).tolist() == rows.targets


class Inverted(Dataset[Any]):
    """A data set of a user's own, which changes the items of another in place."""

    def __init__(self, rows: Dataset[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        item = self.rows[index]
        item[0].neg_().add_(255)
        return item


def plus_one(batch: list[Any]) -> Any:
    images, labels = default_collate(batch)
    images += 1
    return images, labels


def of_images_alone(batch: list[Any]) -> Any:
    return torch.stack([image for image, _ in batch])


@pytest.mark.parametrize("workers", [0, 1])
def test_whoever_stands_between_sees_whole_images(workers: int, output: Path) -> None:
    rows = rows_of(output, v2.ToImage())
    images = torch.stack([image for image, _ in rows])
    options = {"batch_size": 8, "num_workers": workers}

    ((inverted, _),) = DataLoader(Inverted(rows), **options)
    ((raised, _),) = DataLoader(rows, collate_fn=plus_one, **options)
    (stacked,) = DataLoader(rows, collate_fn=of_images_alone, **options)
    ((part, labels),) = DataLoader(Subset(rows, [5, 2]), **options)
    ((joined, _),) = DataLoader(ConcatDataset([rows, rows]), batch_size=16, num_workers=workers)
    (single, label) = next(iter(DataLoader(rows, batch_size=None, num_workers=workers)))

    assert torch.equal(inverted, 255 - images)
    assert torch.equal(raised, images + 1)
    assert torch.equal(stacked, images)
    assert torch.equal(part, images[[5, 2]])
    assert labels.tolist() == [1, 0]
    assert torch.equal(joined, torch.cat([images, images]))
    assert (torch.equal(single, images[0]), label) == (True, 0)


def test_batches_of_a_subclass_hold_what_the_subclass_gives(output: Path) -> None:
    class Darker(QuadrantImageNet, of=QuadrantImageNet.spec):
        def __getitem__(self, index_: int) -> Any:
            image, label = super().__getitem__(index_)
            return image // 2, label

    ((images, _),) = DataLoader(Darker(output, border=BORDER, transform=v2.ToImage()), batch_size=8)

    assert torch.equal(images, torch.stack([image for image, _ in rows_of(output, v2.ToImage())]) // 2)


def test_grey_and_shifted_sets_have_items_too(output: Path) -> None:
    rook = Rook(output, border=9, transform=v2.ToImage())
    shifted = ShiftedImageNet(output, transform=v2.ToImage())

    assert rook[0][0].shape == (1, 50, 50)
    assert type(rook.__getitems__([0])[0]) is Item
    assert next(iter(DataLoader(shifted, batch_size=3)))[0].shape == (3, 3, 224, 224)


def test_in_inference_mode_batches_are_whole(output: Path) -> None:
    rows = rows_of(output, v2.ToImage())
    images = torch.stack([image for image, _ in rows])

    with torch.inference_mode():
        assert torch.equal(next(iter(DataLoader(rows, batch_size=8)))[0], images)


def travelling() -> tuple[Any, Any]:
    content = torch.randint(1, 255, (2, 3, 5, 4), dtype=torch.uint8)
    places = Places((700, 3), (1, 600), 800, 900)
    return TravellingTensor.of(content, places), places.fill(content)


def test_a_batch_travels_as_its_rectangles() -> None:
    batch, wanted = travelling()

    data = pickle.dumps(batch)

    assert len(data) < 5000
    for arrived in (pickle.loads(data), pickle.loads(ForkingPickler.dumps(batch))):  # noqa: S301
        assert type(arrived) is torch.Tensor
        assert torch.equal(arrived, wanted)


@pytest.mark.parametrize(
    "look", [lambda batch: batch + 0, lambda batch: batch[:], lambda batch: torch.from_numpy(batch.numpy())]
)
def test_whoever_looks_at_a_batch_before_it_travels_sees_it_whole(look: Any) -> None:
    batch, wanted = travelling()

    seen = look(batch)

    assert type(seen) is torch.Tensor
    assert torch.equal(seen, wanted)
    assert torch.equal(pickle.loads(pickle.dumps(batch)), wanted)  # noqa: S301


def test_a_batch_that_was_changed_travels_whole() -> None:
    batch, wanted = travelling()
    batch[0, 0, 0, 0] = wanted[0, 0, 0, 0] = 9

    arrived = pickle.loads(pickle.dumps(batch))  # noqa: S301

    assert type(arrived) is torch.Tensor
    assert torch.equal(arrived, wanted)


def test_an_item_is_a_tuple_once_pickled(output: Path) -> None:
    rows = rows_of(output, v2.ToImage())
    (item,) = rows.__getitems__([1])

    image, label = pickle.loads(pickle.dumps(item))  # noqa: S301
    assert isinstance(item[0], tv_tensors.Image)
    assert (len(item), label, item[-1], item[:][1]) == (2, 1, 1, 1)
    assert torch.equal(image, rows[1][0])


TRANSFORMS = {
    "AugMix": v2.AugMix(),
    "AutoAugment": v2.AutoAugment(),
    "CenterCrop": v2.CenterCrop(9),
    "ColorJitter": v2.ColorJitter(0.5, 0.5, 0.5),
    "ElasticTransform": v2.ElasticTransform(),
    "FiveCrop": v2.FiveCrop(8),
    "GaussianBlur": v2.GaussianBlur(3),
    "Grayscale": v2.Grayscale(3),
    "Identity": v2.Identity(),
    "JPEG": v2.Compose([v2.PILToTensor(), v2.JPEG(50)]),
    "Pad": v2.Pad(3),
    "PILToTensor": v2.PILToTensor(),
    "RandAugment": v2.RandAugment(),
    "RandomAdjustSharpness": v2.RandomAdjustSharpness(2, 1),
    "RandomAffine": v2.RandomAffine(30, (0.1, 0.1)),
    "RandomAutocontrast": v2.RandomAutocontrast(1),
    "RandomChannelPermutation": v2.RandomChannelPermutation(),
    "RandomCrop": v2.RandomCrop(9),
    "RandomEqualize": v2.RandomEqualize(1),
    "RandomErasing": v2.Compose([v2.ToImage(), v2.RandomErasing(1)]),
    "RandomGrayscale": v2.RandomGrayscale(1),
    "RandomHorizontalFlip": v2.RandomHorizontalFlip(1),
    "RandomInvert": v2.RandomInvert(1),
    "RandomPerspective": v2.RandomPerspective(p=1),
    "RandomPhotometricDistort": v2.RandomPhotometricDistort(p=1),
    "RandomPosterize": v2.RandomPosterize(3, 1),
    "RandomResize": v2.RandomResize(9, 20),
    "RandomResizedCrop": v2.RandomResizedCrop(8),
    "RandomRotation": v2.RandomRotation(40),
    "RandomSolarize": v2.RandomSolarize(100, 1),
    "RandomVerticalFlip": v2.RandomVerticalFlip(1),
    "RandomZoomOut": v2.RandomZoomOut(p=1),
    "Resize": v2.Resize((9, 12)),
    "RGB": v2.RGB(),
    "ScaleJitter": v2.ScaleJitter((20, 20)),
    "TenCrop": v2.TenCrop(8),
    "ToImage": v2.ToImage(),
    "ToTensor of v1": v1.ToTensor(),
    "TrivialAugmentWide": v2.TrivialAugmentWide(),
}
"""Transforms of torchvision that take an image of PIL."""


@pytest.mark.crossed
@pytest.mark.parametrize("kind", ["RGB", "L"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_torchvision_see_the_ordinary_image(name: str, kind: str) -> None:
    def outcome(image: Any) -> Any:
        torch.manual_seed(3)
        try:
            made = TRANSFORMS[name](image)
        except Exception as error:
            return type(error), str(error).replace("PlacedImage", "Image").split(" at 0x")[0]
        made = made if isinstance(made, tuple) else (made,)
        return [one if isinstance(one, torch.Tensor) else v2.functional.pil_to_tensor(one) for one in made]

    first, second = (outcome(make(KINDS[kind])) for make in (PlacedImage, ordinary_image))

    if isinstance(second, tuple):
        assert first == second
    else:
        assert len(first) == len(second)
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def garbage_kept(image: Any) -> torch.Tensor:
    """A transform that gives the number of objects among which Python looks for no garbage."""
    return torch.tensor(gc.get_freeze_count())


def test_workers_look_for_no_garbage_among_what_they_inherited(output: Path) -> None:
    rows = rows_of(output, garbage_kept)
    before = gc.get_freeze_count()

    counts = [int(count) for batch, _ in DataLoader(rows, batch_size=1, num_workers=2) for count in batch]

    assert min(counts) > max(before, 10_000)
    assert gc.get_freeze_count() == before
    assert {int(count) for batch, _ in DataLoader(rows, batch_size=1) for count in batch} == {before}
