"""Convolutions by the name of their padding: valid, same, circular or full.

Source: arXiv 2003.07064, figure 2 (which weights of a filter meet which pixels of the image, per padding).
"""

from typing import Any, Literal, get_args

from torch import nn

from qi_datasets.errors import OptionError

Padding = Literal["valid", "same", "circular", "full"]
PADDINGS: tuple[Padding, ...] = get_args(Padding)


def padding_per_side(padding: Padding, kernel_size: int, dilation: int = 1) -> int:
    """Returns the pixels per side that `padding` adds: valid 0, same and circular half the kernel, full kernel - 1.

    Raises:
        OptionError: If the name is unknown, or the kernel is even with same or circular padding, which would need
            different paddings on the two sides.
    """
    reach = dilation * (kernel_size - 1)
    if padding == "valid":
        return 0
    if padding == "full":
        return reach
    if padding not in ("same", "circular"):
        raise OptionError(f"padding is one of {', '.join(PADDINGS)}, got {padding!r}", code="bad-value")
    if kernel_size % 2 == 0:
        raise OptionError(f"{padding} padding needs an odd kernel, got kernel size {kernel_size}", code="bad-value")
    return reach // 2


class FullConv2d(nn.Conv2d):
    """Full convolution: `nn.Conv2d` on an input padded with `dilation * (kernel_size - 1)` zeros per side.

    Every window that touches the input gives an output, so that each weight of the kernel meets each pixel. It takes
    the arguments of `nn.Conv2d`, so that it can replace it anywhere; `padding` is accepted and replaced. Input (N,
    C_in, H, W), output (N, C_out, H', W') with `H' = (H + dilation * (kernel_size - 1) - 1) // stride + 1`.

    Raises `OptionError` for a `padding_mode` other than "zeros". Source: arXiv 2003.07064, figure 2 (F-Conv).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        **factory: Any,
    ) -> None:
        if padding_mode != "zeros":
            raise OptionError(f"full convolution pads with zeros, got padding_mode={padding_mode!r}")
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        along_y, along_x = (dilation, dilation) if isinstance(dilation, int) else dilation
        full = (padding_per_side("full", height, along_y), padding_per_side("full", width, along_x))
        super().__init__(
            in_channels, out_channels, kernel_size, stride, full, dilation, groups, bias, "zeros", **factory
        )


def make_conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    padding: Padding,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """Returns a square convolution of the named padding; its weights are drawn as `nn.Conv2d` draws them.

    Equal random state gives equal weights in any padding.

    Args:
        padding: The padding's name.
        in_channels: As in `nn.Conv2d`.
        out_channels: As in `nn.Conv2d`.
        kernel_size: As in `nn.Conv2d`.
        stride: As in `nn.Conv2d`.
        dilation: As in `nn.Conv2d`.
        groups: As in `nn.Conv2d`.
        bias: As in `nn.Conv2d`.

    Raises:
        OptionError: As in `padding_per_side`.
    """
    per_side = padding_per_side(padding, kernel_size, dilation)
    if padding == "full":
        return FullConv2d(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
    mode: Literal["circular", "zeros"] = "circular" if padding == "circular" else "zeros"
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, per_side, dilation, groups, bias, mode)
