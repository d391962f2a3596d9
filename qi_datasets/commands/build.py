"""`qi-build`: makes the sets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import one_line_errors, table, with_flags

if TYPE_CHECKING:
    from qi_datasets.building.build import BuiltSet
    from qi_datasets.building.plan import Plan
    from qi_datasets.sources import Source
    from qi_datasets.specs import SetSpec
    from qi_datasets.storage.location import Place

PER_SPLIT, SHIFTED_IMAGES = "per_split", "shifted_images"
MEGABYTE = 1e6
SHORT = 12

EPILOG = """
\b
PATH may be any of these; the layout is recognised:
  a flat folder of ILSVRC2012_val_*.JPEG
  class folders: n01440764/ILSVRC2012_val_00000293.JPEG
  an ImageNet root that holds val/
  Kaggle's root, or its ILSVRC/Data/CLS-LOC/val
  ILSVRC2012_img_val.tar, or a folder that holds it
  a folder or fsspec URL of the Hub's imagenet-1k Parquet shards
  any other folder of images (give --per-split and --shifted-images, unless it has enough)
"""


@click.command(epilog=EPILOG)
@click.option("--imagenet-val", metavar="PATH", help="ImageNet's validation images, or other images; only ever read.")
@click.option("--demo", is_flag=True, help="Built-in procedural pictures in place of ImageNet.")
@click.option(
    "--output",
    metavar="OUT",
    help="Folder or fsspec URL where the sets go [default: $QI_DATASETS_HOME, or the cache].",
)
@click.option("--set", "names", metavar="NAME", multiple=True, help="Build this set only; repeatable [default: all].")
@click.option(
    "--border",
    "borders",
    metavar="N",
    type=int,
    multiple=True,
    help="Build this border; repeatable [default: the seven of the spec]; 0 is always built.",
)
@click.option("--canvas", metavar="N", type=int, help="Side of QI's template in pixels [default: the spec's].")
@click.option(
    "--per-split",
    metavar="N",
    type=int,
    help="QI sources per split, drawn from the images there are [default: the spec's, all of which must be there].",
)
@click.option(
    "--shifted-images",
    metavar="N",
    type=int,
    help="Sources of shifted, drawn from the images there are after QI's; 0 leaves it out [default: the spec's].",
)
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="Processes [default: one per core].")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster that does the work instead.")
@click.option("--force", is_flag=True, help="Build again, and replace whatever is there.")
@click.option("--quiet", is_flag=True, help="No progress bars, no table.")
@one_line_errors
def main(
    imagenet_val: str | None,
    demo: bool,
    output: str | None,
    names: tuple[str, ...],
    borders: tuple[int, ...],
    canvas: int | None,
    per_split: int | None,
    shifted_images: int | None,
    workers: int | None,
    dask: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Build the data sets. Without PATH and --demo: those that need no images."""
    if demo and imagenet_val is not None:
        raise click.UsageError("--demo and --imagenet-val exclude each other.")

    from qi_datasets.building.build import build_set
    from qi_datasets.building.engine import Engine
    from qi_datasets.errors import TooFewImagesError
    from qi_datasets.registry import spec_named, specs
    from qi_datasets.storage.location import default_output, place_of

    counts = split_sizes(demo, {PER_SPLIT: per_split, SHIFTED_IMAGES: shifted_images})
    chosen = [spec_named(name) for name in dict.fromkeys(names)] or [
        spec for spec in specs().values() if sum(counts.get(spec.name, spec.splits).values()) > 0
    ]
    source = source_for(imagenet_val, demo, counts)
    if source is not None:
        if not quiet:
            click.echo(f"source: {source}")
        for warning in source.warnings:
            click.echo(f"warning: {warning}", err=True)
    left_out = [] if names or source else [spec for spec in chosen if spec.needs_images]
    notes = []
    plans = []
    for spec in chosen:
        if spec in left_out:
            continue
        try:
            plans.append(plan_for(spec, source, counts, borders, canvas))
        except TooFewImagesError as error:
            # Few sources have images for every set; a plain build makes those that it can.
            if names or spec.first_rank_after is None or (spec.name in counts and not demo):
                raise
            notes.append(with_flags(f"left out: {error}"))

    root = default_output() if output is None else place_of(output)
    engine = Engine(workers, dask)
    # Sets made from images can fail over a damaged file, the others can't: so nothing is left behind by a failure.
    built = {
        plan.spec.name: build_set(plan, root, engine=engine, force=force, progress=not quiet)
        for plan in sorted(plans, key=lambda plan: not plan.spec.needs_images)
    }
    if not quiet:
        if left_out:
            needing = ", ".join(spec.name for spec in left_out)
            notes.append(f"left out: {needing}, made from images: run qi-build --imagenet-val PATH, or qi-build --demo")
        report([built[plan.spec.name] for plan in plans], root, notes)


def split_sizes(demo: bool, given: Mapping[str, int | None]) -> dict[str, dict[str, int]]:
    """Set name -> split -> number of sources, for every known set that is not to have its official sizes.

    given: what was said of each option that sets a number of sources. All known sets count, not only those that will
    be built, since which images one takes may depend on how many another one does.
    """
    from qi_datasets.errors import OptionError
    from qi_datasets.registry import specs

    for option, number in given.items():
        least = 0 if option == SHIFTED_IMAGES else 1
        if number is not None and number < least:
            raise OptionError(f"--{option.replace('_', '-')} must be {least} or more, not {number}")
    counts: dict[str, dict[str, int]] = {}
    for spec in specs().values():
        number = given[spec.count_option]
        if spec.needs_images and number is not None:
            counts[spec.name] = dict.fromkeys(spec.splits, number)
        elif spec.needs_images and demo:
            counts[spec.name] = dict(spec.demo_splits or spec.splits)
    return counts


def source_for(imagenet_val: str | None, demo: bool, counts: dict[str, dict[str, int]]) -> "Source | None":
    """The source that the options name; for the demo, the usual number of pictures, or more if they are asked for."""
    from qi_datasets.building.selection import ranks
    from qi_datasets.registry import specs
    from qi_datasets.sources import DemoSource, open_source

    if demo:
        # Whichever sets are built, the pictures are the same, so that a set is: the order runs over all of them.
        usual = split_sizes(demo, {PER_SPLIT: None, SHIFTED_IMAGES: None})
        made_from_images = [spec for spec in specs().values() if spec.needs_images]
        return DemoSource.of(max(ranks(spec, sizes).stop for spec in made_from_images for sizes in (counts, usual)))
    return None if imagenet_val is None else open_source(imagenet_val)


def plan_for(
    spec: "SetSpec",
    source: "Source | None",
    counts: dict[str, dict[str, int]],
    borders: tuple[int, ...],
    canvas: int | None,
) -> "Plan":
    """The checked plan of a set. If its size, or that of the set before it, was given, it draws from what is there."""
    from qi_datasets.building.plan import plan_set

    return plan_set(
        spec,
        source,
        splits=counts,
        official=not counts.keys() & {spec.name, spec.first_rank_after},
        borders=borders or None,
        size=canvas if spec.size_option is not None and spec.size_option.name == "canvas" else None,
    )


def report(built: Sequence["BuiltSet"], root: "Place", notes: Sequence[str]) -> None:
    """The table of what was built, where it is, and what was not built and why."""
    from qi_datasets.storage.location import folder_name

    rows = []
    for one in built:
        seconds = f"{one.seconds:.1f}" if one.made else "up to date"
        for number, (name, config) in enumerate(one.manifest.configs.items()):
            count = sum(split.rows for split in config.splits.values())
            size = sum(one.manifest.files[file].bytes for split in config.splits.values() for file in split.files)
            cells = [f"{count}", f"{size / MEGABYTE:.1f}", config.digest[:SHORT], seconds if number == 0 else ""]
            rows.append([folder_name(one.folder) if number == 0 else "", name, *cells])
    header = ["set", "config", "rows", "MB", "digest", "seconds"]
    click.echo(table(header, rows, right=frozenset({"rows", "MB", "seconds"})))
    click.echo(f"in {root}")
    for one in built:
        if not one.made:
            click.echo(
                f"{folder_name(one.folder)}: nothing to do, it was built from the same input; --force builds it again"
            )
    for note in notes:
        click.echo(note)


if __name__ == "__main__":
    main()
