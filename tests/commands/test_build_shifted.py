"""`qi-build` and `shifted`: which images it takes, when it is left out, and where labels come from."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests import expected, pictures

QiBuild = Callable[..., Result]


def sources(output: Path, name: str = "shifted") -> list[str]:
    manifest = json.loads((output / name / "manifest.json").read_text())
    return [source["name"] for records in manifest["sources"].values() for source in records]


def built(output: Path) -> set[str]:
    return {path.name for path in output.iterdir() if not path.name.startswith(".")} if output.exists() else set()


@pytest.mark.parametrize("sets", [["--set", "qi", "--set", "shifted"], ["--set", "shifted"]])
@pytest.mark.parametrize("per_split", [1, 2, 3])
def test_its_ranks_follow_qis_whatever_per_split(
    sets: list[str], per_split: int, flat_folder: str, album: dict[str, bytes], qi_build: QiBuild, tmp_path: Path
) -> None:
    counts = ("--per-split", per_split, "--shifted-images", 2)

    result = qi_build("--imagenet-val", flat_folder, *sets, *counts, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    first = 3 * per_split
    assert sources(tmp_path / "out") == expected.in_order(album)[first : first + 2]
    if "qi" in sets:
        assert not set(sources(tmp_path / "out", "qi")) & set(sources(tmp_path / "out"))


def test_images_of_ones_own_are_all_for_it_when_it_is_built_alone(qi_build: QiBuild, tmp_path: Path) -> None:
    for number, wnid in enumerate(("n01440764", "n02119789", "n07747607")):
        pictures.write(tmp_path / "mine" / wnid / f"{number}.png", pictures.encoded(pictures.picture(number), "PNG"))
    options = ("--imagenet-val", tmp_path / "mine", "--shifted-images", 3)

    result = qi_build("--set", "shifted", *options, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert len(sources(tmp_path / "out")) == 3
    result = qi_build("--set", "shifted", *options, "--per-split", 1, "--output", tmp_path / "other")
    assert "3 images are asked for, after the 3 of qi, but" in result.stderr
    result = qi_build("--set", "shifted", *options[:2], "--output", tmp_path / "other")
    assert "5000 images are asked for but" in result.stderr
    result = qi_build("--set", "qi", "--set", "shifted", *options, "--output", tmp_path / "other")
    assert "after the 3000 of qi" in result.stderr or "3000 images are asked for" in result.stderr


def test_a_plain_build_leaves_it_out_if_there_are_too_few(
    flat_folder: str, qi_build: QiBuild, toy_sets: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_sets, tmp_path / "out")
    result = qi_build("--imagenet-val", flat_folder, "--border", 0, "--per-split", 2, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("left out")]
    assert line.startswith("left out: shifted: 5000 images are asked for, after the 6 of qi, but")
    assert line.endswith("has 15; ask for fewer with --shifted-images N, or of qi with --per-split N")
    assert built(tmp_path / "out") == {"rook", "corner", "red_green", "qi"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "shifted"), "of the 5000 selected images are missing"),
        (("--per-split", 1, "--shifted-images", 13), "13 images are asked for, after the 3 of qi, but"),
        (("--set", "shifted", "--per-split", 4, "--shifted-images", 4), "after the 12 of qi"),
        (("--shifted-images", -1), "--shifted-images must be an integer from 0 to 1000000, not -1"),
        (("--set", "shifted", "--shifted-images", 0), "asked for no images at all"),
    ],
)
def test_asking_for_more_than_there_is_is_an_error(
    options: tuple[object, ...], message: str, flat_folder: str, qi_build: QiBuild, tmp_path: Path
) -> None:
    result = qi_build("--imagenet-val", flat_folder, *options, "--output", tmp_path / "out")

    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_none_of_it_if_none_is_asked_for(flat_folder: str, qi_build: QiBuild, toy_sets: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_sets, tmp_path / "out")
    counts = ("--per-split", 1, "--shifted-images", 0, "--border", 0)

    result = qi_build("--imagenet-val", flat_folder, *counts, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert built(tmp_path / "out") == {"rook", "corner", "red_green", "qi"}


def test_the_demo_takes_the_same_pictures_for_a_set_alone_or_with_others(qi_build: QiBuild, tmp_path: Path) -> None:
    counts = ("--demo", "--per-split", 1, "--shifted-images", 1)

    for name, sets in (("alone", ["--set", "shifted"]), ("both", ["--set", "qi", "--set", "shifted"])):
        assert qi_build(*counts, *sets, "--output", tmp_path / name).exit_code == 0

    assert sources(tmp_path / "alone") == sources(tmp_path / "both")
    names = sorted((f"demo_{n:05d}" for n in range(500)), key=expected.draw)
    assert sources(tmp_path / "both", "qi") + sources(tmp_path / "both") == names[:4]
