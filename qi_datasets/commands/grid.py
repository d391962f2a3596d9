"""`qi-eval --grid`: measures in which cells of a grid a network reads the position of pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import check_effect, say, table

if TYPE_CHECKING:
    from qi_datasets.evaluation.arguments import EvaluationRequest
    from qi_datasets.evaluation.grid import GridEntry

EFFECTIVE = (
    *("model", "task", "grid", "output", "entry", "borders", "init", "seeds", "limit", "plot", "dense", "quiet"),
    *("weights", "padding", "pool", "background", "batch_norm", "mean", "std", "device"),
)
"""Parameters of the command that have an effect on a grid."""


def run_on_grid(
    model: str,
    grid: int,
    output: str | None,
    entry: Path | None,
    plot: Path | None,
    request: "EvaluationRequest",
    *,
    progress: bool,
) -> None:
    """Evaluates a network on a grid of `qi`, and shows where it reads location.

    Args:
        model: The argument of the command.
        grid: Cells per side.
        output: The option of the command.
        entry: The option of the command.
        plot: The option of the command.
        request: Further options of the command.
        progress: Show a bar on a terminal, and the figures at the end.
    """
    from qi_datasets.specs import GRID, QI

    check_effect(EFFECTIVE, "with --grid")
    GRID.check(grid)
    borders, inits = list(request.borders or [0]), list(request.init or ())
    if request.task != QI.name:
        raise click.UsageError(f"--grid is for --task {QI.name}.")
    if len(borders) > 1 or len(inits) > 1:
        raise click.UsageError("--grid takes one --border and one --init.")
    from qi_datasets.evaluation.grid import evaluate_grid

    further = {name: value for name, value in vars(request).items() if name not in ("task", "borders", "init")}
    made = evaluate_grid(
        model, grid, output, border=borders[0], init=next(iter(inits), None), entry=entry, progress=progress, **further
    )
    if plot is not None:
        from qi_datasets.figures.write import write_map

        write_map(made, plot)
    if progress:
        show(made)
        if entry is not None:
            say(f"written to {entry}; beside the network's entry there, qi-leaderboard draws the map with the curve")


def show(made: "GridEntry") -> None:
    """Prints the figures of an evaluation, and the map of where it reads."""
    content, model = made.content, made.content["model"]
    for init, figures in made.figures.items():
        rows = [
            [
                "right answers",
                interval(figures["accuracy"], 100, " %"),
                f"{100 / content['grid'] ** 2:.1f} % by guessing",
            ],
            ["bits of location", interval(figures["bits"], 1, ""), f"of {figures['possible_bits']:.2f}"],
        ]
        say(table([init, "value (95 % interval)", ""], rows))
        say("right answers in each cell, in %:")
        for row in figures["shares"]:
            say("".join(f"{100 * share:6.0f}" for share in row))
    data = content["data"]
    say(
        f"{model['name']}, padding {model['padding']}, border {content['border']}, grid {content['grid']} x "
        f"{content['grid']} of qi {data['data_version']}, track {data['track']}, {data['evaluated']} sources"
    )


def interval(figure: Mapping[str, float], times: float, unit: str) -> str:
    """Returns a figure and its interval as text."""
    low, high = times * figure["low"], times * figure["high"]
    digits = 1 if unit else 2
    return f"{times * figure['value']:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"
