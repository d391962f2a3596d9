"""Networks by name, from files, and with weights that fit or do not."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from qi_datasets.errors import ModelError, OptionError, QIDatasetsError
from qi_datasets.evaluation.models import Transform, model_names, resolve_model, weights_sha256
from qi_datasets.imagenet import IMAGENET_MEAN
from tests.evaluation import networks
from tests.refusals import refused

HERE = Path(__file__).parent


def test_names_are_those_of_torchvision_and_ours() -> None:
    known = model_names()
    assert {"bagnet33", "resnet18", "vit_b_16", "convnext_tiny"} <= set(known)
    assert "fcn_resnet50" not in known


def test_a_seed_decides_the_weights_and_nothing_else() -> None:
    model = resolve_model("squeezenet1_1")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (weights_sha256(model.network(120, seed, own=False)) for seed in (0, 0, 1))

    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state)


def test_the_digest_covers_names_types_shapes_and_values() -> None:
    network = nn.Linear(2, 3)
    digests = {weights_sha256(network), weights_sha256(network.double()), weights_sha256(nn.Sequential(network))}
    with torch.no_grad():
        network.bias[0] += 1e-9
    assert len({*digests, weights_sha256(network)}) == 4


def test_vision_transformers_are_made_for_the_size_of_the_images(tmp_path: Path) -> None:
    network = torchvision.models.VisionTransformer(224, 16, 1, 1, 768, 8)
    torch.save(torchvision.models.vit_b_16().state_dict(), tmp_path / "vit.pt")
    model = resolve_model("vit_b_16", str(tmp_path / "vit.pt"))

    made = model.network(128, 0, own=True)

    assert made.image_size == 128
    assert made.encoder.pos_embedding.shape[1] == 8 * 8 + 1
    assert network.encoder.pos_embedding.shape[1] == 14 * 14 + 1


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_heads_for_training_are_left_out_or_loaded(name: str, tmp_path: Path) -> None:
    plain = resolve_model(name).network(120, 0, own=False)
    assert not any(key.startswith(("aux", "Aux")) for key in plain.state_dict())
    builder = torchvision.models.get_model_builder(name)
    whole = builder(weights=None, init_weights=False, aux_logits=True)
    torch.save(whole.state_dict(), tmp_path / "whole.pt")

    loaded = resolve_model(name, str(tmp_path / "whole.pt")).network(120, 0, own=True)

    assert weights_sha256(loaded) == weights_sha256(whole)


def test_weights_are_read_in_every_usual_form(tmp_path: Path) -> None:
    network = networks.reader()
    state = network.state_dict()
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pth")
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "parallel.pt")
    save_file(state, tmp_path / "safe.safetensors")

    for file in ("plain.pt", "nested.pth", "parallel.pt", "safe.safetensors"):
        loaded = resolve_model(networks.reader, str(tmp_path / file)).network(120, 0, own=True)
        assert weights_sha256(loaded) == weights_sha256(network), file
        assert resolve_model(networks.reader, str(tmp_path / file)).weights == file


def changed(**tensors: Any) -> dict[str, torch.Tensor]:
    """Returns the state of a reader with some tensors replaced, or removed by None."""
    state = {**networks.reader().state_dict(), **{name.replace("__", "."): value for name, value in tensors.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


MISFITS: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "a tensor missing": (changed(**{"0__3__bias": None}), "they lack 0.3.bias"),
    "a tensor too many": (changed(head__weight=torch.zeros(2)), "they have beside what it has head.weight"),
    "another shape": (changed(**{"0__0__weight": torch.zeros(8, 3, 5, 5)}), "they have in other shapes 0.0.weight"),
    "all others": (
        {f"layer{number}": torch.zeros(1) for number in range(9)},
        "they lack 0.0.weight, .* and [0-9]+ more",
    ),
}


@pytest.mark.parametrize(("state", "message"), MISFITS.values(), ids=MISFITS)
def test_weights_that_do_not_fit_are_listed(state: dict[str, torch.Tensor], message: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "state.pt")
    model = resolve_model(networks.reader, str(tmp_path / "state.pt"))

    with pytest.raises(ModelError, match=f"weights state.pt do not fit Sequential: {message}") as raised:
        model.network(120, 0, own=True)
    assert len(str(raised.value)) < 400


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/tmp/evil-was-here"),))  # noqa: S108


def test_a_file_of_weights_runs_nothing(tmp_path: Path) -> None:
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "text.pt").write_text("Hello")
    (tmp_path / "text.safetensors").write_text("Hello")
    torch.save([1, 2], tmp_path / "list.pt")

    for file, reason in {
        "evil.pt": "holds more than weights .*, which is not read for safety",
        "text.pt": "can't be read as a state dict",
        "text.safetensors": "can't be read as safetensors",
        "list.pt": "holds no state dict",
    }.items():
        with pytest.raises(ModelError, match=reason) as raised:
            resolve_model(networks.reader, str(tmp_path / file))
        assert len(str(raised.value).splitlines()) == 1
    assert not Path("/tmp/evil-was-here").exists()  # noqa: S108


def test_factories_by_place(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom torch import nn\n\n@dataclass\nclass Size:\n    width: int = 3\n\n"
        "def net():\n    return nn.Conv2d(3, Size().width, 3)\n\nnothing = 3\nbroken = nn.Linear(1, 1)\n"
    )
    (tmp_path / "wrong.py").write_text("import no_such_module_at_all\n")

    made = resolve_model(f"{tmp_path}/mine.py:net")
    assert isinstance(made.network(120, 0, own=False), nn.Conv2d)
    assert made.name == "mine.py:net"
    assert isinstance(resolve_model("tests.evaluation.networks:reader").network(120, 0, own=False), nn.Sequential)
    places = {
        f"{tmp_path}/mine.py:nowhere": "can't be imported: AttributeError",
        f"{tmp_path}/mine.py:nothing": "is a int; name a function",
        f"{tmp_path}/mine.py:broken": "is a Linear; name a function",
        f"{tmp_path}/none.py:net": "is no file",
        f"{tmp_path}/wrong.py:net": "can't be imported: ModuleNotFoundError: No module named 'no_such_module_at_all'",
        "no_such_module_at_all:net": "can't be imported: ModuleNotFoundError",
    }
    for place, message in places.items():
        with pytest.raises(QIDatasetsError, match=message):
            resolve_model(place)


def test_a_file_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "parts_of_it.py").write_text("from torch import nn\n\ndef layer():\n    return nn.Conv2d(3, 4, 3)\n")
    (tmp_path / "later_part.py").write_text("from torch import nn\n\nlast = nn.ReLU\n")
    (tmp_path / "whole_net.py").write_text(
        "from torch import nn\nfrom parts_of_it import layer\n\ndef make():\n    from later_part import last\n\n"
        "    return nn.Sequential(layer(), last())\n"
    )
    before = list(sys.path)

    made = resolve_model(f"{tmp_path}/whole_net.py:make").network(120, 0, own=False)

    assert [type(layer) for layer in made] == [nn.Conv2d, nn.ReLU]
    assert sys.path == before


def test_wrappers_of_torch_are_taken_off() -> None:
    network = networks.reader()
    for wrapped in (nn.DataParallel(network), torch.compile(network), torch.compile(nn.DataParallel(network))):
        assert type(resolve_model(wrapped).network(120, 0, own=True)) is nn.Sequential
        assert resolve_model(lambda wrapped=wrapped: wrapped).network(120, 0, own=False) is network


def test_a_network_of_timm_has_its_own_normalisation() -> None:
    pytest.importorskip("timm")
    model = resolve_model("timm:tf_efficientnet_lite0")

    assert model.transform == Transform((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
    assert resolve_model("squeezenet1_1").transform == Transform(tuple(IMAGENET_MEAN))
    with refused(OptionError, "unknown-mode", match=r"timm has no model 'resnet81' \(did you mean"):
        resolve_model("timm:resnet81")


def test_default_weights_that_can_not_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with refused(ModelError, "bad-weights", match="the default weights of squeezenet1_1 can't be downloaded"):
        resolve_model("squeezenet1_1", "default")
