"""Errors by their codes, which stay the same if messages change."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from qi_datasets.errors import QIDatasetsError


@contextmanager
def refused(
    error: type[QIDatasetsError], code: str, match: str | None = None
) -> Iterator[pytest.ExceptionInfo[QIDatasetsError]]:
    """Checks that the block raises that error, with that code, and values or a remedy that match."""
    with pytest.raises(error, match=match) as raised:
        yield raised
    assert raised.value.code == code, raised.value
