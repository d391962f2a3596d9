"""`qi-verify`: checks that the sets measure what they claim."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import command, say, table, width, with_flags, wrap_lines
from qi_datasets.errors import Message

if TYPE_CHECKING:
    from qi_datasets.verification.report.report import Check, Report

EPILOG = """
\b
Exit status: 0 every check passed, 1 a check failed, 2 wrong usage or input,
3 something could not be checked (no torch) and nothing failed.
"""

REMEDY = "to repair a damaged set, build it again: qi-build --set NAME --force, and the images, if it is made from any"

NO_DAMAGE = ("against", "displacement", "separability", "list")
"""Checks that also fail on undamaged sets, or whose causes say what to do."""


@command(EPILOG)
@click.argument("out", required=False)
@click.option("--set", "sets", metavar="NAME", multiple=True, help="Verify this set only; repeatable [default: all].")
@click.option("--only", metavar="PART", help="integrity (needs no torch) or separability [default: both].")
@click.option("--seeds", metavar="N", type=click.IntRange(min=1), help="Trained nets per padding [default: 20].")
@click.option(
    "--full", is_flag=True, help="The paper's protocol: train red_green too, use every source, decode everything."
)
@click.option("--device", metavar="DEVICE", help="Device of the networks, e.g. cpu [default: a GPU if any].")
@click.option("--against", metavar="BUILD", help="Compare with a manifest, a set's folder, or a folder or URL of sets.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option(
    "--report", metavar="DIR", type=click.Path(path_type=Path), help="Write one self-contained page, DIR/index.html."
)
@click.option("--pins", is_flag=True, help="Only integrity, and then the digests as lines for the spec table.")
@click.option("--verbose", is_flag=True, help="Every check and every table of figures.")
@click.option("--quiet", is_flag=True, help="No progress bars, no tables: only what failed.")
def main(
    out: str | None,
    sets: tuple[str, ...],
    only: str | None,
    seeds: int | None,
    full: bool,
    device: str | None,
    against: str | None,
    json_file: Path | None,
    report: Path | None,
    pins: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Verify the sets in OUT, default $QI_DATASETS_HOME or the cache: files, pixels, and what networks read."""
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet exclude each other.")
    if only == "integrity":
        from qi_datasets.building.engine import start_server

        # Imports take a second in each of two processes, and as long in both at once.
        start_server("qi_datasets.verification.integrity.integrity")
    from qi_datasets.verification.report.page import require_drawing, write_page
    from qi_datasets.verification.verify import verify

    if pins:
        only = pins_alone(only, seeds, against, full=full)
    if report is not None:
        require_drawing()
    shown = not quiet
    found = verify(out, sets or None, only, seeds, full, device, progress=shown, against=against, processes=True)
    # Written before anything is printed, so that an error in writing is not overlooked.
    if json_file is not None:
        found.write_json(json_file)
    if report is not None:
        page = write_page(found, report)
    show(found, verbose=verbose, quiet=quiet)
    if report is not None and not quiet:
        say(f"report: {page}")
    if pins:
        show_pins(found)
    if found.exit_status:
        raise click.exceptions.Exit(found.exit_status)


def pins_alone(only: str | None, seeds: int | None, against: str | None, *, full: bool) -> str:
    """Returns the checks that pins need: integrity. Raises usage errors for options that ask for more."""
    from qi_datasets.verification.verify import INTEGRITY

    if only not in (None, INTEGRITY) or seeds is not None or against is not None:
        raise click.UsageError("--pins runs no networks and compares nothing: leave out --only, --seeds and --against.")
    return INTEGRITY


def show_pins(found: "Report") -> None:
    """Returns lines for the spec table, if a set is whole, official by name, and has no picture in several splits."""
    from qi_datasets.verification.report.report import Status

    for one in found.sets:
        told, failed = one.provenance, any(check.status == Status.FAIL for check in found.of(one.name))
        if failed or told["pixels"] == "pinned" or told["track"] not in ("official", "unverified"):
            pinned = "they are there" if told["pixels"] == "pinned" else f"its track is {told['track']}"
            reason = "a check failed" if failed else pinned
            say(f"{one.name}: no pins, since {reason}")
            continue
        say(f"{one.name}: for {told['set']} in qi_datasets/specs.py")
        say("    digests={")
        for split, digest in next(iter(told["digests"].values())).items():
            say(f'        "{split}": "{digest}",')
        say("    },")


def show(found: "Report", *, verbose: bool, quiet: bool) -> None:
    """Prints a line for each set, all lines of a set with a check that did not pass, and why; `verbose`: everything."""
    from qi_datasets.verification.report.report import Status

    if not quiet:
        show_passes(found, verbose=verbose)
    for check in found.having_cause:
        if not quiet or check.status != "warn":
            say(wrap_lines(with_flags(check.line)), err=quiet)
    damaged = [check for check in found.having(Status.FAIL) if check.name not in NO_DAMAGE]
    if any(not check.cause.endswith("with LF again") for check in damaged):
        say(wrap_lines(REMEDY), err=quiet)
    if not quiet:
        say(wrap_lines(f"{found.verdict}. {found.summary}"))


def show_passes(found: "Report", *, verbose: bool) -> None:
    """Prints the outcomes of each set's checks; with `verbose` also digests, every check and every table."""
    from qi_datasets.verification.report.report import sum_up

    for note in found.notes:
        say(wrap_lines(with_flags(Message("note: ", note))))
    digests = {one.name: one.provenance["digests"] for one in found.sets}
    for name in dict.fromkeys(check.set for check in found.checks):
        checks = found.of(name)
        say(f"{name}: {sum_up(checks)}")
        if verbose:
            for config, splits in digests.get(name, {}).items():
                for split, digest in splits.items():
                    say(f"  {config} {split} {digest}")
            rows = [[check.name, check.status, figure_of(check)] for check in checks]
            say(fit_table(["check", "status", "figure"], rows))
    if verbose:
        for one in found.tables:
            say(f"\n{wrap_lines(one.title)}\n{fit_table(one.header, one.rows)}")
            if one.note:
                say(wrap_lines(one.note))
        say()


def fit_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns the table if it fits the terminal; else each row as several lines."""
    text = table(header, [[str(cell) for cell in row] for row in rows])
    if max(map(len, text.splitlines())) <= width():
        return text
    return "\n".join(
        wrap_lines(f"{row[0]}: " + "; ".join(f"{name} {cell}" for name, cell in zip(header[1:], row[1:], strict=True)))
        for row in rows
    )


def figure_of(check: "Check") -> str:
    """Returns a check's figure, with its interval."""
    if check.interval is None:
        return check.figure
    low, high = check.interval
    return f"{check.figure} ({100 * low:.0f}-{100 * high:.0f} %)"
