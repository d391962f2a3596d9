"""`qi-build`: makes the sets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import check_effect, command, say, table, with_flags

if TYPE_CHECKING:
    from qi_datasets.building.dataset import Built
    from qi_datasets.building.plan import Plan
    from qi_datasets.storage.location import Place

MEGABYTE = 1e6
SHORT = 12

EPILOG = """
\b
PATH may be any of these; the layout is recognised:
  a folder with ILSVRC2012_val_*.JPEG at any depth: flat, by class, val/, Kaggle's
  ILSVRC2012_img_val.tar, a .tar.gz of these files, or a folder that holds one
  imagenet-object-localization-challenge.zip, as downloaded from Kaggle
  webdataset shards, also behind URLs: hf://datasets/timm/imagenet-1k-wds
  Parquet shards of the Hub's imagenet-1k, also behind URLs, or its cache
  Arrow files of datasets: save_to_disk, or its cache
  TFRecord files of TensorFlow Datasets
  any other folder of images (give --per-split and --shifted-images, unless it has enough)

\b
RECIPE is a manifest.json, a set's folder, or hf://datasets/ORG/NAME@REVISION. The same set is built from its images in
PATH, which are found by name or by content. Images whose file or decoder differs are named, with exit status 1.
"""


@command(EPILOG)
@click.option("--imagenet-val", metavar="PATH", help="ImageNet's validation images, or other images; only read.")
@click.option("--imagenet-train", metavar="PATH", help="ImageNet's training images, whose names subset lists.")
@click.option("--per-class", metavar="N", type=int, help="With --links: images of each class in the tree.")
@click.option("--links", metavar="DIR", help="With --set subset: make a tree of links to its images, for ImageFolder.")
@click.option("--demo", is_flag=True, help="Use built-in procedural pictures instead of ImageNet.")
@click.option(
    "--output",
    metavar="OUT",
    help="Folder or fsspec URL for the sets [default: $QI_DATASETS_HOME, or the cache].",
)
@click.option("--set", "sets", metavar="NAME", multiple=True, help="Build this set only; repeatable [default: all].")
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
    help="QI sources per split, selected from the images in PATH [default: the official selection, complete].",
)
@click.option(
    "--shifted-images",
    metavar="N",
    type=int,
    help="Sources of shifted, selected after QI's from the images in PATH; 0 leaves it out [default: the spec's].",
)
@click.option("--recipe", metavar="RECIPE", help="Make the set of this manifest again, and compare: see below.")
@click.option("--workers", metavar="N", type=click.IntRange(1, 1024), help="Threads [default: one per core].")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster that does the work instead.")
@click.option("--force", is_flag=True, help="Build again, and replace existing sets.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, how large, and how long it would take.")
@click.option("--quiet", is_flag=True, help="No progress bars, no table: only warnings and errors.")
@click.argument("paths", nargs=-1, metavar="")
def main(
    imagenet_val: str | None,
    imagenet_train: str | None,
    per_class: int | None,
    links: str | None,
    demo: bool,
    output: str | None,
    sets: tuple[str, ...],
    borders: tuple[int, ...],
    canvas: int | None,
    per_split: int | None,
    shifted_images: int | None,
    recipe: str | None,
    workers: int | None,
    dask: str | None,
    force: bool,
    dry_run: bool,
    quiet: bool,
    paths: tuple[str, ...],
) -> None:
    """Build the data sets. Without PATH and --demo: those that need no images."""
    if paths:
        raise click.UsageError(f"qi-build takes no positional argument; write --imagenet-val {paths[0]}")

    from qi_datasets.building.copying import assume_source

    if imagenet_train is not None or "subset" in sets:
        list_subset(sets, imagenet_train, per_class, links, output, quiet=quiet)
        return
    if per_class is not None or links is not None:
        raise click.UsageError("--per-class and --links go with --imagenet-train PATH --set subset.")

    from qi_datasets.building.dataset import BuildRequest, build_requested
    from qi_datasets.building.engine import Engine
    from qi_datasets.commands.recipe import make_again, refuse_beside_recipe
    from qi_datasets.sources import OnePassSource
    from qi_datasets.storage.location import output_of

    if recipe is not None:
        decided = {"border": borders, "canvas": canvas, "per_split": per_split, "shifted_images": shifted_images}
        refuse_beside_recipe(set=sets, dry_run=dry_run, **decided)
    request = BuildRequest(
        sets=sets,
        imagenet_val=imagenet_val,
        demo=demo,
        borders=borders or None,
        canvas=canvas,
        per_split=per_split,
        shifted_images=shifted_images,
        dask=dask,
    )
    root = output_of(output)
    source = request.source(unnamed=recipe is not None)
    if source is not None and not quiet:
        say(f"source: {source}")
    for warning in source.cautions if source is not None else ():
        say(f"warning: {warning}", err=True)
    if recipe is not None:
        make_again(recipe, source, root, Engine(workers, dask), force, quiet)
        return
    if dry_run:
        seconds = 0.0
        if isinstance(source, OnePassSource):
            source, seconds = assume_source(source, request.wanted())
        show_forecast(*request.plans(source), root, workers)
        if seconds:
            say(f"and reading the archive once, about {seconds:.0f} seconds; it was taken to hold all that is selected")
        return
    built = build_requested(request, source, root, Engine(workers, dask), force=force, progress=not quiet)
    for warning in built.warnings:
        say(f"warning: {warning}", err=quiet)
    if not quiet:
        report(built)


def list_subset(
    sets: tuple[str, ...],
    imagenet_train: str | None,
    per_class: int | None,
    links: str | None,
    output: str | None,
    *,
    quiet: bool,
) -> None:
    """Lists training images, and makes a tree of links to some; arguments are those of the command."""
    check_effect(("sets", "imagenet_train", "per_class", "links", "output", "quiet"), "on subset")
    if imagenet_train is None or set(sets) - {"subset"}:
        raise click.UsageError("subset is made alone: --imagenet-train PATH --set subset.")
    if (per_class is None) != (links is None):
        raise click.UsageError("--links DIR and --per-class N go together.")
    from qi_datasets.building.subset import link_subset, read_subset, write_subset
    from qi_datasets.sources.training import open_training

    images = open_training(imagenet_train)
    built = write_subset(images, output)
    if not quiet:
        say(f"source: {images}")
        facts = built.facts
        say(f"subset: {facts['images']} names of {facts['classes']} classes, the smallest of {facts['smallest_class']}")
        say(f"digest {facts['digest'][:SHORT]}, in {built.folder}")
    if links is not None and per_class is not None:
        count = link_subset(images, read_subset(per_class, output), links)
        if not quiet:
            say(f"{count} links in {links}")


def report(built: "Built") -> None:
    """Prints a table of the built sets, with their state and location, and the reasons why others were not built."""
    from qi_datasets.building.build import Outcome
    from qi_datasets.storage.location import folder_name

    rows = []
    for one in built.sets.values():
        seconds = one.outcome if one.outcome is Outcome.FOUND else f"{one.seconds:.1f}"
        for number, (name, config) in enumerate(one.manifest.configs.items()):
            count = sum(split.rows for split in config.splits.values())
            size = sum(one.manifest.files[file].bytes for split in config.splits.values() for file in split.files)
            cells = [f"{count}", f"{size / MEGABYTE:.1f}", config.digest[:SHORT], seconds if number == 0 else ""]
            rows.append([folder_name(one.folder) if number == 0 else "", name, *cells])
    header = ["set", "config", "rows", "MB", "digest", "seconds"]
    say(table(header, rows, right=frozenset({"rows", "MB", "seconds"})))
    say(f"in {built.root}")
    told = {
        Outcome.MADE: "",
        Outcome.REFRESHED: "; refreshed, it was of an earlier version of this package: its images stayed as they were",
        Outcome.FOUND: "; nothing to do, it was built from the same input (--force builds it again)",
    }
    for one in built.sets.values():
        say(f"{folder_name(one.folder)}: {one.manifest.knowledge}{told[one.outcome]}")
    for note in built.notes:
        say(with_flags(note))


def show_forecast(plans: "Sequence[Plan]", notes: "Sequence[str]", root: "Place", workers: int | None) -> None:
    """Prints what would be built, how large it would be, and how long that would take.

    Args:
        plans: The sets.
        notes: A line for each set that is left out.
        root: The folder or URL of the sets.
        workers: Number of threads, None for one per core.
    """
    from qi_datasets.building.forecast import forecast

    rows = []
    for plan in plans:
        expected = forecast(plan, workers)
        borders = ", ".join(map(str, plan.borders))
        count = sum(map(plan.rows, plan.images or plan.spec.splits)) * len(plan.borders)
        rows.append(
            [plan.spec.name, borders, f"{count}", f"{expected.bytes / MEGABYTE:.1f}", f"{expected.seconds:.0f}"]
        )
    header = ["set", "borders", "rows", "MB, about", "seconds, about"]
    say(table(header, rows, right=frozenset(header[2:])))
    say(f"would go to {root}; nothing was written")
    for note in notes:
        say(with_flags(note))


if __name__ == "__main__":
    main()
