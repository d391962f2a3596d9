"""Repositories as on the Hub: commits, branches, tags, settings, and the store of large files."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ATTRIBUTES, BENCHMARK = ".gitattributes", "eval.yaml"
LFS_ENDINGS = (".parquet", ".png")
ATTRIBUTES_TEXT = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LFS_ENDINGS).encode()
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


class RefusedError(Exception):
    """The Hub's refusal: a status, an error code for the client, and a message for a person."""

    def __init__(self, status: int, code: str = "", message: str = "", **fields: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class File:
    """A file of a commit: its content, and whether it is a large one, which git knows by a pointer only."""

    data: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def oid(self) -> str:
        return git_sha1(POINTER.format(self.sha256, len(self.data)).encode() if self.lfs else self.data)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def listed(self, path: str) -> dict[str, object]:
        """Returns its line in the tree route."""
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(self.data), "oid": self.oid}
        if self.lfs:
            pointer = len(POINTER.format(self.sha256, len(self.data)))
            entry["lfs"] = {"oid": self.sha256, "size": len(self.data), "pointerSize": pointer}
        return entry


@dataclass(frozen=True)
class Commit:
    """A state of all files."""

    oid: str
    parent: str
    title: str
    files: dict[str, File]


@dataclass
class Proposal:
    """A pull request. oid: of its last commit. status: open, merged or closed."""

    number: int
    author: str
    title: str
    oid: str
    status: str = "open"


@dataclass
class Repository:
    """One repository. store: large files by SHA-256, committed or not. granted: who passed the gate."""

    repo_id: str
    private: bool = False
    gated: str | bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    store: dict[str, bytes] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    proposals: list[Proposal] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = self.add_commit("", "initial commit", {ATTRIBUTES: File(ATTRIBUTES_TEXT, lfs=False)})
        self.branches["main"] = first.oid

    def add_commit(self, parent: str, title: str, files: dict[str, File]) -> Commit:
        text = json.dumps([self.repo_id, len(self.commits), parent, title, {path: files[path].oid for path in files}])
        commit = Commit(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), parent, title, files)
        self.commits[commit.oid] = commit
        return commit

    def hold(self, folder: Path, *tags: str) -> None:
        """Commits the files in a folder to main, with some tags."""
        paths = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        files = {name: File(data, lfs=name.endswith(LFS_ENDINGS)) for name, data in paths.items()}
        files[ATTRIBUTES] = File(ATTRIBUTES_TEXT, lfs=False)
        self.store |= {file.sha256: file.data for file in files.values() if file.lfs}
        self.branches["main"] = self.add_commit(self.branches["main"], "held", files).oid
        self.tags |= dict.fromkeys(tags, self.branches["main"])

    def at(self, revision: str) -> Commit:
        """Returns the commit that a branch, a tag or an id names."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if revision.startswith("refs/pr/"):
            oid = next((one.oid for one in self.proposals if revision == f"refs/pr/{one.number}"), revision)
        if oid not in self.commits:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[oid]

    def file(self, revision: str, path: str) -> File:
        files = self.at(revision).files
        if path not in files:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        return files[path]

    def tree(self, revision: str = "main") -> dict[str, str]:
        """Path -> SHA-256 of every file, without what the Hub itself adds, and publishing (`eval.yaml`)."""
        files = self.at(revision).files
        return {path: file.sha256 for path, file in sorted(files.items()) if path not in (ATTRIBUTES, BENCHMARK)}

    def history(self, revision: str = "main") -> list[Commit]:
        """Returns the commits that lead to a revision, the newest first."""
        found = [self.at(revision)]
        while found[-1].parent:
            found.append(self.commits[found[-1].parent])
        return found

    def listing(self, revision: str, folder: str, recursive: bool) -> list[dict[str, object]]:
        """Returns the content of a folder, "" for the top."""
        files = self.at(revision).files
        prefix = f"{folder}/" if folder else ""
        inside = {path: file for path, file in files.items() if path.startswith(prefix)}
        if folder and not inside:
            raise RefusedError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        folders = {
            "/".join(parts[:depth])
            for parts in (path.split("/") for path in inside)
            for depth in range(prefix.count("/") + 1, len(parts))
        }
        entries = [{"type": "directory", "path": name, "size": 0, "oid": git_sha1(name.encode())} for name in folders]
        entries += [file.listed(path) for path, file in inside.items()]
        if not recursive:
            entries = [entry for entry in entries if "/" not in str(entry["path"])[len(prefix) :]]
        return sorted(entries, key=lambda entry: str(entry["path"]))

    @property
    def open(self) -> list[Proposal]:
        """The pull requests that are neither merged nor closed."""
        return [one for one in self.proposals if one.status == "open"]

    def propose(self, author: str, branch: str, lines: Iterator[dict[str, dict[str, str]]]) -> Proposal:
        """Opens a pull request to a branch, from the operations that a client sends."""
        made = self.changed(branch, lines)
        self.proposals.append(Proposal(len(self.proposals) + 1, author, made.title, made.oid))
        return self.proposals[-1]

    def merge(self, number: int) -> None:
        """Merges a pull request into main."""
        proposal = self.proposals[number - 1]
        made, head = self.commits[proposal.oid], self.at("main")
        before = self.commits[made.parent].files
        files = head.files | {path: file for path, file in made.files.items() if before.get(path) != file}
        self.branches["main"] = self.add_commit(head.oid, made.title, files).oid
        proposal.status = "merged"

    def commit(
        self,
        branch: str,
        lines: Iterator[dict[str, dict[str, str]]],
        check: Callable[[Mapping[str, File]], None] | None = None,
    ) -> Commit:
        """Makes a commit on a branch, from the operations that a client sends. check: raises for refused files."""
        made = self.changed(branch, lines, check)
        self.branches[branch] = made.oid
        return made

    def changed(
        self,
        branch: str,
        lines: Iterator[dict[str, dict[str, str]]],
        check: Callable[[Mapping[str, File]], None] | None = None,
    ) -> Commit:
        """Returns a commit that follows a branch and is on none."""
        if branch not in self.branches:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        head = self.at(branch)
        files, title = dict(head.files), ""
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    title = value["summary"]
                    if value.get("parentCommit", head.oid) != head.oid:
                        raise RefusedError(412, "", "A commit has happened since. Please refresh and try again.")
                case "file":
                    files[value["path"]] = File(base64.b64decode(value["content"]), lfs=False)
                case "lfsFile":
                    if value["oid"] not in self.store:
                        raise RefusedError(
                            422, "", f"LFS pointer pointed to a file that does not exist: {value['path']}"
                        )
                    files[value["path"]] = File(self.store[value["oid"]], lfs=True)
                case "deletedFile":
                    if files.pop(value["path"], None) is None:
                        raise RefusedError(404, "EntryNotFound", "A file with this name doesn't exist")
                case key:
                    raise RefusedError(400, "", f"unknown operation {key}")
        if check is not None:
            check(files)
        return self.add_commit(head.oid, title, files)


def tree_of(folder: Path) -> dict[str, str]:
    """Returns path -> SHA-256, as `Repository.tree` does."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
