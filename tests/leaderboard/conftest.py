"""The Hub's ranking comes from one on this machine."""

from tests.publishing.fixtures import client, demo_sets, hub, server

__all__ = ["client", "demo_sets", "hub", "server"]
