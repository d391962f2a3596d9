"""Compares an entry with another run of the same evaluation."""

import numpy as np

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.arguments import EvaluationRequest
from qi_datasets.evaluation.content import EntryContent
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.initialisations import CALIBRATED, RANDOM, SCRATCH, UNTOUCHED
from qi_datasets.specs import QI

SAME = ("task", "model", "transform", "data", "protocol")
TELLING = 0.01
"""Share of a border's answers that may differ: rounding on another machine can change those with almost no margin."""


def request_of(content: EntryContent) -> EvaluationRequest:
    """Returns the request that repeats an evaluation, without the network's weights and the device.

    Args:
        content: Its entry's content.

    Raises:
        OptionError: If no single run can make this entry.
    """
    inits, model = content["protocol"]["inits"], content["model"]
    counts = {len(settings["seeds"]) for init, settings in inits.items() if init in (RANDOM, SCRATCH)}
    usual = {init: CALIBRATED if init == RANDOM and content["task"] == QI.name else UNTOUCHED for init in inits}
    kinds = {init: settings["batch_norm"] for init, settings in inits.items()}
    unusual = {kind for init, kind in kinds.items() if kind in (CALIBRATED, UNTOUCHED) and kind != usual[init]}
    if len(counts) > 1 or len(unusual) > 1:
        raise OptionError("the entry mixes inits that no single run gives; run them one by one", code="bad-value")
    return EvaluationRequest(
        task=content["task"],
        borders=content["protocol"]["borders"] if content["task"] == QI.name else None,
        init=list(inits),
        seeds=counts.pop() if counts else None,
        limit=content["data"]["limit"],
        padding=model["padding"],
        pool=model["pool"],
        background=model["background"],
        batch_norm=unusual.pop() if unusual else None,
        mean=content["transform"]["mean"],
        std=content["transform"]["std"],
    )


def differences(entry: Entry, again: Entry) -> list[str]:
    """Compares another run of an entry's evaluation: a line for each difference; [] if there is none."""
    found = []
    before, after = (dict[str, object](one.content) for one in (entry, again))
    for section in SAME:
        there, here = before[section], after[section]
        if there != here:
            names = []
            if isinstance(there, dict) and isinstance(here, dict):
                names = [name for name in here if there.get(name) != here[name]]
            found.append(f"{section} differs{': ' if names else ''}{', '.join(names)}")
    if found:
        return found
    other = entry.predictions.column("prediction") != again.predictions.column("prediction")
    borders = entry.predictions.column("border")
    shares = {int(border): float(other[borders == border].mean()) for border in np.unique(borders)}
    return [
        f"border {border}: {share:.1%} of the answers differ" for border, share in shares.items() if share > TELLING
    ]
