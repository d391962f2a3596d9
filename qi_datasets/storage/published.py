"""A set on the Hub: its manifest at one commit, and its files, each fetched once and checked."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import (
    HfApi,
    cached_assets_path,
    get_session,
    hf_hub_download,
    hf_hub_url,
    hf_raise_for_status,
    is_offline_mode,
)
from huggingface_hub.community import Discussion
from huggingface_hub.hf_api import RepoFile

from qi_datasets.errors import HubError, StoredSetError
from qi_datasets.registry import look_up_spec
from qi_datasets.storage.hub import SILENCE, HubPlace, ask_hub, connection
from qi_datasets.storage.location import Place, place_of, set_name
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.parquet import file_record
from qi_datasets.storage.scratch import scratch_folder

LIBRARY = "qi-datasets"
COMMIT_HEADER = "X-Repo-Commit"
COMMIT_LENGTH = 40


@dataclass(frozen=True)
class PublishedSet:
    """A set on the Hub. place: the requested address. commit: the commit of its revision at that time."""

    place: HubPlace
    commit: str
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Returns the local copy of a file, fetched if needed. Raises StoredSetError if it is not the manifest's."""
        place = HubPlace(self.place.repo_id, self.commit)
        wanted = self.manifest.files[name]
        path = fetch_file(place, name)
        found = file_record(path)
        if found != wanted and not is_offline_mode():
            # Perhaps only the copy in this machine's cache is damaged.
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            path = fetch_file(place, name)
            found = file_record(path)
        if found == wanted:
            return path
        raise StoredSetError(
            f"{self.place}: {name} has the SHA-256 {found.sha256[:12]}..., its manifest says {wanted.sha256[:12]}...; "
            "the served file is damaged; tell its owners"
        )


def published_set(place: HubPlace) -> PublishedSet:
    """Returns the set at an address of the Hub, at the current commit of its revision.

    This takes one request, which also shows whether the caller may read the files; the manifest of a commit is cached.
    With HF_HUB_OFFLINE, it is the commit of the last request.

    Raises:
        HubError: The Hub can't be reached, or refuses.
        NotOnHubError: It is not there.
        StoredSetError: It is not as its manifest says.
    """
    if is_offline_mode():
        commit = last_commit(place)
    else:
        commit = ask_hub(lambda: newest_commit(place), place)
        revision_file(place).write_text(commit, encoding="utf-8")
    return PublishedSet(place, commit, Manifest.read(commit_folder(place, commit) / MANIFEST))


def newest_commit(place: HubPlace) -> str:
    """Returns the commit that an address names, and caches its manifest. A download that is not needed is cancelled."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(place.repo_id, MANIFEST, repo_type="dataset", revision=place.revision)
    headers = build_hf_headers(library_name=LIBRARY)
    with get_session().stream("GET", url, headers=headers, timeout=SILENCE, follow_redirects=True) as response:
        hf_raise_for_status(response)
        commits = [answer.headers.get(COMMIT_HEADER, "") for answer in (*response.history, response)]
        commit = next(filter(None, commits), "")
        if not commit:
            raise HubError(f"the server of {place.page} is not a Hub; check HF_ENDPOINT", code="hub-unreachable")
        path = commit_folder(place, commit) / MANIFEST
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(response.read())
            Path(file.name).replace(path)
        return commit


def last_commit(place: HubPlace) -> str:
    """Returns the commit of the revision at the last request. Raises HubError if there never was one."""
    commit = place.revision if len(place.revision) == COMMIT_LENGTH else ""
    if revision_file(place).exists():
        commit = revision_file(place).read_text(encoding="utf-8")
    if not commit or not (commit_folder(place, commit) / MANIFEST).exists():
        raise HubError(
            f"{place} was never loaded on this machine, and HF_HUB_OFFLINE is set; unset it", code="hub-unreachable"
        )
    return commit


def commit_folder(place: HubPlace, commit: str) -> Path:
    """Returns the local cache folder of a commit."""
    return Path(cached_assets_path(LIBRARY, namespace=place.repo_id.replace("/", "--"), subfolder=commit))


def revision_file(place: HubPlace) -> Path:
    """Returns the local file that records the commit of a revision."""
    return commit_folder(place, "revisions") / quote(place.revision, safe="")


def fetch_file(place: HubPlace, name: str) -> Path:
    """Returns a file of a commit, in the Hub's cache on this machine."""
    return Path(
        ask_hub(
            lambda: hf_hub_download(
                place.repo_id,
                name,
                repo_type=place.repo_type,
                revision=place.revision,
                etag_timeout=SILENCE,
                library_name=LIBRARY,
            ),
            place,
            again=False,
        )
    )


@contextmanager
def whole_copy(place: HubPlace) -> Iterator[Path]:
    """Yields a local folder, named after the set, with all files at an address of the Hub.

    Files are not checked here. The folder vanishes when the block ends; its files
    are fetched once, and stay in the Hub's cache.

    Raises:
        HubError: The Hub can't be reached, or refuses.
        StoredSetError: It is not as its manifest says.
    """
    with connection():
        found = published_set(place)
        at_commit = HubPlace(place.repo_id, found.commit)
        if is_offline_mode():
            names: Iterable[str] = (MANIFEST, *found.manifest.files)
        else:
            names = [entry.path for entry in tree(at_commit) if not entry.path.startswith(".")]
        home = commit_folder(place, found.commit)
        sources = {name: home / name if name == MANIFEST else fetch_file(at_commit, name) for name in names}
    with scratch_folder() as folder:
        top = folder / set_name(look_up_spec(found.manifest.name), found.manifest.size)
        for name, source in sources.items():
            target = top / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.symlink_to(source)
            except OSError:
                shutil.copyfile(source, target)
        yield top


def tree(place: HubPlace) -> list[RepoFile]:
    """Lists all files at an address of the Hub."""
    listed = ask_hub(
        lambda: list(
            HfApi().list_repo_tree(place.repo_id, recursive=True, revision=place.revision, repo_type=place.repo_type)
        ),
        place,
    )
    return [entry for entry in listed if isinstance(entry, RepoFile)]


def open_requests(place: HubPlace) -> list[Discussion]:
    """Returns the open pull requests of a repository, the newest first."""
    return ask_hub(
        lambda: list(
            HfApi().get_repo_discussions(
                place.repo_id, repo_type=place.repo_type, discussion_type="pull_request", discussion_status="open"
            )
        ),
        place,
    )


def manifest_at(location: str | Path) -> tuple[str, Manifest]:
    """Returns the manifest of a set, and the name of its location.

    Args:
        location: A set's folder, its manifest file or any copy of that, local or behind an fsspec URL; or
            `hf://datasets/ORG/NAME[@REVISION]`, which is named by its commit.

    Raises StoredSetError, HubError, OptionError.
    """
    place = HubPlace.parse(location)
    if place is not None:
        found = published_set(place)
        return str(HubPlace(place.repo_id, found.commit)), found.manifest
    where: Place = place_of(location)
    return str(where), Manifest.read(where)
