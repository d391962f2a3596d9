"""`qi-leaderboard`: makes a page of entries, and checks submissions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import command, say, table
from qi_datasets.errors import printable

if TYPE_CHECKING:
    from qi_datasets.leaderboard.hub_ranking import ComparedClaim

LONGEST_NAME = 200
INVALID = 1
"""Exit status if an entry is not valid."""

EPILOG = """
\b
ENTRIES are folders (which are searched), entry.json files, or URLs of fsspec, such as
  hf://datasets/ORG/NAME
An entry is a folder of entry.json and predictions.parquet, as qi-eval writes it; every figure is computed again.

\b
  qi-leaderboard entries --output site
  qi-leaderboard hf://datasets/ORG/RESULTS --hub ORG/NAME
  qi-leaderboard --check entries/resnet18-1 --against hf://datasets/ORG/NAME

\b
With --hub, each value that is claimed on the Hub is compared with that of the predictions: it agrees, differs, is of
other data, or has no predictions. Predictions without a value on the Hub are listed too.

\b
Exit status: 0 every entry is valid, 1 some are not (the page is written without them), or a claim is wrong, 2 wrong
usage or input.
"""

PATH = click.Path(path_type=Path)


@command(EPILOG)
@click.argument("entries", nargs=-1)
@click.option("--output", metavar="SITE", type=PATH, help="Write SITE/index.html, and its downloads beside it.")
@click.option("--link", is_flag=True, help="Link to the entries in their folders, instead of copying them.")
@click.option("--space", is_flag=True, help="Write a card too, which makes SITE a static Space of the Hub.")
@click.option("--check", metavar="FOLDER", help="Check a submission: an entry, a folder of all, a zip, a pull request.")
@click.option(
    "--against", metavar="ENTRIES", multiple=True, help="The published entries, which must not change; repeatable."
)
@click.option(
    "--rerun", metavar="K", type=click.IntRange(1), help="With --check: repeat K random parts of new entries."
)
@click.option("--sets", metavar="OUT", help="Folder of the sets, for --rerun [default: as in qi-eval].")
@click.option("--trust", is_flag=True, help="Let --rerun run code from the model's repository.")
@click.option("--hub", metavar="ORG/NAME", help="Compare with the Hub's ranking on this benchmark.")
@click.option("--pull-requests", is_flag=True, help="Include open pull requests on the Hub, marked.")
@click.option("--quiet", is_flag=True, help="No progress bar: only what was refused.")
def main(
    entries: tuple[str, ...],
    output: Path | None,
    link: bool,
    space: bool,
    check: str | None,
    against: tuple[str, ...],
    rerun: int | None,
    sets: str | None,
    trust: bool,
    hub: str | None,
    pull_requests: bool,
    quiet: bool,
) -> None:
    """Make a page of ENTRIES: which networks read location, and up to which border."""
    if check is not None:
        if entries or output is not None or link or space or hub or pull_requests:
            raise click.UsageError("--check goes with --against, --rerun and --quiet alone.")
        if rerun is None and (sets is not None or trust):
            raise click.UsageError(f"{'--trust' if trust else '--sets'} needs --rerun.")
        check_submission(check, against, rerun or 0, sets, trust=trust, quiet=quiet)
        return
    if not entries or (output is None and hub is None):
        raise click.UsageError("Give ENTRIES and --output SITE or --hub ORG/NAME, or --check FOLDER.")
    if against or rerun or sets or trust:
        flag = "--against" if against else "--rerun" if rerun else "--sets" if sets else "--trust"
        raise click.UsageError(f"{flag} needs --check.")
    if link and space:
        raise click.UsageError("A Space needs the entries themselves: --space goes without --link.")
    if output is None and (link or space):
        raise click.UsageError(f"{'--link' if link else '--space'} needs --output.")
    from qi_datasets.leaderboard.site import PAGE, Site, build, compare_entries

    made: Site
    if output is None:
        made = compare_entries(entries, str(hub), pull_requests=pull_requests, progress=not quiet)
    else:
        made = build(
            entries, output, link=link, space=space, hub=hub, pull_requests=pull_requests, progress=not quiet
        )  # fmt: skip
    for one in made.refused:
        say(f"refused: {one.name}: {one.reason}", err=quiet)
    wrong = show_compared(made.compared, quiet=quiet) if hub is not None else 0
    if not quiet and output is not None:
        say(f"{output / PAGE}: {count_entries(len(made.collection.found))}, {len(made.refused)} refused")
    if made.refused or wrong:
        raise click.exceptions.Exit(INVALID)


def show_compared(compared: Sequence["ComparedClaim"], *, quiet: bool) -> int:
    """Shows the Hub's ranking beside ours; quiet: only the wrong claims. Returns the number of wrong claims."""
    from qi_datasets.evaluation.description import network_name
    from qi_datasets.leaderboard.hub_ranking import WRONG

    rows = []
    for one in compared:
        claim, ours = one.claim, one.row
        name = claim.model_id if claim else network_name(ours.content) if ours else ""
        if claim and claim.pull_request:
            name += f" (pull request {claim.pull_request})"
        if ours and ours.found.pull_request:
            name += f" (entry of pull request {ours.found.pull_request})"
        if quiet and one.verdict not in WRONG:
            continue
        rows.append(
            [
                f"{claim.rank}" if claim and claim.rank else "-",
                f"{ours.rank}" if ours and ours.rank else "-",
                printable(name),
                printable(one.task_id),
                f"{claim.value:.2f}" if claim and isinstance(claim.value, int | float) else "-",
                "-" if one.value is None else f"{one.value:.2f}",
                one.verdict,
            ]
        )
    header = ["Hub", "ours", "network", "task", "claimed", "computed", ""]
    if rows:
        click.echo(table(header, rows, right=frozenset({"Hub", "ours", "claimed", "computed"})), err=quiet)
    elif not quiet:
        click.echo("the Hub has no results on this benchmark yet")
    return sum(one.verdict in WRONG for one in compared)


def check_submission(
    submission: str, against: tuple[str, ...], rerun: int, sets: str | None, *, trust: bool, quiet: bool
) -> None:
    """Prints what a submission has; ends with exit status 1 if any of it is refused."""
    from qi_datasets.leaderboard.submission import check

    found = check(submission, against, rerun=rerun, output=sets, trust=trust, progress=not quiet)
    for one in found.refused:
        say(f"refused: {one.name[:LONGEST_NAME]}: {one.reason}", err=quiet)
    if not quiet:
        for line in found.repeated:
            say(line)
        for name in found.new:
            say(f"new: {name}")
        refused = len({one.name for one in found.refused})
        say(f"{submission}: {len(found.new)} new, {len(found.unchanged)} unchanged, {refused} refused")
    if found.refused:
        raise click.exceptions.Exit(INVALID)


def count_entries(number: int) -> str:
    """Returns a number of entries as text."""
    return f"{number} {'entry' if number == 1 else 'entries'}"
