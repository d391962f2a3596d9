"""The torchvision-style classes and the zero-background transform."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader
from torchvision.transforms import v2

from qi_datasets import load_dataset
from qi_datasets.commands.build import main
from qi_datasets.errors import NotBuiltError, OptionError, UnknownSetError
from qi_datasets.torch import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Corner,
    QuadrantImageNet,
    RedGreen,
    Rook,
    ShiftedImageNet,
    ZeroBackgroundNormalize,
)

PLAIN = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)])


@pytest.fixture(scope="module")
def output(flat_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with `qi`, 2 sources per split, and 3 of `shifted`."""
    folder = tmp_path_factory.mktemp("torch")
    sets = ["--set", "qi", "--set", "shifted", "--per-split", "2", "--shifted-images", "3", "--border", "0"]
    arguments = ["--imagenet-val", flat_folder, *sets, "--workers", "1", "--quiet", "--output", str(folder)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return folder


CASES: dict[str, tuple[type, dict[str, Any], str, dict[str, Any]]] = {
    "qi": (QuadrantImageNet, {"split": "test", "border": 32}, "qi", {"split": "test", "border": 32}),
    "qi by default": (QuadrantImageNet, {}, "qi", {"split": "train"}),
    "crop": (ShiftedImageNet, {"shift": -8}, "shifted", {"split": "test", "mode": "crop", "shift": -8}),
    "zero": (ShiftedImageNet, {"mode": "zero", "shift": 8}, "shifted", {"split": "test", "mode": "zero", "shift": 8}),
    "bases": (ShiftedImageNet, {"mode": None}, "shifted", {"split": "test"}),
    "rook": (Rook, {"border": 3}, "rook", {"split": "train", "border": 3}),
    "corner": (Corner, {"size": 7}, "corner", {"split": "train", "size": 7}),
    "red_green": (RedGreen, {"split": "test_similar"}, "red_green", {"split": "test_similar"}),
}


@pytest.mark.parametrize("case", CASES)
def test_items_are_the_rows_of_the_set(case: str, output: Path) -> None:
    kind, options, name, loading = CASES[case]
    data = kind(output, **options)
    rows = load_dataset(name, output=output, **loading)

    assert len(data) == len(rows)
    for number in (0, len(rows) - 1):
        image, label = data[number]
        assert isinstance(image, Image.Image)
        assert type(label) is int
        assert label == rows[number]["label"]
        np.testing.assert_array_equal(np.asarray(image), np.asarray(rows[number]["image"]))
    with pytest.raises(IndexError):
        data[len(rows)]


def numbers(items: list[Any]) -> Any:
    return torch.stack([torch.from_numpy(np.asarray(image).copy()) for image, _ in items]), [
        label for _, label in items
    ]


@pytest.mark.parametrize("case", CASES)
def test_two_workers_give_two_equal_epochs(case: str, output: Path) -> None:
    kind, options, _, _ = CASES[case]
    data = kind(output, **options)
    chosen = torch.utils.data.Subset(data, range(min(len(data), 12)))
    loader = DataLoader(chosen, batch_size=2, num_workers=2, collate_fn=numbers, persistent_workers=True)

    epochs = [list(loader) for _ in range(2)]
    wanted = [
        numbers([data[i] for i in range(start, min(start + 2, len(chosen)))]) for start in range(0, len(chosen), 2)
    ]
    for epoch in epochs:
        for (images, labels), (other_images, other_labels) in zip(epoch, wanted, strict=True):
            assert torch.equal(images, other_images)
            assert labels == other_labels


def test_spawned_workers(output: Path) -> None:
    data = QuadrantImageNet(output, "train", 16, transform=ZeroBackgroundNormalize())
    loader = DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context="spawn")

    images, labels = next(iter(loader))
    assert torch.equal(images, torch.stack([data[i][0] for i in range(4)]))
    assert labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("again", [lambda data: pickle.loads(pickle.dumps(data)), copy.deepcopy])  # noqa: S301
def test_copies_are_the_same(again: Any, output: Path) -> None:
    data = ShiftedImageNet(output, "circular", 3)

    np.testing.assert_array_equal(np.asarray(again(data)[2][0]), np.asarray(data[2][0]))
    assert len(pickle.dumps(data)) < 300_000


def test_without_torchvision_there_is_one_error_that_names_the_extra() -> None:
    code = "import sys; sys.modules['torchvision'] = None; import qi_datasets.torch"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "MissingExtraError: qi_datasets.torch needs PyTorch and torchvision" in done.stderr
    assert done.stderr.rstrip().endswith("run: python -m pip install 'qi-datasets[torch]'")


def test_transforms_are_applied(output: Path) -> None:
    data = Rook(output, transform=v2.Grayscale(3), target_transform=lambda label: f"label {label}")

    image, label = data[1]
    assert (image.mode, label) == ("RGB", "label 1")


def test_the_representation_is_torchvisions(output: Path) -> None:
    text = repr(QuadrantImageNet(output, "test", 64, transform=ZeroBackgroundNormalize()))

    assert text.splitlines()[:5] == [
        "Dataset QuadrantImageNet",
        "    Number of datapoints: 4",
        f"    Root location: {output}",
        "    Split: test",
        "    Border: 64",
    ]
    assert "ZeroBackgroundNormalize(mean=[0.485, 0.456, 0.406]" in text
    assert "Mode: crop\n    Shift: 0" in repr(ShiftedImageNet(output))


def test_classes_are_the_labels(output: Path) -> None:
    assert RedGreen(output).classes == ["red_left_of_green", "green_left_of_red"]
    assert ShiftedImageNet(output).classes[:2] == ["n01440764", "n01443537"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda output: QuadrantImageNet(output, "tset"), UnknownSetError),
        (lambda output: QuadrantImageNet(output, border=-1), OptionError),
        (lambda output: QuadrantImageNet(output / "nowhere"), NotBuiltError),
        (lambda output: QuadrantImageNet(output, canvas=112), NotBuiltError),
        (lambda output: ShiftedImageNet(output, None, 3), OptionError),
        (lambda output: Corner(output, 2), OptionError),
    ],
)
def test_what_there_is_not_is_an_error(call: Any, error: type[Exception], output: Path) -> None:
    with pytest.raises(error):
        call(output)


def test_pairs_are_for_load_dataset(output: Path) -> None:
    with pytest.raises(OptionError, match="two images a row"):
        ShiftedImageNet(output, "pairs")


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
    wanted = torch.stack([normal(data[i][0]) for i in range(4)])
    rows = load_dataset("qi", border=16, split="train", output=output)

    for number, row in enumerate(rows):
        assert torch.equal(normal(row["image"], row["x"], row["y"]), wanted[number])
    batch = rows.with_format("torch")[:4]
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


def test_it_composes_with_v2(output: Path) -> None:
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
        ((Image.fromarray(SQUARE),), OptionError, r"without info\['patch'\]"),
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
