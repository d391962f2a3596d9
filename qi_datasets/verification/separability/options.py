"""The options of checks that run networks."""

from dataclasses import dataclass

DEFAULT_SOURCES = 32
"""Sources per border that network checks use unless all are asked for."""


@dataclass(frozen=True)
class NetworkOptions:
    """The options of checks that run networks.

    Attributes:
        seeds: How many trained nets, None for each check's own default.
        full: The paper's protocol, on all rows.
        device: Of torch, "cpu" or "cuda...".
        progress: Show bars, if standard error is a terminal.
    """

    seeds: int | None = None
    full: bool = False
    device: str = "cpu"
    progress: bool = False

    def sources(self, there: int) -> int:
        """Returns how many of a split's sources are used."""
        return there if self.full else min(there, DEFAULT_SOURCES)
