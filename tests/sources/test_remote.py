"""Webdataset shards on the Hub: ranges or whole shards, whichever fetches less."""

from pathlib import Path

import pytest

from qi_datasets.storage.manifest import Manifest
from tests import pictures
from tests.publishing.answers import Answers
from tests.publishing.client import Client
from tests.publishing.hub import Hub

REPO = "timm/imagenet-1k-wds"
URL = f"hf://datasets/{REPO}"
SMALL = ("--set", "qi", "--per-split", 2, "--border", 0, "--workers", 1)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of files each answer of the server had."""
    sizes: list[int] = []
    usual = Answers.ranged

    def counted(self, data, headers):
        answer = usual(self, data, headers)
        if self.route in ("download", "file"):
            sizes.append(len(answer[1]))
        return answer

    monkeypatch.setattr(Answers, "ranged", counted)
    return sizes


@pytest.mark.parametrize("padding", [0, 200_000], ids=["whole", "ranges"])
def test_what_is_less_is_fetched(padding: int, hub: Hub, client: Client, fetched: list[int], tmp_path: Path) -> None:
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
    assert sum(fetched) < (whole / 2 if padding else whole * 1.5)
