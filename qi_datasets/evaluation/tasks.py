"""The tasks that a network can be evaluated on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.arguments import TASK_INITS
from qi_datasets.evaluation.cases import Case, Design
from qi_datasets.evaluation.content import Notes
from qi_datasets.evaluation.data import EvaluationData, read_generated, read_quadrant, shifted_sources, stored_set
from qi_datasets.evaluation.initialisations import SCRATCH
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.evaluation.quadrant import QuadrantWork
from qi_datasets.evaluation.shifted import SHIFTS, ShiftedWork
from qi_datasets.evaluation.toy_sets import CornerWork, RedGreenWork, RookWork
from qi_datasets.evaluation.work_folder import Unit, Workplace
from qi_datasets.protocols.quadrant import CALIBRATION_BATCH, CALIBRATION_SOURCES, PROBE_PENALTY
from qi_datasets.protocols.shifted import MODES
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import CORNER, CORNERS, QI, QUADRANT, RED_GREEN_SET, ROOK, SHIFTED, SHIFTED_GEOMETRY


class Work(Protocol):
    """The units of an evaluation, and what their results become."""

    @property
    def size(self) -> int:
        """Units that there are at most."""

    def open_units(self) -> list[Unit]:
        """Units that can be done now; [] once all is done."""

    def predictions(self) -> Predictions:
        """Returns the predictions of all cases, in an entry's order."""

    def notes(self) -> dict[Case, Notes]:
        """Returns what is noted beside the answers of each case."""


ReadData = Callable[[str | Path | None, Design, int | None, bool], EvaluationData]
"""Reads what is evaluated: output place, design, sources per split (None for all), and whether to show a bar."""


@dataclass(frozen=True)
class Task:
    """A task: which inits and borders it takes, how its data are read, and what its units are.

    Attributes:
        name: Of the set.
        summary: The question that it answers, in one line.
        read: Gives what is evaluated on.
        work: Gives the units of an evaluation in its place.
        canvas: Rows and columns of the images, without border.
        borders: Those that are usual, in pixels.
        modes, shifts: What views there are, and how far they are moved, in pixels.
        head: Whether classifiers keep their heads.
        widens: Whether networks of patches get wider borders.
        calibrates: Whether random networks' batch norms are calibrated by default.
        settings: Constants of its protocol, for the entry.
    """

    name: str
    summary: str
    read: ReadData
    work: Callable[[Design, EvaluationData, Workplace], Work]
    canvas: int
    borders: Sequence[int] = (0,)
    modes: Sequence[str] = ()
    shifts: Sequence[int] = ()
    head: bool = False
    widens: bool = False
    calibrates: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inits(self) -> Sequence[str]:
        """The inits that it takes, in the order of preference."""
        return TASK_INITS[self.name]


def quadrant_data(output: str | Path | None, design: Design, limit: int | None, progress: bool) -> EvaluationData:
    """Returns the patches of the splits that the inits need; arguments as of `ReadData`."""
    train, validation, test = QI.splits
    splits = (train, validation, test) if SCRATCH in design.inits else (train, test)
    return read_quadrant(stored_set(QI, output), splits, limit, progress)


def shifted_data(output: str | Path | None, design: Design, limit: int | None, progress: bool) -> EvaluationData:
    """Returns the sources of `shifted`; arguments as of `ReadData`."""
    return shifted_sources(stored_set(SHIFTED, output), limit)


def generated_data(spec: SetSpec) -> ReadData:
    """Returns what reads a set that needs no images."""

    def read(output: str | Path | None, design: Design, limit: int | None, progress: bool) -> EvaluationData:
        if limit is not None and sum(spec.splits.values()) == len(CORNERS):
            raise OptionError(f"{spec.name} is two images; leave limit out", code="no-effect")
        return read_generated(stored_set(spec, output), limit)

    return read


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            name=QI.name,
            summary="from how far away does it read where things are?",
            read=quadrant_data,
            work=QuadrantWork,
            canvas=QUADRANT.canvas,
            borders=QI.borders,
            widens=True,
            calibrates=True,
            settings={
                "calibration_sources": CALIBRATION_SOURCES,
                "calibration_batch": CALIBRATION_BATCH,
                "probe_penalty": PROBE_PENALTY,
            },
        ),
        Task(
            name=SHIFTED.name,
            summary="does its answer change when a picture moves by a few pixels?",
            read=shifted_data,
            work=ShiftedWork,
            canvas=SHIFTED_GEOMETRY.view,
            modes=MODES,
            shifts=SHIFTS,
            head=True,
        ),
        Task(
            name=RED_GREEN_SET.name,
            summary="trained on it, does it answer by place where pictures never were?",
            read=generated_data(RED_GREEN_SET),
            work=RedGreenWork,
            canvas=RED_GREEN_SET.size,
        ),
        Task(
            name=ROOK.name,
            summary="trained on two images, does it tell a corner from the other?",
            read=generated_data(ROOK),
            work=RookWork,
            canvas=ROOK.size,
        ),
        Task(
            name=CORNER.name,
            summary="does it give another answer to a white pixel in another corner?",
            read=generated_data(CORNER),
            work=CornerWork,
            canvas=CORNER.size,
        ),
    )
}
"""Every task, by name."""
