"""`qi-publish`: publishes sets as data sets of the Hub, entries as results of their models, a board as a Space."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qi_datasets.commands.console import check_effect, command, say, table

if TYPE_CHECKING:
    from qi_datasets.publishing.proposal import Proposal, Sent
    from qi_datasets.publishing.publication import Publication
    from qi_datasets.publishing.publish import PublishedResult

MEGABYTE = 1e6
UNCHECKED = 3
"""Exit status if something could not be checked."""

PATH = click.Path(path_type=Path)

COMMON = {"timeout", "dry_run", "yes", "quiet"}
MODES = {
    "entry": {"model_id", "dataset_id", "results", "direct", *COMMON},
    "site": {"repo_id", *COMMON},
    "lists": {"out", "repo_id", "names", *COMMON},
    "sets": {"out", "repo_id", "names", "private", "gated", "recipe_only", "revision", "tag", *COMMON},
}
"""Kinds of publication, mapped to the options that have an effect on it."""

LISTS = "subset"
WITH = {"sets": "for sets", "lists": f"with --set {LISTS}"}

EPILOG = """
\b
One set goes to ORG/NAME, several go to ORG/NAME-SET each: a repository has one licence, one visibility, one gate.
Sets of ImageNet's pixels are private, and you let each person in, unless --public --gated says otherwise; they are
never public without a gate. A recipe holds no pixels and is public.

\b
The data version is a tag. Other pixels under a version that is published are refused; another card goes to main,
and the tag stays where it is. Log in first: hf auth login.

\b
An entry of qi-eval goes to the Hub's benchmarks, and into a repository of entries, as pull requests:
  qi-publish --entry FOLDER --model-id ORG/MODEL --dataset-id ORG/NAME --results ORG/RESULTS
A board that qi-leaderboard --space wrote becomes a Space:
  qi-publish --site SITE --repo-id ORG/SPACE

\b
Exit status: 0 published, or nothing to do; 1 a set fails a check; 2 wrong usage or input, or the Hub refuses;
3 --dry-run without the Hub, which shows what is here.
"""


@command(EPILOG)
@click.argument("out", required=False)
@click.option("--repo-id", metavar="ORG/NAME", help="The repository.")
@click.option("--set", "names", metavar="NAME", multiple=True, help="Publish this set only; repeatable [default: all].")
@click.option("--private/--public", "private", default=None, help="Who may see it [default: as the set's terms allow].")
@click.option(
    "--gated", type=click.Choice(["auto", "manual"]), help="Accept all who agree to the terms, or each by hand."
)
@click.option("--recipe-only", is_flag=True, help="Only card and manifest: others with the images build the set.")
@click.option("--revision", metavar="BRANCH", default="main", show_default=True, help="The branch to publish to.")
@click.option("--tag", metavar="TAG", help="A further tag of your own, besides the data version.")
@click.option("--entry", metavar="FOLDER", type=PATH, help="Send an entry, instead of publishing sets.")
@click.option("--model-id", metavar="ORG/MODEL", help="The model that gets the results [default: the entry's].")
@click.option("--dataset-id", metavar="ORG/NAME", help="The benchmark: the set on the Hub that it was evaluated on.")
@click.option("--results", metavar="ORG/RESULTS", help="The repository of entries that gets this one.")
@click.option("--direct", is_flag=True, help="Commit to main, instead of opening pull requests.")
@click.option("--site", metavar="SITE", type=PATH, help="Publish a board in the Space --repo-id.")
@click.option("--timeout", metavar="SECONDS", type=float, help="Time to wait for an answer of the Hub [default: 60].")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; nothing is written.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--quiet", is_flag=True, help="No progress bars, no tables; needs --yes or --dry-run.")
def main(
    out: str | None,
    repo_id: str | None,
    names: tuple[str, ...],
    private: bool | None,
    gated: str | None,
    recipe_only: bool,
    revision: str,
    tag: str | None,
    entry: Path | None,
    model_id: str | None,
    dataset_id: str | None,
    results: str | None,
    direct: bool,
    site: Path | None,
    timeout: float | None,
    dry_run: bool,
    yes: bool,
    quiet: bool,
) -> None:
    """Publish the sets in OUT, default $QI_DATASETS_HOME or the cache, after checking them; or an entry, or a board."""
    lists = names == (LISTS,)
    check_usage("entry" if entry else "site" if site else "lists" if lists else "sets")
    if LISTS in names and not lists:
        raise click.UsageError(f"--set {LISTS} is lists of names, which are published alone.")
    if quiet and not (yes or dry_run):
        raise click.UsageError("--quiet needs --yes or --dry-run.")
    if recipe_only and private is None and gated is not None:
        raise click.UsageError("--recipe-only publishes no pixels, so --gated has no use.")

    from qi_datasets.storage.hub import SILENCE

    silence = SILENCE if timeout is None else timeout

    def agreed_to(proposals: Sequence["Proposal"]) -> bool:
        if not quiet:
            show_proposals(proposals)
        return all(one.is_done for one in proposals) or yes or click.confirm("Send?", abort=True)

    if entry is not None:
        from qi_datasets.publishing.entry import publish_entry

        sent = publish_entry(
            entry, model_id=model_id, dataset_id=dataset_id, results=results, direct=direct,
            dry_run=dry_run, confirm=agreed_to, timeout=silence, progress=not quiet,
        )  # fmt: skip
        show_sent(sent, dry_run=dry_run, quiet=quiet)
        return
    if site is not None:
        from qi_datasets.publishing.site import publish_site

        put = publish_site(
            site, str(repo_id), dry_run=dry_run, confirm=agreed_to, timeout=silence, progress=not quiet
        )  # fmt: skip
        show_sent([put], dry_run=dry_run, quiet=quiet)
        return

    if lists:
        from qi_datasets.publishing.lists import publish_subset

        put = publish_subset(
            out, str(repo_id), dry_run=dry_run, confirm=agreed_to, timeout=silence, progress=not quiet
        )  # fmt: skip
        show_sent([put], dry_run=dry_run, quiet=quiet)
        return

    from qi_datasets.publishing.publish import publish

    def agreed(publications: Sequence["Publication"]) -> bool:
        if not quiet:
            show(publications)
        if all(publication.is_done for publication in publications) or yes:
            return True
        click.confirm("Publish?", abort=True)
        return True

    done = publish(
        out,
        str(repo_id),
        names or None,
        private=private,
        gated=gated,
        recipe_only=recipe_only,
        revision=revision,
        tag=tag,
        dry_run=dry_run,
        confirm=agreed,
        timeout=silence,
        progress=not quiet,
    )
    if dry_run:
        if not quiet:
            show([one.publication for one in done])
        end_dry_run([one.publication.remote.unseen for one in done], quiet=quiet)
        return
    for one in done:
        report(one)


def check_usage(mode: str) -> None:
    """Raises click's error for options that have no effect on the publication, and for a missing repository.

    Args:
        mode: A key of `MODES`.
    """
    check_effect({mode, *MODES[mode]}, WITH.get(mode, f"with --{mode}"))
    if mode != "entry" and click.get_current_context().params["repo_id"] is None:
        raise click.UsageError("Missing option '--repo-id'.")


def end_dry_run(unseen: Sequence[str], *, quiet: bool) -> None:
    """Says that nothing was written; ends with exit status 3 if the Hub could not be asked.

    Args:
        unseen: The reason for each repository, "" for one that was asked.
        quiet: Don't say that nothing was written.
    """
    if not quiet:
        click.echo("nothing was written (--dry-run)")
    if reason := next(filter(None, unseen), ""):
        say(f"what is there already could not be looked up: {reason}", err=True)
        raise click.exceptions.Exit(UNCHECKED)


def show_proposals(proposals: Sequence["Proposal"]) -> None:
    """Prints what will be sent, and where."""
    for one in proposals:
        kind = "commit to main" if one.direct else "pull request"
        state = "nothing to do" if one.is_done else f"{kind}: {one.title}"
        click.echo(f"{one.place.page}{'' if one.head or one.unseen else ' (new)'}: {state}")
        rows = [[path, f"{one.files[path].bytes / MEGABYTE:.3f}", "write"] for path in one.add]
        rows += [[path, "", "delete"] for path in one.delete]
        if rows and not one.is_done:
            listed = table(["file", "MB", ""], rows, right=frozenset({"MB"}))
            click.echo("\n".join(f"  {line}" for line in listed.splitlines()))


def show_sent(sent: Sequence["Sent"], *, dry_run: bool, quiet: bool) -> None:
    """Prints what was sent, and its address. dry_run: nothing was sent; the plan is printed instead."""
    if dry_run:
        if not quiet:
            show_proposals([one.proposal for one in sent])
        end_dry_run([one.proposal.unseen for one in sent], quiet=quiet)
        return
    for one in sent:
        if one.changed:
            click.echo(f"{one.proposal.title}: {one.address}")
        else:
            where = "is proposed already" if one.proposal.number else "is there already"
            click.echo(f"{one.proposal.title}: nothing to do, it {where}: {one.address}")


def show(publications: Sequence["Publication"]) -> None:
    """Prints the planned changes of each repository."""
    for one in publications:
        is_new = " (new)" if one.remote.access is None and not one.remote.unseen else ""
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
        there = "" if one.remote.unseen else f"; {same} are there already"
        click.echo(f"  {len(one.add)} files to write, {one.bytes / MEGABYTE:.2f} MB{there}")
        for tag in one.tags:
            click.echo(f"  tag {tag}")
        for note in one.notes:
            click.echo(f"  note: {note}")


def report(done: "PublishedResult") -> None:
    """Prints what was done, and the line of code that loads the set."""
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
