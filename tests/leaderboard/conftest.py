"""A local Hub serves the ranking."""

from tests.publishing.fixtures import client, demo_sets, hub, server

__all__ = ["client", "demo_sets", "hub", "server"]
