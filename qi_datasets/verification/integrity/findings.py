"""Errors that integrity checks found: their number, and the first few, one line each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from qi_datasets.errors import one_line

NAMED = 3
"""Number of findings that a message names before it counts the rest."""


@dataclass
class Findings:
    """Findings by the names of their checks."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, check: str, what: str) -> None:
        """Adds one finding: an error, and where it is."""
        self.counts[check] += 1
        known = self.first.setdefault(check, [])
        if len(known) < NAMED:
            known.append(what)

    def gather(self, check: str, found: Iterable[str]) -> None:
        """Adds all findings of a check. An exception of the check is a finding too: a set can be damaged in any way."""
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
        """Returns all findings of a check in one line; "" if there are none."""
        named = self.first.get(check, [])
        more = self.counts[check] - len(named)
        return "; ".join(named) + (f"; and {more} more" if more else "")
