"""How long an evaluation will take, from one batch at each border."""

import time
from collections.abc import Callable

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.cases import Case, Design
from qi_datasets.evaluation.data import Evaluated
from qi_datasets.evaluation.inits import SCRATCH
from qi_datasets.protocols.corners import CornerNetwork
from qi_datasets.protocols.quadrant import CALIBRATION_BATCH, CALIBRATION_SOURCES, calibrate
from qi_datasets.protocols.scratch import BATCH_SIZE, EPOCHS, train_corners
from qi_datasets.specs import QI

FEW, MORE = 2, 8
"""Sources in the two passes whose difference is the price of a source."""


def estimated(design: Design, data: Evaluated) -> dict[int, float]:
    """Border -> seconds of work that all inits and seeds will take, on one process like this. For `qi`.

    It is an upper estimate: where the corners turn out to be equal, training features are not needed.
    """
    if data.facts["set"] != QI.name:
        raise OptionError(f"only {QI.name} has borders, for each of which a time is estimated, not {data.facts['set']}")
    seconds = {}
    for border in design.borders:
        seconds[border] = 0.0
        for init, settings in design.inits.items():
            case = Case(init, border, settings["seeds"][0])
            of_one = trained(design, data, case) if init == SCRATCH else frozen(design, data, case)
            seconds[border] += of_one * len(settings["seeds"])
    return seconds


def frozen(design: Design, data: Evaluated, case: Case) -> float:
    """Seconds of one frozen network at one border."""
    train, _, test = QI.splits
    network = design.network(case).network
    patches = design.input(data.images[train][: max(MORE, CALIBRATION_BATCH // 2)]).to(design.device)
    border, local = design.border(case), design.local
    total = 0.0
    if design.calibrated(case):
        batches = -(-min(CALIBRATION_SOURCES, len(data.images[train])) // (CALIBRATION_BATCH // 2))
        total += batches * timed(lambda: calibrate(network, patches[: CALIBRATION_BATCH // 2], border, local=local))
    start = time.perf_counter()
    reader = CornerNetwork(network, border, local=local)
    blank = time.perf_counter() - start
    few = timed(lambda: reader.features(patches[:FEW]))
    more = timed(lambda: reader.features(patches[:MORE]))
    each = max(more - few, 0.0) / max(1, min(MORE, len(patches)) - FEW)
    return total + blank + few + each * (len(data.images[train]) + len(data.images[test]))


def trained(design: Design, data: Evaluated, case: Case) -> float:
    """Seconds of one training at one border."""
    train, validation, _ = QI.splits
    patches = {split: design.input(data.images[split][:BATCH_SIZE]).to(design.device) for split in (train, validation)}
    network = design.trainable(case).network

    def epoch() -> None:
        both = patches[train], patches[validation]
        train_corners(network, *both, design.border(case), 0, local=design.local, epochs=1)

    return timed(epoch) / len(patches[train]) * len(data.images[train]) * EPOCHS


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
