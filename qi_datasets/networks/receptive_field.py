"""Receptive field and total stride from a network's layers, and the border beyond which location cannot be read.

The horizon. A patch lies `b` pixels inside two neighbouring edges of a black image, in the upper-left or in the
bottom-right corner; the displacement is a multiple of the total stride, so on an endless black plane both images give
the same feature map, shifted, and the same maximum over space. An output on that plane sees a window of `R` pixels, the
receptive field. A finite image can differ from the plane in two ways only:

- *Cropping*: an output whose window touches the patch is not computed. Unpadded layers (valid) compute the windows that
  lie inside the image; a window that touches the patch reaches at most `R - 1` pixels beyond it, so none is lost once
  `b >= R - 1`. With half-kernel paddings (same) the windows of layer l reach `(R_l - 1) / 2` outside the image, so none
  is lost, in any layer, once `b >= (R - 1) / 2`. Which of the windows nearer than that are lost depends on where the
  grid of the total stride ends: this can lower the border at which the effect ends, never raise it, and can make it
  come and go between two borders. Full convolution computes every window that touches the image and loses none.
- *Padding that is not the layer's black*: where black stays 0 through the network (no biases, no batch norm with a
  shift) zero padding continues the image seamlessly. Otherwise black becomes a constant in the inner layers, which
  ends at zero padding, and outputs near the boundary differ from the plane. One that also sees the patch needs a window
  that holds a pixel of the patch and one outside the image, hence `b <= R - 2`. From `b >= R - 1` on no output sees
  both, and the outputs that see one of them take the same values in both images.

Circular padding continues black by black, biased or not; nothing of the patch is wrapped once `b >= (R - 1) / 2`. Where
the image's side is a multiple of the total stride the wrapped map is complete, and nothing is lost at any border.
"""

from dataclasses import dataclass
from functools import singledispatch

from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.padding import PADDINGS, Padding


@dataclass(frozen=True)
class ReceptiveField:
    """What one output sees: `size` input pixels per side; neighbouring outputs' windows are `stride` pixels apart."""

    size: int = 1
    stride: int = 1

    def then(self, kernel_size: int, stride: int, dilation: int = 1) -> "ReceptiveField":
        """The field after one more layer."""
        return ReceptiveField(self.size + dilation * (kernel_size - 1) * self.stride, self.stride * stride)


@singledispatch
def follow(layer: nn.Module, field: ReceptiveField) -> ReceptiveField:
    """The receptive field after `layer`, given the one before it.

    Further layer types are registered on this function. Knows `nn.Sequential`, `nn.Conv2d`, `nn.MaxPool2d` and
    `nn.AvgPool2d` with square kernels, and layers that act on each position alone. Raises `OptionError` for any
    other layer.
    """
    raise OptionError(f"the receptive field of a {type(layer).__name__} layer is not known")


@follow.register
def _(layer: nn.Sequential, field: ReceptiveField) -> ReceptiveField:
    for inner in layer:
        field = follow(inner, field)
    return field


@follow.register(nn.Conv2d)
@follow.register(nn.MaxPool2d)
@follow.register(nn.AvgPool2d)
def _(layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d, field: ReceptiveField) -> ReceptiveField:
    kernel_size, stride = _side(layer.kernel_size), _side(layer.stride)
    return field.then(kernel_size, stride, _side(getattr(layer, "dilation", 1)))


@follow.register(nn.ReLU)
@follow.register(nn.BatchNorm2d)
@follow.register(nn.Identity)
def _(layer: nn.Module, field: ReceptiveField) -> ReceptiveField:
    return field


def receptive_field(network: nn.Module) -> ReceptiveField:
    """Receptive field and total stride, in input pixels, of a network without its global pooling and head.

    Raises `OptionError` for layers that `follow` does not know.
    """
    return follow(network, ReceptiveField())


def location_horizon(field: ReceptiveField, padding: Padding, *, biased: bool) -> int:
    """Border in pixels from which on, by geometry alone, both corners give the same features (global max pooling).

    Below it the corners can differ; how far they do depends on the weights. `biased` says whether black turns into
    something else than 0 within the network. 0 means at no border. Holds for a displacement that is a multiple of
    `field.stride`; derived at the head of this module. Raises `OptionError` for an unknown padding.
    """
    if padding not in PADDINGS:
        raise OptionError(f"padding is one of {', '.join(PADDINGS)}, got {padding!r}")
    if padding == "circular" or (padding == "same" and not biased):
        return field.size // 2
    if padding == "full" and not biased:
        return 0
    return field.size - 1


def _side(size: int | tuple[int, ...]) -> int:
    if isinstance(size, int):
        return size
    if len(set(size)) != 1:
        raise OptionError(f"the receptive field is computed for square kernels and strides, got {tuple(size)}")
    return size[0]
