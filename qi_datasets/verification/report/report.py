"""The results of a verification: checks, tables and figures, as JSON and as an exit status."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.writing import output_errors

FAILED, NOT_ALL_CHECKED = 1, 3
"""Exit statuses: a check failed; none failed, but some could not be run."""


class Status(StrEnum):
    """The outcome of a check."""

    PASS = "pass"  # noqa: S105 (no password)  # nosec B105
    SHOWN = "shown"
    """Reported for the reader, but not required."""
    LEFT_OUT = "left out"
    """Not requested; the meaning says how to request it."""
    WARN = "warn"
    FAIL = "fail"
    NOT_CHECKED = "not checked"


Number = bool | int | float | None


@dataclass(frozen=True)
class Cell:
    """A figure as a reader sees it, with its numbers by name, for programs."""

    text: str
    numbers: Mapping[str, Number] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        set: The set's folder, e.g. "qi".
        name: The check's name.
        status: Its outcome.
        figure: What was measured, for a reader.
        meaning: One sentence on what the check shows.
        interval: The figure's two-sided 95 % interval, if it is a share.
        cause: The cause of a warning or failure, and where, in one line.
        numbers: The measured numbers, by name.
    """

    set: str
    name: str
    status: Status
    figure: str
    meaning: str
    interval: tuple[float, float] | None = None
    cause: str = ""
    numbers: Mapping[str, Number] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cause", " ".join(self.cause.split()))

    @property
    def line(self) -> str:
        """A line on a check that did not pass: outcome, set, name and cause."""
        return f"{self.status}: {self.set}, {self.name}: {self.cause}"


@dataclass(frozen=True)
class Table:
    """Figures that belong together.

    Attributes:
        title, note: Texts above and below them.
        header: The columns' names.
        rows: Rows of cells, one for each name in `header`.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """One line of a plot.

    Attributes:
        name: The line's name.
        x, y: Coordinates, equally many.
        low, high: The 95 % interval around each y; empty if there is none.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """Curves over a common axis.

    Attributes:
        title, caption: Texts above and below it.
        x_label, y_label: Labels of the axes.
        curves: The lines.
        marks: Positions on the x axis with their names, drawn as vertical lines.
        x_ticks: Positions of numbers on the x axis; empty for the default ones.
        first: Whether to show it first.
    """

    title: str
    caption: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    marks: tuple[tuple[float, str], ...] = ()
    x_ticks: tuple[float, ...] = ()
    first: bool = False


@dataclass(frozen=True)
class Tile:
    """One small picture: values (h, w), of any range, drawn in shades between their extremes."""

    name: str
    values: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Tiles:
    """Small pictures in lines.

    Attributes:
        title, caption: Texts above and below them.
        lines: Lines of pictures, each with its name.
        first: Whether to show them first.
    """

    title: str
    caption: str
    lines: tuple[tuple[str, tuple[Tile, ...]], ...]
    first: bool = False


@dataclass(frozen=True)
class CheckResults:
    """The part of a report that one group of checks adds."""

    checks: tuple[Check, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Plot | Tiles, ...] = ()


@dataclass(frozen=True)
class VerifiedSet:
    """The description of a verified set. picture: its preview as a PNG file, if anybody may see it."""

    name: str
    provenance: Mapping[str, Any]
    picture: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, repr=False)
class Report:
    """The result of `verify`.

    Attributes:
        where: The verified folder or URL.
        checks, tables, figures: The results.
        notes: Remarks for the reader, a line each.
        device: The networks' device.
        seconds: The time that it took.
        package_version, libraries: Versions of this package and of libraries.
        sets: Descriptions of the sets.
    """

    where: str
    checks: tuple[Check, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[Plot | Tiles, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    device: str = ""
    seconds: float = 0.0
    package_version: str = ""
    libraries: dict[str, str] = field(default_factory=dict, repr=False)
    sets: tuple[VerifiedSet, ...] = ()

    def having(self, *statuses: Status) -> list[Check]:
        """Returns the checks with one of these outcomes."""
        return [check for check in self.checks if check.status in statuses]

    def check(self, set_name: str, name: str) -> Check:
        """Returns the check of that name on that set. Raises KeyError if it was not made."""
        for check in self.checks:
            if (check.set, check.name) == (set_name, name):
                return check
        raise KeyError(f"{set_name}: {name}")

    @property
    def passed(self) -> bool:
        """True if every check was made and none failed."""
        return self.exit_status == 0

    @property
    def exit_status(self) -> int:
        """The exit status: 1 if a check failed, else 3 if one could not be made or none was, else 0."""
        if self.having(Status.FAIL):
            return FAILED
        nothing = not self.having(Status.PASS, Status.WARN)
        return NOT_ALL_CHECKED if nothing or self.having(Status.NOT_CHECKED) else 0

    @property
    def having_cause(self) -> list[Check]:
        """The checks with a cause: those that failed, gave a warning or could not be run."""
        return [check for check in self.checks if check.cause]

    def of(self, set_name: str) -> list[Check]:
        """Returns the checks of one set."""
        return [check for check in self.checks if check.set == set_name]

    @property
    def caveats(self) -> list[str]:
        """Reasons why the sets may not be the official ones, a sentence each."""
        return [str(caveat) for one in self.sets if (caveat := one.provenance.get("caveat"))]

    @property
    def verdict(self) -> str:
        """The outcome as a sentence."""
        match self.exit_status:
            case 0:
                return "; ".join(["Nothing failed", *self.caveats])
            case code if code == FAILED:
                names = dict.fromkeys(check.set for check in self.having(Status.FAIL))
                return f"Some checks failed: {', '.join(names)}"
            case _:
                return "Nothing failed, but some could not be checked"

    def __repr__(self) -> str:
        return f"<Report on {self.where}: {self.verdict}; {self.summary}>"

    def _repr_html_(self) -> str:
        """Returns HTML for a notebook: the verdict, and a line for each set and for each check that did not pass."""
        rows = [
            f"<tr><td>{escape(name)}</td><td>{escape(sum_up(self.of(name)))}</td></tr>"
            for name in dict.fromkeys(check.set for check in self.checks)
        ]
        causes = [f"<li>{escape(check.line)}</li>" for check in self.having_cause]
        return (
            f"<p><b>{escape(self.verdict)}.</b> {escape(self.summary)}</p><table>{''.join(rows)}</table>"
            f"<ul>{''.join(causes)}</ul>"
        )

    @property
    def summary(self) -> str:
        """A line with the number of checks of each outcome."""
        return f"{len(self.checks)} check{'s' * (len(self.checks) != 1)} in {self.seconds:.0f} s: {sum_up(self.checks)}"

    def to_json(self) -> str:
        """Returns the report without its figures, as JSON text."""
        content = {
            "where": self.where,
            "exit_status": self.exit_status,
            "package_version": self.package_version,
            "spec_version": SPEC_VERSION,
            "libraries": self.libraries,
            "device": self.device,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
            "sets": [dict(one.provenance) for one in self.sets],
            "checks": [vars(check) for check in self.checks],
            "tables": [vars(table) for table in self.tables],
        }
        return json.dumps(content, indent=1, ensure_ascii=False, default=vars) + "\n"

    def write_json(self, path: Path) -> None:
        """Writes the JSON file, and makes its folder. Raises OutputError if it can't."""
        write_text(path, self.to_json())


def sum_up(checks: Iterable[Check]) -> str:
    """Returns the number of checks of each outcome, such as "12 pass, 1 warn"."""
    found = Counter(check.status for check in checks)
    return ", ".join(f"{found[status]} {status}" for status in Status if found[status])


def write_text(path: Path, text: str) -> None:
    """Writes a file, and makes its folder. Raises OutputError if it can't."""
    with output_errors(path, "choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
