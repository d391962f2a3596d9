"""Prepares a model's network for a task: with a padding, a pooling, a background, without its head."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from qi_datasets.errors import ModelError, OptionError
from qi_datasets.evaluation.behaviour import check_batch_norms, check_behaviour, is_opaque
from qi_datasets.evaluation.initialisations import Background, Pool
from qi_datasets.evaluation.models import Model, Transform, weights_sha256
from qi_datasets.evaluation.sizes import CHANNELS, further_border
from qi_datasets.networks.endless_maps import PaddingVariant
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.receptive_field import ReceptiveField, follow, receptive_field
from qi_datasets.networks.variants import (
    layers_of_head,
    with_global_max_pool,
    with_padding,
    without_head,
)
from qi_datasets.protocols.corners import run_network
from qi_datasets.protocols.quadrant import batch_norms
from qi_datasets.specs import QUADRANT


@dataclass(frozen=True)
class Variant:
    """The changes to a network, which keep its weights.

    padding: `own`, or one of `networks.variants.PADDING_VARIANTS`
    pool: `max` for global max pooling before the head, `own` for the network's own; None for `max` if a classifier of
        the libraries ends in a global pooling, else `own`
    background: `zero` keeps black 0, `plain` normalises black as well
    """

    padding: PaddingVariant = "own"
    pool: Pool | None = None
    background: Background = "zero"


@dataclass(frozen=True)
class NetworkFacts:
    """The properties of a network that an entry reports.

    parameters: number of trained parameters
    field: receptive field and total stride, None if they are not known
    further_border: pixels per side beyond each border; see `sizes.further_border`
    pool: the pooling before the head, as decided
    phase: whether the corners may fall into different phases of the network's sampling
    keeps_statistics: whether it has batch norms with running statistics
    contiguous: whether it fails on images that are channels_last
    opaque: whether it can't be traced layer by layer
    head: layers with weights before and after its pooling over all positions that are the head's
    """

    parameters: int
    field: ReceptiveField | None
    further_border: int
    pool: Pool
    phase: bool
    keeps_statistics: bool
    contiguous: bool = False
    opaque: bool = False
    head: tuple[Sequence[str], Sequence[str]] = ((), ())


@dataclass(frozen=True)
class PreparedNetwork:
    """A network that returns one vector for each image, and the SHA-256 of its initial weights."""

    network: nn.Module
    sha256: str


def describe_network(
    model: Model, variant: Variant, sides: Sequence[int], *, head: bool, widens: bool
) -> tuple[Variant, NetworkFacts]:
    """Decides a variant's pooling, and finds the properties of a model's network.

    Args:
        model: The model, which makes it.
        variant: The changes to it.
        sides: Rows and columns of the images that it will get, without a further border.
        head: Whether it keeps its head.
        widens: Whether a network that takes few sizes gets a further border.

    Raises `ModelError` for a network that can't be made for these sides, or doesn't answer with vectors.
    """
    further = (
        further_border(partial(model.network, seed=0, own=False), sides, model.name, sized=model.sized) if widens else 0
    )
    side = sides[0] + 2 * further
    network = model.network(side, 0, own=False)
    first = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)
    pool = variant.pool or usual_pool(model, network, side, head=head)
    parameters, keeps = sum(parameter.numel() for parameter in network.parameters()), bool(batch_norms(network))
    decided = replace(variant, pool=pool)
    made = prepare_network(model, decided, side, 0, own=False, head=head).network
    try:
        check_answers(made, side, model.name)
    except ModelError as error:
        if first is None or first.in_channels == CHANNELS:
            raise
        raise ModelError(
            f"{model.name} takes images of {first.in_channels} channels; the sets have {CHANNELS}"
        ) from error
    contiguous = check_behaviour(made, side, model.name)
    opaque = is_opaque(made)
    if keeps and not opaque:
        check_batch_norms(network, made, side, model.name)
    try:
        field = None if opaque else receptive_field(made, side)
    except OptionError:
        field = None
    layers: tuple[list[str], list[str]] = ([], [])
    with suppress(OptionError):
        layers = layers if opaque else layers_of_head(made, side)
    phase = not opaque and has_phase(made, side)
    return decided, NetworkFacts(parameters, field, further, pool, phase, keeps, contiguous, opaque, layers)


def has_phase(network: nn.Module, side: int) -> bool:
    """Returns whether the displacement of the corners is no multiple of a period of the network.

    Its periods are the total stride and the sides of blocks that maps are divided into (windows of attention).
    """
    try:
        periods = follow(network, side).periods
    except OptionError:
        return False
    return any(QUADRANT.displacement % period for period in periods)


def usual_pool(model: Model, network: nn.Module, side: int, *, head: bool) -> Pool:
    """Returns `max` if a classifier of the libraries ends in a global pooling, else `own`."""
    if head or not model.whole:
        return "own"
    try:
        with_global_max_pool(without_head(network.eval(), side), side)
    except OptionError:
        return "own"
    return "max"


def prepare_network(
    model: Model, variant: Variant, side: int, seed: int, *, own: bool, head: bool = False, trained: bool = False
) -> PreparedNetwork:
    """Returns the network for images of `side` pixels in evaluation mode, its parameters frozen.

    Args:
        model: The model, which makes it.
        variant: The changes to it.
        side: Rows and columns of the images.
        seed: Seed of random weights.
        own: Whether it gets its own weights, else random ones.
        head: Whether it keeps its head, if it is a classifier of the libraries.
        trained: Whether it will be trained, with its parametrizations; else its weights are the values that these
            give.

    Raises OptionError, which says why, where the variant can't be made of it.
    """
    network = model.network(side, seed, own=own, headless=not head)
    digest = weights_sha256(network)
    if not trained:
        without_parametrizations(network)
    made = make_variant(network, model, variant, side, head=head)
    for parameter in made.parameters():  # scripted modules have no `requires_grad_` of their own
        parameter.requires_grad_(False)
    return PreparedNetwork(made, digest)


def without_parametrizations(network: nn.Module) -> None:
    """Replaces parametrizations of layers, such as weight norm, by the weights that they compute."""
    for layer in [layer for layer in network.modules() if is_parametrized(layer)]:
        values = {name: getattr(layer, name).detach() for name in layer.parametrizations}  # type: ignore[union-attr]
        # torch's own function changes a class that copies share with their originals
        layer.__class__ = type(layer).__mro__[1]
        del layer.parametrizations
        for name, value in values.items():
            layer.register_parameter(name, nn.Parameter(value))


def make_variant(network: nn.Module, model: Model, variant: Variant, side: int, *, head: bool) -> nn.Module:
    """Returns the network in its variant, in evaluation mode.

    Args:
        network: The network as it was made.
        model: The model that made it.
        variant: The changes to it.
        side: Rows and columns of its images.
        head: Whether a classifier of the libraries keeps its head.
    """
    network = network.eval()
    if model.whole and not head:
        network = without_head(network, side)
    if variant.pool == "max":
        network = with_global_max_pool(network, side)
    if variant.background == "plain":
        network = nn.Sequential(OrderedDict(normalise=normalising_layer(model.transform), network=network))
    return with_padding(network, variant.padding) if variant.padding != "own" else network


def normalising_layer(transform: Transform) -> nn.Conv2d:
    """Returns a layer that normalises images, black included: a convolution, since proofs about layers cover it."""
    layer = nn.Conv2d(CHANNELS, CHANNELS, 1, groups=CHANNELS)
    with torch.no_grad():
        layer.weight.copy_((1 / torch.tensor(transform.std))[:, None, None, None])
        layer.bias.copy_(-torch.tensor(transform.mean) / torch.tensor(transform.std))  # type: ignore[union-attr]
    return layer


def with_new_head(network: nn.Module, features: int, classes: int, seed: int) -> nn.Module:
    """Returns a network with a new linear layer on its features, all of it trainable.

    Args:
        network: The network, which returns features (N, F).
        features: F.
        classes: Number of logits.
        seed: Seed of the new layer's weights.
    """
    with random_seed(seed):
        head = nn.Linear(features, classes)
    return nn.Sequential(OrderedDict(network=network, head=head)).requires_grad_()


def check_answers(network: nn.Module, side: int, name: str) -> int:
    """Returns the number F of a network's features (N, F). Raises ModelError for answers of another kind."""
    like = next(iter(network.parameters()), torch.empty(0))
    image = torch.zeros(1, CHANNELS, side, side, dtype=like.dtype, device=like.device)
    with torch.inference_mode():
        try:
            answer = run_network(lambda: network(image), f"on an image of {side} x {side}")
        except MemoryError as error:
            raise ModelError(f"{error}; leave this border out, or take a larger machine") from error
    vector = isinstance(answer, torch.Tensor) and answer.ndim > 1 and answer.shape[:2].numel() == answer.numel()
    if not vector or answer.shape[0] != 1:
        found = tuple(answer.shape) if isinstance(answer, torch.Tensor) else f"a {type(answer).__name__}"
        raise ModelError(
            f"{name} must answer one vector for each image, (N, F); to one image it gives {found}; "
            "end it with a global pooling, or with a linear layer after one",
            code="bad-answers",
        )
    return int(answer.shape[1])
