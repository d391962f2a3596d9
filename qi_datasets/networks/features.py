"""Features of frozen networks, computed once, and a linear probe on them."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qi_datasets.errors import VerificationError
from qi_datasets.networks.tolerance import equal_tolerance

Images = Tensor | NDArray[np.generic]

# Input pixels per forward pass: on a CPU the activations of larger ones leave the cache, a GPU idles on smaller ones.
_CPU_PIXELS = 2**17
_GPU_PIXELS = 2**24


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Float32 arithmetic with all its 24 bits on CUDA devices: TensorFloat-32 is off within, and as before after."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    switches: list[tuple[Any, str, str | bool]]
    if hasattr(matmul, "fp32_precision"):
        # The older switches, turned off, would leave the decision to torch.backends.fp32_precision.
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
    """Images (N, C, H, W) as a network takes them: uint8 is divided by 255, floating point keeps its values.

    Raises `VerificationError` for another number of dimensions or another type.
    """
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4:
        raise VerificationError(f"images have the shape (N, C, H, W), got {tuple(tensor.shape)}")
    if tensor.dtype == torch.uint8:
        return tensor.to(device=device, dtype=dtype) / 255
    if not tensor.is_floating_point():
        raise VerificationError(f"images are uint8 or floating point, got {tensor.dtype}")
    return tensor.to(device=device, dtype=dtype)


def slices(length: int, size: int) -> Iterator[slice]:
    """`range(length)` cut into pieces of `size`, the last one shorter."""
    for start in range(0, length, size):
        yield slice(start, start + size)


def extract_features(
    network: nn.Module,
    images: Images | Iterable[Images],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> NDArray[np.floating]:
    """What a frozen network, in eval mode, answers: (N, features), of `dtype` (float32 or float64).

    `images` is one array (N, C, H, W) or an iterable of such arrays, read one at a time; uint8 (divided by 255) or
    floating point. Larger arrays are cut into passes that suit the device. The network itself is left as it is.
    Raises `VerificationError` as `as_input`, and if there are no images at all.
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
        raise VerificationError("there are no images to compute features of")
    features: NDArray[np.floating] = torch.cat(answers).numpy()
    return features


class LinearProbe:
    """Two-class logistic regression on standardised features, fitted to its only optimum: no randomness, no epochs.

    Minimises the summed cross-entropy plus `penalty / 2` times the squared weights (the bias is free) by Newton's
    method in float64. Features are standardised by training mean and standard deviation; constant ones are left out.
    The penalty keeps separable data solvable and rounding differences from being blown up into an answer.
    """

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.integer], *, penalty: float = 1.0) -> None:
        """`features` (N, F), finite; `labels` (N,), 0 or 1, both present. Raises `VerificationError` otherwise."""
        values, target = torch.as_tensor(features).double(), torch.as_tensor(labels).double()
        if values.ndim != 2 or target.shape != values.shape[:1] or not bool(values.isfinite().all()):
            shapes = f"{tuple(values.shape)} and {tuple(target.shape)}"
            raise VerificationError(f"a probe takes finite features (N, F) and labels (N,), got {shapes}")
        if sorted(set(target.tolist())) != [0.0, 1.0] or not penalty > 0:
            raise VerificationError("a probe takes labels 0 and 1, both present, and a penalty above 0")
        self.mean, deviation = values.mean(0), values.std(0, correction=0)
        # A feature that varies by rounding alone is constant: standardised, its rounding would become a signal.
        rounding = equal_tolerance(torch.as_tensor(features).dtype) * values.abs().amax(0)
        varies = deviation > rounding
        self.scale = torch.where(varies, 1 / deviation, 0.0)
        self.weights = _fit_logistic(self._inputs(values), target, penalty)

    def decision(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Log-odds of label 1, (N,), for features (N, F)."""
        odds: NDArray[np.float64] = (self._inputs(torch.as_tensor(features).double()) @ self.weights).numpy()
        return odds

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """The likelier label, (N,)."""
        return (self.decision(features) > 0).astype(np.int64)

    def _inputs(self, values: Tensor) -> Tensor:
        standardised = (values - self.mean) * self.scale
        return torch.cat([standardised, standardised.new_ones(len(values), 1)], dim=1)


def _fit_logistic(inputs: Tensor, target: Tensor, penalty: float) -> Tensor:
    ridge = torch.full((inputs.shape[1],), penalty, dtype=torch.float64)
    ridge[-1] = 0
    weights = torch.zeros_like(ridge)

    def objective(at: Tensor) -> Tensor:
        odds = inputs @ at
        loss = torch.logaddexp(odds, torch.zeros_like(odds)) - target * odds
        value: Tensor = loss.sum() + (ridge * at.square()).sum() / 2
        return value

    for _ in range(100):
        probability = (inputs @ weights).sigmoid()
        gradient = inputs.T @ (probability - target) + ridge * weights
        curvature = (inputs.T * (probability * (1 - probability))) @ inputs + torch.diag(ridge)
        step: Tensor = torch.linalg.solve(curvature, gradient)
        decrease = gradient @ step
        if decrease < 1e-8:
            return weights - step
        length, value = 1.0, objective(weights)
        while length > 1e-10 and objective(weights - length * step) > value - 1e-4 * length * decrease:
            length /= 2
        weights = weights - length * step
    raise VerificationError("the linear probe did not converge within 100 Newton steps")
