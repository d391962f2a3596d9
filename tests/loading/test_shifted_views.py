"""Views of `shifted`: computed from the bases on access, the same streamed or not, and nothing is copied."""

import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

from qi_datasets import as_stock, load_dataset
from qi_datasets.commands.build import main
from qi_datasets.errors import OptionError
from qi_datasets.loading.computed import AS_STORED

COUNT, PAIRS = 4, 20
MODES = ("crop", "zero", "circular")


@pytest.fixture(scope="module")
def output(flat_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shifted")
    arguments = ["--imagenet-val", flat_folder, "--set", "shifted", "--per-split", "1", "--shifted-images", str(COUNT)]
    result = CliRunner().invoke(main, [*arguments, "--workers", "1", "--quiet", "--output", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def rows(output: Path) -> list[dict[str, Any]]:
    """The stored rows, with their images as arrays."""
    stored = load_dataset("shifted", split="test", output=output)
    return [{**row, "image": np.asarray(row["image"])} for row in stored]


@pytest.fixture(scope="module")
def pairs(output: Path) -> datasets.Dataset:
    return load_dataset("shifted", mode="pairs", split="test", output=output)


def view_of(base: npt.NDArray[np.uint8], mode: str, t: int) -> npt.NDArray[np.uint8]:
    if mode == "crop":
        return base[32 - t : 256 - t, 32 - t : 256 - t]
    middle = base[32:256, 32:256]
    rolled = np.roll(middle, (t, t), (0, 1))
    if mode == "zero":
        rolled[: max(t, 0)] = rolled[:, : max(t, 0)] = 0
        rolled[224 + min(t, 0) :] = rolled[:, 224 + min(t, 0) :] = 0
    return rolled


@pytest.mark.crossed
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shift", [-32, -7, 0, 1, 32])
@pytest.mark.parametrize("streaming", [False, True])
def test_views_are_as_published(
    mode: str, shift: int, streaming: bool, output: Path, rows: list[dict[str, Any]]
) -> None:
    view = load_dataset("shifted", mode=mode, shift=shift, output=output, streaming=streaming)

    assert list(view) == ["test"]
    found = list(view["test"])
    assert len(found) == COUNT
    for row, base in zip(found, rows, strict=True):
        np.testing.assert_array_equal(np.asarray(row.pop("image")), view_of(base["image"], mode, shift))
        assert row == {name: value for name, value in base.items() if name != "image"}


def test_without_a_shift_it_is_0(output: Path, rows: list[dict[str, Any]]) -> None:
    for mode in MODES:
        view = load_dataset("shifted", mode=mode, split="test", output=output)
        np.testing.assert_array_equal(np.asarray(view[1]["image"]), rows[1]["image"][32:256, 32:256])


def assert_pairs(found: Any, rows: list[dict[str, Any]], names: tuple[str, str] = ("image_a", "image_b")) -> None:
    found = list(found)
    assert len(found) == len(rows) * 5
    for number, row in enumerate(found):
        base = rows[number // 5]
        y0, x0, y1, x1 = base["pairs"][number % 5]
        for name, y, x in zip(names, (y0, y1), (x0, x1), strict=True):
            np.testing.assert_array_equal(np.asarray(row[name]), base["image"][y : y + 224, x : x + 224])
        assert [row[name] for name in ("y0", "x0", "y1", "x1")] == [y0, x0, y1, x1]
        assert (row["source"], row["label"]) == (base["source"], base["label"])


@pytest.mark.parametrize("streaming", [False, True])
def test_pairs_are_as_published(streaming: bool, output: Path, rows: list[dict[str, Any]]) -> None:
    pairs = load_dataset("shifted", mode="pairs", output=output, streaming=streaming)["test"]

    assert list(pairs.features) == ["image_a", "image_b", "label", "source", "y0", "x0", "y1", "x1"]
    assert_pairs(pairs, rows)


def test_pairs_of_part_of_a_split_are_those_of_its_sources(output: Path, rows: list[dict[str, Any]]) -> None:
    assert_pairs(load_dataset("shifted", mode="pairs", split="test[1:3]", output=output), rows[1:3])


def test_a_list_of_splits_gives_a_list_of_views(output: Path, rows: list[dict[str, Any]]) -> None:
    first, second = load_dataset("shifted", mode="pairs", split=["test[:1]", "test[3:]"], output=output)

    assert_pairs(first, rows[:1])
    assert_pairs(second, rows[3:])


def test_pairs_share_the_bytes_of_the_stored_images(output: Path, pairs: datasets.Dataset) -> None:
    table = pairs.data.table
    addresses = {
        chunk.field("bytes").field(AS_STORED).buffers()[2].address
        for name in ("image_a", "image_b")
        for chunk in table.column(name).chunks
    }
    stored = load_dataset("shifted", split="test", output=output).data.table.column("image")

    assert addresses == {chunk.field("bytes").buffers()[2].address for chunk in stored.chunks} or len(addresses) == 1
    images = sum(len(image["bytes"]) for image in stored.to_pylist())
    assert len(pickle.dumps(pairs)) < images / 2


CHANGES = {
    "as it is": lambda pairs: pairs,
    "pickle": lambda pairs: pickle.loads(pickle.dumps(pairs)),  # noqa: S301
    "map": lambda pairs: pairs.map(lambda row: {"side": row["image_a"].width}),
    "map of the images": lambda pairs: pairs.map(
        lambda row: {name: row[name].copy() for name in ("image_a", "image_b")}
    ),
    "filter": lambda pairs: pairs.filter(lambda row: row["image_b"].width == 224),
    "add_column": lambda pairs: pairs.add_column("n", list(range(PAIRS))),
    "flatten_indices": lambda pairs: pairs.flatten_indices(),
    "flatten": lambda pairs: pairs.flatten(),
    "concatenate": lambda pairs: datasets.concatenate_datasets([pairs.select(range(7)), pairs.select(range(7, PAIRS))]),
    "iterable": lambda pairs: pairs.to_iterable_dataset(),
    "as_stock": as_stock,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_pairs_stay_pairs_under_whatever_is_done_with_them(
    change: Any, pairs: datasets.Dataset, rows: list[dict[str, Any]]
) -> None:
    assert_pairs(change(pairs), rows)


def test_columns_may_go_and_be_renamed_and_the_rest_still_pickles_small(
    pairs: datasets.Dataset, rows: list[dict[str, Any]]
) -> None:
    changed = pairs.remove_columns(["label", "source"]).rename_columns({"image_a": "a", "image_b": "b"})

    data = pickle.dumps(changed)
    again = pickle.loads(data)  # noqa: S301
    y1, x1 = rows[2]["pairs"][3][2:]
    np.testing.assert_array_equal(np.asarray(again[13]["b"]), rows[2]["image"][y1 : y1 + 224, x1 : x1 + 224])
    assert len(data) < 2 * len(pickle.dumps(pairs))


@pytest.mark.parametrize("mode", [*MODES, "pairs"])
def test_a_cast_to_the_stock_image_never_yields_the_base(mode: str, output: Path) -> None:
    view = load_dataset("shifted", mode=mode, split="test", output=output)
    column = next(iter(view.features))

    with pytest.raises(TypeError, match=r"qi_datasets\.as_stock\(view\)"):
        view.cast_column(column, datasets.Image())[0]


@pytest.mark.parametrize("what", [[1], None, "qi", {"test": 1}])
def test_as_stock_takes_a_data_set(what: Any) -> None:
    with pytest.raises(OptionError, match="as_stock takes a data set of load_dataset, not a"):
        as_stock(what)


def test_as_stock_opens_without_this_package(output: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    view = as_stock(load_dataset("shifted", mode="zero", shift=5, split="test", output=output))
    view.save_to_disk(tmp_path / "saved")

    loaded = datasets.load_from_disk(tmp_path / "saved")

    assert loaded.features["image"] == datasets.Image()
    for row, base in zip(loaded, rows, strict=True):
        np.testing.assert_array_equal(np.asarray(row["image"]), view_of(base["image"], "zero", 5))


def test_the_same_view_has_the_same_fingerprint(output: Path, pairs: datasets.Dataset) -> None:
    def fingerprint(**options: Any) -> str:
        return str(load_dataset("shifted", split="test", output=output, **options)._fingerprint)

    assert fingerprint(mode="pairs") == pairs._fingerprint
    views = [{"mode": mode, "shift": shift} for mode in MODES for shift in (1, 2)]
    assert len({fingerprint(**view) for view in [*views, *views, {"mode": "pairs"}, {}]}) == len(views) + 2


@pytest.mark.parametrize("context", ["fork", "forkserver"])
@pytest.mark.parametrize("streaming", [False, True])
def test_torch_format_and_workers(context: str, streaming: bool, output: Path, rows: list[dict[str, Any]]) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    pairs = load_dataset("shifted", mode="pairs", split="test", output=output, streaming=streaming).with_format("torch")
    loader = DataLoader(pairs, batch_size=5, num_workers=1, multiprocessing_context=context)

    found = torch.cat([batch["image_b"] for batch in loader])
    assert found.shape == (PAIRS, 3, 224, 224)
    y, x = rows[-1]["pairs"][-1][2:]
    wanted = rows[-1]["image"][y : y + 224, x : x + 224]
    np.testing.assert_array_equal(found[-1].permute(1, 2, 0).numpy(), wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "crop", "shift": 33}, "from -32 to 32, not 33"),
        ({"mode": "zero", "shift": -33}, "from -32 to 32, not -33"),
        ({"mode": "crop", "shift": 1.5}, "an integer"),
        ({"mode": "crop", "shift": True}, "an integer"),
        ({"mode": "crop", "shift": "8"}, "an integer"),
        ({"mode": "cropp"}, "did you mean 'crop'"),
        ({"mode": 3}, "there are crop, zero, circular, pairs"),
        ({"mode": "pairs", "shift": 0}, "takes no shift"),
        ({"shift": 8}, "give mode= one of crop, zero, circular"),
        ({"border": 8}, "takes no border"),
    ],
)
def test_options_that_make_no_view_are_errors(options: dict[str, Any], message: str, output: Path) -> None:
    with pytest.raises(OptionError, match=message):
        load_dataset("shifted", output=output, **options)


@pytest.mark.parametrize("options", [{"mode": "crop"}, {"shift": 1}])
def test_other_sets_take_no_mode_and_no_shift(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="rook"):
        load_dataset("rook", output=tmp_path, **options)


def test_rows_that_went_through_python_keep_their_stored_image(output: Path) -> None:
    view = load_dataset("shifted", mode="crop", shift=4, split="test", output=output)
    cells = view.data.table.column("image").to_pylist()
    inferred = pa.array(cells)

    assert inferred.type.field("rewritten").type == pa.null()
    assert view.features["image"].cast_storage(inferred).to_pylist() == cells


def test_a_rewritten_image_is_not_moved_again(output: Path) -> None:
    view = load_dataset("shifted", mode="circular", shift=9, split="test", output=output)

    small = view.map(lambda row: {"image": row["image"].resize((7, 7), Image.Resampling.BOX)})

    assert [row["image"].size for row in small] == [(7, 7)] * COUNT
