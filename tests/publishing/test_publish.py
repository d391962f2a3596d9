"""`qi-publish` and its result on the Hub: one commit, one tag, no branch; and its refusals."""

import json
from pathlib import Path

import pytest

from qi_datasets.storage.manifest import Manifest
from tests.publishing.client import Client
from tests.publishing.fixtures import Publish, mended
from tests.publishing.hub import READER, WRITING, Hub
from tests.publishing.repositories import tree_of


def test_a_set_becomes_one_commit_with_a_tag(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    result = publish(demo_sets, "qi", "lab/demo")

    assert result.exit_code == 0, result.stderr
    repository = hub.repositories["lab/demo"]
    assert repository.tree() == tree_of(demo_sets / "qi")
    assert [commit.title for commit in repository.history()] == ["qi, data version 1.0.0", "initial commit"]
    assert repository.branches.keys() == {"main"}
    assert repository.tags == {"1.0.0": repository.branches["main"]}
    assert (repository.private, repository.gated) == (False, False)
    assert f"main is {repository.branches['main']}, tag 1.0.0" in result.stdout
    assert 'load_dataset("qi", border=64, repo_id="lab/demo", revision="1.0.0")' in result.stdout
    uploaded = [request for request in hub.log if request.route == "upload"]
    large = [path for path in repository.tree() if path.endswith((".parquet", ".png"))]
    assert len(uploaded) == len(large)
    assert result.stderr == ""


def test_publishing_again_writes_nothing(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    publish(demo_sets, "qi", "lab/demo")
    before = hub.repositories["lab/demo"].branches["main"]
    hub.log.clear()

    result = publish(demo_sets, "qi", "lab/demo")

    assert result.exit_code == 0
    assert "nothing to do" in result.stdout
    assert hub.requests(*WRITING) == []
    assert len(hub.requests("GET")) <= 6
    assert hub.repositories["lab/demo"].branches["main"] == before


@pytest.mark.parametrize("there", [False, True])
def test_a_dry_run_only_reads(hub: Hub, publish: Publish, demo_copy: Path, there: bool) -> None:
    if there:
        publish(demo_copy, "qi", "lab/demo")
        mended(demo_copy / "qi")
        hub.log.clear()

    result = publish(demo_copy, "qi", "lab/demo", "--dry-run")

    assert result.exit_code == 0
    assert "nothing was written" in result.stdout
    assert "README.md" in result.stdout
    assert ("border_16/train-00000-of-00001.parquet" in result.stdout) == (not there)
    assert hub.requests(*WRITING) == []
    assert hub.requests("GET") != []
    assert list(hub.repositories) == (["lab/demo"] if there else [])


def test_several_sets_get_a_repository_each(hub: Hub, client: Client, demo_sets: Path) -> None:
    result = client.command("qi-publish", demo_sets, "--repo-id", "lab/all", "--yes")

    assert result.exit_code == 0, result.stderr
    assert set(hub.repositories) == {"lab/all-qi", "lab/all-rook"}
    assert hub.repositories["lab/all-rook"].tree() == tree_of(demo_sets / "rook")


def test_it_asks_and_no_means_no(hub: Hub, client: Client, demo_sets: Path) -> None:
    """Standard input of the client is empty, which is no answer."""
    result = client.command("qi-publish", demo_sets / "rook", "--repo-id", "lab/rook")

    assert result.exit_code == 1
    assert "Publish? [y/N]" in result.stdout
    assert hub.requests(*WRITING) == []


def test_a_set_that_fails_integrity_is_refused(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    file = demo_copy / "qi" / "border_16" / "test-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    result = publish(demo_copy, "qi", "lab/demo")

    assert result.exit_code == 1
    assert "nothing was published: qi, files: border_16/test-00000-of-00001.parquet" in result.stderr
    assert hub.log == []


# Recipes.


def test_a_recipe_is_card_and_manifest_without_pixels(hub: Hub, publish: Publish, small_qi: Path) -> None:
    result = publish(small_qi, "qi", "lab/recipe", "--recipe-only")

    assert result.exit_code == 0, result.stderr
    repository = hub.repositories["lab/recipe"]
    assert set(repository.tree()) == {"README.md", "manifest.json"}
    assert (repository.private, repository.gated) == (False, False)
    card = repository.file("main", "README.md").data.decode()
    assert "![" not in card
    assert "configs:" not in card
    assert "license: mit" in card
    assert "qi-build --imagenet-val PATH --recipe hf://datasets/lab/recipe@1.0.0" in card + result.stdout
    assert "hf://datasets/lab/recipe@1.0.0" in card
    built = Manifest.read(small_qi / "qi")
    recipe = json.loads(repository.file("main", "manifest.json").data)
    assert recipe["sources"] == json.loads((small_qi / "qi" / "manifest.json").read_text())["sources"]
    assert set(recipe["files"]) == {"README.md"}
    assert [config["splits"]["test"]["digest"] for config in recipe["configs"].values()] == [
        config.splits["test"].digest for config in built.configs.values()
    ]
    assert "nothing to do" in publish(small_qi, "qi", "lab/recipe", "--recipe-only").stdout


# Messages about wrong input, and about refusals of the Hub.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{sets}", "--repo-id", "lab"), "'lab' is no name of a repository"),
        (("{sets}", "--repo-id", "lab/a/b"), "is no name of a repository"),
        (("{sets}/nowhere", "--repo-id", "lab/a"), "there are no sets in"),
        (("{sets}", "--set", "rock", "--repo-id", "lab/a"), "did you mean 'rook'?"),
        (("memory://x", "--repo-id", "lab/a"), "published from a folder of this machine"),
        (("{sets}", "--repo-id", "lab/a", "--set", "rook", "--tag", "1.0.0"), "is the data version"),
        (("{sets}", "--repo-id", "lab/a", "--set", "rook", "--timeout", "-1"), "--timeout must be"),
        (("{sets}", "--repo-id", "bob/a", "--set", "rook"), "you may not do this to bob/a"),
    ],
)
def test_wrong_input_is_one_line(
    hub: Hub, client: Client, demo_sets: Path, arguments: tuple[str, ...], words: str
) -> None:
    filled = [argument.format(sets=demo_sets) for argument in arguments]
    result = client.command("qi-publish", *filled, "--yes")
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("token", "words"),
    [("", "you are not logged in to the Hub: log in with `hf auth login`"), ("hf_wrong", "does not accept your token")],
)
def test_who_is_not_logged_in_is_told_how(hub: Hub, publish: Publish, demo_sets: Path, token: str, words: str) -> None:
    result = publish(demo_sets, "rook", "lab/rook", HF_TOKEN=token)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_who_may_not_write_is_told_so(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    repository = hub.make("lab/rook")
    before = dict(repository.branches)
    result = publish(demo_sets, "rook", "lab/rook", HF_TOKEN=READER)
    assert result.exit_code == 2
    assert "you may not do this to lab/rook: ask its owners for write access" in result.stderr
    assert (repository.branches, repository.tags) == (before, {})
