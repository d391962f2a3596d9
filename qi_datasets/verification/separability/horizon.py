"""Measures up to which border networks of several depths and strides distinguish the corners, beside computed bounds.

It takes a few of the set's sources and adds borders pixel by pixel, so that the last border is found exactly. (That a
stored border is the same is checked by integrity.)
"""

from dataclasses import dataclass

import numpy as np

from qi_datasets.networks.features import extract_features
from qi_datasets.networks.padding import Padding
from qi_datasets.networks.receptive_field import location_horizon
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.networks.tolerance import is_equal
from qi_datasets.pixels.geometry import Pixels
from qi_datasets.progress import bar_over
from qi_datasets.verification.report.report import Cell, Check, CheckResults, Curve, Plot, Status, Table
from qi_datasets.verification.separability.options import NetworkOptions
from qi_datasets.verification.stored_folder import StoredFolder

STRIDES = ((1, 1, 1, 1), (2, 2, 2), (2, 2, 2, 2), (2, 2, 2, 2, 2))
CHANNELS = 16
PADDINGS: tuple[tuple[Padding, bool], ...] = (
    ("same", False),
    ("valid", False),
    ("full", False),
    ("same", True),
    ("valid", True),
    ("full", True),
)
"""Paddings, and whether layers have biases."""

SOURCES = 2


@dataclass(frozen=True)
class Reach:
    """The border up to which one network reads location.

    Attributes:
        strides: Strides of its layers.
        padding: Padding of its layers.
        biased: Whether they have biases.
        field, total_stride: Receptive field and total stride in pixels.
        horizon: The border from which on, by geometry, the corners' features can't differ.
        last: The widest border at which they differ; None if there is none.
    """

    strides: tuple[int, ...]
    padding: Padding
    biased: bool
    field: int
    total_stride: int
    horizon: int
    last: int | None

    @property
    def cell(self) -> Cell:
        """The widest border at which the corners differ, and the widest at which they can."""
        widest, bound = ("none" if border in (None, -1) else border for border in (self.last, self.horizon - 1))
        return Cell(f"{widest} / {bound}", {"last": self.last, "horizon": self.horizon})

    @property
    def name(self) -> str:
        """The padding, and whether layers have biases."""
        return f"{self.padding}, biased" if self.biased else self.padding


def check_horizons(stored: StoredFolder, options: NetworkOptions) -> CheckResults:
    """Measures every network; the check fails if one reads location beyond its bound."""
    split = list(stored.spec.splits)[-1]
    rows = min(SOURCES, len(stored.manifest.sources[split])) * stored.spec.rows_per_source
    images = stored.images(stored.default_config, split, 0, rows)
    reaches = []
    with bar_over(f"{stored.name}, horizons", len(STRIDES) * len(PADDINGS), "network", options.progress) as bar:
        for strides in STRIDES:
            for padding, biased in PADDINGS:
                reaches.append(reach(images, strides, padding, biased, options.device))
                bar.update()
    beyond = [one for one in reaches if one.last is not None and one.last >= one.horizon]
    cause = "; ".join(
        f"{one.name}, strides {one.strides}: the corners differ at border {one.last}, beyond {one.horizon}"
        for one in beyond[:3]
    )
    meaning = "no network reads location from beyond the bound that its receptive field gives"
    check = Check(
        stored.name, "horizon", Status.FAIL if cause else Status.PASS, f"{len(reaches)} networks", meaning, cause=cause
    )
    return CheckResults((check,), (table_of(reaches),), (plot_of(reaches),))


def reach(images: Pixels, strides: tuple[int, ...], padding: Padding, biased: bool, device: str) -> Reach:
    """Tries borders, from one beyond the bound inwards, until the corners differ.

    Args:
        images: (rows, c, h, w) uint8, the two corners of a source after each other.
        strides: The network's strides.
        padding: The network's padding.
        biased: Whether the network has biases.
        device: Device of torch.
    """
    channels = (images.shape[1], *[CHANNELS] * len(strides))
    network = QuadrantNet(padding, bias=biased, strides=strides, channels=channels)
    horizon = location_horizon(network.field, padding, biased=biased)
    last = None
    for border in reversed(range(horizon + 2)):
        bordered = np.pad(images, [(0, 0), (0, 0), (border, border), (border, border)])
        features = extract_features(network, bordered, device=device)
        if not is_equal(features[0::2], features[1::2]):
            last = border
            break
    return Reach(strides, padding, biased, network.field.size, network.field.stride, horizon, last)


def table_of(reaches: list[Reach]) -> Table:
    """Returns a table with a line per depth and stride, and a column per padding."""
    names = list(dict.fromkeys(one.name for one in reaches))
    rows: list[tuple[str | Cell, ...]] = []
    for strides in STRIDES:
        of = {one.name: one for one in reaches if one.strides == strides}
        cells = [of[name].cell for name in names]
        first = next(iter(of.values()))
        rows.append((",".join(map(str, strides)), f"{first.field}", f"{first.total_stride}", *cells))
    return Table(
        "qi: widest border at which the corners differ / at which they can, by receptive field",
        ("strides", "receptive field", "total stride", *names),
        tuple(rows),
        f"3x3 layers with random weights, {SOURCES} sources, borders tried from one beyond the bound inwards.",
    )


def plot_of(reaches: list[Reach]) -> Plot:
    """Returns the plot of measured reach and bound against receptive field, without biases."""
    curves = []
    for padding in ("same", "valid"):
        of = [one for one in reaches if one.padding == padding and not one.biased]
        x = tuple(float(one.field) for one in of)
        curves.append(
            Curve(f"{padding}, measured", x, tuple(float(-1 if one.last is None else one.last) for one in of))
        )
        curves.append(Curve(f"{padding}, bound", x, tuple(float(one.horizon - 1) for one in of)))
    return Plot(
        "Quadrant ImageNet: how far networks read location",
        "Widest border at which the two corners still give different features, measured and computed, without biases.",
        "receptive field in pixels",
        "border in pixels",
        tuple(curves),
    )
