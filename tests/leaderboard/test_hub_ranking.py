"""The Hub's ranking beside ours: in one order, and the fault of a claim is named."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from qi_datasets.storage.manifest_file import SEAL, text_of
from tests.publishing.client import Client, Ended
from tests.publishing.hub import WRITER, Hub
from tests.publishing.repositories import Repository
from tests.publishing.test_entry import made_on

NETWORKS = {"far": (0, 16, 32, 64, 128), "middle": (0, 16, 32), "blind": ()}
"""Model -> the borders at which it reads, from the one that reads farthest."""


@pytest.fixture(scope="module")
def published_world(
    server: Hub, client: Client, demo_sets: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Repository]:
    """Returns a benchmark, three models with results, and their entries in one repository; to be copied."""
    server.clear()
    assert client.command("qi-publish", demo_sets, "--set", "qi", "--repo-id", "lab/qi", "--yes").exit_code == 0
    server.make("lab/results")
    for number, (name, read) in enumerate(NETWORKS.items()):
        server.make(f"models/lab/{name}")
        folder = made_on(demo_sets, tmp_path_factory.mktemp("entries") / f"{name}-1", number, read=read)
        ended = submit(client, folder, f"lab/{name}", "--direct")
        assert ended.exit_code == 0, ended.output
    return dict(server.repositories)


@pytest.fixture
def world(published_world: dict[str, Repository], hub: Hub) -> Hub:
    """Returns a copy of that Hub."""
    hub.repositories |= copy.deepcopy(published_world)
    return hub


def submit(client: Client, folder: Path, model_id: str, *options: str) -> Ended:
    where = ("--model-id", model_id, "--dataset-id", "lab/qi", "--results", "lab/results", "--yes")
    return client.command("qi-publish", "--entry", folder, *where, *options, HF_TOKEN=WRITER)


@pytest.fixture
def compare(client: Client) -> Callable[..., Ended]:
    def run(*options: object) -> Ended:
        return client.command("qi-leaderboard", "hf://datasets/lab/results", "--hub", "lab/qi", *options)

    return run


def rows(ended: Ended) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in ended.stdout.splitlines()[2:]]


def change(repository: Repository, file: str, **changed: object) -> None:
    """Changes the first result in a file of results on main."""
    head = repository.at("main")
    results = yaml.safe_load(head.files[file].data)
    for name, value in changed.items():
        (results[0]["dataset"] if name in ("task_id", "revision") else results[0])[name] = value
    put(repository, file, results)


def put(repository: Repository, file: str, results: list[object]) -> None:
    head = repository.at("main")
    made = type(head.files[".gitattributes"])(yaml.safe_dump(results).encode(), lfs=False)
    repository.branches["main"] = repository.add_commit(head.oid, "changed", head.files | {file: made}).oid


def test_both_rankings_have_one_order(world: Hub, compare: Callable[..., Ended]) -> None:
    ended = compare()
    assert ended.exit_code == 0, ended.output
    found = rows(ended)
    assert [row[2] for row in found] == ["lab/blind", "lab/middle", "lab/far"]
    assert [row[0] for row in found] == ["1", "2", "3"]
    assert [row[1] for row in found] == ["1", "2", "3"]
    assert [row[4:6] for row in found] == [[row[4], row[4]] for row in found]
    assert {row[6] for row in found} == {"agrees"}


def without_entry(hub: Hub, name: str) -> None:
    repository = hub.repositories["lab/results"]
    head = repository.at("main")
    left = {path: file for path, file in head.files.items() if not path.startswith(f"{name}/")}
    repository.branches["main"] = repository.add_commit(head.oid, "less", left).oid


def other_data(hub: Hub) -> None:
    """The benchmark had other pictures once, and the result is said to be of these."""
    benchmark = hub.repositories["lab/qi"]
    head = benchmark.at("main")
    file = head.files["manifest.json"]
    manifest = json.loads(file.data)
    manifest["configs"]["border_0"]["splits"]["test"]["digest"] = "f" * 64
    other = type(file)(text_of({name: value for name, value in manifest.items() if name != SEAL}).encode(), lfs=False)
    old = benchmark.add_commit(head.parent, "old", head.files | {"manifest.json": other})
    change(hub.repositories["models/lab/far"], FILE, revision=old.oid)


FILE = ".eval_results/qi.yaml"
FAULTS: dict[str, tuple[Callable[[Hub], object], str, int]] = {
    "an altered value": (lambda hub: change(hub.repositories["models/lab/far"], FILE, value=99.5), "differs", 1),
    "no number": (lambda hub: change(hub.repositories["models/lab/far"], FILE, value=True), "differs", 1),
    "an unknown task": (
        lambda hub: change(hub.repositories["models/lab/far"], FILE, task_id="qi_best"),
        "unknown task",
        1,
    ),
    "an unknown revision": (
        lambda hub: change(hub.repositories["models/lab/far"], FILE, revision="0" * 40),
        "unknown revision",
        1,
    ),
    "a result without entry": (lambda hub: without_entry(hub, "far-1"), "no predictions", 0),
    "an entry without result": (lambda hub: hub.make("models/lab/far"), "not on the Hub", 0),
    "another revision": (other_data, "other data", 1),
}


@pytest.mark.parametrize(("spoil", "words", "status"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_said_by_name(
    world: Hub, compare: Callable[..., Ended], spoil: Callable[[Hub], object], words: str, status: int
) -> None:
    spoil(world)
    ended = compare()
    assert ended.exit_code == status, ended.output
    judged = {row[2]: row[6] for row in rows(ended) if row[6] != "agrees"}
    name = "network_0" if words == "not on the Hub" else "lab/far"
    assert judged.get(name) == words
    assert set(judged) <= {name, "network_0"}, "the others agree"


def test_open_pull_requests_are_marked(
    world: Hub, client: Client, compare: Callable[..., Ended], demo_sets: Path, tmp_path: Path
) -> None:
    world.make("models/lab/new")
    submit(client, made_on(demo_sets, tmp_path / "new-1", 7, read=(0,)), "lab/new")

    assert "lab/new" not in compare().stdout
    ended = compare("--pull-requests")
    assert ended.exit_code == 0, ended.output
    (row,) = [row for row in rows(ended) if row[2].startswith("lab/new")]
    assert row[2] == "lab/new (pull request 1) (entry of pull request 1)"
    assert row[6] == "agrees"


def test_files_of_others_that_are_no_results_are_passed_over(world: Hub, compare: Callable[..., Ended]) -> None:
    put(world.repositories["models/lab/middle"], FILE, ["no result"])
    world.repositories["models/lab/blind"].branches["main"] = next(iter(world.repositories["models/lab/blind"].commits))
    found = compare()
    assert found.exit_code in (0, 2)
    assert "Traceback" not in found.output


def test_a_data_set_that_is_no_benchmark(world: Hub, client: Client) -> None:
    ended = client.command("qi-leaderboard", "hf://datasets/lab/results", "--hub", "lab/results")
    assert ended.exit_code == 2
    assert ended.stderr.count("\n") == 1
