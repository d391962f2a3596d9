"""Networks on patches in corners, by local evaluation and on whole images, and their error messages."""

import sys

import numpy as np
import pytest
import torch
from torch import fx, nn

from qi_datasets.errors import ModelError, OptionError
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.protocols.corners import CornerNetwork, Corners, run_in_passes, run_network

PATCHES = torch.rand(3, 3, 56, 56, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    with random_seed(0):
        return nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=2, padding=2), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten()
        ).eval()


@pytest.mark.parametrize("border", [0, 16])
def test_a_patch_stands_where_the_set_has_it(border: int) -> None:
    images = Corners(border).images(PATCHES, torch.tensor([0, 1, 0]))

    assert images.shape == (3, 3, 120 + 2 * border, 120 + 2 * border)
    torch.testing.assert_close(images[0, :, border : border + 56, border : border + 56], PATCHES[0])
    torch.testing.assert_close(images[1, :, border + 64 : border + 120, border + 64 : border + 120], PATCHES[1])
    assert torch.count_nonzero(images) == torch.count_nonzero(PATCHES)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_answers_are_those_to_whole_images(local: bool, frozen: bool) -> None:
    labels = torch.tensor([1, 0, 1])
    reader = CornerNetwork(network(), 3, local=local, frozen=frozen)

    torch.testing.assert_close(reader(PATCHES, labels), network()(Corners(3).images(PATCHES, labels)))
    assert reader.dense_because == ("" if local else "it was asked for")


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("batch", [None, 1, 4])
def test_features_are_of_both_corners(local: bool, batch: int | None) -> None:
    found = CornerNetwork(network(), 0, local=local).features(PATCHES, batch)

    assert found.shape == (3, 2, 4)
    for label in (0, 1):
        with torch.no_grad():
            answers = network()(Corners(0).images(PATCHES, torch.full((3,), label)))
        np.testing.assert_allclose(found[:, label], answers.numpy(), rtol=1e-5, atol=1e-6)


def test_passes_are_halved_where_memory_is_short() -> None:
    sizes = []

    def answer(rows: slice) -> torch.Tensor:
        size = rows.stop - rows.start
        sizes.append(size)
        if size > 3:
            raise MemoryError("out of memory")
        return torch.arange(rows.start, rows.stop)[:, None]

    assert run_in_passes(answer, 10, 8).flatten().tolist() == list(range(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]


def test_one_image_that_is_too_large_is_an_error() -> None:
    def answer(rows: slice) -> torch.Tensor:
        raise MemoryError("out of memory on an image")

    with pytest.raises(ModelError, match="out of memory on an image, with a single one"):
        run_in_passes(answer, 3, 2)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("shapes\ndiffer"), ModelError, "the network fails on it: RuntimeError: shapes differ"),
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError, "out of memory on it"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError, "out of memory on it"),
        (OptionError("ours"), OptionError, "ours"),
    ],
)
def test_what_goes_wrong_in_a_network_is_one_line(error: Exception, kind: type[Exception], message: str) -> None:
    def call() -> None:
        raise error

    with pytest.raises(kind) as raised:
        run_network(call, "on it")
    assert str(raised.value) == message


def test_a_traced_network_that_fails_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Reshapes(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.reshape(7, 11)

    traced = fx.symbolic_trace(Reshapes())
    with pytest.raises(ModelError, match="the network fails"):
        run_network(lambda: traced(PATCHES), "on it")
    assert capsys.readouterr().err == ""
    assert run_network(lambda: print("heard", file=sys.stderr) or 1, "on it") == 1
    assert capsys.readouterr().err == "heard\n"


def test_features_that_are_not_finite_are_refused() -> None:
    broken = network()
    with torch.no_grad():
        broken[0].bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite numbers at border 16"):
        CornerNetwork(broken, 16).features(PATCHES)
