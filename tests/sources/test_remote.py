"""Webdataset shards on the Hub: ranges or whole shards, whichever fetches less."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.storage.manifest import Manifest
from tests import pictures
from tests.publishing.answers import Answers
from tests.publishing.client import Client
from tests.publishing.hub import Hub

REPO = "timm/imagenet-1k-wds"
URL = f"hf://datasets/{REPO}"
SMALL = ("--set", "qi", "--per-split", 2, "--border", 0, "--workers", 1)


@dataclass
class Fetched:
    """The files that a server sends. files: digest -> bytes of each answer. before: called with a digest first."""

    files: dict[str, list[int]] = field(default_factory=dict)
    before: Callable[[str], object] = bool

    @property
    def total(self) -> int:
        return sum(sum(sizes) for sizes in self.files.values())


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Fetched:
    found = Fetched()
    usual = Answers.ranged

    def counted(self, data, headers):
        answer = usual(self, data, headers)
        if self.route in ("download", "file"):
            found.before(sha256_hex(data))
            found.files.setdefault(sha256_hex(data), []).append(len(answer[1]))
        return answer

    monkeypatch.setattr(Answers, "ranged", counted)
    return found


@pytest.mark.parametrize("padding", [0, 200_000], ids=["whole", "ranges"])
def test_what_is_less_is_fetched(padding: int, hub: Hub, client: Client, fetched: Fetched, tmp_path: Path) -> None:
    files = {name: content + bytes(padding) for name, content in pictures.album(60).items()}
    pictures.wds(files, tmp_path / "wds")
    hub.make(REPO).hold(tmp_path / "wds")
    whole = sum(path.stat().st_size for path in (tmp_path / "wds").glob("*validation*"))
    local = client.command("qi-build", "--imagenet-val", tmp_path / "wds", *SMALL, "--output", tmp_path / "local")

    done = client.command("qi-build", "--imagenet-val", URL, *SMALL, "--output", tmp_path / "out")

    assert (local.exit_code, done.exit_code) == (0, 0), done.output
    ours, theirs = Manifest.read(tmp_path / "out" / "qi"), Manifest.read(tmp_path / "local" / "qi")
    assert ours.sources == theirs.sources
    assert ours.default_config.digest == theirs.default_config.digest
    assert fetched.total < (whole / 2 if padding else whole * 1.5)


@pytest.mark.faults
@pytest.mark.parametrize("padding", [0, 200_000], ids=["whole", "ranges"])
def test_a_build_that_was_killed_goes_on_behind_the_shards_that_it_had(
    padding: int, hub: Hub, client: Client, fetched: Fetched, tmp_path: Path
) -> None:
    files = {name: content + bytes(padding) for name, content in pictures.album(60).items()}
    pictures.wds(files, tmp_path / "wds")
    hub.make(REPO).hold(tmp_path / "wds")
    first, second = (sha256_hex(path.read_bytes()) for path in sorted((tmp_path / "wds").glob("*validation*")))
    build = ("qi-build", "--imagenet-val", URL, *SMALL, "--output", tmp_path / "out")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    running: list[int] = []
    fetched.before = lambda digest: digest == second and os.kill(running[0], signal.SIGKILL)

    killed = client.command(*build, started=running.append, **cache)

    assert killed.exit_code == -signal.SIGKILL
    assert set(fetched.files) == {first, second}
    assert not (tmp_path / "out" / "qi").exists()
    assert list((tmp_path / "cache").rglob("done.json"))
    fetched.before = bool
    fetched.files.clear()
    done = client.command(*build, **cache)
    assert done.exit_code == 0, done.output
    assert set(fetched.files) == {second}
    assert not list((tmp_path / "cache").rglob("done.json"))
    local = client.command("qi-build", "--imagenet-val", tmp_path / "wds", *SMALL, "--output", tmp_path / "local")
    assert local.exit_code == 0, local.output
    ours, theirs = Manifest.read(tmp_path / "out" / "qi"), Manifest.read(tmp_path / "local" / "qi")
    assert ours.default_config.digest == theirs.default_config.digest
