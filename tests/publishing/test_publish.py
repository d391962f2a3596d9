"""`qi-publish` and what it leaves on the Hub: one commit, one tag, no branch; and what it refuses to do there."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.manifest_file import text_of
from tests.publishing.client import Client, Ended
from tests.publishing.hub import READER, Hub

Publish = Callable[..., Ended]
WRITING = ("POST", "PUT", "DELETE")


def tree_of(folder: Path) -> dict[str, str]:
    """Path -> SHA-256, as `Repository.tree` has it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mended(folder: Path) -> None:
    """Gives the set another card, as a later version of the package would."""
    card = folder / "README.md"
    card.write_text(card.read_text() + "\nMore words.\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(card.read_bytes()).hexdigest()
    manifest["files"]["README.md"] = {"bytes": card.stat().st_size, "sha256": digest}
    manifest["package_version"] = "99.0"
    (folder / "manifest.json").write_text(text_of(manifest))


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


# Who may see it.


def test_imagenets_pixels_are_private_and_gated_before_the_first_byte(
    hub: Hub, publish: Publish, small_qi: Path
) -> None:
    result = publish(small_qi, "qi", "lab/qi")

    assert result.exit_code == 0, result.stderr
    repository = hub.repositories["lab/qi"]
    assert (repository.private, repository.gated) == (True, "manual")
    routes = [request.route for request in hub.log]
    assert routes.index("create") < routes.index("settings") < routes.index("info", routes.index("settings"))
    assert routes.index("info", routes.index("settings")) < routes.index("preupload") < routes.index("upload")
    assert "private, gated: you let each person in; licence imagenet" in result.stdout


@pytest.mark.parametrize(
    ("options", "private", "gated"),
    [
        (("--public", "--gated", "auto"), False, "auto"),
        (("--public", "--gated", "manual"), False, "manual"),
        (("--private", "--gated", "auto"), True, "auto"),
        (("--private",), True, "manual"),
        (("--gated", "auto"), True, "auto"),
    ],
)
def test_access_that_may_be_asked_for(
    hub: Hub, publish: Publish, small_qi: Path, options: tuple[str, ...], private: bool, gated: str
) -> None:
    assert publish(small_qi, "qi", "lab/qi", *options).exit_code == 0
    assert (hub.repositories["lab/qi"].private, hub.repositories["lab/qi"].gated) == (private, gated)


def test_public_and_ungated_is_refused_for_imagenets_pixels(hub: Hub, publish: Publish, small_qi: Path) -> None:
    result = publish(small_qi, "qi", "lab/qi", "--public")
    assert result.exit_code == 2
    assert "public needs a gate" in result.stderr
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ({}, (), "it is public already"),
        ({"gated": "manual"}, (), "it is public already"),
        ({}, ("--private",), "it is public already"),
        ({"private": True}, ("--public", "--gated", "auto"), "it is private"),
    ],
)
def test_a_repository_that_others_see_already_is_refused_before_any_upload(
    hub: Hub, publish: Publish, small_qi: Path, settings: dict[str, object], options: tuple[str, ...], words: str
) -> None:
    hub.make("lab/qi", **settings)
    result = publish(small_qi, "qi", "lab/qi", *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert hub.requests(*WRITING) == []


@pytest.mark.parametrize(
    ("settings", "options", "then"),
    [
        ({"private": True}, (), (True, "manual")),
        ({"private": True, "gated": "auto"}, (), (True, "auto")),
        ({}, ("--public", "--gated", "auto"), (False, "auto")),
        ({"gated": "manual"}, ("--public", "--gated", "auto"), (False, "auto")),
    ],
)
def test_a_repository_that_is_there_gets_a_gate_first(
    hub: Hub, publish: Publish, small_qi: Path, settings: dict[str, object], options: tuple[str, ...], then: object
) -> None:
    repository = hub.make("lab/qi", **settings)
    assert publish(small_qi, "qi", "lab/qi", *options).exit_code == 0
    assert (repository.private, repository.gated) == then
    assert repository.tree() == tree_of(small_qi / "qi")


def test_free_sets_stay_as_private_as_their_repository_is(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    hub.make("lab/rook", private=True)
    assert publish(demo_sets, "rook", "lab/rook").exit_code == 0
    assert hub.repositories["lab/rook"].private


def test_a_set_that_fails_integrity_is_refused(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    file = demo_copy / "qi" / "border_16" / "test-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    result = publish(demo_copy, "qi", "lab/demo")

    assert result.exit_code == 1
    assert "nothing was published: qi, files: border_16/test-00000-of-00001.parquet" in result.stderr
    assert hub.log == []


# Versions.


def test_a_border_more_is_added_and_the_tag_stays(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "qi", "lab/demo")
    repository = hub.repositories["lab/demo"]
    first = repository.branches["main"]
    wider(demo_copy, 32)
    hub.log.clear()

    result = publish(demo_copy, "qi", "lab/demo")

    assert result.exit_code == 0, result.stderr
    assert repository.tree() == tree_of(demo_copy / "qi")
    assert any(path.startswith("border_32/") for path in repository.tree())
    assert repository.tags == {"1.0.0": first}
    assert repository.history()[1].oid == first
    assert "tag 1.0.0 stays where it is" in result.stdout
    sent = [request for request in hub.log if request.route == "upload"]
    assert len(sent) == 4, "three splits and the preview"


def wider(sets: Path, *borders: int) -> None:
    from qi_datasets.building.build import build_set
    from qi_datasets.building.engine import Engine
    from qi_datasets.building.plan import plan_set
    from qi_datasets.sources.demo import DemoSource
    from qi_datasets.specs import QI

    splits = {"qi": dict.fromkeys(QI.splits, 3)}
    plan = plan_set(QI, DemoSource.of(9), splits=splits, official=False, borders=borders)
    build_set(plan, sets, engine=Engine(1))


def test_a_border_that_is_gone_goes_from_main_and_stays_in_the_tag(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "qi", "lab/demo")
    before = tree_of(demo_copy / "qi")
    shutil.rmtree(demo_copy / "qi")
    wider(demo_copy, 16)

    assert publish(demo_copy, "qi", "lab/demo").exit_code == 0

    repository = hub.repositories["lab/demo"]
    assert repository.tree() == tree_of(demo_copy / "qi")
    assert not any(path.startswith("border_64/") for path in repository.tree())
    assert repository.tree("1.0.0") == before


def test_a_mended_card_changes_main_alone(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "qi", "lab/demo")
    repository = hub.repositories["lab/demo"]
    first, before = repository.branches["main"], repository.tree()
    mended(demo_copy / "qi")
    hub.log.clear()

    result = publish(demo_copy, "qi", "lab/demo")

    assert result.exit_code == 0, result.stderr
    after = repository.tree()
    assert {path for path in after if after[path] != before[path]} == {"README.md", "manifest.json"}
    assert repository.tags == {"1.0.0": first}
    assert [request for request in hub.log if request.route == "upload"] == []


@pytest.fixture
def other_pixels(demo_copy: Path) -> Path:
    """The demo set of other pictures, under the same data version."""
    from qi_datasets.building.build import build_set
    from qi_datasets.building.engine import Engine
    from qi_datasets.building.plan import plan_set
    from qi_datasets.sources.demo import DemoSource
    from qi_datasets.specs import QI

    splits = {"qi": dict.fromkeys(QI.splits, 3)}
    source = DemoSource("demo", {f"demo_{number:05d}": number for number in range(20, 29)})
    plan = plan_set(QI, source, splits=splits, official=False, borders=[16])
    build_set(plan, demo_copy / "other", engine=Engine(1))
    return demo_copy / "other"


def test_other_pixels_under_a_published_version_are_refused(
    hub: Hub, publish: Publish, demo_sets: Path, other_pixels: Path
) -> None:
    publish(demo_sets, "qi", "lab/demo")
    hub.log.clear()

    result = publish(other_pixels, "qi", "lab/demo")

    assert result.exit_code == 2
    assert "has other data under version 1.0.0 (selection: train/demo_" in result.stderr
    assert hub.requests(*WRITING) == []


def test_other_pixels_go_under_a_tag_of_ones_own(
    hub: Hub, publish: Publish, demo_sets: Path, other_pixels: Path
) -> None:
    publish(demo_sets, "qi", "lab/demo")
    repository = hub.repositories["lab/demo"]
    first = repository.branches["main"]

    result = publish(other_pixels, "qi", "lab/demo", "--tag", "mine", "--revision", "other")

    assert result.exit_code == 0, result.stderr
    assert repository.branches == {"main": first, "other": repository.tags["mine"]}
    assert repository.tree("other") == tree_of(other_pixels / "qi")
    assert repository.tree() == tree_of(demo_sets / "qi")
    assert repository.tags["1.0.0"] == first
    assert 'revision="mine")' in result.stdout


def test_a_tag_of_ones_own_is_not_moved(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "rook", "lab/rook", "--tag", "mine")
    repository = hub.repositories["lab/rook"]
    assert repository.tags == dict.fromkeys(("1.0.0", "mine"), repository.branches["main"])
    assert "nothing to do" in publish(demo_copy, "rook", "lab/rook", "--tag", "mine").stdout
    mended(demo_copy / "rook")
    hub.log.clear()

    result = publish(demo_copy, "rook", "lab/rook", "--tag", "mine")

    assert result.exit_code == 2
    assert "has a tag mine already" in result.stderr
    assert hub.requests(*WRITING) == []


def test_columns_belong_to_a_data_version(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "rook", "lab/rook")
    commit = hub.repositories["lab/rook"].at("main")
    manifest = json.loads(commit.files["manifest.json"].data)
    manifest["columns"]["x"] = "int32"
    changed = type(commit.files["manifest.json"])(text_of(manifest).encode(), lfs=False)
    # The tag of somebody's hand-made set: the same digests, another column.
    made = hub.repositories["lab/rook"].add_commit(commit.oid, "x", commit.files | {"manifest.json": changed})
    hub.repositories["lab/rook"].tags["1.0.0"] = made.oid

    result = publish(demo_copy, "rook", "lab/rook")

    assert result.exit_code == 2
    assert "(columns: x: none here, int32 there)" in result.stderr


def test_files_of_others_are_left_alone_and_stale_ones_go(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "rook", "lab/rook")
    repository = hub.repositories["lab/rook"]
    files = repository.at("main").files
    stale = "default/train-00000-of-00002.parquet"
    more = {stale: files["default/train-00000-of-00001.parquet"], "notes.md": files["README.md"]}
    repository.branches["main"] = repository.add_commit(repository.branches["main"], "by hand", files | more).oid

    result = publish(demo_copy, "rook", "lab/rook")

    assert result.exit_code == 0, result.stderr
    assert repository.tree() == tree_of(demo_copy / "rook") | {"notes.md": files["README.md"].sha256}


@pytest.mark.parametrize(
    ("path", "words"),
    [("train.csv", "holds other files and no set of this package: train.csv"), ("README.md", "")],
)
def test_a_repository_of_something_else_is_refused(
    hub: Hub, publish: Publish, demo_sets: Path, path: str, words: str
) -> None:
    repository = hub.make("lab/rook")
    files = repository.at("main").files
    more = {path: files[".gitattributes"]}
    repository.branches["main"] = repository.add_commit(repository.branches["main"], "by hand", files | more).oid

    result = publish(demo_sets, "rook", "lab/rook")

    assert (result.exit_code == 2) == bool(words)
    assert words in result.stderr
    assert bool(hub.requests(*WRITING)) != bool(words)


def test_a_repository_of_another_set_is_refused(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    publish(demo_sets, "rook", "lab/set")
    hub.log.clear()
    result = publish(demo_sets, "qi", "lab/set")
    assert result.exit_code == 2
    assert "lab/set holds rook of 32 pixels, not qi" in result.stderr
    assert hub.requests(*WRITING) == []


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


# What is said of wrong input, and of what the Hub refuses.


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
