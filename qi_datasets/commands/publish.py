"""`qi-publish`: sets become data sets of the Hub."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import command, table

if TYPE_CHECKING:
    from qi_datasets.publishing.plan import Publication
    from qi_datasets.publishing.publish import Published

MEGABYTE = 1e6

EPILOG = """
\b
One set goes to ORG/NAME, several go to ORG/NAME-SET each: a repository has one licence, one visibility, one gate.
Sets of ImageNet's pixels are private, and you let each person in, unless --public --gated says otherwise; they are
never public without a gate. A recipe holds no pixels and is public.

\b
The data version is a tag. Other pixels under a version that is published are refused; another card goes to main,
and the tag stays where it is. Log in first: hf auth login.

\b
Exit status: 0 published, or nothing to do; 1 a set fails a check; 2 wrong usage or input, or the Hub refuses.
"""


@command(EPILOG)
@click.argument("out", required=False)
@click.option("--repo-id", metavar="ORG/NAME", required=True, help="The repository.")
@click.option("--set", "names", metavar="NAME", multiple=True, help="Publish this set only; repeatable [default: all].")
@click.option("--private/--public", "private", default=None, help="Who sees it [default: as the set's terms allow].")
@click.option("--gated", type=click.Choice(["auto", "manual"]), help="Let in who agrees to the terms, or each by hand.")
@click.option("--recipe-only", is_flag=True, help="Card and manifest alone: others who have the images make the set.")
@click.option("--revision", metavar="BRANCH", default="main", show_default=True, help="The branch to publish to.")
@click.option("--tag", metavar="TAG", help="A further tag of your own, beside the data version's.")
@click.option("--timeout", metavar="SECONDS", type=float, help="How long the Hub may be silent [default: 60].")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; nothing is written.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--quiet", is_flag=True, help="No progress bars, no tables; needs --yes or --dry-run.")
def main(
    out: str | None,
    repo_id: str,
    names: tuple[str, ...],
    private: bool | None,
    gated: str | None,
    recipe_only: bool,
    revision: str,
    tag: str | None,
    timeout: float | None,
    dry_run: bool,
    yes: bool,
    quiet: bool,
) -> None:
    """Publish the sets in OUT, default $QI_DATASETS_HOME or the cache, after checking them."""
    if quiet and not (yes or dry_run):
        raise click.UsageError("--quiet needs --yes or --dry-run.")
    if recipe_only and private is None and gated is not None:
        raise click.UsageError("--recipe-only publishes no pixels, so --gated has no use.")

    from qi_datasets.publishing.publish import publish
    from qi_datasets.storage.hub import SILENCE

    def agreed(publications: Sequence["Publication"]) -> bool:
        if not quiet:
            show(publications)
        if all(publication.is_done for publication in publications) or yes:
            return True
        click.confirm("Publish?", abort=True)
        return True

    done = publish(
        out,
        repo_id,
        names or None,
        private=private,
        gated=gated,
        recipe_only=recipe_only,
        revision=revision,
        tag=tag,
        dry_run=dry_run,
        confirm=agreed,
        timeout=SILENCE if timeout is None else timeout,
        progress=not quiet,
    )
    if dry_run:
        if not quiet:
            show([one.publication for one in done])
            click.echo("nothing was written (--dry-run)")
        return
    for one in done:
        report(one)


def show(publications: Sequence["Publication"]) -> None:
    """What is to be done to each repository."""
    for one in publications:
        is_new = " (new)" if one.remote.access is None else ""
        licence = one.content.manifest.licence(one.content.spec)
        recipe = one.content.manifest.recipe
        terms = "mit" if recipe else licence.name or licence.id
        click.echo(f"{one.content.spec.name} -> {one.place.page}{is_new}, branch {one.place.revision}")
        click.echo(f"  {one.access}; licence {terms}; {'recipe, no pixels' if recipe else 'with its pixels'}")
        rows = [[path, f"{one.content.files[path].bytes / MEGABYTE:.2f}", "write"] for path in one.add]
        rows += [[path, "", "delete"] for path in one.delete] + [[path, "", "leave alone"] for path in one.left]
        if rows:
            listed = table(["file", "MB", ""], rows, right=frozenset({"MB"}))
            click.echo("\n".join(f"  {line}" for line in listed.splitlines()))
        same = len(one.content.files) - len(one.add)
        click.echo(f"  {len(one.add)} files to write, {one.bytes / MEGABYTE:.2f} MB; {same} are there already")
        for tag in one.tags:
            click.echo(f"  tag {tag}")
        for note in one.notes:
            click.echo(f"  note: {note}")


def report(done: "Published") -> None:
    """What was done, and the line that loads it."""
    name, place = done.publication.content.spec.name, done.publication.place
    if done.changed:
        tags = f", tag {', '.join(done.tags)}" if done.tags else ""
        click.echo(f"{name}: published as {place.page}, {place.revision} is {done.commit}{tags}")
    else:
        click.echo(f"{name}: nothing to do, {place.page} has it all; {place.revision} is {done.commit}")
    for note in done.notes:
        click.echo(f"note: {note}")
    click.echo(f"{'make' if done.publication.content.manifest.recipe else 'load'} it with: {done.line}")


if __name__ == "__main__":
    main()
