"""The options of checks that run networks."""

from dataclasses import dataclass

DEFAULT_SOURCES = 32
"""Number of sources per border in network checks, unless all are requested."""


@dataclass(frozen=True)
class NetworkOptions:
    """The options of checks that run networks.

    Attributes:
        seeds: Number of trained networks, None for each check's default.
        full: Run the paper's protocol, on all rows.
        device: Device of torch, "cpu" or "cuda...".
        progress: Show bars, if standard error is a terminal.
    """

    seeds: int | None = None
    full: bool = False
    device: str = "cpu"
    progress: bool = False

    def sources(self, there: int) -> int:
        """Returns the number of a split's sources to use."""
        return there if self.full else min(there, DEFAULT_SOURCES)
