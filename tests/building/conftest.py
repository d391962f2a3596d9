"""Fixtures of several tests of building."""

from pathlib import Path

import pytest

from tests.old_sets import as_0_1_0


@pytest.fixture
def old_qi(qi_copy: Path) -> Path:
    """Returns the folder of `qi` as 0.1.0 wrote it, 4 per split, borders 0 and 16."""
    as_0_1_0(qi_copy / "qi", "wnid")
    return qi_copy / "qi"
