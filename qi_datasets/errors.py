"""Every exception that a user's input can cause; its one line says what is wrong, where, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

CODES = {
    "bad-answers": "a network answers otherwise than one vector of numbers for each image, the same each time",
    "bad-archive": "an archive that was handed in holds what it may not",
    "bad-argument": "an argument that can't be taken, for a reason of its own",
    "bad-entry": "an entry contradicts itself or its predictions",
    "bad-file-type": "a file's name has an ending that can't be written",
    "bad-image": "a file is no image, or none that can be decoded as it should",
    "bad-model": "what is given as a network is none, or can't be made",
    "bad-place": "a folder, a URL or a repository's name that can't be what is asked for",
    "bad-shape": "an array or a tensor has another shape, type or number of channels",
    "bad-source": "images to build from are not laid out or named as they must be",
    "bad-value": "a value outside its range, or not one of those that can be given",
    "bad-weights": "weights that can't be read safely, or fit another network",
    "builder-error": "a builder breaks its own spec",
    "cannot-read": "a file or a folder can't be read",
    "cannot-write": "a file or a folder can't be written",
    "cluster-lost": "a Dask cluster has no workers, or is lost",
    "contradiction": "two arguments exclude each other",
    "damaged": "a file is cut off, changed or not what a checksum says",
    "disk-full": "there is too little room",
    "does-not-fit": "a patch does not fit the image that it is to be in",
    "failed-check": "a check failed",
    "folder-in-use": "a folder holds something that is not to be replaced unasked",
    "hub-error": "the Hub refuses, or answers otherwise than it should",
    "hub-unreachable": "the Hub can't be reached, or must not be",
    "missing-argument": "an argument is needed beside those that are given",
    "missing-extra": "a library is needed that an extra installs",
    "newer-version": "a later version of this package wrote it",
    "no-cluster": "no Dask scheduler answers",
    "no-convergence": "a probe did not converge",
    "no-effect": "an argument would have no effect",
    "no-images": "there are no images where they should be",
    "no-streaming": "this can't be streamed",
    "no-such-path": "there is nothing at a path",
    "not-built": "a set is not built yet",
    "not-finite": "a network's features, logits or loss are no finite numbers, or all alike",
    "not-on-hub": "the Hub has no such repository, revision or file, or shows it to others only",
    "not-publishable": "it must not be published so",
    "not-repeatable": "an evaluation can't be run again",
    "nothing-asked": "nothing at all is asked for",
    "other-set": "a place holds another set",
    "other-version": "it is of another data version, or under another tag",
    "recipe": "a recipe, which holds no images",
    "repository-in-use": "a repository holds something else",
    "too-few-images": "a source lacks images",
    "too-large": "a file is larger than any of its kind may be",
    "too-many": "more is asked for than there is or can be",
    "too-small": "an image is too small for a network",
    "two-of-a-name": "one name has two contents",
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
