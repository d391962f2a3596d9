"""A Hub on this machine, a client that talks to it, and small sets to publish."""

from collections.abc import Iterator

import pytest

from tests.publishing.client import Client
from tests.publishing.hub import WRITER, Hub


@pytest.fixture(scope="package")
def server() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def hub(server: Hub) -> Iterator[Hub]:
    """The server as new; the test fails if it was asked for what it doesn't know."""
    server.clear()
    yield server
    assert server.unknown == []


@pytest.fixture(scope="package")
def client(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client that is logged in as one who may write to `lab`."""
    client = Client(tmp_path_factory.mktemp("client"), HF_ENDPOINT=server.endpoint, HF_TOKEN=WRITER)
    yield client
    client.close()
