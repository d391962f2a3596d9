"""`qi-plot`: draws several entries in one figure, and describes how they were measured."""

from pathlib import Path

import click

from qi_datasets.commands.console import command, say, wrap_lines

EPILOG = """
\b
  qi-plot entries/resnet18 entries/resnet18-exact -o curves.pdf

\b
Exit status: 0 drawn, 2 wrong usage or input.
"""


@command(EPILOG)
@click.argument("entries", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FILE", required=True, type=click.Path(path_type=Path), help="A .png, .svg or .pdf file."
)
@click.option("--quiet", is_flag=True, help="Draw, and say nothing.")
def main(entries: tuple[Path, ...], output: Path, quiet: bool) -> None:
    """Draw ENTRIES, folders of one task: on qi accuracy against border, with intervals and the paper's curves."""
    from qi_datasets.evaluation.arguments import check_plot
    from qi_datasets.evaluation.curve import save_plot
    from qi_datasets.evaluation.entry import Entry

    check_plot(output)
    found = [Entry.read(folder) for folder in entries]
    save_plot([entry.content for entry in found], output)
    if not quiet:
        for entry in found:
            say(wrap_lines(f"{entry}"))
            say(wrap_lines(entry.methods()))
        say(f"{output}: {len(found)} {'entry' if len(found) == 1 else 'entries'}")


if __name__ == "__main__":
    main()
