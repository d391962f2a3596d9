"""What a user chooses for the checks that need networks."""

from dataclasses import dataclass

DEFAULT_SOURCES = 32
"""Sources per border that network checks use unless all are asked for."""


@dataclass(frozen=True)
class NetworkOptions:
    """What a user chooses.

    seeds: how many trained nets, None for each check's own default.
    full: the paper's protocol, on all rows.
    device: of torch, "cpu" or "cuda...".
    progress: show bars, if standard error is a terminal.
    """

    seeds: int | None = None
    full: bool = False
    device: str = "cpu"
    progress: bool = False

    def sources(self, there: int) -> int:
        """How many of a split's sources are used."""
        return there if self.full else min(there, DEFAULT_SOURCES)
