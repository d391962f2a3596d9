"""What talks to the Hub talks to one on this machine."""

from tests.publishing.fixtures import client, demo_copy, demo_sets, hub, publish, server

__all__ = ["client", "demo_copy", "demo_sets", "hub", "publish", "server"]
