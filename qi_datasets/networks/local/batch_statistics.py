"""The step of a batch norm that normalises by its batch, and what it remembers of it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from qi_datasets.networks.local.batch_norm import batch_norm
from qi_datasets.networks.local.blank import Blank
from qi_datasets.networks.local.ground import Ground
from qi_datasets.networks.local.steps import Call, Step
from qi_datasets.networks.local.windows import Area


class BatchStatistics(Step):
    """Batch norm by the batch's statistics: blank map and windows can't be computed apart."""

    def __init__(
        self,
        affine: Callable[[], tuple[Tensor | None, Tensor | None]],
        eps: float,
        remember: Callable[[Tensor, Tensor], None],
    ) -> None:
        self.affine, self.eps, self.remember = affine, eps, remember

    @classmethod
    def of_layer(cls, layer: nn.BatchNorm2d) -> "BatchStatistics":
        """The step of a layer, which updates the layer's running statistics as the layer does."""

        def remember(mean: Tensor, variance: Tensor) -> None:
            if not (layer.training and layer.track_running_stats):
                return
            factor = layer.momentum
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.add_(1)
                factor = 1 / float(layer.num_batches_tracked) if factor is None else factor
            update(layer.running_mean, mean, factor or 0.0)
            update(layer.running_var, variance, factor or 0.0)

        return cls(lambda: (layer.weight, layer.bias), layer.eps, remember)

    def together(self, blank: Blank, windows: Sequence[Tensor], areas: Sequence[Area]) -> tuple[Tensor, list[Tensor]]:
        """The normalised blank map and windows (N, C, h, w), for each place of the patch, of one batch."""
        whole = blank.occurrences(*(range(span.length) for span in areas[0].spans))
        occurrences = torch.zeros_like(whole)
        for window, area in zip(windows, areas, strict=True):
            hidden = blank.occurrences(area.rows.positions, area.columns.positions)
            occurrences += len(window) * (whole - hidden)
        weight, bias = self.affine()
        normalised, parts, mean, variance = batch_norm(blank.values, occurrences, windows, weight, bias, self.eps)
        with torch.no_grad():
            self.remember(mean, variance)
        return normalised, parts

    def ground(self, call: Call, grounds: Sequence[Ground]) -> Ground:
        """The same positions; what black becomes depends on the batch."""
        return grounds[0].become(None)

    def obstacle(self, areas: Sequence[Area], grounds: Sequence[Ground], out: Area) -> str | None:
        """Images of another batch are normalised otherwise."""
        return "it normalises by its batch"


def update(running: Tensor | None, value: Tensor, factor: float) -> None:
    """Moves a running statistic towards a batch's by a share of the difference."""
    if running is not None:
        running.lerp_(value.to(running.dtype), factor)
