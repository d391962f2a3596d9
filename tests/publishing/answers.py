"""What the Hub answers, route by route, to whoever asks."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.publishing.repositories import LFS_ENDINGS, File, RefusedError, Repository

if TYPE_CHECKING:
    from tests.publishing.hub import Hub

PAGE = 20
"""Entries of a page of a tree: few, so that following pages is tried."""

MOST_BYTES_IN_GIT = 10_000_000
WRITES = frozenset(
    ("settings", "preupload", "batch", "commit", "make_branch", "delete_branch", "make_tag", "delete_tag")
)

Answer = tuple[int, Any, dict[str, str]]
"""Status, body (bytes, or what becomes JSON), headers."""


@dataclass(frozen=True)
class Answers:
    """One request's answer: the method that bears the name of its route. parts: what the route's path names."""

    hub: "Hub"
    route: str
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]

    def user(self) -> tuple[str, tuple[str, ...]] | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            return None
        if token not in self.hub.users:
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        return self.hub.users[token]

    def repository(self, *, gate: bool = False) -> Repository:
        """The repository that the path names, if the user may see it, and pass its gate where that counts."""
        user, repo_id = self.user(), self.parts["repo"]
        found = self.hub.repositories.get(repo_id)
        owner = user is not None and repo_id.partition("/")[0] in user[1]
        if found is None or (found.private and not (owner or (user and user[0] in found.granted))):
            raise RefusedError(404 if user else 401, "RepoNotFound", "Repository not found")
        if self.route in WRITES and not owner:
            raise RefusedError(403, "", "You don't have the required permissions to write to this repository")
        if gate and found.gated and not owner and (user is None or user[0] not in found.granted):
            raise RefusedError(403 if user else 401, "GatedRepo", f"Access to dataset {repo_id} is restricted.")
        return found

    def whoami(self, body: bytes) -> Answer:
        user = self.user()
        if user is None:
            raise RefusedError(401, "", "Invalid username or password.")
        orgs = [{"name": name, "roleInOrg": "write"} for name in user[1] if name != user[0]]
        return 200, {"type": "user", "name": user[0], "orgs": orgs}, {}

    def create(self, body: bytes) -> Answer:
        asked, user = json.loads(body), self.user()
        if user is None:
            raise RefusedError(401, "", "Invalid username or password.")
        name = f"{asked['organization'] or user[0]}/{asked['name']}"
        if name.partition("/")[0] not in user[1]:
            raise RefusedError(403, "", f"You don't have the rights to create a dataset under {name.partition('/')[0]}")
        url = f"{self.hub.endpoint}/datasets/{name}"
        if name in self.hub.repositories:
            raise RefusedError(409, "", "You already created this dataset repo", url=url)
        self.hub.make(name, private=asked.get("visibility") == "private" or asked.get("private") is True)
        return 200, {"url": url, "name": name, "id": name}, {}

    def settings(self, body: bytes) -> Answer:
        repository, asked = self.repository(), json.loads(body)
        repository.gated = asked.get("gated", repository.gated)
        if "visibility" in asked:
            repository.private = asked["visibility"] == "private"
        return 200, {"private": repository.private, "gated": repository.gated}, {}

    def validate(self, body: bytes) -> Answer:
        return 200, {"errors": [], "warnings": []}, {}

    def preupload(self, body: bytes) -> Answer:
        files = self.repository().at(self.parts["revision"]).files
        modes = []
        for asked in json.loads(body)["files"]:
            lfs = asked["path"].endswith(LFS_ENDINGS) or asked["size"] > MOST_BYTES_IN_GIT
            known = files[asked["path"]].etag if asked["path"] in files else None
            mode = {"path": asked["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            modes.append(mode | {"oid": known})
        return 200, {"files": modes}, {}

    def batch(self, body: bytes) -> Answer:
        repository, objects = self.repository(), []
        for asked in json.loads(body)["objects"]:
            upload = {"href": f"{self.hub.lfs_endpoint}/lfs/{repository.repo_id}/{asked['oid']}"}
            verify = {"href": f"{self.hub.endpoint}/api/datasets/{repository.repo_id}/lfs-verify"}
            known = asked["oid"] in repository.store
            objects.append(asked if known else asked | {"actions": {"upload": upload, "verify": verify}})
        return 200, {"transfer": "basic", "objects": objects}, {}

    def upload(self, body: bytes) -> Answer:
        file = File(body, lfs=True)
        if file.sha256 != self.parts["oid"]:
            raise RefusedError(400, "", "these are not the bytes that were announced")
        self.hub.repositories[self.parts["repo"]].store[file.sha256] = body
        return 200, None, {}

    def verify(self, body: bytes) -> Answer:
        if json.loads(body)["oid"] not in self.repository().store:
            raise RefusedError(404, "", "the file has not arrived")
        return 200, {}, {}

    def commit(self, body: bytes) -> Answer:
        lines: Iterator[Any] = map(json.loads, body.splitlines())
        commit = self.repository().commit(self.parts["revision"], lines)
        url = f"{self.hub.endpoint}/datasets/{self.parts['repo']}/commit/{commit.oid}"
        return 200, {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""}, {}

    def refs(self, body: bytes) -> Answer:
        repository = self.repository()
        branches = [
            {"name": n, "ref": f"refs/heads/{n}", "targetCommit": oid} for n, oid in repository.branches.items()
        ]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": oid} for n, oid in repository.tags.items()]
        return 200, {"branches": branches, "tags": tags, "converts": []}, {}

    def make_branch(self, body: bytes) -> Answer:
        repository, asked = self.repository(), json.loads(body or b"{}")
        if self.parts["revision"] in repository.branches:
            raise RefusedError(409, "", "Reference already exists")
        repository.branches[self.parts["revision"]] = repository.at(asked.get("startingPoint", "main")).oid
        return 200, {"success": True}, {}

    def delete_branch(self, body: bytes) -> Answer:
        if self.repository().branches.pop(self.parts["revision"], None) is None:
            raise RefusedError(404, "RevisionNotFound", "Reference does not exist")
        return 200, {"success": True}, {}

    def make_tag(self, body: bytes) -> Answer:
        repository, asked = self.repository(), json.loads(body)
        if asked["tag"] in repository.tags:
            raise RefusedError(409, "", "Tag reference exists already")
        repository.tags[asked["tag"]] = repository.at(self.parts["revision"]).oid
        return 200, {"success": True}, {}

    def delete_tag(self, body: bytes) -> Answer:
        if self.repository().tags.pop(self.parts["revision"], None) is None:
            raise RefusedError(404, "RevisionNotFound", "Reference does not exist")
        return 200, {"success": True}, {}

    def commits(self, body: bytes) -> Answer:
        date = "2026-01-01T00:00:00.000Z"
        history = self.repository().history(self.parts["revision"])
        return 200, [{"id": c.oid, "title": c.title, "message": "", "authors": [], "date": date} for c in history], {}

    def info(self, body: bytes) -> Answer:
        repository = self.repository()
        commit = repository.at(self.parts.get("revision", "main"))
        settings = {"private": repository.private, "gated": repository.gated, "disabled": False}
        files = [{"rfilename": path} for path in commit.files]
        return 200, {"id": repository.repo_id, "sha": commit.oid, **settings, "siblings": files, "tags": []}, {}

    info_at = info

    def tree(self, body: bytes) -> Answer:
        folder = self.parts.get("path", "")
        recursive = self.query.get("recursive", "").lower() == "true"
        listed = self.repository().listing(self.parts["revision"], folder, recursive)
        start = int(self.query.get("cursor", 0))
        if start + PAGE >= len(listed):
            return 200, listed[start:], {}
        address = f"{self.hub.endpoint}{self.path}?recursive={recursive}&cursor={start + PAGE}"
        return 200, listed[start : start + PAGE], {"Link": f'<{address}>; rel="next"'}

    subtree = tree

    def paths(self, body: bytes) -> Answer:
        repository, revision, found = self.repository(), self.parts["revision"], []
        for path in parse_qs(body.decode()).get("paths", []):
            files = repository.at(revision).files
            if path in files:
                found.append(files[path].listed(path))
            elif any(name.startswith(f"{path}/") for name in files):
                found.append({"type": "directory", "path": path, "size": 0, "oid": "0" * 40})
        return 200, found, {}

    def auth_check(self, body: bytes) -> Answer:
        self.repository(gate=True)
        return 200, {}, {}

    auth_check_write = auth_check

    def head(self, body: bytes) -> Answer:
        repository = self.repository(gate=True)
        commit = repository.at(self.parts["revision"])
        file = repository.file(self.parts["revision"], self.parts["path"])
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.etag}"'}
        if not file.lfs:
            return self.ranged(file.data, headers)
        headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.data))}
        headers["Location"] = f"{self.hub.lfs_endpoint}/lfs/{repository.repo_id}/{file.sha256}"
        return 302, None, headers

    file = head

    def download(self, body: bytes) -> Answer:
        data = self.hub.repositories[self.parts["repo"]].store[self.parts["oid"]]
        if self.parts["oid"] in self.hub.damaged:
            data = data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]
        return self.ranged(data, {})

    def ranged(self, data: bytes, headers: dict[str, str]) -> Answer:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return 200, data, headers
        start, stop = int(asked[1]), int(asked[2] or len(data) - 1) + 1
        return (
            206,
            data[start:stop],
            headers | {"Content-Range": f"bytes {start}-{min(stop, len(data)) - 1}/{len(data)}"},
        )

    def harnesses(self, body: bytes) -> Answer:
        return 200, {"standardEnvVars": [], "harnesses": {}}, {}

    def viewer_info(self, body: bytes) -> Answer:
        raise RefusedError(404, "", "no viewer here")

    viewer_parquet = viewer_info
