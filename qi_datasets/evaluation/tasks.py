"""The tasks that a network can be evaluated on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from qi_datasets.evaluation.cases import GIVEN, PRETRAINED, RANDOM, SCRATCH, Case, Design
from qi_datasets.evaluation.data import Evaluated, read_quadrant, stored_set
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.evaluation.quadrant import QuadrantWork
from qi_datasets.evaluation.work import Unit, Workplace
from qi_datasets.protocols.quadrant import CALIBRATION_BATCH, CALIBRATION_SOURCES, PROBE_PENALTY
from qi_datasets.specs import QI


class Work(Protocol):
    """Which units an evaluation has, and what becomes of them."""

    @property
    def size(self) -> int:
        """Units that there are at most."""

    def open_units(self) -> list[Unit]:
        """Units that can be done now; [] once all is done."""

    def predictions(self) -> Predictions:
        """The predictions of all cases, in an entry's order."""

    def notes(self) -> dict[Case, Mapping[str, Any]]:
        """What is noted beside the answers of each case."""


@dataclass(frozen=True)
class Task:
    """A task: which inits and borders it takes, how its data are read, and what its units are.

    inits: in the order of preference
    head: whether classifiers keep their heads
    calibrates: whether random networks' batch norms are calibrated unless it is said otherwise
    settings: constants of its protocol, for the entry
    """

    name: str
    summary: str
    inits: Sequence[str]
    read: Callable[[str | Path | None, Design, int | None, bool], Evaluated]
    work: Callable[[Design, Evaluated, Workplace], Work]
    borders: Sequence[int] = (0,)
    modes: Sequence[str] = ()
    shifts: Sequence[int] = ()
    head: bool = False
    calibrates: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def quadrant_data(output: str | Path | None, design: Design, limit: int | None, progress: bool) -> Evaluated:
    """The patches of the splits that the inits need."""
    train, validation, test = QI.splits
    splits = (train, validation, test) if SCRATCH in design.inits else (train, test)
    return read_quadrant(stored_set(QI, output), splits, limit, progress)


QUADRANT_TASK = Task(
    name=QI.name,
    summary="from how far away does it read where things are?",
    inits=(RANDOM, PRETRAINED, GIVEN, SCRATCH),
    read=quadrant_data,
    work=QuadrantWork,
    borders=QI.borders,
    calibrates=True,
    settings={
        "calibration_sources": CALIBRATION_SOURCES,
        "calibration_batch": CALIBRATION_BATCH,
        "probe_penalty": PROBE_PENALTY,
    },
)

TASKS: Mapping[str, Task] = {task.name: task for task in (QUADRANT_TASK,)}
"""Every task, by name."""
