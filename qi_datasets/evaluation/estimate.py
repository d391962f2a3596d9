"""Estimates the time of an evaluation from a few pictures at each border, or in each mode."""

import time
from collections.abc import Callable, Mapping

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.cases import Case, Design
from qi_datasets.evaluation.data import EvaluationData, read_shifted
from qi_datasets.evaluation.initialisations import SCRATCH
from qi_datasets.evaluation.shifted import SHIFTS
from qi_datasets.protocols.corners import CornerNetwork
from qi_datasets.protocols.quadrant import CALIBRATION_BATCH, CALIBRATION_SOURCES, calibrate
from qi_datasets.protocols.scratch import BATCH_SIZE, EPOCHS, train_corners
from qi_datasets.protocols.shifted import MODES, answer_shifted
from qi_datasets.specs import QI, SHIFTED

FEW, MORE = 2, 8
"""Numbers of sources of two passes, whose difference in time is the time of the further sources."""

TRIED_SHIFTS = (0, 1, 2, 3)
"""Shifts of the pass from which the time of all shifts is estimated."""


def estimate_seconds(design: Design, data: EvaluationData) -> dict[tuple[str, str], float]:
    """Estimates the seconds of work of all seeds, on one process like this.

    It is an upper estimate: if the corners turn out to be equal, training features are not needed; if they are
    proved equal, nothing is computed.

    Args:
        design: The evaluation's design, on `qi` or `shifted`.
        data: The evaluation's data.

    Returns:
        (init, border or mode) -> seconds, in the order of the work.

    Raises:
        OptionError: If it is another task.
    """
    if design.task not in ESTIMATES:
        raise OptionError(
            f"times are estimated on {QI.name} and {SHIFTED.name}; {design.task} takes minutes at most",
            code="no-effect",
        )
    places = [f"{border}" for border in design.borders] if design.task == QI.name else MODES
    return {
        (init, place): ESTIMATES[design.task](design, data, init, place) * len(settings["seeds"])
        for init, settings in design.inits.items()
        for place in places
    }


def at_border(design: Design, data: EvaluationData, init: str, border: str) -> float:
    """Estimates the seconds of one network at one border of `qi`."""
    case = Case(init, int(border), design.inits[init]["seeds"][0])
    return estimate_training(design, data, case) if init == SCRATCH else estimate_frozen(design, data, case)


def in_mode(design: Design, data: EvaluationData, init: str, mode: str) -> float:
    """Estimates the seconds of one network in one mode of `shifted`."""
    case = Case(init, design.borders[0], design.inits[init]["seeds"][0])
    network = design.network(case).network
    images, _, pairs = read_shifted(data.stored, 0, 1)
    bases = design.input(images).to(design.device)
    tried = pairs[:, :1]
    answer_shifted(network, bases, tried, TRIED_SHIFTS[:1], mode)  # It prepares values for later passes.
    seconds = time_call(lambda: answer_shifted(network, bases, tried, TRIED_SHIFTS, mode))
    # One more for the unmoved picture; a pair is two images.
    passes = (1 + len(SHIFTS) + 2 * pairs.shape[1]) / (1 + len(TRIED_SHIFTS) + 2 * tried.shape[1])
    return float(seconds * passes * data.facts["evaluated"] / len(bases))


ESTIMATES: Mapping[str, Callable[[Design, EvaluationData, str, str], float]] = {
    QI.name: at_border,
    SHIFTED.name: in_mode,
}
"""Task -> the function that estimates the seconds of one network of an init, at a border or in a mode."""


def estimate_frozen(design: Design, data: EvaluationData, case: Case) -> float:
    """Estimates the seconds of one frozen network at one border."""
    train, _, test = QI.splits
    network = design.network(case).network
    start = time.perf_counter()
    if design.proved(case, network):
        return time.perf_counter() - start
    patches = design.input(data.images[train][: max(MORE, CALIBRATION_BATCH // 2)]).to(design.device)
    border, local = design.border(case), design.local
    total = 0.0
    if design.calibrated(case):
        batches = -(-min(CALIBRATION_SOURCES, len(data.images[train])) // (CALIBRATION_BATCH // 2))
        total += batches * time_call(lambda: calibrate(network, patches[: CALIBRATION_BATCH // 2], border, local=local))
    start = time.perf_counter()
    reader = CornerNetwork(network, border, local=local)
    blank = time.perf_counter() - start
    few = time_call(lambda: reader.features(patches[:FEW]))
    more = time_call(lambda: reader.features(patches[:MORE]))
    each = max(more - few, 0.0) / max(1, min(MORE, len(patches)) - FEW)
    return total + blank + few + each * (len(data.images[train]) + len(data.images[test]))


def estimate_training(design: Design, data: EvaluationData, case: Case) -> float:
    """Estimates the seconds of one training at one border."""
    train, validation, _ = QI.splits
    patches = {split: design.input(data.images[split][:BATCH_SIZE]).to(design.device) for split in (train, validation)}
    network = design.trainable(case).network

    def epoch() -> None:
        both = patches[train], patches[validation]
        train_corners(network, *both, design.border(case), 0, local=design.local, epochs=1)

    return time_call(epoch) / len(patches[train]) * len(data.images[train]) * EPOCHS


def time_call(call: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
