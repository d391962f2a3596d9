"""The sets as torchvision's data sets: one class per set, with the arguments of its row of the spec table."""

import gc
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import index
from pathlib import Path
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired, TypedDict, cast

from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info
from torchvision.datasets import VisionDataset
from torchvision.datasets.vision import StandardTransform

from qi_datasets.errors import OptionError
from qi_datasets.loading.load import load_dataset
from qi_datasets.pixels.placed_image import find_placed
from qi_datasets.registry import nearest, specs
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import BORDER, CORNER, GRID, PAIRS, QI, QUADRANT, RED_GREEN_SET, ROOK, SHIFT, SHIFTED
from qi_datasets.torch.patch import INFO, INFO_SIZE, Transform, crop_with_patch, find_patch, transforming
from qi_datasets.torch.placed import Item, can_precede_border


class ImageRow(TypedDict):
    """A row as a set's class reads it; only `qi` has `x` and `y`."""

    image: Image.Image
    label: int
    x: NotRequired[int]
    y: NotRequired[int]


@dataclass(frozen=True)
class Argument:
    """An argument of a set's class.

    name: its name.
    default: its default value.
    kind: its type.
    meaning: its description, for the docstring.
    keyword_only: whether it can only be given by name.
    """

    name: str
    default: object
    kind: object
    meaning: str
    keyword_only: bool = False

    @property
    def parameter(self) -> inspect.Parameter:
        """The argument as a parameter of a signature."""
        where = inspect.Parameter.KEYWORD_ONLY if self.keyword_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Parameter(self.name, where, default=self.default, annotation=self.kind)


def arguments_of(spec: SetSpec) -> Iterator[Argument]:
    """Yields the arguments of a set's class, in order, from its row of the spec table."""
    first = next(iter(spec.splits))
    yield Argument("root", None, str | Path | None, "the folder that `build_dataset` wrote, default where it writes")
    yield Argument("split", first, str, f'{quote_names(spec.splits)}, or a part such as "{first}[:10]"')
    if spec.takes_border:
        yield Argument("border", BORDER.default, int, f"black pixels per side, {BORDER.low} to {BORDER.high}")
    if moving := [view for view in spec.views if view != PAIRS]:
        yield Argument("mode", moving[0], str | None, f"{quote_names(moving)}, or None for the images as stored")
        yield Argument("shift", None, int | None, f"pixels down and right, {SHIFT.low} to {SHIFT.high}, default 0")
    yield Argument("transform", None, Callable | None, "makes something else of an image")
    yield Argument("target_transform", None, Callable | None, "makes something else of a label")
    if option := spec.size_option:
        meaning = f"side without border in pixels, {option.low} to {option.high}, default {option.default}"
        yield Argument(option.name, None, int | None, meaning, keyword_only=True)
    if spec.takes_grid:
        meaning = f"cells per side, {GRID.low} to {GRID.high}: each picture in each cell of a grid, row by row"
        yield Argument("grid", None, int | None, meaning, keyword_only=True)


def quote_names(names: Iterable[str]) -> str:
    """Returns names as a list in a sentence."""
    *others, last = (f'"{name}"' for name in names)
    return f"{', '.join(others)} or {last}" if others else last


COMMON = """\
Each item is (image, label): a PIL image unless `transform` makes something else of it, and an int, -1 if unknown.
PyTorch's `default_collate` takes no PIL images: `transform=v2.ToImage()` is enough for it. Where a transform leaves
black at 0 and pixels in place, workers of a DataLoader send batches without their border, and the main process adds it.

classes, class_to_idx: the names of the labels, and the label of each name.
targets: the labels of all rows.
split, border, options: what was asked for; border is 0 where there is none.
rows: the `datasets.Dataset` behind it.

Raises what `load_dataset` raises."""
"""The part of the docstring that all sets' classes share."""


@cache
def _keep_inherited_memory() -> None:
    """Stops Python's garbage collector from visiting the objects that a worker inherited, once a worker.

    A visit writes to each of them, so that a forked worker would copy nearly all memory of the main process: 100 MB and
    half a second, often in each worker of each epoch, since workers also inherit the counts that start a collection.
    """
    gc.freeze()


class StoredSet(VisionDataset):  # type: ignore[misc]
    """Base of the sets' classes: one split of a set. A subclass names its row of the spec table: `of=ROW`."""

    spec: ClassVar[SetSpec]
    signature: ClassVar[inspect.Signature]
    columns: ClassVar[tuple[str, ...]] = ("image", "label")

    def __init_subclass__(cls, of: SetSpec | None = None) -> None:
        super().__init_subclass__()
        if of is None:
            return
        arguments = list(arguments_of(of))
        self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        cls.spec = of
        cls.signature = inspect.Signature([self, *(argument.parameter for argument in arguments)])
        meanings = "\n".join(f"{argument.name}: {argument.meaning}." for argument in arguments)
        parts = (f"`{of.name}`: {of.summary}", inspect.cleandoc(cls.__dict__.get("__doc__") or ""), meanings, COMMON)
        cls.__doc__ = "\n\n".join(filter(None, parts))

        def init(self: StoredSet, /, *args: object, **options: object) -> None:
            StoredSet.__init__(self, *args, **options)

        init.__name__ = "__init__"
        init.__doc__ = "Loads the split; the class says what the arguments mean."
        init.__signature__ = cls.signature  # type: ignore[attr-defined]
        cls.__init__ = init  # type: ignore[assignment, method-assign]

    def __init__(self, *args: object, **options: object) -> None:
        given = self._bound(args, options)
        root, transform, target_transform = (given.pop(name) for name in ("root", "transform", "target_transform"))
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split: str = given.pop("split")
        if not isinstance(self.split, str):
            raise OptionError(
                f"split must be {quote_names(self.spec.splits)}, not {self.split!r}", code="unknown-split"
            )
        if given.get("mode") == PAIRS:
            raise OptionError(f'pairs have two images a row; use load_dataset("{self.spec.name}", mode="{PAIRS}")')
        if given.get("mode") is not None and given["shift"] is None:
            given["shift"] = SHIFT.default
        self.options = {name: value for name, value in given.items() if value is not None}
        self.border: int = self.options.get("border", 0)
        loaded = load_dataset(self.spec.name, split=self.split, output=root, **self.options)
        self.rows = loaded.select_columns(list(self.columns))
        self.classes = list(self.rows.features["label"].names)
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}

    def _bound(self, args: tuple[object, ...], options: dict[str, object]) -> dict[str, Any]:
        for option in options:
            if option not in self.signature.parameters:
                hint = nearest(option, self.signature.parameters)
                raise OptionError(f"{type(self).__name__} takes no argument {option!r}{hint}", code="unknown-argument")
        try:
            bound = self.signature.bind(self, *args, **options)
        except TypeError as error:
            raise OptionError(f"{type(self).__name__}: {error}") from error
        bound.apply_defaults()
        return {name: value for name, value in bound.arguments.items() if name != "self"}

    @cached_property
    def targets(self) -> list[int]:
        """The labels of all rows, -1 if unknown."""
        return list(self.rows["label"][:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index_: int) -> tuple[Any, Any]:
        """Returns the image and the label of a row, transformed. Raises IndexError beyond the last row."""
        item = self.item(self.rows[index(index_)])
        return item.pair() if isinstance(item, Item) else item

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[object, object] | Item]:
        """Returns the items of several rows, which a DataLoader requests at once."""
        if get_worker_info() is not None:
            _keep_inherited_memory()
        if type(self).__getitem__ is not StoredSet.__getitem__:
            return [self[number] for number in indices]
        columns = self.rows[list(indices)]
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return [self.item(cast("ImageRow", row)) for row in rows]

    def item(self, row: ImageRow) -> tuple[object, object] | Item:
        """Returns the transformed image and label of a row; a border may be added afterwards."""
        image, label = self.picture(row), row["label"]
        placed = find_placed(image)
        transform = self.transforms.transform if isinstance(self.transforms, StandardTransform) else None
        if placed is None or placed.content.shape == placed.shape or not can_precede_border(transform):
            return self.transformed(image, label)
        h, w, _ = placed.content.shape
        part, target = self.transformed(crop_with_patch(image, placed.y, placed.x, h, w), label)
        return Item(cast("Tensor", part), placed.y, placed.x, (placed.height, placed.width), target)

    def picture(self, row: ImageRow) -> Image.Image:
        """Returns the image of a row."""
        return row["image"]

    def transformed(self, image: Image.Image, label: int) -> tuple[object, object]:
        """Returns an item, as the transforms make it."""
        return (image, label) if self.transforms is None else self.transforms(image, label)

    def extra_repr(self) -> str:
        """Returns what torchvision's representation adds for this set."""
        facts = {"split": self.split, **self.options}
        return "\n".join(f"{name.capitalize()}: {value}" for name, value in facts.items())


class Rook(StoredSet, of=ROOK):
    """Made on first use."""

    if TYPE_CHECKING:

        def __init__(
            self,
            root: str | Path | None = None,
            split: str = "train",
            border: int = 0,
            transform: Transform | None = None,
            target_transform: Transform | None = None,
        ) -> None: ...


class Corner(StoredSet, of=CORNER):
    """Made on first use."""

    if TYPE_CHECKING:

        def __init__(
            self,
            root: str | Path | None = None,
            split: str = "train",
            transform: Transform | None = None,
            target_transform: Transform | None = None,
            *,
            size: int | None = None,
        ) -> None: ...


class RedGreen(StoredSet, of=RED_GREEN_SET):
    """Made on first use."""

    if TYPE_CHECKING:

        def __init__(
            self,
            root: str | Path | None = None,
            split: str = "train",
            transform: Transform | None = None,
            target_transform: Transform | None = None,
        ) -> None: ...


class QuadrantImageNet(StoredSet, of=QI):
    """Don't augment these images by geometry, nor by colour, but inside of `OnPatch`.

    A flip, a rotation or a random crop moves the patch into the corner of the other label, or changes how far it is
    from the boundary. A transform of colour lifts the black to where every network sees it. Inside of `OnPatch` both
    are safe, since they act on the patch alone:

        transform = v2.Compose([OnPatch(v2.ColorJitter(0.4, 0.4)), ZeroBackgroundNormalize()])

    `image.info["patch"]` of an item is (x, y, width, height) of its patch, as long as the image is a PIL one.
    """

    columns = ("image", "label", "x", "y")

    if TYPE_CHECKING:

        def __init__(
            self,
            root: str | Path | None = None,
            split: str = "train",
            border: int = 0,
            transform: Transform | None = None,
            target_transform: Transform | None = None,
            *,
            canvas: int | None = None,
            grid: int | None = None,
        ) -> None: ...

    def picture(self, row: ImageRow) -> Image.Image:
        """Returns the image of a row, with the position of its patch."""
        image = super().picture(row)
        image.info |= {INFO: (row["x"], row["y"], QUADRANT.patch, QUADRANT.patch), INFO_SIZE: image.size}
        return image

    def transformed(self, image: Image.Image, label: int) -> tuple[object, object]:
        """Returns an item; its transforms know the patch of each of their images."""
        with transforming(find_patch(image)):
            return super().transformed(image, label)


class ShiftedImageNet(StoredSet, of=SHIFTED):
    """Pairs are two images a row: they are for `load_dataset`."""

    if TYPE_CHECKING:

        def __init__(
            self,
            root: str | Path | None = None,
            split: str = "test",
            mode: str | None = "crop",
            shift: int | None = None,
            transform: Transform | None = None,
            target_transform: Transform | None = None,
        ) -> None: ...


def __getattr__(name: str) -> type[StoredSet]:
    """Returns the class of a set of another package, named after its title: "Red-green" would give RedGreen."""
    for spec in specs().values():
        if "".join(word[0].upper() + word[1:] for word in re.findall(r"\w+", spec.title)) == name:
            # Kept, so that there is one class, which pickle finds.
            made = new_class(name, (StoredSet,), {"of": spec}, lambda body: body.update(__module__=__name__))
            return globals().setdefault(name, made)  # type: ignore[no-any-return]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
