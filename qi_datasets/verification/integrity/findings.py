"""Errors that integrity checks found: their number, and the first few, each in one line."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from qi_datasets.errors import one_line

NAMED = 3
"""The number of findings that a message names before it counts the rest."""


@dataclass
class Findings:
    """Findings by the name of their check."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, check: str, what: str) -> None:
        """Adds one finding: what is wrong, and where."""
        self.counts[check] += 1
        known = self.first.setdefault(check, [])
        if len(known) < NAMED:
            known.append(what)

    def gather(self, check: str, found: Iterable[str]) -> None:
        """Adds all that a check finds; its exception, if it ends in one, is a finding too: a set can be anything."""
        try:
            for what in found:
                self.add(check, what)
        except Exception as error:
            self.add(check, f"the check could not be made ({type(error).__name__}: {one_line(error)})")

    def merge(self, other: "Findings") -> None:
        """Adds another's findings after these."""
        self.counts.update(other.counts)
        for check, found in other.first.items():
            known = self.first.setdefault(check, [])
            known.extend(found[: NAMED - len(known)])

    def cause(self, check: str) -> str:
        """Returns all that was found by a check, in one line; "" if nothing."""
        named = self.first.get(check, [])
        more = self.counts[check] - len(named)
        return "; ".join(named) + (f"; and {more} more" if more else "")
