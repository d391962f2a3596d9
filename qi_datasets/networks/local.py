"""Local evaluation: runs a network on black images with a patch, computing maps only where they differ from black's.

The network runs unchanged on a `Patched` tensor; functions that mix all positions are computed on whole maps, so that
its answers are always those to whole images.
"""

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from qi_datasets.errors import OptionError, UnsupportedOperationError
from qi_datasets.networks.features import ieee_float32, slices
from qi_datasets.networks.operators import check_takes_images_alone, record_unsupported
from qi_datasets.networks.patched import Batch, Kept, Patched

Place = tuple[int, int]
_Positions = int | Sequence[int] | Tensor

# Bytes of a batch in its largest layer, and input pixels of a batch of whole maps: both fit a CPU's cache.
_CPU_BYTES, _CPU_PIXELS = 2**23, 2**17
_GPU_BYTES, _GPU_PIXELS = 2**28, 2**24
_LARGEST_BATCH = 64


class LocalEvaluation:
    """Evaluates a frozen network on black images with a patch.

    It keeps a copy of the network, in evaluation mode.

    Args:
        network: Ends in global pooling and perhaps a head; images (N, channels, side, side), black 0. Weights and
            maps are laid out with channels last, which is faster, unless its attribute `layout` says otherwise.
        side: Rows and columns of the images.
        patch: Rows and columns of the patches.
        places: Row and column of the patch's first pixel, for each place where it may be.
        channels: Channels of the images.
        dtype: The dtype to compute in; None for the network's own.
        batch: Images per pass; None for a number that suits the device.

    `local` says whether all layers are computed in windows; `reasons` names the functions that are not: these get whole
    maps are computed, and the answers are the same.

    Raises:
        OptionError: If a patch leaves the image, or the answers depend on the other images of the batch.
    """

    def __init__(
        self,
        network: nn.Module,
        side: int,
        *,
        patch: tuple[int, int],
        places: Sequence[Place],
        channels: int = 3,
        dtype: torch.dtype | None = None,
        batch: int | None = None,
    ) -> None:
        self._layout = getattr(network, "layout", torch.channels_last)
        frozen = copy.deepcopy(network).eval().to(dtype=dtype).to(memory_format=self._layout)
        check_takes_images_alone(frozen.forward)
        if any(isinstance(layer, _BatchNorm) and layer.running_mean is None for layer in frozen.modules()):
            raise OptionError("batch norm without running statistics depends on the batch; use LocalNetwork")
        self._network, self._side = frozen, side
        self._like = _like(frozen, torch.empty(0, dtype=dtype))
        self._places = [(y, x) for y, x in places]
        for place in self._places:
            _check_place(place, patch, side)
        self._patch = (channels, *patch)
        self._whole = False
        black = self._like.new_zeros(1, channels, 1, 1)
        self._kept = Kept([*frozen.parameters(), *frozen.buffers()], black)
        self.reasons: list[str] = []
        """The functions that are computed on whole maps, by name, in the order of their first calls."""
        with torch.inference_mode(), ieee_float32(), record_unsupported() as reasons:
            largest = self._try_out(reasons)
        self._batch = self._fitting_batch(largest) if batch is None else batch

    @property
    def local(self) -> bool:
        """True if all layers are computed in windows."""
        return not self.reasons

    def __call__(self, patches: Tensor, y: _Positions, x: _Positions) -> Tensor:
        """Returns features (N, F) of images with `patches` (N, C, h, w) at row `y`, column `x` (for all, or for each).

        Raises `OptionError` for patches of another shape, and for positions that are not among `places`.
        """
        self._check(patches)
        found, order = [], []
        for place, images in _by_place(patches, y, x):
            if place not in self._places:
                raise OptionError(f"no patch was announced at row {place[0]}, column {place[1]}", code="does-not-fit")
            for rows in slices(len(images), self._batch):
                found.append(self._features(patches[images[rows]], [place])[0])
                order.append(images[rows])
        return torch.cat(found)[torch.cat(order).argsort().to(found[0].device)]

    def at_all_places(self, patches: Tensor) -> Tensor:
        """Returns features (places, N, F) of images with `patches` (N, C, h, w) at each of `places`.

        The black canvas, and values that are proved to be equal in two places, are computed once. Raises `OptionError`
        for patches of another shape.
        """
        self._check(patches)
        parts = slices(len(patches), self._batch)
        return torch.cat([self._features(patches[rows], self._places) for rows in parts], 1)

    def _check(self, patches: Tensor) -> None:
        _check_patches(patches)
        if tuple(patches.shape[1:]) != self._patch:
            expected = ", ".join(map(str, self._patch))
            raise OptionError(f"patches have the shape (N, {expected}), got {tuple(patches.shape)}", code="bad-shape")

    def _features(self, patches: Tensor, places: Sequence[Place]) -> Tensor:
        """Returns features (places, N, F)."""
        with torch.inference_mode(), ieee_float32():
            windows = patches.to(self._like).clone(memory_format=self._layout)
            return torch.stack([*self._answers(windows, places)])

    def _answers(self, windows: Tensor, places: Sequence[Place]) -> Sequence[Tensor]:
        count = len(windows)
        if self._whole:
            images = [_images(windows, place, self._side) for place in places]
            return torch.split(_as_features(self._network(torch.cat(images)), count * len(places)), count)
        batch = Batch(torch.split(torch.arange(count * len(places)), count), kept=self._kept)
        answer = self._network(Patched.of_images([windows] * len(places), places, self._side, batch))
        if isinstance(answer, Patched) and answer.dims[0] == ("N",) and not answer.is_map and answer.batch is batch:
            once = {id(one.values): one.values.reshape(count, -1) for one in answer.places}
            return [once[id(one.values)] for one in answer.places]
        return torch.split(_as_features(answer, count * len(places)), count)

    def _try_out(self, reasons: list[str]) -> int:
        """Runs one image in each place to find `reasons`; returns the bytes of the largest map."""
        window = self._like.new_zeros(1, *self._patch).contiguous(memory_format=self._layout)
        largest = [1]
        hooks = [
            layer.register_forward_hook(lambda _layer, _input, output: largest.append(_bytes(output)))
            for layer in self._network.modules()
        ]
        try:
            self._answers(window, self._places)
        except UnsupportedOperationError as error:
            self._whole = True
            reasons.append(str(error))
        finally:
            for hook in hooks:
                hook.remove()
        self.reasons = list(reasons)
        return max(largest)

    def _fitting_batch(self, largest: int) -> int:
        on_cpu = self._like.device.type == "cpu"
        fitting = (_CPU_BYTES if on_cpu else _GPU_BYTES) // largest
        if not self.local:
            fitting = min(fitting, (_CPU_PIXELS if on_cpu else _GPU_PIXELS) // self._side**2)
        return min(max(fitting, 1), _LARGEST_BATCH)


class LocalNetwork:
    """Runs a network, in training or evaluation, on black images with a patch: same answers, same gradients.

    Batch norm in training mode normalises by the batch of whole images and updates its running statistics; gradients
    reach the network's own parameters.

    Args:
        network: As in `LocalEvaluation`, but not copied.
        side: Rows and columns of the images.

    `reasons`, after a call, names the functions that were computed on whole maps.
    """

    def __init__(self, network: nn.Module, side: int) -> None:
        check_takes_images_alone(network.forward)
        self.network = network
        self.side = side
        self.reasons: list[str] = []

    @property
    def local(self) -> bool:
        """True if all layers were computed in windows in the last call."""
        return not self.reasons

    def __call__(self, patches: Tensor, y: _Positions, x: _Positions) -> Tensor:
        """Returns answers to images with `patches` (N, C, h, w) at row `y`, column `x` (one for all, or one for each).

        Raises `OptionError` if a patch leaves its image, and `UnsupportedOperationError`, which names the
        function, if the network writes into a view of a map.
        """
        groups = sorted(_by_place(patches, y, x), key=lambda group: group[0])
        for place, _ in groups:
            _check_place(place, (patches.shape[2], patches.shape[3]), self.side)
        like, layout = _like(self.network, patches), _layout(self.network)
        # The patches are copied, since the network may write into its images.
        windows = [patches[images].to(like).clone(memory_format=layout) for _, images in groups]
        batch = Batch([images for _, images in groups])
        with record_unsupported() as reasons:
            answer = self.network(Patched.of_images(windows, [place for place, _ in groups], self.side, batch))
        self.reasons = reasons
        if isinstance(answer, Patched):
            answer.check_gradient()
            return answer.whole()
        whole: Tensor = answer
        return whole


def local_features(network: nn.Module, patches: Tensor, y: _Positions, x: _Positions, side: int) -> Tensor:
    """Returns a network's answers to black images with a patch, (N, F), computed where the images are not black.

    Where a function mixes all positions, whole maps are computed, and a warning names it. For many batches,
    `LocalEvaluation` finds out once how large they should be.

    Args:
        network: Ends in global pooling and perhaps a head; it stays in its mode, and gets its gradients.
        patches: (N, C, h, w), floating point.
        y: Row of a patch's first pixel, one for all images or one for each.
        x: Its column.
        side: Rows and columns of the images.

    Raises:
        OptionError: If a patch leaves its image.
    """
    wants_gradient = torch.is_grad_enabled() and any(p.requires_grad for p in (patches, *network.parameters()))
    if wants_gradient or any(module.training for module in network.modules()):
        evaluation: LocalEvaluation | LocalNetwork = LocalNetwork(network, side)
    else:
        places = [place for place, _ in _by_place(patches, y, x)]
        channels, height, width = patches.shape[1:]
        dtype = _like(network, patches).dtype
        evaluation = LocalEvaluation(
            network, side, patch=(height, width), places=places, channels=channels, dtype=dtype
        )
    features = _as_features(evaluation(patches, y, x), len(patches))
    if evaluation.reasons:
        warnings.warn(f"whole maps are computed by {', '.join(evaluation.reasons)}", stacklevel=2)
    return features


def corners_proved_equal(
    network: nn.Module, side: int, patch: int, displacement: int, *, border: int | None = None, channels: int = 3
) -> bool:
    """Returns whether both corners give the same features for every patch; False says nothing.

    An image with some patch is run in both corners at once. A value that is equal in both for every patch, in exact
    arithmetic, is one object, because every value that it is computed from is: the window, the values around it (black
    canvas or padding, distinguished by position), and for a pooling which values are outside of it, and how often.

    Padding with the value that the black canvas has there continues the canvas. With biases and running means of 0, it
    does so in every layer: the proof then holds for a network that keeps them, not after calibration or training.

    Args:
        network: It is run in evaluation mode; images (N, channels, side, side), black 0.
        side: Rows and columns of the images.
        patch: Rows and columns of the patch.
        displacement: Rows and columns from one corner to the other.
        border: Rows and columns before the patch in the upper-left corner; by default the corners lie symmetrically.
        channels: Channels of the images.

    Raises:
        OptionError: If a patch is not inside the image.
    """
    first = (side - patch - displacement) // 2 if border is None else border
    places = [(first, first), (first + displacement, first + displacement)]
    for place in places:
        _check_place(place, (patch, patch), side)
    frozen = copy.deepcopy(network).eval()
    if any(isinstance(layer, _BatchNorm) and layer.running_mean is None for layer in frozen.modules()):
        return False
    window = _like(frozen, torch.empty(0)).new_ones(1, channels, patch, patch)
    batch = Batch([torch.tensor([0]), torch.tensor([1])], by_area=False)
    with torch.inference_mode(), ieee_float32():
        try:
            answer = frozen(Patched.of_images([window, window], places, side, batch))
        except UnsupportedOperationError:
            return False
    return isinstance(answer, Patched) and answer.is_same_everywhere(len(places))


def _by_place(patches: Tensor, y: _Positions, x: _Positions) -> Iterator[tuple[Place, Tensor]]:
    """Yields each place that occurs, and which images have their patch there."""
    _check_patches(patches)
    rows, columns = (torch.as_tensor(positions).cpu() for positions in (y, x))
    for positions in (rows, columns):
        if positions.is_floating_point() or positions.shape not in ((), (len(patches),)):
            raise OptionError(
                f"a place is a whole number, or one for each of {len(patches)} patches, got {positions}",
                code="bad-shape",
            )
    rows, columns = rows.expand(len(patches)), columns.expand(len(patches))
    for place in dict.fromkeys(zip(rows.tolist(), columns.tolist(), strict=True)):
        yield place, ((rows == place[0]) & (columns == place[1])).nonzero()[:, 0]


def _check_patches(patches: Tensor) -> None:
    if patches.ndim != 4 or not patches.is_floating_point() or not len(patches):
        raise OptionError(
            f"patches are floating point (N, C, h, w), got {patches.dtype} {tuple(patches.shape)}", code="bad-shape"
        )


def _check_place(place: Place, patch: tuple[int, int], side: int) -> None:
    if any(start < 0 or start + size > side for start, size in zip(place, patch, strict=True)):
        raise OptionError(
            f"a patch of {patch[0]} x {patch[1]} at row {place[0]}, column {place[1]} leaves the image, "
            f"{side} x {side}",
            code="does-not-fit",
        )


def _images(windows: Tensor, place: Place, side: int) -> Tensor:
    """Returns whole images with patches in one place."""
    (y, x), (height, width) = place, windows.shape[2:]
    return F.pad(windows, (x, side - x - width, y, side - y - height))


def _as_features(answer: Any, count: int) -> Tensor:
    """Returns an answer as (N, F)."""
    if not isinstance(answer, Tensor) or answer.shape[:1] != (count,):
        raise OptionError("the network answers something else than one tensor with one row per image")
    whole: Tensor = answer.whole() if isinstance(answer, Patched) else answer
    return whole.reshape(count, -1)


def _bytes(output: Any) -> int:
    """Returns the bytes of the maps of one patch in all places."""
    if isinstance(output, Patched):
        parts = {id(one.values): one.values.numel() // len(one.values) for one in output.places}
        return sum(parts.values()) * output.dtype.itemsize
    return (
        output.numel() // max(1, len(output)) * output.dtype.itemsize if type(output) is Tensor and output.ndim else 1
    )


def _like(network: nn.Module, default: Tensor) -> Tensor:
    """Returns a tensor of the network's type, on its device; `default` if it has no parameters."""
    return next((one for one in network.parameters() if one.is_floating_point()), default).detach()


def _layout(network: nn.Module) -> torch.memory_format:
    """Returns the memory format of the network's kernels."""
    kernels = [kernel for kernel in network.parameters() if kernel.ndim == 4]
    last = any(k.is_contiguous(memory_format=torch.channels_last) and not k.is_contiguous() for k in kernels)
    return torch.channels_last if last else torch.contiguous_format
