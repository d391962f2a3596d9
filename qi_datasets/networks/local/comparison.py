"""Which maps of an image are the same, moved, when the patch lies in another place: decided on positions.

A map's window is the same in both places if

- those that it is computed from are,
- no output whose window meets theirs is missing at an edge,
- every position that such outputs read around them is what endless black would give, padding counted with the value
  that it has,
- and the displacement is a multiple of the stride so far.

That holds in exact arithmetic: computed values may differ by rounding.
"""

import numpy as np
import torch
from torch.fx import Node

from qi_datasets.networks.local.black import Black
from qi_datasets.networks.local.ground import Ground
from qi_datasets.networks.local.plan import NodeCall, Plan, Task
from qi_datasets.networks.local.steps import Step


class Comparison:
    """A plan's first place of the patch and another one; images have so many channels.

    equal: nodes whose values are the same in both, maps but for the displacement
    obstacles: nodes that are not although their inputs are, in the graph's order, and why
    """

    def __init__(self, plan: Plan, place: int, channels: int) -> None:
        self._plan, self._places = plan, (0, place)
        first, second = (plan.areas[plan.image][number] for number in self._places)
        rows, columns = (np.ones(span.length, bool) for span in first.spans)
        black = plan.pixel(channels)
        self._grounds = {plan.image: Ground(rows, columns, black)}
        self._displaced = {
            plan.image: (second.rows.start - first.rows.start, second.columns.start - first.columns.start)
        }
        self.equal: set[Node] = {plan.image, *plan.constants}
        self.obstacles: dict[Node, str] = {}
        with torch.inference_mode():
            self._values = plan.runner.values(plan.constants)
            self._black = Black(plan, self._values)
            for task in plan.tasks:
                self._follow(task)

    def _follow(self, task: Task) -> None:
        if not self.equal.issuperset(task.node.all_input_nodes):
            return
        obstacle = self._obstacle(task, task.step) if task.step is not None else None
        if task.ending is not None and task.ending.reads_places:
            obstacle = "it reads where in the map values are"
        if obstacle is None:
            self.equal.add(task.node)
        else:
            self.obstacles[task.node] = obstacle

    def _obstacle(self, task: Task, step: Step) -> str | None:
        grounds = [self._grounds[node] for node in task.inputs]
        for place in self._places:
            areas = [self._plan.areas[node][place] for node in task.inputs]
            found = step.obstacle(areas, grounds, self._plan.areas[task.node][place])
            if found is not None:
                return found
        displaced = {self._displaced[node] for node in task.inputs}
        by = displaced.pop()
        if displaced or any(one % stride for one, stride in zip(by, step.strides, strict=True)):
            return "the displacement is not a multiple of the stride"
        moved = by[0] // step.strides[0], by[1] // step.strides[1]
        windows = [self._plan.areas[task.node][place].spans for place in self._places]
        for one, other, move in zip(*windows, moved, strict=True):
            if (one.start + move, one.stop + move) != (other.start, other.stop):
                return "the patch's windows differ"
        self._displaced[task.node] = moved
        ground = step.ground(NodeCall(self._plan.runner, task, self._values), grounds)
        self._grounds[task.node] = ground.become(self._black.add(task, ground.zero))
        return None
