"""The type of a set's row in the spec table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral

from qi_datasets.errors import NamedArgument, OptionError


@dataclass(frozen=True)
class IntegerOption:
    """An integer argument of a set, with its range.

    name: the argument's name, for messages.
    default: its default value.
    low, high: the range, both ends included.
    step: the values are `low` and every `step` after it.
    """

    name: str
    default: int
    low: int
    high: int
    step: int = 1

    def check(self, value: object) -> int:
        """Returns `value` as an int. Raises OptionError for anything else, also bool, and for a value out of range."""
        if isinstance(value, Integral) and not isinstance(value, bool):
            number = int(value)
            if self.low <= number <= self.high and (number - self.low) % self.step == 0:
                return number
        kind = "an integer" if self.step == 1 else "an even integer"
        raise OptionError(
            NamedArgument(self.name),
            (f" must be {kind} from {self.low} to {self.high}, not {value!r} ({type(value).__name__})"),
            code="bad-value",
        )


@dataclass(frozen=True)
class Licence:
    """The terms of a set's pixels, in the words of the Hub's cards.

    id: the Hub's identifier, "other" for terms without one.
    name, link: a short name and the address of such other terms.
    """

    id: str
    name: str = ""
    link: str = ""


MIT = Licence("mit")
UNKNOWN_TERMS = Licence("unknown")
IMAGENET_TERMS = Licence("other", "imagenet", "https://www.image-net.org/download.php")


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """One row of the table: everything about a set but its pixels.

    name, title, summary: its name in calls and folders, its name on pages, and one sentence about it.
    builder: "module:class" of its builder; another package's set has an entry point instead.
    mode: "L" or "RGB".
    size: side of the square image at border 0 in pixels, unless `size_option` sets another.
    labels: the names of labels 0, 1, ...
    splits: split name -> number of *sources* (sets made from images) or of rows (sets that need no input).
    columns: further columns beside `image` and `label`, name -> type ("string", "int32", or "int32[5,4]" for nested
        lists).
    needs_images, rows_per_source: whether it is made from images, and how many rows each gives.
    first_rank_after: the set whose sources come before this one's in the order.
    count_option: the argument that sets the number of sources per split.
    borders: the border of each config in pixels, or () for the one config `default`.
    takes_border: whether loading can add any border.
    takes_grid: whether loading can show each source in every cell of a grid.
    views: the views of the stored image, for `load_dataset(mode=...)`.
    size_option: the argument that chooses another size, if there is one.
    label_in_digest: whether row digests cover the label.
    rows_per_file: largest number of rows of a Parquet file.
    licence: the terms of the pixels; a set of demo pictures is under this package's own licence.
    publishable: whether anybody may publish the pixels; those of demo pictures always may be.
    integrity: names of this set's integrity checks, beside those of every set.
    separability: "module:function" that checks by networks that the set measures what it claims.
    demo_splits: as `splits`, for demo pictures.
    digests, demo_digests: pinned split digests of the config without border, by split: of the official set, and of
        the one made from demo pictures.
    selection_digest: pinned SHA-256 of the official selection (`selection.selection_digest`).
    """

    name: str
    title: str
    summary: str
    builder: str = ""
    mode: str
    size: int
    labels: Sequence[str]
    splits: Mapping[str, int]
    columns: Mapping[str, str] = field(default_factory=dict)
    needs_images: bool = False
    rows_per_source: int = 1
    first_rank_after: str | None = None
    count_option: str = "per_split"
    borders: tuple[int, ...] = ()
    takes_border: bool = False
    takes_grid: bool = False
    views: tuple[str, ...] = ()
    size_option: IntegerOption | None = None
    label_in_digest: bool = True
    rows_per_file: int = 10_000
    licence: Licence = UNKNOWN_TERMS
    publishable: bool = False
    integrity: tuple[str, ...] = ()
    separability: str = ""
    demo_splits: Mapping[str, int] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    demo_digests: Mapping[str, str] = field(default_factory=dict)
    selection_digest: str = ""

    @property
    def channels(self) -> int:
        """1 for mode L, 3 for RGB."""
        return len(self.mode)

    @property
    def configs(self) -> tuple[str, ...]:
        """Names of the official configs, the default one first."""
        return tuple(map(self.config_of, self.borders)) if self.borders else ("default",)

    def config_of(self, border: int) -> str:
        """Returns the name of the config with that border."""
        return f"border_{border}" if self.borders else "default"

    def rows(self, split: str) -> int:
        """Returns the official number of rows of a split."""
        return self.splits[split] * self.rows_per_source
