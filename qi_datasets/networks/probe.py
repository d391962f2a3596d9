"""A linear probe: what a logistic regression reads from a frozen network's features."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qi_datasets.errors import OptionError
from qi_datasets.networks.tolerance import equal_tolerance


class LinearProbe:
    """Two-class logistic regression on standardised features, fitted to its only optimum: no randomness, no epochs.

    Minimises the summed cross-entropy plus `penalty / 2` times the squared weights (the bias is free) by Newton's
    method in float64. Features are standardised by training mean and standard deviation; constant ones are left out.
    The penalty keeps separable data solvable and rounding differences from being blown up into an answer.
    """

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.integer], *, penalty: float = 1.0) -> None:
        """`features` (N, F), finite; `labels` (N,), 0 or 1, both present.

        Raises:
            OptionError: Otherwise.
        """
        values, target = torch.as_tensor(features).double(), torch.as_tensor(labels).double()
        if values.ndim != 2 or target.shape != values.shape[:1] or not bool(values.isfinite().all()):
            shapes = f"{tuple(values.shape)} and {tuple(target.shape)}"
            raise OptionError(f"a probe takes finite features (N, F) and labels (N,), got {shapes}", code="bad-shape")
        if sorted(set(target.tolist())) != [0.0, 1.0] or not penalty > 0:
            raise OptionError("a probe takes labels 0 and 1, both present, and a penalty above 0")
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
    raise OptionError("the linear probe did not converge within 100 Newton steps", code="no-convergence")
