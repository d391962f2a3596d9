"""The documentation's code runs on small sets."""

from tests.evaluation.conftest import sets

__all__ = ["sets"]
