"""Small sets for the tests of this room."""

from pathlib import Path

import pytest

from qi_datasets import build_dataset


@pytest.fixture(scope="session")
def output(flat_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with `qi`, 4 sources per split, and 3 of `shifted`; read only."""
    folder = tmp_path_factory.mktemp("torch")
    build_dataset(
        ["qi", "shifted"],
        imagenet_val=flat_folder,
        per_split=4,
        shifted_images=3,
        borders=[0],
        output=folder,
        progress=False,
    )
    return folder
