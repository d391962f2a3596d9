"""Small sets for the tests of this folder."""

from pathlib import Path

import pytest

from qi_datasets import build_dataset
from tests.conftest import BuildOnce


@pytest.fixture(scope="session")
def output(flat_folder: str, build_once: BuildOnce) -> Path:
    """Returns an output folder with `qi`, 4 sources per split, and 3 of `shifted`; read only."""
    options = {"per_split": 4, "shifted_images": 3, "borders": [0], "progress": False}
    return build_once(
        "torch", lambda folder: build_dataset(["qi", "shifted"], imagenet_val=flat_folder, output=folder, **options)
    )
