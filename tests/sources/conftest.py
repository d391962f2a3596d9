"""The Hub on this machine, for sources behind its URLs."""

from tests.publishing.fixtures import client, hub, server

__all__ = ["client", "hub", "server"]
