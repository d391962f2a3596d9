"""Arguments are checked before torch is imported, and have the same names as in the rest of the package."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

from qi_datasets.errors import OptionError, OutputError
from qi_datasets.evaluation.arguments import OURS, check_entry, check_model, check_plot, torchvision_names
from qi_datasets.evaluation.initialisations import Padding
from qi_datasets.networks.variants import PaddingVariant
from tests.refusals import refused

MISTAKES = {
    "a model": ("resnet81", "no model is called 'resnet81'"),
    "a file": ("nets.py:make", "nets.py is no file"),
    "an option": ("resnet18 --padding ful", "--padding must be one of"),
    "a number": ("resnet18 --border -1", "border must be an integer from 0 to 4096"),
    "an output": ("resnet18 --output nowhere", "qi is not built in"),
    "a plot": ("resnet18 --plot curve.doc", "curve.doc can't be drawn"),
    "an entry": ("resnet18 --entry file/entry", "choose another folder for the entry"),
    "weights": ("resnet18 --weights nowhere.pth", "'nowhere.pth' is no file"),
}

SCRIPT = """
import sys
from click.testing import CliRunner
from qi_datasets.commands.evaluate import main
for line in sys.argv[1:]:
    print(CliRunner().invoke(main, line.split()).stderr.strip())
sys.exit(any(name in sys.modules for name in ("torch", "datasets", "torchvision")))
"""


def test_a_mistake_is_said_before_anything_large_is_imported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lines = [line for line, _ in MISTAKES.values()]

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *lines], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    said = done.stdout.splitlines()
    for line, (_, message) in zip(said, MISTAKES.values(), strict=True):
        assert message in line


WITHOUT_TORCH = """
import sys
from importlib import util
found = util.find_spec
util.find_spec = lambda name, *rest: None if name == "torch" else found(name, *rest)
import qi_datasets
from click.testing import CliRunner
from qi_datasets.commands.evaluate import main
print(CliRunner().invoke(main, ["resnet18", "--task", "rook"]).stderr.strip())
try:
    qi_datasets.evaluate
except ImportError as error:
    print(error)
"""


def test_without_torch_a_line_says_how_to_get_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)

    command, call = done.stdout.splitlines()
    assert command.startswith("error: networks are run with torch and torchvision, and torch is missing")
    assert call.startswith("evaluate runs networks with torch, which is missing")
    assert all(line.endswith("python -m pip install '.[torch]'") for line in (command, call))


def test_paddings_are_those_of_the_networks() -> None:
    assert get_args(Padding) == get_args(PaddingVariant)


@pytest.mark.skipif(find_spec("torchvision") is None, reason="needs torchvision")
def test_names_are_those_of_torchvision() -> None:
    import torchvision

    from qi_datasets.evaluation import models

    assert sorted(torchvision_names()) == torchvision.models.list_models(module=torchvision.models)
    assert tuple(models.OURS) == OURS
    for name in ("resnet18", "bagnet33", "timm:whatever", "package.module:factory"):
        check_model(name)


def test_places_that_can_not_be_written(tmp_path: Path) -> None:
    check_entry(tmp_path / "new" / "entry")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is a file"):
        check_entry(tmp_path / "file" / "entry")
    with refused(OptionError, "bad-file-type", match=r"ends in \.png, \.svg or \.pdf"):
        check_plot(tmp_path / "curve")
    with refused(OutputError, "cannot-write", match="there is no folder"):
        check_plot(tmp_path / "nowhere" / "curve.png")
