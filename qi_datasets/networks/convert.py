"""Networks that run otherwise on their own weights: in another padding, up to their pooling, with another pooling.

A converted network is its own class with another forward pass: same layers, same names, same mode. It can be trained,
copied and pickled (where its class can be).

Zero padding crops a network's responses at the image's edge, and the crop shows where things are. Full convolution
computes every position whose window meets the image (arXiv 2003.07064, figure 2), and so shows nothing as long as black
stays 0 inside the network. With biases and batch norm it becomes some constant of each channel, the *background*.
*Exact* full convolution carries it beside each map and pads with it: the answers are those to the image on an endless
black canvas.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.endless_maps import PaddingVariant, Plane, Run, values_of
from qi_datasets.networks.receptive_field import NotRunError, follow

NOT_COMPILED = (
    "a converted network runs on a tensor type of its own, which compilers don't read:"
    " torch.export.export(network, (images,)).module() is a plain one of the same answers"
)
Forward = Callable[..., Any]
ForwardOf = Callable[..., Any]
"""A forward pass made of another: takes that, settings, and what the network is called with."""


def to_full_conv(model: nn.Module, exact: bool = True, *, background: float | Sequence[float] = 0.0) -> nn.Module:
    """Returns a network with the layers and weights of `model` in which full convolution takes the place of padding.

    model: any network of convolutions, poolings, what acts on each position alone, norms, sums and concatenations of
        maps, and gates that are pooled over all positions (squeeze-and-excitation)
    exact: pad with the background, so that nothing shows where the image ends; False pads with zeros, as the paper does
    background: the value outside the images, of all channels or of each; other than 0 with `exact` only

    The result shares its layers and weights with `model`, and has the same names for them. It takes images
    (N, C, H, W) of any size that the layers take, floating point. In train mode, batch norm goes by the positions that
    are computed, as do norms over positions in either mode.

    A maximum over all positions is that over the endless canvas. A mean over it would be the background; a mean over
    all positions is the background plus what the image adds to it, divided by the number of positions that the image's
    area holds. With `exact=False` both are taken of the positions that are computed. A network without such a pooling
    answers with the map of these positions.

    Raises `OptionError`, with the layer, for what mixes positions in another way (attention, a flattened map), here
    where the network runs on images of a usual size, else when it is called.

    Example:
        Same padding loses 5 of a filter's 9 responses to a pixel in the corner, full convolution none:

        >>> image = torch.zeros(1, 1, 5, 5).index_put((torch.tensor(0),) * 4, torch.tensor(1.0))
        >>> same = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        >>> same.weight = nn.Parameter(torch.ones(1, 1, 3, 3))
        >>> same(image).sum().item(), to_full_conv(same)(image).sum().item()
        (4.0, 9.0)
    """
    if not exact and background != 0.0:
        raise OptionError(
            "a background other than 0 takes exact=True: full convolution pads with zeros", code="contradiction"
        )
    return with_other_padding(model, "exact" if exact else "full", background)


def with_other_padding(
    model: nn.Module, padding: PaddingVariant, background: float | Sequence[float] = 0.0
) -> nn.Module:
    """Returns a network in another padding, on the layers of `model`; arguments and errors as for `with_padding`."""
    try:
        follow(model, padding=padding)
    except NotRunError:
        # It takes other sizes than the usual ones.
        check_network(model)
    return convert_network(model, repad, (padding, background))


def check_network(network: Any) -> None:
    """Raises `OptionError` for what is no network, or one whose functions can't be followed from outside."""
    if not isinstance(network, nn.Module):
        raise OptionError(f"a network is a torch.nn.Module, got a {type(network).__name__}", code="bad-model")
    if isinstance(network, torch.jit.ScriptModule):
        raise OptionError(
            f"{type(network).__name__} is compiled; give the torch.nn.Module that it was made of", code="bad-model"
        )


def repad(forward: Forward, settings: Any, images: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Runs a network on maps on an endless canvas, or padded from within; of maps it answers the positions computed.

    settings: padding and background, as of `repadded`
    """
    padding, background = settings
    if not isinstance(images, Tensor) or images.ndim != 4:
        found = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise OptionError(f"images are a tensor (N, C, H, W), got {found}; {NOT_COMPILED}")
    if isinstance(images, Plane):
        if images.run.padding != "own":
            raise OptionError("the network is in another padding already; convert the one that it was made of")
        # It is followed: windows stay what they are.
        images.is_bounded &= padding != "circular"
        return forward(images, *args, **kwargs)
    run = Run(padding, (images.shape[-2], images.shape[-1]))
    answer = forward(Plane.of_images(images, run, background), *args, **kwargs)
    run.check_has_padded()
    # An answer that a view has written into can't be read: clone refuses it, as any function would.
    return values_of(answer, lambda plane: plane.clone().values)


class ConvertedNetwork(nn.Module):
    """Base of classes that are made of a network's own class, with another forward pass."""

    _converted_by: ForwardOf
    _converted_from: type[nn.Module]
    _conversion: int
    _conversions: tuple[Any, ...] = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles and copies by the network's own class, as those of results are made on the way."""
        own: Any = type(self)
        by = []
        while issubclass(own, ConvertedNetwork):
            by.append(own._converted_by)
            own = own._converted_from
        return _remade, (own, tuple(by)), self.__getstate__()  # type: ignore[no-untyped-call]

    def __prepare_scriptable__(self) -> Any:
        """Refuses `torch.jit.script`, which asks for this."""
        raise OptionError(NOT_COMPILED)


def convert_network(network: nn.Module, by: ForwardOf, settings: Any) -> nn.Module:
    """Returns a network on the same layers with another forward pass.

    by: takes the network's own forward pass, `settings`, and what the network is called with
    """
    check_network(network)
    if "forward" in vars(network) or isinstance(network, fx.GraphModule):
        # Its forward pass is not that of its class, or its class is its own.
        network = nn.Sequential(OrderedDict(network=network)).train(network.training)
    made: Any = copy.copy(network)
    made.__class__ = _class_of(by, made.__class__)
    made._conversions = (*made._conversions, settings)
    return made  # type: ignore[no-any-return]


@cache
def _class_of(by: ForwardOf, own: Any) -> Any:
    # Conversions of conversions have their settings one after another.
    place = own._conversion + 1 if issubclass(own, ConvertedNetwork) else 0

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = by
        if not isinstance(args, tuple):  # torch.fx gives a proxy for all of them.
            raise OptionError(NOT_COMPILED)
        if torch.compiler.is_dynamo_compiling():
            # Traced, each layer and each of its sizes would be compiled by itself, for minutes.
            torch._dynamo.graph_break(msg=NOT_COMPILED)
            run = torch.compiler.disable(by)  # type: ignore[no-untyped-call]
        return run(partial(own.forward, self), self._conversions[place], *args, **kwargs)

    bases = (own,) if place else (ConvertedNetwork, own)
    state = {"forward": forward, "_converted_by": staticmethod(by), "_converted_from": own, "_conversion": place}
    return type(f"{own.__name__}Converted", bases, state | {"__module__": own.__module__})


def _remade(own: Any, by: Sequence[ForwardOf]) -> nn.Module:
    for one in reversed(by):
        own = _class_of(one, own)
    return own.__new__(own)  # type: ignore[no-any-return]
