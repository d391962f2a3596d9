"""`qi-leaderboard`: entries become a page, and a submission is checked."""

from pathlib import Path

import click

from qi_datasets.commands.console import command, say

INVALID = 1
"""Exit status when an entry is not valid."""

EPILOG = """
\b
ENTRIES are folders, which are searched, entry.json files, or URLs that fsspec knows, such as
  hf://datasets/ORG/NAME
An entry is a folder of entry.json and predictions.parquet, as qi-eval writes it; every figure is computed again.

\b
  qi-leaderboard entries --output site
  qi-leaderboard --check entries/resnet18-1 --against hf://datasets/ORG/NAME

\b
Exit status: 0 every entry is valid, 1 some are not (the page is written without them), 2 wrong usage or input.
"""

PATH = click.Path(path_type=Path)


@command(EPILOG)
@click.argument("entries", nargs=-1)
@click.option("--output", metavar="SITE", type=PATH, help="Write SITE/index.html, and its downloads beside it.")
@click.option("--link", is_flag=True, help="Link to the entries where they lie, instead of copying them into SITE.")
@click.option(
    "--check", metavar="FOLDER", type=PATH, help="Check a submission: one entry's folder, or a folder of all."
)
@click.option(
    "--against", metavar="ENTRIES", multiple=True, help="What is published, which must not change; repeatable."
)
@click.option("--quiet", is_flag=True, help="No progress bar: only what was refused.")
def main(
    entries: tuple[str, ...], output: Path | None, link: bool, check: Path | None, against: tuple[str, ...], quiet: bool
) -> None:
    """Make a page of ENTRIES: which networks read location, and from how far."""
    if check is not None:
        if entries or output is not None or link:
            raise click.UsageError("--check goes without ENTRIES, --output and --link.")
        check_submission(check, against, quiet=quiet)
        return
    if not entries or output is None:
        raise click.UsageError("Give ENTRIES and --output SITE, or --check FOLDER.")
    if against:
        raise click.UsageError("--against needs --check.")
    from qi_datasets.leaderboard.site import PAGE, build

    made = build(entries, output, link=link, progress=not quiet)
    for one in made.refused:
        say(f"refused: {one.name}: {one.reason}", err=quiet)
    if not quiet:
        say(f"{output / PAGE}: {counted(len(made.found))}, {len(made.refused)} refused")
    if made.refused:
        raise click.exceptions.Exit(INVALID)


def check_submission(folder: Path, against: tuple[str, ...], *, quiet: bool) -> None:
    """Says what a submission holds; exit status 1 if any of it is refused."""
    from qi_datasets.leaderboard.submission import check

    found = check(folder, against, progress=not quiet)
    for one in found.refused:
        say(f"refused: {one.name}: {one.reason}", err=quiet)
    if not quiet:
        for name in found.new:
            say(f"new: {name}")
        say(f"{folder}: {len(found.new)} new, {len(found.unchanged)} unchanged, {len(found.refused)} refused")
    if found.refused:
        raise click.exceptions.Exit(INVALID)


def counted(number: int) -> str:
    """So many entries, in words."""
    return f"{number} {'entry' if number == 1 else 'entries'}"
