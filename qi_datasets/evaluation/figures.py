"""Computes every figure of an entry from its predictions alone. Needs no torch.

Figures are the dataclasses of `results`; `entry.json` has them as nested dictionaries of plain numbers: init -> figures
of the task. Intervals are two-sided, of 95 %, but at borders of `qi` of a level of their own; a missing figure is None.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qi_datasets.evaluation.content import EntrySettings, Figures
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.evaluation.results import (
    BorderFigures,
    Estimate,
    ModeFigures,
    PairFigures,
    QuadrantFigures,
    RedGreenFigures,
    ShiftedFigures,
    TaskFigures,
    as_plain_json,
)
from qi_datasets.scores.consistency import consistency, diagonal_mean, top1_per_shift
from qi_datasets.scores.intervals import Interval, mean_interval, wilson_interval
from qi_datasets.scores.location import EQUAL_WITHIN, location, source_scores
from qi_datasets.specs import CORNER, QI, RED_GREEN_SET, ROOK, SHIFTED

PROVED, EQUAL, READS, NOT_DETECTED = "proved", "equal", "reads", "not detected"
"""Verdicts at a border, strongest first: the corners are equal for every picture; were equal for each test picture;
location is read; reading was not detected."""

SIMILAR, DISSIMILAR = "test_similar", "test_dissimilar"


def compute_figures(content: EntrySettings, predictions: Predictions) -> Figures:
    """Computes the figures of an entry as `entry.json` has them: init -> figures.

    Args:
        content: The settings of the entry.
        predictions: Rows that `check_rows` accepts.
    """
    of_task = FIGURES[content["task"]]
    return {
        init: as_plain_json(of_task(content, init, predictions.where(init=init)))
        for init in content["protocol"]["inits"]
    }


def seeds_of(content: EntrySettings, init: str) -> list[int]:
    """Returns the seeds of an init."""
    seeds: list[int] = content["protocol"]["inits"][init]["seeds"]
    return seeds


def tolerance_of(content: EntrySettings) -> float:
    """Returns the relative difference below which answers count as equal."""
    return EQUAL_WITHIN[content["run"]["dtype"]]


def column_by_seed(content: EntrySettings, init: str, rows: Predictions, name: str) -> NDArray[Any]:
    """Returns a column of predictions as (seeds, pairs, 2).

    Args:
        content: The entry's settings.
        init: One of its inits.
        rows: The rows of this init, and of one border if there are several.
        name: The column's name.
    """
    return rows.column(name).reshape(len(seeds_of(content, init)), -1, 2)


def answers_right(content: EntrySettings, init: str, rows: Predictions) -> NDArray[np.bool_]:
    """Returns whether each answer is right, (seeds, pairs, 2)."""
    right: NDArray[np.bool_] = column_by_seed(content, init, rows, "prediction") == column_by_seed(
        content, init, rows, "label"
    )
    return right


def quadrant_scores(content: EntrySettings, init: str, rows: Predictions) -> dict[int, NDArray[np.float64]]:
    """Returns border -> d of each source (`scores.location`), in the order of the test split."""
    return {
        border: source_scores(answers_right(content, init, rows.where(border=border)))
        for border in content["protocol"]["borders"]
    }


def quadrant_figures(content: EntrySettings, init: str, rows: Predictions) -> QuadrantFigures:
    """Computes verdict, accuracy and test per border, and reach_75, location score and reach."""
    at = {border: rows.where(border=border) for border in content["protocol"]["borders"]}
    differences = {border: found.column("difference") for border, found in at.items()}
    equal = frozenset(border for border, those in differences.items() if (those < tolerance_of(content)).all())
    proved = frozenset(content["proved"].get(init, ()))
    found = location(quadrant_scores(content, init, rows), QI.borders, blind=equal | proved)
    borders = {}
    for border, scored in found.borders.items():
        verdict = READS if scored.reads else NOT_DETECTED
        borders[f"{border}"] = BorderFigures(
            verdict=PROVED if border in proved else EQUAL if border in equal else verdict,
            accuracy=scored.accuracy,
            low=None if scored.interval is None else scored.interval.low,
            high=None if scored.interval is None else scored.interval.high,
            level=scored.level,
            p=scored.p,
            corrected_p=scored.corrected_p,
            difference=float(differences[border].max()),
            channels=float(at[border].column("channels").astype(np.float64).mean()),
        )
    return QuadrantFigures(
        borders=borders,
        reach_75=found.reach_75,
        reach_75_censored=found.reach_75_censored,
        location_score=None if found.score is None else estimate(found.score),
        reach=found.reach,
        reach_censored=found.reach_censored,
    )


def pair_figures(content: EntrySettings, init: str, rows: Predictions) -> PairFigures:
    """Computes, for `rook` and `corner`, how many seeds distinguish the two images, and how far the answers differ."""
    solved = answers_right(content, init, rows).all(axis=(1, 2))
    differences = column_by_seed(content, init, rows, "difference").max(axis=(1, 2))
    return PairFigures(
        solved=estimate(wilson_interval(int(solved.sum()), solved.size)),
        equal=estimate(wilson_interval(int((differences < tolerance_of(content)).sum()), solved.size)),
        difference=float(differences.max()),
        channels=float(rows.column("channels").astype(np.float64).mean()),
    )


def red_green_figures(content: EntrySettings, init: str, rows: Predictions) -> RedGreenFigures:
    """Computes accuracies at positions in training and at others, and the share of pairs with one answer."""
    seeds = len(seeds_of(content, init))
    tests = {split: rows.where(split=split) for split in (SIMILAR, DISSIMILAR)}
    answers = {split: found.column("prediction").reshape(seeds, -1) for split, found in tests.items()}
    right = {split: answers[split] == tests[split].column("label").reshape(seeds, -1) for split in tests}
    return RedGreenFigures(
        **{split: estimate(mean_interval(values.mean(axis=0))) for split, values in right.items()},
        agreement=estimate(mean_interval((answers[SIMILAR] == answers[DISSIMILAR]).mean(axis=0))),
        difference=float(rows.column("difference").max()),
    )


def shifted_figures(content: EntrySettings, init: str, rows: Predictions) -> ShiftedFigures:
    """Computes per mode top-1 per shift and over the diagonal, if labels are known, and consistency over pairs."""
    protocol = content["protocol"]
    return ShiftedFigures({mode: mode_figures(rows.where(mode=mode), protocol["shifts"]) for mode in protocol["modes"]})


def mode_figures(rows: Predictions, shifts: list[int]) -> ModeFigures:
    """Computes the figures of one mode, whose rows are the diagonal, shift by shift, then the pairs, side by side."""
    on_diagonal = rows.column("pair") < 0
    answers, seeds = rows.column("prediction"), np.unique(rows.column("seed"))
    labels = rows.column("label")[on_diagonal].reshape(len(shifts), -1)[0]
    known = labels >= 0
    first, second = (~on_diagonal & (rows.column("side") == side) for side in (0, 1))
    top1 = diagonal = None
    if known.any():
        seen = answers[on_diagonal].reshape(len(shifts), -1)[:, known]
        each = top1_per_shift(seen, labels[known])
        top1 = {f"{shift}": estimate(one) for shift, one in zip(shifts, each, strict=True)}
        diagonal = estimate(diagonal_mean(seen, labels[known]))
    return ModeFigures(
        labelled=int(known.sum()),
        classes=float(np.mean([len(np.unique(answers[rows.column("seed") == seed])) for seed in seeds])),
        top1=top1,
        diagonal=diagonal,
        consistency=estimate(consistency(answers[first], answers[second], rows.column("source")[first])),
        largest_change=float(rows.column("difference")[on_diagonal].max()),
    )


def estimate(interval: Interval) -> Estimate:
    """Returns an interval in the form that figures have."""
    return Estimate(interval.mean, interval.low, interval.high)


FIGURES: Mapping[str, Callable[[EntrySettings, str, Predictions], TaskFigures]] = {
    QI.name: quadrant_figures,
    SHIFTED.name: shifted_figures,
    RED_GREEN_SET.name: red_green_figures,
    ROOK.name: pair_figures,
    CORNER.name: pair_figures,
}
"""Functions that compute a task's figures for one init."""
