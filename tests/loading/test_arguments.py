"""Each argument of `load_dataset` works for the sets that it concerns, and is refused for the others."""

import inspect
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import datasets
import pyarrow.dataset as ds
import pytest
from datasets.packaged_modules.parquet.parquet import ParquetConfig

from qi_datasets import build_dataset, load_dataset
from qi_datasets.errors import OptionError, SourceError
from qi_datasets.loading.arguments import CONCERNS, EVERYWHERE, STOCK, WITHOUT_EFFECT
from qi_datasets.specs import SPECS
from tests.conftest import BuildOnce

QI, SHIFTED, PAIRS = "qi", "shifted", "shifted, in pairs"
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "rook": ("rook", {"border": 3}),
    "corner": ("corner", {}),
    "red_green": ("red_green", {}),
    QI: (QI, {"border": 3}),
    SHIFTED: (SHIFTED, {"mode": "zero", "shift": 5}),
    PAIRS: (SHIFTED, {"mode": "pairs"}),
}
"""What is loaded: a set, and a view of it if there is one."""

Rows = Any
Effect = Callable[[Rows, Any], object]


@pytest.fixture(scope="module")
def output(build_once: BuildOnce, toy_sets: Path) -> Path:
    def fill(folder: Path) -> None:
        shutil.copytree(toy_sets, folder, dirs_exist_ok=True)
        build_dataset(demo=True, per_split=2, shifted_images=2, borders=[0], output=folder, progress=False)
        build_dataset("qi", demo=True, canvas=128, per_split=2, borders=[0], output=folder, progress=False)

    return build_once("arguments", fill)


def first(name: str) -> str:
    return next(iter(SPECS[name].splits))


def view(case: str, output: Path, **more: Any) -> datasets.Dataset:
    name, options = SETS[case]
    return load_dataset(name, split=first(name), output=output, **options, **more)


def stored(case: str, output: Path) -> datasets.Dataset:
    name, _ = SETS[case]
    return load_dataset(name, split=first(name), output=output)


def first_of_its_kind(case: str, output: Path) -> list[tuple[str, str, Any]]:
    rows = stored(case, output)
    column = "source" if "source" in rows.column_names else "label"
    return [(column, "==", rows[0][column])]


def side_is(side: int) -> Effect:
    return lambda rows, _: rows[0]["image"].size == (side, side)


OURS: dict[str, tuple[Any, set[str], Effect]] = {
    "border": (4, {"rook", QI}, lambda rows, _: rows[0]["image"].width in (32 + 8, 120 + 8)),
    "grid": (3, {QI}, side_is(184)),
    "size": (9, {"corner"}, side_is(9)),
    "canvas": (128, {QI}, side_is(128)),
    "mode": ("crop", {SHIFTED}, side_is(224)),
    "shift": (-2, {SHIFTED}, side_is(224)),
    "output": (None, set(SPECS), lambda rows, _: len(rows)),
    "streaming": (True, set(SPECS), lambda rows, _: next(iter(rows))["label"] is not None),
    "split": ("all", set(SPECS), lambda rows, _: isinstance(rows, datasets.Dataset)),
}
"""Argument -> a value, the sets that it concerns, and its effect."""


@pytest.mark.parametrize(("option", "name"), [*product(OURS, SPECS)])
def test_an_argument_does_something_or_is_refused_by_name(
    option: str, name: str, output: Path, home: Path, tmp_path: Path
) -> None:
    value, concerned, effect = OURS[option]
    call: dict[str, Any] = {"split": first(name), "output": output} | ({option: value} if value is not None else {})
    call |= {"mode": "crop"} if (option, name) == ("shift", SHIFTED) else {}
    if name in concerned:
        assert effect(load_dataset(name, **call), call)
    else:
        nowhere = tmp_path / "nowhere"
        with pytest.raises(OptionError, match=f"{name} takes no {option}, but {option}={value!r} is given; leave it"):
            load_dataset(name, **call | {"output": nowhere})
        assert not nowhere.exists()
    assert not home.exists()


@pytest.mark.parametrize(("config", "name"), [*product(["default", "border_0", "border_7"], SPECS)])
def test_a_config_is_the_sets_own(config: str, name: str, output: Path) -> None:
    if (config == "default") == (name != QI):
        rows = load_dataset(name, config, split=first(name), output=output)
        assert rows[0]["image"].width == SPECS[name].size + 2 * 7 * (config == "border_7")
    else:
        with pytest.raises(OptionError, match=f"{name} has no config {config!r}"):
            load_dataset(name, config, output=output)


@pytest.mark.parametrize("name", SPECS)
def test_images_are_asked_for_where_a_set_is_made_of_them(name: str, tmp_path: Path) -> None:
    error, message = (
        (SourceError, "no such path: /no/such/path")
        if SPECS[name].needs_images
        else (OptionError, f"{name} takes no imagenet_val")
    )
    with pytest.raises(error, match=message):
        load_dataset(name, imagenet_val="/no/such/path", output=tmp_path)


STOCK_EFFECTS: dict[str, tuple[Callable[[str, Path], Any], Effect]] = {
    "cache_dir": (lambda *_: tempfile.mkdtemp(), lambda _, value: any(Path(value).iterdir())),
    "features": (
        lambda case, output: datasets.Features({**stored(case, output).features, "label": datasets.Value("float32")}),
        lambda rows, _: rows.features["label"] == datasets.Value("float32"),
    ),
    "download_config": (lambda *_: datasets.DownloadConfig(), lambda rows, _: len(rows)),
    "download_mode": (lambda *_: "force_redownload", lambda rows, _: len(rows)),
    "verification_mode": (lambda *_: "no_checks", lambda rows, _: len(rows)),
    "keep_in_memory": (lambda *_: True, lambda rows, _: rows.cache_files == []),
    "save_infos": (lambda *_: True, lambda rows, _: len(rows)),
    "num_proc": (lambda *_: 1, lambda rows, _: len(rows)),
    "storage_options": (lambda *_: {}, lambda rows, _: len(rows)),
    "columns": (lambda *_: ["label"], lambda rows, _: rows.column_names == ["label"]),
    "filters": (
        first_of_its_kind,
        lambda rows, value: {row[value[0][0]] for row in rows} == {value[0][2]} and len(rows) in (1, 2, 5, 1000),
    ),
    "batch_size": (lambda *_: 1, lambda rows, _: len(rows)),
    "fragment_scan_options": (lambda *_: ds.ParquetFragmentScanOptions(), lambda rows, _: len(rows)),
    "on_bad_files": (lambda *_: "warn", lambda rows, _: len(rows)),
}
"""Argument of the stock call -> a value, for a set, and its effect."""


@pytest.mark.parametrize(("option", "case"), [*product(STOCK_EFFECTS, SETS)])
def test_a_stock_argument_is_passed_on(option: str, case: str, output: Path) -> None:
    value_of, effect = STOCK_EFFECTS[option]
    value = value_of(case, output)

    assert effect(view(case, output, **{option: value}), value)


@pytest.mark.parametrize(("option", "name"), [*product([*WITHOUT_EFFECT, "boarder"], SPECS)])
def test_what_is_no_argument_here_is_refused(option: str, name: str, output: Path) -> None:
    with pytest.raises(OptionError, match=option):
        load_dataset(name, output=output, **{option: "anything"})


def test_every_argument_is_in_these_tables() -> None:
    ours = {*inspect.signature(load_dataset).parameters} - {"stock"}
    theirs = {*inspect.signature(datasets.load_dataset).parameters} - {"config_kwargs"}
    theirs |= {field.name for field in fields(ParquetConfig)} - {"version", "description"}

    # What comes from the Hub is in the tests of that.
    ours -= {"repo_id", "revision"}
    assert (
        ours
        == {*EVERYWHERE, *CONCERNS} - {"repo_id", "revision"}
        == {*OURS, "path", "name", "imagenet_val", "imagenet_train", "per_class"}
    )
    assert theirs - {"revision"} == {*STOCK, *WITHOUT_EFFECT} | {"path", "name", "split", "streaming"}
    assert {*STOCK_EFFECTS} == {*STOCK}


@pytest.mark.crossed
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("case", "pick"), [*product(SETS, [0, -1]), (QI, 4), (QI, 6), (PAIRS, 1)])
def test_some_columns_of_a_view_are_those_of_the_whole_view(
    case: str, pick: int, streaming: bool, output: Path
) -> None:
    whole = view(case, output)
    columns = [whole.column_names[pick]]

    rows = view(case, output, columns=columns, streaming=streaming)

    assert list(rows) == list(whole.select_columns(columns))


@pytest.mark.parametrize("case", [QI, "rook", SHIFTED, PAIRS])
def test_images_may_be_left_undecoded(case: str, output: Path) -> None:
    features = datasets.Features({**stored(case, output).features, "image": datasets.Image(decode=False)})

    row = view(case, output, features=features)[0]

    assert {type(value) for name, value in row.items() if name.startswith("image")} == {dict}


@pytest.mark.parametrize("kind", [list, tuple, lambda splits: dict(zip("ab", splits, strict=True))])
def test_several_splits_come_in_the_kind_that_asks_for_them(kind: Callable[[list[str]], Any], output: Path) -> None:
    asked = kind(["train", "test"])
    found = load_dataset(QI, border=2, split=asked, output=output)

    assert isinstance(found, type(asked))
    assert {rows[0]["image"].width for rows in (found.values() if isinstance(found, dict) else found)} == {124}


@pytest.mark.parametrize("split", [datasets.Split.TRAIN, datasets.ReadInstruction("train", to=3, unit="abs")])
def test_a_split_may_be_of_every_stock_kind(split: Any, output: Path) -> None:
    assert load_dataset(QI, border=1, split=split, output=output)[0]["image"].size == (122, 122)


def test_splits_may_be_streamed_together(output: Path) -> None:
    rows = load_dataset(QI, border=1, split="train+test", streaming=True, output=output)

    assert [row["x"] for row in rows] == [1, 65] * 4


def test_a_typo_is_found_before_anything_is_built(official_folder: Path, home: Path) -> None:
    for wrong in ({"split": "tset"}, {"split": "test[:5"}, {"columns": ["imag"]}, {"boarder": 3}, {"border": -1}):
        with pytest.raises(OptionError):
            load_dataset(QI, imagenet_val=official_folder, **wrong)

    assert not home.exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "test[100:]"}, "corresponds to no data"),
        ({"filters": [("colour", "==", "red")]}, "can't be loaded with this cache_dir, filters: .*colour"),
        ({"features": datasets.Features({"image": datasets.Image()})}, "can't be loaded with this cache_dir, features"),
    ],
)
def test_what_the_stock_call_refuses_is_one_of_our_errors(
    wrong: dict[str, Any], message: str, output: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message) as raised:
        load_dataset(QI, output=output, cache_dir=str(tmp_path), **wrong)

    assert len(str(raised.value).splitlines()) == 1
