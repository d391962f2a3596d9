"""Tests that talk to the Hub talk to a local one."""

from tests.publishing.fixtures import client, demo_copy, demo_sets, fresh, hub, publish, published, server

__all__ = ["client", "demo_copy", "demo_sets", "fresh", "hub", "publish", "published", "server"]
