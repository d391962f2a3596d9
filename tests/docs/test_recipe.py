"""README's training on little data runs as it is written: on made-up images, a smaller network, and fewer pixels."""

import io
from pathlib import Path

import pytest
from PIL import Image

from qi_datasets.imagenet import wnids
from tests.docs.pages import blocks

SMALLER = {"per_class=50": "per_class=1", "RandomResizedCrop(224)": "RandomResizedCrop(64)", "resnet50": "test_resnet"}


@pytest.mark.slow
def test_the_training_recipe_runs(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    held = io.BytesIO()
    Image.new("RGB", (80, 70), "orange").save(held, "JPEG")
    for wnid in wnids():
        (tmp_path / wnid).mkdir()
        (tmp_path / wnid / f"{wnid}_1.JPEG").write_bytes(held.getvalue())
    (recipe,) = (block.text for block in blocks("README.md") if "to_full_conv" in block.text)
    for written, smaller in SMALLER.items():
        assert written in recipe
        recipe = recipe.replace(written, smaller)
    names: dict[str, object] = {"PATH": tmp_path}
    torch.manual_seed(0)

    exec(compile(recipe + "\nlast = images.shape, labels.shape", "README.md", "exec"), names)  # noqa: S102

    network = names["network"]
    assert isinstance(network, torch.nn.Module)
    assert all(torch.isfinite(weights).all() for weights in network.parameters())
    assert names["last"] == ((1000 % 64, 3, 64, 64), (1000 % 64,))
    assert type(network) is not type(timm.create_model("test_resnet")), "it was converted"
