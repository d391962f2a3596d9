"""A Hub on this machine, a client that talks to it, and small sets to publish."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qi_datasets.storage.manifest_file import text_of
from tests.conftest import BuildOnce
from tests.publishing.client import Client, Ended
from tests.publishing.hub import WRITER, Hub

DEMO_BORDERS = (0, 16, 64)

TAG = "1.0.0"
LOAD = "import datasets\nfrom qi_datasets import load_dataset\n"
"""The beginning of a script that loads a set."""

Publish = Callable[..., Ended]


@pytest.fixture(scope="session")
def server() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def hub(server: Hub) -> Iterator[Hub]:
    """Yields the server in its first state; the test fails if it gets a request that it doesn't know."""
    server.clear()
    yield server
    assert server.unknown == []


@pytest.fixture(scope="session")
def client(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Yields a client that is logged in as a user who may write to `lab`."""
    client = Client(tmp_path_factory.mktemp("client"), HF_ENDPOINT=server.endpoint, HF_TOKEN=WRITER)
    yield client
    client.close()


@pytest.fixture(scope="session")
def demo_sets(build_once: BuildOnce) -> Path:
    """Returns a folder with `qi` of demo pictures, three borders, and `rook`; read only."""
    from qi_datasets.building.build import build_set
    from qi_datasets.building.engine import Engine
    from qi_datasets.building.plan import plan_set
    from qi_datasets.sources.demo import DemoSource
    from qi_datasets.specs import QI, ROOK

    splits = {"qi": dict.fromkeys(QI.splits, 3)}

    def fill(output: Path) -> None:
        plan = plan_set(QI, DemoSource.of(9), splits=splits, official=False, borders=DEMO_BORDERS)
        build_set(plan, output, engine=Engine(1))
        build_set(plan_set(ROOK), output)

    return build_once("published", fill)


@pytest.fixture
def demo_copy(demo_sets: Path, tmp_path: Path) -> Path:
    """Returns a copy of it, to be changed."""
    return Path(shutil.copytree(demo_sets, tmp_path / "demo"))


@pytest.fixture
def publish(client: Client) -> Publish:
    """Runs `qi-publish --yes` on one set."""

    def run(sets: Path, name: str, repo_id: str, *options: object, **env: str) -> Ended:
        return client.command("qi-publish", sets, "--set", name, "--repo-id", repo_id, "--yes", *options, **env)

    return run


@pytest.fixture
def published(hub: Hub, demo_sets: Path) -> Hub:
    """Returns the Hub with the demo set in `lab/demo`."""
    hub.make("lab/demo").hold(demo_sets / "qi", TAG)
    return hub


@pytest.fixture
def fresh(hub: Hub, client: Client) -> Client:
    """Returns the client, on a machine without files."""
    client.forget()
    hub.log.clear()
    return client


def mended(folder: Path) -> None:
    """Gives the set another card, as a later version of the package would."""
    card = folder / "README.md"
    card.write_text(card.read_text() + "\nMore words.\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(card.read_bytes()).hexdigest()
    manifest["files"]["README.md"] = {"bytes": card.stat().st_size, "sha256": digest}
    manifest["package_version"] = "99.0"
    (folder / "manifest.json").write_text(text_of(manifest))
