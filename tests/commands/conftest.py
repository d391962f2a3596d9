"""Sets that are evaluated."""

from tests.evaluation.conftest import sets

__all__ = ["sets"]
