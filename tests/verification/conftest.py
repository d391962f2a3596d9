"""One small good build that all tests of this folder share, and copies of it to spoil."""

import shutil

import pytest

from qi_datasets.building import build_set, plan_set
from qi_datasets.parallel import Engine
from qi_datasets.sources.demo import DemoSource
from qi_datasets.specs import CORNER, QI, RED_GREEN_SET, ROOK

from .sabotage import BORDERS, SPLITS


def build_qi(root, *, first=0, canvas=None):
    """A small `qi` from demo pictures, starting with picture `first`."""
    count = sum(SPLITS.values())
    source = DemoSource("demo", {f"demo_{number:05d}": number for number in range(first, first + count)}, False)
    plan = plan_set(QI, source, splits={QI.name: SPLITS}, official=False, borders=BORDERS, size=canvas)
    return build_set(plan, root, engine=Engine(1)).folder


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A folder with every set, none of them spoilt; to be read only."""
    root = tmp_path_factory.mktemp("good")
    for spec in (ROOK, CORNER, RED_GREEN_SET):
        build_set(plan_set(spec), root)
    build_qi(root)
    build_qi(root, canvas=2 * 56)
    build_qi(root / "other", first=100)
    return root


@pytest.fixture
def copy(good, tmp_path):
    """Makes a copy of one set to spoil: name -> folder."""

    def made(name):
        return shutil.copytree(good / name, tmp_path / "sets" / name)

    return made
