"""Checks `qi`: with same padding a network reads the corner near the boundary, with full convolution it never does.

It uses frozen networks with random weights; "equal" means within `networks.tolerance`. If a network's features are
equal for the two corners of every source, each of its answers is right for one corner and wrong for the other, so that
nothing trained on them can beat 50 %.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from qi_datasets.networks.features import extract_features
from qi_datasets.networks.padding import Padding
from qi_datasets.networks.probe import LinearProbe
from qi_datasets.networks.receptive_field import ReceptiveField, location_horizon
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.networks.tolerance import is_equal, relative_difference
from qi_datasets.pixels.geometry import Pixels
from qi_datasets.progress import bar_over
from qi_datasets.scores.intervals import Interval, group_interval
from qi_datasets.specs import CORNERS, QUADRANT
from qi_datasets.verification.integrity.quadrant import leaking_strides
from qi_datasets.verification.report.report import Cell, Check, CheckResults, Curve, Plot, Status, Table
from qi_datasets.verification.separability.horizon import check_horizons
from qi_datasets.verification.separability.options import NetworkOptions
from qi_datasets.verification.stored_folder import StoredFolder

CHANCE = 1 / len(CORNERS)
BATCH = 8
"""Number of sources that are in memory at a time."""

FULL, SAME, BIASED_FULL, EXACT = "full", "same", "full, biased", "exact, biased"


@dataclass(frozen=True)
class Version:
    """The baseline in one padding. everywhere: measure at all borders, not only as far as it can read location."""

    name: str
    padding: Padding
    biased: bool = False
    exact: bool = False
    everywhere: bool = False

    def network(self) -> nn.Module:
        """Returns the network, with weights that all versions with (or without) biases share."""
        net = QuadrantNet(self.padding, bias=self.biased)
        return net.exact() if self.exact else net

    @property
    def field(self) -> ReceptiveField:
        """Receptive field and total stride."""
        return QuadrantNet(self.padding, bias=self.biased).field

    @property
    def horizon(self) -> int:
        """The border from which on the corners have equal features, by geometry; for exact, that of biased full."""
        return location_horizon(self.field, self.padding, biased=self.biased)


VERSIONS = (
    Version(SAME, "same", everywhere=True),
    Version(FULL, "full", everywhere=True),
    Version("valid", "valid"),
    Version("circular", "circular"),
    Version(BIASED_FULL, "full", biased=True),
    Version(EXACT, "full", biased=True, exact=True),
)


@dataclass(frozen=True)
class Measurement:
    """One version at one border: largest relative difference between corners; accuracy of a probe on test sources."""

    difference: float
    equal: bool
    accuracy: Interval


@dataclass(frozen=True)
class Borders:
    """All measurements of a set: version -> border -> measurement. sources: number per split."""

    by_version: Mapping[str, Mapping[int, Measurement]] = field(default_factory=dict)
    sources: int = 0


def check(stored: StoredFolder, options: NetworkOptions) -> CheckResults:
    """Checks frozen baselines at every stored border, and the borders up to which other depths read location."""
    measured = measure(stored, options)
    horizons = check_horizons(stored, options)
    checks = (
        full_is_blind(stored, measured),
        same_reads(stored, measured),
        same_goes_blind(stored, measured),
        *horizons.checks,
        exact_is_blind(stored, measured),
        biased_leaks(stored, measured),
        show_circular(stored, measured),
    )
    return CheckResults(checks, (by_border(measured), *horizons.tables), (accuracy_plot(measured), *horizons.figures))


def measure(stored: StoredFolder, options: NetworkOptions) -> Borders:
    """Measures every version at every border where its features can differ, and some versions at all borders."""
    splits = list(stored.spec.splits)
    train, test = splits[0], splits[-1]
    count = options.sources(min(len(stored.manifest.sources[split]) for split in (train, test)))
    configs = {record.border: name for name, record in stored.manifest.configs.items()}
    networks = {version.name: version.network() for version in VERSIONS}
    found: dict[str, dict[int, Measurement]] = {version.name: {} for version in VERSIONS}
    with bar_over(f"{stored.name}, networks", len(configs), "border", options.progress) as bar:
        for border, config in sorted(configs.items()):
            near = [
                version
                for version in VERSIONS
                if version.everywhere or options.full or not any(version.horizon <= b < border for b in configs)
            ]
            nets = {version.name: networks[version.name] for version in near}
            features = features_of(nets, batches(stored, config, test, count), options.device)
            differing = {
                name: nets[name] for name, values in features.items() if not is_equal(values[0::2], values[1::2])
            }
            known = features_of(differing, batches(stored, config, train, count), options.device) if differing else {}
            for name, values in features.items():
                found[name][border] = Measurement(
                    relative_difference(values[0::2], values[1::2]),
                    name not in differing,
                    probe_accuracy(known.get(name), values),
                )
            bar.update()
    return Borders(found, count)


def batches(stored: StoredFolder, config: str, split: str, sources: int) -> Iterator[Pixels]:
    """Yields the images of the first sources, the two corners after each other: arrays (2 x sources, c, h, w)."""
    rows, step = sources * stored.spec.rows_per_source, BATCH * stored.spec.rows_per_source
    for start in range(0, rows, step):
        yield stored.images(config, split, start, min(start + step, rows))


def features_of(networks: Mapping[str, nn.Module], images: Iterator[Pixels], device: str) -> dict[str, np.ndarray]:
    """Returns features (rows, channels) of every network; each image is read once."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    for batch in images:
        for name, network in networks.items():
            parts[name].append(extract_features(network, batch, device=device))
    return {name: np.concatenate(values) for name, values in parts.items()}


def probe_accuracy(train: np.ndarray | None, test: np.ndarray) -> Interval:
    """Returns the accuracy on `test` of a linear probe fitted to `train`; 0.5 without `train`, for equal corners."""
    if train is None:
        return Interval(CHANCE, CHANCE, CHANCE)
    probe = LinearProbe(train, np.arange(len(train)) % len(CORNERS))
    rows = np.arange(len(test))
    return group_interval(probe.predict(test) == rows % len(CORNERS), rows // len(CORNERS))


def judge_figure(
    stored: StoredFolder, name: str, cause: str, figure: str, meaning: str, share: Interval | None = None
) -> Check:
    """Returns a check, which failed if there is a cause."""
    interval = (share.low, share.high) if share else None
    numbers = {"accuracy": share.mean} if share else {}
    return Check(stored.name, name, Status.FAIL if cause else Status.PASS, figure, meaning, interval, cause, numbers)


def unequal(stored: StoredFolder, measured: Borders, version: str) -> tuple[float, str]:
    """Returns a version's largest difference over all borders, and why it is beyond rounding (where), or ""."""
    found = measured.by_version[version]
    worst = max(measurement.difference for measurement in found.values())
    where = [f"{border}" for border, measurement in found.items() if not measurement.equal]
    if not where:
        return worst, ""
    cause = f"the corners' features differ by up to {worst:.1e} of scale at border {', '.join(where)}"
    strides = leaking_strides(displacement_of(stored))
    stride = next(one for one in VERSIONS if one.name == version).field.stride
    if stride in strides:
        cause += f": the displacement {displacement_of(stored)} is no multiple of the total stride {stride}"
    return worst, cause


def full_is_blind(stored: StoredFolder, measured: Borders) -> Check:
    """Checks full convolution without biases: equal features at every border."""
    worst, cause = unequal(stored, measured, FULL)
    meaning = "full convolution without biases gives both corners the same features, so nothing on them beats 50 %"
    figure = f"{worst:.1e} of scale, {len(measured.by_version[FULL])} borders"
    return judge_figure(stored, "full is blind", cause, figure, meaning)


def exact_is_blind(stored: StoredFolder, measured: Borders) -> Check:
    """Checks exact full convolution with biases: equal features too."""
    worst, cause = unequal(stored, measured, EXACT)
    meaning = "exact full convolution is blind with biases too: it pads with what black has become"
    return judge_figure(stored, "exact is blind", cause, f"{worst:.1e} of scale", meaning)


def same_reads(stored: StoredFolder, measured: Borders) -> Check:
    """Checks that a probe on same-padded features is better than chance without a border."""
    share = measured.by_version[SAME][0].accuracy
    cause = "" if share.low > CHANCE else f"a probe reaches {share.mean:.1%} at border 0, which chance may as well"
    meaning = f"a linear probe on random same-padded features reads the corner ({measured.sources} test sources)"
    return judge_figure(stored, "same reads", cause, f"{share.mean:.1%} at border 0", meaning, share)


def same_goes_blind(stored: StoredFolder, measured: Borders) -> Check:
    """Checks that from some border on, not beyond the computed one, same padding is at chance."""
    found, horizon = measured.by_version[SAME], next(one for one in VERSIONS if one.name == SAME).horizon
    beyond = [border for border in found if border >= horizon]
    name, meaning = "same goes blind", f"beyond the computed horizon, border {horizon}, same padding is at chance"
    if not beyond:
        return Check(stored.name, name, Status.LEFT_OUT, "", f"{meaning}: no border so wide was built")
    reading = [border for border in beyond if not found[border].accuracy.low <= CHANCE <= found[border].accuracy.high]
    blind_from = (
        min(border for border in found if all(found[b].equal for b in found if b >= border))
        if found[max(found)].equal
        else None
    )
    cause = f"a probe reads the corner at border {reading[0]}" if reading else ""
    if blind_from is None or blind_from > beyond[0]:
        cause = cause or f"the corners' features still differ at border {beyond[0]}"
    return judge_figure(stored, name, cause, f"equal from border {blind_from} on", meaning)


def biased_leaks(stored: StoredFolder, measured: Borders) -> Check:
    """Shows full convolution with biases beside the one without: it leaks."""
    first = measured.by_version[BIASED_FULL][0]
    meaning = "full convolution is no guarantee: with biases, black changes inside and ends at the zero padding"
    figure = f"{first.accuracy.mean:.1%} at border 0"
    interval = (first.accuracy.low, first.accuracy.high)
    return Check(stored.name, "biased full leaks", Status.SHOWN, figure, meaning, interval)


def show_circular(stored: StoredFolder, measured: Borders) -> Check:
    """Shows circular padding, of which nothing is required."""
    version = next(one for one in VERSIONS if one.padding == "circular")
    first, stride = measured.by_version[version.name][0], version.field.stride
    meaning = f"reported only: no canvas is a multiple of the total stride {stride}, so the wrapped map has a seam"
    interval = (first.accuracy.low, first.accuracy.high)
    return Check(stored.name, "circular", Status.SHOWN, f"{first.accuracy.mean:.1%} at border 0", meaning, interval)


def by_border(measured: Borders) -> Table:
    """Returns a table of differences and accuracies at every border."""
    borders = sorted(measured.by_version[FULL])

    def cell(name: str, border: int) -> Cell:
        found = measured.by_version[name].get(border)
        if found is None:
            return Cell("-")
        mean, low, high = found.accuracy
        interval = "" if found.equal else f" ({100 * low:.0f}-{100 * high:.0f})"
        numbers = {"difference": found.difference, "equal": found.equal, "accuracy": mean, "low": low, "high": high}
        return Cell(f"{found.difference:.1e}  {100 * mean:.1f}{interval}", numbers)

    return Table(
        "qi: largest difference between the corners' features, of scale, and accuracy of a linear probe in %",
        ("border", *(version.name for version in VERSIONS)),
        tuple((f"{border}", *(cell(version.name, border) for version in VERSIONS)) for border in borders),
        f"Random frozen weights, {measured.sources} sources to fit and {measured.sources} to test; intervals (95 %) "
        "count sources. -: beyond the border from which on the corners are equal by geometry.",
    )


def accuracy_plot(measured: Borders) -> Plot:
    """Returns the plot of accuracy against border, with the computed horizons."""
    curves = []
    for version in VERSIONS:
        found = sorted(measured.by_version[version.name].items())
        shares = [measurement.accuracy for _, measurement in found]
        curves.append(
            Curve(
                version.name,
                tuple(float(border) for border, _ in found),
                tuple(100 * share.mean for share in shares),
                tuple(100 * share.low for share in shares),
                tuple(100 * share.high for share in shares),
            )
        )
    marks: dict[int, list[str]] = {}
    for version in VERSIONS:
        if version.horizon and not version.exact:
            marks.setdefault(version.horizon, []).append(version.name)
    return Plot(
        "Quadrant ImageNet: accuracy against border",
        "A linear probe on the frozen baseline's features, with 95 % intervals over sources. Upright lines: the border "
        "from which on, by receptive field and stride alone, the corners give equal features.",
        "border in pixels",
        "accuracy in %",
        tuple(curves),
        tuple((float(horizon), f"horizon {horizon}: {'; '.join(names)}") for horizon, names in sorted(marks.items())),
        tuple(float(border) for border in sorted(measured.by_version[FULL])),
        first=True,
    )


def displacement_of(stored: StoredFolder) -> int:
    """Returns the number of pixels between the two corners, per axis."""
    return stored.manifest.size - QUADRANT.patch
