"""`qi-build --recipe`: the same set from another layout of the same images, or the name of each image that differs."""

import gzip
import io
import json
from pathlib import Path

import pytest
from PIL import Image, features

from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.manifest_file import SEAL, text_of
from qi_datasets.verification.verify import verify
from tests import pictures
from tests.publishing.client import Client
from tests.publishing.hub import Hub
from tests.sources.test_tables import example, record


@pytest.fixture
def tar_of_the_same(album: dict[str, bytes], tmp_path: Path) -> str:
    """Returns a tar with the images of `small_qi`, which was built from a flat folder."""
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
    both = "decoded by {0} here, {0} there".format(Manifest.read(small_qi / "qi").decoder)
    assert result.stderr == f"decoder: test/{name}: the same file gives other pixels ({both})\n"
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


def test_images_that_lost_their_names_are_found_by_their_content(
    qi_build, small_qi: Path, album: dict[str, bytes], tmp_path: Path
):
    recipe = small_qi / "qi"
    contents = list(album.values())
    folder = tmp_path / "images"
    for number, content in enumerate(contents):
        pictures.write(folder / f"{number}.jpg", content)
    pictures.write(tmp_path / "unnamed.parquet", pictures.shard([(None, content) for content in contents]))
    tar = pictures.tar(
        [(f"{number}.jpg", content) for number, content in enumerate(contents)], tmp_path / "unnamed.tar"
    )
    (tmp_path / "packed.tar.gz").write_bytes(gzip.compress(Path(tar).read_bytes()))
    records = [record(example({"image": content, "label": 3})) for content in contents]
    pictures.write(tmp_path / "validation.tfrecord", b"".join(records))
    files = ("unnamed.parquet", "unnamed.tar", "packed.tar.gz", "validation.tfrecord")

    for number, place in enumerate((folder, *map(tmp_path.joinpath, files))):
        result = qi_build("--imagenet-val", place, "--recipe", recipe, "--output", tmp_path / f"out{number}")
        assert result.exit_code == 0, result.output
        assert "images: 0 by name, 12 by content; decoded by" in result.stdout
        ours, theirs = Manifest.read(tmp_path / f"out{number}" / "qi"), Manifest.read(recipe)
        assert ours.sources == theirs.sources
        assert ours.default_config.digest == theirs.default_config.digest


def test_an_image_that_has_neither_its_name_nor_its_bytes_is_missing(
    qi_build, small_qi: Path, album: dict[str, bytes], tmp_path: Path
):
    name = Manifest.read(small_qi / "qi").sources["test"][0].name
    folder = pictures.flat({n: data for n, data in album.items() if n != name}, tmp_path / "images")

    result = qi_build("--imagenet-val", folder, "--recipe", small_qi / "qi", "--output", tmp_path / "out")

    assert result.exit_code == 2
    assert f"lacks 1 images of the recipe: {name}" in result.stderr
    Path(folder, "renamed.jpg").write_bytes(album[name])
    result = qi_build("--imagenet-val", folder, "--recipe", small_qi / "qi", "--output", tmp_path / "out")
    assert result.exit_code == 2


def test_a_build_with_another_decoder_warns_first_and_both_are_named(
    qi_build, small_qi: Path, flat_folder: str, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(features, "check", lambda name: name != "libjpeg_turbo")
    monkeypatch.setattr(features, "version", lambda name: "9.6")
    name = Manifest.read(small_qi / "qi").sources["test"][1].name
    other = altered(small_qi / "qi" / "manifest.json", tmp_path / "recipe.json", "test", 1, patch_sha256="0" * 64)

    result = qi_build("--imagenet-val", flat_folder, "--recipe", other, "--output", tmp_path / "out")

    usual = Manifest.read(small_qi / "qi").decoder
    assert usual.startswith("libjpeg-turbo ")
    assert result.stderr.startswith("warning: Pillow decodes JPEG with libjpeg 9.6 here, not libjpeg-turbo: ")
    both = f"decoded by libjpeg 9.6 here, {usual} there"
    assert f"decoder: test/{name}: the same file gives other pixels ({both})" in result.stdout
    assert f"images: 12 by name, 0 by content; {both}" in result.stdout
    assert Manifest.read(tmp_path / "out" / "qi").decoder == "libjpeg 9.6"
    monkeypatch.undo()
    report = verify(tmp_path / "out" / "qi", only="integrity", against=small_qi)
    assert f"decoded by libjpeg 9.6 here, {usual} there" in report.check("qi", "against").figure


def test_an_image_of_which_a_part_is_lost_is_named(qi_build, album: dict[str, bytes], tmp_path: Path):
    clear = Image.new("RGBA", (60, 60), (200, 10, 10, 0))
    file = io.BytesIO()
    clear.save(file, "PNG")
    names = list(album)
    folder = pictures.flat(album | {name: file.getvalue() for name in names[:1]}, tmp_path / "images")

    result = qi_build(
        "--imagenet-val", folder, "--set", "qi", "--per-split", 5, "--border", 0, "--output", tmp_path / "o"
    )

    assert f"warning: {folder}/{names[0]}.JPEG has colours in places that are wholly transparent" in result.output
