"""The Hub's sets move, break or are closed: another version, or the cache alone, is never loaded."""

from pathlib import Path

import pytest

from qi_datasets.storage.manifest import Manifest
from tests.publishing.client import Client
from tests.publishing.fixtures import LOAD
from tests.publishing.hub import READER, Fault, Hub


@pytest.mark.faults
def test_with_a_warm_cache_and_a_broken_hub_it_is_an_error(published: Hub, fresh: Client, demo_sets: Path) -> None:
    repository = published.repositories["lab/demo"]
    repository.tags["old"] = repository.branches["main"]
    assert fresh.python(LOAD + 'load_dataset("qi", repo_id="lab/demo", revision="old")').exit_code == 0
    published.faults = [
        Fault(route, status=500, headers={"Retry-After": "0"}, times=99)
        for route in ("file", "head", "info", "info_at")
    ]
    for revision in ("old", "1.0.0", "main"):
        result = fresh.python(LOAD + f'print(load_dataset("qi", repo_id="lab/demo", revision="{revision}"))')
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.strip().splitlines()[-1].endswith("answers 500 again and again; try again later")


def test_a_moved_revision_gives_its_new_rows(published: Hub, fresh: Client, demo_sets: Path, tmp_path: Path) -> None:
    code = LOAD + 'print(load_dataset("qi", repo_id="lab/demo", split="train")[0]["source"])'
    first = fresh.python(code).stdout.split()[-1]
    from qi_datasets.building.build import build_set
    from qi_datasets.building.engine import Engine
    from qi_datasets.building.plan import plan_set
    from qi_datasets.sources.demo import DemoSource
    from qi_datasets.specs import QI

    source = DemoSource("demo", {f"demo_{number:05d}": number for number in range(20, 29)})
    splits = {"qi": dict.fromkeys(QI.splits, 3)}
    build_set(plan_set(QI, source, splits=splits, official=False, borders=[]), tmp_path, engine=Engine(1))
    published.repositories["lab/demo"].hold(tmp_path / "qi")

    second = fresh.python(code).stdout.split()[-1]
    tagged = fresh.python(code.replace('demo",', 'demo", revision="1.0.0",')).stdout.split()[-1]

    assert first == tagged != second
    assert second == next(iter(Manifest.read(tmp_path / "qi").sources["train"])).name


def test_who_lost_access_gets_nothing_from_the_cache(published: Hub, fresh: Client) -> None:
    repository = published.repositories["lab/demo"]
    code = LOAD + 'print(load_dataset("qi", repo_id="lab/demo"))'
    assert fresh.python(code, HF_TOKEN=READER).exit_code == 0
    repository.gated = "manual"
    gated = fresh.python(code, HF_TOKEN=READER)
    repository.private = True
    private = fresh.python(code, HF_TOKEN=READER)
    assert f"lab/demo is gated: visit {published.endpoint}/datasets/lab/demo" in gated.stderr
    assert "the Hub has no data set lab/demo, or not for you" in private.stderr
    assert (gated.stdout, private.stdout) == ("", "")
    repository.granted.add("bob")
    assert fresh.python(code, HF_TOKEN=READER).exit_code == 0


@pytest.mark.faults
@pytest.mark.parametrize("way", ["", ", streaming=True"])
def test_a_flipped_byte_is_named(published: Hub, fresh: Client, way: str) -> None:
    file = published.repositories["lab/demo"].file("main", "border_0/test-00000-of-00001.parquet")
    published.damaged.add(file.sha256)
    code = LOAD + f'print(len(list(load_dataset("qi", repo_id="lab/demo", split="test"{way}))))'
    result = fresh.python(code)
    assert result.exit_code == 1
    assert "border_0/test-00000-of-00001.parquet has the SHA-256" in result.stderr
    published.damaged.clear()
    assert fresh.python(code).stdout.split()[-1] == "6", "what is in the cache is no longer damaged"
