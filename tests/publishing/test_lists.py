"""The lists of `subset` go to the Hub as one public data set: checked, once, and never over other data."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qi_datasets.building.subset import CARD, FACTS, LIST, write_subset
from qi_datasets.imagenet import wnids
from qi_datasets.sources.training import TrainingImages
from tests.conftest import BuildOnce
from tests.publishing.client import Client, Ended
from tests.publishing.hub import Fault, Hub

Send = Callable[..., Ended]


@pytest.fixture(scope="session")
def lists(build_once: BuildOnce) -> Path:
    """Returns a folder of sets with lists of one image a class; read only."""
    images = TrainingImages("made up", "made up", {f"{wnid}_1": "" for wnid in wnids()})
    return build_once("lists", lambda folder: write_subset(images, folder))


@pytest.fixture
def send(hub: Hub, client: Client, lists: Path) -> Send:
    def run(*options: object) -> Ended:
        return client.command("qi-publish", lists, "--set", "subset", "--repo-id", "lab/lists", "--yes", *options)

    return run


@pytest.mark.faults
@pytest.mark.parametrize("route", ["", "create", "commit"])
def test_published_once_though_an_answer_is_lost(hub: Hub, send: Send, client: Client, route: str) -> None:
    hub.faults = [Fault(route, lost=True)] if route else []
    ended = send()
    assert ended.exit_code == 0, ended.output
    repository = hub.repositories["lab/lists"]
    assert repository.tree().keys() == {CARD, FACTS, LIST}
    assert not repository.private
    assert len(repository.history()) == 2

    again = send()
    assert again.exit_code == 0, again.output
    assert "nothing to do, it is there already" in again.stdout
    assert len(repository.history()) == 2
    loaded = client.python("import datasets\nprint(len(datasets.load_dataset('lab/lists', split='train')))")
    assert loaded.stdout.strip() == "1000", loaded.output


def test_a_dry_run_writes_nothing(hub: Hub, send: Send) -> None:
    ended = send("--dry-run")
    assert ended.exit_code == 0, ended.output
    assert LIST in ended.stdout
    assert "nothing was written (--dry-run)" in ended.stdout
    assert "lab/lists" not in hub.repositories


def test_other_data_stay_as_they_are(hub: Hub, send: Send, demo_sets: Path) -> None:
    hub.make("lab/lists").hold(demo_sets / "rook")
    ended = send()
    assert ended.exit_code == 2
    assert "lab/lists holds other files, such as " in ended.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--private",), "--private has no effect with --set subset."),
        (("--tag", "mine"), "--tag has no effect with --set subset."),
        (("--set", "rook"), "--set subset is lists of names, which are published alone."),
    ],
)
def test_usage(send: Send, options: tuple[str, ...], words: str) -> None:
    ended = send(*options)
    assert ended.exit_code == 2
    assert words in ended.stderr
