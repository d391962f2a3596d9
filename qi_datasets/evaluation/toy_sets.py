"""The tasks `rook`, `corner` and `red_green` in units of work: one for each network."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from qi_datasets.evaluation.cases import Case, Design
from qi_datasets.evaluation.content import Notes, TrainingOutcome
from qi_datasets.evaluation.data import EvaluationData
from qi_datasets.evaluation.figures import DISSIMILAR, SIMILAR
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.evaluation.quadrant import answer_part
from qi_datasets.evaluation.work_folder import Part, Unit, Workplace
from qi_datasets.protocols.corners import Features, run_in_passes, run_network
from qi_datasets.protocols.quadrant import compare_corners, logit_answers, probe_corners
from qi_datasets.protocols.red_green import LabelledImages, train_on_red_green
from qi_datasets.protocols.rook import train_on_pair
from qi_datasets.specs import CORNER, RED_GREEN_SET, ROOK

PAIR = "train"
"""The split of `rook` and `corner`, two images that belong together."""


class ToyWork:
    """Base of the toy tasks: each unit is one network, and a subclass says what it computes."""

    task: str

    def __init__(self, design: Design, data: EvaluationData, place: Workplace) -> None:
        self.design, self.data, self.place = design, data, place
        self.images = {split: design.input(images).to(design.device) for split, images in data.images.items()}

    @property
    def size(self) -> int:
        """The number of units."""
        return sum(1 for _ in self.design.cases)

    def open_units(self) -> list[Unit]:
        """Returns the units that are not done; [] once all are."""
        names = [(case, case.part("answers")) for case in self.design.cases]
        return [Unit(name, partial(self.answers, case)) for case, name in names if not self.place.has(name)]

    def answers(self, case: Case) -> Part:
        """Returns a network's answers."""
        raise NotImplementedError

    def rows(self) -> dict[str, ArrayLike]:
        """Returns the columns that are the same for every network."""
        raise NotImplementedError

    def predictions(self) -> Predictions:
        """Returns the predictions of all cases, in order."""
        parts = []
        for case in self.design.cases:
            table = self.place.read(case.part("answers")).table
            columns: dict[str, Any] = {name: table.column(name).to_numpy() for name in table.column_names}
            columns |= {"prediction": columns["margin"] > 0, **self.rows()}
            columns |= {"init": case.init, "border": case.border, "seed": case.seed}
            parts.append(Predictions.of(self.task, columns))
        return Predictions.joined(self.task, parts)

    def notes(self) -> dict[Case, Notes]:
        """Returns the notes about each case, which an entry has beside the answers."""
        return {case: self.place.read(case.part("answers")).notes for case in self.design.cases}


class PairWork(ToyWork):
    """`rook` and `corner`: one source, whose two images are the set."""

    def rows(self) -> dict[str, ArrayLike]:
        """Returns one source, labels 0 and 1."""
        return {"source": self.data.sources[PAIR][0], "label": [0, 1]}


class RookWork(PairWork):
    """`rook`: networks that are trained on its two images."""

    task = ROOK.name

    def answers(self, case: Case) -> Part:
        """Returns the trained network's logits."""
        network, images = self.design.trainable(case).network, self.images[PAIR]
        logits = run_network(
            lambda: train_on_pair(network, images, case.seed), f"on images of {images.shape[2]} pixels"
        )
        return answer_part(logit_answers(logits.cpu().numpy()[None]))


class CornerWork(PairWork):
    """`corner`: features of frozen networks for its two images, and a probe on just these."""

    task = CORNER.name

    def answers(self, case: Case) -> Part:
        """Returns the probe's answers."""
        network, images = self.design.network(case).network, self.images[PAIR]
        where = f"on images of {images.shape[2]} pixels"
        found = run_in_passes(lambda rows: run_network(lambda: network(images[rows]).flatten(1), where), 2, 2)
        features: Features = found.numpy()[None]
        return answer_part(probe_corners(features, features))


class RedGreenWork(ToyWork):
    """`red_green`: networks that are trained on it, and tested at positions that were in training and at others."""

    task = RED_GREEN_SET.name

    def answers(self, case: Case) -> Part:
        """Returns the logits of the similar test images, then of the dissimilar ones."""
        of = {split: LabelledImages(images, self.data.labels[split]) for split, images in self.images.items()}
        train, validation, *_ = of
        network, seed = self.design.trainable(case).network, case.seed
        # The training images are tested too, since a network that did not learn them shows nothing.
        run = run_network(
            lambda: train_on_red_green(network, of[train], of[validation], of, seed), "while it is trained"
        )
        logits = np.stack([run.logits[SIMILAR], run.logits[DISSIMILAR]], axis=1)
        difference = compare_corners(logits).difference
        margins = (logits[:, :, 1] - logits[:, :, 0]).T
        columns = {"margin": margins.ravel(), "difference": np.tile(difference, 2)}
        training: TrainingOutcome = {
            "epochs": len(run.epochs),
            "accuracy": run.accuracies[train],
            "loss": run.epochs[run.best_epoch - 1].train_loss,
        }
        table = pa.table({name: pa.array(values, pa.float32()) for name, values in columns.items()})
        return Part(table, {"training": training})

    def rows(self) -> dict[str, ArrayLike]:
        """Returns the rows of the similar and then of the dissimilar test."""
        splits = (SIMILAR, DISSIMILAR)
        return {
            "source": np.concatenate([self.data.sources[split] for split in splits]),
            "label": np.concatenate([self.data.labels[split] for split in splits]),
            "split": np.repeat(splits, len(self.data.sources[SIMILAR])),
        }
