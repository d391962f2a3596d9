"""The sets as torchvision's data sets: items, representations, workers, classes of other packages."""

import ast
import copy
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader
from torchvision.transforms import v2

from qi_datasets import load_dataset
from qi_datasets.errors import NotBuiltError, OptionError, UnknownSetError
from qi_datasets.torch import (
    Corner,
    QuadrantImageNet,
    RedGreen,
    Rook,
    ShiftedImageNet,
    ZeroBackgroundNormalize,
    sets,
)
from tests.refusals import refused

CASES: dict[str, tuple[type, dict[str, Any], str, dict[str, Any]]] = {
    "qi": (QuadrantImageNet, {"split": "test", "border": 32}, "qi", {"split": "test", "border": 32}),
    "qi in a grid": (QuadrantImageNet, {"grid": 3, "border": 1}, "qi", {"split": "train", "grid": 3, "border": 1}),
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


def test_workers_that_inherit_nothing(output: Path) -> None:
    data = QuadrantImageNet(output, "train", 16, transform=ZeroBackgroundNormalize())
    loader = DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context="forkserver")

    images, labels = next(iter(loader))
    assert torch.equal(images, torch.stack([data[i][0] for i in range(4)]))
    assert labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("again", [lambda data: pickle.loads(pickle.dumps(data)), copy.deepcopy])  # noqa: S301
def test_copies_are_the_same(again: Any, output: Path) -> None:
    data = ShiftedImageNet(output, mode="circular", shift=3)

    np.testing.assert_array_equal(np.asarray(again(data)[2][0]), np.asarray(data[2][0]))
    assert len(pickle.dumps(data)) < 300_000


def test_without_torchvision_there_is_one_error_that_names_the_extra() -> None:
    code = "import sys; sys.modules['torchvision'] = None; import qi_datasets.torch"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "MissingExtraError: qi_datasets.torch needs PyTorch and torchvision" in done.stderr
    assert done.stderr.rstrip().endswith("run: python -m pip install '.[torch]'")


def test_transforms_are_applied(output: Path) -> None:
    data = Rook(output, transform=v2.Grayscale(3), target_transform=lambda label: f"label {label}")

    image, label = data[1]
    assert (image.mode, label) == ("RGB", "label 1")


def test_the_representation_is_torchvisions(output: Path) -> None:
    text = repr(QuadrantImageNet(output, "test", 64, transform=ZeroBackgroundNormalize()))

    assert text.splitlines()[:5] == [
        "Dataset QuadrantImageNet",
        "    Number of datapoints: 8",
        f"    Root location: {output}",
        "    Split: test",
        "    Border: 64",
    ]
    assert "ZeroBackgroundNormalize(mean=[0.485, 0.456, 0.406]" in text
    assert "Mode: crop\n    Shift: 0" in repr(ShiftedImageNet(output))


def test_classes_are_the_labels(output: Path) -> None:
    assert RedGreen(output).classes == ["red_left_of_green", "green_left_of_red"]
    assert ShiftedImageNet(output).classes[:2] == ["n01440764", "n01443537"]
    assert QuadrantImageNet(output).class_to_idx == {"upper_left": 0, "bottom_right": 1}
    assert ShiftedImageNet(output).class_to_idx["n01443537"] == 1


@pytest.mark.parametrize("case", CASES)
def test_targets_border_and_split_are_told(case: str, output: Path) -> None:
    kind, options, _, _ = CASES[case]
    data = kind(output, **options)

    assert data.targets == [label for _, label in data]
    assert all(type(label) is int for label in data.targets)
    assert data.border == options.get("border", 0)
    assert data.split == options.get("split", next(iter(kind.spec.splits)))


@pytest.mark.parametrize("kind", [Rook, Corner, RedGreen, QuadrantImageNet, ShiftedImageNet])
def test_every_class_takes_every_split_second_and_its_own_arguments(kind: Any, output: Path) -> None:
    for split in kind.spec.splits:
        assert kind(output, split).split == split
    first = next(iter(kind.spec.splits))
    assert len(kind(output, f"{first}[:1]")) == 1
    parameters = inspect.signature(kind).parameters
    assert [*parameters][:2] == ["root", "split"]
    assert parameters["split"].default == first
    assert ("border" in parameters) == kind.spec.takes_border
    assert inspect.signature(kind.__init__).parameters.keys() == {"self", *parameters}
    for argument in parameters:
        assert f"\n{argument}: " in kind.__doc__


def test_the_documentation_warns_and_says_what_collates() -> None:
    assert "Don't augment these images by geometry" in QuadrantImageNet.__doc__
    for kind in (Rook, Corner, RedGreen, QuadrantImageNet, ShiftedImageNet):
        assert "transform=v2.ToImage()` is enough" in kind.__doc__


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_is_enough_for_the_usual_loader(case: str, output: Path) -> None:
    kind, options, _, _ = CASES[case]
    data = kind(output, **options, transform=v2.ToImage())

    images, labels = next(iter(DataLoader(data, batch_size=2)))
    assert images.shape[0] == 2
    assert images.dtype == torch.uint8
    assert labels.tolist() == data.targets[:2]


def test_a_set_of_another_package_has_its_class_too(plugin: Any, output: Path) -> None:
    plugin("stripes = stripes:Stripes")
    import qi_datasets.torch

    data = qi_datasets.torch.Stripes(output, "test", transform=v2.ToImage())

    assert data.classes == ["horizontal", "vertical"]
    assert repr(data).startswith("Dataset Stripes\n    Number of datapoints: 2")
    assert torch.equal(pickle.loads(pickle.dumps(data))[1][0], data[1][0])  # noqa: S301
    with pytest.raises(AttributeError, match="Checkers"):
        _ = qi_datasets.torch.Checkers


def test_a_class_can_be_derived_from(output: Path) -> None:
    class Doubled(Rook):
        def __len__(self) -> int:
            return 2 * super().__len__()

    assert len(Doubled(output, border=1)) == 4


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda output: QuadrantImageNet(output, "tset"), UnknownSetError),
        (lambda output: QuadrantImageNet(output, border=-1), OptionError),
        (lambda output: QuadrantImageNet(output / "nowhere"), NotBuiltError),
        (lambda output: QuadrantImageNet(output, canvas=112), NotBuiltError),
        (lambda output: ShiftedImageNet(output, mode=None, shift=3), OptionError),
        (lambda output: Corner(output, size=2), OptionError),
        (lambda output: QuadrantImageNet(output, boarder=3), OptionError),
        (lambda output: RedGreen(output, border=3), OptionError),
        (lambda output: RedGreen(output, "train", None, None, None, None), OptionError),
        (lambda output: Rook(output, 3), OptionError),
        (lambda output: Rook(output, ["train"]), OptionError),
    ],
)
def test_what_there_is_not_is_an_error(call: Any, error: type[Exception], output: Path) -> None:
    with pytest.raises(error):
        call(output)


def test_pairs_are_for_load_dataset(output: Path) -> None:
    with pytest.raises(OptionError, match="two images a row"):
        ShiftedImageNet(output, mode="pairs")


def test_a_grid_has_a_class_for_each_cell_and_patches_in_their_places(output: Path) -> None:
    data = QuadrantImageNet(output, grid=3, border=2)

    assert data.classes == [f"row_{row}_column_{column}" for row in range(3) for column in range(3)]
    assert data.targets[:9] == list(range(9))
    assert data[5][0].info["patch"] == (130, 66, 56, 56)
    with refused(OptionError, "contradiction"):
        QuadrantImageNet(output, grid=3, canvas=112)


@pytest.mark.parametrize("name", ["Rook", "Corner", "RedGreen", "QuadrantImageNet", "ShiftedImageNet"])
def test_the_signature_for_type_checkers_is_the_one_of_the_spec_table(name):
    tree = ast.parse(inspect.getsource(sets))
    (kind,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    (written,) = [node for node in ast.walk(kind) if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    arguments = written.args
    defaults = dict(zip([one.arg for one in arguments.args[1:]], arguments.defaults, strict=True))
    defaults |= dict(zip([one.arg for one in arguments.kwonlyargs], arguments.kw_defaults, strict=True))

    found = inspect.signature(getattr(sets, name)).parameters
    assert {one: ast.literal_eval(default) for one, default in defaults.items()} == {
        one: parameter.default for one, parameter in found.items()
    }
    keyword_only = [one for one, parameter in found.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    assert [one.arg for one in arguments.kwonlyargs] == keyword_only
