"""A linear probe of many classes: what a multinomial logistic regression reads from a frozen network's features."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from qi_datasets.errors import OptionError
from qi_datasets.networks.tolerance import equal_tolerance

MOST_STEPS = 500
FLAT = 1e-5
"""Largest gradient, a row of the training data, at which the optimum counts as found."""


class MultinomialProbe:
    """Multinomial logistic regression on standardised features, fitted to its optimum: no randomness, no epochs.

    Minimises the summed cross-entropy plus half the squared weights (biases are free) in float64, as `LinearProbe` does
    for two classes, by L-BFGS. Features are standardised by training mean and deviation; those that vary by rounding
    alone are left out.
    """

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> None:
        """Fits the probe.

        Args:
            features: (N, F), finite.
            labels: (N,), from 0 to `classes` - 1.
            classes: how many there are.

        Raises:
            OptionError: for other shapes or labels, and where the optimum is not found.
        """
        values, target = torch.as_tensor(features).double(), torch.as_tensor(labels).long()
        if values.ndim != 2 or target.shape != values.shape[:1] or not bool(values.isfinite().all()):
            shapes = f"{tuple(values.shape)} and {tuple(target.shape)}"
            raise OptionError(f"a probe takes finite features (N, F) and labels (N,), got {shapes}", code="bad-shape")
        if not 0 <= int(target.min()) <= int(target.max()) < classes:
            raise OptionError(
                f"labels are from 0 to {classes - 1}, got {int(target.min())} to {int(target.max())}", code="bad-shape"
            )
        self.mean, deviation = values.mean(0), values.std(0, correction=0)
        rounding = equal_tolerance(torch.as_tensor(features).dtype) * values.abs().amax(0)
        self.scale = torch.where(deviation > rounding, 1 / deviation, 0.0)
        self.weights, self.bias = _fit(self._standardised(values), target, classes)

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """Returns the likeliest class, (N,), for features (N, F); the first of several."""
        odds = self._standardised(torch.as_tensor(features).double()) @ self.weights + self.bias
        answers: NDArray[np.int64] = odds.argmax(1).numpy()
        return answers

    def _standardised(self, values: Tensor) -> Tensor:
        return (values - self.mean) * self.scale


def _fit(inputs: Tensor, target: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    weights = inputs.new_zeros(inputs.shape[1], classes).requires_grad_()
    bias = inputs.new_zeros(classes).requires_grad_()
    optimizer = torch.optim.LBFGS(
        (weights, bias),
        max_iter=MOST_STEPS,
        history_size=20,
        tolerance_grad=FLAT * len(inputs),
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(inputs @ weights + bias, target, reduction="sum") + weights.square().sum() / 2
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
        objective()
    steepest = max(float(each.grad.abs().max()) for each in (weights, bias) if each.grad is not None)
    if steepest > 10 * FLAT * len(inputs):
        raise OptionError(
            f"the probe did not converge within {MOST_STEPS} steps (gradient {steepest:.2g})", code="no-convergence"
        )
    return weights.detach(), bias.detach()
