"""`build_dataset`: every option crossed with every set, and its results."""

import io
import shutil
from itertools import product
from pathlib import Path

import pytest
from PIL import Image, features

from qi_datasets import build_dataset, load_dataset, provenance, verify
from qi_datasets.building.dataset import BuildRequest
from qi_datasets.errors import OptionError, SourceError
from qi_datasets.loading.provenance import _announce
from qi_datasets.specs import SPECS
from qi_datasets.storage.manifest import Manifest
from tests import pictures
from tests.commands.flags import as_flags
from tests.refusals import refused

TOY, QI, SHIFTED = {"rook", "corner", "red_green"}, "qi", "shifted"

OPTIONS: dict[str, tuple[object, set[str]]] = {
    "demo": (True, {QI, SHIFTED}),
    "borders": ([3], {QI}),
    "canvas": (128, {QI}),
    "per_split": (2, {QI, SHIFTED}),
    "shifted_images": (2, {SHIFTED}),
    "workers": (1, {*TOY, QI, SHIFTED}),
    "force": (True, {*TOY, QI, SHIFTED}),
}
"""Argument -> a value, and the sets that it concerns."""


def small(name: str) -> dict[str, object]:
    """Returns arguments that make a build of that set a small one."""
    sizes = {QI: {"per_split": 2, "borders": [0]}, SHIFTED: {"per_split": 1, "shifted_images": 2}}
    return {"demo": True, **sizes[name]} if name in sizes else {}


def test_what_is_to_be_known_of_source_decoder_and_images_is_a_warning(
    album: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = io.BytesIO()
    Image.new("RGBA", (60, 60), (200, 10, 10, 0)).save(clear, "PNG")
    name = min(album)
    folder = pictures.flat(album | {name: clear.getvalue()}, tmp_path / "images")
    pictures.write(Path(folder) / "holiday.heic", b"never read")
    monkeypatch.setattr(features, "check", lambda name: name != "libjpeg_turbo")
    monkeypatch.setattr(features, "version", lambda name: "9.6")

    with pytest.warns() as warned:
        build_dataset("qi", imagenet_val=folder, per_split=len(album) // 3, borders=[0], output=tmp_path / "out")

    said = [str(one.message) for one in warned]
    assert said[0].startswith("1 other picture (holiday.heic) is here ignored")
    assert said[1].startswith("Pillow decodes JPEG with libjpeg 9.6 here, not libjpeg-turbo")
    assert any(f"{name}.JPEG has colours in places that are wholly transparent" in one for one in said[2:])
    assert {Path(one.filename).name for one in warned} == {"test_dataset.py"}


@pytest.mark.parametrize(
    ("option", "name"),
    # Red-green takes seconds to make, and is made again as the other generated sets are.
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (case == ("force", "red_green")))
        for case in product(OPTIONS, SPECS)
    ],
)
def test_an_option_is_taken_by_the_sets_that_it_concerns_and_by_no_other(
    option: str, name: str, qi_build, toy_sets: Path, tmp_path: Path
) -> None:
    value, concerned = OPTIONS[option]
    arguments = small(name) | {option: value}
    flags = as_flags(arguments | {"sets": name, "output": tmp_path / "command"})

    if name in concerned:
        if name in TOY and option != "force":
            # A set that exists is not made again.
            for folder in ("python", "command"):
                shutil.copytree(toy_sets / name, tmp_path / folder / name)
        built = build_dataset(name, output=tmp_path / "python", **arguments)
        result = qi_build(*flags)

        assert result.exit_code == 0, result.output
        assert list(built.sets) == [name]
        (folder,) = (tmp_path / "command").glob(f"{name}*/")
        by_command = Manifest.read(folder)
        assert by_command.configs == built.sets[name].manifest.configs
        if option == "borders":
            assert by_command.borders == {0, 3}
        if option == "canvas":
            assert by_command.size == 128
    else:
        with pytest.raises(OptionError, match=rf"{name}: {option}=\S+ has no effect there; leave it out"):
            build_dataset(name, output=tmp_path / "python", **arguments)
        result = qi_build(*flags)

        assert result.exit_code == 2
        assert as_flags({option: value})[0] in result.stderr
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["borders", "canvas", "per_split", "shifted_images"])
def test_without_images_an_option_for_them_is_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=rf"{option}=\S+ has no effect without images; give imagenet_val=PATH"):
        build_dataset(output=tmp_path, **{option: OPTIONS[option][0]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"demo": True, "imagenet_val": "x"}, "exclude each other"),
        ({"demo": True, "borders": []}, "asks for no border"),
        ({"demo": True, "per_split": 0}, "per_split must be an integer from 1 to 1000000, not 0"),
        ({"demo": True, "per_split": True}, "not True"),
        ({"demo": True, "shifted_images": 1.5}, "not 1.5"),
        ({"sets": ["rook", "qy"]}, "no set is called 'qy'"),
        ({"output": ""}, "it is empty"),
        ({"output": "memory://sets"}, "is gone when this program ends"),
        ({"output": "hf://datasets/ORG/NAME"}, "qi-publish"),
    ],
)
def test_what_is_contradictory_or_keeps_nothing_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_dataset(**arguments)


def test_it_gives_back_the_sets_with_the_digests_that_are_stored(tmp_path: Path) -> None:
    built = build_dataset(["corner", "rook"], output=tmp_path)

    assert list(built.sets) == ["corner", "rook"]
    assert built.digests == {name: {"default": dict(SPECS[name].digests)} for name in ("corner", "rook")}
    assert all(one.made for one in built.sets.values())
    assert not any(one.made for one in build_dataset("rook", output=tmp_path).sets.values())
    assert load_dataset("rook", split="train", output=tmp_path).num_rows == 2


def test_without_images_the_others_are_left_out_with_a_line(toy_sets: Path, home: Path) -> None:
    shutil.copytree(toy_sets, home)
    built = build_dataset()

    assert set(built.sets) == TOY
    assert built.root == home
    assert built.notes == ("left out: qi, shifted, made from images: give imagenet_val=PATH, or demo=True",)


def test_pictures_under_several_names_are_told(official_folder: Path, tmp_path: Path) -> None:
    built = build_dataset("qi", imagenet_val=official_folder, borders=[0], output=tmp_path, progress=False)

    told = (
        "qi: 1 distinct pictures under 3000 names, 1 of them in several splits: this is not ImageNet's validation set"
    )
    assert built.warnings == [told]
    manifest = built.sets["qi"].manifest
    assert manifest.knowledge == "official selection, pixels not verified"
    assert (manifest.track, manifest.caveat) == ("other", told)
    _announce.cache_clear()  # another test may have loaded the same pictures, which are announced once a process
    with pytest.warns(UserWarning, match="1 distinct pictures under 3000 names"):
        loaded = load_dataset("qi", output=tmp_path, split="test")
    assert provenance(loaded)["caveat"] == told
    report = verify(tmp_path, only="integrity", progress=False)
    assert report.verdict == f"Nothing failed; {told}"


def test_a_request_is_checked_before_any_image_is_looked_at() -> None:
    request = BuildRequest(sets=("qi",), imagenet_val="/no/such/folder", per_split=1)

    with refused(SourceError, "no-such-path", match="no such path"):
        request.source()
