"""The harness in its small, seeded version."""

from pathlib import Path

import pytest

from tests.faults.__main__ import COUNTS
from tests.faults.disks import NoMountError

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", COUNTS)
def test_it_holds(name: str, tmp_path: Path) -> None:
    harness, small, _ = COUNTS[name]
    try:
        told = harness(small, 0, tmp_path)
    except NoMountError as error:
        pytest.skip(f"mounting a small file system is not allowed here: {error}")

    assert told.startswith(f"{small} ")
