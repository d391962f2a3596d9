"""The spec table: names, sizes, labels, borders, splits, counts and pinned digests of every set, and nothing else.

Cards, checks, loader, commands and tests read these facts from here; they are written down nowhere else in the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qi_datasets.imagenet import wnids
from qi_datasets.set_spec import IMAGENET_TERMS, MIT, IntegerOption, SetSpec

SPEC_VERSION = "1.0.0"
"""Version of the data, independent of the package's: a changed pixel is a new major version."""

SPEC_DATE = "2026-11-22"
"""The first day of this version of the data."""

DRAW_PREFIX = "qi-datasets/v1"
"""The beginning of the strings whose SHA-256 makes random draws."""

CORNERS = ("upper_left", "bottom_right")


BORDER = IntegerOption("border", default=0, low=0, high=4096)
"""Black pixels added on all four sides."""

BORDER_COLUMNS = ("x", "y", "border")
"""Columns of the sets that have them to which a border is added."""

GRID = IntegerOption("grid", default=2, low=2, high=9)
"""Cells per side of a grid view of `qi`."""

SHIFT = IntegerOption("shift", default=0, low=-32, high=32)
"""Pixels by which a view of `shifted` moves its content, down and to the right."""


@dataclass(frozen=True)
class QuadrantGeometry:
    """The layout of a QI image (cards/specification.md, "qi").

    canvas: side of the image at border 0, in pixels.
    patch: side of the patch, in pixels.
    crop: side of the central crop that the patch shows, as a share of the photograph's shorter side.
    """

    canvas: int = 120
    patch: int = 56
    crop: float = 0.875
    total_strides: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """The usual total strides of networks: the displacement has to be a multiple of each."""

    @property
    def displacement(self) -> int:
        """Pixels between the two corners, per axis: a multiple of every usual total stride."""
        return self.canvas - self.patch

    def grid_side(self, grid: int) -> int:
        """Returns the side in pixels of the canvas of a grid of `grid` cells per side; for two it is `qi`'s canvas."""
        return self.displacement * (grid - 1) + self.patch


QUADRANT = QuadrantGeometry()


@dataclass(frozen=True)
class RedGreenGeometry:
    """The layout of a red-green image (cards/specification.md, "red_green"), in pixels; ranges exclude their end.

    box: side of a box.
    left: columns of the left box's first pixel.
    gap: smallest distance from there to the right box's first pixel.
    right_end: the end of the right box's columns.
    spread: from a label's centre to the row of a box's first pixel.
    centres: a row for each label.
    shift: rows by which the dissimilar test moves its pictures.
    """

    box: int = 4
    left: range = range(10)
    gap: int = 5
    right_end: int = 28
    spread: range = range(-4, 4)
    centres: tuple[int, int] = (7, 23)
    shift: int = 16


RED_GREEN = RedGreenGeometry()


@dataclass(frozen=True)
class ShiftedGeometry:
    """The sides of `shifted` images and views in pixels, and pairs a source (cards/specification.md, "shifted")."""

    base: int = 288
    view: int = 224
    pairs: int = 5

    @property
    def slack(self) -> int:
        """The largest offset of a view in the base."""
        return self.base - self.view


SHIFTED_GEOMETRY = ShiftedGeometry()

CROP, ZERO, CIRCULAR, PAIRS = "crop", "zero", "circular", "pairs"

ROOK = SetSpec(
    name="rook",
    title="Rook",
    summary="One chess rook, upper left or bottom right: the smallest set that only location can separate.",
    builder="qi_datasets.builders.rook:Rook",
    mode="L",
    size=32,
    labels=CORNERS,
    splits={"train": 2},
    takes_border=True,
    integrity=("balance",),
    licence=MIT,
    publishable=True,
    separability="qi_datasets.verification.separability.rook:check",
    digests={"train": "7d60997c4c1f6a53303fba71fb65eda240ff878f4eb43bd2190d7fa725b61719"},
)

CORNER = SetSpec(
    name="corner",
    title="Corner",
    summary="One white pixel in one of two corners: what valid, same and full padding see of it.",
    builder="qi_datasets.builders.corner:Corner",
    mode="L",
    size=5,
    size_option=IntegerOption("size", default=5, low=3, high=1024),
    labels=CORNERS,
    splits={"train": 2},
    integrity=("balance",),
    licence=MIT,
    publishable=True,
    separability="qi_datasets.verification.separability.corner:check",
    digests={"train": "01e2c2862ca7c915013f4beec0a83ed5a02e4daedcca8452761ea391d98e9788"},
)

RED_GREEN_SET = SetSpec(
    name="red_green",
    title="Red-green",
    summary="Is red left of green? Asked where the pictures were in training, and where they never were.",
    builder="qi_datasets.builders.red_green:RedGreen",
    mode="RGB",
    size=32,
    labels=("red_left_of_green", "green_left_of_red"),
    splits={"train": 2000, "validation": 1000, "test_similar": 1000, "test_dissimilar": 1000},
    columns={"lx": "int32", "ly": "int32", "rx": "int32", "ry": "int32"},
    integrity=("balance", "boxes", "pairs", "repeats"),
    licence=MIT,
    publishable=True,
    separability="qi_datasets.verification.separability.red_green:check",
    digests={
        "train": "872a6e675c60b7ede855dcbabeae185f3a30a1257bd5f583b408589b631eabee",
        "validation": "95f853e288ff4dadf205d56a7b2a04b72aa6b787e33cff33ebf7afdf2ad39533",
        "test_similar": "4d8933cc9dce0582f1d8843cb8a091e857b9265d87dd9726c15047384684eb4b",
        "test_dissimilar": "72bf61ac86d40b1085b7288cda82b7465f40692367a52e014cf4d19b52c21474",
    },
)

QI = SetSpec(
    name="qi",
    title="Quadrant ImageNet",
    summary="The same photo in two corners of a black canvas, with black borders of growing width around it.",
    builder="qi_datasets.builders.quadrant:Quadrant",
    mode="RGB",
    size=QUADRANT.canvas,
    size_option=IntegerOption("canvas", default=QUADRANT.canvas, low=2 * QUADRANT.patch, high=4096, step=2),
    labels=CORNERS,
    splits={"train": 1000, "validation": 1000, "test": 1000},
    columns={"source": "string", "wnid": "string", "x": "int32", "y": "int32", "border": "int32"},
    needs_images=True,
    rows_per_source=2,
    borders=(0, 16, 32, 64, 128, 256, 512),
    takes_border=True,
    takes_grid=True,
    licence=IMAGENET_TERMS,
    publishable=False,
    integrity=("balance", "place", "background", "patch", "displacement", "constant"),
    separability="qi_datasets.verification.separability.quadrant:check",
    demo_splits={"train": 100, "validation": 100, "test": 100},
    demo_digests={
        "train": "06fc7fd750ceb720083e1090b2b6508021470892e1923427504ab487ab8a136b",
        "validation": "7be641c6ef023130926e060edd06330b388bb76b634f3dc1b19c0db094be6521",
        "test": "e4e7f3239391be8a9ab1b5aab1301a5bd47a297063a2c42f201210483b5929d2",
    },
    selection_digest="5156abcbc44e880a2f04134a716aad9b809c355c3d7efcacfbc44650aa7acc70",
)

DEMO_GRID_DIGESTS: Mapping[tuple[int, int], str] = MappingProxyType(
    {
        (2, 0): "5182099cae8ece13a751d5b323c29eed88f8a409c87a481284b5c82a5a3598f3",
        (3, 0): "a35d704cdb441e403300d9ddcaab8f095f669d01b263e9ece195ca92fa77f209",
        (3, 16): "29ad11e0a0ad898f24980db26a706c8ed10c972ea3ad7e5f174ca05f28ec33d0",
    }
)
"""Cells per side, border -> pinned digest of the split `test` of a grid view of the demo pictures."""

SHIFTED = SetSpec(
    name="shifted",
    title="Shifted ImageNet",
    summary="Does a model's answer change when its picture moves by a few pixels? Photos with room to move.",
    builder="qi_datasets.builders.shifted:Shifted",
    mode="RGB",
    size=SHIFTED_GEOMETRY.base,
    labels=wnids(),
    splits={"test": 5000},
    columns={"source": "string", "wnid": "string", "pairs": f"int32[{SHIFTED_GEOMETRY.pairs},4]"},
    needs_images=True,
    first_rank_after=QI.name,
    count_option="shifted_images",
    views=(CROP, ZERO, CIRCULAR, PAIRS),
    label_in_digest=False,
    rows_per_file=1000,
    licence=IMAGENET_TERMS,
    publishable=False,
    integrity=("base", "drawn", "constant"),
    demo_splits={"test": 200},
    demo_digests={"test": "1b98eac1d81d8cffb458265ae9662c81291ec50f562d15d647b4cc9959f77abd"},
    selection_digest="17a00bbea89be42fb43d47c88417da924eee1470d2360fc0bbdbbf5ce4ba17a6",
)

ALL = (ROOK, CORNER, RED_GREEN_SET, QI, SHIFTED)

SPECS: Mapping[str, SetSpec] = MappingProxyType({spec.name: spec for spec in ALL})
"""Every set of this package, by name, in the order in which they are listed."""
