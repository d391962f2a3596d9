"""The examples in docstrings run, and have the results that they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import qi_datasets

PACKAGE = Path(qi_datasets.__file__).parent
MODULES = [
    ".".join(("qi_datasets", *file.relative_to(PACKAGE).with_suffix("").parts))
    for file in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in file.read_text(encoding="utf-8")
]


def test_examples_are_found() -> None:
    assert {"qi_datasets.loading.load", "qi_datasets.networks.convert"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QI_DATASETS_HOME", f"{tmp_path}")
    monkeypatch.chdir(tmp_path)

    found = doctest.testmod(importlib.import_module(name))

    assert found.attempted > 0
    assert found.failed == 0
