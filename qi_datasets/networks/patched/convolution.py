"""Rules for convolutions."""

from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.operators import Window, pair
from qi_datasets.networks.patched.tensor import Patched, PerImage
from qi_datasets.networks.patched.windows import slide


@Patched.rules.register("conv2d")
def conv2d(
    func: Any,
    input: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Computes windows as far as the kernel reaches, and the background as far as it differs."""
    if not isinstance(input, Patched) or input.letters != "NCHW" or isinstance(weight, Patched | PerImage):
        return NotImplemented
    window = Window.of_convolution(weight, stride, padding, dilation)
    steps, spread = pair(stride), pair(dilation)
    if window.kernel == window.stride == (1, 1) and not any(map(any, window.padding)):
        return input.each(lambda maps: func(maps, weight, bias, 1, 0, 1, groups))
    return slide(
        input,
        lambda maps: torch.conv2d(maps, weight, bias, steps, 0, spread, groups),
        window,
        lambda maps: func(maps, weight, bias, stride, padding, dilation, groups),
    )


@PerImage.rules.register("conv2d", "conv1d")
def conv_per_image(func: Any, input: Any, weight: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Computes each image by itself."""
    if not isinstance(input, PerImage) or input.ndim != weight.ndim:
        return NotImplemented
    return input.each(lambda values: func(values, weight, *args, **kwargs))
