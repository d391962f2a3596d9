"""`qi-build`: what it builds and prints, and that it does nothing twice."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qi_datasets import load_dataset
from qi_datasets.specs import SPECS
from qi_datasets.storage.manifest import Manifest
from tests import expected, pictures
from tests.old_sets import as_0_1_0

GENERATED = [name for name, spec in SPECS.items() if not spec.needs_images]
SMALL_QI = ("--per-split", 2, "--border", 16)
SMALL = (*SMALL_QI, "--shifted-images", 2)


@pytest.fixture
def with_toys(toy_sets: Path, tmp_path: Path) -> Path:
    """Returns an output folder in which the generated sets exist already."""
    return Path(shutil.copytree(toy_sets, tmp_path / "out"))


def test_without_images_it_builds_the_rest_and_says_how_to_get_the_others(qi_build, tmp_path: Path) -> None:
    result = qi_build("--output", tmp_path)

    assert result.exit_code == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == set(GENERATED)
    assert "left out: qi" in result.stdout
    assert "give --imagenet-val PATH, or --demo" in result.stdout
    assert result.stderr == ""


def test_the_demo_builds_every_set_and_a_table_tells_of_it(qi_build, tmp_path: Path) -> None:
    result = qi_build("--demo", "--output", tmp_path, *SMALL)

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    header = next(line for line in lines if line.startswith("set"))
    assert header.split() == ["set", "config", "rows", "MB", "digest", "seconds"]
    rows = [line.split() for line in lines[lines.index(header) + 2 :]]
    assert [row[0] for row in rows if row[0] in SPECS] == list(SPECS)
    for name in SPECS:
        manifest = Manifest.read(tmp_path / name)
        assert not manifest.canonical or name in GENERATED
        for config, record in manifest.configs.items():
            (row,) = [row for row in rows if config in row and (record.digest[:12] in row)]
            assert str(sum(split.rows for split in record.splits.values())) in row
    assert f"in {tmp_path}" in result.stdout
    assert "demo pictures" in result.output
    assert load_dataset("qi", output=tmp_path)["test"].num_rows == 4


def test_the_demo_has_100_pictures_per_split_unless_told_otherwise() -> None:
    assert dict(SPECS["qi"].demo_splits) == {"train": 100, "validation": 100, "test": 100}


def test_the_default_borders_are_all_seven(qi_build, flat_folder: str, tmp_path: Path) -> None:
    qi_build("--imagenet-val", flat_folder, "--output", tmp_path, "--set", "qi", "--per-split", 1)

    assert list(Manifest.read(tmp_path / "qi").configs) == [f"border_{n}" for n in (0, 16, 32, 64, 128, 256, 512)]


def test_only_the_named_sets_are_built(qi_build, tmp_path: Path) -> None:
    result = qi_build("--output", tmp_path, "--set", "corner", "--set", "rook", "--set", "corner")

    assert result.exit_code == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"corner", "rook"}
    assert "left out" not in result.stdout


@pytest.mark.parametrize("layout", pictures.LAYOUTS)
def test_it_says_which_layout_it_took(layout: str, qi_build, album: dict[str, bytes], tmp_path: Path) -> None:
    place = pictures.LAYOUTS[layout](album, tmp_path / "images")

    result = qi_build("--imagenet-val", place, "--output", tmp_path / "out", "--set", "qi", *SMALL_QI)

    assert result.exit_code == 0, result.output
    layout_name = Manifest.read(tmp_path / "out" / "qi").layout
    assert f"({layout_name}, ImageNet val)" in result.output
    assert result.stderr == ""


def test_the_second_run_does_nothing_and_says_so(qi_build, flat_folder: str, with_toys: Path, untouched) -> None:
    options = ("--imagenet-val", flat_folder, "--output", with_toys, *SMALL)
    first = qi_build(*options)
    before = untouched(with_toys)

    second = qi_build(*options)

    assert (first.exit_code, second.exit_code) == (0, 0)
    for shown, names in ((first, GENERATED), (second, SPECS)):
        assert [line.partition(":")[0] for line in shown.stdout.splitlines() if "nothing to do" in line] == list(names)
    assert untouched(with_toys) == before


def old(output: Path) -> None:
    """Turns the sets in an output folder into those of 0.1.0."""
    for name in SPECS:
        blank = {"qi": ("wnid",), "shifted": ("wnid", "label")}.get(name, ())
        as_0_1_0(output / name, *blank)


@pytest.mark.parametrize("with_images", [True, False])
def test_sets_of_0_1_0_are_refreshed_and_never_nothing_to_do(
    with_images: bool, qi_build, flat_folder: str, with_toys: Path, untouched
) -> None:
    images = ("--imagenet-val", flat_folder)
    options = ("--output", with_toys, *SMALL)
    qi_build(*images, *options)
    fresh = {name: digest for name, (_, digest) in untouched(with_toys).items()}
    old(with_toys)

    result = qi_build(*((*images, *options) if with_images else ("--output", with_toys)))

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "nothing to do" not in result.stdout
    assert "left out" not in result.stdout
    assert [line.partition(": ")[0] for line in result.stdout.splitlines() if "; refreshed" in line] == list(SPECS)
    assert {name: digest for name, (_, digest) in untouched(with_toys).items()} == fresh
    again = qi_build(*images, *options)
    assert again.stdout.count("nothing to do") == len(SPECS)


def test_a_damaged_set_of_0_1_0_is_left_out_with_the_reason(qi_build, flat_folder: str, with_toys: Path) -> None:
    options = ("--output", with_toys, *SMALL)
    qi_build("--imagenet-val", flat_folder, *options)
    old(with_toys)
    path = with_toys / "qi" / "border_0" / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[::-1])

    result = qi_build("--output", with_toys)

    assert result.exit_code == 0, result.output
    assert f"not refreshed: {with_toys}/qi is not as its manifest says (border_0/test-00000-of" in result.stdout
    assert "left out: qi, made from images" in result.stdout
    mended = qi_build("--imagenet-val", flat_folder, *options)
    (line,) = [line for line in mended.stdout.splitlines() if line.startswith("qi: ")]
    assert "refreshed" not in line
    assert "nothing to do" not in line


def test_a_layout_that_contradicts_the_published_synsets_is_one_warning(
    qi_build, album: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in album.items():
        pictures.write(tmp_path / "val" / "n01440764" / f"{name}.JPEG", content)

    result = qi_build("--imagenet-val", tmp_path / "val", "--output", tmp_path / "out", "--set", "qi", *SMALL_QI)

    assert result.exit_code == 0, result.output
    (warning,) = result.stderr.splitlines()
    assert warning.startswith(
        "warning: synsets here contradict those of ImageNet val, which are taken: ILSVRC2012_val_0"
    )
    assert warning.endswith(", and 12 more")
    rows = load_dataset("qi", output=tmp_path / "out")["train"]
    assert rows["wnid"][:] == list(map(expected.val_wnid, rows["source"]))


def test_force_builds_again(qi_build, flat_folder: str, tmp_path: Path, untouched) -> None:
    sets = [word for name in ("rook", "qi", "shifted") for word in ("--set", name)]
    options = ("--imagenet-val", flat_folder, "--output", tmp_path, *sets, *SMALL)
    qi_build(*options)
    before = untouched(tmp_path)

    result = qi_build(*options, "--force")

    assert result.exit_code == 0
    assert "nothing to do" not in result.stdout
    after = untouched(tmp_path)
    assert {name: digest for name, (_, digest) in after.items()} == {
        name: digest for name, (_, digest) in before.items()
    }
    assert after["qi/manifest.json"][0] > before["qi/manifest.json"][0]


def test_another_source_is_refused_without_force(qi_build, flat_folder: str, tmp_path: Path, untouched) -> None:
    options = ("--output", tmp_path, "--set", "qi", *SMALL_QI)
    qi_build("--imagenet-val", flat_folder, *options)
    before = untouched(tmp_path)

    refused = qi_build("--demo", *options)

    assert refused.exit_code == 2
    (error,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert "made from other images" in error
    assert "--force" in error
    assert untouched(tmp_path) == before
    assert qi_build("--demo", *options, "--force").exit_code == 0
    assert Manifest.read(tmp_path / "qi").layout == "demo pictures"


def test_fewer_borders_and_then_more_are_a_union(qi_build, flat_folder: str, tmp_path: Path) -> None:
    options = ("--imagenet-val", flat_folder, "--output", tmp_path, "--set", "qi", "--per-split", 2)

    for borders, wanted in (([64], {0, 64}), ([5, 16], {0, 5, 16, 64}), ([0], {0, 5, 16, 64})):
        result = qi_build(*options, *(word for border in borders for word in ("--border", border)))
        assert result.exit_code == 0
        assert Manifest.read(tmp_path / "qi").borders == wanted

    assert "nothing to do" in result.stdout


def test_quiet_says_nothing(qi_build, flat_folder: str, with_toys: Path) -> None:
    result = qi_build("--imagenet-val", flat_folder, "--output", with_toys, "--quiet", *SMALL)

    assert result.exit_code == 0
    assert result.output == ""
    assert (with_toys / "qi" / "manifest.json").is_file()


def test_the_default_output_is_the_home(qi_build, home: Path) -> None:
    assert qi_build("--set", "corner").exit_code == 0

    assert (home / "corner" / "manifest.json").is_file()


def test_any_folder_of_images_will_do(qi_build, tmp_path: Path) -> None:
    for number in range(7):
        pictures.write(tmp_path / "mine" / f"{number}.png", pictures.encoded(pictures.picture(number), "PNG"))

    result = qi_build("--imagenet-val", tmp_path / "mine", "--output", tmp_path / "out", "--set", "qi", *SMALL_QI)

    assert result.exit_code == 0, result.output
    assert "folder of images" in result.output
    sources = {row["source"] for rows in load_dataset("qi", output=tmp_path / "out").values() for row in rows}
    assert len(sources) == 6
    assert sources < {f"{number}.png" for number in range(7)}


def test_the_installed_command_with_two_threads(real_command, flat_folder: str, with_toys: Path) -> None:
    options = ("--imagenet-val", flat_folder, "--output", with_toys, "--workers", 2, *SMALL)

    first = real_command("qi-build", *options)
    second = real_command("qi-build", *options)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert second.stdout.count("nothing to do") == len(SPECS)
    assert (first.stderr, second.stderr) == ("", "")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from qi_datasets.commands.build import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as end:\n"
        "    heavy = {'datasets', 'pyarrow', 'torch', 'numpy', 'PIL', 'fsspec', 'huggingface_hub'}\n"
        "    print('IMPORTED', *heavy & set(sys.modules), end.code)\n"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert shown.stdout.splitlines()[-1] == "IMPORTED 0"
    assert "--imagenet-val PATH" in shown.stdout


def test_help_names_every_layout_and_option(qi_build) -> None:
    shown = qi_build("--help").stdout

    options = ["imagenet-val", "demo", "output", "set", "border", "canvas", "per-split", "workers", "force", "quiet"]
    assert all(f"--{option}" in shown for option in options)
    for layout in (
        "at any depth: flat, by class, val/, Kaggle's",
        "ILSVRC2012_img_val.tar, a .tar.gz",
        "imagenet-object-localization-challenge.zip",
        "webdataset",
        "Parquet",
        "save_to_disk",
        "TFRecord",
    ):
        assert layout in shown
