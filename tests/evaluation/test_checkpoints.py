"""Checkpoints of the usual scripts: loaded to the same weights, or one line with the command that converts them."""

import argparse
import shlex
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from qi_datasets.errors import ModelError
from qi_datasets.evaluation.checkpoints import read_state
from qi_datasets.evaluation.models import resolve_model

NET = "shufflenet_v2_x0_5"
HEAD = "fc."
CHOSEN = "stage2.0.branch2.0.weight"


def weights() -> dict[str, Any]:
    torch.manual_seed(7)
    return dict(torchvision.models.get_model(NET, weights=None).state_dict())


STATE = weights()
BODY = {name: tensor for name, tensor in STATE.items() if not name.startswith(HEAD)}
OTHER_HEAD = {f"{HEAD}weight": torch.zeros(9, 1024), f"{HEAD}bias": torch.zeros(9)}


def named(prefix: str, state: Mapping[str, Any] = STATE) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


class Settings:
    """A class that only its own program can import."""


OPTIONS = argparse.Namespace(lr=0.1, device=torch.device("cpu"))
LOADED: dict[str, Any] = {
    "a state dict": STATE,
    "an ordered one": OrderedDict(STATE),
    "torchvision's references": {
        "model": STATE,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "lr_scheduler": {"_last_lr": [np.float64(0.1)]},
        "args": OPTIONS,
        "model_ema": {"n_averaged": torch.tensor(3), **named("module.", {k: 2 * v for k, v in STATE.items()})},
    },
    "averaged weights alone": {"model_ema": {"n_averaged": torch.tensor(3), **named("module.")}},
    "timm's train.py": {"arch": NET, "state_dict": STATE, "args": OPTIONS, "metric": np.float64(7.5)},
    "averaged weights of timm alone": {"state_dict_ema": STATE},
    "Lightning": {
        "pytorch-lightning_version": "2.4",
        "state_dict": {**named("model."), "criterion.weight": torch.ones(3)},
        "hyper_parameters": {"lr": 0.1},
        "callbacks": {"ModelCheckpoint": {"best": torch.tensor(0.3)}},
    },
    "Lightning, compiled": {"state_dict": named("net._orig_mod.")},
    "DataParallel": named("module."),
    "compiled": named("_orig_mod."),
    "both": named("module._orig_mod."),
    "a compiled part": {name.replace("stage2.", "stage2._orig_mod."): STATE[name] for name in STATE},
    "numbers of numpy": {"state_dict": STATE, "best": np.float32(3), "history": np.arange(3.0), "step": np.int64(4)},
    "options with paths": {"model": STATE, "args": argparse.Namespace(data=PurePosixPath("/data"), out=Path("/out"))},
    "half precision": {name: tensor.half() for name, tensor in STATE.items()},
}
WITHOUT_HEAD: dict[str, Any] = {
    "no head": BODY,
    "fewer classes": BODY | OTHER_HEAD,
    "another head": BODY | {"fc.7.weight": torch.zeros(3)},
    "a part of something larger": {**named("backbone.", BODY), "decoder.weight": torch.zeros(3)},
}


@pytest.mark.crossed
@pytest.mark.parametrize("headless", [False, True])
@pytest.mark.parametrize("content", LOADED.values(), ids=LOADED)
def test_checkpoints_are_loaded(content: Any, headless: bool, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint.pth")

    made = resolve_model(NET, f"{tmp_path}/checkpoint.pth").network(120, 0, own=True, headless=headless)

    assert torch.allclose(made.state_dict()[CHOSEN], STATE[CHOSEN], atol=1e-3)


@pytest.mark.parametrize("content", WITHOUT_HEAD.values(), ids=WITHOUT_HEAD)
def test_another_head_is_none_where_heads_are_taken_off(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint.pth")
    model = resolve_model(NET, f"{tmp_path}/checkpoint.pth")

    assert torch.equal(model.network(120, 0, own=True, headless=True).state_dict()[CHOSEN], STATE[CHOSEN])
    with pytest.raises(ModelError, match=r"do not fit .*: they (lack|have in other shapes) fc\.weight"):
        model.network(120, 0, own=True)


def test_other_formats(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(STATE, tmp_path / "net.safetensors")
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)

    for name in ("net.safetensors", "old.pth"):
        made = resolve_model(NET, f"{tmp_path}/{name}").network(120, 0, own=True)
        assert torch.equal(made.state_dict()[CHOSEN], STATE[CHOSEN])


MISFITS: dict[str, tuple[Any, str]] = {
    "a part missing": ({name: t for name, t in STATE.items() if "stage4" not in name}, "they lack stage4"),
    "another network": (STATE | {"stage2.9.weight": torch.zeros(3)}, "beside what it has stage2.9"),
    "no weights": ([1, 2], "holds no state dict"),
}


@pytest.mark.parametrize(("content", "message"), MISFITS.values(), ids=MISFITS)
def test_what_is_no_checkpoint_of_the_network_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(ModelError, match=message):
        resolve_model(NET, f"{tmp_path}/checkpoint.pth").network(120, 0, own=True, headless=True)


def test_what_is_not_read_for_safety_has_a_command_that_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands are run here as by a user who trusts the file."""
    network = torchvision.models.get_model(NET, weights=None)
    network.load_state_dict(STATE)
    monkeypatch.chdir(tmp_path)
    torch.save(network, tmp_path / "whole.pth")
    torch.save({"state_dict": STATE, "config": OPTIONS, "further": Settings}, tmp_path / "beside.pth")
    torch.jit.script(network).save(tmp_path / "scripted.pt")
    slow = {name: 2 * tensor for name, tensor in BODY.items()}
    torch.save(
        {"state_dict": named("module.encoder_q.", BODY) | named("module.encoder_k.", slow)}, tmp_path / "two.pth"
    )
    torch.save({"student": STATE, "teacher": slow, "epoch": 3}, tmp_path / "placed.pth")

    for name, reason in {
        "whole.pth": r"holds more than weights \(torch.nn",
        "beside.pth": r"holds more than weights \(tests.*Settings\)",
        "scripted.pt": "is a TorchScript archive",
        "two.pth": r"hold several such networks, under encoder_k\., encoder_q\.",
        "placed.pth": r"holds state dicts under unknown names: student, teacher",
    }.items():
        with pytest.raises(ModelError, match=reason) as raised:
            resolve_model(NET, f"{tmp_path}/{name}").network(120, 0, own=True, headless=True)
        assert len(str(raised.value).splitlines()) == 1
        _, flag, code = shlex.split(str(raised.value).partition(" alone: ")[2])
        assert flag == "-c"
        exec(code)  # noqa: S102
        made = resolve_model(NET, f"{tmp_path}/weights.pth").network(120, 0, own=True, headless=True)
        assert torch.equal(made.state_dict()[CHOSEN], STATE[CHOSEN])
        (tmp_path / "weights.pth").unlink()


def test_a_damaged_file_is_called_so(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "net.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:10_000])
    with pytest.raises(ModelError, match=r"cut.pth can't be read as a state dict; is it whole"):
        resolve_model(NET, f"{tmp_path}/cut.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_pointer_of_git_lfs_says_what_to_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")

    with pytest.raises(ModelError, match="run git lfs pull"):
        read_state(str(tmp_path / name))
