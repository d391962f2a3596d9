"""A second publication: main follows the set, a tag stays where it is, other pixels are refused."""

import json
import shutil
from pathlib import Path

import pytest

from qi_datasets.storage.manifest_file import text_of
from tests.publishing.fixtures import Publish, mended
from tests.publishing.hub import WRITING, Hub
from tests.publishing.repositories import tree_of


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
    """Returns the demo set with other pictures, under the same data version."""
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
