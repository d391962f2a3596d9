"""Evaluates frozen networks on grids of `qi`: features of each picture in all cells, once, then a linear probe.

Protocol (cards/specification.md, "evaluation on grids of qi"; after Islam et al., "Global Pooling, More than Meets the
Eye", ICCV 2021): as on `qi`, with one probe for all cells.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qi_datasets.errors import ModelError
from qi_datasets.networks.features import ieee_float32, slices
from qi_datasets.networks.local import LocalEvaluation, LocalNetwork
from qi_datasets.networks.probe import MultinomialProbe
from qi_datasets.protocols.corners import LARGEST_BATCH, run_in_passes, run_network
from qi_datasets.protocols.quadrant import CALIBRATION_BATCH, CALIBRATION_SOURCES, batch_norms
from qi_datasets.scores.location import EQUAL_WITHIN
from qi_datasets.specs import QUADRANT

Features = NDArray[np.floating]
"""(N, C, F): features of each source in each cell, row by row."""


@dataclass(frozen=True)
class Cells:
    """The positions of the patch in the images of a grid. grid: cells per side; border: pixels per side."""

    grid: int
    border: int

    @property
    def side(self) -> int:
        """Rows and columns of the image."""
        return QUADRANT.grid_side(self.grid) + 2 * self.border

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and column of the patch's first pixel, by label."""
        starts = [self.border + QUADRANT.displacement * cell for cell in range(self.grid)]
        return [(y, x) for y in starts for x in starts]

    def images(self, patches: Tensor, places: list[tuple[int, int]]) -> Tensor:
        """Returns whole images (N, C, side, side) with each of `patches` (N, C, h, w) in its cell."""
        height, width = patches.shape[2:]
        images = patches.new_zeros(len(patches), patches.shape[1], self.side, self.side)
        for image, patch, (y, x) in zip(images, patches, places, strict=True):
            image[:, y : y + height, x : x + width] = patch
        return images.contiguous(memory_format=torch.channels_last)


class GridNetwork:
    """A frozen network that is called with patches, in every cell of a grid."""

    def __init__(self, network: nn.Module, cells: Cells, *, local: bool = True) -> None:
        """Prepares the network; the black canvas is computed once, for all cells and sources.

        Args:
            network: The network, on its device, in evaluation mode; it returns one vector for each image.
            cells: Positions of the patch.
            local: Compute only what differs from the black canvas, where the layers allow it.

        Raises:
            ModelError: If the network fails on images of that size.
        """
        self.network, self.cells = network, cells
        self._local: LocalEvaluation | None = None
        self._where = f"on an image of {cells.side} x {cells.side}"
        if local:
            patch = (QUADRANT.patch, QUADRANT.patch)
            self._local = run_network(
                lambda: LocalEvaluation(network, cells.side, patch=patch, places=cells.places), self._where
            )

    @property
    def dense_because(self) -> str:
        """The reason why whole images are computed; "" if they are not."""
        return "it was asked for" if self._local is None else "; ".join(self._local.reasons)

    def features(self, patches: Tensor) -> Features:
        """Returns features (N, C, F) of patches (N, 3, h, w) in every cell.

        Raises:
            ModelError: If features are not finite, or one source does not fit the memory.
        """
        sources = max(1, LARGEST_BATCH // len(self.cells.places))
        found = run_in_passes(lambda rows: self._answers(patches[rows]), len(patches), sources)
        features: Features = found.numpy()
        if not np.isfinite(features).all():
            raise ModelError(f"the network's features are not finite numbers {self._where}", code="not-finite")
        return features

    def _answers(self, patches: Tensor) -> Tensor:
        local = self._local
        if local is not None:
            everywhere: Tensor = run_network(lambda: local.at_all_places(patches), self._where)
            return everywhere.transpose(0, 1)
        by_cell = [
            run_network(
                lambda place=place: self.network(self.cells.images(patches, [place] * len(patches))).flatten(1),  # type: ignore[misc]
                self._where,
            )
            for place in self.cells.places
        ]
        return torch.stack(by_cell, 1)


def calibrate_on_grid(network: nn.Module, patches: Tensor, cells: Cells) -> None:
    """Gives a network's batch norms the statistics of training images in a grid, and leaves it in evaluation mode.

    The statistics are the mean over batches of 32 of 128 images: image j is training source j // 2 in cell j mod K x K.

    Args:
        network: The network, on its device; it returns a vector for each image.
        patches: (N, 3, h, w), normalised, of training sources.
        cells: Positions of the patch.
    """
    layers = batch_norms(network.eval())
    momenta = [layer.momentum for layer in layers]
    both = patches[:CALIBRATION_SOURCES].repeat_interleave(2, dim=0)
    at = torch.tensor(cells.places)[torch.arange(len(both)) % len(cells.places)]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        layer.momentum = None
    reader = LocalNetwork(network, cells.side)
    with torch.no_grad(), ieee_float32():
        for batch in slices(len(both), CALIBRATION_BATCH):
            reader(both[batch], at[batch, 0], at[batch, 1])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def largest_difference(features: Features) -> float:
    """Returns the largest difference between a source's features (N, C, F) in two cells, over the largest feature."""
    scale = float(np.abs(features).max()) or 1.0
    return float((features.max(1) - features.min(1)).max()) / scale


def probe_cells(train: Features, test: Features) -> NDArray[np.int64]:
    """Returns the cells, (N, C), that a probe fitted to training features (N', C, F) names for test features (N, C, F).

    If the features of every test source are equal in all cells, no probe is fitted, and all answers are cell 0.

    Raises:
        ModelError: If the network is dead, that is, gives all pictures the same features.
    """
    within = EQUAL_WITHIN[str(test.dtype)]
    if len(test) > 1 and np.abs(test[:, 0] - test[0, 0]).max() <= within * float(np.abs(test).max()):
        raise ModelError("the network is dead: it gives the same features to every picture", code="not-finite")
    sources, cells, width = test.shape
    if largest_difference(test) < within:
        return np.zeros((sources, cells), np.int64)
    probe = MultinomialProbe(train.reshape(-1, width), np.tile(np.arange(cells), len(train)), cells)
    return probe.predict(test.reshape(-1, width)).reshape(sources, cells)
