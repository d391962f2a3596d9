"""Runs a network on black images with a patch in one of two corners, by local evaluation where its layers allow it."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qi_datasets.errors import ModelError, QIDatasetsError, one_line
from qi_datasets.networks.features import ieee_float32
from qi_datasets.networks.local import LocalEvaluation, LocalNetwork
from qi_datasets.specs import QUADRANT

# Input pixels of a pass over whole images: on a CPU the activations of larger passes leave the cache.
_WHOLE_PIXELS = {"cpu": 2**17, "cuda": 2**24}
LARGEST_BATCH = 64
"""Largest number of images of a pass; fewer if memory is short or a cache is small."""

Features = NDArray[np.floating]
"""(N, 2, F): features of each source in the upper-left and in the bottom-right corner."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Corners:
    """The positions of the patch in an image, for rows and columns alike. border: pixels per side."""

    border: int

    @property
    def side(self) -> int:
        """Rows and columns of the image."""
        return QUADRANT.canvas + 2 * self.border

    @property
    def places(self) -> tuple[int, int]:
        """The patch's first row and column, by label."""
        return self.border, self.border + QUADRANT.displacement

    def images(self, patches: Tensor, labels: Tensor) -> Tensor:
        """Returns whole images (N, C, side, side) with `patches` (N, C, h, w) in the corners of `labels` (N,)."""
        height, width = patches.shape[2:]
        images = patches.new_zeros(len(patches), patches.shape[1], self.side, self.side)
        for image, patch, label in zip(images, patches, labels.tolist(), strict=True):
            place = self.places[label]
            image[:, place : place + height, place : place + width] = patch
        return images.contiguous(memory_format=torch.channels_last)


class CornerNetwork:
    """A network that is called with patches, in either corner of its images.

    network: the network, on its device; it returns one vector for each image
    border: pixels per side
    local: compute only what differs from the black canvas, where the layers allow it
    frozen: whether the network is frozen, in evaluation mode; the black canvas is then computed once

    Raises `ModelError` if the network fails on images of that size.
    """

    def __init__(self, network: nn.Module, border: int, *, local: bool = True, frozen: bool = True) -> None:
        self.network, self.corners = network, Corners(border)
        self._local: LocalEvaluation | LocalNetwork | None = None
        if local and frozen:
            patch, places = (QUADRANT.patch, QUADRANT.patch), [(place, place) for place in self.corners.places]
            self._local = self._run(lambda: LocalEvaluation(network, self.corners.side, patch=patch, places=places))
        elif local:
            self._local = LocalNetwork(network, self.corners.side)

    @property
    def dense_because(self) -> str:
        """The reason why whole images are computed; "" if they are not, or if the first answer will show it."""
        return "it was asked for" if self._local is None else "; ".join(self._local.reasons)

    def __call__(self, patches: Tensor, labels: Tensor) -> Tensor:
        """Returns the answers (N, F) to `patches` (N, 3, h, w), each in the corner of its label in `labels` (N,)."""
        if self._local is None:
            dense: Tensor = self._run(lambda: self.network(self.corners.images(patches, labels)).flatten(1))
            return dense
        at, local = torch.tensor(self.corners.places)[labels.cpu()], self._local
        answers: Tensor = self._run(lambda: local(patches, at, at).flatten(1))
        return answers

    def features(self, patches: Tensor, batch: int | None = None) -> Features:
        """Returns features (N, 2, F) of a frozen network, float32 or float64.

        Args:
            patches: (N, 3, h, w), on any device.
            batch: Images in a pass, None for a number that suits the device; halved if memory is short.

        Raises:
            ModelError: If features are not finite, or one image does not fit the memory.
        """
        size = self._fitting(patches) if batch is None else batch
        local = self._local
        if isinstance(local, LocalEvaluation):
            pairs = max(1, size // 2)
            answers = run_in_passes(lambda rows: self._both(local, patches[rows]), len(patches), pairs)
        else:
            both, labels = patches.repeat_interleave(2, dim=0), torch.arange(2 * len(patches)) % 2
            answers = run_in_passes(lambda rows: self(both[rows], labels[rows]), len(both), size)
        features: Features = answers.numpy().reshape(len(patches), 2, -1)
        if not np.isfinite(features).all():
            raise ModelError(
                f"the network's features are not finite numbers at border {self.corners.border}", code="not-finite"
            )
        return features

    def _both(self, local: LocalEvaluation, patches: Tensor) -> Tensor:
        """Returns features (N, 2 * F) of each patch in both corners; computes values that are equal in both once."""
        return self._run(lambda: local.at_all_places(patches).transpose(0, 1).flatten(1))

    def _fitting(self, images: Tensor) -> int:
        if self._local is not None:
            return LARGEST_BATCH
        fitting = _WHOLE_PIXELS.get(images.device.type, _WHOLE_PIXELS["cuda"]) // self.corners.side**2
        return min(max(1, fitting), LARGEST_BATCH)

    def _run(self, call: Callable[[], Answer]) -> Answer:
        return run_network(
            call, f"on an image of {self.corners.side} x {self.corners.side} (border {self.corners.border})"
        )


def run_in_passes(answer: Callable[[slice], Tensor], count: int, size: int) -> Tensor:
    """Returns the answers of a frozen network to `count` images, `size` in a pass, on the CPU; float32 or float64.

    Args:
        answer: Returns the answers (n, F) to some of the images; MemoryError if these are too many.
        count: Number of images.
        size: Number of images of a pass; halved if memory is short.

    Raises:
        ModelError: If one image is too many.
    """
    answers: list[Tensor] = []
    done = 0
    with torch.inference_mode(), ieee_float32():
        while done < count:
            try:
                found = answer(slice(done, min(done + size, count)))
            except MemoryError as error:
                if size == 1:
                    raise ModelError(f"{error}, with a single one; leave it out, or take a larger machine") from error
                size = (size + 1) // 2
                continue
            answers.append(found.cpu() if found.dtype == torch.float64 else found.float().cpu())
            done += size
    return torch.cat(answers)


def run_network(call: Callable[[], Answer], where: str) -> Answer:
    """Calls a network and returns its answer. Any error becomes a `ModelError` of one line, or a MemoryError.

    Args:
        call: Calls the network.
        where: A description of its input, for the message.
    """
    held = io.StringIO()
    try:
        # A traced network prints where it failed before it raises.
        with redirect_stderr(held):
            answer = call()
    except QIDatasetsError:
        raise
    except Exception as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if short or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
            raise MemoryError(f"out of memory {where}") from error
        raise ModelError(f"the network fails {where}: {type(error).__name__}: {one_line(error)[:200]}") from error
    sys.stderr.write(held.getvalue())
    return answer
