"""Sets on the Hub are verified there."""

import shutil
from pathlib import Path

from tests.publishing.client import Client
from tests.publishing.fixtures import TAG
from tests.publishing.hub import Hub


def test_what_is_published_can_be_verified_there(published: Hub, fresh: Client, demo_sets: Path) -> None:
    result = fresh.command("qi-verify", "hf://datasets/lab/demo@1.0.0", "--only", "integrity")
    assert result.exit_code == 0, result.output
    assert "qi" in result.stdout
    files = len(published.repositories["lab/demo"].tree())
    assert len([request for request in published.log if request.origin == "localhost"]) <= 2 * files + 4
    left = [path for path in (fresh.folder / "hf" / "assets").rglob("*") if path.is_file()]
    assert {path.name for path in left} == {"manifest.json", TAG}


def test_damage_on_the_hub_fails_verification(hub: Hub, fresh: Client, demo_copy: Path) -> None:
    stale = demo_copy / "qi" / "border_16" / "test-00000-of-00002.parquet"
    shutil.copy(demo_copy / "qi" / "border_16" / "test-00000-of-00001.parquet", stale)
    hub.make("lab/demo").hold(demo_copy / "qi")
    result = fresh.command("qi-verify", "hf://datasets/lab/demo", "--only", "integrity")
    assert result.exit_code == 1
    assert "test-00000-of-00002.parquet" in result.output
