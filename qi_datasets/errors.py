"""Every exception that a caller's input can cause: one line that says what is wrong, where, and what to do."""

from collections.abc import Sequence
from typing import ClassVar


class QIDatasetsError(Exception):
    """Base of all exceptions of this package; `exit_status` is what a command ends with."""

    exit_status: ClassVar[int] = 2


class OptionError(QIDatasetsError, ValueError):
    """A bad argument: outside its range, of a wrong type or shape, or without effect."""


class UnsupportedOperationError(OptionError):
    """A function that a network calls can't be computed on a tensor type of ours."""


class UnknownSetError(OptionError):
    """No set, config or split of that name."""


class SourceError(QIDatasetsError):
    """The images that a set is to be made from, or their labels, are missing, damaged or contradictory."""


class TooFewImagesError(SourceError):
    """A source lacks images that a set's selection asks for."""


class BuilderError(QIDatasetsError):
    """A builder breaks its own spec: a row with another size, label or column than the spec says."""


class OutputError(QIDatasetsError):
    """The output folder can't be written, or holds a set that must not be replaced silently."""


class WorkerError(QIDatasetsError):
    """A Dask cluster has no workers, loses them again and again, or is lost itself."""


class NotBuiltError(QIDatasetsError):
    """A set was asked for that has not been built."""


class StoredSetError(QIDatasetsError):
    """A stored set can't be read: no valid manifest, or files that differ from it."""


class NewerSetError(StoredSetError):
    """A stored set was written by a later version of this package, which may store what this one doesn't know."""


class MissingExtraError(QIDatasetsError, ImportError):
    """A part of this package needs libraries that are installed with one of its extras."""


class HubError(QIDatasetsError):
    """The Hub refuses, can't be reached, or doesn't have what is asked for."""


class NotOnHubError(HubError):
    """The Hub knows no such repository, revision or file, or shows it to others only."""


class PublishError(QIDatasetsError):
    """A set must not be published so: its terms, or what is published already, forbid it."""


class FailedCheckError(PublishError):
    """A set must not be published because it fails a check."""

    exit_status = 1


class EntryError(QIDatasetsError):
    """An entry of an evaluation that can't be read, or that its own predictions contradict."""


class ModelError(QIDatasetsError):
    """A network that can't be made, lacks weights that fit, or gives answers that can't be evaluated."""


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """Returns the error of a missing library, with the command that installs it.

    Args:
        what: What is missing, and for what.
        extra: Of this package, which brings it.
    """
    return MissingExtraError(f"{what}; in a checkout of qi-datasets run: python -m pip install '.[{extra}]'")


def name_some(names: Sequence[str], most: int = 5) -> str:
    """Returns names for a message: the first `most` of them, and how many there are beside."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def one_line(error: BaseException) -> str:
    """An exception's text without line breaks and control characters; the name of its class where the text is empty."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(text: str) -> str:
    """A text that a terminal shows and doesn't obey: line breaks stay, other control characters are spelt out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
