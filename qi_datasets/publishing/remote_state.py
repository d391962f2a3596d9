"""Reads the state of a repository on the Hub, without changing it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from huggingface_hub import HfApi, is_offline_mode
from huggingface_hub.hf_api import RepoFile

from qi_datasets.errors import HubError, NotOnHubError, PublishError, StoredSetError
from qi_datasets.publishing.access import Access
from qi_datasets.publishing.content import LocalFile
from qi_datasets.storage.hub import MAIN, HubPlace, ask_hub
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.published import commit_folder, published_set, tree


@dataclass(frozen=True)
class Remote:
    """A repository.

    Attributes:
        place: Its address, with the branch to publish to.
        access: Its settings; None for a repository that is still to be made.
        branches, tags: Name -> commit.
        head: The commit that the next one follows: that of the branch, else of main; "" if that is still to be
            made.
        files: Its files, by path.
        manifest: The manifest of its set; None without one.
        unseen: Why the Hub was not asked, in a plan without it; "" if it was asked.
    """

    place: HubPlace
    access: Access | None = None
    branches: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    head: str = ""
    files: Mapping[str, RepoFile] = field(default_factory=dict)
    manifest: Manifest | None = None
    unseen: str = ""

    def has(self, path: str, file: LocalFile) -> bool:
        """Returns whether the branch has that file with that content."""
        return path in self.files and same(self.files[path], file)


def same(entry: RepoFile, file: LocalFile) -> bool:
    """Returns whether a listed file has a local file's content: by SHA-256 if it is large, else by git's hash."""
    if entry.size != file.bytes:
        return False
    return bool(entry.lfs.sha256 == file.sha256 if entry.lfs else entry.blob_id == file.git_sha1())


def reason_unseen(place: HubPlace, *, dry_run: bool) -> str:
    """Returns why the Hub can't be asked, for a dry run, which then shows the local state; "" if it can.

    Raises:
        HubError: With the same reason, if something is to be published.
    """
    try:
        if is_offline_mode():
            raise HubError("publishing needs the Hub, but HF_HUB_OFFLINE is set; unset it", code="hub-unreachable")
        ask_hub(HfApi().whoami, place)
    except HubError as error:
        if dry_run:
            return f"{error}"
        raise
    return ""


def remote_at(place: HubPlace) -> Remote:
    """Reads the repository at an address, whose revision is a branch.

    Raises:
        HubError: If the Hub can't be reached, or refuses.
    """
    try:
        access = access_of(place)
    except NotOnHubError:
        return Remote(place)
    branches, tags = refs_of(place)
    head = branches.get(place.revision) or branches[MAIN]
    files = {entry.path: entry for entry in tree(HubPlace(place.repo_id, head))}
    manifest = manifest_of(place.repo_id, head) if MANIFEST in files else None
    return Remote(place, access, branches, tags, head, files, manifest)


def access_of(place: HubPlace) -> Access:
    """Returns the settings of a repository. Raises NotOnHubError if it does not exist, or the caller may not see it."""
    info = ask_hub(lambda: HfApi().dataset_info(place.repo_id), place)
    return Access(bool(info.private), info.gated or False)


def refs_of(place: HubPlace) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the branches and tags of a repository, by name, with their commits."""
    refs = ask_hub(lambda: HfApi().list_repo_refs(place.repo_id, repo_type=place.repo_type), place)
    return {ref.name: ref.target_commit for ref in refs.branches}, {ref.name: ref.target_commit for ref in refs.tags}


def manifest_of(repo_id: str, commit: str) -> Manifest:
    """Returns the manifest at a commit.

    Raises:
        PublishError: If this package did not write it.
    """
    place = HubPlace(repo_id, commit)
    try:
        local = commit_folder(place, commit) / MANIFEST
        return Manifest.read(local) if local.exists() else published_set(place).manifest
    except StoredSetError as error:
        raise PublishError(
            f"{repo_id} holds a {MANIFEST} that is not of this package; choose another repository",
            code="repository-in-use",
        ) from error
