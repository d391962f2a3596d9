"""The Hub's answers, route by route."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import yaml

from tests.publishing.repositories import BENCHMARK, LFS_ENDINGS, File, RefusedError, Repository

if TYPE_CHECKING:
    from tests.publishing.hub import Hub

PAGE = 20
"""Entries of a page of a tree: few, so that clients have to follow pages."""

MOST_BYTES_IN_GIT = 10_000_000
WRITES = frozenset(
    ("settings", "preupload", "batch", "commit", "make_branch", "delete_branch", "make_tag", "delete_tag")
)
KINDS = {"": "models", "datasets/": "datasets", "spaces/": "spaces"}

Answer = tuple[int, Any, dict[str, str]]
"""Status, body (bytes, or a value that becomes JSON), headers."""


def key_of(kind: str, repo_id: str) -> str:
    """Returns the name of a repository among the Hub's: only data sets have no prefix."""
    return repo_id if kind == "datasets" else f"{kind}/{repo_id}"


@dataclass(frozen=True)
class Answers:
    """One request's answer: the method with the name of its route. parts: the parts of the route's path."""

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

    @property
    def kind(self) -> str:
        return self.parts.get("kind") or KINDS[self.parts.get("at", "datasets/")]

    @property
    def key(self) -> str:
        """The name of the repository among the Hub's."""
        return key_of(self.kind, self.parts["repo"])

    def repository(self, *, gate: bool = False) -> Repository:
        """Returns the repository in the path, if the user may see it, and pass its gate where that counts."""
        user, repo_id = self.user(), self.parts["repo"]
        found = self.hub.repositories.get(self.key)
        owner = user is not None and repo_id.partition("/")[0] in user[1]
        if found is None or (found.private and not (owner or (user and user[0] in found.granted))):
            raise RefusedError(404 if user else 401, "RepoNotFound", "Repository not found")
        # Everybody who sees a repository may open a pull request; the store of large files is shared.
        proposes = user is not None and (self.query.get("create_pr") == "1" or self.route == "batch")
        if self.route in WRITES and not owner and not proposes:
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
        kind = f"{asked.get('type', 'model')}s"
        url = f"{self.hub.endpoint}/{'' if kind == 'models' else f'{kind}/'}{name}"
        if key_of(kind, name) in self.hub.repositories:
            raise RefusedError(409, "", "You already created this repo", url=url)
        if kind == "spaces" and asked.get("sdk") != "static":
            raise RefusedError(400, "", "sdk must be one of gradio, docker, static")
        self.hub.make(key_of(kind, name), private=asked.get("visibility") == "private" or asked.get("private") is True)
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
            upload = {"href": f"{self.hub.lfs_endpoint}/lfs/{self.kind}/{self.parts['repo']}/{asked['oid']}"}
            verify = {"href": f"{self.hub.endpoint}/api/{self.kind}/{self.parts['repo']}/lfs-verify"}
            known = asked["oid"] in repository.store
            objects.append(asked if known else asked | {"actions": {"upload": upload, "verify": verify}})
        return 200, {"transfer": "basic", "objects": objects}, {}

    def upload(self, body: bytes) -> Answer:
        file = File(body, lfs=True)
        if file.sha256 != self.parts["oid"]:
            raise RefusedError(400, "", "these are not the bytes that were announced")
        self.hub.repositories[self.key].store[file.sha256] = body
        return 200, None, {}

    def verify(self, body: bytes) -> Answer:
        if json.loads(body)["oid"] not in self.repository().store:
            raise RefusedError(404, "", "the file has not arrived")
        return 200, {}, {}

    def commit(self, body: bytes) -> Answer:
        lines: Iterator[Any] = map(json.loads, body.splitlines())
        repository, user = self.repository(), self.user()
        check = self.check_benchmark if self.kind == "datasets" else None
        address = f"{self.hub.endpoint}/{'' if self.kind == 'models' else f'{self.kind}/'}{self.parts['repo']}"
        if self.query.get("create_pr") == "1":
            proposal = repository.propose(user[0] if user else "", self.parts["revision"], lines)
            answer = {"commitOid": proposal.oid, "pullRequestUrl": f"{address}/discussions/{proposal.number}"}
        else:
            answer = {"commitOid": repository.commit(self.parts["revision"], lines, check).oid}
        url = f"{address}/commit/{answer['commitOid']}"
        return 200, {"success": True, "commitUrl": url, "hookOutput": "", **answer}, {}

    def check_benchmark(self, files: Mapping[str, File]) -> None:
        """Refuses an invalid `eval.yaml`, as the Hub does when it is pushed."""
        if BENCHMARK not in files:
            return
        content = yaml.safe_load(files[BENCHMARK].data)
        for name, kind in (("name", str), ("description", str), ("evaluation_framework", str), ("tasks", list)):
            if not isinstance(content.get(name), kind):
                raise RefusedError(400, "", f"{BENCHMARK}: invalid input at {name}")
        if content["evaluation_framework"] not in self.hub.frameworks:
            raise RefusedError(400, "", "Invalid input at evaluation_framework")
        if not all({"id", "config", "split"} <= task.keys() for task in content["tasks"]):
            raise RefusedError(400, "", f"{BENCHMARK}: invalid input at tasks")

    def discussions(self, body: bytes) -> Answer:
        found = [one for one in self.repository().proposals if self.query.get("author") in (None, one.author)]
        found = [one for one in found if self.query.get("status") in (None, "all", one.status)]
        listed = [
            {
                "num": one.number,
                "title": one.title,
                "author": {"name": one.author},
                "createdAt": "2026-01-01T00:00:00.000Z",
                "status": one.status,
                "isPullRequest": True,
                "repo": {"name": self.parts["repo"], "type": self.kind.removesuffix("s")},
            }
            for one in reversed(found)
        ]
        return 200, {"discussions": listed, "count": len(listed), "start": 0}, {}

    def leaderboard(self, body: bytes) -> Answer:
        """Returns all results on a benchmark's tasks, of main and of open pull requests, the highest value first."""
        files = self.repository().at("main").files
        if BENCHMARK not in files:
            raise RefusedError(404, "", "This dataset has no leaderboard")
        tasks = {task["id"] for task in yaml.safe_load(files[BENCHMARK].data)["tasks"]}
        rows = []
        for name, repository in self.hub.repositories.items():
            kind, _, model = name.partition("/")
            if kind != "models" or model.count("/") != 1:
                continue
            for revision, number in [("main", None), *((f"refs/pr/{p.number}", p.number) for p in repository.open)]:
                for path, file in repository.at(revision).files.items():
                    if not path.startswith(".eval_results/") or (number and path in repository.at("main").files):
                        continue
                    for result in yaml.safe_load(file.data):
                        if result["dataset"]["id"] != self.parts["repo"] or result["dataset"]["task_id"] not in tasks:
                            continue
                        author = {"type": "org", "name": model.partition("/")[0], "fullname": "", "avatarUrl": ""}
                        row = {"modelId": model, "value": result["value"], "filename": path, "verified": False}
                        row |= {"author": author, "source": result.get("source"), "notes": result.get("notes")}
                        rows.append(row | ({"pullRequest": number} if number else {}))
        rows.sort(key=lambda row: -row["value"])
        return 200, [row | {"rank": rank} for rank, row in enumerate(rows, 1)], {}

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
        return 200, {"id": self.parts["repo"], "sha": commit.oid, **settings, "siblings": files, "tags": []}, {}

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
        headers["Location"] = f"{self.hub.lfs_endpoint}/lfs/{self.kind}/{self.parts['repo']}/{file.sha256}"
        return 302, None, headers

    file = head

    def download(self, body: bytes) -> Answer:
        data = self.hub.repositories[self.key].store[self.parts["oid"]]
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
