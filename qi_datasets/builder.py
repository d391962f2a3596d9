"""The base classes of builders, which make the rows of one set and check them against its spec."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from PIL import Image

from qi_datasets.errors import BuilderError, OptionError
from qi_datasets.pixels.contact_sheet import Strip
from qi_datasets.pixels.geometry import Pixels, Placed, whole
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import BORDER_COLUMNS

__all__ = ["Builder", "GeneratedSet", "ImageSet", "Pixels", "Placed", "Row", "SetSpec", "Strip", "whole"]


@dataclass(frozen=True)
class Row:
    """One row of a set: its image, its label, and the values of the spec's further columns."""

    image: Placed
    label: int
    columns: dict[str, Any] = field(default_factory=dict)

    def bordered(self, border: int) -> "Row":
        """Returns the row with a border added, and with the columns of its place (x, y, border) adapted."""
        moved = {name: self.columns[name] + border for name in BORDER_COLUMNS if name in self.columns}
        return Row(self.image.bordered(border), self.label, self.columns | moved)


@dataclass(frozen=True)
class Builder(ABC):
    """The base of `GeneratedSet` and `ImageSet`, which make the rows of one set. `spec`: its row of the spec table.

    size: side of the square image at border 0, in pixels; only sets whose spec has a `size_option` take another than
    the spec's. Raises OptionError for a size that the spec doesn't allow. Builders are small and picklable.
    """

    spec: ClassVar[SetSpec]
    size: int = 0

    def __post_init__(self) -> None:
        option = self.spec.size_option
        if self.size == 0:
            object.__setattr__(self, "size", self.spec.size)
        elif option is not None:
            object.__setattr__(self, "size", option.check(self.size))
        elif self.size != self.spec.size:
            raise OptionError(f"{self.spec.name} has one size, {self.spec.size}, not {self.size}", code="bad-shape")

    def pictures(self, first: Image.Image) -> dict[str, list[Strip]]:
        """Returns further pictures of the set for its card, by file name, from its first image; none by default."""
        return {}

    def checked(self, row: Row) -> Row:
        """Returns `row` if it obeys the spec. Raises BuilderError otherwise."""
        spec, image = self.spec, row.image
        if (image.height, image.width, image.channels) != (self.size, self.size, spec.channels):
            found, wanted = (image.height, image.width, image.channels), (self.size, self.size, spec.channels)
            raise BuilderError(f"{spec.name}: an image is {found} (h, w, c), the spec says {wanted}")
        if not -1 <= row.label < len(spec.labels):
            raise BuilderError(f"{spec.name}: label {row.label}, the spec has {len(spec.labels)} labels")
        if row.columns.keys() != spec.columns.keys():
            raise BuilderError(f"{spec.name}: columns {sorted(row.columns)}, the spec says {sorted(spec.columns)}")
        return row


class GeneratedSet(Builder):
    """A set that needs no input."""

    @abstractmethod
    def rows(self, split: str) -> Iterator[Row]:
        """Yields the rows of a split, in order."""

    def __call__(self, split: str) -> Iterator[Row]:
        """Yields the checked rows of a split. Raises BuilderError unless their number is the spec's."""
        count = 0
        for count, row in enumerate(self.rows(split), start=1):  # noqa: B007
            yield self.checked(row)
        if count != self.spec.rows(split):
            raise BuilderError(f"{self.spec.name}/{split}: {count} rows, the spec says {self.spec.rows(split)}")


class ImageSet(Builder):
    """A set that is made from images, one by one."""

    @abstractmethod
    def patch(self, image: Image.Image) -> Pixels:
        """Returns the part of a decoded RGB image that the set uses: (h, w, c) uint8. Called once per source."""

    @abstractmethod
    def rows(self, patch: Pixels, source: str, wnid: str) -> Iterator[Row]:
        """Returns the rows, at border 0, of a source with this patch."""

    def __call__(self, patch: Pixels, source: str, wnid: str) -> list[Row]:
        """Returns the checked rows of a source. Raises BuilderError unless their number is the spec's."""
        rows = [self.checked(row) for row in self.rows(patch, source, wnid)]
        if len(rows) != self.spec.rows_per_source:
            raise BuilderError(f"{self.spec.name}: {len(rows)} rows of a source, not {self.spec.rows_per_source}")
        return rows
