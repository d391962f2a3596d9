"""The task `qi` in units of work: a proof; calibration, features of chunks of sources, a probe; or a training."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
from torch import Tensor

from qi_datasets.errors import ModelError
from qi_datasets.evaluation.cases import Bench, Case, Design, statistics
from qi_datasets.evaluation.content import Notes
from qi_datasets.evaluation.data import EvaluationData
from qi_datasets.evaluation.initialisations import SCRATCH
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.evaluation.work_folder import Part, Unit, Workplace
from qi_datasets.protocols.corners import CornerNetwork, Features
from qi_datasets.protocols.quadrant import CornerAnswers, calibrate, check_alive, compare_corners, probe_corners
from qi_datasets.protocols.scratch import answer_patches, train_corners
from qi_datasets.specs import QI

TRAIN, _, TEST = QI.splits

CHUNK = 50
"""Sources in a unit of features."""

SAMPLE = 8
"""Number of test sources by which a proof that the corners are equal is compared with the network's features."""


class QuadrantWork:
    """The units of an evaluation on `qi`."""

    def __init__(self, design: Design, data: EvaluationData, place: Workplace) -> None:
        self.design, self.data, self.place = design, data, place
        self.patches = {split: design.input(images) for split, images in data.images.items()}
        self._bench = Bench(design)
        self._equal: dict[Case, bool] = {}
        self._proved: dict[str, bool] = {}

    @property
    def size(self) -> int:
        """The largest number of units that there can be."""
        proofs = len(self.design.inits) * len(self.design.borders)
        return proofs + sum(1 + len(self.inputs(case)) for case in self.design.cases)

    def open_units(self) -> list[Unit]:
        """Returns the units that can be done now; [] once every case is answered."""
        found: list[Unit] = []
        for case in self.design.cases:
            # Another process may answer the case in between, and remove its parts.
            with suppress(FileNotFoundError):
                if not self.place.has(case.part("answers")):
                    found += list(self.units(case))
        return found

    def units(self, case: Case) -> Iterator[Unit]:
        """Yields the next units of a case that is not answered yet."""
        inputs, answers = self.inputs(case), case.part("answers")
        proof = self.proof_part(case)
        if not self.place.has(proof):
            yield Unit(proof, lambda: self.proof(case))
            return
        if self.proved(case):
            yield Unit(answers, lambda: answer_part(self.equal_answers(), proved=True, dense_because=""))
            return
        if case.init == SCRATCH:
            yield Unit(answers, lambda: self.trained(case))
            return
        calibration = case.part("calibration")
        if calibration in inputs and not self.place.has(calibration):
            yield Unit(calibration, lambda: self.calibration(case), for_part=answers)
            return
        needed = [name for name in inputs if f"-{TEST}-" in name]
        if all(map(self.place.has, needed)) and not self.equal(case):
            needed += [name for name in inputs if f"-{TRAIN}-" in name]
        missing = [name for name in needed if not self.place.has(name)]
        for name in missing:
            yield Unit(name, partial(self.features, case, name), for_part=answers)
        if not missing:
            yield Unit(answers, lambda: self.answers(case), inputs)

    def inputs(self, case: Case) -> list[str]:
        """Returns the parts that a case's answers may be made of."""
        if case.init == SCRATCH:
            return []
        chunks = [
            case.part(f"{split}-{start:06d}")
            for split in (TEST, TRAIN)
            for start in range(0, len(self.data.sources[split]), CHUNK)
        ]
        return [case.part("calibration"), *chunks] if self.design.calibrated(case) else chunks

    def proof_part(self, case: Case) -> str:
        """Returns the name of the part that says whether the corners are proved equal at a border, for all seeds."""
        first = self.design.inits[case.init]["seeds"][0]
        return replace(case, seed=first).part("proof")

    def proved(self, case: Case) -> bool:
        """Returns whether the corners are proved equal at a case's border, once that part is there."""
        part = self.proof_part(case)
        if part not in self._proved:
            self._proved[part] = bool(self.place.read(part).notes["proved"])
        return self._proved[part]

    # The computations of units.

    def proof(self, case: Case) -> Part:
        """Returns whether the geometry of the layers makes the corners equal for every picture.

        The proof depends on no numbers that the evaluation replaces (`Design.with_other_numbers`). The features of a
        few pictures must agree with it, so that a network with the same features for all pictures is found here too.
        """
        first = replace(case, seed=self.design.inits[case.init]["seeds"][0])
        network = (self.design.trainable(first) if case.init == SCRATCH else self.design.network(first)).network.eval()
        proved = self.design.proved(case, network)
        if proved:
            frozen = network.requires_grad_(requires_grad=False)
            reader = CornerNetwork(frozen, self.design.border(case), local=self.design.local)
            sample = reader.features(self.on_device(TEST, 0, SAMPLE))
            check_case(first, sample)
            proved = compare_corners(sample).equal
        return Part(pa.table({"proved": pa.array([proved])}), {"proved": proved})

    def equal_answers(self) -> CornerAnswers:
        """Returns the answers to all test sources if the corners are proved equal."""
        nothing = np.zeros(len(self.data.sources[TEST]), np.float32)
        return CornerAnswers(np.zeros((len(nothing), 2), np.float32), nothing, nothing, equal=True)

    def calibration(self, case: Case) -> Part:
        """Returns the running mean and variance of each batch norm."""
        network = self.design.network(case).network
        calibrate(network, self.on_device(TRAIN), self.design.border(case), local=self.design.local)
        kept = [tensor.cpu().numpy().tobytes() for tensor in statistics(network)]
        return Part(pa.table({"statistics": pa.array(kept, pa.binary())}))

    def features(self, case: Case, name: str) -> Part:
        """Computes the features of a chunk of sources."""
        split, start = name.rsplit("-", 2)[1:]
        reader = self._bench.reader(case, self.kept(case))
        found = reader.features(self.on_device(split, int(start), int(start) + CHUNK))
        rows = [row.tobytes() for row in found]
        notes: Notes = {"dtype": str(found.dtype), "dense_because": reader.dense_because}
        return Part(pa.table({"features": pa.array(rows, pa.binary())}), notes)

    def answers(self, case: Case) -> Part:
        """Fits the probe and returns its answers."""
        test = self.gathered(case, TEST)
        answers = compare_corners(test) if self.equal(case) else probe_corners(self.gathered(case, TRAIN), test)
        return answer_part(
            answers,
            proved=False,
            dense_because=self.place.read(case.part(f"{TEST}-{0:06d}")).notes["dense_because"],
        )

    def trained(self, case: Case) -> Part:
        """Trains a network at this border and returns its answers."""
        border, local = self.design.border(case), self.design.local
        made = self.design.trainable(case)
        train, validation, test = (self.on_device(split) for split in QI.splits)
        checkpoint = self.place.path(case.part("training"), "pt")
        trained = train_corners(made.network, train, validation, border, case.seed, local=local, checkpoint=checkpoint)
        answers = answer_patches(trained.network, test, border, local=local)
        return answer_part(
            answers,
            proved=False,
            training={"epochs": trained.epochs, "accuracy": trained.accuracy, "loss": trained.loss},
        )

    def on_device(self, split: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Returns the patches of some sources, on the device."""
        return self.patches[split][start:stop].to(self.design.device)

    def kept(self, case: Case) -> list[bytes] | None:
        """Returns the statistics of a case's calibration; None if it needs none."""
        if not self.design.calibrated(case):
            return None
        kept: list[bytes] = self.place.read(case.part("calibration")).table.column("statistics").to_pylist()
        return kept

    def gathered(self, case: Case, split: str) -> Features:
        """Returns the features of all sources of a split."""
        parts = [self.place.read(name) for name in self.inputs(case) if f"-{split}-" in name]
        rows = [row for part in parts for row in part.table.column("features").to_pylist()]
        found = np.frombuffer(bytearray().join(rows), parts[0].notes["dtype"])
        return found.reshape(len(rows), 2, -1)

    def equal(self, case: Case) -> bool:
        """Returns True if both corners have equal features for all test sources; ModelError for a dead network."""
        if case not in self._equal:
            features = self.gathered(case, TEST)
            check_case(case, features)
            self._equal[case] = compare_corners(features).equal
        return self._equal[case]

    # The results.

    def predictions(self) -> Predictions:
        """Returns the predictions of all cases, in order."""
        sources = np.repeat(self.data.sources[TEST], 2)
        labels = np.arange(len(sources)) % 2
        parts = []
        for case in self.design.cases:
            table = self.place.read(case.part("answers")).table
            columns: dict[str, Any] = {name: table.column(name).to_numpy() for name in table.column_names}
            columns |= {"prediction": columns["margin"] > 0, "source": sources, "label": labels}
            columns |= {"init": case.init, "border": case.border, "seed": case.seed}
            parts.append(Predictions.of(QI.name, columns))
        return Predictions.joined(QI.name, parts)

    def notes(self) -> dict[Case, Notes]:
        """Returns the notes about each case, which an entry has beside the answers."""
        return {case: self.place.read(case.part("answers")).notes for case in self.design.cases}


def check_case(case: Case, features: Features) -> None:
    """Raises ModelError, which names the case, for a network with the same answer to every picture."""
    try:
        check_alive(features)
    except ModelError as error:
        raise ModelError(f"{case}: {error}") from error


def answer_part(answers: CornerAnswers, **notes: Unpack[Notes]) -> Part:
    """Returns a part with the answers to both corners of each source."""
    columns = {
        "margin": answers.margins.ravel(),
        "difference": answers.difference.repeat(2),
        "channels": answers.channels.repeat(2),
    }
    return Part(pa.table({name: pa.array(values, pa.float32()) for name, values in columns.items()}), notes)
