"""Networks on black images with a patch, at the cost of the patch."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.fx import Node

from qi_datasets.errors import OptionError
from qi_datasets.networks.features import ieee_float32, slices
from qi_datasets.networks.local.batch_statistics import BatchStatistics
from qi_datasets.networks.local.comparison import Comparison
from qi_datasets.networks.local.plan import Place, Plan
from qi_datasets.networks.local.running import contexts_of, run_together, run_windows
from qi_datasets.networks.local.tracing import Traced, trace

_Positions = int | Sequence[int] | Tensor

# Bytes of a batch in its largest layer, and input pixels of a batch that is computed densely: what a CPU's cache holds.
_CPU_BYTES, _CPU_PIXELS = 2**23, 2**17
_GPU_BYTES, _GPU_PIXELS = 2**28, 2**24
_LARGEST_BATCH = 64


class LocalEvaluation:
    """What a frozen network answers to black images with a patch; the blank canvas is paid once for all batches.

    A copy of the network is kept, in evaluation mode, as it is now.

    network: ends in global pooling and, if it likes, a head; images (N, channels, side, side), black 0
    side: rows and columns of the images
    patch: rows and columns of the patches
    places: row and column of the patch's first pixel, for each place that it may have
    channels: of the images
    dtype: what to compute in; None for the network's own
    batch: images per pass; None for what suits the device

    `local` says whether all layers are computed in windows, `reasons` at which they are not, and why: from there on
    whole maps are computed, and the answers are the same. Raises `OptionError` if a patch leaves the image, and if the
    network's answers depend on what else is in the batch.
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
        frozen = copy.deepcopy(network).eval().to(dtype=dtype).to(memory_format=torch.channels_last)
        self._plan = Plan(trace(frozen), side, patch, places)
        if any(isinstance(task.step, BatchStatistics) for task in self._plan.tasks):
            raise OptionError("batch norm without running statistics depends on the batch; use LocalNetwork")
        self._like = _like(frozen, torch.empty(0, dtype=dtype))
        self._places = [(y, x) for y, x in places]
        self._patch = (channels, *patch)
        with torch.inference_mode(), ieee_float32():
            self._contexts = contexts_of(self._plan, _blank_canvas(self._like, channels, self._plan.blank_side))
            self._values = self._plan.runner.values(self._plan.constants)
        self._batch = self._fitting_batch(side) if batch is None else batch

    @property
    def local(self) -> bool:
        """Whether all layers are computed in windows."""
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        """The layers from which on whole maps are computed, and why."""
        return self._plan.reasons

    def __call__(self, patches: Tensor, y: _Positions, x: _Positions) -> Tensor:
        """Features (N, F) of images with `patches` (N, C, h, w) at row `y`, column `x` (one for all, or one for each).

        Raises `OptionError` for patches of another shape, and for places that were not announced.
        """
        self._check(patches)
        found, order = [], []
        for place, images in _by_place(patches, y, x):
            if place not in self._places:
                raise OptionError(f"no patch was announced at row {place[0]}, column {place[1]}")
            for rows in slices(len(images), self._batch):
                found.append(self._features(patches[images[rows]], [self._places.index(place)])[0])
                order.append(images[rows])
        return torch.cat(found)[torch.cat(order).argsort().to(found[0].device)]

    def at_all_places(self, patches: Tensor) -> Tensor:
        """Features (places, N, F) of images with `patches` (N, C, h, w) at each of the announced places.

        What is proved to be the same in the first place and another is computed once. Raises `OptionError` for patches
        of another shape.
        """
        self._check(patches)
        places = range(len(self._places))
        return torch.cat([self._features(patches[rows], places) for rows in slices(len(patches), self._batch)], 1)

    def _check(self, patches: Tensor) -> None:
        _check_patches(patches)
        if tuple(patches.shape[1:]) != self._patch:
            expected = ", ".join(map(str, self._patch))
            raise OptionError(f"patches have the shape (N, {expected}), got {tuple(patches.shape)}")

    @cached_property
    def _shared(self) -> list[set[Node]]:
        """For each place the nodes whose windows are proved to be those of the first."""
        channels = self._patch[0]
        return [set(), *(Comparison(self._plan, place, channels).equal for place in range(1, len(self._places)))]

    def _features(self, patches: Tensor, places: Sequence[int]) -> Tensor:
        """Features (places, N, F)."""
        with torch.inference_mode(), ieee_float32():
            windows = patches.to(self._like).clone(memory_format=torch.channels_last)
            shared = self._shared if len(places) > 1 else ()
            found = run_windows(self._plan, windows, places, self._contexts, self._values, shared)
            return _as_features(found, len(places) * len(patches)).reshape(len(places), len(patches), -1)

    def _fitting_batch(self, side: int) -> int:
        on_cpu = self._like.device.type == "cpu"
        fitting = (_CPU_BYTES if on_cpu else _GPU_BYTES) // self._contexts.largest
        if not self.local:
            fitting = min(fitting, (_CPU_PIXELS if on_cpu else _GPU_PIXELS) // side**2)
        return min(max(fitting, 1), _LARGEST_BATCH)


class LocalNetwork:
    """A network as it is, in training or evaluation, on black images with a patch: same answers, same gradients.

    Batch norm in training mode normalises by the batch of whole images and updates its running statistics; gradients
    reach the network's own parameters. The blank canvas is computed with each batch.

    network: as for `LocalEvaluation`, but not copied
    side: rows and columns of the images

    `reasons`, after a call, names the layers from which on whole maps were computed, and says why.
    """

    def __init__(self, network: nn.Module, side: int) -> None:
        self.network = network
        self.side = side
        self.reasons: list[str] = []
        self._traced: dict[tuple[bool, ...], Traced] = {}
        self._plans: dict[tuple[object, ...], Plan] = {}

    @property
    def local(self) -> bool:
        """Whether all layers were computed in windows in the last call."""
        return not self.reasons

    def __call__(self, patches: Tensor, y: _Positions, x: _Positions) -> Tensor:
        """What the network answers to images with `patches` (N, C, h, w) at row `y`, column `x` (one, or one for each).

        Raises `OptionError` if a patch leaves its image.
        """
        groups = sorted(_by_place(patches, y, x), key=lambda group: group[0])
        places = tuple(place for place, _ in groups)
        plan = self._plan((patches.shape[2], patches.shape[3]), places)
        like = _like(self.network, patches)
        layout = _layout(self.network)
        windows = [patches[images].to(like).contiguous(memory_format=layout) for _, images in groups]
        canvas = _blank_canvas(like, patches.shape[1], plan.blank_side, layout)
        order = torch.cat([images for _, images in groups]).argsort().to(like.device) if len(groups) > 1 else None
        self.reasons = plan.reasons
        answer: Tensor = run_together(plan, canvas, windows, range(len(places)), order)
        return answer

    def _plan(self, patch: tuple[int, int], places: tuple[Place, ...]) -> Plan:
        mode = tuple(module.training for module in self.network.modules())
        if mode not in self._traced:
            self._traced[mode] = trace(self.network)
        key = (mode, patch, places)
        if key not in self._plans:
            self._plans[key] = Plan(self._traced[mode], self.side, patch, places)
        return self._plans[key]


def local_features(network: nn.Module, patches: Tensor, y: _Positions, x: _Positions, side: int) -> Tensor:
    """What a network answers to black images with a patch, (N, F), computed where the images are not blank.

    network: ends in global pooling and, if it likes, a head; it is taken in the mode that it is in, gradients included
    patches: (N, C, h, w), floating point
    y: row of a patch's first pixel, one for all images or one for each
    x: its column
    side: rows and columns of the images

    Where a layer is not local, whole maps are computed, and a warning names it. For many batches, `LocalEvaluation`
    computes the blank canvas once. Raises `OptionError` if a patch leaves its image.
    """
    wants_gradient = torch.is_grad_enabled() and any(p.requires_grad for p in (patches, *network.parameters()))
    if wants_gradient or any(module.training for module in network.modules()):
        evaluation: LocalEvaluation | LocalNetwork = LocalNetwork(network, side)
    else:
        places = [place for place, _ in _by_place(patches, y, x)]
        channels, *patch = patches.shape[1:]
        evaluation = LocalEvaluation(
            network,
            side,
            patch=(patch[0], patch[1]),
            places=places,
            channels=channels,
            dtype=_like(network, patches).dtype,
        )
    features = _as_features(evaluation(patches, y, x), len(patches))
    if evaluation.reasons:
        warnings.warn(f"whole maps are computed from {evaluation.reasons[0]}", stacklevel=2)
    return features


def _by_place(patches: Tensor, y: _Positions, x: _Positions) -> Iterator[tuple[Place, Tensor]]:
    """Each place that occurs, and which images have their patch there."""
    _check_patches(patches)
    rows, columns = (torch.as_tensor(positions).cpu() for positions in (y, x))
    for positions in (rows, columns):
        if positions.is_floating_point() or positions.shape not in ((), (len(patches),)):
            raise OptionError(f"a place is a whole number, or one for each of {len(patches)} patches, got {positions}")
    rows, columns = rows.expand(len(patches)), columns.expand(len(patches))
    for place in dict.fromkeys(zip(rows.tolist(), columns.tolist(), strict=True)):
        yield place, ((rows == place[0]) & (columns == place[1])).nonzero()[:, 0]


def _check_patches(patches: Tensor) -> None:
    if patches.ndim != 4 or not patches.is_floating_point() or not len(patches):
        raise OptionError(f"patches are floating point (N, C, h, w), got {patches.dtype} {tuple(patches.shape)}")


def _as_features(answer: object, count: int) -> Tensor:
    """An answer as (N, F)."""
    if not isinstance(answer, Tensor) or answer.shape[:1] != (count,):
        raise OptionError("the network answers something else than one tensor with one row per image")
    return answer.reshape(count, -1)


def _like(network: nn.Module, default: Tensor) -> Tensor:
    """A tensor of the network's type, on its device; `default` if it has no parameters."""
    return next((one for one in network.parameters() if one.is_floating_point()), default).detach()


def _layout(network: nn.Module) -> torch.memory_format:
    """How the network's kernels lie in memory."""
    kernels = [kernel for kernel in network.parameters() if kernel.ndim == 4]
    last = any(k.is_contiguous(memory_format=torch.channels_last) and not k.is_contiguous() for k in kernels)
    return torch.channels_last if last else torch.contiguous_format


def _blank_canvas(like: Tensor, channels: int, side: int, layout: torch.memory_format = torch.channels_last) -> Tensor:
    return torch.zeros(1, channels, side, side, dtype=like.dtype, device=like.device).contiguous(memory_format=layout)
