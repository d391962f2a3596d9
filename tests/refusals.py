"""Errors by their codes, which stay when their words change."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from qi_datasets.errors import QIDatasetsError


@contextmanager
def refused(error: type[QIDatasetsError], code: str) -> Iterator[pytest.ExceptionInfo[QIDatasetsError]]:
    """What is called inside must raise that error, with that code."""
    with pytest.raises(error) as raised:
        yield raised
    assert raised.value.code == code, raised.value
