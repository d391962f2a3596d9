"""`qi-build --recipe`: the same set from another layout of the same images, or the name of each image that differs."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.manifest_file import SEAL, text_of
from tests import pictures
from tests.publishing.client import Client
from tests.publishing.hub import Hub


@pytest.fixture
def tar_of_the_same(album: dict[str, bytes], tmp_path: Path) -> str:
    """The images of `small_qi`, which were a flat folder, in a tar."""
    return pictures.tar_file(album, tmp_path)


def altered(manifest: Path, target: Path, split: str, number: int, **fields: object) -> Path:
    content = json.loads(manifest.read_text())
    content["sources"][split][number].update(fields)
    del content[SEAL]
    target.write_text(text_of(content))
    return target


def test_another_layout_gives_the_same_set_and_says_so(qi_build, small_qi: Path, tar_of_the_same: str, tmp_path: Path):
    recipe = small_qi / "qi"
    result = qi_build("--imagenet-val", tar_of_the_same, "--recipe", recipe, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    ours, theirs = Manifest.read(tmp_path / "out" / "qi"), Manifest.read(recipe)
    assert ours.pixels == "verified"
    assert ours.verified_against == str(recipe)
    assert ours.layout != theirs.layout
    assert {name: config.digest for name, config in ours.configs.items()} == {
        name: config.digest for name, config in theirs.configs.items()
    }
    assert f"no differences from {recipe}" in result.stdout
    assert f"pixels verified against {recipe}" in result.stdout
    assert f"pixels verified against {recipe}" in (tmp_path / "out" / "qi" / "README.md").read_text()
    again = qi_build("--imagenet-val", tar_of_the_same, "--recipe", recipe, "--output", tmp_path / "out")
    assert again.exit_code == 0
    assert "no differences" in again.stdout


def test_one_image_that_was_encoded_again_is_a_file(qi_build, small_qi: Path, album: dict[str, bytes], tmp_path: Path):
    name = Manifest.read(small_qi / "qi").sources["validation"][2].name
    again = io.BytesIO()
    Image.open(io.BytesIO(album[name])).convert("RGB").save(again, "JPEG", quality=30)
    folder = pictures.flat(album | {name: again.getvalue()}, tmp_path / "images")

    result = qi_build("--imagenet-val", folder, "--recipe", small_qi / "qi", "--output", tmp_path / "out")

    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("file: ")]
    assert line.startswith(f"file: validation/{name}: ")
    assert "1 difference from" in result.stdout
    assert Manifest.read(tmp_path / "out" / "qi").pixels == "unverified"


def test_another_patch_of_the_same_file_is_a_decoder(qi_build, small_qi: Path, flat_folder: str, tmp_path: Path):
    manifest = small_qi / "qi" / "manifest.json"
    recipe = altered(manifest, tmp_path / "recipe.json", "test", 1, patch_sha256="0" * 64)
    name = Manifest.read(manifest).sources["test"][1].name

    result = qi_build("--imagenet-val", flat_folder, "--recipe", recipe, "--output", tmp_path / "out", "--quiet")

    assert result.exit_code == 1
    assert result.stderr == f"decoder: test/{name}: the same file gives other pixels\n"
    assert result.stdout == ""


def test_a_file_that_decodes_alike_is_named_and_no_failure(qi_build, small_qi: Path, flat_folder: str, tmp_path: Path):
    recipe = altered(small_qi / "qi" / "manifest.json", tmp_path / "recipe.json", "train", 0, sha256="0" * 64)
    result = qi_build("--imagenet-val", flat_folder, "--recipe", recipe, "--output", tmp_path / "out")
    assert result.exit_code == 0
    assert "the pixels are the same" in result.stdout
    assert Manifest.read(tmp_path / "out" / "qi").pixels == "verified"


def test_a_set_without_images_has_a_recipe_too(qi_build, tmp_path: Path):
    qi_build("--set", "rook", "--output", tmp_path / "a")
    result = qi_build("--recipe", tmp_path / "a" / "rook" / "manifest.json", "--output", tmp_path / "b")
    assert result.exit_code == 0
    assert Manifest.read(tmp_path / "b" / "rook").pixels == "pinned"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "qi is made from images, and a recipe holds none: give --imagenet-val PATH"),
        (("--demo",), "lacks 12 images of the recipe: ILSVRC2012_val_"),
        (("--demo", "--border", 3), "--border has no effect beside --recipe"),
        (("--demo", "--per-split", 3), "--per-split has no effect beside --recipe"),
        (("--demo", "--set", "qi"), "--set has no effect beside --recipe"),
        (("--demo", "--dry-run"), "--dry-run has no effect beside --recipe"),
    ],
)
def test_what_is_refused(qi_build, small_qi: Path, tmp_path: Path, options: tuple[object, ...], words: str):
    result = qi_build("--recipe", small_qi / "qi", "--output", tmp_path, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_of_another_data_version_is_refused(qi_build, small_qi: Path, flat_folder: str, tmp_path: Path):
    content = json.loads((small_qi / "qi" / "manifest.json").read_text())
    del content[SEAL]
    (tmp_path / "recipe.json").write_text(text_of(content | {"spec_version": "0.9.0"}))
    result = qi_build("--imagenet-val", flat_folder, "--recipe", tmp_path / "recipe.json", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "is of data version 0.9.0, this package makes 1.0.0" in result.stderr


def test_from_the_hub_and_back(
    hub: Hub, client: Client, publish, small_qi: Path, tar_of_the_same: str, tmp_path: Path
) -> None:
    """Published by one as a recipe, made again by another from a tar: pixels verified against a commit."""
    assert publish(small_qi, "qi", "lab/recipe", "--recipe-only").exit_code == 0
    hub.log.clear()
    result = client.command(
        *("qi-build", "--imagenet-val", tar_of_the_same, "--recipe", "hf://datasets/lab/recipe@1.0.0"),
        *("--output", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    commit = hub.repositories["lab/recipe"].tags["1.0.0"]
    manifest = Manifest.read(tmp_path / "out" / "qi")
    assert (manifest.pixels, manifest.verified_against) == ("verified", f"hf://datasets/lab/recipe@{commit}")
    assert len(hub.log) == 1
    away = client.command("qi-build", "--imagenet-val", tar_of_the_same, "--recipe", "hf://datasets/lab/none")
    assert away.exit_code == 2
    assert "the Hub has no data set lab/none" in away.stderr


def test_what_was_verified_so_passes_verification(qi_build, small_qi: Path, flat_folder: str, tmp_path: Path):
    from qi_datasets import verify

    qi_build("--imagenet-val", flat_folder, "--recipe", small_qi / "qi", "--output", tmp_path)
    report = verify(tmp_path / "qi", only="integrity")
    assert report.passed, [check.cause for check in report.checks]
