"""Finds receptive field and total stride of a network from a run, and the border beyond which it can't read location.

The horizon. A patch is `b` pixels inside two neighbouring edges of a black image, in the upper-left or in the
bottom-right corner. The displacement is a multiple of the total stride: on an endless black canvas both images give
the same feature map, shifted, and the same maximum over space. An output there sees a window of `R` pixels, the
receptive field. A finite image can differ from that canvas in two ways only:

- *Cropping*: an output whose window touches the patch is not computed. Unpadded layers (valid) compute the windows that
  are inside the image; a window that touches the patch reaches at most `R - 1` pixels beyond it, so none is lost once
  `b >= R - 1`. With half-kernel paddings (same) the windows of layer l reach `(R_l - 1) / 2` outside the image, so none
  is lost, in any layer, once `b >= (R - 1) / 2`. Which of the windows nearer than that are lost depends on where the
  grid of the total stride ends: this can lower the border at which the effect ends, never raise it, and can make it
  come and go between two borders. Full convolution computes every window that touches the image and loses none.
- *Padding that is not the layer's black*: where black stays 0 through the network (no biases, no batch norm with a
  shift) zero padding continues the image seamlessly. Otherwise black becomes a constant in the inner layers, which
  ends at zero padding, and outputs near it differ from the canvas. One that also sees the patch needs a window
  that holds a pixel of the patch and one outside the image, hence `b <= R - 2`. From `b >= R - 1` on no output sees
  both, and the outputs that see one of them take the same values in both images.

Circular padding continues black by black, biased or not; nothing of the patch is wrapped once `b >= (R - 1) / 2`. Where
the image's side is a multiple of the total stride the wrapped map is complete, and nothing is lost at any border.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from qi_datasets.errors import OptionError, one_line
from qi_datasets.networks.endless_maps import End, PaddingVariant, Plane, Run, TooSmallError, planes_in
from qi_datasets.networks.operators import check_takes_images_alone, operator_of
from qi_datasets.networks.padding import PADDINGS, Padding

USUAL_SIDES = (224, 256, 512, 64, 32)
"""Sides of the images on which a network is run if none is given, in this order."""


@dataclass(frozen=True)
class ReceptiveField:
    """The window of one output: `size` input pixels per side; neighbouring windows are `stride` pixels apart.

    bounded: whether it sees nothing else. False if something other than windows carries information over the map
        (squeeze-and-excitation, attention beside convolutions, normalisation over space) or around it (circular
        padding), and if positions are added to a map (coordinates as channels, learned tables) or kept after it (a
        head on a flattened map, or on one that is pooled to several positions): each feature may then depend on every
        pixel, and on its position. `size` counts the windows alone.
    """

    size: int = 1
    stride: int = 1
    bounded: bool = True


@dataclass(frozen=True)
class FollowedRun:
    """The facts that a run of a network in its own padding shows.

    ends: where the maps that make up the answer end; a map that is the answer itself ends there
    is_bounded: whether the answer is a map that sees its windows alone, or is pooled from such maps over all positions
    is_lost: whether no map was pooled, and its positions were mixed otherwise than by a head of linear layers
    periods: periods in pixels of the network's grids: of its positions, and of the blocks that maps are divided into
    layers: layers with weights, in the order in which they were called
    layers_after: the layers that were called only after the last end
    """

    ends: Sequence[End]
    is_bounded: bool
    is_lost: bool
    periods: frozenset[int]
    layers: Sequence[str]
    layers_after: Sequence[str]


class NotRunError(OptionError):
    """A network does not run on images of any of the sides that were tried."""


def receptive_field(network: nn.Module, side: int | None = None) -> ReceptiveField:
    """Returns receptive field and total stride, in input pixels, of a network before its pooling over all positions.

    network: the network; it is run without values, and not changed
    side: side of images that it takes, if it doesn't take all of `USUAL_SIDES`

    Where branches meet, the field is what they see together. Layers after the pooling, or after a map is flattened to a
    vector, do not count. Raises `OptionError` if the last map is lost in another way (attention over patches as
    in ViT: every output sees everything), if branches of different strides meet, if rows and columns differ, and
    if the network does not run.

    Example:
        >>> layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1)
        >>> receptive_field(nn.Sequential(*layers))
        ReceptiveField(size=8, stride=2, bounded=True)
    """
    found = follow(network, side)
    if found.is_lost:
        raise OptionError(f"{found.ends[-1].operator} ends the last map, and what comes of it sees every position")
    rows, columns = max((end.reaches for end in found.ends), key=lambda reaches: (reaches[0].stride, reaches[0].size))
    if (rows.size, rows.stride) != (columns.size, columns.stride):
        sizes = f"{rows.size} x {columns.size}, of strides {rows.stride} and {columns.stride}"
        raise OptionError(f"the receptive field is computed for square ones, got {sizes}")
    return ReceptiveField(rows.size, rows.stride, found.is_bounded)


def follow(network: nn.Module, side: int | None = None, padding: PaddingVariant = "own") -> FollowedRun:
    """Runs a network on endless maps without values, and returns the facts that this shows; see `receptive_field`.

    network, side: as in `receptive_field`
    padding: a padding other than `own` shows nothing, but raises `UnsupportedOperationError` if it can't be computed

    Raises `OptionError` if the network does not run on such images.
    """
    if not isinstance(network, nn.Module):
        raise OptionError(f"a network is a torch.nn.Module, got a {type(network).__name__}", code="bad-model")
    check_takes_images_alone(network.forward)
    first = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)
    # The first layer may get more than the image, such as coordinates.
    channels = dict.fromkeys((3, 1) if first is None else (first.in_channels, 3))
    failed: Any = None
    for device in ("meta", "cpu"):
        try:
            copied = without_values(network) if device == "meta" else copy.deepcopy(network).eval()
        except Exception as error:  # Scripted and quantised layers can't be emptied.
            failed = failed or error
            continue
        for many, one in product(channels, USUAL_SIDES if side is None else (side,)):
            try:
                return _follow(copied, (1, many, one, one), padding, device)
            except TooSmallError as error:
                failed = failed or error
            except OptionError:
                raise
            except Exception as error:  # A network may fail in any way, above all on a size that it doesn't take.
                failed = failed or error
    why = "" if failed is None else f": {type(failed).__name__}: {one_line(failed)[:150]}"
    raise NotRunError(f"the network does not run{why}")


def without_values(network: nn.Module) -> nn.Module:
    """Returns a copy of a network, in evaluation mode, whose weights have only shapes: running it costs nothing."""
    memo: dict[int, Any] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(network, memo).eval()


class CallCounter(TorchFunctionMode):
    """Counts the calls of torch functions, by name. Subclasses replace some of them."""

    def __init__(self, calls: Counter[str] | None = None) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter() if calls is None else calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Counts a call, and computes it."""
        name = operator_of(func).name
        self.calls[name] += 1
        return self.compute(name, func, args, kwargs or {})

    def compute(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Returns the function's result."""
        return func(*args, **kwargs)


def _follow(network: nn.Module, shape: Sequence[int], padding: PaddingVariant, device: str) -> FollowedRun:
    run = Run(padding, (shape[2], shape[3]))

    def enter(layer: nn.Module, _: Any, name: str) -> None:
        run.running.append(name)
        run.layers.extend([name] if [*layer.parameters(recurse=False)] else [])

    def leave(*_: Any) -> None:
        run.running.pop()

    like: Tensor = next((one for one in network.parameters() if one.is_floating_point()), torch.empty(0))
    image = torch.zeros(shape, dtype=like.dtype, device=device)
    with ExitStack() as stack:
        for name, layer in network.named_modules():
            stack.callback(layer.register_forward_pre_hook(partial(enter, name=name)).remove)
            stack.callback(layer.register_forward_hook(leave, always_call=True).remove)
        for context in (torch.no_grad(), torch.device(device), CallCounter(run.calls)):
            stack.enter_context(context)
        answers: list[Any] = [answer.clone() for answer in planes_in(network(Plane.of_images(image, run)))]
    run.check_has_padded()
    if padding != "own":
        return FollowedRun((), True, False, frozenset(), run.layers, ())
    if not answers:
        raise OptionError("the network makes nothing of its images")
    ends = {end for plane in answers for end in plane.ends}
    maps = [(plane.axes, plane.reaches) for plane in answers if plane.axes is not None]
    ends |= {End("", place, "", False, True, axes, reaches) for place, (axes, reaches) in enumerate(maps)}
    strides = {reach.stride for end in ends for reach in end.reaches}
    lost = not any(end.is_pooling or not end.operator for end in ends) and any(one.is_mixed for one in answers)
    place = max(run.ends.get(end, len(run.layers)) for end in ends)
    after = [name for name in run.layers[place:] if name not in run.layers[:place]]
    bounded = all(plane.is_bounded for plane in answers)
    in_order = [*(end for end in run.ends if end in ends), *(ends - run.ends.keys())]
    return FollowedRun(in_order, bounded, lost, frozenset(run.periods | strides), run.layers, after)


def location_horizon(field: ReceptiveField, padding: Padding, *, biased: bool) -> int:
    """Returns the border in pixels from which on both corners have the same features, by geometry (global max pooling).

    Below it the corners can differ; how far depends on the weights. `biased` says whether black becomes other than 0
    inside the network. 0 means that they differ at no border. It holds for a displacement that is a multiple of
    `field.stride`; the module's docstring derives it. Raises `OptionError` for an unknown padding.

    Example:
        >>> field = ReceptiveField(size=8, stride=2)
        >>> [location_horizon(field, padding, biased=True) for padding in ("valid", "same", "full", "circular")]
        [7, 7, 7, 4]
        >>> location_horizon(field, "full", biased=False)
        0
    """
    if padding not in PADDINGS:
        raise OptionError(f"padding is one of {', '.join(PADDINGS)}, got {padding!r}", code="bad-value")
    if padding == "circular" or (padding == "same" and not biased):
        return field.size // 2
    if padding == "full" and not biased:
        return 0
    return field.size - 1
