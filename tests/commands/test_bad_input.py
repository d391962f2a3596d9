"""Every bad input: exit 2, one line that says what is wrong, nothing left on disk; for callers one of our errors."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from qi_datasets import QIDatasetsError, load_dataset
from tests import expected, pictures

OFFICIAL = [pictures.name_of(number) for number in expected.official_ids()[:3000]]
FIRST, LAST = OFFICIAL[0], OFFICIAL[-1]
BUILD_QI = ("--set", "qi", "--per-split", 4)
PICTURE, OTHER_SIZE = (pictures.encoded(pictures.picture(number)) for number in range(2))
Damage = Callable[[Path], str]
"""Makes a bad source below a folder; returns the value of `--imagenet-val`."""


def assert_one_error_line(stderr: str, *parts: str) -> None:
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    assert all(part in lines[0] for part in parts), lines[0]


def assert_refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert_one_error_line(result.stderr, *parts)


def nothing_is_left(folder: Path) -> bool:
    """Returns whether a folder has no files but locks, and at most an empty output folder."""
    return all(path.is_dir() for path in folder.rglob("*") if path.suffix != ".lock")


def official(folder: Path, **changed: bytes | None) -> str:
    """Returns the 3000 selected files as a flat folder, with other bytes for some, or None for none."""
    for name in OFFICIAL:
        # Pictures of a single size would be taken for resized copies, with a warning.
        content = changed.get(name, OTHER_SIZE if int(name[-1]) % 2 else PICTURE)
        if content is not None:
            pictures.write(folder / f"{name}.JPEG", content)
    return str(folder)


def official_tar(folder: Path) -> tuple[Path, int]:
    """Returns the 3000 selected files as a tar, and the length of a member with its header."""
    path = Path(pictures.tar(dict.fromkeys(OFFICIAL, PICTURE), folder / pictures.TAR_NAME))
    return path, 512 + -(-len(PICTURE) // 512) * 512


def cut(folder: Path, beyond: int) -> str:
    """Returns a tar that ends `beyond` bytes after its second member begins."""
    path, member = official_tar(folder)
    with path.open("rb+") as file:
        file.truncate(member + beyond)
    return str(path)


def folder_with(folder: Path, *names: str) -> str:
    folder.mkdir()
    for name in names:
        pictures.write(folder / name, b"no image")
    return str(folder)


def twins(folder: Path) -> str:
    official(folder)
    pictures.write(folder / f"{LAST}.jpg", b"other")
    return str(folder)


SOURCES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "no such path": (lambda folder: str(folder / "nope"), ("no such path", "nope")),
    "an empty folder": (folder_with, ("no images in",)),
    "a folder without images": (lambda folder: folder_with(folder, "a.txt", "b/c.csv"), ("no images in",)),
    "a selected image missing": (
        lambda folder: official(folder, **{LAST: None}),
        ("1 of the 3000 selected images are missing", LAST),
    ),
    "three selected images missing": (
        lambda folder: official(folder, **dict.fromkeys(OFFICIAL[7:10])),
        ("3 of the 3000 selected images are missing", *OFFICIAL[7:10]),
    ),
    "a truncated image": (lambda folder: official(folder, **{FIRST: PICTURE[:-60]}), (f"{FIRST}.JPEG",)),
    "an image without content": (lambda folder: official(folder, **{FIRST: b""}), (f"{FIRST}.JPEG",)),
    "a text called an image": (lambda folder: official(folder, **{FIRST: b"Hello"}), (f"{FIRST}.JPEG",)),
    "a tar cut off in data": (lambda folder: cut(folder, 512 + 20), (pictures.TAR_NAME, "cut off")),
    "a tar cut off in a header": (lambda folder: cut(folder, 200), (pictures.TAR_NAME, "cut off")),
    "a tar cut off between members": (lambda folder: cut(folder, 0), (pictures.TAR_NAME, "cut off")),
    "an empty tar": (lambda folder: str(official_tar(folder)[0].write_bytes(b"") or folder), (pictures.TAR_NAME,)),
    "an id twice with different bytes": (twins, (LAST, "occurs twice with different bytes")),
    "too few other images": (lambda folder: folder_with(folder, "a.jpg"), ("3000 images are asked for", "has 1")),
}


@pytest.mark.parametrize(("damage", "parts"), SOURCES.values(), ids=SOURCES)
def test_a_bad_source(damage: Damage, parts: tuple[str, ...], qi_build, tmp_path: Path) -> None:
    place = damage(tmp_path / "images")

    assert_refused(qi_build("--set", "qi", "--imagenet-val", place, "--output", tmp_path / "new" / "out"), *parts)
    with pytest.raises(QIDatasetsError) as raised:
        load_dataset("qi", imagenet_val=place, output=tmp_path / "new" / "out")

    assert all(part in str(raised.value) for part in parts)
    assert len(str(raised.value).splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"images", "new"}
    assert nothing_is_left(tmp_path / "new")


OPTIONS: dict[str, tuple[tuple[object, ...], tuple[str, ...]]] = {
    "a negative border": (("--border", -1), ("border must be an integer from 0 to 4096, not -1",)),
    "too wide a border": (("--border", 4097), ("not 4097",)),
    "one bad border among good ones": (("--border", 16, "--border", -5), ("not -5",)),
    "nothing per split": (("--per-split", 0), ("--per-split must be an integer from 1 to 1000000, not 0",)),
    "less than nothing per split": (("--per-split", -3), ("not -3",)),
    "20 digits per split": (("--per-split", 10**20), (f"from 1 to 1000000, not {10**20}",)),
    "more images than there are": (("--per-split", 6), ("18 images are asked for", "has 15")),
    "all images where few are": ((), ("of the 3000 selected images are missing", "--per-split N")),
    "an unknown set": (("--set", "nope"), ("no set is called 'nope'", "rook, corner, red_green, qi")),
    "a misspelt set": (("--set", "rok"), ("did you mean 'rook'?",)),
    "two sources": (("--demo",), ("--demo and --imagenet-val PATH exclude each other",)),
    "an odd canvas": (("--canvas", 113, "--per-split", 2), ("canvas must be an even integer", "not 113")),
    "too small a canvas": (("--canvas", 110, "--per-split", 2), ("not 110",)),
}


@pytest.mark.parametrize(("options", "parts"), OPTIONS.values(), ids=OPTIONS)
def test_a_bad_option(
    options: tuple[object, ...], parts: tuple[str, ...], qi_build, flat_folder: str, tmp_path: Path
) -> None:
    result = qi_build("--imagenet-val", flat_folder, "--output", tmp_path / "new" / "out", *options)

    assert_refused(result, *parts)
    assert nothing_is_left(tmp_path)


USAGE = {
    "a border that is no number": (("--border", "x"), "--border"),
    "a number per split that is none": (("--per-split", "many"), "--per-split"),
    "no threads": (("--workers", 0), "--workers"),
    "more threads than any machine": (("--workers", 10**20), "--workers"),
    "an unknown option": (("--bordr", 3), "--bordr"),
    "an argument": (("qi",), "qi"),
}


@pytest.mark.parametrize(("options", "part"), USAGE.values(), ids=USAGE)
def test_bad_usage_keeps_clicks_form(options: tuple[object, ...], part: str, qi_build, tmp_path: Path) -> None:
    result = qi_build("--output", tmp_path / "new" / "out", *options)

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
    assert part in result.stderr.splitlines()[-1]
    assert nothing_is_left(tmp_path)


def test_a_set_made_from_images_needs_images(qi_build, tmp_path: Path) -> None:
    result = qi_build("--set", "qi", "--output", tmp_path / "out")

    assert_refused(result, "qi is made from images: give --imagenet-val PATH, or --demo")
    assert nothing_is_left(tmp_path)


@pytest.mark.timeout(15)
@pytest.mark.parametrize("where", ["a file", "a file/out", "a file/deep/er", "/proc/1/out", "/proc"])
@pytest.mark.parametrize("source", [("--set", "rook"), ("--set", "qi", "--demo", "--per-split", 1)], ids=["rook", "qi"])
def test_an_output_that_cannot_be_written(where: str, source: tuple[object, ...], qi_build, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("mine")

    result = qi_build("--output", tmp_path / where, *source)

    assert_refused(result, str(tmp_path / where), "choose another output folder")
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


@pytest.mark.parametrize("there", ["a file", "a folder"])
def test_something_else_where_the_set_belongs(there: str, qi_build, tmp_path: Path) -> None:
    if there == "a file":
        (tmp_path / "rook").write_text("mine")
    else:
        pictures.write(tmp_path / "rook" / "thesis.tex", b"mine")

    assert_refused(qi_build("--set", "rook", "--output", tmp_path), "is no set of this package", "--force")

    assert {path.name for path in tmp_path.rglob("*")} - {".rook.lock"} <= {"rook", "thesis.tex"}


@pytest.mark.parametrize("url", ["nope://bucket/sets", "memory"])
def test_an_output_url_of_an_unknown_kind(url: str, qi_build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if "://" in url:
        assert_refused(qi_build("--set", "rook", "--output", url), url)
        with pytest.raises(QIDatasetsError, match=url):
            load_dataset("rook", output=url)
        assert nothing_is_left(tmp_path)
    else:
        assert qi_build("--set", "rook", "--output", url).exit_code == 0
        assert (tmp_path / url / "rook").is_dir()


@pytest.mark.parametrize(
    "place",
    ["~no-such-user/val", "a" * 300, "nope://bucket/val", "a\0b"],
    ids=["no user", "too long", "no protocol", "null"],
)
def test_a_place_that_cannot_be(place: str, qi_build, tmp_path: Path) -> None:
    assert_refused(qi_build("--imagenet-val", place, "--output", tmp_path / "out"))
    with pytest.raises(QIDatasetsError):
        load_dataset("qi", imagenet_val=place, output=tmp_path / "out")

    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("place", ["~no-such-user/out", "a" * 300, "a\0b"], ids=["no user", "too long", "null"])
def test_an_output_that_cannot_be(place: str, qi_build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert_refused(qi_build("--set", "rook", "--output", place))
    with pytest.raises(QIDatasetsError):
        load_dataset("rook", output=place)

    assert nothing_is_left(tmp_path)


def test_a_hub_that_cannot_be_reached(real_command, tmp_path: Path) -> None:
    shown = real_command(
        "qi-build",
        *("--imagenet-val", "hf://datasets/ILSVRC/imagenet-1k/data", "--output", tmp_path / "out"),
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT="http://127.0.0.1:9",
    )

    assert shown.returncode == 2
    assert_one_error_line(shown.stderr, "hf://datasets/ILSVRC/imagenet-1k/data")
    assert nothing_is_left(tmp_path)


def test_a_broken_plug_in(qi_build, plugin, tmp_path: Path) -> None:
    plugin("theirs = no_such_module:Set")

    assert_refused(qi_build("--output", tmp_path / "out"), "no_such_module")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_truncated_image_in_a_real_run(workers: int, real_command, album: dict[str, bytes], tmp_path: Path) -> None:
    name = expected.in_order(album)[11]
    place = pictures.flat(album | {name: album[name][:-60]}, tmp_path / "images")

    shown = real_command(
        "qi-build",
        "--imagenet-val",
        place,
        *BUILD_QI,
        "--workers",
        workers,
        "--output",
        tmp_path / "new" / "out",
    )

    assert shown.returncode == 2
    assert_one_error_line(shown.stderr, f"{name}.JPEG")
    shutil.rmtree(place)
    assert nothing_is_left(tmp_path)


def test_a_failed_build_leaves_other_sets_alone(qi_build, album: dict[str, bytes], tmp_path: Path, untouched) -> None:
    name = expected.in_order(album)[0]
    place = pictures.flat(album | {name: b"no image"}, tmp_path / "images")
    qi_build("--output", tmp_path / "out", "--set", "rook")
    before = untouched(tmp_path / "out")

    assert_refused(qi_build(*BUILD_QI, "--imagenet-val", place, "--output", tmp_path / "out"), name)

    assert {name: seen for name, seen in untouched(tmp_path / "out").items() if name != ".qi.lock"} == before
