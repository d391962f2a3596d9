"""Decides who may see a published set: safe by default, and never against the terms of the pixels."""

from dataclasses import dataclass

from qi_datasets.errors import NamedArgument, OptionError

AUTO, MANUAL = "auto", "manual"
GATES = (AUTO, MANUAL)
"""Kinds of gates: automatic, for everybody who agrees to the terms; or manual, by the owner for each request."""


@dataclass(frozen=True)
class Access:
    """Settings of a repository. gated: one of `GATES`, or False."""

    private: bool
    gated: str | bool

    def __str__(self) -> str:
        gate = {AUTO: ", gated: everybody who agrees to the terms", MANUAL: ", gated: you let each person in"}
        return ("private" if self.private else "public") + gate.get(str(self.gated), "")


def access_for(*, free: bool, private: bool | None, gated: str | None) -> Access:
    """Returns the settings for a set.

    Args:
        free: Whether anybody may publish these files.
        private: The user's wish; None for the default: public if the files are free, else private.
        gated: The user's wish; None for the default: no gate if the files are free, else the manual one.

    Raises OptionError for pixels that are not free and would be public without a gate.
    """
    if gated is not None and gated not in GATES:
        raise OptionError(
            NamedArgument("gated"), f" must be {' or '.join(map(repr, GATES))}, not {gated!r}", code="bad-value"
        )
    if free:
        return Access(bool(private), gated or False)
    if private is False and gated is None:
        raise OptionError(
            "these pixels may be passed on only to people who have agreed to their terms first: public needs a gate "
            "(auto or manual); or keep it private, or publish the recipe alone",
            code="contradiction",
        )
    return Access(private is not False, gated or MANUAL)


def settle_access(wanted: Access, found: Access, *, free: bool, private: bool | None, gated: str | None) -> Access:
    """Returns the settings of a repository that exists already: never less strict than before, unless requested.

    Args:
        wanted: The result of `access_for`.
        found: The repository's settings.
        free: As in `access_for`.
        private: As in `access_for`.
        gated: As in `access_for`.

    Raises:
        OptionError: If only the owner may open or close the repository, since files that were published
            there before opens or closes with it.
    """
    if wanted.private and not found.private:
        raise OptionError(
            "it is public already, and what is published there would be too: make it private in its settings, choose "
            + ("another name" if free else "another name, or ask for public with a gate")
        )
    if private is False and found.private:
        raise OptionError("it is private, with all that was published there before: make it public in its settings")
    return Access(found.private, gated or found.gated or wanted.gated)
