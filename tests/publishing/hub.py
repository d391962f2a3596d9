"""A local Hub: its API for repositories over HTTP, with faults on demand and a log of requests.

It answers the requests of `huggingface_hub` and `datasets`. Any other request goes to `unknown`, which every test
expects to be empty.
"""

import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.publishing.answers import Answers
from tests.publishing.repositories import RefusedError, Repository

UNKNOWN = "unknown"

WRITING = ("POST", "PUT", "DELETE")
"""Methods of requests that change something."""

AUTHORIZATION = "{authorization}"
"""In a fault's message, stands for the header that the client sent: some servers repeat it."""


@dataclass
class Fault:
    """A fault of the requests of a route.

    status, headers, message: answer with that and do nothing.
    lost: do what is asked for, and drop the connection instead of answering.
    stall: seconds of silence before the answer.
    before: called first.
    skip, times: let so many requests pass, then spoil so many.
    """

    route: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "injected"
    lost: bool = False
    stall: float = 0
    before: Callable[[], object] | None = None
    skip: int = 0
    times: int = 1


@dataclass(frozen=True)
class Request:
    """One line of the log. size: size of the sent body in bytes."""

    method: str
    route: str
    path: str
    size: int
    origin: str


FRAMEWORKS = ("inspect-ai", "qi-datasets")
"""Evaluation frameworks that an `eval.yaml` may name; the Hub refuses one of another."""

WRITER, READER = "hf_writer", "hf_reader"
"""Tokens of a user who may write to the namespaces `ada` and `lab`, and of one who may write to `bob` alone."""

ROUTES: dict[str, tuple[str, str]] = {
    "whoami": ("GET", "/api/whoami-v2"),
    "create": ("POST", "/api/repos/create"),
    "validate": ("POST", "/api/validate-yaml"),
    "settings": ("PUT", "/api/{kind}/{repo}/settings"),
    "preupload": ("POST", "/api/{kind}/{repo}/preupload/{revision}"),
    "batch": ("POST", "/{at}{repo}.git/info/lfs/objects/batch"),
    "upload": ("PUT", "/lfs/{kind}/{repo}/{oid}"),
    "verify": ("POST", "/api/{kind}/{repo}/lfs-verify"),
    "commit": ("POST", "/api/{kind}/{repo}/commit/{revision}"),
    "refs": ("GET", "/api/{kind}/{repo}/refs"),
    "make_branch": ("POST", "/api/{kind}/{repo}/branch/{revision}"),
    "delete_branch": ("DELETE", "/api/{kind}/{repo}/branch/{revision}"),
    "make_tag": ("POST", "/api/{kind}/{repo}/tag/{revision}"),
    "delete_tag": ("DELETE", "/api/{kind}/{repo}/tag/{revision}"),
    "commits": ("GET", "/api/{kind}/{repo}/commits/{revision}"),
    "tree": ("GET", "/api/{kind}/{repo}/tree/{revision}"),
    "subtree": ("GET", "/api/{kind}/{repo}/tree/{revision}/{path}"),
    "paths": ("POST", "/api/{kind}/{repo}/paths-info/{revision}"),
    "auth_check": ("GET", "/api/{kind}/{repo}/auth-check"),
    "auth_check_write": ("GET", "/api/{kind}/{repo}/auth-check/write"),
    "discussions": ("GET", "/api/{kind}/{repo}/discussions"),
    "leaderboard": ("GET", "/api/datasets/{repo}/leaderboard"),
    "info": ("GET", "/api/{kind}/{repo}"),
    "info_at": ("GET", "/api/{kind}/{repo}/revision/{revision}"),
    "head": ("HEAD", "/{at}{repo}/resolve/{revision}/{path}"),
    "file": ("GET", "/{at}{repo}/resolve/{revision}/{path}"),
    "download": ("GET", "/lfs/{kind}/{repo}/{oid}"),
    "harnesses": ("GET", "/api/agent-harnesses"),
    "viewer_info": ("GET", "/info"),
    "viewer_parquet": ("GET", "/parquet"),
}
PARTS = {
    "kind": "datasets|models|spaces",
    "at": "(?:datasets/|spaces/)?",
    "repo": r"[^/]+/[^/]+?",
    "revision": "[^/]+",
    "path": ".+",
    "oid": "[0-9a-f]{64}",
}
PATTERNS = {
    name: (method, re.compile(re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{PARTS[part[1]]})", path)))
    for name, (method, path) in ROUTES.items()
}


def routed(method: str, path: str) -> tuple[str, dict[str, str]]:
    """Returns the name of a request's route, and the parts of its path."""
    for name, (of, pattern) in PATTERNS.items():
        if of == method and (match := pattern.fullmatch(path)):
            return name, {part: unquote(text) for part, text in match.groupdict().items() if text is not None}
    return UNKNOWN, {}


class Hub:
    """The server, from `with` to its end. users: token -> (name, namespaces that it may write to)."""

    def __init__(self) -> None:
        self.users = {WRITER: ("ada", ("ada", "lab")), READER: ("bob", ("bob",))}
        self.frameworks = {*FRAMEWORKS}
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.log: list[Request] = []
        self.unknown: list[str] = []
        self.damaged: set[str] = set()
        self.lock = threading.RLock()
        self.closed = threading.Event()

    def __enter__(self) -> "Hub":
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.endpoint = f"http://localhost:{self.server.server_port}"
        # A large file comes from another origin, as from a content network; the client treats it otherwise.
        self.lfs_endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()

    def clear(self) -> None:
        """Restores the first state, for tests that share a server."""
        self.repositories.clear()
        self.faults.clear()
        self.log.clear()
        self.damaged.clear()
        self.frameworks = {*FRAMEWORKS}

    def make(self, repo_id: str, **settings: Any) -> Repository:
        """Makes a new repository: a data set, or of another kind by `models/ORG/NAME`, `spaces/ORG/NAME`."""
        self.repositories[repo_id] = Repository(repo_id, **settings)
        return self.repositories[repo_id]

    def requests(self, *methods: str) -> list[Request]:
        return [request for request in self.log if request.method in methods]

    def fault_of(self, route: str) -> Fault | None:
        for fault in self.faults:
            if fault.route == route and fault.times > 0:
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """One request: routed, logged, spoiled if a fault is due, answered."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    # Headers and body leave together: else the body waits 40 ms until the client has acknowledged the headers.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        body = self.body()
        route, parts = routed(self.command, url.path)
        with self.hub.lock:
            origin = self.headers.get("Host", "").partition(":")[0]
            self.hub.log.append(Request(self.command, route, self.path, len(body), origin))
            if route == UNKNOWN:
                self.hub.unknown.append(f"{self.command} {self.path}")
                return self.refuse(RefusedError(404, "", "no such route"))
            fault = self.hub.fault_of(route)
        if fault is not None and fault.before:
            fault.before()
        if fault is not None and fault.stall:
            self.hub.closed.wait(fault.stall)
        with self.hub.lock:
            try:
                if fault is not None and fault.status:
                    message = fault.message.replace(AUTHORIZATION, self.headers.get("Authorization", ""))
                    raise RefusedError(fault.status, "", message, **fault.headers)
                answers = Answers(self.hub, route, url.path, parts, query, self.headers)  # type: ignore[arg-type]
                answer = getattr(answers, route)(body)
            except RefusedError as refused:
                return self.refuse(refused)
        if fault is not None and fault.lost:
            self.close_connection = True
            return None
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send(*answer)
        return None

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815  (names that http.server looks for)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def send(self, status: int, data: object, headers: dict[str, str]) -> None:
        content = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, refused: RefusedError) -> None:
        headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
        headers = {name: value for name, value in headers.items() if value}
        url = {"url": refused.fields.pop("url")} if "url" in refused.fields else {}
        headers |= {name: str(value) for name, value in refused.fields.items()}
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send(refused.status, {"error": refused.message} | url, headers)
