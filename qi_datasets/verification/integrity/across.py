"""Checks on several sets of one folder: sets that share one order of images must share no image."""

from collections.abc import Sequence

from qi_datasets.verification.integrity.findings import Findings
from qi_datasets.verification.report.report import Check, CheckResults, Status
from qi_datasets.verification.stored_folder import StoredFolder

NAME = "disjoint"


def check_across(stored_sets: Sequence[StoredFolder]) -> CheckResults:
    """Checks that no set has a source of the set whose images come before it, by name or by file."""
    sets = {stored.name: stored for stored in stored_sets}
    checks = [
        disjoint(stored, sets[stored.spec.first_rank_after])
        for stored in sets.values()
        if stored.spec.first_rank_after in sets
    ]
    return CheckResults(tuple(checks))


def disjoint(later: StoredFolder, earlier: StoredFolder) -> Check:
    """Returns whether two sets have no source in common."""
    findings = Findings()
    known = {
        key: f"{earlier.name} ({split})"
        for split, records in earlier.manifest.sources.items()
        for record in records
        for key in (record.name, record.sha256)
    }
    count = 0
    for split, records in later.manifest.sources.items():
        count += len(records)
        for record in records:
            if record.name in known:
                findings.add(NAME, f"{record.name} is in {later.name} ({split}) and in {known[record.name]}")
    same_file = [
        record.name for records in later.manifest.sources.values() for record in records if record.sha256 in known
    ]
    cause = findings.cause(NAME)
    warning = (
        f"{len(same_file)} sources have the bytes of a source of {earlier.name}, such as {same_file[0]}"
        if same_file
        else ""
    )
    return Check(
        later.name,
        NAME,
        Status.FAIL if cause else Status.WARN if warning else Status.PASS,
        f"{count} sources",
        f"it shares no source with {earlier.name}",
        cause=cause or warning,
    )
