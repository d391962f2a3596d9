"""How far a blank canvas can be folded: what the edges of a smaller one do is what those of the large one do."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from torch.fx import Node

from qi_datasets.networks.local.blank import Fold, Folds
from qi_datasets.networks.local.steps import Step
from qi_datasets.networks.local.windows import Area, Runs


class Computed(Protocol):
    """A node whose inputs are maps, and whose output is one if it has a step."""

    @property
    def node(self) -> Node:
        """The node."""

    @property
    def inputs(self) -> Sequence[Node]:
        """Its maps."""

    @property
    def step(self) -> Step | None:
        """What it does to them."""


def folded(
    image: Node, side: int, tasks: Iterable[Computed], areas: Mapping[Node, Sequence[Area]]
) -> tuple[dict[Node, Folds], int]:
    """For each map how its blank one is folded, and the side of the blank canvas that gives these.

    image: the node of the images
    side: their rows and columns
    tasks: all nodes that depend on it, in the graph's order
    areas: where the windows of their maps are

    Pixels are removed from the middle, as many as leave in each map at least one row and column that no edge has
    changed. Their number is a multiple of the total stride, so that both edges meet the strides as they did.
    """
    runs: dict[Node, Runs] = {image: (range(side), range(side))}
    strides: dict[Node, tuple[int, int]] = {image: (1, 1)}
    for task in tasks:
        if task.step is not None:
            first = strides[task.inputs[0]]
            inputs = [areas[node][0] for node in task.inputs]
            runs[task.node] = task.step.untouched(inputs, [runs[node] for node in task.inputs])
            strides[task.node] = first[0] * task.step.strides[0], first[1] * task.step.strides[1]
    total = math.lcm(*(stride for pair in strides.values() for stride in pair))
    spare = min(
        max(len(run) - 1, 0) * stride
        for node, axes in runs.items()
        for run, stride in zip(axes, strides[node], strict=True)
    )
    removed = spare // total * total

    folds = {
        node: (Fold(rows, removed // strides[node][0]), Fold(columns, removed // strides[node][1]))
        for node, (rows, columns) in runs.items()
    }
    return folds, side - removed
