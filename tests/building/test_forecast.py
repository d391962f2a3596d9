"""Forecasts of a build come true, roughly, and a build that can't fit is not begun."""

import shutil
from pathlib import Path

import pytest

from qi_datasets import build_dataset
from qi_datasets.building import forecast as module
from qi_datasets.building.dataset import BuildRequest
from qi_datasets.building.forecast import forecast
from qi_datasets.errors import OutputError
from tests.refusals import refused


@pytest.mark.parametrize(("name", "sizes"), [("qi", {"per_split": 12}), ("shifted", {"shifted_images": 12})])
def test_the_foretold_size_is_about_right(name: str, sizes: dict[str, int], tmp_path: Path) -> None:
    request = BuildRequest(sets=(name,), demo=True, **sizes)
    (plan,), _ = request.plans(request.source())

    built = build_dataset(name, demo=True, output=tmp_path, **sizes).sets[name].manifest
    size = sum(record.bytes for file, record in built.files.items() if file.endswith(".parquet"))

    assert 0.6 * size < forecast(plan).bytes < 1.7 * size


def test_what_cannot_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with refused(OutputError, "disk-full", match=r"qi takes about 0 MB, and .* has 0 MB free; make room"):
        build_dataset("qi", demo=True, per_split=1, borders=[0], output=tmp_path / "out")

    assert not list((tmp_path / "out").glob("qi"))


def test_a_dry_run_writes_nothing_and_says_what_would_be(qi_build, tmp_path: Path) -> None:
    result = qi_build("--demo", "--dry-run", "--output", tmp_path / "out", "--per-split", 2, "--set", "qi")

    assert result.exit_code == 0, result.output
    assert "nothing was written" in result.stdout
    assert "0, 16, 32, 64, 128, 256, 512" in result.stdout
    assert not (tmp_path / "out").exists()
