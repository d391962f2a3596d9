"""Networks that take few sizes of images: a further border where one helps, else a line with the sizes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from qi_datasets.errors import ModelError
from qi_datasets.evaluation.sizes import LARGEST_FURTHER, PATCHES_BORDER, further_border
from qi_datasets.networks.receptive_field import without_values
from qi_datasets.specs import QI, QUADRANT

SIDES = [QUADRANT.canvas + 2 * border for border in QI.borders]


class Choosy(nn.Module):
    """A network that takes images of some sides, and notes on which it is run with values."""

    def __init__(self, takes: Callable[[int], bool], first: nn.Module | None = None) -> None:
        super().__init__()
        self.takes, self.first = takes, first or nn.Conv2d(3, 4, 3)
        self.ran: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        """The mean over positions."""
        if not self.takes(images.shape[-1]):
            raise ValueError("another size, please")
        if not images.is_meta:
            self.ran.append(images.shape[-1])
        return self.first(images).mean((2, 3))


def border_of(takes: Callable[[int], bool], sides: list[int] = SIDES, **options: nn.Module) -> int:
    """The further border of a network, which is run on values once, at the size found, as shapes suffice."""
    network = Choosy(takes, **options)
    found = further_border(lambda side: network, sides, "mine", sized=False)
    assert network.ran == [min(sides) + 2 * found]
    return found


def test_a_network_of_any_size_gets_no_further_border() -> None:
    assert border_of(lambda side: True) == 0


@pytest.mark.parametrize(("step", "expected"), [(2, 0), (16, 4), (32, 4)])
def test_a_network_of_multiples_gets_the_border_that_gives_them_at_every_official_border(
    step: int, expected: int
) -> None:
    assert border_of(lambda side: side % step == 0) == expected


def test_a_single_border_can_be_widened_further() -> None:
    assert border_of(lambda side: side % 64 == 0, [152]) == 20


def test_networks_of_patches_get_it_wherever_they_take_it() -> None:
    assert border_of(lambda side: True, first=nn.Conv2d(3, 4, 4, 4)) == PATCHES_BORDER
    assert border_of(lambda side: side % 40 == 0, [120], first=nn.Conv2d(3, 4, 4, 4)) == 0


def test_sizes_that_no_border_gives_are_told() -> None:
    with pytest.raises(ModelError) as error:
        border_of(lambda side: side % 224 == 0, [120, 152])
    assert str(error.value) == (
        "mine does not take images of 120, 152 pixels per side; of those that it takes are 224, 448"
    )
    assert LARGEST_FURTHER < (224 - 120) / 2


@pytest.mark.parametrize("least", [150, 10_000])
def test_images_that_are_too_small_are_left_as_they_are(least: int) -> None:
    network = Choosy(lambda side: side >= least)
    assert further_border(lambda side: network, [120], "mine", sized=False) == 0


def test_what_does_not_run_on_shapes_runs_on_images() -> None:
    class Looking(Choosy):
        def forward(self, images: Tensor) -> Tensor:
            """Looks at a value."""
            return super().forward(images) * float(images.sum())

    network = Looking(lambda side: side % 32 == 0)
    assert further_border(lambda side: network, [120], "mine", sized=False) == 4
    assert network.ran == [128]


class Positioned(nn.Module):
    """A network that reads a table by the number of its positions, which is no error without values."""

    def __init__(self, takes: Callable[[int], bool]) -> None:
        super().__init__()
        self.stem, self.takes = nn.Conv2d(3, 4, 7, stride=4), takes
        self.table = nn.Parameter(torch.ones(1))
        self.ran: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        """The mean over positions, scaled by an entry of the table."""
        side = images.shape[-1]
        if not images.is_meta:
            self.ran.append(side)
        row = torch.tensor([0 if self.takes(side) else 1], device=images.device)
        return self.stem(images).mean((2, 3)) * self.table[row]


def test_a_size_found_by_shapes_is_confirmed_with_values() -> None:
    network = Positioned(lambda side: side % 32 == 0)
    assert further_border(lambda side: network, SIDES, "mine", sized=False) == 4
    assert network.ran[:5] == [120, 120, 122, 124, 126]
    assert {side + 8 for side in SIDES} <= set(network.ran)


def test_sizes_that_no_border_gives_are_those_that_values_confirm() -> None:
    network = Positioned(lambda side: side % 224 == 0)
    with pytest.raises(ModelError, match=r"of those that it takes are 224, 448$"):
        further_border(lambda side: network, [120], "mine", sized=False)


def test_a_network_made_for_a_size_is_made_for_each_side() -> None:
    made = []

    def make(side: int) -> nn.Module:
        made.append(side)
        if side % 32:
            raise ModelError("no")
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 2))

    assert further_border(make, [120, 152], "mine", sized=True) == 4
    assert {128, 160} <= set(made)


def test_without_values_shares_nothing_and_keeps_ties() -> None:
    layer = nn.Linear(3, 3)
    network = nn.Sequential(layer, nn.BatchNorm1d(3), layer).train()

    empty = without_values(network)

    assert all(tensor.is_meta for tensor in (*empty.parameters(), *empty.buffers()))
    assert empty[0] is empty[2]
    assert not empty.training
    assert network.training
    assert not any(tensor.is_meta for tensor in network.parameters())
    assert empty(torch.empty(2, 3, device="meta")).shape == (2, 3)


def test_a_network_of_timm_is_made_for_a_size_where_it_can_be() -> None:
    pytest.importorskip("timm")
    from qi_datasets.evaluation.models import resolve_model

    assert resolve_model("timm:test_vit").sized
    assert not resolve_model("timm:test_resnet").sized
    network = resolve_model("timm:test_vit").network(128, 0, own=False)
    assert network(torch.zeros(1, 3, 128, 128)).shape[0] == 1
