"""`qi-build --recipe`: makes a set again from its published manifest, and says what differs."""

from typing import TYPE_CHECKING

import click

from qi_datasets.errors import OptionError

if TYPE_CHECKING:
    from qi_datasets.building.engine import Engine
    from qi_datasets.sources import Source

DIFFERENT = 1
"""Exit status when an image differs."""


def refuse_beside_recipe(
    names: tuple[str, ...],
    borders: tuple[int, ...],
    canvas: int | None,
    per_split: int | None,
    shifted_images: int | None,
) -> None:
    """OptionError for an option that a recipe decides."""
    given = {
        "--set": names or None,
        "--border": borders or None,
        "--canvas": canvas,
        "--per-split": per_split,
        "--shifted-images": shifted_images,
    }
    for option, value in given.items():
        if value is not None:
            raise OptionError(f"{option} has no effect beside --recipe, which says what is built; leave it out")


def make_again(
    location: str, source: "Source | None", output: str | None, engine: "Engine", force: bool, quiet: bool
) -> None:
    """Builds the set of the manifest at that location, prints what differs, and ends with 1 if something does."""
    from qi_datasets.building.build import build_set
    from qi_datasets.building.plan import Recipe, plan_recipe
    from qi_datasets.storage.compare import compare
    from qi_datasets.storage.location import default_output, place_of
    from qi_datasets.storage.published import manifest_at

    where, manifest = manifest_at(location)
    if source is not None and not quiet:
        click.echo(f"source: {source}")
    plan = plan_recipe(Recipe(where, manifest), source)
    root = default_output() if output is None else place_of(output)
    built = build_set(plan, root, engine=engine, force=force, progress=not quiet)
    found = compare(built.manifest, manifest)
    for difference in found.differences:
        click.echo(str(difference), err=quiet)
    if not quiet:
        number = len(found.differences)
        against = f" ({built.manifest.verified_against})" if built.manifest.verified_against else ""
        click.echo(f"{built.folder}: {number or 'no'} difference{'' if number == 1 else 's'} from {where}")
        click.echo(f"pixels: {built.manifest.pixels}{against}")
    if not found.same_pixels:
        raise click.exceptions.Exit(DIFFERENT)
