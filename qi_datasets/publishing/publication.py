"""Plans the changes on the Hub that publish a set, and checks them before the first request that writes."""

from collections.abc import Iterator
from dataclasses import dataclass

from qi_datasets.errors import NamedArgument, NotOnHubError, OptionError, PublishError, name_some
from qi_datasets.publishing.access import Access, access_for, settle_access
from qi_datasets.publishing.content import Content
from qi_datasets.publishing.remote_state import Remote, manifest_of, same
from qi_datasets.storage.compare import Difference, compare
from qi_datasets.storage.hub import MAIN, HubPlace
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.published import tree

_ENDING = ".parquet"

_HARMLESS = frozenset(("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt"))
"""Files that a repository may have before anything is published there, beside those that start with a dot."""


@dataclass(frozen=True)
class Publication:
    """The planned changes of one repository.

    Attributes:
        content: The published content.
        remote: The repository as it is.
        access: Its new settings, which are changed first if they differ from `remote.access`.
        add, delete: Paths to write, and paths to delete.
        left: Paths of other files, which stay.
        tags: Tags for the branch's new commit.
        revision: The revision to load it by.
        notes: Remarks for the user.
    """

    content: Content
    remote: Remote
    access: Access
    add: tuple[str, ...]
    delete: tuple[str, ...]
    left: tuple[str, ...]
    tags: tuple[str, ...]
    notes: tuple[str, ...]
    revision: str

    @property
    def place(self) -> HubPlace:
        """The repository, and the branch."""
        return self.remote.place

    @property
    def changes_settings(self) -> bool:
        """True if the repository is made, or its settings change."""
        return self.access != self.remote.access

    @property
    def changes_files(self) -> bool:
        """True if the branch changes."""
        return bool(self.add or self.delete) or self.place.revision not in self.remote.branches

    @property
    def is_done(self) -> bool:
        """True if nothing has to be changed."""
        return not (self.changes_settings or self.changes_files or self.tags)

    @property
    def bytes(self) -> int:
        """The size of the files to write, in bytes."""
        return sum(self.content.files[path].bytes for path in self.add)


def plan_publication(
    content: Content, remote: Remote, *, private: bool | None, gated: str | None, tag: str | None
) -> Publication:
    """Compares the content to publish with the repository.

    Args:
        content: The content to publish.
        remote: The repository as it is.
        private: As in `access_for`.
        gated: As in `access_for`.
        tag: A further tag of the user's own.

    Raises:
        PublishError: If this must not be published: the message says why.
        OptionError: If the settings are not possible: the message says why.
    """
    version = content.manifest.spec_version
    if tag == version:
        raise OptionError(
            NamedArgument("tag", f"{tag!r}"),
            " is the data version, which is tagged anyway; leave it out",
            code="no-effect",
        )
    access = _access(content, remote, private, gated)
    _check_what_is_there(content, remote)
    conflict = next(_other_data(content, remote), None)
    if conflict is not None and tag is None:
        raise PublishError(
            f"{remote.place.repo_id} has other data under version {version} ({conflict}): a changed pixel is a new "
            "data version; choose another repository, or name these data with a tag of your own",
            code="other-version",
        )
    ours = {path for path in remote.files if path == MANIFEST or path.endswith(_ENDING)}
    ours |= set(remote.manifest.files if remote.manifest else ())
    delete = [path for path in remote.files if path in ours and path not in content.files]
    left = [path for path in remote.files if path not in ours | set(content.files) and not path.startswith(".")]
    add = [path for path, file in content.files.items() if not remote.has(path, file)]
    tags = [version] if version not in remote.tags and remote.place.revision == MAIN and conflict is None else []
    notes = []
    if conflict is not None:
        notes.append(f"these are other data than those under version {version} ({conflict})")
    if version in remote.tags and (add or delete):
        notes.append(f"tag {version} stays where it is")
    if tag is not None and _is_free(tag, content, remote):
        tags.append(tag)
    named = version if conflict is None and remote.place.revision == MAIN else remote.place.revision
    return Publication(
        content, remote, access, tuple(add), tuple(delete), tuple(left), tuple(tags), tuple(notes), tag or named
    )


def _access(content: Content, remote: Remote, private: bool | None, gated: str | None) -> Access:
    try:
        wanted = access_for(free=content.free, private=private, gated=gated)
        if remote.access is None:
            return wanted
        return settle_access(wanted, remote.access, free=content.free, private=private, gated=gated)
    except OptionError as error:
        raise OptionError(f"{content.spec.name} to {remote.place.repo_id}: ", error, code=error.code) from error


def _check_what_is_there(content: Content, remote: Remote) -> None:
    """Raises PublishError if the branch has another set, or other files and no set."""
    repo_id, there = remote.place.repo_id, remote.manifest
    if there is not None and (there.name, there.size) != (content.manifest.name, content.manifest.size):
        raise PublishError(
            f"{repo_id} holds {there.name} of {there.size} pixels, not {content.manifest.name} of "
            f"{content.manifest.size}; a repository holds one set, choose another",
            code="repository-in-use",
        )
    strange = [path for path in remote.files if path not in _HARMLESS and not path.startswith(".")]
    if there is None and strange:
        raise PublishError(
            f"{repo_id} holds other files and no set of this package: {name_some(strange)}; choose another repository",
            code="repository-in-use",
        )


def _other_data(content: Content, remote: Remote) -> Iterator[Difference]:
    """Yields differences between the data and those published under this data version: digests, columns."""
    version, repo_id = content.manifest.spec_version, remote.place.repo_id
    published = {remote.head: remote.manifest}
    if version in remote.tags:
        tagged = remote.tags[version]
        try:
            published = {
                tagged: remote.manifest if tagged == remote.head else manifest_of(repo_id, tagged),
                **published,
            }
        except NotOnHubError:
            published[tagged] = None
        if published[tagged] is None:
            raise PublishError(
                f"{repo_id} has a tag {version} that names no set; remove it, or choose another repository",
                code="other-version",
            )
    for manifest in published.values():
        if manifest is not None and manifest.spec_version == version:
            yield from (one for one in compare(content.manifest, manifest).differences if not one.same_pixels)


def _is_free(tag: str, content: Content, remote: Remote) -> bool:
    """Returns whether a tag must be made. Raises PublishError if it is taken."""
    if tag not in remote.tags:
        return True
    there = {entry.path: entry for entry in tree(HubPlace(remote.place.repo_id, remote.tags[tag]))}
    if all(path in there and same(there[path], file) for path, file in content.files.items()):
        return False
    raise PublishError(
        f"{remote.place.repo_id} has a tag {tag} already, which names something else; choose another",
        code="other-version",
    )
