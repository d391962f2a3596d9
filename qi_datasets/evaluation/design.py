"""Turns the arguments of an evaluation into its design: networks, borders and initialisations."""

import os
from collections.abc import Callable, Iterable

import torch
from torch import nn

from qi_datasets.errors import NamedArgument, OptionError
from qi_datasets.evaluation.arguments import EvaluationRequest
from qi_datasets.evaluation.cases import Design
from qi_datasets.evaluation.content import InitContent
from qi_datasets.evaluation.initialisations import (
    CALIBRATED,
    GIVEN,
    INITS,
    NO_STATISTICS,
    PRETRAINED,
    RANDOM,
    SCRATCH,
    TRAINED,
    UNTOUCHED,
)
from qi_datasets.evaluation.models import NONE, Model, detect_own_weights, resolve_model, with_normalisation
from qi_datasets.evaluation.tasks import TASKS, Task
from qi_datasets.evaluation.variants import NetworkFacts, Variant, describe_network
from qi_datasets.networks.devices import checked_device

DEFAULT_SEEDS = {RANDOM: 5, SCRATCH: 3}


def design_of(
    model: "str | nn.Module | Callable[[], nn.Module]",
    request: EvaluationRequest,
) -> Design:
    """Returns the design of an evaluation after checking every argument; `model` and errors as in `evaluate`."""
    request.check()
    chosen, variant = TASKS[request.task], Variant(request.padding, request.pool, request.background)
    seeds, batch_norm = request.seeds, request.batch_norm
    pixels = borders_of(chosen, request.borders)
    network = detect_own_weights(resolve_model(model, request.weights), chosen.canvas + 2 * pixels[0])
    network = with_normalisation(network, request.mean, request.std)
    kinds = inits_of(chosen, network, request.init)
    sides = [chosen.canvas + 2 * border for border in pixels]
    variant, facts = describe_network(network, variant, sides, head=chosen.head, widens=chosen.widens)
    if batch_norm is not None and (not facts.keeps_statistics or set(kinds) == {SCRATCH}):
        raise OptionError(
            NamedArgument("batch_norm", f"{batch_norm!r}"),
            " has no effect: no batch norm is frozen here; leave it out",
            code="no-effect",
        )
    inits: dict[str, InitContent] = {
        kind: {
            "seeds": list(range(seeds_of(network, kind, kinds, seeds))),
            "batch_norm": statistics_of(chosen, facts, kind, batch_norm),
        }
        for kind in kinds
    }
    where = device_for(request.device)
    local = request.local and not facts.opaque
    return Design(
        chosen.name, network, variant, facts, inits, pixels, where, local, head=chosen.head, canvas=chosen.canvas
    )


def seeds_of(model: Model, kind: str, kinds: list[str], seeds: int | None) -> int:
    """Returns the number of networks of an initialisation. Raises OptionError if `seeds` does not fit.

    Args:
        model: The model, which makes the networks.
        kind: The initialisation.
        kinds: All initialisations of the evaluation.
        seeds: As in `evaluate`.
    """
    if seeds is not None and not {RANDOM, SCRATCH} & set(kinds):
        raise OptionError(
            NamedArgument("seeds", seeds), f" has no effect on init {', '.join(kinds)}; leave it out", code="no-effect"
        )
    if kind not in (RANDOM, SCRATCH):
        return 1
    if model.anew:
        return seeds or DEFAULT_SEEDS[kind]
    if seeds not in (None, 1):
        raise OptionError(NamedArgument("seeds", seeds), f" of init {kind} need a function that makes the network anew")
    return 1


def statistics_of(task: Task, facts: NetworkFacts, kind: str, batch_norm: str | None) -> str:
    """Returns the treatment of batch norms in an initialisation.

    Args:
        task: The task.
        facts: Properties of the network.
        kind: The initialisation.
        batch_norm: As in `evaluate`.
    """
    if not facts.keeps_statistics:
        return NO_STATISTICS
    usual = CALIBRATED if kind == RANDOM and task.calibrates else UNTOUCHED
    return TRAINED if kind == SCRATCH else batch_norm or usual


def borders_of(task: Task, borders: Iterable[int] | None) -> list[int]:
    """Returns the borders of an evaluation, in order."""
    if borders is None:
        return list(task.borders)
    return sorted(set(borders))


def inits_of(task: Task, model: Model, init: str | Iterable[str] | None) -> list[str]:
    """Returns the initialisations of an evaluation, in order."""
    weighted = model.weights != NONE
    usual = GIVEN if not model.anew else PRETRAINED if weighted else RANDOM
    if init is None:
        asked = [usual if usual in task.inits else task.inits[0]]
    else:
        asked = list(dict.fromkeys([init] if isinstance(init, str) else init))
    for kind in asked:
        if kind in (RANDOM, PRETRAINED) and model.fixed:
            raise OptionError(f"{model.name} makes the same weights whatever the seed: init is given, not {kind}")
        if kind == PRETRAINED and (not weighted or not model.anew):
            raise OptionError(
                "init pretrained needs weights: give ",
                NamedArgument("weights", "default"),
                ", or a file",
                code="missing-argument",
            )
        if kind == GIVEN and model.anew:
            raise OptionError("init given is for a module; a network that is made here is random or pretrained")
    if weighted and model.anew and PRETRAINED not in asked:
        raise OptionError(
            NamedArgument("weights", f"{model.weights!r}"),
            " has no effect without init pretrained; leave it out",
            code="no-effect",
        )
    return sorted(asked, key=INITS.index)


def device_for(device: str | None) -> str:
    """Returns the device to use: the named one, or this process's GPU, or the CPU."""
    rank = os.environ.get("LOCAL_RANK", "")
    if device is None and rank.isdecimal() and torch.cuda.is_available():
        return checked_device(f"cuda:{int(rank) % torch.cuda.device_count()}")
    return checked_device(device)
