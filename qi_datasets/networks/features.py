"""Computes features of frozen networks once, for a linear probe on them."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qi_datasets.errors import OptionError

Images = Tensor | NDArray[np.generic]

# Input pixels per forward pass: on a CPU the activations of larger passes leave the cache; a GPU idles in smaller ones.
_CPU_PIXELS = 2**17
_GPU_PIXELS = 2**24


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Computes float32 with all its 24 bits on CUDA devices in the block: it turns TensorFloat-32 off."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    switches: list[tuple[Any, str, str | bool]]
    if hasattr(matmul, "fp32_precision"):
        # Turning off the older switches would leave the decision to torch.backends.fp32_precision.
        switches = [(cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    else:
        switches = [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
    before = [getattr(place, name) for place, name, _ in switches]
    for place, name, off in switches:
        setattr(place, name, off)
    try:
        yield
    finally:
        for (place, name, _), value in zip(switches, before, strict=True):
            setattr(place, name, value)


def as_input(images: Images, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns images (N, C, H, W) as input of a network: uint8 is divided by 255, floating point keeps its values.

    Raises:
        OptionError: If they have another number of dimensions or another type.
    """
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4:
        raise OptionError(f"images have the shape (N, C, H, W), got {tuple(tensor.shape)}", code="bad-shape")
    if tensor.dtype == torch.uint8:
        return tensor.to(device=device, dtype=dtype) / 255
    if not tensor.is_floating_point():
        raise OptionError(f"images are uint8 or floating point, got {tensor.dtype}", code="bad-shape")
    return tensor.to(device=device, dtype=dtype)


def slices(length: int, size: int) -> Iterator[slice]:
    """Yields slices that cut `range(length)` into pieces of `size`, the last one shorter."""
    for start in range(0, length, size):
        yield slice(start, start + size)


def extract_features(
    network: nn.Module,
    images: Images | Iterable[Images],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> NDArray[np.floating]:
    """Returns the features of a frozen network in eval mode, (N, features) of `dtype`. The network is not changed.

    Args:
        network: Returns one vector for each image.
        images: An array (N, C, H, W), or an iterable of such arrays, read one at a time; uint8 (divided by 255)
            or floating point; larger arrays are cut into passes that suit the device.
        device: Device of torch.
        dtype: Float32 or float64.

    Raises:
        OptionError: As in `as_input`, and if there are no images.
    """
    frozen = copy.deepcopy(network).to(device, dtype).to(memory_format=torch.channels_last).eval()
    batches = [images] if isinstance(images, Tensor | np.ndarray) else images
    on_cpu = torch.device(device).type == "cpu"
    answers: list[Tensor] = []
    with torch.inference_mode(), ieee_float32():
        for batch in batches:
            tensor = torch.as_tensor(batch)
            pixels = max(1, tensor.shape[-1] * tensor.shape[-2]) if tensor.ndim == 4 else 1
            size = max(1, (_CPU_PIXELS if on_cpu else _GPU_PIXELS) // pixels)
            for rows in slices(len(tensor), size):
                ready = as_input(tensor[rows], device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
                answers.append(frozen(ready).cpu())
    if not answers:
        raise OptionError("there are no images to compute features of", code="nothing-asked")
    features: NDArray[np.floating] = torch.cat(answers).numpy()
    return features
