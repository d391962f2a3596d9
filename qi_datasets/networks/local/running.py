"""Runs a plan: on a blank canvas once and then on batches of windows, or on both at the same time."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from qi_datasets.networks.local.batch_statistics import BatchStatistics
from qi_datasets.networks.local.blank import Blank
from qi_datasets.networks.local.plan import NodeCall, Plan, Task, Values
from qi_datasets.networks.local.pooling import Described, Pool, Whole


@dataclass(frozen=True)
class Contexts:
    """For each node and each place of the patch what lies around the windows, and the bytes of the largest window."""

    at: dict[Node, list[Any]]
    largest: int


class BlankRun:
    """The blank canvas's maps, node by node."""

    def __init__(self, plan: Plan, canvas: Tensor, values: Values) -> None:
        self._plan, self._values = plan, values
        self.maps: dict[Node, Tensor] = {plan.image: canvas}

    def blank(self, node: Node) -> Blank:
        """A node's map."""
        return Blank(self.maps[node], self._plan.areas[node][0].axes, self._plan.folds[node])

    def compute(self, task: Task) -> None:
        """A task's map, if it is one."""
        if task.step is not None and task.node not in self.maps:
            blanks = [self.maps[node] for node in task.inputs]
            self.maps[task.node] = task.step.whole(NodeCall(self._plan.runner, task, self._values), *blanks)

    def contexts(self, task: Task, *, keep: bool) -> list[Any]:
        """What a computed task needs of the maps, for each place."""
        if not task.inputs:
            return []
        blanks = [self.blank(node) for node in task.inputs]
        inputs = zip(*(self._plan.areas[node] for node in task.inputs), strict=True)
        if task.step is not None:
            step, result = task.step, self.blank(task.node)
            places = zip(inputs, self._plan.areas[task.node], strict=True)
            return [step.context(blanks, result, areas, out, keep=keep) for areas, out in places]
        ending = task.ending or Whole()
        return [[ending.context(b, a, keep=keep) for b, a in zip(blanks, areas, strict=True)] for areas in inputs]

    def window_bytes(self, node: Node) -> int:
        """Memory of the window of one image, 0 for what is not a map."""
        if node not in self.maps:
            return 0
        values = self.maps[node]
        areas = self._plan.areas[node]
        positions = values.shape[areas[0].axes[0]] * values.shape[areas[0].axes[1]]
        return values.nbytes // positions * max(area.rows.size * area.columns.size for area in areas)

    def free(self, task: Task) -> None:
        """Drops the maps that nothing uses after a task."""
        for node in task.freed:
            self.maps.pop(node, None)


def contexts_of(plan: Plan, canvas: Tensor) -> Contexts:
    """What lies around the windows, in all layers, from one pass over a blank canvas (1, C, side, side)."""
    run = BlankRun(plan, canvas, plan.runner.values(plan.constants))
    at: dict[Node, list[Any]] = {}
    largest = run.window_bytes(plan.image)
    for task in plan.tasks:
        run.compute(task)
        at[task.node] = run.contexts(task, keep=True)
        largest = max(largest, run.window_bytes(task.node))
        run.free(task)
    return Contexts(at, largest)


class WindowRun:
    """One batch of images through the network: for each place of the patch the windows of those that have it there.

    windows: (N, C, h, w) of each place
    places: which of the plan's places these are
    order: for each image of the batch its number in the concatenated windows; None if that is the same
    values: of the nodes that do not depend on the images
    shared: for each place the nodes whose windows are those of the first
    """

    def __init__(
        self,
        plan: Plan,
        windows: Sequence[Tensor],
        places: Sequence[int],
        order: Tensor | None,
        values: Values,
        shared: Sequence[Container[Node]] = (),
    ) -> None:
        self._plan, self._places, self._order = plan, places, order
        self._shared = shared or [()] * len(places)
        self._values = values
        self._windows: dict[Node, list[Tensor]] = {plan.image: list(windows)}

    def advance(self, task: Task, contexts: Sequence[Any]) -> None:
        """Computes a task's value."""
        call = NodeCall(self._plan.runner, task, self._values)
        if task.step is not None:
            made: list[Tensor] = []
            for group, place in enumerate(self._places):
                if task.node in self._shared[group]:
                    made.append(made[0])
                    continue
                windows = [self._windows[node][group] for node in task.inputs]
                area = self._plan.areas[task.inputs[0]][place]
                made.append(task.step.window(call, windows, contexts[place], area))
            self._windows[task.node] = made
        elif isinstance(task.ending, Pool):
            (self._values[task.node],) = self._ended(task, contexts)
        else:
            self._values[task.node] = call(*self._ended(task, contexts))
        for node in task.freed:
            self._windows.pop(node, None)
            self._values.pop(node, None)

    def advance_together(self, task: Task, step: BatchStatistics, blank: BlankRun) -> None:
        """Computes a task that treats the blank map and the windows as one batch."""
        (node,) = task.inputs
        areas = [self._plan.areas[node][place] for place in self._places]
        blank.maps[task.node], self._windows[task.node] = step.together(blank.blank(node), self._windows[node], areas)

    @property
    def output(self) -> Any:
        """What the network answers."""
        return self._values[self._plan.tasks[-1].node]

    def _ended(self, task: Task, contexts: Sequence[Any]) -> list[Tensor]:
        """The inputs of a task that are maps, as one tensor each for the whole batch."""
        if task.ending is None:
            return []
        found = []
        for number, node in enumerate(task.inputs):
            groups = [
                task.ending.end(self._windows[node][group], contexts[place][number], self._plan.areas[node][place])
                for group, place in enumerate(self._places)
            ]
            if isinstance(task.ending, Described):
                count = sum(map(len, groups))
                found.append(groups[0][:1].expand(count, *groups[0].shape[1:]))
                continue
            batch = groups[0] if len(groups) == 1 else torch.cat(groups)
            found.append(batch if self._order is None else batch[self._order])
        return found


def run_windows(
    plan: Plan,
    windows: Tensor,
    places: Sequence[int],
    contexts: Contexts,
    values: Values,
    shared: Sequence[Container[Node]] = (),
) -> Any:
    """What the network answers to windows at several places, one place after the other.

    plan: of the network
    windows: (N, C, h, w), the same at each place
    places: which of the plan's places these are
    contexts: of all nodes
    values: of the nodes that do not depend on the images
    shared: for each place the nodes whose windows are those of the first
    """
    run = WindowRun(plan, [windows] * len(places), places, None, dict(values), shared)
    for task in plan.tasks:
        run.advance(task, contexts.at[task.node])
    return run.output


def run_together(
    plan: Plan, canvas: Tensor, windows: Sequence[Tensor], places: Sequence[int], order: Tensor | None
) -> Any:
    """What the network answers to one batch; the blank canvas's maps are computed with it.

    plan: of the network
    canvas: the blank one, (1, C, side, side)
    windows: (N, C, h, w) of each place
    places: which of the plan's places these are
    order: for each image of the batch its number in the concatenated windows; None if that is the same
    """
    values = plan.runner.values(plan.constants)
    blank = BlankRun(plan, canvas, values)
    run = WindowRun(plan, windows, places, order, values)
    for task in plan.tasks:
        if isinstance(task.step, BatchStatistics):
            run.advance_together(task, task.step, blank)
        else:
            blank.compute(task)
            run.advance(task, blank.contexts(task, keep=False))
        blank.free(task)
    return run.output
