"""Receptive field and total stride from a network's layers, and the border beyond which location cannot be read.

The horizon. A patch lies `b` pixels inside two neighbouring edges of a black image, in the upper-left or in the
bottom-right corner. The displacement is a multiple of the total stride: on an endless black plane both images give
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

from torch import fx, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.padding import PADDINGS, Padding
from qi_datasets.networks.planes.layers import LayerFollower
from qi_datasets.networks.planes.plane import End
from qi_datasets.networks.planes.tracing import trace, where


@dataclass(frozen=True)
class ReceptiveField:
    """What one output sees: `size` input pixels per side; neighbouring outputs' windows are `stride` pixels apart.

    bounded: whether it sees nothing else. False where something beside windows carries information over the map
    (squeeze-and-excitation, attention beside convolutions, normalisation over space) or around it (circular padding):
    `size` is then what the windows alone see.
    """

    size: int = 1
    stride: int = 1
    bounded: bool = True


def receptive_field(network: nn.Module) -> ReceptiveField:
    """Receptive field and total stride, in input pixels, of any traced network before its pooling over all positions.

    Where branches meet it is what they see together; what comes after the pooling, or after a map is flattened to a
    vector, does not count. Raises `OptionError`, with the name of the node, where the last map is lost in another way
    (attention over patches as in ViT: every output sees everything), where branches of different strides meet, or where
    rows and columns differ.
    """
    plane = last_maps(trace(network))[-1].plane
    rows, columns = plane.reaches
    if (rows.size, rows.stride) != (columns.size, columns.stride):
        sizes = f"{rows.size} x {columns.size}, of strides {rows.stride} and {columns.stride}"
        raise OptionError(f"the receptive field is computed for square ones, got {sizes}")
    return ReceptiveField(rows.size, rows.stride, plane.bounded)


def last_maps(traced: fx.GraphModule) -> list[End]:
    """Where maps are pooled, flattened or given as the answer: at least one place. Raises `OptionError` if at none."""
    ends = LayerFollower(traced, "full", strict=False).ends()
    if not ends:
        raise OptionError("the network makes nothing of its images")
    if not ends[-1].known:
        raise OptionError(f"{where(ends[-1].node)} can't be followed, and no map that is pooled comes after it")
    return ends


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
