"""What several tests of building start from."""

from pathlib import Path

import pytest

from tests.old_sets import as_0_1_0


@pytest.fixture
def old_qi(qi_copy: Path) -> Path:
    """The folder of `qi`, 4 per split, borders 0 and 16, by 0.1.0."""
    as_0_1_0(qi_copy / "qi", "wnid")
    return qi_copy / "qi"
