"""A board becomes a static Space: made once, changed where it differs, and other files in it stay."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from qi_datasets.leaderboard.site import build
from tests.leaderboard.made import network, written
from tests.publishing.client import Client, Ended
from tests.publishing.hub import READER, Fault, Hub
from tests.publishing.repositories import tree_of

Put = Callable[..., Ended]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    entries = written(tmp_path / "entries", far=network(1), near=network(2, read=(0,)))
    build([entries], tmp_path / "site", space=True)
    return tmp_path / "site"


@pytest.fixture
def put(hub: Hub, client: Client, site: Path) -> Put:
    def run(*options: str, folder: Path = site, **env: str) -> Ended:
        return client.command("qi-publish", "--site", folder, "--repo-id", "lab/board", "--yes", *options, **env)

    return run


def test_the_card_makes_it_a_static_space(site: Path) -> None:
    text = (site / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["sdk"], head["app_file"]) == ("static", "index.html")
    assert {head["colorFrom"], head["colorTo"]} <= {
        "red",
        "yellow",
        "green",
        "blue",
        "indigo",
        "purple",
        "pink",
        "gray",
    }
    assert len(head["short_description"]) <= 60


def test_a_board_is_put_into_a_new_space_once(hub: Hub, put: Put, site: Path) -> None:
    plan = put("--dry-run")
    assert f"{hub.endpoint}/spaces/lab/board (new): commit to main: The leaderboard\n" in plan.stdout
    assert hub.repositories == {}

    ended = put()
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.endswith(f"The leaderboard: {hub.endpoint}/spaces/lab/board\n")
    space = hub.repositories["spaces/lab/board"]
    assert space.tree() == tree_of(site)
    assert len(space.history()) == 2
    assert "nothing to do, it is there already" in put().stdout
    assert len(space.history()) == 2


def test_what_is_gone_goes_and_what_others_added_stays(hub: Hub, put: Put, site: Path) -> None:
    put()
    space = hub.repositories["spaces/lab/board"]
    head = space.at("main")
    theirs = type(head.files[".gitattributes"])(b"theirs", lfs=False)
    space.branches["main"] = space.add_commit(head.oid, "theirs", head.files | {"notes.txt": theirs}).oid
    gone = next((site / "downloads").iterdir())
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()

    assert put().exit_code == 0
    assert space.tree().keys() == tree_of(site).keys() | {"notes.txt"}


@pytest.mark.faults
@pytest.mark.parametrize("route", ["whoami", "create", "refs", "tree", "preupload", "batch", "upload", "commit"])
@pytest.mark.parametrize("lost", [False, True], ids=["429", "lost"])
def test_what_goes_wrong_for_a_while_is_made_good(hub: Hub, put: Put, site: Path, route: str, lost: bool) -> None:
    hub.faults = [Fault(route, lost=True) if lost else Fault(route, status=429, headers={"Retry-After": "0"})]
    ended = put()
    assert ended.exit_code == 0, ended.output
    space = hub.repositories["spaces/lab/board"]
    assert (space.tree(), len(space.history())) == (tree_of(site), 2)


def test_refusals(hub: Hub, client: Client, put: Put, site: Path, tmp_path: Path) -> None:
    refused = put(HF_TOKEN=READER)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "you may not do this to lab/board" in refused.stderr

    build([tmp_path / "entries"], tmp_path / "linked", link=True)
    assert "write the site with qi-leaderboard ENTRIES --output SITE --space" in put(folder=tmp_path / "linked").stderr

    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text("import gradio")
    hub.make("spaces/lab/board").hold(tmp_path / "app")
    assert "lab/board holds other files, such as app.py; choose another Space" in put().stderr
    assert "--direct has no effect with --site" in put("--direct").stderr
