"""Submissions are run again if their networks can be made, from a library or from a repository on the Hub."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file

from qi_datasets.evaluation.entry import COMPUTED, ENTRY, Entry
from qi_datasets.evaluation.evaluate import evaluate
from qi_datasets.evaluation.models import factory_at
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.leaderboard.rerun import NotRepeatableError, network_of, repeat
from tests.conftest import BuildOnce
from tests.evaluation import entries
from tests.leaderboard.made import network, written
from tests.publishing.client import Client, Ended
from tests.publishing.hub import READER, Hub
from tests.publishing.repositories import File, Proposal

SCRIPT = """
import os
from pathlib import Path

from torch import nn

if MARKER in os.environ:
    Path(os.environ[MARKER]).touch()


def make():
    layers = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
"""
MARKER = "QI_DATASETS_TEST_MARKER"
"""Name of a file that exists after the code of the network has run."""
SCRIPT = SCRIPT.replace("MARKER", repr(MARKER))
BORDERS = [0, 16]
LIBRARY = "timm:test_efficientnet"

Rerun = Callable[..., Ended]


def fill_model(folder: Path) -> None:
    """Writes a model's files: code, and weights."""
    (folder / "net.py").write_text(SCRIPT)
    torch.manual_seed(3)
    save_file(factory_at(f"{folder}/net.py:make")().state_dict(), folder / "trained.safetensors")


@pytest.fixture(scope="session")
def model(build_once: BuildOnce) -> Path:
    """A model's folder; read only."""
    return build_once("rerun_model", fill_model)


@pytest.fixture(scope="session", params=["random", "pretrained"])
def submitted(request: pytest.FixtureRequest, model: Path, demo_sets: Path, build_once: BuildOnce) -> Path:
    """The folder of an entry of that network, which names the model's repository; read only."""
    options = {"weights": str(model / "trained.safetensors")} if request.param == "pretrained" else {"seeds": 2}

    def fill(folder: Path) -> None:
        evaluate(
            f"{model}/net.py:make", output=demo_sets, borders=BORDERS, init=request.param, entry=folder / "net-1",
            model_id="lab/net", **options,
        )  # fmt: skip

    return build_once(f"rerun_{request.param}", fill) / "net-1"


@pytest.fixture(scope="session")
def of_library(demo_sets: Path, build_once: BuildOnce) -> Path:
    """The folder of an entry of a network that timm makes; read only."""

    def fill(folder: Path) -> None:
        evaluate(LIBRARY, output=demo_sets, borders=[0], seeds=1, entry=folder / "small-1")

    return build_once("rerun", fill) / "small-1"


@pytest.fixture
def rerun(client: Client, demo_sets: Path) -> Rerun:
    def run(submission: object, *options: object, parts: int = 4, **env: str) -> Ended:
        where = ("--rerun", parts, "--sets", demo_sets)
        return client.command("qi-leaderboard", "--check", submission, *where, *options, HF_TOKEN=READER, **env)

    return run


def with_other_answers(folder: Path) -> None:
    """Writes an entry again, valid in itself, as if the network had answered differently."""
    entry = Entry.read(folder)
    columns = {name: entry.predictions.column(name).copy() for name in entry.predictions.table.column_names}
    columns["margin"] *= -1
    columns["prediction"] = columns["margin"] > 0
    settings = {name: section for name, section in entry.content.items() if name not in COMPUTED}
    Entry.of(settings, Predictions.of("qi", columns), entry.content["seconds"]).write(folder)


def test_a_network_of_a_library_is_run_again(of_library: Path, demo_sets: Path, rerun: Rerun) -> None:
    ended = rerun(of_library)

    assert ended.exit_code == 0, ended.output
    assert "small-1: repeated init random, border 0, seed 0: 0.0% of the answers differ\n" in ended.stdout
    assert "new: small-1\n" in ended.stdout


def test_answers_that_were_made_up_are_refused(of_library: Path, tmp_path: Path, rerun: Rerun) -> None:
    folder = Path(shutil.copytree(of_library, tmp_path / "small-1"))
    with_other_answers(folder)

    ended = rerun(folder)
    assert ended.exit_code == 1, ended.output
    assert "refused: small-1: init random, border 0, seed 0: 100.0% of the answers differ when it is" in ended.stdout
    assert "new:" not in ended.stdout


def test_other_weights_than_the_entry_names_are_refused(of_library: Path, tmp_path: Path, demo_sets: Path) -> None:
    folder = Path(shutil.copytree(of_library, tmp_path / "small-1"))
    entries.rewrite(folder, entries.put("model.weights_sha256.random", ["f" * 64]), seal=True)

    (line,) = repeat(folder, 1, output=demo_sets).differences
    assert line.endswith("100.0% of the answers differ when it is repeated")


def test_other_pictures_can_not_repeat_it(of_library: Path, rerun: Rerun, tmp_path: Path, qi_copy: Path) -> None:
    ended = rerun(of_library, "--sets", qi_copy)

    assert ended.exit_code == 0, ended.output
    assert "not repeated: the sets here differ from those that it was measured on" in ended.stdout


def test_code_of_strangers_runs_only_with_trust(
    hub: Hub, submitted: Path, model: Path, tmp_path: Path, rerun: Rerun
) -> None:
    hub.make("models/lab/net").hold(model)
    marker = tmp_path / "has_run"

    ended = rerun(submitted, **{MARKER: str(marker)})
    assert ended.exit_code == 0, ended.output
    assert "net-1: not repeated: the network is code of lab/net; --trust runs it, once you have read it" in ended.stdout
    assert not marker.exists()

    trusted = rerun(submitted, "--trust", **{MARKER: str(marker)})
    assert trusted.exit_code == 0, trusted.output
    assert trusted.stdout.count(": 0.0% of the answers differ") == len(BORDERS) * count_of_seeds(submitted)
    assert marker.exists()


def count_of_seeds(folder: Path) -> int:
    inits = json.loads((folder / ENTRY).read_text())["protocol"]["inits"]
    return sum(len(settings["seeds"]) for settings in inits.values())


@pytest.mark.parametrize("submitted", ["pretrained"], indirect=True)
def test_another_network_than_the_repository_has_is_refused(
    hub: Hub, submitted: Path, model: Path, tmp_path: Path, rerun: Rerun
) -> None:
    other = Path(shutil.copytree(model, tmp_path / "other"))
    torch.manual_seed(4)
    save_file(factory_at(f"{other}/net.py:make")().state_dict(), other / "trained.safetensors")
    hub.make("models/lab/net").hold(other)

    ended = rerun(submitted, "--trust", parts=1)
    assert ended.exit_code == 1, ended.output
    assert "refused: net-1: init pretrained, border" in ended.stdout


@pytest.mark.parametrize("submitted", ["random"], indirect=True)
def test_a_repository_that_is_gone(hub: Hub, submitted: Path, rerun: Rerun) -> None:
    ended = rerun(submitted, "--trust")

    assert ended.exit_code == 0, ended.output
    assert "net-1: not repeated: the Hub has no model lab/net" in ended.stdout


@pytest.mark.parametrize(
    ("name", "about", "words"),
    [
        ("net.py:make", {}, "neither its library nor a repository"),
        ("package.module:make", {"model_id": "lab/net"}, "'package.module:make' names no file of lab/net"),
        ("../other/net.py:make", {"model_id": "lab/net"}, "'../other/net.py' is no name of a file"),
    ],
)
def test_names_that_lead_to_no_network(name: str, about: dict[str, str], words: str) -> None:
    with pytest.raises(NotRepeatableError, match=re.escape(words)):
        network_of({"model": {"name": name, "weights": "none"}, "about": about}, trust=True)


def test_a_training_is_not_repeated(tmp_path: Path) -> None:
    network(1, init="scratch").write(tmp_path / "trained-1")

    found = repeat(tmp_path / "trained-1", 1)
    assert found.lines == ("not repeated: it was trained from scratch; qi-eval --check FOLDER does so",)
    assert found.differences == ()


def propose(hub: Hub, entry: Path, published: Path) -> None:
    """Puts entries on the Hub, of which one is published and one is proposed by a pull request."""
    results = hub.make("lab/results")
    results.hold(written(published, old=network(1)))
    added = {f"net-1/{path.name}": File(path.read_bytes(), lfs=False) for path in entry.iterdir()}
    oid = results.add_commit(results.branches["main"], "Entry net-1", results.at("main").files | added).oid
    results.proposals.append(Proposal(1, "bob", "Entry net-1", oid))


PULL_REQUEST = "hf://datasets/lab/results@refs/pr/1"


@pytest.mark.parametrize("submitted", ["random"], indirect=True)
def test_a_pull_request_is_checked_and_run_again(
    hub: Hub, submitted: Path, model: Path, tmp_path: Path, rerun: Rerun, client: Client
) -> None:
    hub.make("models/lab/net").hold(model)
    propose(hub, submitted, tmp_path / "published")

    trusted = rerun(PULL_REQUEST, "--trust", parts=1)
    assert trusted.exit_code == 0, trusted.output
    assert ": 0.0% of the answers differ" in trusted.stdout
    assert trusted.stdout.endswith(f"new: net-1\n{PULL_REQUEST}: 1 new, 0 unchanged, 0 refused\n")
    main = client.command("qi-leaderboard", "--check", "hf://datasets/lab/results")
    assert main.exit_code == 2
    assert "is no pull request" in main.stderr


def spoil(hub: Hub, changed: dict[str, bytes | None]) -> None:
    """Changes the files of the pull request: their new content, or None for those that go."""
    repository = hub.repositories["lab/results"]
    proposal = repository.proposals[0]
    files = dict(repository.commits[proposal.oid].files)
    for path, data in changed.items():
        files.pop(path, None)
        if data is not None:
            files[path] = File(data, lfs=False)
    proposal.oid = repository.add_commit(proposal.oid, "spoiled", files).oid


SPOILED: dict[str, tuple[dict[str, bytes | None], str]] = {
    "a file beside the entries": ({"README.md": b"ours now"}, "README.md: it is no part of an entry"),
    "a published entry is gone": ({f"old/{ENTRY}": None}, "old/entry.json: it is published, but gone here"),
    "a damaged entry": ({f"net-1/{ENTRY}": b"{"}, "net-1: entry.json is no JSON of an entry"),
    "a file that is too large": ({"net-1/notes.bin": b"0" * 1_000_001}, "net-1/notes.bin: it is larger than 1000 kB"),
    "code beside the entry": ({"net-1/setup.py": b"import os"}, "net-1: its folder holds 'setup.py'"),
    "a published entry is changed": ({f"old/{ENTRY}": b"{}"}, "old: "),
}


@pytest.mark.parametrize(("changed", "words"), SPOILED.values(), ids=SPOILED)
def test_what_is_wrong_with_a_pull_request_is_said_by_name(
    hub: Hub, client: Client, tmp_path: Path, changed: dict[str, bytes | None], words: str
) -> None:
    propose(hub, written(tmp_path / "made", **{"net-1": network(2)}) / "net-1", tmp_path / "published")
    spoil(hub, changed)

    ended = client.command("qi-leaderboard", "--check", PULL_REQUEST)
    assert ended.exit_code == 1, ended.output
    assert f"refused: {words}" in ended.stdout
