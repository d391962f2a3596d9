"""Sets that are evaluated, and a local Hub for tests that talk to one."""

from tests.evaluation.conftest import sets
from tests.publishing.fixtures import client, demo_copy, demo_sets, hub, publish, server

__all__ = ["client", "demo_copy", "demo_sets", "hub", "publish", "server", "sets"]
