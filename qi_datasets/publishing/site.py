"""`publish_site`: publishes a board as a static Space of the Hub."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from huggingface_hub import HfApi, is_offline_mode

from qi_datasets.errors import HubError, NotOnHubError, OptionError, PublishError
from qi_datasets.leaderboard.site import CARD, DOWNLOADS, PAGE, is_site_file
from qi_datasets.publishing.content import LocalFile, local_file
from qi_datasets.publishing.proposal import Proposal, Sent, plan_proposal, send
from qi_datasets.publishing.remote_state import reason_unseen, refs_of
from qi_datasets.storage.hub import MAIN, SILENCE, HubPlace, ask_hub, connection
from qi_datasets.storage.published import LIBRARY

TITLE = "The leaderboard"


def publish_site(
    site: str | Path,
    repo_id: str,
    *,
    dry_run: bool = False,
    confirm: Callable[[Sequence[Proposal]], bool] | None = None,
    timeout: float = SILENCE,
    progress: bool = False,
) -> Sent:
    """Publishes a board in a Space, which is made if it is missing; other files in it stay.

    Args:
        site: The folder that `qi-leaderboard --space` wrote.
        repo_id: "ORG/SPACE".
        dry_run: Only read, and return the plan; without the Hub it has all files.
        confirm: Called with the plan before anything is written; False ends it.
        timeout: Seconds to wait for an answer of the Hub.
        progress: Show bars on a terminal.

    Raises:
        OptionError: If the folder is not such a site. PublishError: If the Space has other content.
        HubError: If the Hub refuses.
    """
    place = HubPlace(repo_id, MAIN, "space")
    if is_offline_mode():
        reason_unseen(place, dry_run=dry_run)
    files = files_of(Path(site).expanduser().absolute())
    with connection(timeout):
        unseen = reason_unseen(place, dry_run=dry_run)

        def plan() -> Proposal:
            if unseen:
                return plan_proposal(place, files, TITLE, direct=True, unseen=unseen)
            return plan_own(place, files, TITLE, is_site_file, PAGE)

        return carry_out_plan(plan, dry_run=dry_run, confirm=confirm, progress=progress)


def files_of(site: Path) -> dict[str, LocalFile]:
    """Returns the files of a site by their paths. Raises OptionError for another folder."""
    for name in (PAGE, CARD):
        if not (site / name).is_file():
            raise OptionError(f"{site} has no {name}; write the site with qi-leaderboard ENTRIES --output SITE --space")
    paths = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    paths = {name: path for name, path in paths.items() if is_site_file(name) and not path.is_symlink()}
    if not any(name.startswith(f"{DOWNLOADS}/") for name in paths):
        raise OptionError(f"{site} has no {DOWNLOADS}, and links to files of this machine; write it without --link")
    return {name: local_file(path.read_bytes()) for name, path in sorted(paths.items())}


def plan_own(
    place: HubPlace, files: Mapping[str, LocalFile], title: str, belongs: Callable[[str], bool], mark: str
) -> Proposal:
    """Plans the changes to a repository of these files alone; other files in it stay.

    Args:
        place: The repository, which need not exist.
        files: Its files, by path.
        title: Title of the commit.
        belongs: Returns whether a path is one of such a repository's files.
        mark: The path of a file that identifies such a repository.

    Raises:
        PublishError: If the repository has other content.
    """
    try:
        proposal = plan_proposal(place, files, title, direct=True, belongs=belongs)
    except NotOnHubError:
        return Proposal(place, title, files, tuple(files), (), direct=True, head="")
    strange = sorted(path for path in proposal.there if not (belongs(path) or path.startswith(".")))
    # A new Space has a page of its own, with a style.
    if strange and mark not in proposal.there:
        kind = "Space" if place.repo_type == "space" else "repository"
        raise PublishError(
            f"{place.repo_id} holds other files, such as {strange[0]}; choose another {kind}", code="repository-in-use"
        )
    return proposal


def carry_out_plan(
    plan: Callable[[], Proposal],
    *,
    dry_run: bool,
    confirm: Callable[[Sequence[Proposal]], bool] | None,
    progress: bool,
) -> Sent:
    """Sends the files of a plan to its repository, which is made if it is missing.

    Args:
        plan: Makes the plan; called again once the repository is made.
        dry_run: Send nothing.
        confirm: Called with the plan before anything is written; False ends it.
        progress: Show bars on a terminal.
    """
    proposal = plan()
    if dry_run or not (confirm is None or confirm([proposal])):
        return Sent(proposal, proposal.address, changed=False)
    if not proposal.head:
        make_repository(proposal.place)
        proposal = plan()
    return send(proposal, progress=progress)


def make_repository(place: HubPlace) -> None:
    """Makes a public repository; a Space is static. A repository that somebody else made in between is used."""

    def made() -> bool | None:
        with suppress(HubError):
            return bool(refs_of(place)[0]) or None
        return None

    def make() -> bool:
        HfApi(library_name=LIBRARY).create_repo(
            place.repo_id, repo_type=place.repo_type, space_sdk="static" if place.repo_type == "space" else None
        )
        return True

    ask_hub(make, place, done=made)
