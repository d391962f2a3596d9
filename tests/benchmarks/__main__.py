"""Measures the lines of the benchmark table: `python -m tests.benchmarks [SOURCES] [--json FILE] [--only WORD]`.

SOURCES is a folder that holds the officially selected 3000 images of ImageNet val (any images of such names will do);
without it, demo pictures are written into such a folder first. Each line is a ratio of two things that are measured in
turns within one run, the median of several; a bar is what the project holds itself to. Nothing here is a test.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from qi_datasets.commands.console import table
from tests.benchmarks import building, local, reading, starting, training
from tests.benchmarks.line import Line
from tests.benchmarks.sources import Sources


@dataclass(frozen=True)
class Result:
    """One line of the table: medians of the two measures, in the line's unit, and their ratio."""

    line: str
    bar: str
    ratio: float
    met: bool
    measure: float
    reference: float
    unit: str
    repeats: int


def measured(line: Line, repeats: int) -> Result:
    """Returns the line, with its two measures taken in turn."""
    turns = [(line.measure(), line.reference()) for _ in range(line.repeats or repeats)]
    measure, reference = (statistics.median(values) for values in zip(*turns, strict=True))
    ratio = statistics.median(one / other for one, other in turns)
    met = ratio <= line.bar if line.at_most else ratio >= line.bar
    sign = "<=" if line.at_most else ">="
    return Result(line.name, f"{sign} {line.bar:g}", ratio, met, measure, reference, line.unit, len(turns))


@click.command()
@click.argument("sources", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the table as JSON.")
@click.option("--only", help="Measure only lines whose names hold this word.")
@click.option("--repeats", default=5, show_default=True, help="Turns per line; the median counts.")
def main(sources: Path | None, json_file: Path | None, only: str | None, repeats: int) -> None:
    """Measures, prints a table, and writes JSON."""
    with tempfile.TemporaryDirectory(prefix="qi-benchmarks-") as folder:
        results = []
        for line in lines(Sources(sources, Path(folder))):
            if only is None or only in line.name:
                results.append(measured(line, repeats))
                click.echo(f"{results[-1].ratio:8.3f}  {line.name}", err=True)
    header = ["line", "bar", "ratio", "met", "measure", "reference", "unit", "turns"]
    rows = [[one.line, one.bar, f"{one.ratio:.3f}", "yes" if one.met else "NO", *numbers(one)] for one in results]
    click.echo(table(header, rows, right=frozenset({"ratio", "measure", "reference", "turns"})))
    if json_file is not None:
        json_file.write_text(json.dumps({"python": sys.version, "lines": list(map(asdict, results))}, indent=1) + "\n")


def numbers(result: Result) -> list[str]:
    """Returns the two measures as text, their unit, and the number of turns."""
    return [f"{result.measure:.3f}", f"{result.reference:.3f}", result.unit, str(result.repeats)]


def lines(sources: Sources) -> Iterator[Line]:
    """Yields all lines, in the order of the table."""
    yield from building.lines(sources)
    yield from reading.lines(sources)
    yield from starting.lines(sources)
    yield from training.lines()
    yield from local.lines(sources)


if __name__ == "__main__":
    main()
