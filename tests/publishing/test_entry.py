"""Entries go to the Hub as results of their models, and into a repository of entries: never twice, never half."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from qi_datasets.evaluation.entry import ENTRY, Entry
from qi_datasets.evaluation.grid import ANSWERS, SETTINGS
from qi_datasets.evaluation.hub_results import ranked_values
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.storage.manifest import Manifest
from tests.evaluation import entries
from tests.leaderboard.made import network, on_grid
from tests.publishing.client import Client, Ended
from tests.publishing.hub import READER, WRITER, Fault, Hub
from tests.publishing.repositories import Repository

Send = Callable[..., Ended]

ROUTES = ("whoami", "refs", "tree", "discussions", "validate", "preupload", "batch", "upload", "verify", "commit")
SENDING = {"validate", "preupload", "batch", "upload", "verify", "commit"}


@pytest.fixture(scope="module")
def benchmark(server: Hub, demo_sets: Path, client: Client) -> Repository:
    """Returns a published set; to be copied."""
    server.clear()
    ended = client.command("qi-publish", demo_sets, "--set", "qi", "--repo-id", "lab/qi", "--yes")
    assert ended.exit_code == 0, ended.output
    return server.repositories["lab/qi"]


@pytest.fixture
def world(benchmark: Repository, hub: Hub) -> Hub:
    """Returns the Hub with a benchmark, a model of another user, and a repository of entries."""
    hub.repositories["lab/qi"] = copy.deepcopy(benchmark)
    hub.make("models/lab/net")
    hub.make("lab/results")
    hub.log.clear()
    return hub


@pytest.fixture
def entry(demo_sets: Path, tmp_path: Path) -> Path:
    """Returns the folder of an entry on the benchmark."""
    return made_on(demo_sets, tmp_path / "net-1", 1)


def made_on(demo_sets: Path, folder: Path, number: int, **options: object) -> Path:
    splits = Manifest.read(demo_sets / "qi").default_config.splits
    data = {"digests": {split: record.digest for split, record in splits.items()}}
    network(number, data=data, **options).write(folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def send(client: Client, entry: Path) -> Send:
    def run(*options: object, folder: Path = entry, token: str = READER) -> Ended:
        where = ("--model-id", "lab/net", "--dataset-id", "lab/qi", "--results", "lab/results", "--yes")
        return client.command("qi-publish", "--entry", folder, *where, *options, HF_TOKEN=token)

    return run


def model_of(hub: Hub) -> Repository:
    return hub.repositories["models/lab/net"]


def results_at(repository: Repository, revision: str = "main", name: str = "qi") -> list[dict[str, object]]:
    found = yaml.safe_load(repository.file(revision, f".eval_results/{name}.yaml").data)
    assert isinstance(found, list)
    return found


def test_an_entry_goes_as_pull_requests(world: Hub, send: Send, entry: Path) -> None:
    ended = send()
    assert ended.exit_code == 0, ended.output
    assert f"Entry net-1: {world.endpoint}/datasets/lab/results/discussions/1\n" in ended.stdout
    assert ended.stdout.endswith(f"Results on lab/qi: {world.endpoint}/lab/net/discussions/1\n")

    model, results = model_of(world), world.repositories["lab/results"]
    assert [len(one.history()) for one in (model, results)] == [1, 1], "main is as it was"
    (result,) = parse_eval_result_entries(results_at(model, "refs/pr/1"))
    benchmark = world.repositories["lab/qi"]
    tasks = yaml.safe_load(benchmark.file("main", "eval.yaml").data)["tasks"]
    assert result.task_id in [task["id"] for task in tasks]
    assert (result.dataset_id, result.dataset_revision) == ("lab/qi", benchmark.branches["main"])
    assert result.value == ranked_values(Entry.read(entry).content)[result.task_id][0]
    assert result.source_url == f"{world.endpoint}/datasets/lab/results/tree/main/net-1"
    assert (result.source_user, result.date) == ("bob", "2025-01-31")

    results.merge(1)
    assert results.tree().keys() == {f"net-1/{ENTRY}", f"net-1/{PREDICTIONS}"}
    assert b'"model_id": "lab/net"' in results.file("main", f"net-1/{ENTRY}").data


def test_a_grid_beside_the_entry_goes_with_it(world: Hub, send: Send, entry: Path) -> None:
    on_grid(Entry.read(entry)).write(entry)
    ended = send("--direct", token=WRITER)
    assert ended.exit_code == 0, ended.output
    files = {f"net-1/{name}" for name in (ENTRY, PREDICTIONS, SETTINGS, ANSWERS)}
    assert world.repositories["lab/results"].tree().keys() == files


def test_the_same_again_sends_nothing(world: Hub, send: Send) -> None:
    send()
    world.log.clear()
    again = send()
    assert again.exit_code == 0
    assert again.stdout.count("nothing to do, it is proposed already") == 2
    model_of(world).merge(1)
    world.repositories["lab/results"].merge(1)
    merged = send()
    assert merged.stdout.count("nothing to do, it is there already") == 2
    assert {request.route for request in world.log} & SENDING == set()


def test_directly_to_main(world: Hub, send: Send) -> None:
    refused = send("--direct")
    assert refused.exit_code == 2
    assert "error: you may not do this to lab/results" in refused.stderr
    ended = send("--direct", token=WRITER)
    assert ended.exit_code == 0, ended.output
    assert [len(one.history()) for one in (model_of(world), world.repositories["lab/results"])] == [2, 2]
    assert "nothing to do" in send("--direct", token=WRITER).stdout


def test_a_dry_run_says_what_would_be_sent(world: Hub, send: Send) -> None:
    ended = send("--dry-run")
    assert ended.exit_code == 0, ended.output
    assert f"{world.endpoint}/lab/net: pull request: Results on lab/qi\n" in ended.stdout
    assert ".eval_results/qi.yaml" in ended.stdout
    assert ended.stdout.endswith("nothing was written (--dry-run)\n")
    assert not [request for request in world.log if request.method in ("PUT", "DELETE") or request.route in SENDING]


def test_other_results_of_a_model_stay(world: Hub, send: Send, entry: Path, demo_sets: Path) -> None:
    theirs = {"dataset": {"id": "org/other", "task_id": "other"}, "value": 1}
    folder = entry.parent / "held" / ".eval_results"
    folder.mkdir(parents=True)
    (folder / "qi.yaml").write_text(yaml.safe_dump([theirs]))
    model_of(world).hold(folder.parent)
    send("--direct", token=WRITER)
    assert results_at(model_of(world))[0] == theirs
    assert len(results_at(model_of(world))) == 2

    exact = made_on(demo_sets, entry.parent / "net-exact", 2, padding="exact")
    send("--direct", folder=exact, token=WRITER)
    assert len(results_at(model_of(world), name="qi-exact")) == 1
    assert len(results_at(model_of(world))) == 2


@pytest.mark.faults
@pytest.mark.parametrize("route", ROUTES)
def test_a_request_that_fails_for_a_while_is_made_again(world: Hub, send: Send, route: str) -> None:
    world.faults = [Fault(route, status=status, headers={"Retry-After": "0"}) for status in (429, 503)]
    ended = send()
    assert ended.exit_code == 0, ended.output
    assert [len(model_of(world).proposals), len(world.repositories["lab/results"].proposals)] == [1, 1]
    assert WRITER not in ended.output
    assert READER not in ended.output


@pytest.mark.faults
@pytest.mark.parametrize("direct", [False, True], ids=["pull request", "direct"])
@pytest.mark.parametrize("skip", [0, 1], ids=["entry", "results"])
def test_a_lost_answer_is_no_lost_request(world: Hub, send: Send, skip: int, direct: bool) -> None:
    world.faults = [Fault("commit", lost=True, skip=skip)]
    ended = send(*["--direct"] * direct, token=WRITER)
    assert ended.exit_code == 0, ended.output
    assert all(fault.times == 0 for fault in world.faults)
    for repository in (model_of(world), world.repositories["lab/results"]):
        assert (len(repository.history()), len(repository.proposals)) == ((2, 0) if direct else (1, 1))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("commit", status=403, skip=1), "you may not do this to lab/net"),
        (Fault("commit", status=412, skip=1), "main has moved in between, and was not changed; run again"),
        (
            Fault("discussions", status=404, headers={"X-Error-Code": "RepoNotFound"}),
            "the Hub has no data set lab/results",
        ),
        (Fault("whoami", status=401), "the Hub does not accept your token"),
        (Fault("commit", status=429, headers={"Retry-After": "0"}, times=99), "takes no more requests for now"),
    ],
    ids=lambda value: f"{value.route}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_refusal_is_one_line_and_running_again_finishes(world: Hub, send: Send, fault: Fault, words: str) -> None:
    world.faults = [Fault(**vars(fault))]
    ended = send()
    assert ended.exit_code == 2, ended.output
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert model_of(world).proposals == []
    world.faults = []
    assert send().exit_code == 0
    assert [len(model_of(world).proposals), len(world.repositories["lab/results"].proposals)] == [1, 1]


def test_main_that_moves_meanwhile_is_left_as_it_is(world: Hub, send: Send) -> None:
    model = model_of(world)

    def somebody_else() -> None:
        head = model.at("main")
        model.branches["main"] = model.add_commit(head.oid, "theirs", head.files).oid

    world.faults = [Fault("commit", before=somebody_else, skip=1)]
    ended = send("--direct", token=WRITER)
    assert ended.exit_code == 2
    assert "lab/net: main has moved in between" in ended.stderr
    assert model.history()[0].title == "theirs"


def altered(folder: Path) -> None:
    entries.rewrite(folder, entries.put("figures.random.reach", 512), seal=True)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "an altered figure": (altered, "figures.random.reach is 512, but the predictions give 32"),
    "a part of the sources": (
        lambda folder: entries.rewrite(folder, entries.put("data.limit", 30), seal=True),
        "the entry is of 30 sources a split",
    ),
    "other pictures": (lambda folder: network(3).write(folder), "measured on other pictures than lab/qi has"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_not_sent(
    world: Hub, send: Send, entry: Path, change: Callable[[Path], object], words: str
) -> None:
    change(entry)
    ended = send()
    assert ended.exit_code == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert {request.route for request in world.log} & SENDING == set()


def test_a_name_that_is_taken_is_said(world: Hub, send: Send, entry: Path, demo_sets: Path) -> None:
    send("--direct", token=WRITER)
    made_on(demo_sets, entry, 2)
    ended = send()
    assert "lab/results has another entry net-1; published entries stay" in ended.stderr


def test_a_data_set_without_tasks_is_no_benchmark(world: Hub, send: Send, demo_sets: Path) -> None:
    world.repositories["lab/qi"].hold(demo_sets / "qi")
    assert "lab/qi is no benchmark: it has no eval.yaml" in send().stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "qi"), "--set has no effect with --entry."),
        (("--repo-id", "lab/qi"), "--repo-id has no effect with --entry."),
        ((), "give model_id or results"),
        (("--model-id", "lab/net"), "give --dataset-id ORG/NAME"),
        (("--model-id", "net"), "ORG/MODEL"),
    ],
)
def test_usage(world: Hub, client: Client, entry: Path, options: tuple[str, ...], words: str) -> None:
    ended = client.command("qi-publish", "--entry", entry, *options, "--yes")
    assert ended.exit_code == 2
    assert words in ended.stderr
