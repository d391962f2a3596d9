"""Faults on the way to the Hub: retried if that helps, reported in one line, and never half done."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.publishing.client import Client, Ended
from tests.publishing.hub import AUTHORIZATION, WRITER, Fault, Hub
from tests.publishing.test_publish import mended, tree_of

pytestmark = pytest.mark.faults

Publish = Callable[..., Ended]

NEW = ("create", "settings", "make_branch", "validate", "preupload", "batch", "upload", "verify", "commit")
ROUTES = ("whoami", "info", "refs", "tree", *NEW, "make_tag", "delete_branch")
"""The routes that publishing a set of ImageNet's pixels asks for, in a new repository."""


@pytest.fixture(autouse=True)
def no_secrets(hub: Hub, client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Checks that no call of these tests writes the token anywhere, whatever happens to it."""
    outputs: list[str] = []
    command = client.command

    def kept(*arguments: object, **options: object) -> Ended:
        result = command(*arguments, **options)  # type: ignore[arg-type]
        outputs.append(result.output)
        return result

    monkeypatch.setattr(client, "command", kept)
    yield
    assert outputs
    assert not any(WRITER in output for output in outputs)
    files = [path for path in client.folder.rglob("*") if path.is_file()]
    assert not any(WRITER.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("route", ROUTES)
def test_a_request_that_fails_for_a_while_is_made_again(hub: Hub, publish: Publish, small_qi: Path, route: str) -> None:
    hub.faults = [
        Fault(route, status=429, headers={"Retry-After": "0"}),
        Fault(route, status=500, headers={"Retry-After": "0"}),
        Fault(route, status=503, headers={"Retry-After": "0"}),
    ]
    result = publish(small_qi, "qi", "lab/qi")
    assert result.exit_code == 0, result.output
    assert [fault.times for fault in hub.faults] == [0, 0, 0]
    repository = hub.repositories["lab/qi"]
    assert repository.tree() == tree_of(small_qi / "qi")
    assert len(repository.history()) == 2
    assert repository.branches.keys() == {"main"}
    assert repository.tags == {"1.0.0": repository.branches["main"]}
    assert (repository.private, repository.gated) == (True, "manual")
    assert result.stderr == ""


@pytest.mark.parametrize("route", [*NEW, "make_tag", "delete_branch"])
def test_a_lost_answer_is_no_lost_request(hub: Hub, publish: Publish, small_qi: Path, route: str) -> None:
    hub.faults = [Fault(route, lost=True, skip=skip) for skip in (0, *([0] if route == "commit" else []))]
    result = publish(small_qi, "qi", "lab/qi")
    assert result.exit_code == 0, result.output
    repository = hub.repositories["lab/qi"]
    assert repository.tree() == tree_of(small_qi / "qi")
    assert len(repository.history()) == 2, "one commit, made once"
    assert repository.branches.keys() == {"main"}
    assert repository.tags == {"1.0.0": repository.branches["main"]}
    assert all(fault.times == 0 for fault in hub.faults)


@pytest.mark.parametrize("route", ["info", "make_branch", "upload", "commit", "tree"])
def test_silence_ends_within_the_time_out(hub: Hub, publish: Publish, demo_sets: Path, route: str) -> None:
    hub.faults = [Fault(route, stall=60, times=99)]
    result = publish(demo_sets, "rook", "lab/rook", "--timeout", "0.2")
    assert result.exit_code == 2, result.output
    assert "was silent for 0.2 seconds, twice" in result.stderr
    assert result.stderr.count("\n") == 1
    assert all(repository.tags == {} for repository in hub.repositories.values())
    hub.closed.set()
    hub.closed.clear()


def test_silence_that_ends_is_no_failure(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    hub.faults = [Fault("commit", stall=1.2)]
    result = publish(demo_sets, "rook", "lab/rook", "--timeout", "1")
    assert result.exit_code == 0, result.output
    assert len(hub.repositories["lab/rook"].history()) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("commit", status=412, skip=1), "lab/rook: main has moved in between, and was not changed; run again"),
        (Fault("commit", status=403, skip=1), "you may not do this to lab/rook"),
        (Fault("whoami", status=401), "the Hub does not accept your token: log in with `hf auth login`"),
        (Fault("info", status=403, headers={"X-Error-Code": "GatedRepo"}), "lab/rook is gated: visit"),
        (Fault("refs", status=404, headers={"X-Error-Code": "RepoNotFound"}), "the Hub has no data set lab/rook"),
        (
            Fault("preupload", status=403, message="Private repository storage limit reached"),
            "no room for this: Private repository storage limit reached; free storage",
        ),
        (Fault("preupload", status=413, message="too large"), "no room for this: too large"),
        (
            Fault("commit", status=500, headers={"Retry-After": "0"}, times=99),
            "answers 500 again and again; try again later",
        ),
        (Fault("make_branch", status=429, headers={"Retry-After": "0"}, times=99), "takes no more requests for now"),
        (Fault("refs", status=400, message=f"you sent {AUTHORIZATION} to us"), "you sent Bearer *** to us"),
        (Fault("make_branch", status=403, message=AUTHORIZATION), "you may not do this to lab/rook"),
    ],
    ids=lambda value: f"{value.route}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_refusal_is_one_line_and_changes_nothing(
    hub: Hub, publish: Publish, demo_copy: Path, fault: Fault, words: str
) -> None:
    publish(demo_copy, "rook", "lab/rook")
    repository = hub.repositories["lab/rook"]
    before = dict(repository.branches), dict(repository.tags)
    mended(demo_copy / "rook")
    hub.faults = [Fault(**vars(fault))]

    result = publish(demo_copy, "rook", "lab/rook", "--tag", "next")

    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "http" not in result.stderr or hub.endpoint in result.stderr
    assert (repository.branches, repository.tags) == before


def test_who_moves_main_meanwhile_keeps_it(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "rook", "lab/rook")
    repository = hub.repositories["lab/rook"]
    tags = dict(repository.tags)
    mended(demo_copy / "rook")

    def somebody_else() -> None:
        head = repository.at("main")
        repository.branches["main"] = repository.add_commit(head.oid, "theirs", head.files).oid

    hub.faults = [Fault("commit", before=somebody_else, skip=1)]
    result = publish(demo_copy, "rook", "lab/rook")

    assert result.exit_code == 2
    assert "main has moved in between" in result.stderr
    assert repository.history()[0].title == "theirs"
    assert (repository.branches.keys(), repository.tags) == ({"main"}, tags)


def test_who_takes_the_tag_meanwhile_keeps_it(hub: Hub, publish: Publish, demo_copy: Path) -> None:
    publish(demo_copy, "rook", "lab/rook")
    repository = hub.repositories["lab/rook"]
    mended(demo_copy / "rook")
    first = repository.branches["main"]
    hub.faults = [Fault("make_tag", before=lambda: repository.tags.update(next=first))]

    result = publish(demo_copy, "rook", "lab/rook", "--tag", "next")

    assert result.exit_code == 2
    assert "lab/rook: the Hub sees a conflict: Tag reference exists already" in result.stderr
    assert repository.tags == {"1.0.0": first, "next": first}


def test_settings_that_do_not_hold_end_it_before_any_upload(hub: Hub, publish: Publish, small_qi: Path) -> None:
    def opened() -> None:
        hub.repositories["lab/qi"].private = False

    hub.faults = [Fault("info", before=opened, skip=1)]
    result = publish(small_qi, "qi", "lab/qi")
    assert result.exit_code == 2
    assert "lab/qi is public, gated: you let each person in, although it was to be private" in result.stderr
    assert {"preupload", "upload", "commit"}.isdisjoint(request.route for request in hub.log)


def test_bytes_that_arrive_damaged_do_not_reach_main(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    def damaged() -> None:
        repository = hub.repositories["lab/rook"]
        head = repository.at("qi-publish")
        wrong = type(head.files["README.md"])(b"other bytes", lfs=False)
        files = head.files | {"README.md": wrong}
        repository.branches["qi-publish"] = repository.add_commit(head.oid, head.title, files).oid
        tried = repository.at("qi-publish")
        repository.commits[head.oid] = type(tried)(head.oid, head.parent, head.title, files)

    hub.faults = [Fault("tree", before=damaged)]
    result = publish(demo_sets, "rook", "lab/rook")
    assert result.exit_code == 2
    assert "the Hub holds other bytes than were sent; main was left as it is" in result.stderr
    assert len(hub.repositories["lab/rook"].history()) == 1
    assert hub.repositories["lab/rook"].branches.keys() == {"main"}


def test_killed_in_the_middle_only_what_is_missing_travels_again(hub: Hub, client: Client, demo_sets: Path) -> None:
    child: list[int] = []
    known = threading.Event()

    def started(process: int) -> None:
        child.append(process)
        known.set()

    def kill() -> None:
        known.wait(10)
        os.kill(child[0], signal.SIGKILL)

    arguments = ("qi-publish", demo_sets, "--set", "qi", "--repo-id", "lab/demo", "--yes")
    hub.faults = [Fault("upload", before=kill, skip=4)]
    killed = client.command(*arguments, started=started)
    time.sleep(0.2)  # what was on its way arrives, or doesn't
    repository = hub.repositories["lab/demo"]
    arrived = set(repository.store)
    assert killed.exit_code == -signal.SIGKILL
    assert len(repository.history()) == 1
    assert repository.branches.keys() == {"main", "qi-publish"}
    hub.log.clear()

    assert client.command(*arguments).exit_code == 0

    wanted = {digest for path, digest in tree_of(demo_sets / "qi").items() if path.endswith((".parquet", ".png"))}
    sent = {request.path.rpartition("/")[2] for request in hub.log if request.route == "upload"}
    assert arrived
    assert sent == wanted - arrived
    assert repository.tree() == tree_of(demo_sets / "qi")
    assert repository.branches.keys() == {"main"}


def test_without_the_network_nothing_is_tried(client: Client, demo_sets: Path, tmp_path: Path) -> None:
    call = "from qi_datasets.commands import publish; from qi_datasets.storage import hub"
    code = f"{call}; hub.WAITS = (0.1,); publish.main()"
    for environment, words in (
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set; unset it"),
        ({"HF_ENDPOINT": "http://localhost:9"}, "cannot reach http://localhost:9; check the network"),
    ):
        result, looked = (
            subprocess.run(
                [sys.executable, "-c", code, demo_sets / "rook", "--repo-id", "lab/rook", flag],
                env=os.environ | {"HF_HUB_OFFLINE": "0", "HF_TOKEN": WRITER, "HF_HOME": str(tmp_path)} | environment,
                capture_output=True,
                text=True,
                check=False,
            )
            for flag in ("--yes", "--dry-run")
        )
        assert looked.returncode == 3
        assert "what is there already could not be looked up: " in looked.stderr
        assert words in looked.stderr
        assert "rook -> " in looked.stdout
        assert "(new)" not in looked.stdout
        assert re.search(r"manifest.json +[\d.]+ +write", looked.stdout)
        assert result.returncode == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
        assert WRITER not in result.stderr
    assert client.command("qi-publish", "--help").exit_code == 0
