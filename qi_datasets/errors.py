"""Every exception that a user's input can cause; its one line says what is wrong, where, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

CODES = {
    "bad-answers": "a network's answers are not one vector of numbers for each image, or are not repeatable",
    "bad-archive": "a submitted archive has content that is not allowed",
    "bad-argument": "an argument is refused for a reason that no other code covers",
    "bad-entry": "an entry contradicts itself or its predictions",
    "bad-file-type": "a file of this name extension can't be written",
    "bad-image": "a file is not an image, or can't be decoded as required",
    "bad-model": "the network is not a network, or can't be made",
    "bad-place": "a folder, a URL or a repository's name is not suitable",
    "bad-shape": "an array or a tensor has a wrong shape, type or number of channels",
    "bad-source": "the images to build from have an unknown layout or wrong names",
    "bad-value": "a value is out of range, or not one of the choices",
    "bad-weights": "weights that can't be read safely, or fit another network",
    "builder-error": "a builder breaks its own spec",
    "cannot-read": "a file or a folder can't be read",
    "cannot-write": "a file or a folder can't be written",
    "cluster-lost": "a Dask cluster has no workers, or is lost",
    "contradiction": "two arguments exclude each other",
    "damaged": "a file is truncated, changed, or differs from its checksum",
    "disk-full": "there is too little space on the disk",
    "does-not-fit": "a patch does not fit into its image",
    "failed-check": "a check failed",
    "folder-in-use": "a folder has content that is not replaced without being asked to",
    "hub-error": "the Hub refuses, or gives an unexpected answer",
    "hub-unreachable": "the Hub can't be reached, or may not be (offline mode)",
    "missing-argument": "a needed argument is missing",
    "missing-extra": "a library is missing that one of the package's extras installs",
    "newer-version": "a later version of this package wrote it",
    "no-cluster": "no Dask scheduler answers",
    "no-convergence": "a probe did not converge",
    "no-effect": "an argument would have no effect",
    "no-images": "there are no images at the given location",
    "no-streaming": "this data set can't be streamed",
    "no-such-path": "a path does not exist",
    "not-built": "a set is not built yet",
    "not-finite": "a network's features, logits or loss are not finite, or all the same",
    "not-on-hub": "the Hub has no such repository, revision or file, or hides it from this user",
    "not-publishable": "a set must not be published like this",
    "not-repeatable": "an evaluation can't be run again",
    "nothing-asked": "the request is empty",
    "other-set": "a folder or repository has another set",
    "other-version": "a set is of another data version, or under another tag",
    "recipe": "a set is only a recipe, without images",
    "repository-in-use": "a repository has other content",
    "too-few-images": "a source lacks images",
    "too-large": "a file is larger than a file of its kind may be",
    "too-many": "the request is for more than there is or can be",
    "too-small": "an image is too small for a network",
    "two-of-a-name": "one name has two different contents",
    "unknown-argument": "there is no argument of that name",
    "unknown-column": "there is no column of that name",
    "unknown-device": "torch can't use a device",
    "unknown-figure": "there is no figure of that name",
    "unknown-mode": "a set has no mode of that name",
    "unknown-set": "there is no set or config of that name",
    "unknown-split": "a set has no split of that name",
    "unreadable-entry": "a file of an entry is missing or can't be read",
    "unsupported-operation": "a function that a network calls has no rule",
}
"""Code of an error -> its meaning. Codes stay the same if messages change."""


@dataclass(frozen=True)
class NamedArgument:
    """An argument in a message: `name=value` in Python, its flag in a command's messages."""

    name: str
    value: object = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


class Message(str):
    """A text that keeps its parts, some of which may be a `NamedArgument`."""

    parts: tuple[object, ...]

    def __new__(cls, *parts: object) -> "Message":
        """Joins the parts to one text; those of an error or of another message become parts of this one."""
        text = super().__new__(cls, "".join(map(str, parts)))
        messages = (part.message if isinstance(part, QIDatasetsError) else part for part in parts)
        groups = (part.parts if isinstance(part, Message) else (part,) for part in messages)
        text.parts = tuple(part for group in groups for part in group)
        return text


class QIDatasetsError(Exception):
    """Base of all exceptions of this package; `exit_status` is a command's exit status.

    Args:
        parts: The message, in parts: texts, a `NamedArgument` for each argument that it names, and other errors.
        code: One of `CODES`; by default the class's own.

    Attributes:
        code: One of `CODES`.
    """

    exit_status: ClassVar[int] = 2
    code: str = "bad-argument"

    def __init__(self, *parts: object, code: str | None = None) -> None:
        super().__init__(*parts)
        if code is not None:
            self.code = code

    @property
    def message(self) -> Message:
        """The text with its parts."""
        return Message(*self.args)

    def __str__(self) -> str:
        return str(self.message)


class OptionError(QIDatasetsError, ValueError):
    """A bad argument: outside its range, of a wrong type or shape, or without effect."""


class UnsupportedOperationError(OptionError):
    """A function that a network calls can't be computed on a tensor type of ours."""

    code = "unsupported-operation"


class UnknownSetError(OptionError):
    """No set, config or split of that name."""

    code = "unknown-set"


class SourceError(QIDatasetsError):
    """The images that a set is to be made from, or their labels, are missing, damaged or contradictory."""

    code = "bad-source"


class TooFewImagesError(SourceError):
    """A source lacks images that a set's selection asks for."""

    code = "too-few-images"


class BuilderError(QIDatasetsError):
    """A builder breaks its own spec: a row with another size, label or column than the spec says."""

    code = "builder-error"


class OutputError(QIDatasetsError):
    """The output folder can't be written, or holds a set that must not be replaced silently."""

    code = "cannot-write"


class WorkerError(QIDatasetsError):
    """A Dask cluster has no workers, loses them again and again, or is lost itself."""

    code = "cluster-lost"


class NotBuiltError(QIDatasetsError):
    """A set was asked for that has not been built."""

    code = "not-built"


class StoredSetError(QIDatasetsError):
    """A stored set can't be read: no valid manifest, or files that differ from it."""

    code = "damaged"


class NewerSetError(StoredSetError):
    """A stored set was written by a later version of this package, which may store what this one doesn't know."""

    code = "newer-version"


class MissingExtraError(QIDatasetsError, ImportError):
    """A part of this package needs libraries that one of its extras installs."""

    code = "missing-extra"


class HubError(QIDatasetsError):
    """The Hub refuses, can't be reached, or doesn't have what is asked for."""

    code = "hub-error"


class NotOnHubError(HubError):
    """The Hub has no such repository, revision or file, or hides it from this user."""

    code = "not-on-hub"


class PublishError(QIDatasetsError):
    """A set must not be published like this: its terms, or published data, forbid it."""

    code = "not-publishable"


class FailedCheckError(PublishError):
    """A set must not be published because it fails a check."""

    code = "failed-check"

    exit_status = 1


class EntryError(QIDatasetsError):
    """An entry of an evaluation that can't be read, or that its own predictions contradict."""

    code = "bad-entry"


class ModelError(QIDatasetsError):
    """A network that can't be made, lacks weights that fit, or gives answers that can't be evaluated."""

    code = "bad-model"


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """Returns the error of a missing library, with the command that installs it.

    Args:
        what: What is missing, and its purpose.
        extra: The extra of this package that installs it.
    """
    return MissingExtraError(f"{what}; in a checkout of qi-datasets run: python -m pip install '.[{extra}]'")


def name_some(names: Sequence[str], most: int = 5) -> str:
    """Returns names for a message: the first `most` of them, and the number of others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def one_line(error: BaseException) -> str:
    """Returns an exception's text without line breaks and control characters; if it is empty, its class's name."""
    return in_one_line(str(error)) or type(error).__name__


def in_one_line(text: str) -> str:
    """Returns a text without line breaks and control characters."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Returns a text that is safe on a terminal: control characters but line breaks are escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
