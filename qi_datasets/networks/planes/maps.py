"""What can be done with maps on an endless plane: windows, positions alone, branches that meet, pooling."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.node import map_aggregate

from qi_datasets.networks.planes.follower import Call, Follower, held
from qi_datasets.networks.planes.geometry import Extent, Reach, Sides, Window
from qi_datasets.networks.planes.plane import Constant, Plane, Unfollowed

Ends = tuple[Any, Any]
"""Positions to add at either end of an axis, or, negative, to take away there."""


class MapFollower(Follower):
    """A follower that computes maps to some extent.

    extent: which positions are computed
    strict: see `Follower`
    background: what lies outside the images, of every channel or of each; `exact` extent only
    """

    def __init__(
        self,
        traced: fx.GraphModule,
        extent: Extent,
        *,
        strict: bool = True,
        background: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__(traced, strict=strict)
        self.extent, self.background = extent, background

    def of_images(self, images: Any) -> Plane:
        """The map that the images are. Its ground is made of a weight, so that it is seen not to depend on them."""
        if self.extent != "exact":
            return Plane(images, None)
        layers = (self.fetch_attr(node.target) for node in self.graph.nodes if node.op == "call_module")
        channels = next((layer.in_channels for layer in layers if isinstance(layer, nn.Conv2d)), None)
        weight = next((name for name, value in self.module.named_parameters() if value.is_floating_point()), None)
        if channels and weight:
            ground = self.attribute(weight).new_zeros(1, channels, 1, 1)
        else:
            ground = torch.zeros_like(images[:1, :, :1, :1])
        if isinstance(self.background, Sequence):
            ground = ground + ground.new_tensor([float(value) for value in self.background]).view(1, -1, 1, 1)
        elif self.background:
            ground = ground + float(self.background)
        return Plane(images, ground)

    def window(
        self, x: Plane, window: Window, apply: Callable[[Any, Sides], Any], *, adds_zeros: bool = False
    ) -> Plane:
        """What a layer with windows makes of a map.

        x: the map
        window: the layer's windows
        apply: writes the layer without its own padding, given values, and padding that is (0, 0) unless `adds_zeros`
        adds_zeros: whether the layer itself can add zeros around the map, as many at both ends
        """
        if not x.is_plain:
            raise Unfollowed("has windows over other dimensions than rows and columns")
        along = list(zip(x.reaches, window.reach, window.stride, window.padding, strict=True))
        rows, columns = (seen.through(reach, stride, padding) for seen, reach, stride, padding in along)
        ends = [
            (seen.first(self.extent) - after.first(self.extent) * stride + padding, reach * (self.extent != "valid"))
            for (seen, reach, stride, padding), after in zip(along, (rows, columns), strict=True)
        ]
        ground = None
        if x.ground is not None:
            ground = apply(x.ground.expand(-1, -1, window.reach[0] + 1, window.reach[1] + 1), (0, 0))
        if adds_zeros and self.extent == "full" and window.stride == (1, 1):
            values = apply(x.values, window.reach)
        else:
            values = apply(self._padded(x, ends), (0, 0))
        return x.become(values, ground, rows=rows, columns=columns)

    def elementwise(self, call: Call, args: Any, kwargs: Any = None) -> Plane:
        """What a function that takes each position alone makes of maps, constants and numbers."""
        arguments = (args, kwargs or {})
        planes: list[Plane] = held(Plane, arguments)
        for constant in held(Constant, arguments):
            if any(constant.now.ndim >= -axis and constant.now.shape[axis] != 1 for axis in planes[0].axes):
                raise Unfollowed("takes a constant that differs from position to position")
        values, (rows, columns) = self._aligned(planes)
        value_of = dict(zip(map(id, planes), values, strict=True))

        def called(of: Callable[[Plane], Any]) -> Any:
            args, kwargs = map_aggregate(arguments, lambda one: of(one) if isinstance(one, Plane) else one)
            return call(*args, **kwargs)

        return planes[0].become(
            called(lambda x: value_of[id(x)]),
            called(lambda x: x.ground) if self.extent == "exact" else None,
            rows=rows,
            columns=columns,
            bounded=all(x.bounded for x in planes),
            dims=max(x.dims for x in planes),
        )

    def pool(self, call: Call, x: Plane, *, mean: bool, keep: bool) -> Any:
        """The mean or the maximum over all positions.

        call: writes the pooling anew
        x: the map
        mean: the mean, else the maximum
        keep: leave dimensions of size 1, as `call` does

        On the endless plane the ground takes part in the maximum. A mean over it is the ground; given is the ground
        plus what the map adds to it, divided by the number of positions that the image's area holds.
        """
        self.end(x, keeps=keep)
        if self.extent != "exact":
            return call(x.values)
        if mean:
            excess = (x.values - x.ground).sum(x.axes, True)
            area = self.image.shape[-2] * self.image.shape[-1]
            value = x.ground + excess * (x.rows.stride * x.columns.stride) / area
        else:
            value = torch.maximum(x.values.amax(x.axes, True), x.ground)
        return value if keep else value.squeeze(x.axes)

    def vector(self, x: Plane, how: str) -> Any:
        """A map as a vector of its positions, which ends it. Raises `Unfollowed` if that is refused."""
        value = self.end(x)
        if self.strict:
            raise Unfollowed(how)
        return value

    def _padded(self, x: Plane, ends: Sequence[Ends]) -> Any:
        """A map's values with positions of ground, or zeros, at the ends of the rows and of the columns."""
        amounts: list[Any] = [0] * (2 * max(-axis for axis in x.axes))
        for axis, pair in zip(x.axes, ends, strict=True):
            amounts[2 * (-axis - 1) : 2 * -axis] = pair
        known = [amount for amount in amounts if isinstance(amount, int)]
        if len(known) == len(amounts) and not any(known):
            return x.values
        only_cuts = len(known) == len(amounts) and max(known) <= 0
        pad = self.function(F.pad)
        return pad(x.values, amounts) if x.ground is None or only_cuts else pad(x.values - x.ground, amounts) + x.ground

    def _aligned(self, planes: list[Plane]) -> tuple[list[Any], list[Reach]]:
        """The values of maps at the same positions, and what these see along rows and columns."""
        if any(x.axes != planes[0].axes or x.pieces for x in planes):
            raise Unfollowed("takes maps whose rows and columns are different dimensions")
        seen = [reduce(Reach.joined, reaches) for reaches in zip(*(x.reaches for x in planes), strict=True)]
        rows, columns = (self._lacking(planes, axis, joined) for axis, joined in enumerate(seen))
        return [self._padded(x, ends) for x, *ends in zip(planes, rows, columns, strict=True)], seen

    def _lacking(self, planes: list[Plane], axis: int, joined: Reach) -> list[Ends]:
        """What each map lacks, or has too many of, along one axis beside `joined`."""
        reaches = [x.reaches[axis] for x in planes]
        starts = [reach.first(self.extent) - joined.first(self.extent) for reach in reaches]
        lacks = [joined.edge(self.extent) - reach.edge(self.extent) for reach in reaches]
        if all(lack % joined.stride == 0 for lack in lacks):
            return [(start, lack // joined.stride) for start, lack in zip(starts, lacks, strict=True)]
        # How far apart the ends are depends on the image's side, so it is computed from the sizes of the maps.
        lengths = [x.values.shape[x.axes[axis]] + start for x, start in zip(planes, starts, strict=True)]
        wanted = lengths[lacks.index(0)]
        return [
            (start, wanted - length if lack else 0) for start, length, lack in zip(starts, lengths, lacks, strict=True)
        ]
