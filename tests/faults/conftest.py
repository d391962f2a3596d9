"""The good sets that liars are made of."""

from tests.verification.conftest import copy, good

__all__ = ["copy", "good"]
