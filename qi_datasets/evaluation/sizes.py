"""Finds out which sizes of images a network takes, and which border to add if it takes few."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from qi_datasets.errors import ModelError
from qi_datasets.networks.receptive_field import without_values

PATCHES_BORDER = 4
"""Pixels per side that networks of patches get beyond each border, so that the official sides are multiples of 32."""
LARGEST_FURTHER = 32
"""Largest number of pixels per side that a network may get beyond each border."""
CHANNELS = 3

_TRIED = range(32, 513, 8)
_SHOWN = 4
_LARGER = (1, 2, 3, 5, 8, 13, 21)


def further_border(make: Callable[[int], nn.Module], sides: Sequence[int], name: str, *, sized: bool) -> int:
    """Returns the pixels per side that images need beyond their borders so that a network takes them; 0 for most.

    Args:
        make: Makes the network for images of a side in pixels; it may raise `ModelError`.
        sides: Rows and columns of the images that it will get.
        name: The network's name, for messages.
        sized: Whether the network is another one for each side.

    Networks of patches get `PATCHES_BORDER` if they take it. Raises `ModelError`, with sizes that it takes, if no
    border up to `LARGEST_FURTHER` helps. A network that takes all sizes from some number of pixels on gets no further
    border; one that takes none gets none either, and raises its error when it is run.
    """
    takes = _Sizes(make, sized=sized)
    usual = PATCHES_BORDER if takes.is_of_patches(sides[0] + 2 * PATCHES_BORDER) else 0
    more = _choose_border(takes, sides, usual)
    if more is not None and not takes.is_right_by_shapes(min(sides) + 2 * more):
        more = _choose_border(takes, sides, usual)
    if more is not None:
        # If all larger sizes are taken too, the images were too small, not of a wrong size.
        larger = (sides[0] + 2 * more + pixels for pixels in _LARGER)
        return 0 if more not in (0, usual) and all(map(takes, larger)) else more
    taken = [side for side in _TRIED if takes(side)]
    if not taken or taken == list(range(taken[0], _TRIED.stop, _TRIED.step)):
        return 0
    wanted = ", ".join(str(side) for side in sides if not takes(side))
    some = ", ".join(map(str, taken[:_SHOWN]))
    raise ModelError(f"{name} does not take images of {wanted} pixels per side; of those that it takes are {some}")


def _choose_border(takes: "_Sizes", sides: Sequence[int], usual: int) -> int | None:
    """Returns the first further border with which all sides are taken, the usual one first."""
    borders = (usual, *(more for more in range(LARGEST_FURTHER + 1) if more != usual))
    return next((more for more in borders if all(takes(side + 2 * more) for side in sides)), None)


class _Sizes:
    """Tries whether a network takes images of a side, each at most once: by shapes alone if it runs on them."""

    def __init__(self, make: Callable[[int], nn.Module], *, sized: bool) -> None:
        self._make, self._sized = make, sized
        self._tried: dict[int, bool] = {}
        self._made: nn.Module | None = None
        self._runs_without_data = False
        self._needs_data = False

    def __call__(self, side: int) -> bool:
        if side not in self._tried:
            self._tried[side] = self._try(side)
        return self._tried[side]

    def is_right_by_shapes(self, side: int) -> bool:
        """Returns whether a network runs on an image of a side that it takes by shapes; if not, all sides get images.

        Shapes can't show an index outside of a table (MViTv2's relative positions, timm 1.0.31).
        """
        if self._runs_without_data and not _runs(self._network(side, "cpu"), side):
            self._needs_data = True
            self._tried = {one: False for one, taken in self._tried.items() if not taken}
        return not self._needs_data

    def is_of_patches(self, side: int) -> bool:
        """Returns whether the first layer is a grid of tiles: a convolution with equal kernel and stride."""
        network = self._network(side, "cpu")
        first = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), None) if network else None
        return first is not None and first.kernel_size == first.stride != (1, 1) and first.padding in ((0, 0), "valid")

    def _try(self, side: int) -> bool:
        if _runs(self._network(side, "meta"), side):
            self._runs_without_data = True
            return not self._needs_data or _runs(self._network(side, "cpu"), side)
        return not self._runs_without_data and _runs(self._network(side, "cpu"), side)

    def _network(self, side: int, device: str) -> nn.Module | None:
        if not self._sized:
            if self._made is None:
                self._made = self._make(side)
            return without_values(self._made) if device == "meta" else self._made
        try:
            with torch.device(device):
                return self._make(side)
        except ModelError:
            return None


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Puts all layers into evaluation mode in the block; afterwards each has its old mode."""
    modes = [(layer, layer.training) for layer in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def _runs(network: nn.Module | None, side: int) -> bool:
    if network is None:
        return False
    like: Tensor = next(network.parameters(), torch.empty(0))
    image = torch.zeros(1, CHANNELS, side, side, dtype=like.dtype, device=like.device)
    with evaluation_mode(network), torch.inference_mode():
        try:
            network(image)
        except MemoryError:
            raise
        except Exception:  # A network may fail in any way on an image of a size that it wasn't made for.
            return False
    return True
