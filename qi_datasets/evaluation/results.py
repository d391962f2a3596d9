"""The figures of an entry as dataclasses, whose fields are those of `entry.json`, and keys too.

Needs no torch. `as_json` turns them into plain dictionaries, and `read_figures` turns these into dataclasses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Self, TypeAlias, get_args, get_origin, get_type_hints

from qi_datasets.specs import CORNER, QI, RED_GREEN_SET, ROOK, SHIFTED


class FigureRecord(Mapping[str, Any]):
    """A dataclass whose fields are keys as well: `figures.reach_75` is `figures["reach_75"]`."""

    def __getitem__(self, name: str) -> Any:
        if name not in fields_of(type(self)):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(fields_of(type(self)))

    def __len__(self) -> int:
        return len(fields_of(type(self)))

    def as_json(self) -> dict[str, Any]:
        """Returns nested dictionaries of plain numbers, as `entry.json` has them."""
        return {name: as_plain_json(value) for name, value in self.items()}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Returns the figures in such dictionaries."""
        return cls(**{name: as_field_type(kind, content[name]) for name, kind in fields_of(cls).items()})


@cache
def fields_of(kind: type[FigureRecord]) -> dict[str, object]:
    """Returns the fields of a record, with their types."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]


def as_plain_json(value: object) -> Any:
    """Returns a value in the form of JSON."""
    if isinstance(value, FigureRecord):
        return value.as_json()
    return {name: as_plain_json(one) for name, one in value.items()} if isinstance(value, Mapping) else value


def as_field_type(kind: object, value: Any) -> Any:
    """Returns a value of JSON in the type of a field."""
    if isinstance(kind, type) and issubclass(kind, FigureRecord):
        return kind.read(value)
    if get_origin(kind) is Mapping:
        return {name: as_field_type(get_args(kind)[1], one) for name, one in value.items()}
    wanted = [one for one in get_args(kind) if one is not type(None)]
    return value if value is None or len(wanted) != 1 else as_field_type(wanted[0], value)


@dataclass(frozen=True, eq=False)
class Estimate(FigureRecord):
    """A figure with its two-sided interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class BorderFigures(FigureRecord):
    """One border of `qi`.

    Attributes:
        verdict: "proved", "equal", "reads" or "not detected".
        accuracy: Share of right answers, 0.5 by chance.
        low, high: Ends of its interval at the confidence `level`; None if the corners are equal.
        level: From 0 to 1.
        p, corrected_p: p value of the test against chance, alone and after the correction for all borders.
        difference: The largest difference of the two corners' features, relative to the largest feature.
        channels: Share of channels that differ.
    """

    verdict: str
    accuracy: float
    low: float | None
    high: float | None
    level: float | None
    p: float | None
    corrected_p: float | None
    difference: float
    channels: float


@dataclass(frozen=True, eq=False)
class QuadrantFigures(FigureRecord):
    """`qi`: up to which border location is read.

    Attributes:
        borders: Border (as text) -> its figures.
        reach_75: Pixels up to which at least 75 % of answers are right; None if at no border, or if too few are there.
        reach_75_censored: Whether it is the widest requested border, so that the true reach may be larger.
        location_score: From 0 (nothing is read) to 1; None without all seven borders.
        reach: Pixels up to which location is read.
        reach_censored: As `reach_75_censored`.
    """

    borders: Mapping[str, BorderFigures]
    reach_75: int | None
    reach_75_censored: bool
    location_score: Estimate | None
    reach: int | None
    reach_censored: bool


@dataclass(frozen=True, eq=False)
class PairFigures(FigureRecord):
    """`rook` and `corner`: shares of networks that distinguish the two images, and for which they are equal.

    Attributes:
        solved, equal: From 0 to 1.
        difference, channels: As in `BorderFigures`.
    """

    solved: Estimate
    equal: Estimate
    difference: float
    channels: float


@dataclass(frozen=True, eq=False)
class RedGreenFigures(FigureRecord):
    """`red_green`: accuracy at positions that were in training and at others.

    Attributes:
        test_similar, test_dissimilar: From 0 to 1.
        agreement: Share of pairs with the same answer in both tests.
        difference: As in `BorderFigures`.
    """

    test_similar: Estimate
    test_dissimilar: Estimate
    agreement: Estimate
    difference: float


@dataclass(frozen=True, eq=False)
class ModeFigures(FigureRecord):
    """One mode of `shifted`.

    Attributes:
        labelled: Sources whose class is known.
        classes: Number of different answers of a network, of 1,000 classes.
        top1: Shift (as text) -> share of right answers; None without labels.
        diagonal: Its mean over all shifts; None without labels.
        consistency: Share of pairs of shifts with the same answer.
        largest_change: The largest change of a logit from the unmoved picture, over the diagonal.
    """

    labelled: int
    classes: float
    top1: Mapping[str, Estimate] | None
    diagonal: Estimate | None
    consistency: Estimate
    largest_change: float


@dataclass(frozen=True, eq=False)
class ShiftedFigures(FigureRecord):
    """`shifted`: its keys are the modes; `modes` has their figures."""

    modes: Mapping[str, ModeFigures]

    def __getitem__(self, name: str) -> Any:
        return self.modes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.modes)

    def __len__(self) -> int:
        return len(self.modes)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Returns the figures in such dictionaries."""
        return cls({name: ModeFigures.read(one) for name, one in content.items()})


TaskFigures: TypeAlias = QuadrantFigures | ShiftedFigures | RedGreenFigures | PairFigures
"""The figures of one init."""

KINDS: Mapping[str, type[TaskFigures]] = {
    QI.name: QuadrantFigures,
    SHIFTED.name: ShiftedFigures,
    RED_GREEN_SET.name: RedGreenFigures,
    ROOK.name: PairFigures,
    CORNER.name: PairFigures,
}


def read_figures(task: str, figures: Mapping[str, Mapping[str, Any]]) -> dict[str, TaskFigures]:
    """Returns init -> figures, from the figures in `entry.json` of a task."""
    return {init: KINDS[task].read(one) for init, one in figures.items()}
