"""`eval.yaml`: a published set is a benchmark, whose tasks are those that entries have values for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.hub_results import RANKED, ranked_values, results_of, results_text
from qi_datasets.evaluation.initialisations import INITS
from qi_datasets.scores.location import location_invariance
from tests.evaluation import entries
from tests.leaderboard.made import network, shifted
from tests.publishing.client import Client, Ended
from tests.publishing.hub import Hub

Publish = Callable[..., Ended]


def benchmark(hub: Hub, repo_id: str) -> dict[str, object]:
    content = yaml.safe_load(hub.repositories[repo_id].at("main").files["eval.yaml"].data)
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("options", [(), ("--recipe-only",)], ids=["with its pixels", "recipe"])
def test_a_published_set_is_a_benchmark(hub: Hub, publish: Publish, demo_sets: Path, options: tuple[str, ...]) -> None:
    assert publish(demo_sets, "qi", "lab/qi", *options).exit_code == 0

    content = benchmark(hub, "lab/qi")
    assert content["name"] == "Quadrant ImageNet (demo pictures)"
    assert content["evaluation_framework"] == "qi-datasets"
    assert content["tasks"] == [{"id": f"qi_{init}", "config": "border_0", "split": "test"} for init in INITS]
    again = publish(demo_sets, "qi", "lab/qi", *options)
    assert "nothing to do" in again.stdout


def test_toy_sets_are_none(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    publish(demo_sets, "rook", "lab/rook")
    assert "eval.yaml" not in hub.repositories["lab/rook"].at("main").files


def test_a_published_benchmark_verifies(hub: Hub, publish: Publish, client: Client, demo_sets: Path) -> None:
    publish(demo_sets, "qi", "lab/qi")
    found = client.command("qi-verify", "hf://datasets/lab/qi", "--verbose")
    assert "eval.yaml" not in found.output


def test_a_hub_that_does_not_take_the_framework_gets_the_set(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    hub.frameworks.remove("qi-datasets")
    first = publish(demo_sets, "qi", "lab/qi")

    assert first.exit_code == 0, first.output
    assert "note: the Hub does not take eval.yaml yet (Invalid input at evaluation_framework)" in first.stdout
    repository = hub.repositories["lab/qi"]
    assert "eval.yaml" not in repository.at("main").files
    assert (len(repository.history()), repository.branches.keys()) == (2, {"main"})
    head = repository.branches["main"]

    assert publish(demo_sets, "qi", "lab/qi").exit_code == 0
    assert repository.branches == {"main": head}

    hub.frameworks.add("qi-datasets")
    assert publish(demo_sets, "qi", "lab/qi").exit_code == 0
    assert benchmark(hub, "lab/qi")["evaluation_framework"] == "qi-datasets"


@pytest.mark.parametrize("made", [network(1), network(2, init="pretrained"), shifted(1, init="given")], ids=str)
def test_results_are_of_the_tasks_that_the_benchmark_defines(made: Entry) -> None:
    results = results_of(made, "lab/qi", revision="a" * 40)
    assert {result.task_id for result in results} <= {ranked.id for ranked in RANKED[made.task]}
    assert all(0 <= result.value <= 100 for result in results)
    assert parse_eval_result_entries(yaml.safe_load(results_text(results))) == results


def test_more_is_better() -> None:
    far, near, blind = (network(n, read=read) for n, read in enumerate([(0, 16, 32, 64, 128), (0,), ()]))
    values = [ranked_values(one.content)["qi_random"][0] for one in (far, near, blind)]

    assert values == sorted(values)
    assert values[-1] == 100
    score = far.figures["random"]["location_score"]["value"]
    assert values[0] == pytest.approx(100 * (1 - score))
    assert location_invariance(-0.01) == 100


def test_the_notes_say_how_it_was_measured() -> None:
    (result,) = results_of(entries.entry(), "lab/qi")
    assert str(result.notes).endswith("(made_up, own padding, max pooling, zero background)")
    assert "reach at 75 % 32, reach 32" in str(result.notes)
    assert ranked_values(shifted(1).content) == {}, "an untrained classifier is not ranked"
