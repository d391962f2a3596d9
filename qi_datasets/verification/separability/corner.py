"""Checks `corner`: valid and same padding lose responses at the boundary, full convolution keeps them all."""

from collections.abc import Mapping

from qi_datasets.networks.features import as_input
from qi_datasets.networks.padding import Padding
from qi_datasets.networks.reference import corner_maxima
from qi_datasets.verification.report.report import Cell, Check, CheckResults, Status, Table, Tile, Tiles
from qi_datasets.verification.separability.options import NetworkOptions
from qi_datasets.verification.stored_folder import StoredFolder

CLAIM: Mapping[Padding, tuple[float, float]] = {"valid": (0.0, 1.0), "same": (0.0, 1.0), "full": (1.0, 1.0)}
"""Maximum of the map of the filter whose one weight, 1, is its bottom-right one, on white in the first and last corner
(arXiv 2003.07064, figure 2, in small)."""


def check(stored: StoredFolder, options: NetworkOptions) -> CheckResults:
    """Checks all nine filters of a single weight in three paddings on two images: exact numbers, no training."""
    split = next(iter(stored.spec.splits))
    images = as_input(stored.images(stored.default_config, split, 0, 2), device=options.device)
    maxima = {padding: corner_maxima(images, padding).cpu().numpy() for padding in CLAIM}
    found = {padding: tuple(float(value) for value in values[:, -1]) for padding, values in maxima.items()}
    wrong = [
        f"{padding} gives {found[padding]}, not {claim}" for padding, claim in CLAIM.items() if found[padding] != claim
    ]
    lost = int((maxima["full"] != 1).sum())
    checks = (
        Check(
            stored.name,
            "corner filter",
            Status.FAIL if wrong else Status.PASS,
            ", ".join(f"{padding} {first:g}/{last:g}" for padding, (first, last) in found.items()),
            "the filter's last weight reaches the first pixel with full convolution alone",
            cause="; ".join(wrong),
        ),
        Check(
            stored.name,
            "full keeps all",
            Status.FAIL if lost else Status.PASS,
            f"{maxima['full'].size - lost} of {maxima['full'].size} responses",
            "with full convolution each of the nine weights meets the pixel, in either corner",
            cause=f"{lost} of {maxima['full'].size} maxima are not 1" if lost else "",
        ),
    )
    table = Table(
        "corner: maximum of the feature map (filter with one weight, bottom right)",
        ("padding", *stored.spec.labels, "all nine filters keep it"),
        tuple(
            (
                padding,
                Cell(f"{first:g}", {"maximum": first}),
                Cell(f"{last:g}", {"maximum": last}),
                Cell(f"{(kept := int((maxima[padding] == 1).all(0).sum()))} of 9", {"filters": kept}),
            )
            for padding, (first, last) in found.items()
        ),
    )
    lines = tuple(
        (
            label,
            tuple(Tile(padding, maxima[padding][row].reshape(3, 3)) for padding in CLAIM),
        )
        for row, label in enumerate(stored.spec.labels)
    )
    caption = (
        "Each 3x3 tile has a square per filter, where that filter has its weight: red where the filter answers the "
        "white pixel, grey where the boundary swallows it."
    )
    return CheckResults(checks, (table,), (Tiles("Corner: which weights see the pixel", caption, lines),))
