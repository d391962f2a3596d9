"""Each sub-package imports only those below it."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import qi_datasets
from qi_datasets import builders, cards

PACKAGE = Path(qi_datasets.__file__).parent
MAPPED = (Path(builders.__file__).parent, Path(cards.__file__).parent)

SUBPACKAGES = (
    "errors",
    "renamed",
    "progress",
    "imagenet",
    "set_spec",
    "specs",
    "pixels",
    "scores",
    "networks",
    "builder",
    "registry",
    "builders",
    "sources",
    "cards",
    "storage",
    "building",
    "loading",
    "torch",
    "protocols",
    "verification",
    "evaluation",
    "leaderboard",
    "figures",
    "publishing",
    "commands",
)
"""From the lowest to the highest: each is a module, or a folder with its content, and has a rank of its own."""

RANKS = {name: rank for rank, name in enumerate(SUBPACKAGES)}


@cache
def modules() -> dict[str, Path]:
    """Returns dotted name below the package -> file, without the package's own `__init__`, which imports from all."""
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE or path.stem != "__init__"
    }
    found |= {f"{folder.name}.{path.stem}": path for folder in MAPPED for path in folder.glob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def subpackage_of(name: str) -> str:
    """Returns the sub-package of a dotted name; "" for the package itself."""
    return name.partition(".")[0]


def imports(text: str, where: str) -> Iterator[str]:
    """Yields dotted names, below the package, that a module's text imports at any depth; "" for the package itself."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where} has a relative import"
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)] if base != "qi_datasets" else []
            names += [f"qi_datasets.{alias.name}" for alias in node.names] if base == "qi_datasets" else []
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            assert package not in ("builders", "cards"), f"{where} imports the bare name {package}, a second copy"
            if package == "qi_datasets":
                yield rest


def climbs(name: str, text: str) -> list[str]:
    """Returns what a module of that name and text imports from sub-packages above its own."""
    rank = RANKS[subpackage_of(name)]
    return [imported for imported in imports(text, name) if RANKS.get(subpackage_of(imported), len(SUBPACKAGES)) > rank]


def test_the_subpackages_are_those_that_there_are() -> None:
    assert {subpackage_of(name) for name in modules()} == set(SUBPACKAGES)
    assert len(RANKS) == len(SUBPACKAGES)


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_module_imports_from_a_higher_subpackage(name: str) -> None:
    assert not climbs(name, modules()[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize(("low", "high"), list(pairwise(SUBPACKAGES)))
def test_an_import_of_the_next_subpackage_up_is_found(low: str, high: str) -> None:
    for line in (f"import qi_datasets.{high}", f"from qi_datasets.{high} import x", f"from qi_datasets import {high}"):
        assert climbs(low, f"def f():\n    {line}"), line
        assert not climbs(high, line.replace(high, low)), line


def test_every_folder_is_packaged() -> None:
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    folders = {".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in PACKAGE.rglob("__init__.py")}

    packaged = set(project["tool"]["setuptools"]["packages"])
    assert packaged == folders | {f"qi_datasets.{folder.name}" for folder in MAPPED}


def test_no_two_modules_import_each_other() -> None:
    below = {
        name: {imported for imported in imports(path.read_text(encoding="utf-8"), name) if imported in modules()}
        for name, path in modules().items()
    }

    def cycle_through(trail: tuple[str, ...]) -> tuple[str, ...] | None:
        for name in below[trail[-1]] - {trail[-1]}:
            if name in trail:
                return (*trail, name)
            if name not in clear and (found := cycle_through((*trail, name))):
                return found
        clear.add(trail[-1])
        return None

    clear: set[str] = set()
    for name in below:
        cycle = cycle_through((name,))
        assert cycle is None, " -> ".join(cycle)
