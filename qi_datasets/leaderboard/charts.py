"""The figures of the page: positions of all lines, marks and labels.

Nothing depends on colour alone: each series has a shape of its own, and a letter or its name beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log2

from qi_datasets.evaluation.content import Figures
from qi_datasets.evaluation.curve import points_of
from qi_datasets.evaluation.description import network_name
from qi_datasets.evaluation.paper_figures import paper_curve
from qi_datasets.evaluation.wording import percent
from qi_datasets.leaderboard.drawing import (
    SMALL,
    Chart,
    Frame,
    Label,
    Line,
    Point,
    Tick,
    join_points,
    mark_path,
    place_labels,
    spread_labels,
)
from qi_datasets.leaderboard.ranking import RankedRow
from qi_datasets.leaderboard.words import OWN, row_name, short_name
from qi_datasets.specs import SHIFT

LETTERS = "ABCDEFGH"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LEAST_SHARE = 0.45
"""The lower end of the axis of accuracies on `qi`: chance is 0.5."""

LINE_HEIGHT = 15
"""Pixels between labels."""

COMMON_FIELDS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
"""Receptive fields on the axis."""


def share_place(share: float, least: float = LEAST_SHARE) -> float:
    """Returns the position of a share on an axis from `least` to 1."""
    return max(0.0, (share - least) / (1 - least))


def border_axis(borders: Sequence[int]) -> dict[int, float]:
    """Returns border -> its position on the axis: borders are at equal distances, since they double."""
    step = 1 / max(1, len(borders) - 1)
    return {border: number * step for number, border in enumerate(borders)}


def curve(frame: Frame, style: int, axis: Mapping[int, float], borders: Figures, *, band: bool = False) -> Line:
    """Returns a network's curve of accuracy against border. borders: border -> figures, as in an entry."""
    points = points_of(borders)
    places = [frame.place(axis[point.border], share_place(point.accuracy)) for point in points]
    marks: dict[str, str] = {}
    for place, point in zip(places, points, strict=True):
        marks[point.kind] = marks.get(point.kind, "") + mark_path(style, place)
    low = [frame.place(axis[point.border], share_place(point.low)) for point in points]
    high = [frame.place(axis[point.border], share_place(point.high)) for point in points]
    return Line(style, join_points(places), marks, join_points([*low, *reversed(high)]) if band else "")


def paper_line(frame: Frame, style: int, axis: Mapping[int, float], model: str, init: str) -> list[Line]:
    """Returns the paper's curve of a network, dashed; nothing if it has none."""
    theirs = [(axis[border], share) for border, share in paper_curve(model, init).items() if border in axis]
    points = join_points(frame.place(x, share_place(share)) for x, share in theirs)
    return [Line(style, points, dashed=True)] if theirs else []


def letter(number: int) -> str:
    """Returns the letters of a series by its number: A to Z, then A2 and so on."""
    turn, place = divmod(number, len(ALPHABET))
    return f"{ALPHABET[place]}{turn + 1 if turn else ''}"


def styles_of(rows: Sequence[RankedRow], drawn: Sequence[RankedRow]) -> list[int]:
    """Returns the style of each row: rows that are drawn at first look as different as possible."""
    order = sorted(range(len(rows)), key=lambda number: (rows[number] not in drawn, number))
    return [order.index(number) for number in range(len(rows))]


def accuracy_chart(
    frame: Frame, rows: Sequence[RankedRow], title: str, drawn: Sequence[RankedRow] | None = None
) -> Chart:
    """Returns the chart of accuracy against border: a line for each row, the paper's dashed in the same colour.

    Args:
        frame: The size of the figure.
        rows: All rows that can be drawn.
        title: The text for a screen reader.
        drawn: The rows that are visible at first; all by default.
    """
    seen = rows if drawn is None else drawn
    borders = sorted({int(border) for row in rows for border in row.figures["borders"]})
    axis = border_axis(borders)
    lines: list[Line] = []
    natural: list[float] = []
    for series, (style, row) in enumerate(zip(styles_of(rows, seen), rows, strict=True)):
        of_paper = paper_line(frame, style, axis, row.model["name"], row.init) if row.model["padding"] == OWN else []
        own = curve(frame, style, axis, row.figures["borders"])
        natural.append(float(own.points.split()[-1].split(",")[1]))
        lines += [replace(line, series=series, hidden=row not in seen) for line in (*of_paper, own)]
    # Labels of lines with a common end are one below the other, in the order of the scores.
    shown = [number for number, row in enumerate(rows) if row in seen]
    heights = dict(
        zip(shown, spread_labels([natural[n] + 0.01 * n for n in shown], LINE_HEIGHT, frame.floor), strict=True)
    )
    texts = []
    for number, row in enumerate(rows):
        text = f"{letter(number)} {short_name(row_name(row))}" if frame.labels else letter(number)
        height = round(heights.get(number, natural[number]) + 4, 1)
        texts.append(
            Label(frame.end + 12, height, text, row_name(row), number, natural[number], hidden=number not in heights)
        )
    chance = join_points([frame.place(0, share_place(0.5)), frame.place(1, share_place(0.5))])
    return Chart(
        frame,
        title,
        "border in pixels",
        "accuracy in %",
        [Tick(frame.place(x, 0)[0], f"{border}") for border, x in axis.items()],
        [Tick(frame.place(0, share_place(share))[1], percent(share, 0)) for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)],
        lines,
        [chance],
        texts,
    )


def sparkline(row: RankedRow) -> str:
    """Returns the points of a row's accuracies in 72 x 20 pixels, for a small figure beside its name."""
    points = points_of(row.figures["borders"])
    axis = border_axis([point.border for point in points])
    return join_points(
        (round(1 + 70 * axis[point.border], 1), round(21 - 20 * share_place(point.accuracy, 0.5), 1))
        for point in points
    )


def entry_chart(borders: Mapping[str, Figures], title: str) -> Chart:
    """Returns the chart of accuracy against border of one entry: a line with intervals for each init."""
    axis = border_axis(sorted({int(border) for figures in borders.values() for border in figures}))
    sparse = len(axis) > len("0123456789")
    return Chart(
        SMALL,
        title,
        "border",
        "",
        [
            Tick(SMALL.place(x, 0)[0], f"{border}")
            for number, (border, x) in enumerate(axis.items())
            if not (sparse and number % 2)
        ],
        [Tick(SMALL.place(0, share_place(share))[1], percent(share, 0)) for share in (0.5, 1.0)],
        [curve(SMALL, style, axis, figures, band=True) for style, figures in enumerate(borders.values())],
    )


def reach_chart(frame: Frame, rows: Sequence[RankedRow], title: str) -> Chart:
    """Returns the chart of reach at 75 % against receptive field: a mark per network, or a number for several."""
    known = [field for row in rows if (field := row.model["receptive_field"]) is not None]
    reaches = sorted({int(border) for row in rows for border in row.figures["borders"]})
    heights: dict[int | None, float] = {
        border: 0.04 + 0.92 * (n + 1) / len(reaches) for n, border in enumerate(reaches)
    }
    heights[None] = 0.04
    fields = known or [COMMON_FIELDS[0]]
    low, high = log2(min(fields)) - 0.6, log2(max(fields)) + 0.6
    unbounded = len(known) < len(rows)
    share = 0.86 if unbounded else 1.0

    def across(row: RankedRow) -> float:
        field = row.model["receptive_field"]
        return 0.94 if field is None else share * (log2(field) - low) / (high - low)

    points: dict[Point, list[RankedRow]] = {}
    for row in rows:
        points.setdefault(frame.place(across(row), heights[row.figures["reach_75"]]), []).append(row)
    marks = "".join(mark_path(0, point, 5) for point in points)
    texts = place_labels(frame, {point: (label_rows(those), names_of(those)) for point, those in points.items()})
    ticks = [size for size in COMMON_FIELDS if low <= log2(size) <= high]
    horizon = [
        frame.place(share * (log2(border + 2) - low) / (high - low), heights[border])
        for border in reaches
        if low <= log2(border + 2) <= high
    ]
    return Chart(
        frame,
        title,
        "receptive field in pixels",
        "reach at 75 %",
        [Tick(frame.place(share * (log2(size) - low) / (high - low), 0)[0], f"{size}") for size in ticks]
        + ([Tick(frame.place(0.94, 0)[0], "all")] if unbounded else []),
        [Tick(frame.place(0, height)[1], "nowhere" if b is None else f"{b}") for b, height in heights.items()],
        [Line(0, "", {"read": marks})],
        [join_points(horizon)] if len(horizon) > 1 else [],
        texts,
    )


def label_rows(rows: Sequence[RankedRow]) -> str:
    """Returns the labels beside the marks of some rows."""
    name = short_name(network_name(rows[0].content) if len(rows) == 1 else f"{len(rows)} networks")
    paddings = {row.model["padding"] for row in rows}
    return name if paddings == {OWN} or len(rows) > 1 else f"{name}, {paddings.pop()}"


def names_of(rows: Sequence[RankedRow]) -> str:
    """Returns the names of some rows; of many rows only the first ones."""
    return "; ".join(row_name(row) for row in rows[:20])


def shift_chart(frame: Frame, series: Sequence[tuple[str, Mapping[str, Figures]]], title: str) -> Chart:
    """Returns the chart of top-1 against shift along the diagonal. series: name, and shift -> figures."""
    lines, ends = [], []
    values = [at["value"] for _, shifts in series for at in shifts.values()]
    least = max(0.0, min(values) - 0.02)
    for style, (_, shifts) in enumerate(series):
        order = sorted(shifts, key=int)
        points = [
            frame.place((int(t) - SHIFT.low) / (SHIFT.high - SHIFT.low), share_place(shifts[t]["value"], least))
            for t in order
        ]
        ends.append(points[-1][1])
        lines.append(
            Line(style, join_points(points), {"read": "".join(mark_path(style, point, 2.5) for point in points[::8])})
        )
    heights = spread_labels(ends, LINE_HEIGHT, frame.floor)
    names = [f"{letter} {short_name(name)}" if frame.labels else letter for letter, (name, _) in zip(LETTERS, series)]  # noqa: B905
    marks = [least, (1 + least) / 2, 1.0]
    return Chart(
        frame,
        title,
        "shift in pixels",
        "top-1 in %",
        [Tick(frame.place((t - SHIFT.low) / (SHIFT.high - SHIFT.low), 0)[0], f"{t}") for t in (-32, -16, 0, 16, 32)],
        [Tick(frame.place(0, share_place(share, least))[1], percent(share, 0)) for share in marks],
        lines,
        (),
        [
            Label(frame.end + 12, round(height + 4, 1), text, name)
            for height, text, (name, _) in zip(heights, names, series, strict=True)
        ],
    )
