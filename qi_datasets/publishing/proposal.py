"""Files that are offered to a repository of others or of one's own: as a pull request, or as a commit; never twice."""

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
"""Open pull requests of one title that are compared with what is to be sent."""


@dataclass(frozen=True)
class Proposal:
    """The planned changes of one repository.

    Attributes:
        place: The repository, at main.
        title: Of the commit, and of the pull request.
        files: All that must be there, by path.
        add, delete: Paths that are written, and that go.
        direct: Whether main itself is changed.
        head: The commit that main is at; "" where the repository is still to be made.
        there: Paths that main has.
        number: Of the open pull request that has all of it already; None without one.
        unseen: Why the Hub was not asked, for a plan that shows what is here; "" where it was.
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
    """The result of a proposal. address: of the pull request or the repository. changed: whether it was sent now."""

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
        files: All that must be there, by path.
        title: Of the commit, and of the pull request.
        direct: Whether main itself shall change.
        belongs: Says of a path in the repository whether it goes if it is none of the files.
        unseen: Why the Hub can't be asked: then all files are to be added.

    Raises:
        HubError: Also for a repository that is not there.
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
    """Returns the number of the open pull request of a title that holds these files; None without one."""
    for request in [one for one in open_requests(place) if one.title == title][:_LOOKED_AT]:
        at_request = HubPlace(place.repo_id, f"refs/pr/{request.num}", place.repo_type)
        there = {entry.path: entry for entry in tree(at_request)}
        if all(path in there and same(there[path], file) for path, file in files.items()):
            return int(request.num)
    return None


def send(proposal: Proposal, *, progress: bool = False) -> Sent:
    """Does what is planned; a request whose answer is lost is looked for before it is made again.

    Raises:
        HubError: Where the Hub refuses, and where main has moved; then nothing was changed.
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
            raise HubError(f"{place.repo_id}: {MAIN} has moved meanwhile, and was left as it is; run again")
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
