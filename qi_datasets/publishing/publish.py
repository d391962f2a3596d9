"""`publish`: publishes checked sets on the Hub, each as one commit, without losing anything there."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import is_offline_mode

from qi_datasets.errors import FailedCheckError, NamedArgument, OptionError
from qi_datasets.publishing.content import content_of
from qi_datasets.publishing.publication import Publication, plan_publication
from qi_datasets.publishing.remote_state import Remote, reason_unseen, remote_at
from qi_datasets.publishing.upload import carry_out
from qi_datasets.renamed import give_renamed
from qi_datasets.storage.hub import MAIN, SILENCE, HubPlace, connection
from qi_datasets.storage.location import folder_name, sets_root
from qi_datasets.verification.report.report import Status
from qi_datasets.verification.verify import INTEGRITY, sets_at, verify


@dataclass(frozen=True)
class PublishedResult:
    """The result of publishing one set.

    Attributes:
        commit: The branch's current commit, "" in a dry run.
        tags: Tags that were made.
        notes: Files that were left out.
    """

    publication: Publication
    commit: str
    tags: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """True if anything was changed on the Hub."""
        return bool(self.commit) and not self.publication.is_done

    @property
    def line(self) -> str:
        """The line of code that loads the set, or builds it again, for whoever may read it."""
        place = HubPlace(self.publication.place.repo_id, self.publication.revision)
        spec, manifest = self.publication.content.spec, self.publication.content.manifest
        if manifest.recipe:
            images = "--demo " if manifest.demo else "--imagenet-val PATH " if spec.needs_images else ""
            return f"qi-build {images}--recipe {place}"
        border = f", border={spec.borders[len(spec.borders) // 2]}" if spec.borders else ""
        return f'load_dataset("{spec.name}"{border}, repo_id="{place.repo_id}", revision="{place.revision}")'


def publish(
    output: str | Path | None,
    repo_id: str,
    sets: str | Iterable[str] | None = None,
    *,
    private: bool | None = None,
    gated: str | None = None,
    recipe_only: bool = False,
    revision: str = MAIN,
    tag: str | None = None,
    dry_run: bool = False,
    confirm: Callable[[Sequence[Publication]], bool] | None = None,
    timeout: float = SILENCE,
    progress: bool = False,
) -> tuple[PublishedResult, ...]:
    """Publishes sets as data sets of the Hub, safely by default, and checks them first.

    A repository holds one set, since it has one licence, one visibility and one gate, and since stock tools load
    `ORG/NAME` with the set's own configs: a single set goes to `repo_id`, several go to `repo_id-SET` each.

    Args:
        output: The folder that `qi-build` wrote, or one set's; default `$QI_DATASETS_HOME` or the platform's
            cache.
        repo_id: "ORG/NAME".
        sets: Folder names, e.g. "qi"; default every built set of official size.
        private: True or False; default public for files that anybody may publish, else private. Pixels that only
            people who agreed to their terms may have are never public without a gate.
        gated: "auto" (everybody who agrees to the terms) or "manual" (you accept each request); default none for files
            that anybody may publish, else "manual".
        recipe_only: Publish only card and manifest, from which others with the images build the same set.
        revision: The branch to publish to.
        tag: A further tag of your own, beside that of the data version; with it, other data may go to the
            branch.
        dry_run: Only read, and return the plan; without the Hub, that for a new repository.
        confirm: Called with the plan before anything is written; False ends it.
        timeout: Seconds to wait for an answer of the Hub.
        progress: Show bars on a terminal.

    Raises:
        FailedCheckError: If a set fails an integrity check.
        PublishError: If terms or earlier versions forbid it.
        HubError: If the Hub refuses.
        OptionError: If an argument is wrong. After any of these, main and tags are unchanged.
    """
    if is_offline_mode():
        reason_unseen(HubPlace(repo_id, revision), dry_run=dry_run)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise OptionError(
            NamedArgument("timeout"), f" must be a number of seconds above 0, not {timeout!r}", code="bad-value"
        )
    target = HubPlace(repo_id, revision)
    root = sets_root(output)
    if not isinstance(root, Path):
        raise OptionError(f"sets are published from a folder of this machine, not from {root}", code="bad-place")
    names = None if sets is None else [sets] if isinstance(sets, str) else list(dict.fromkeys(sets))
    if names == []:
        raise OptionError("sets is empty; leave it out to publish all sets", code="nothing-asked")
    with sets_at(root, names) as (_, folders, _):
        places = {Path(folder): target for folder in folders}
    if len(places) > 1:
        places = {folder: HubPlace(f"{repo_id}-{folder_name(folder)}", revision) for folder in places}
    check(root, names, progress)
    with connection(timeout):
        unseen = reason_unseen(target, dry_run=dry_run)
        publications = [
            plan_publication(
                content_of(folder, place, recipe_only=recipe_only, tag=tag),
                Remote(place, unseen=unseen) if unseen else remote_at(place),
                private=private,
                gated=gated,
                tag=tag,
            )
            for folder, place in places.items()
        ]
        if dry_run or not (confirm is None or confirm(publications)):
            return tuple(PublishedResult(publication, "", ()) for publication in publications)
        done = []
        for publication in publications:
            made = carry_out(publication, progress=progress)
            done.append(PublishedResult(publication, made.commit, publication.tags, made.notes))
        return tuple(done)


def check(root: Path, names: Sequence[str] | None, progress: bool) -> None:
    """Raises FailedCheckError unless the sets pass every integrity check."""
    failed = verify(root, names, only=INTEGRITY, progress=progress).having(Status.FAIL)
    if failed:
        causes = "; ".join(f"{one.set}, {one.name}: {one.cause}" for one in failed)
        raise FailedCheckError(f"nothing was published: {causes}; build the set again")


__getattr__ = give_renamed(__name__, {"Published": "PublishedResult"})
