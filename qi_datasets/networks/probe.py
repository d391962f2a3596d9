"""Linear probes: logistic regressions, of two or many classes, on a frozen network's features."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from qi_datasets.errors import OptionError
from qi_datasets.networks.tolerance import equal_tolerance

MOST_STEPS = 500
FLAT = 1e-5
"""Largest gradient per row of the training data at which the optimum of many classes counts as found."""


class _Standardised:
    """Standardises features by training mean and standard deviation, and leaves out constant ones."""

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
        values = torch.as_tensor(features).double()
        count = torch.as_tensor(labels).shape
        if values.ndim != 2 or count != values.shape[:1] or not bool(values.isfinite().all()):
            shapes = f"{tuple(values.shape)} and {tuple(count)}"
            raise OptionError(f"a probe takes finite features (N, F) and labels (N,), got {shapes}", code="bad-shape")
        self.mean, deviation = values.mean(0), values.std(0, correction=0)
        # A feature that varies by rounding alone is constant: standardising would turn its rounding into a signal.
        rounding = equal_tolerance(torch.as_tensor(features).dtype) * values.abs().amax(0)
        self.scale = torch.where(deviation > rounding, 1 / deviation, 0.0)

    def standardised(self, features: NDArray[np.floating]) -> Tensor:
        """Returns features (N, F) as the probe takes them, float64."""
        return (torch.as_tensor(features).double() - self.mean) * self.scale


class LinearProbe(_Standardised):
    """Two-class logistic regression on standardised features, fitted to its only optimum: no randomness, no epochs.

    It minimises the summed cross-entropy plus `penalty / 2` times the squared weights (the bias is free) by Newton's
    method in float64. The penalty keeps separable data solvable, and keeps rounding differences from growing into an
    answer.
    """

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.integer], *, penalty: float = 1.0) -> None:
        """Fits the probe to `features` (N, F), finite, with `labels` (N,), 0 or 1, both present.

        Raises:
            OptionError: If features or labels are others.
        """
        super().__init__(features, labels)
        target = torch.as_tensor(labels).double()
        if sorted(set(target.tolist())) != [0.0, 1.0] or not penalty > 0:
            raise OptionError("a probe takes labels 0 and 1, both present, and a penalty above 0")
        self.weights = _fit_logistic(self._inputs(features), target, penalty)

    def decision(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Returns the log-odds of label 1, (N,), for features (N, F)."""
        odds: NDArray[np.float64] = (self._inputs(features) @ self.weights).numpy()
        return odds

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """Returns the likelier label, (N,)."""
        return (self.decision(features) > 0).astype(np.int64)

    def _inputs(self, features: NDArray[np.floating]) -> Tensor:
        values = self.standardised(features)
        return torch.cat([values, values.new_ones(len(values), 1)], dim=1)


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
    raise OptionError("the linear probe did not converge within 100 Newton steps", code="no-convergence")


class MultinomialProbe(_Standardised):
    """Logistic regression of many classes, fitted to its optimum without randomness, as `LinearProbe` for two.

    It minimises the summed cross-entropy plus half the squared weights (biases are free) in float64, by L-BFGS.
    """

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> None:
        """Fits the probe.

        Args:
            features: (N, F), finite.
            labels: (N,), from 0 to `classes` - 1.
            classes: Number of classes.

        Raises:
            OptionError: If shapes or labels are others, or the optimum is not found.
        """
        super().__init__(features, labels)
        target = torch.as_tensor(labels).long()
        if not 0 <= int(target.min()) <= int(target.max()) < classes:
            raise OptionError(
                f"labels are from 0 to {classes - 1}, got {int(target.min())} to {int(target.max())}", code="bad-shape"
            )
        self.weights, self.bias = _fit_multinomial(self.standardised(features), target, classes)

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """Returns the likeliest class, (N,), for features (N, F); the first of several."""
        answers: NDArray[np.int64] = (self.standardised(features) @ self.weights + self.bias).argmax(1).numpy()
        return answers


def _fit_multinomial(inputs: Tensor, target: Tensor, classes: int) -> tuple[Tensor, Tensor]:
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
