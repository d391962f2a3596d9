"""The networks of an evaluation: one for each init, border and seed, on its device."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from qi_datasets.evaluation.behaviour import noise_images
from qi_datasets.evaluation.content import InitContent
from qi_datasets.evaluation.initialisations import CALIBRATED, GIVEN, PRETRAINED, SCRATCH
from qi_datasets.evaluation.models import Model, weights_sha256
from qi_datasets.evaluation.variants import (
    NetworkFacts,
    PreparedNetwork,
    Variant,
    check_answers,
    prepare_network,
    with_new_head,
)
from qi_datasets.networks.branches import DeadBranches, find_dead_branches
from qi_datasets.networks.local import corners_proved_equal
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.protocols.corners import CornerNetwork, run_network
from qi_datasets.protocols.quadrant import batch_norms, normalise_patches
from qi_datasets.specs import QUADRANT

CLASSES = 2


@dataclass(frozen=True)
class Case:
    """One network at one border, which is trained or probed as one."""

    init: str
    border: int
    seed: int

    def part(self, what: str) -> str:
        """Returns the name of a unit of this case."""
        return f"{self.init}-{self.border:04d}-{self.seed:04d}-{what}"

    def __str__(self) -> str:
        return f"init {self.init}, border {self.border}, seed {self.seed}"


@dataclass(frozen=True)
class Design:
    """The plan of an evaluation: the networks, and the borders that they are evaluated at.

    Attributes:
        task: The task's name.
        model: The model, which makes the networks.
        variant: The changes to each network.
        facts: Properties of these networks.
        inits: Init -> its seeds and its treatment of batch norms, as in an entry.
        borders: Pixels per side, as in an entry.
        device: The device of torch.
        local: Whether to compute only what differs from a black image.
        head: Whether classifiers keep their heads.
        canvas: Rows and columns of the images without border.
    """

    task: str
    model: Model
    variant: Variant
    facts: NetworkFacts
    inits: Mapping[str, InitContent]
    borders: Sequence[int]
    device: str
    local: bool
    head: bool = False
    canvas: int = QUADRANT.canvas

    @property
    def cases(self) -> Iterator[Case]:
        """All cases in the order of an entry's predictions."""
        for init, settings in self.inits.items():
            for border in self.borders:
                yield from (Case(init, border, seed) for seed in settings["seeds"])

    @property
    def phase(self) -> bool:
        """True if the network may distinguish the corners by its sampling phase alone."""
        field, sides = self.facts.field, [self.canvas + 2 * border for border in self.borders]
        if field is None or self.variant.padding != "circular":
            return self.facts.phase
        return self.facts.phase or any(side % field.stride for side in sides)

    def calibrated(self, case: Case) -> bool:
        """Returns whether the batch norms get their statistics from training images."""
        return bool(self.inits[case.init]["batch_norm"] == CALIBRATED)

    def border(self, case: Case) -> int:
        """Returns the border in pixels that images of a case really have."""
        return case.border + self.facts.further_border

    def side(self, case: Case) -> int:
        """Returns rows and columns of the images of a case."""
        return self.canvas + 2 * self.border(case)

    def network(self, case: Case) -> PreparedNetwork:
        """Returns the network of a case, frozen, on its device."""
        side, own = self.side(case), case.init in (PRETRAINED, GIVEN)
        made = prepare_network(self.model, self.variant, side, case.seed, own=own, head=self.head)
        return PreparedNetwork(self.placed(made.network), made.sha256)

    def digest(self, case: Case) -> str:
        """Returns the SHA-256 of the initial weights of a case's network."""
        own = case.init in (PRETRAINED, GIVEN)
        return weights_sha256(self.model.network(self.side(case), case.seed, own=own, headless=not self.head))

    def trainable(self, case: Case) -> PreparedNetwork:
        """Returns the network of a case with two logits, for training."""
        side = self.side(case)
        made = prepare_network(self.model, self.variant, side, case.seed, own=False, trained=True)
        width = check_answers(made.network, side, self.model.name)
        # A network of the user's own that returns two logits has its head already.
        headed = not self.model.whole and width == CLASSES
        network = made.network if headed else with_new_head(made.network, width, CLASSES, case.seed)
        return PreparedNetwork(self.placed(network.requires_grad_()), made.sha256)

    def dead_branches(self) -> dict[str, DeadBranches]:
        """Returns init -> dead residual branches of its first network; training opens them, so `scratch` is left out.

        Padding makes no difference here, so the networks are run with their own.
        """
        found: dict[str, DeadBranches] = {}
        for init in self.inits:
            case = next(one for one in self.cases if one.init == init)
            if self.facts.opaque or init == SCRATCH:
                continue
            network = replace(self, variant=replace(self.variant, padding="own")).network(case).network
            side, by_batch = self.side(case), self.calibrated(case)
            images = noise_images(side).to(next(iter(network.parameters()), torch.empty(0)))
            dead = run_network(
                lambda network=network, images=images, by_batch=by_batch: find_dead_branches(  # type: ignore[misc]
                    network, images, by_batch=by_batch
                ),
                f"on images of {side} x {side}",
            )
            if dead.count:
                found[init] = dead
        return found

    def proved(self, case: Case, network: nn.Module) -> bool:
        """Returns whether the corners are equal for every picture, by the geometry of the layers.

        Args:
            case: The case.
            network: Its initial network, before calibration and training.
        """
        if self.facts.opaque:
            return False
        side, border = self.side(case), self.border(case)
        return all(
            corners_proved_equal(made, side, QUADRANT.patch, QUADRANT.displacement, border=border)
            for made in self.with_other_numbers(case, network)
        )

    def with_other_numbers(self, case: Case, network: nn.Module) -> Iterator[nn.Module]:
        """Yields copies of a network with random values for the numbers that its evaluation replaces.

        In a network whose biases and running means are still 0, zero padding continues the black, and a proof may rely
        on that; after calibration or training it does not. With few channels, random values can leave all of them
        black, hence two copies.
        """
        if case.init != SCRATCH and not (self.calibrated(case) and statistics(network)):
            yield network
            return
        for draw in range(2):
            made = copy.deepcopy(network)
            biases = [one for one in made.parameters() if one.ndim == 1 and case.init == SCRATCH]
            with random_seed(draw), torch.no_grad():
                # Above 0 for all channels, so that no activation makes the map black again. Kernels are random already.
                for tensor, sign in [*((one, -1) for one in statistics(made)[::2]), *((one, 1) for one in biases)]:
                    tensor.add_(torch.rand(tensor.shape).to(tensor) / 4 + 0.05, alpha=sign)
            yield made

    def input(self, images: np.ndarray) -> Tensor:
        """Returns images or patches (N, C, h, w), uint8, as float32 for the network; grey images get three channels."""
        pixels = images if images.shape[1] > 1 else images.repeat(3, axis=1)
        transform = self.model.transform
        if self.variant.background == "plain":
            return normalise_patches(pixels, (0.0,) * 3, (1.0,) * 3)
        return normalise_patches(pixels, transform.mean, transform.std)

    def placed(self, network: nn.Module) -> nn.Module:
        """Returns a network on the device."""
        if self.facts.contiguous:
            return OnContiguous(network).to(self.device)
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class OnContiguous(nn.Module):
    """A network that gets its images in the memory format that it needs."""

    layout = torch.contiguous_format
    """As in `LocalEvaluation`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Returns the network's answers."""
        answers: Tensor = self.network(images.contiguous())
        return answers


class Bench:
    """Keeps the network of the latest case for its further units."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self._case: Case | None = None
        self._made: PreparedNetwork
        self._reader: CornerNetwork | None

    def network(self, case: Case, kept: Sequence[bytes] | None = None) -> PreparedNetwork:
        """Returns the network of a case. kept: statistics of its batch norms, from `statistics`, for a new network."""
        if self._case != case:
            self._made, self._reader = self.design.network(case), None
            self._case = case
            if kept is not None:
                set_statistics(self._made.network, kept)
        return self._made

    def reader(self, case: Case, kept: Sequence[bytes] | None = None) -> CornerNetwork:
        """Returns the network of a case on images of its border; the black image is computed once for all chunks."""
        network = self.network(case, kept).network
        if self._reader is None:
            self._reader = CornerNetwork(network, self.design.border(case), local=self.design.local)
        return self._reader


def statistics(network: nn.Module) -> list[Tensor]:
    """Returns the running mean and variance of each batch norm, one after another."""
    pairs = [(layer.running_mean, layer.running_var) for layer in batch_norms(network)]
    return [tensor for pair in pairs for tensor in pair if tensor is not None]


def set_statistics(network: nn.Module, kept: Sequence[bytes]) -> None:
    """Puts statistics from `statistics` into a network."""
    for tensor, values in zip(statistics(network), kept, strict=True):
        numbers = np.frombuffer(values, str(tensor.dtype).removeprefix("torch.")).copy()
        tensor.copy_(torch.from_numpy(numbers))
