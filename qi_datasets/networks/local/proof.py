"""Proof that a patch in two corners of a black image gives the same features, whatever the patch shows.

It holds when in every layer no output whose window meets the patch's window is missing at an edge, every position that
such outputs read around it is what endless black would give, padding counted with the value that it has, and the
displacement is a multiple of the stride so far. The windows of both images then hold the same values, and so do their
maps outside. All of this is decided on positions. It is exact arithmetic that is spoken of: computed features may
differ by rounding.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from qi_datasets.networks.local.ground import Ground
from qi_datasets.networks.local.plan import NodeCall, Place, Plan, Task, Values
from qi_datasets.networks.local.steps import Step
from qi_datasets.networks.local.tracing import trace


def corners_proved_equal(
    network: nn.Module, side: int, patch: int, displacement: int, *, border: int | None = None, channels: int = 3
) -> bool:
    """Whether both corners give the same features for every patch; arguments as for `obstacle_to_proof`."""
    return obstacle_to_proof(network, side, patch, displacement, border=border, channels=channels) is None


def obstacle_to_proof(
    network: nn.Module, side: int, patch: int, displacement: int, *, border: int | None = None, channels: int = 3
) -> str | None:
    """The first layer at which the corners of images can't be proved equal, and why; None if they are proved equal.

    network: taken in evaluation mode, images (N, channels, side, side), black 0
    side: rows and columns of the images
    patch: rows and columns of the patch
    displacement: rows and columns from one corner to the other
    border: rows and columns before the patch in the upper-left corner; by default the corners lie symmetrically

    Raises `OptionError` if a patch does not lie inside the image.
    """
    border = (side - patch - displacement) // 2 if border is None else border
    places: list[Place] = [(border, border), (border + displacement, border + displacement)]
    plan = Plan(trace(copy.deepcopy(network).eval()), side, (patch, patch), places)
    if plan.reasons:
        return plan.reasons[0]
    with torch.inference_mode():
        return _Proof(plan, channels, displacement).obstacle()


class _Proof:
    def __init__(self, plan: Plan, channels: int, displacement: int) -> None:
        self._plan = plan
        self._values: Values = plan.runner.values(plan.constants)
        like = next((p for p in plan.module.parameters() if p.is_floating_point()), torch.empty(0))
        black = like.new_zeros(1, channels, 1, 1)
        rows, columns = (np.ones(span.length, bool) for span in plan.areas[plan.image][0].spans)
        self._grounds = {plan.image: Ground(rows, columns, black)}
        self._displaced = {plan.image: (displacement, displacement)}

    def obstacle(self) -> str | None:
        """The first obstacle in the order of the graph."""
        for task in self._plan.tasks:
            if task.step is not None:
                found = self._follow(task, task.step)
            else:
                ends_as_map = task.ending is not None and task.ending.reads_places
                found = "it reads where in the map values are" if ends_as_map else None
            if found is not None:
                return f"{task.node.name}: {found}"
        return None

    def _follow(self, task: Task, step: Step) -> str | None:
        grounds = [self._grounds[node] for node in task.inputs]
        for place, out in enumerate(self._plan.areas[task.node]):
            areas = [self._plan.areas[node][place] for node in task.inputs]
            if (found := step.obstacle(areas, grounds, out)) is not None:
                return found
        self._grounds[task.node] = step.ground(NodeCall(self._plan.runner, task, self._values), grounds)
        return self._move(task.node, step, task.inputs)

    def _move(self, node: Node, step: Step, inputs: Sequence[Node]) -> str | None:
        """Whether the second window is the first one, moved."""
        moves = {self._displaced[one] for one in inputs}
        move = moves.pop()
        if moves or any(by % stride for by, stride in zip(move, step.strides, strict=True)):
            return "the displacement is not a multiple of the stride"
        by = move[0] // step.strides[0], move[1] // step.strides[1]
        first, second = self._plan.areas[node]
        for one, other, step_by in zip(first.spans, second.spans, by, strict=True):
            if (one.start + step_by, one.stop + step_by) != (other.start, other.stop):
                return "the patch's windows in the two corners differ"
        self._displaced[node] = by
        return None
