"""Carries out a publication: settings, a branch to try the commit on, the same commit on the target, tags."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from qi_datasets.errors import HubError, PublishError
from qi_datasets.publishing.access import Access
from qi_datasets.publishing.publication import Publication
from qi_datasets.publishing.remote_state import access_of, refs_of, same
from qi_datasets.storage.hub import BENCHMARK, MAIN, HubPlace, ask_hub
from qi_datasets.storage.published import LIBRARY, tree

STAGING = "qi-publish"
"""The branch to try a commit on before the target gets it; one that a killed run left is made again."""

OF_BENCHMARK = re.compile(r"\beval\.yaml\b|\bevaluation_framework\b")
"""The pattern of messages in which the Hub refuses an `eval.yaml`."""

Operation = CommitOperationAdd | CommitOperationDelete


@dataclass(frozen=True)
class Done:
    """The result of a publication. commit: the branch's current one. notes: what was left out, and what to do."""

    commit: str
    notes: tuple[str, ...] = ()


def carry_out(publication: Publication, *, progress: bool = False) -> Done:
    """Carries out the plan; HubError or PublishError leave the branch as it was.

    Settings come first and are read back before a byte is sent. The files go to a branch of their own, where they are
    compared with the plan; the Hub refuses the same commit on the target if that has moved in between.
    """
    uploader = Uploader(publication)
    if publication.changes_settings:
        uploader.make_settings()
    if not publication.changes_files:
        return Done(uploader.tagged(publication.remote.head))
    with uploader.staging(), bars(progress):
        return Done(uploader.tagged(uploader.commit()), tuple(uploader.notes))


class Uploader:
    """The writing requests of one publication, with retries where they may help."""

    def __init__(self, publication: Publication) -> None:
        self.publication, self.place = publication, publication.place
        self.repo: dict[str, Any] = {"repo_id": self.place.repo_id, "repo_type": "dataset"}
        self.api = HfApi(library_name=LIBRARY)
        self.head = publication.remote.head
        self.notes: list[str] = []

    def make_settings(self) -> None:
        """Makes the repository, or changes its settings, and reads them back."""
        wanted, found = self.publication.access, self.publication.remote.access
        if found is None:

            def made() -> Access | None:
                with suppress(HubError):
                    return access_of(self.place)
                return None

            def make() -> Access:
                self.api.create_repo(**self.repo, private=wanted.private)
                return Access(wanted.private, False)

            found = ask_hub(make, self.place, done=made)
        if found.gated != wanted.gated:
            gate = cast(Literal["auto", "manual", False], wanted.gated)
            ask_hub(lambda: self.api.update_repo_settings(**self.repo, gated=gate), self.place)
        found = access_of(self.place)
        if found != wanted:
            raise PublishError(f"{self.place.repo_id} is {found}, although it was to be {wanted}; nothing was uploaded")
        self.head = self.head or refs_of(self.place)[0][MAIN]

    @contextmanager
    def staging(self) -> Iterator[None]:
        """Yields the branch to try on, from the target's head; it is deleted when the block ends, in any way."""
        place = HubPlace(self.place.repo_id, STAGING)

        def gone() -> bool | None:
            return None if STAGING in refs_of(place)[0] else True

        def remove() -> bool:
            self.api.delete_branch(**self.repo, branch=STAGING)
            return True

        def there() -> bool | None:
            return refs_of(place)[0].get(STAGING) == self.head or None

        def make() -> bool:
            self.api.create_branch(**self.repo, branch=STAGING, revision=self.head)
            return True

        if STAGING in self.publication.remote.branches:
            ask_hub(remove, place, done=gone)
        ask_hub(make, place, done=there)
        try:
            yield
        except BaseException:
            with suppress(HubError):
                ask_hub(remove, place, again=False)
            raise
        ask_hub(remove, place, done=gone)

    def commit(self) -> str:
        """Makes the commit on the branch to try on, then on the target, and returns it."""
        try:
            staged = self._commit(STAGING)
        except HubError as error:
            if BENCHMARK not in self.publication.add or not OF_BENCHMARK.search(str(error)):
                raise
            self._leave_out_benchmark(str(error))
            if not self._operations():
                return self.head
            staged = self._commit(STAGING)
        self._check(staged)
        if self.place.revision in self.publication.remote.branches or self.place.revision == MAIN:
            return self._commit(self.place.revision)

        def there() -> bool | None:
            return refs_of(self.place)[0].get(self.place.revision) == staged or None

        def make() -> bool:
            self.api.create_branch(**self.repo, branch=self.place.revision, revision=staged)
            return True

        ask_hub(make, self.place, done=there)
        return staged

    def _commit(self, branch: str) -> str:
        operations = self._operations()
        place = HubPlace(self.place.repo_id, branch)

        def committed() -> str | None:
            head = refs_of(place)[0].get(branch, "")
            if head == self.head:
                return None
            if not self._is_wanted(head):
                raise HubError(f"{self.place.repo_id}: {branch} has moved in between, and was not changed; run again")
            return head

        def commit() -> str:
            made = self.api.create_commit(
                **self.repo,
                operations=operations,
                commit_message=self._title(),
                revision=branch,
                parent_commit=self.head,
            )
            return str(made.oid)

        return ask_hub(commit, place, done=committed)

    def _leave_out_benchmark(self, reason: str) -> None:
        """Publishes without `eval.yaml`: the Hub refuses it if it does not support the framework yet."""
        content, add = self.publication.content.without(BENCHMARK), self.publication.add
        self.publication = replace(
            self.publication, content=content, add=tuple(path for path in add if path != BENCHMARK)
        )
        self.notes.append(
            f"the Hub does not take {BENCHMARK} yet ({reason}), so that the set is published, but no benchmark; "
            "ask for it as cards/leaderboard/README.md says, and run again"
        )

    def _operations(self) -> list[Operation]:
        files = self.publication.content.files
        add = [CommitOperationAdd(path, files[path].data) for path in self.publication.add]
        return [*add, *(CommitOperationDelete(path) for path in self.publication.delete)]

    def _title(self) -> str:
        manifest = self.publication.content.manifest
        recipe = ", recipe" if manifest.recipe else ""
        return f"{manifest.name}, data version {manifest.spec_version}{recipe}"

    def _is_wanted(self, commit: str) -> bool:
        """Returns whether a commit has all published files, and none of the deleted ones."""
        files = self.publication.content.files
        there = {entry.path: entry for entry in tree(HubPlace(self.place.repo_id, commit))}
        return all(path in there and same(there[path], file) for path, file in files.items()) and not (
            there.keys() & set(self.publication.delete)
        )

    def _check(self, commit: str) -> None:
        if not self._is_wanted(commit):
            raise PublishError(
                f"{self.place.repo_id}: the Hub holds other bytes than were sent; {self.place.revision} was left as it "
                "is; run again",
                code="repository-in-use",
            )

    def tagged(self, commit: str) -> str:
        """Tags the commit, and returns it. Raises HubError if a tag was taken in between."""
        for tag in self.publication.tags:

            def there(tag: str = tag) -> bool | None:
                return refs_of(self.place)[1].get(tag) == commit or None

            def make(tag: str = tag) -> bool:
                self.api.create_tag(**self.repo, tag=tag, revision=commit)
                return True

            ask_hub(make, self.place, done=there)
        return commit


@contextmanager
def bars(progress: bool) -> Iterator[None]:
    """Makes the client show its bars on a terminal in the block if `progress`, and none elsewhere."""
    if (progress and sys.stderr.isatty()) or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
