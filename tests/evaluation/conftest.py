"""Without torch the tests that run networks are left out."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import BuildOnce
from tests.evaluation import entries

SOURCES = 12

if find_spec("torch") is None:
    collect_ignore = [
        f"test_{name}.py"
        for name in (
            "again",
            "bad_input",
            "checkpoints",
            "curve",
            "evaluate",
            "jobs",
            "models",
            "readme",
            "tasks",
            "variants",
        )
    ]
else:
    import torch

    # The tests' images are small: more threads cost more than they gain.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sets(build_once: BuildOnce, toy_sets: Path) -> Path:
    """Returns an output folder with `qi` of demo pictures, 12 a split, `shifted` of 3, and the toy sets; read only."""
    from qi_datasets import build_dataset

    def fill(output: Path) -> None:
        shutil.copytree(toy_sets, output, dirs_exist_ok=True)
        build_dataset(output=output, demo=True, sets=["qi"], per_split=SOURCES, borders=[0])
        build_dataset(output=output, demo=True, sets=["shifted"], shifted_images=3)

    return build_once("evaluated", fill)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entries.entry().write(tmp_path / "entry")
    return tmp_path / "entry"
