"""A model's network made ready for a task: in a padding, with a pooling, on a background, without its head."""

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
    """The changes that are made to a network, on its own weights.

    padding: `own`, or one of `networks.variants.PADDING_VARIANTS`
    pool: `max` for a global maximum before the head, `own` for the network's own; None for `max` where a classifier of
        the libraries ends in a global pooling, else `own`
    background: `zero` keeps black 0, `plain` normalises black as well
    """

    padding: PaddingVariant = "own"
    pool: Pool | None = None
    background: Background = "zero"


@dataclass(frozen=True)
class NetworkFacts:
    """The properties of a network that an entry reports.

    parameters: how many numbers are trained
    field: receptive field and total stride, None where they are not known
    further_border: pixels per side beyond each border; see `sizes.further_border`
    pool: the pooling before the head, as decided
    phase: whether the corners may fall into different phases of the network's sampling
    keeps_statistics: whether it has batch norms with running statistics
    contiguous: whether it fails on images that are channels_last
    opaque: whether it can't be followed layer by layer
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
    """A network that answers one vector for each image, and the SHA-256 of its weights as they were made or loaded."""

    network: nn.Module
    sha256: str


def describe_network(
    model: Model, variant: Variant, sides: Sequence[int], *, head: bool, widens: bool
) -> tuple[Variant, NetworkFacts]:
    """Returns the variant with its pool decided, and the properties of a model's network.

    Args:
        model: What makes it.
        variant: What is changed of it.
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

    Its periods are the total stride and the sides of blocks that maps are taken apart into (windows of attention).
    """
    try:
        periods = follow(network, side).periods
    except OptionError:
        return False
    return any(QUADRANT.displacement % period for period in periods)


def usual_pool(model: Model, network: nn.Module, side: int, *, head: bool) -> Pool:
    """Returns a global maximum where a classifier of the libraries ends in a global pooling, else the network's own."""
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
        model: What makes it.
        variant: What is changed of it.
        side: Rows and columns of the images.
        seed: Of random weights.
        own: With its own weights, else with random ones.
        head: With its head, if it is a classifier of the libraries.
        trained: Whether it will be trained, with the parametrizations that it has; else its weights are what these
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
    """Gives the layers of a network the weights that parametrizations, such as weight norm, compute for them."""
    for layer in [layer for layer in network.modules() if is_parametrized(layer)]:
        values = {name: getattr(layer, name).detach() for name in layer.parametrizations}  # type: ignore[union-attr]
        # torch's own way changes a class that copies share with what they were copied from.
        layer.__class__ = type(layer).__mro__[1]
        del layer.parametrizations
        for name, value in values.items():
            layer.register_parameter(name, nn.Parameter(value))


def make_variant(network: nn.Module, model: Model, variant: Variant, side: int, *, head: bool) -> nn.Module:
    """Returns the network in its variant, in evaluation mode.

    Args:
        network: As it was made.
        model: What made it.
        variant: What is changed of it.
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
    """Returns a layer that normalises images, black included: a convolution, which proofs about layers cover."""
    layer = nn.Conv2d(CHANNELS, CHANNELS, 1, groups=CHANNELS)
    with torch.no_grad():
        layer.weight.copy_((1 / torch.tensor(transform.std))[:, None, None, None])
        layer.bias.copy_(-torch.tensor(transform.mean) / torch.tensor(transform.std))  # type: ignore[union-attr]
    return layer


def with_new_head(network: nn.Module, features: int, classes: int, seed: int) -> nn.Module:
    """Returns a network with a new linear layer on its features, all of it to be trained.

    Args:
        network: Answers features (N, F).
        features: F.
        classes: How many logits there are to be.
        seed: Of the new layer's weights.
    """
    with random_seed(seed):
        head = nn.Linear(features, classes)
    return nn.Sequential(OrderedDict(network=network, head=head)).requires_grad_()


def check_answers(network: nn.Module, side: int, name: str) -> int:
    """Returns the number of features F of a network's answers (N, F); ModelError for answers of another kind."""
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
