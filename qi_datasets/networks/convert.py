"""Converts networks, with their weights: to another padding, to their features alone, to another pooling.

A converted network is a class of its own with another forward pass: same layers, same names, same mode. It can be
trained, copied and pickled (if the network's class can be).

Zero padding crops a network's responses at the image's edge, and the crop reveals location. Full convolution
computes every position whose window meets the image (arXiv 2003.07064, figure 2), and so reveals nothing as long as
black stays 0 inside the network. With biases and batch norm black becomes a constant of each channel, the *background*.
*Exact* full convolution computes it beside each map and pads with it: the answers are those to the image on an endless
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
"""A forward pass that gets the network's own forward pass, settings, and the arguments of the call."""


def to_full_conv(model: nn.Module, exact: bool = True, *, background: float | Sequence[float] = 0.0) -> nn.Module:
    """Returns a network with the layers and weights of `model` in which full convolution replaces the padding.

    model: any network of convolutions, poolings, functions of each position, norms, sums and concatenations of
        maps, and gates that are pooled over all positions (squeeze-and-excitation)
    exact: pad with the background, so that nothing reveals where the image ends; False pads with zeros, as in the paper
    background: the value outside of the images, of all channels or of each; other than 0 with `exact` only

    The result shares its layers and weights with `model`, and has the same names for them. It takes images
    (N, C, H, W) of any size that the layers take, floating point. In train mode, batch norm uses the positions that
    are computed, as do norms over positions in either mode.

    A maximum over all positions is that over the endless canvas. There the mean would be the background, so a mean over
    all positions is the background plus the sum of what the image adds to it, divided by the number of positions in the
    image's area. With `exact=False` both are taken over the computed positions. A network without such a pooling
    returns the map of these positions.

    Raises `OptionError`, which names the layer, if one mixes positions in another way (attention, a flattened map):
    here if the network runs on images of a usual size, else when it is called.

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
    """Returns a network in another padding, with the layers of `model`; arguments and errors as in `with_padding`."""
    try:
        follow(model, padding=padding)
    except NotRunError:
        # It takes sizes other than the usual ones.
        check_network(model)
    return convert_network(model, repad, (padding, background))


def check_network(network: Any) -> None:
    """Raises `OptionError` unless `model` is a network whose functions can be intercepted from outside."""
    if not isinstance(network, nn.Module):
        raise OptionError(f"a network is a torch.nn.Module, got a {type(network).__name__}", code="bad-model")
    if isinstance(network, torch.jit.ScriptModule):
        raise OptionError(
            f"{type(network).__name__} is compiled; give the torch.nn.Module that it was made of", code="bad-model"
        )


def repad(forward: Forward, settings: Any, images: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Runs a network on maps on an endless canvas, or padded from within; returns the computed positions of maps.

    settings: padding and background
    """
    padding, background = settings
    if not isinstance(images, Tensor) or images.ndim != 4:
        found = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise OptionError(f"images are a tensor (N, C, H, W), got {found}; {NOT_COMPILED}")
    if isinstance(images, Plane):
        if images.run.padding != "own":
            raise OptionError("the network is in another padding already; convert the one that it was made of")
        # Windows keep their positions while it runs.
        images.is_bounded &= padding != "circular"
        return forward(images, *args, **kwargs)
    run = Run(padding, (images.shape[-2], images.shape[-1]))
    answer = forward(Plane.of_images(images, run, background), *args, **kwargs)
    run.check_has_padded()
    # An answer that is a view into which was written can't be read: clone refuses it, as any function would.
    return values_of(answer, lambda plane: plane.clone().values)


class ConvertedNetwork(nn.Module):
    """Base of the classes that are made from a network's own class, with another forward pass."""

    _converted_by: ForwardOf
    _converted_from: type[nn.Module]
    _conversion: int
    _conversions: tuple[Any, ...] = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles and copies by the network's own class, since the derived classes are made at run time."""
        own: Any = type(self)
        by = []
        while issubclass(own, ConvertedNetwork):
            by.append(own._converted_by)
            own = own._converted_from
        return _remade, (own, tuple(by)), self.__getstate__()  # type: ignore[no-untyped-call]

    def __prepare_scriptable__(self) -> Any:
        """Refuses `torch.jit.script`, which calls this."""
        raise OptionError(NOT_COMPILED)


def convert_network(network: nn.Module, by: ForwardOf, settings: Any) -> nn.Module:
    """Returns a network with the same layers and another forward pass.

    by: takes the network's own forward pass, `settings`, and the arguments of the call
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
    # A conversion of a conversion has its settings after those of the first.
    place = own._conversion + 1 if issubclass(own, ConvertedNetwork) else 0

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = by
        if not isinstance(args, tuple):  # torch.fx gives a proxy for all of them.
            raise OptionError(NOT_COMPILED)
        if torch.compiler.is_dynamo_compiling():
            # When traced, each layer would be compiled for each of its sizes, which takes minutes.
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
