"""Bad input of an evaluation gives an error of one line that says why."""

from pathlib import Path
from typing import Any

import pytest

from qi_datasets import evaluate
from qi_datasets.errors import NotBuiltError, OptionError, QIDatasetsError, StoredSetError
from tests.evaluation import networks
from tests.refusals import refused

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt model": ({"model": "resnet81"}, "no model is called 'resnet81' .did you mean"),
    "an unknown task": ({"task": "qii"}, "task must be one of qi, .* not 'qii' .did you mean 'qi'"),
    "a factory that raises": ({"model": networks.raises}, "raises can't be made: RuntimeError: there is no network"),
    "a factory without a module": ({"model": networks.no_module}, "no_module makes a str, not a torch.nn.Module"),
    "a map as answer": ({"model": networks.with_map}, "must answer one vector for each image"),
    "one channel": ({"model": networks.grey}, "takes images of 1 channels; the sets have 3"),
    "too small a border": (
        {"model": networks.large_kernel},
        "the network fails on an image of 120 x 120: RuntimeError",
    ),
    "features that are no numbers": ({"model": networks.not_finite}, "features are not finite numbers at border 0"),
    "a dead network": ({"model": networks.dead}, "init random, border 0, seed 0: the network is dead"),
    "a negative border": ({"borders": [-1]}, "border must be an integer from 0 to 4096, not -1"),
    "a border instead of a list": (
        {"borders": 64},
        r"borders must be a list of numbers, such as .*, not 64",
    ),
    "borders as text": ({"borders": "64"}, "borders must be a list of numbers"),
    "no model": ({"model": None}, "model must be a module, a function that makes one, or a name, not None"),
    "more sources than there are": ({"limit": 13}, "limit=13 asks for more than the 12 sources that are there"),
    "no border": ({"borders": []}, "there must be at least one border"),
    "an unknown init": (
        {"init": "radnom"},
        "init must be one of random, pretrained, given, scratch, not 'radnom'",
    ),
    "no init": ({"init": []}, "there must be at least one init"),
    "pretrained without weights": ({"init": "pretrained"}, "init pretrained needs weights"),
    "given for a function": ({"init": "given"}, "init given is for a module"),
    "no seeds": ({"seeds": 0}, "seeds must be a number of networks from 1, not 0"),
    "seeds that are none": ({"seeds": True}, "seeds must be a number of networks from 1, not True"),
    "no sources": ({"limit": 0}, "limit must be a number of sources from 1, not 0"),
    "an unknown padding": ({"padding": "ful"}, "padding must be one of own, .* not 'ful' .did you mean 'full'"),
    "an unknown pool": ({"pool": "mean"}, "pool must be one of max, own, not 'mean'"),
    "an unknown background": ({"background": "black"}, "background must be one of zero, plain, not 'black'"),
    "a mean of one number": ({"mean": 0.5}, "mean must be three numbers, one for each channel, not 0.5"),
    "a mean that is no number": ({"mean": (0.5, 0.5, float("nan"))}, "mean must be three numbers"),
    "a mean of 255": ({"mean": (123.7, 116.3, 103.5)}, "mean must be from 0 to 1 .*; divide it by 255"),
    "a deviation of 255": ({"std": (58.4, 57.1, 57.4)}, "std must be from 0 to 1 .*; divide it by 255"),
    "a mean below 0": ({"mean": (-0.1, 0.5, 0.5)}, "mean must be from 0 to 1"),
    "a deviation of 0": ({"std": (0.2, 0.2, 0)}, "std must be above 0 for each channel"),
    "an unknown batch norm": (
        {"batch_norm": "frozen"},
        "batch_norm must be one of .*, not 'frozen'",
    ),
    "batch norm where there is none": (
        {"model": networks.without_statistics, "batch_norm": "untouched"},
        "batch_norm='untouched' has no effect",
    ),
    "weights that are no file": ({"weights": "nowhere.pt"}, "'nowhere.pt' is no file"),
    "default weights of one's own": ({"weights": "default"}, "reader has no default weights"),
    "a device that there is not": ({"device": "cuda:99"}, "torch can't use the device 'cuda:99'"),
    "borders of another task": ({"task": "rook", "borders": [0]}, "rook has no borders"),
    "an init of another task": ({"task": "rook", "init": "random"}, "rook takes init scratch, not random"),
    "calibration of another task": ({"task": "corner", "batch_norm": "calibrated"}, "has no effect on corner"),
    "a limit of two images": ({"task": "rook", "limit": 1}, "rook is two images; leave limit out"),
}


@pytest.mark.parametrize(("changed", "message"), BAD.values(), ids=BAD)
def test_what_can_not_be_evaluated_is_said_in_one_line(changed: dict[str, Any], message: str, sets: Path) -> None:
    arguments: dict[str, Any] = {"model": networks.reader, "output": sets, "limit": 3} | changed
    if "borders" not in changed and changed.get("task", "qi") == "qi":
        arguments["borders"] = [0]
    if arguments.get("task") in ("rook",) and "limit" not in changed:
        del arguments["limit"]

    with pytest.raises(QIDatasetsError, match=message) as raised:
        evaluate(**arguments)
    assert len(str(raised.value).splitlines()) == 1


def test_arguments_that_a_module_has_no_use_for(sets: Path) -> None:
    network = networks.reader()
    with refused(OptionError, "no-effect", match="seeds=2 has no effect on init given"):
        evaluate(network, output=sets, seeds=2)
    with pytest.raises(OptionError, match="seeds=2 of init random need a function"):
        evaluate(network, output=sets, init="random", seeds=2)
    with refused(OptionError, "no-effect", match="the module has its weights"):
        evaluate(network, output=sets, weights="default")


def test_a_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match=f"qi is not built in {tmp_path}"):
        evaluate(networks.reader, output=tmp_path)


def test_rows_that_are_not_what_the_manifest_says(sets: Path, tmp_path: Path) -> None:
    import shutil

    from tests.evaluation.damaged import swap_images

    shutil.copytree(sets / "qi", tmp_path / "qi")
    swap_images(tmp_path / "qi" / "border_0" / "test-00000-of-00001.parquet", 4, 6)

    with pytest.raises(StoredSetError, match=r"source demo_.*the patch differs"):
        evaluate(networks.reader, output=tmp_path, borders=[0], seeds=1)
