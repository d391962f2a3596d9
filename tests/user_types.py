"""A user's script, which `nox -s types` checks for types of the main calls; it is never run."""

from pathlib import Path
from typing import Any, assert_type

from torch import nn

from qi_datasets import build_dataset, evaluate, load_dataset, provenance, publish, verify
from qi_datasets.building.dataset import Built
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.results import BorderFigures, Estimate, QuadrantFigures
from qi_datasets.publishing.publish import PublishedResult
from qi_datasets.torch import QuadrantImageNet
from qi_datasets.verification.report.report import Report

assert_type(build_dataset("qi", demo=True, output=Path("sets")), Built)
assert_type(evaluate(nn.Flatten(), output="sets"), Entry)
assert_type(verify("sets", only="integrity"), Report)
assert_type(verify("sets").passed, bool)
assert_type(publish("sets", "lab/qi", dry_run=True), tuple[PublishedResult, ...])
assert_type(provenance("sets/qi"), dict[str, Any])

figures = Entry.read("entries/my-net").figures["given"]
if isinstance(figures, QuadrantFigures):
    assert_type(figures.borders["64"], BorderFigures)
    assert_type(figures.borders["64"].accuracy, float)
    assert_type(figures.location_score, Estimate | None)
assert_type(figures["reach_75"], Any)

load_dataset("qi", split="test", border=64, output="sets")
load_dataset("rook", streaming=True)
load_dataset("qi", bordr=64)  # type: ignore[call-overload]
QuadrantImageNet("sets", "test", 64, canvas=128)
QuadrantImageNet("sets", bordr=64)  # type: ignore[call-arg]
