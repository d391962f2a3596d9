"""Sets that are evaluated, and a Hub on this machine for what talks to one."""

from tests.evaluation.conftest import sets
from tests.publishing.fixtures import client, demo_copy, demo_sets, hub, publish, server

__all__ = ["client", "demo_copy", "demo_sets", "hub", "publish", "server", "sets"]
