"""The task `shifted` in units of work: a mode, and a chunk of sources."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from qi_datasets.evaluation.cases import Bench, Case, Design
from qi_datasets.evaluation.content import Notes
from qi_datasets.evaluation.data import EvaluationData, read_shifted
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.evaluation.work_folder import Part, Unit, Workplace
from qi_datasets.protocols.shifted import MODES, answer_shifted
from qi_datasets.specs import SHIFT, SHIFTED, SHIFTED_GEOMETRY

CHUNK = 20
"""Number of sources in a unit."""

NUMBERS = {"prediction": pa.int32(), "margin": pa.float32(), "difference": pa.float32()}
SHIFTS = tuple(range(SHIFT.low, SHIFT.high + 1))
(TEST,) = SHIFTED.splits


class ShiftedWork:
    """The units of an evaluation on `shifted`."""

    def __init__(self, design: Design, data: EvaluationData, place: Workplace) -> None:
        self.design, self.data, self.place = design, data, place
        self._bench = Bench(design)

    @property
    def size(self) -> int:
        """The number of units."""
        return sum(len(self.names(case, mode)) for case in self.design.cases for mode in MODES)

    def open_units(self) -> list[Unit]:
        """Returns the units that are not done; [] once all are."""
        return [
            Unit(name, partial(self.answers, case, mode, number * CHUNK))
            for case, mode in product(self.design.cases, MODES)
            for number, name in enumerate(self.names(case, mode))
            if not self.place.has(name)
        ]

    def names(self, case: Case, mode: str) -> list[str]:
        """Returns the parts of a mode, in the order of the sources."""
        return [case.part(f"{mode}-{start:06d}") for start in range(0, len(self.data.sources[TEST]), CHUNK)]

    def answers(self, case: Case, mode: str, start: int) -> Part:
        """Returns the classifier's answers to a chunk of sources in one mode."""
        stop = min(start + CHUNK, len(self.data.sources[TEST]))
        images, labels, pairs = read_shifted(self.data.stored, start, stop)
        network = self._bench.network(case).network
        bases = self.design.input(images).to(self.design.device)
        found = answer_shifted(network, bases, pairs, SHIFTS, mode)
        # Only a classifier of ImageNet's classes can be right.
        known = found.classes == len(SHIFTED.labels)
        count = stop - start
        answers = np.concatenate([found.predictions, found.pair_predictions.reshape(-1, count)])
        margins = np.concatenate([found.margins, found.pair_margins.reshape(-1, count)])
        changes = np.concatenate([found.changes, np.zeros_like(margins[len(SHIFTS) :])])
        columns = {"prediction": answers, "margin": margins, "difference": changes}
        rows = {name: pa.array(list(values.T), pa.list_(NUMBERS[name])) for name, values in columns.items()}
        return Part(pa.table({"label": labels if known else np.full_like(labels, -1), **rows}))

    def predictions(self) -> Predictions:
        """Returns the predictions of all cases, in order."""
        sources = np.array(self.data.sources[TEST], object)
        images = [{"pair": -1, "shift": shift, "side": 0} for shift in SHIFTS]
        images += [{"pair": k, "shift": 0, "side": side} for k, side in product(range(SHIFTED_GEOMETRY.pairs), (0, 1))]
        parts = []
        for case, mode in product(self.design.cases, MODES):
            table = pa.concat_tables([self.place.read(name).table for name in self.names(case, mode)]).combine_chunks()
            columns: dict[str, Any] = {name: table_column(table, name) for name in NUMBERS}
            columns["label"] = np.tile(table.column("label").to_numpy(), len(images))
            columns["source"] = np.tile(sources, len(images))
            for name in ("pair", "shift", "side"):
                columns[name] = np.repeat([image[name] for image in images], len(sources))
            columns |= {"mode": mode, "init": case.init, "border": case.border, "seed": case.seed}
            parts.append(Predictions.of(SHIFTED.name, columns))
        return Predictions.joined(SHIFTED.name, parts)

    def notes(self) -> dict[Case, Notes]:
        """Returns the notes about each case, which an entry has beside the answers."""
        return {
            case: {
                "seconds": sum(
                    self.place.read(name).notes["seconds"] for mode in MODES for name in self.names(case, mode)
                )
            }
            for case in self.design.cases
        }


def table_column(table: pa.Table, name: str) -> np.ndarray:
    """Returns a column of lists, one a source, image by image."""
    values: np.ndarray = table.column(name).combine_chunks().flatten().to_numpy()
    return values.reshape(table.num_rows, -1).T.ravel()
