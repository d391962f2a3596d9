"""`qi-build --recipe`: makes a set again from its published manifest, and prints the differences."""

from typing import TYPE_CHECKING

import click

from qi_datasets.errors import OptionError

if TYPE_CHECKING:
    from qi_datasets.building.engine import Engine
    from qi_datasets.sources import Source
    from qi_datasets.storage.location import Place

DIFFERENT = 1
"""Exit status if an image differs."""


def refuse_beside_recipe(**given: object) -> None:
    """Raises OptionError for an argument that a recipe decides. given: arguments by name, empty if not given."""
    for name, value in given.items():
        if value not in (None, (), False):
            flag = f"--{name.replace('_', '-')}"
            raise OptionError(
                f"{flag} has no effect beside --recipe, which says what is built; leave it out", code="no-effect"
            )


def make_again(
    location: str, source: "Source | None", root: "Place", engine: "Engine", force: bool, quiet: bool
) -> None:
    """Builds a manifest's set again, prints the differences, and ends with status 1 if pixels differ.

    Args:
        location: Location of the manifest, as in `manifest_at`.
        source: The images; None if none are given.
        root: The folder or URL of the set.
        engine: Decodes and encodes the sources.
        force: Build again, even if the set is there.
        quiet: Show no bars; differences go to standard error.
    """
    from qi_datasets.building.build import build_set
    from qi_datasets.building.copying import make_random_access, wanted_by_recipe
    from qi_datasets.building.plan import Recipe, plan_recipe
    from qi_datasets.storage.compare import compare
    from qi_datasets.storage.location import folder_name
    from qi_datasets.storage.published import manifest_at

    where, manifest = manifest_at(location)
    with make_random_access(source, lambda: wanted_by_recipe(manifest), not quiet) as readable:
        plan = plan_recipe(Recipe(where, manifest), readable, progress=not quiet)
        built = build_set(plan, root, engine=engine, force=force, progress=not quiet)
    for remark in built.remarks:
        click.echo(f"warning: {remark}", err=True)
    found = compare(built.manifest, manifest)
    for difference in found.differences:
        click.echo(str(difference), err=quiet)
    if not quiet:
        number = len(found.differences)
        click.echo(f"{built.folder}: {number or 'no'} difference{'' if number == 1 else 's'} from {where}")
        if found.decoders:
            click.echo(f"images: {plan.found_by_name} by name, {plan.found_by_content} by content; {found.decoders}")
        click.echo(f"{folder_name(built.folder)}: {built.manifest.knowledge}")
    if not found.same_pixels:
        raise click.exceptions.Exit(DIFFERENT)
