"""Talks to the Hub: addresses of repositories, time-outs, retries, and the Hub's refusals as errors of this package."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from huggingface_hub import constants, get_token, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging

from qi_datasets.errors import HubError, NamedArgument, NotOnHubError, OptionError

Result = TypeVar("Result")

MAIN = "main"
BENCHMARK = "eval.yaml"
"""The file that makes a data set of the Hub a benchmark."""

PREFIXES = {"dataset": "datasets/", "model": "", "space": "spaces/"}
"""Kind of a repository -> how its address begins."""

_KINDS = {"dataset": "data set", "model": "model", "space": "Space"}
_LOCATION = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^@]+?))?/?")
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LONGEST_REPO_ID = 96

SILENCE = 60.0
"""Seconds that a request waits for the Hub by default."""

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries."""

_LONGEST_WAIT = 300.0
"""The longest time in seconds that the Hub may ask us to wait: it limits requests in intervals of five minutes."""

_TRANSIENT = (408, 429, 500, 502, 503, 504)
_FULL = (402, 413, 507)
_OF_STORAGE = re.compile("storage|quota|limit|billing|payment", re.IGNORECASE)


_BY_KIND: dict[type[BaseException], str] = {
    LocalTokenNotFoundError: "you are not logged in to the Hub: {login}, or set HF_TOKEN",
    OfflineModeIsEnabled: "{place} is asked for, but HF_HUB_OFFLINE is set; unset it",
    LocalEntryNotFoundError: "a file of {place} can't be fetched and was never loaded here; check the network",
    GatedRepoError: "{repo} is gated: visit {page}, agree to its terms there, and {login}",
    RevisionNotFoundError: "{repo} has no revision {revision!r}; see {page}/tree/main",
    RemoteEntryNotFoundError: "{place} holds no set of this package; see {page}",
    RepositoryNotFoundError: "the Hub has no {kind} {repo}, or not for you: check the name, and {login}",
}
"""What to tell a person about the client's errors, the narrower classes first."""

_BY_FAILURE = {
    "TimeoutException": "{hub} was silent for too long; try again later",
    "ConnectError": "cannot reach {hub}; check the network",
    "TransportError": "the connection to {hub} was lost again and again; try again later",
}
"""What to tell a person about errors of the connection, by their names in httpx, the narrower classes first."""

_FULL_TEXT = "{repo}: the Hub has no room for this: {said}; free storage, or ask for more"
_BY_STATUS = {
    401: "the Hub does not accept your token: {login}, or set HF_TOKEN",
    403: "you may not do this to {repo}: ask its owners for write access, or use a name of yours",
    409: "{repo}: the Hub sees a conflict: {said}",
    412: "{repo}: {revision} has moved in between, and was not changed; run again",
    429: "the Hub takes no more requests for now; try again in a few minutes",
}
"""What to tell a person about refusals that have no class of their own."""


@dataclass(frozen=True)
class HubPlace:
    """A repository on the Hub at a revision: a branch, a tag or a commit. repo_type: dataset, model or space."""

    repo_id: str
    revision: str = MAIN
    repo_type: str = "dataset"

    def __post_init__(self) -> None:
        if not _REPO_ID.fullmatch(str(self.repo_id)) or "--" in self.repo_id or len(self.repo_id) > _LONGEST_REPO_ID:
            raise OptionError(
                f"{self.repo_id!r} is no name of a repository on the Hub; give ORG/NAME", code="bad-place"
            )
        if not isinstance(self.revision, str) or not self.revision:
            raise OptionError(
                NamedArgument("revision"),
                f" must be the name of a branch, a tag or a commit, not {self.revision!r}",
                code="bad-value",
            )

    @classmethod
    def parse(cls, location: object) -> Self | None:
        """Returns the repository of `hf://datasets/ORG/NAME[@REVISION]`; None for an address that is not on the Hub."""
        if not str(location).startswith("hf://"):
            return None
        match = _LOCATION.fullmatch(str(location))
        if match is None:
            raise OptionError(
                f"{str(location)!r} names no data set on the Hub; give hf://datasets/ORG/NAME@REVISION",
                code="bad-place",
            )
        return cls(match["repo"], match["revision"] or MAIN)

    @property
    def page(self) -> str:
        """The address of its web page."""
        return f"{constants.ENDPOINT}/{PREFIXES[self.repo_type]}{self.repo_id}"

    def __str__(self) -> str:
        return f"hf://{PREFIXES[self.repo_type]}{self.repo_id}@{self.revision}"


@dataclass(frozen=True)
class _Client:
    """The private parts of the Hub's client that this module needs.

    Attributes:
        httpx: The library that sends its requests.
        factory: Makes its sessions.
    """

    httpx: Any
    factory: Callable[[], Any]


def _client() -> _Client:
    """Imports the private parts of `huggingface_hub`, only when the Hub is used: a local set never needs it."""
    from huggingface_hub.utils import _http, httpx  # type: ignore[attr-defined]

    return _Client(httpx, getattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory))


@contextmanager
def connection(silence: float = SILENCE) -> Iterator[None]:
    """Limits requests of `huggingface_hub` to `silence` seconds without an answer, and its log to errors, in the block.

    By default it waits for ever. A client factory that the caller has set stays in use.
    """
    before = _client().factory
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)
    set_client_factory(lambda: _client_in_time(before(), silence))
    try:
        yield
    finally:
        set_client_factory(before)
        hub_logging.set_verbosity(verbosity)


def _client_in_time(client: Any, silence: float) -> Any:
    """Returns the client, which ends a request after `silence` seconds without an answer, and does not try again."""
    send, silent, httpx = client.send, 0, _client().httpx

    def send_in_time(request: Any, *args: object, **kwargs: object) -> object:
        nonlocal silent
        # Many calls pass no time-out, which overrides the client's own.
        limits = request.extensions.get("timeout") or {}
        names = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = {name: min(limits.get(name) or silence, silence) for name in names}
        try:
            return send(request, *args, **kwargs)
        except httpx.TimeoutException:
            silent += 1
            if silent == 1:
                raise
        raise HubError(
            f"{constants.ENDPOINT} was silent for {silence:g} seconds, twice; try again later", code="hub-unreachable"
        )

    client.send = send_in_time
    return client


def ask_hub(
    call: Callable[[], Result],
    place: HubPlace,
    *,
    done: Callable[[], Result | None] | None = None,
    again: bool = True,
) -> Result:
    """Returns the result of a call of the Hub's client, with retries where they may help; else raises HubError.

    Args:
        call: The call.
        place: The repository that it is about, for the message.
        done: Checks after a failed try whether the call took effect nevertheless; returns what the call would
            have returned, else None. The answer may be lost although the request was not.
        again: False for calls that the client itself retries.
    """
    message, kind, httpx = "", HubError, _client().httpx
    for wait in (*WAITS, None) if again else (None,):
        try:
            return call()
        except Exception as error:
            cause = _root(error)
            if cause is error and not isinstance(cause, OSError | httpx.HTTPError | ValueError | HubError):
                raise
            message, kind = _explain_error(cause, place), _kind(cause)
            pause = _pause(cause, wait)
        if pause is None:
            break
        time.sleep(pause)
        if done is not None and (result := done()) is not None:
            return result
    # Raised outside of the handler, so that no exception of the client, which holds the token, is attached to it.
    raise kind(message)


def _root(error: BaseException) -> BaseException:
    """Returns the error that caused the client's own error about a file that could not be sent or found."""
    outer = isinstance(error, RuntimeError | LocalEntryNotFoundError)
    return error.__cause__ if outer and error.__cause__ is not None else error


def _status(error: BaseException) -> int:
    return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else 0


def _pause(error: BaseException, wait: float | None) -> float | None:
    """Returns the seconds to wait before the next try; None for no further try."""
    httpx = _client().httpx
    lost = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
    if wait is None or not (lost or _status(error) in _TRANSIENT):
        return None
    told = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return min(float(told), _LONGEST_WAIT) if told.isdecimal() else wait


def _kind(error: BaseException) -> type[HubError]:
    if isinstance(error, HubError):
        return type(error)
    absent = (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError)
    return NotOnHubError if isinstance(error, absent) and not isinstance(error, GatedRepoError) else HubError


def _explain_error(error: BaseException, place: HubPlace) -> str:
    """Returns an error in one line that says what to do, without addresses (which may hold secrets) and the token."""
    if isinstance(error, HubError):
        return str(error)
    said, status = _server_message(error), _status(error)
    full = status in _FULL or (status == 403 and _OF_STORAGE.search(said))
    httpx = _client().httpx
    kinds = [*_BY_KIND.items(), *((getattr(httpx, name), text) for name, text in _BY_FAILURE.items())]
    of_kind = next((text for kind, text in kinds if isinstance(error, kind)), None)
    text = of_kind or (_FULL_TEXT if full else _BY_STATUS.get(status, "{said}"))
    if of_kind is None and not full and status in _TRANSIENT and status != 429:
        text = "{hub} answers {status} again and again; try again later"
    return text.format(
        said=said or status or type(error).__name__,
        status=status,
        place=place,
        repo=place.repo_id,
        kind=_KINDS[place.repo_type],
        page=place.page,
        revision=place.revision,
        hub=constants.ENDPOINT,
        login="log in with `hf auth login`",
    )


def _server_message(error: BaseException) -> str:
    """Returns the server's or the client's message about an error: one line without addresses and without the token."""
    text = getattr(error, "server_message", None)
    if text is None and not isinstance(error, HfHubHTTPError):
        text = getattr(error, "strerror", None) or str(error)
    words = [word for word in str(text or "").split() if "://" not in word]
    token = get_token()
    line = " ".join(words)[:300]
    return line.replace(token, "***") if token else line
