"""Sends files to a repository, of others or of one's own, as a pull request or as a commit; never twice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from qi_datasets.errors import HubError
from qi_datasets.publishing.content import LocalFile
from qi_datasets.publishing.remote_state import refs_of, same
from qi_datasets.publishing.upload import Operation, bars
from qi_datasets.storage.hub import MAIN, HubPlace, ask_hub
from qi_datasets.storage.published import LIBRARY, open_requests, tree

_LOOKED_AT = 100
"""Number of open pull requests with the title that are compared with the files to send."""


@dataclass(frozen=True)
class Proposal:
    """The planned changes of one repository.

    Attributes:
        place: The repository, at main.
        title: Title of the commit and of the pull request.
        files: All files that must be there, by path.
        add, delete: Paths to write, and paths to delete.
        direct: Whether to commit to main.
        head: The commit of main; "" if the repository is still to be made.
        there: Paths that main has.
        number: Number of the open pull request that has all files already; None without one.
        unseen: Why the Hub was not asked, in a plan without it; "" if it was asked.
    """

    place: HubPlace
    title: str
    files: Mapping[str, LocalFile]
    add: tuple[str, ...]
    delete: tuple[str, ...]
    direct: bool
    head: str
    there: frozenset[str] = frozenset()
    number: int | None = None
    unseen: str = ""

    @property
    def is_done(self) -> bool:
        """True if nothing has to be changed or proposed."""
        return self.number is not None or not (self.add or self.delete)

    @property
    def address(self) -> str:
        """The address of the pull request, or of the repository."""
        return self.place.page if self.number is None else f"{self.place.page}/discussions/{self.number}"


@dataclass(frozen=True)
class Sent:
    """The result of a proposal. address: that of the pull request or repository. changed: whether it was sent now."""

    proposal: Proposal
    address: str
    changed: bool


def plan_proposal(
    place: HubPlace,
    files: Mapping[str, LocalFile],
    title: str,
    *,
    direct: bool,
    belongs: Callable[[str], bool] = lambda path: False,
    unseen: str = "",
) -> Proposal:
    """Compares files with those of a repository; only reads.

    Args:
        place: The repository, at main.
        files: All files that must be there, by path.
        title: Title of the commit and of the pull request.
        direct: Whether to commit to main.
        belongs: Says whether a path in the repository is deleted if it is none of the files.
        unseen: Why the Hub can't be asked; then the plan adds all files.

    Raises:
        HubError: If the Hub refuses, or there is no such repository.
    """
    if unseen:
        return Proposal(place, title, files, tuple(files), (), direct, "", unseen=unseen)
    head = refs_of(place)[0].get(MAIN, "")
    there = {entry.path: entry for entry in tree(HubPlace(place.repo_id, head or MAIN, place.repo_type))}
    add = tuple(path for path, file in files.items() if path not in there or not same(there[path], file))
    delete = tuple(path for path in there if path not in files and belongs(path))
    number = None if direct or not add else find_open_request(place, title, {path: files[path] for path in add})
    return Proposal(place, title, files, add, delete, direct, head, frozenset(there), number)


def find_open_request(place: HubPlace, title: str, files: Mapping[str, LocalFile]) -> int | None:
    """Returns the number of the open pull request of this title with these files; None without one."""
    for request in [one for one in open_requests(place) if one.title == title][:_LOOKED_AT]:
        at_request = HubPlace(place.repo_id, f"refs/pr/{request.num}", place.repo_type)
        there = {entry.path: entry for entry in tree(at_request)}
        if all(path in there and same(there[path], file) for path, file in files.items()):
            return int(request.num)
    return None


def send(proposal: Proposal, *, progress: bool = False) -> Sent:
    """Carries out the plan; after a lost answer, looks whether the request took effect before it is repeated.

    Raises:
        HubError: If the Hub refuses, or main has moved; nothing was changed then.
    """
    if proposal.is_done:
        return Sent(proposal, proposal.address, changed=False)
    place, files = proposal.place, proposal.files

    def made() -> str | None:
        if not proposal.direct:
            number = find_open_request(place, proposal.title, {path: files[path] for path in proposal.add})
            return None if number is None else f"{place.page}/discussions/{number}"
        head = refs_of(place)[0].get(MAIN, "")
        if head == proposal.head:
            return None
        there = {entry.path: entry for entry in tree(HubPlace(place.repo_id, head, place.repo_type))}
        whole = all(path in there and same(there[path], files[path]) for path in proposal.add)
        if not whole or there.keys() & set(proposal.delete):
            raise HubError(f"{place.repo_id}: {MAIN} has moved in between, and was not changed; run again")
        return place.page

    def make() -> str:
        operations: list[Operation] = [CommitOperationAdd(path, files[path].data) for path in proposal.add]
        operations += [CommitOperationDelete(path) for path in proposal.delete]
        done = HfApi(library_name=LIBRARY).create_commit(
            place.repo_id,
            operations,
            commit_message=proposal.title,
            repo_type=place.repo_type,
            create_pr=not proposal.direct,
            parent_commit=proposal.head or None,
        )
        return place.page if proposal.direct else str(done.pr_url)

    with bars(progress):
        return Sent(proposal, ask_hub(make, place, done=made), changed=True)
