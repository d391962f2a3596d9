"""`qi-build`: makes the sets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import one_line_errors, table

if TYPE_CHECKING:
    from qi_datasets.building import BuiltSet, Plan
    from qi_datasets.places import Place
    from qi_datasets.sources import Source
    from qi_datasets.specs import SetSpec

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
  any other folder of images (give --per-split, unless it has enough)
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
    workers: int | None,
    dask: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Build the data sets. Without PATH and --demo: those that need no images."""
    if demo and imagenet_val is not None:
        raise click.UsageError("--demo and --imagenet-val exclude each other.")

    from qi_datasets.building import build_set, default_output
    from qi_datasets.parallel import Engine
    from qi_datasets.places import place_of
    from qi_datasets.registry import spec_named, specs

    chosen = [spec_named(name) for name in dict.fromkeys(names)] or list(specs().values())
    counts = split_sizes(chosen, demo, per_split)
    source = source_for(imagenet_val, demo, chosen, counts)
    if source is not None:
        if not quiet:
            click.echo(f"source: {source}")
        for warning in source.warnings:
            click.echo(f"warning: {warning}", err=True)
    left_out = [] if names or source else [spec for spec in chosen if spec.needs_images]
    plans = plans_for([spec for spec in chosen if spec not in left_out], source, counts, borders, canvas, per_split)

    root = default_output() if output is None else place_of(output)
    engine = Engine(workers, dask)
    # Sets made from images can fail over a damaged file, the others can't: so nothing is left behind by a failure.
    built = {
        plan.spec.name: build_set(plan, root, engine=engine, force=force, progress=not quiet)
        for plan in sorted(plans, key=lambda plan: not plan.spec.needs_images)
    }
    if not quiet:
        report([built[plan.spec.name] for plan in plans], root, [spec.name for spec in left_out])


def split_sizes(chosen: Sequence["SetSpec"], demo: bool, per_split: int | None) -> dict[str, dict[str, int]]:
    """Set name -> split -> number of sources, for the sets that are not to have their official sizes."""
    from qi_datasets.errors import OptionError

    if per_split is not None and per_split < 1:
        raise OptionError(f"--per-split must be 1 or more, not {per_split}")
    counts: dict[str, dict[str, int]] = {}
    for spec in chosen:
        if spec.needs_images and per_split is not None:
            counts[spec.name] = dict.fromkeys(spec.splits, per_split)
        elif spec.needs_images and demo:
            counts[spec.name] = dict(spec.demo_splits or spec.splits)
    return counts


def source_for(
    imagenet_val: str | None, demo: bool, chosen: Sequence["SetSpec"], counts: dict[str, dict[str, int]]
) -> "Source | None":
    """The source that the options name; for the demo, one with as many pictures as are asked for."""
    from qi_datasets.sources import DemoSource, open_source

    if demo:
        return DemoSource.of(sum(sum(splits.values()) for splits in counts.values()))
    return None if imagenet_val is None else open_source(imagenet_val)


def plans_for(
    chosen: Sequence["SetSpec"],
    source: "Source | None",
    counts: dict[str, dict[str, int]],
    borders: tuple[int, ...],
    canvas: int | None,
    per_split: int | None,
) -> list["Plan"]:
    """A checked plan for every set."""
    from qi_datasets.building import plan_set

    return [
        plan_set(
            spec,
            source,
            splits=counts,
            official=per_split is None,
            borders=borders or None,
            size=canvas if spec.size_option is not None and spec.size_option.name == "canvas" else None,
        )
        for spec in chosen
    ]


def folder_name(built: "BuiltSet") -> str:
    """The last part of the place where a set is."""
    return str(built.folder).rpartition("/")[2]


def report(built: Sequence["BuiltSet"], root: "Place", left_out: Sequence[str]) -> None:
    """The table of what was built, and where it is."""
    rows = []
    for one in built:
        seconds = f"{one.seconds:.1f}" if one.made else "up to date"
        for number, (name, config) in enumerate(one.manifest.configs.items()):
            count = sum(split.rows for split in config.splits.values())
            size = sum(one.manifest.files[file].bytes for split in config.splits.values() for file in split.files)
            cells = [f"{count}", f"{size / MEGABYTE:.1f}", config.digest[:SHORT], seconds if number == 0 else ""]
            rows.append([folder_name(one) if number == 0 else "", name, *cells])
    header = ["set", "config", "rows", "MB", "digest", "seconds"]
    click.echo(table(header, rows, right=frozenset({"rows", "MB", "seconds"})))
    click.echo(f"in {root}")
    for one in built:
        if not one.made:
            click.echo(f"{folder_name(one)}: nothing to do, it was built from the same input; --force builds it again")
    if left_out:
        click.echo(
            f"left out: {', '.join(left_out)}, made from images: run qi-build --imagenet-val PATH, or qi-build --demo"
        )


if __name__ == "__main__":
    main()
