"""Full convolution of any traceable network, on its own weights.

Zero padding crops a network's responses at the image's edge, and the crop shows where things are. Full convolution
computes every position whose window meets the image (arXiv 2003.07064, figure 2), and so shows nothing as long as black
stays 0 inside the network. With biases and batch norm it becomes some constant of each channel, the *ground*. *Exact*
full convolution carries the ground beside each map and pads with it: the answers are those to the image on an endless
black plane. Branches meet at the positions that they have in the network's own padding, so that a trained network
samples the image in the phase that it was trained with.
"""

from collections.abc import Sequence

from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.planes.layers import LayerFollower
from qi_datasets.networks.planes.tracing import trace


def to_full_conv(model: nn.Module, exact: bool = True, *, background: float | Sequence[float] = 0.0) -> nn.Module:
    """A network with the layers and weights of `model` in which full convolution takes the place of every padding.

    The result shares its layers and weights with `model`, and has the same names for them. It takes images
    (N, C, H, W) of any size, floating point. It does what `model` does in eval mode, but for batch norm and dropout
    layers, which follow `train()` and `eval()`; in train mode, batch norm goes by the positions that are computed.

    A last maximum over all positions is that over the endless plane. A mean over an endless plane would be its ground;
    a last mean over all positions is the ground plus what the image adds to it, divided by the number of positions that
    the image's area holds. With `exact=False` both are taken of the positions that are computed. Without such a
    pooling, the answer is the map of these positions.

    model: any network that `torch.fx` can trace, of convolutions, poolings, what acts on each position alone, batch and
        layer norm, additions and concatenations.
    exact: pad with the ground, so that nothing shows where the image ends; False pads with zeros, as the paper does.
    background: what lies outside the images, of every channel or of each; other than 0 with `exact` only.

    Raises `OptionError`, with the name of the node, for what mixes all positions (squeeze-and-excitation, attention, a
    mean over space in the middle, a flattened map) or is not known.
    """
    if not exact and background != 0.0:
        raise OptionError("a background other than 0 takes exact=True: full convolution pads with zeros")
    follower = LayerFollower(trace(model), "exact" if exact else "full", background=background)
    return follower.written(f"{'Exact' if exact else 'Full'}{type(model).__name__}")
