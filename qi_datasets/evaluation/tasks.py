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
    """The units of work of an evaluation, and the predictions made from their results."""

    @property
    def size(self) -> int:
        """The largest number of units that there can be."""

    def open_units(self) -> list[Unit]:
        """Returns the units that can be done now; [] once all are done."""

    def predictions(self) -> Predictions:
        """Returns the predictions of all cases, in an entry's order."""

    def notes(self) -> dict[Case, Notes]:
        """Returns the notes about each case, which an entry has beside the answers."""


ReadData = Callable[[str | Path | None, Design, int | None, bool], EvaluationData]
"""read(output, design, limit, progress) -> data; `limit` is the number of sources per split, None for all."""


@dataclass(frozen=True)
class Task:
    """A task: which inits and borders it takes, how its data are read, and what its units are.

    Attributes:
        name: The name of the set.
        summary: The task's question about a network, in one line.
        read: Reads the data.
        work: Makes the units of an evaluation, from its design, its data and the folder that it works in.
        canvas: Rows and columns of the images, without border.
        borders: The default borders, in pixels.
        modes: The ways in which pictures are moved.
        shifts: How far pictures are moved, in pixels.
        head: Whether classifiers keep their heads.
        widens: Whether networks that divide the image into patches get wider borders.
        calibrates: Whether random networks' batch norms are calibrated by default.
        settings: Constants of the protocol, which the entry records.
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
        """The initialisations that a network may have, the preferred one first."""
        return TASK_INITS[self.name]


def read_qi(output: str | Path | None, design: Design, limit: int | None, progress: bool) -> EvaluationData:
    """Reads the patches of `qi`, of the splits that the initialisations need; a `ReadData`."""
    train, validation, test = QI.splits
    splits = (train, validation, test) if SCRATCH in design.inits else (train, test)
    return read_quadrant(stored_set(QI, output), splits, limit, progress)


def read_shifted(output: str | Path | None, design: Design, limit: int | None, progress: bool) -> EvaluationData:
    """Reads the sources of `shifted`; a `ReadData`."""
    return shifted_sources(stored_set(SHIFTED, output), limit)


def make_reader(spec: SetSpec) -> ReadData:
    """Returns the function that reads a generated set, which needs no images."""

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
            summary="up to which border does it read location?",
            read=read_qi,
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
            read=read_shifted,
            work=ShiftedWork,
            canvas=SHIFTED_GEOMETRY.view,
            modes=MODES,
            shifts=SHIFTS,
            head=True,
        ),
        Task(
            name=RED_GREEN_SET.name,
            summary="trained on it, does it answer by location in places where it saw no pictures?",
            read=make_reader(RED_GREEN_SET),
            work=RedGreenWork,
            canvas=RED_GREEN_SET.size,
        ),
        Task(
            name=ROOK.name,
            summary="trained on two images, does it distinguish the two corners?",
            read=make_reader(ROOK),
            work=RookWork,
            canvas=ROOK.size,
        ),
        Task(
            name=CORNER.name,
            summary="does its answer to a white pixel depend on the corner?",
            read=make_reader(CORNER),
            work=CornerWork,
            canvas=CORNER.size,
        ),
    )
}
"""Every task, by name."""
