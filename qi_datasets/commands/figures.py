"""`qi-figures`: every figure of the paper, as files for slides."""

from pathlib import Path

import click

from qi_datasets.commands.console import command, say, with_flags, wrap_lines

EPILOG = """
\b
Figures: rook-training (a film too), shift-and-convolve, corner-paddings,
qi-samples, qi-borders, accuracy-by-border, location-map, data-efficiency.
"""


@command(EPILOG)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--figure", "names", metavar="NAME", multiple=True, help="Draw this figure only; repeatable.")
@click.option("--look", "looks", metavar="LOOK", multiple=True, help="light or dark; repeatable [default: both].")
@click.option("--output", metavar="SETS", help="Folder of the sets [default: $QI_DATASETS_HOME, or the cache].")
@click.option("--entries", metavar="PLACE", multiple=True, help="Folder or hf:// address of entries; repeatable.")
@click.option("--demo", is_flag=True, help="Build demo sets and evaluate a network first; takes minutes.")
@click.option("--quiet", is_flag=True, help="No progress bars, no list of files: only what was left out.")
def main(
    out: Path,
    names: tuple[str, ...],
    looks: tuple[str, ...],
    output: str | None,
    entries: tuple[str, ...],
    demo: bool,
    quiet: bool,
) -> None:
    """Draw the figures of the paper into OUT: PNG of 1920 x 1080, also SVG for lines and WebP for animations."""
    from qi_datasets.figures import write_figures

    files, notes = write_figures(
        out, names=names, looks=looks, output=output, entries=entries, demo=demo, progress=not quiet
    )
    for note in notes:
        say(wrap_lines(with_flags(note)), err=True)
    if not quiet:
        for file in files:
            say(f"{file}")
        say(wrap_lines(f"{len(files)} files in {out}."))


if __name__ == "__main__":
    main()
