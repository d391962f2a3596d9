"""Modules import downwards only."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import qi_datasets
from qi_datasets import builders

PACKAGE = Path(qi_datasets.__file__).parent
BUILDERS = Path(builders.__file__).parent

LAYERS = (
    ("errors",),
    ("imagenet", "statistics", "places"),
    ("specs",),
    ("geometry", "digests", "png", "preview"),
    ("sources",),
    ("selection",),
    ("builder", "builders"),
    ("registry", "schema", "encoding", "parallel", "parquet", "manifest", "card", "computed", "staging"),
    ("building",),
    ("loading", "views"),
    ("verification", "networks", "metrics", "batches", "torch"),
    ("commands",),
)
"""From the lowest to the highest; a name stands for a module, or for a folder with all that is in it."""

RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Dotted name below the package -> file, but for the package's own `__init__`, which offers what lies above."""
    found = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for root in (PACKAGE,)
        for path in root.rglob("*.py")
        if path.parent != PACKAGE or path.stem != "__init__"
    }
    found |= {f"builders.{path.stem}": path for path in BUILDERS.glob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def imports(path: Path) -> Iterator[str]:
    """Dotted names, below the package, of what a module imports at any depth; "" for the package itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [node.module or ""]
            if node.module == "qi_datasets":
                names = [f"qi_datasets.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            assert package != "builders", f"{path} imports the bare name builders, a second copy"
            if package == "qi_datasets":
                yield rest


def test_every_module_has_a_layer() -> None:
    unplaced = {name.partition(".")[0] for name in modules()} - RANKS.keys()

    assert not unplaced


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_module_imports_a_higher_one(name: str) -> None:
    rank = RANKS.get(name.partition(".")[0], len(LAYERS))

    for imported in imports(modules()[name]):
        layer = imported.partition(".")[0]
        assert RANKS.get(layer, len(LAYERS)) <= rank, f"{name} imports {imported}"


def test_no_two_modules_import_each_other() -> None:
    below = {
        name: {imported for imported in imports(path) if imported in modules()} for name, path in modules().items()
    }

    def cycle_through(trail: tuple[str, ...]) -> tuple[str, ...] | None:
        for name in below[trail[-1]]:
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


def test_the_table_of_layers_is_in_order() -> None:
    assert all(low and high for low, high in pairwise(LAYERS))
    assert len(RANKS) == sum(map(len, LAYERS))
