"""One small good build that all tests of this folder share, and copies of it to spoil."""

import shutil
from importlib.util import find_spec

import pytest

from qi_datasets.building.build import build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import plan_set
from qi_datasets.sources.demo import DemoSource
from qi_datasets.specs import QI, SHIFTED
from tests.verification.sabotage import BORDERS, SPLITS

SHIFTED_IMAGES = 4

if find_spec("torch") is None:
    collect_ignore_glob = ["separability/*"]


def demo_pictures(first=0):
    """As many demo pictures as the small `qi` and the small `shifted` take together, starting with `first`."""
    count = sum(SPLITS.values()) + SHIFTED_IMAGES
    return DemoSource("demo", {f"demo_{number:05d}": number for number in range(first, first + count)}, False)


def build_qi(root, *, first=0, canvas=None):
    plan = plan_set(QI, demo_pictures(first), splits={QI.name: SPLITS}, official=False, borders=BORDERS, size=canvas)
    return build_set(plan, root, engine=Engine(1)).folder


def build_shifted(root):
    splits = {QI.name: SPLITS, SHIFTED.name: {"test": SHIFTED_IMAGES}}
    return build_set(plan_set(SHIFTED, demo_pictures(), splits=splits, official=False), root, engine=Engine(1)).folder


@pytest.fixture(scope="session")
def good(build_once, toy_sets):
    """Returns a folder with every set, all undamaged; read only."""

    def fill(root):
        shutil.copytree(toy_sets, root, dirs_exist_ok=True)
        build_qi(root)
        build_shifted(root)
        build_qi(root, canvas=2 * 56)
        build_qi(root / "other", first=100)

    return build_once("good", fill)


@pytest.fixture
def copy(good, tmp_path):
    """Returns a function that copies one set for a test to damage: name -> folder."""

    def made(name):
        return shutil.copytree(good / name, tmp_path / "sets" / name)

    return made
