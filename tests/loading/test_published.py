"""Sets from the Hub: the rows of the original, in all ways of loading; and sets that can't be loaded."""

import json
import shutil
from pathlib import Path

import pytest

from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.manifest_file import text_of
from tests.publishing.client import Client, Ended
from tests.publishing.fixtures import LOAD, TAG
from tests.publishing.hub import Hub

DIGESTS = """
import hashlib, sys
import numpy as np
from qi_datasets.pixels.digests import row_digest, split_digest
from qi_datasets.pixels.geometry import nonzero_box, whole

def digest(rows):
    found = []
    for row in rows:
        image = whole(np.asarray(row["image"]))
        found.append(row_digest(image, row["label"], row["source"], nonzero_box(image.content)))
    return split_digest(found)

def show(loaded):
    print({split: digest(rows) for split, rows in loaded.items()})
"""


def digests(sets: Path, config: str) -> dict[str, str]:
    splits = Manifest.read(sets / "qi").configs[config].splits
    return {split: record.digest for split, record in splits.items()}


def shown(result: Ended) -> object:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.strip().splitlines()[-1].replace("'", '"'))


@pytest.mark.parametrize(
    "call",
    [
        'load_dataset("qi", border=64, repo_id="lab/demo", revision="1.0.0")',
        'load_dataset("qi", "border_64", repo_id="lab/demo")',
        'load_dataset("qi", border=64, repo_id="lab/demo", revision="1.0.0", streaming=True)',
        'datasets.load_dataset("lab/demo", "border_64")',
    ],
)
def test_every_way_gives_the_original(published: Hub, fresh: Client, demo_sets: Path, call: str) -> None:
    result = fresh.python(f"{LOAD}{DIGESTS}\nshow({call})")
    assert shown(result) == digests(demo_sets, "border_64")
    assert published.requests("PUT", "POST", "DELETE") == [] or call.startswith("datasets")


def test_all_seven_borders_take_ten_requests(published: Hub, client: Client) -> None:
    """Each in a process of its own, so that nothing is remembered but on disk."""
    shutil.rmtree(client.folder / "hf", ignore_errors=True)
    for border in (0, 16, 32, 64, 128, 256, 512):
        result = client.python(
            f"{LOAD}rows = load_dataset('qi', border={border}, repo_id='lab/demo', split='all')\n"
            "print(rows[0]['image'].size, len(rows))"
        )
        assert result.stdout.split("\n")[0] == f"({120 + 2 * border}, {120 + 2 * border}) 18", result.output
    asked = [request for request in published.log if request.origin == "localhost"]
    assert len(asked) <= 10, [f"{request.method} {request.route}" for request in asked]
    assert len([request for request in published.log if request.route == "download"]) == 3


def test_a_split_fetches_its_own_files_alone(published: Hub, fresh: Client) -> None:
    result = fresh.python(LOAD + "print(len(load_dataset('qi', repo_id='lab/demo', split='test[:2]+train[:1]')))")
    assert result.stdout.split()[-1] == "3", result.output
    fetched = [request.path.rpartition("/")[2] for request in published.log if request.route == "head"]
    assert sorted(fetched) == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]


def test_a_stream_fetches_a_file_when_its_rows_are_due(
    hub: Hub, fresh: Client, demo_sets: Path, tmp_path: Path
) -> None:
    two_files(demo_sets / "qi", tmp_path / "qi")
    hub.make("lab/demo").hold(tmp_path / "qi")
    result = fresh.python(
        LOAD
        + """
rows = load_dataset("qi", repo_id="lab/demo", split="test", streaming=True)
first = next(iter(rows))
print(rows.num_shards, first["image"].size, first["x"])
"""
    )
    assert result.stdout.strip() == "2 (120, 120) 0", result.output
    assert len([request for request in hub.log if request.route == "download"]) == 1
    hub.log.clear()
    result = fresh.python(
        LOAD + "print(len(list(load_dataset('qi', repo_id='lab/demo', split='test', streaming=True))))"
    )
    assert result.stdout.strip() == "6"
    assert len([request for request in hub.log if request.route == "download"]) == 1, "the other one"


def two_files(folder: Path, target: Path) -> None:
    """Returns the set with the test split of border 0 in two files."""
    import pyarrow.parquet as pq

    from qi_datasets.storage.parquet import file_record

    shutil.copytree(folder, target)
    whole = target / "border_0" / "test-00000-of-00001.parquet"
    table = pq.read_table(whole)
    whole.unlink()
    manifest = json.loads((target / "manifest.json").read_text())
    del manifest["files"]["border_0/test-00000-of-00001.parquet"]
    names = [f"border_0/test-0000{number}-of-00002.parquet" for number in range(2)]
    for number, name in enumerate(names):
        pq.write_table(table.slice(3 * number, 3), target / name)
        manifest["files"][name] = vars(file_record(target / name))
    manifest["configs"]["border_0"]["splits"]["test"]["files"] = names
    (target / "manifest.json").write_text(text_of(manifest))


def test_the_words_of_the_readme_work_where_nothing_is_built(published: Hub, fresh: Client, demo_sets: Path) -> None:
    code = f'{LOAD}{DIGESTS}\nshow(load_dataset("qi", border=64))'
    without = fresh.python(code)
    assert without.exit_code == 1
    assert "qi is not built in" in without.stderr
    assert "set $QI_DATASETS_REPO" in without.stderr
    assert shown(fresh.python(code, QI_DATASETS_REPO="lab/demo")) == digests(demo_sets, "border_64")


def test_one_variable_serves_several_sets(hub: Hub, fresh: Client, demo_sets: Path) -> None:
    hub.make("lab/all-qi").hold(demo_sets / "qi", TAG)
    result = fresh.python(
        LOAD + "print(len(load_dataset('qi', split='train')), len(load_dataset('rook', split='train')))",
        QI_DATASETS_REPO="lab/all",
    )
    assert result.stdout.split()[-2:] == ["6", "2"], result.output
    assert not any("rook" in request.path for request in hub.log)


def test_what_is_built_here_comes_before_the_variable(published: Hub, fresh: Client, demo_sets: Path) -> None:
    shutil.copytree(demo_sets / "qi", fresh.folder / "home" / "qi")
    result = fresh.python(LOAD + "print(len(load_dataset('qi', split='train')))", QI_DATASETS_REPO="lab/demo")
    assert result.stdout.split()[-1] == "6"
    assert published.log == []


def test_offline_what_was_loaded_once_loads_again(published: Hub, fresh: Client, demo_sets: Path) -> None:
    call = 'load_dataset("qi", border=64, repo_id="lab/demo", revision="1.0.0"%s)'
    assert fresh.python(f"{LOAD}{call % ''}").exit_code == 0
    away = Client(fresh.folder, HF_ENDPOINT=published.endpoint, HF_TOKEN="", HF_HUB_OFFLINE="1")
    published.log.clear()
    for way in ("", ", streaming=True"):
        assert shown(away.python(f"{LOAD}{DIGESTS}\nshow({call % way})")) == digests(demo_sets, "border_64")
    unknown = away.python(f'{LOAD}load_dataset("qi", repo_id="lab/demo", revision="main")')
    away.close()
    assert "hf://datasets/lab/demo@main was never loaded on this machine, and HF_HUB_OFFLINE is set" in unknown.stderr
    assert published.log == []


# What can't be loaded.


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('"qi", repo_id="lab/none"', "the Hub has no data set lab/none, or not for you"),
        ('"qi", repo_id="lab/demo", revision="2.0.0"', "lab/demo has no revision '2.0.0'"),
        ('"qi", repo_id="lab/empty"', "lab/empty@main holds no set of this package"),
        ('"shifted", repo_id="lab/demo"', "holds qi of 120 pixels, not shifted of 288"),
        ('"qi", canvas=112, repo_id="lab/demo"', "holds qi of 120 pixels, not qi of 112"),
        (
            '"qi", repo_id="lab/recipe"',
            "is a recipe and holds no images: make the set from yours with `qi-build",
        ),
        ('"qi", repo_id="nonsense"', "'nonsense' is no name of a repository on the Hub"),
        ('"qi", repo_id="lab/demo", output="x"', "output and repo_id exclude each other"),
        ('"qi", revision="1.0.0"', "revision='1.0.0' has no effect without repo_id"),
        ('"qi", repo_id="lab/demo", split="tset"', "did you mean 'test'?"),
        ('"qi", repo_id="lab/demo", split="test[:1]", streaming=True', "can't be streamed"),
        (
            '"qi", repo_id="lab/demo", split="test", streaming=True, num_proc=2',
            "num_proc=2 has no effect",
        ),
    ],
)
def test_a_refusal_says_what_to_do(published: Hub, client: Client, demo_sets: Path, call: str, words: str) -> None:
    published.make("lab/empty")
    manifest = json.loads((demo_sets / "qi" / "manifest.json").read_text())
    for config in manifest["configs"].values():
        for split in config["splits"].values():
            split["files"] = []
    recipe = published.make("lab/recipe")
    head = recipe.at("main")
    file = type(head.files[".gitattributes"])(text_of(manifest).encode(), lfs=False)
    recipe.branches["main"] = recipe.add_commit(head.oid, "recipe", head.files | {"manifest.json": file}).oid

    result = client.python(f"{LOAD}load_dataset({call})")

    assert result.exit_code == 1
    assert words in result.stderr.strip().splitlines()[-1]


def test_stock_datasets_refuses_a_stale_shard(hub: Hub, fresh: Client, demo_copy: Path) -> None:
    shutil.copy(
        demo_copy / "qi" / "border_16" / "test-00000-of-00001.parquet",
        demo_copy / "qi" / "border_16" / "test-00000-of-00002.parquet",
    )
    hub.make("lab/demo").hold(demo_copy / "qi")
    result = fresh.python(LOAD + 'datasets.load_dataset("lab/demo", "border_16")')
    assert "NonMatchingSplitsSizesError" in result.stderr
