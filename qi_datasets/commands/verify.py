"""`qi-verify`: proves that the sets are what they claim."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import command, table, with_flags

if TYPE_CHECKING:
    from qi_datasets.verification.report.report import Check, Report

EPILOG = """
\b
Exit status: 0 every check passed, 1 a check failed, 2 wrong usage or input,
3 something could not be checked (no torch) and nothing failed.
"""


@command(EPILOG)
@click.argument("out", required=False)
@click.option("--set", "sets", metavar="NAME", multiple=True, help="Verify this set only; repeatable [default: all].")
@click.option("--only", metavar="PART", help="integrity (needs no torch) or separability [default: both].")
@click.option("--seeds", metavar="N", type=click.IntRange(min=1), help="Trained nets per padding [default: 20].")
@click.option(
    "--full", is_flag=True, help="The paper's protocol: trains red_green too, uses every source, decodes all."
)
@click.option("--device", metavar="DEVICE", help="Where networks run, e.g. cpu [default: a GPU if there is one].")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option(
    "--report", metavar="DIR", type=click.Path(path_type=Path), help="Write one self-contained page, DIR/index.html."
)
@click.option("--quiet", is_flag=True, help="No progress bars, no tables: only what failed.")
def main(
    out: str | None,
    sets: tuple[str, ...],
    only: str | None,
    seeds: int | None,
    full: bool,
    device: str | None,
    json_file: Path | None,
    report: Path | None,
    quiet: bool,
) -> None:
    """Verify the sets in OUT, default $QI_DATASETS_HOME or the cache: files, pixels, and what networks read."""
    from qi_datasets.verification.report.page import require_drawing, write_page
    from qi_datasets.verification.verify import verify

    if report is not None:
        require_drawing()
    found = verify(out, sets or None, only, seeds, full, device, progress=not quiet)
    # Written before anything is printed, so that a file that can't be written is not overlooked.
    if json_file is not None:
        found.write_json(json_file)
    if report is not None:
        page = write_page(found, report)
    show(found, quiet)
    if report is not None and not quiet:
        click.echo(f"report: {page}")
    if found.exit_status:
        raise click.exceptions.Exit(found.exit_status)


def show(found: "Report", quiet: bool) -> None:
    """The table of checks, the tables of figures, and a line for each check that did not pass."""
    if not quiet:
        for note in found.notes:
            click.echo(with_flags(f"note: {note}"))
        rows = [[check.set, check.name, check.status, figure_of(check), check.meaning] for check in found.checks]
        click.echo(table(["set", "check", "status", "figure", "what it means"], rows))
        for one in found.tables:
            click.echo(f"\n{one.title}\n{table(one.header, one.rows)}")
            if one.note:
                click.echo(one.note)
        click.echo()
    for check in found.checks:
        if check.cause and not (quiet and check.status == "warn"):
            click.echo(f"{check.status}: {check.set}, {check.name}: {check.cause}", err=quiet)
    if not quiet:
        click.echo(found.summary)


def figure_of(check: "Check") -> str:
    """A check's figure, with its interval."""
    if check.interval is None:
        return check.figure
    low, high = check.interval
    return f"{check.figure} ({100 * low:.0f}-{100 * high:.0f} %)"
