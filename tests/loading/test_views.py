"""A border is a view: right under everything that `datasets` does with a dataset, and never silently lost."""

import io
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from qi_datasets import as_stock, load_dataset
from qi_datasets.loading.computed import AS_STORED, BorderedImage
from qi_datasets.loading.views import with_border
from tests import expected

BORDER = 23
SIDE = 120 + 2 * BORDER
ROWS = 8


@pytest.fixture(scope="module")
def view(small_qi: Path) -> datasets.Dataset:
    return load_dataset("qi", border=BORDER, split="train", output=small_qi)


@pytest.fixture
def stream(small_qi: Path) -> datasets.IterableDataset:
    return load_dataset("qi", border=BORDER, split="train", output=small_qi, streaming=True)


@pytest.fixture(scope="module")
def wanted(album: dict[str, bytes]) -> list[npt.NDArray[np.uint8]]:
    patches = [expected.quadrant_patch(album[name]) for name in expected.in_order(album)[: ROWS // 2]]
    return [expected.quadrant_image(patch, label, BORDER) for patch in patches for label in (0, 1)]


def assert_images(rows: Any, wanted: list[npt.NDArray[np.uint8]]) -> None:
    images = [np.asarray(row["image"]) for row in rows]
    assert len(images) == len(wanted)
    for image, other in zip(images, wanted, strict=True):
        np.testing.assert_array_equal(image, other)


@pytest.mark.crossed
@pytest.mark.parametrize("border", [1, 16, 100, 512, 700])
@pytest.mark.parametrize("streaming", [False, True])
def test_pixels_and_columns_are_as_published_for_any_border(
    border: int, streaming: bool, small_qi: Path, album: dict[str, bytes]
) -> None:
    rows = load_dataset("qi", border=border, output=small_qi, streaming=streaming)
    names = expected.in_order(album)

    for offset, split in ((0, "train"), (4, "validation"), (8, "test")):
        found = list(rows[split])
        assert len(found) == ROWS
        for number, row in enumerate(found):
            label = number % 2
            name = names[offset + number // 2]
            corner = border + 64 * label
            image = expected.quadrant_image(expected.quadrant_patch(album[name]), label, border)
            np.testing.assert_array_equal(np.asarray(row.pop("image")), image)
            place = {"x": corner, "y": corner, "border": border}
            assert row == {"label": label, "source": name, "wnid": expected.val_wnid(name)} | place


def test_the_stored_set_stays_as_it_is(view: datasets.Dataset, small_qi: Path) -> None:
    assert view[0]["image"].size == (SIDE, SIDE)
    assert load_dataset("qi", split="train", output=small_qi)[0]["image"].size == (120, 120)


def test_a_grey_set_has_borders_too(tmp_path: Path) -> None:
    plain, bordered = (load_dataset("rook", border=border, split="train", output=tmp_path) for border in (0, 5))

    for one, other in zip(plain, bordered, strict=True):
        assert other["image"].mode == "L"
        np.testing.assert_array_equal(np.pad(np.asarray(one["image"]), 5), np.asarray(other["image"]))


VIEWS: dict[str, Callable[[datasets.Dataset], datasets.Dataset]] = {
    "as it is": lambda view: view,
    "map": lambda view: view.map(lambda row: {"side": row["image"].width}),
    "map in batches": lambda view: view.map(lambda rows: {"side": [i.width for i in rows["image"]]}, batched=True),
    "map of a label": lambda view: view.map(lambda row: {"label": 1 - row["label"]}),
    "map that returns everything": lambda view: view.map(dict),
    "map in processes": lambda view: view.map(lambda row: {"side": row["image"].width}, num_proc=2),
    "map of the image": lambda view: view.map(lambda row: {"image": row["image"].convert("RGB")}),
    "filter": lambda view: view.filter(lambda row: row["image"].width == SIDE),
    "select": lambda view: view.select(range(ROWS)),
    "sort": lambda view: view.map(lambda row, number: {"n": number}, with_indices=True).sort("n"),
    "flatten_indices": lambda view: (
        view.select(list(range(ROWS))[::-1]).select(list(range(ROWS))[::-1]).flatten_indices()
    ),
    "flatten": lambda view: view.flatten(),
    "concatenate": lambda view: datasets.concatenate_datasets([view.select(range(3)), view.select(range(3, ROWS))]),
    "pickle": lambda view: pickle.loads(pickle.dumps(view)),  # noqa: S301
    "rename and remove": lambda view: view.rename_column("wnid", "synset").remove_columns("source"),
    "iterable": lambda view: view.to_iterable_dataset(),
    "as_stock": as_stock,
}


@pytest.mark.parametrize("change", VIEWS.values(), ids=VIEWS)
def test_a_view_keeps_its_border_under_whatever_is_done_with_it(
    change: Callable[[datasets.Dataset], datasets.Dataset], view: datasets.Dataset, wanted: list[npt.NDArray[np.uint8]]
) -> None:
    assert_images(change(view), wanted)


STREAMS: dict[str, Callable[[datasets.IterableDataset], datasets.IterableDataset]] = {
    "as it is": lambda stream: stream,
    "map": lambda stream: stream.map(lambda row: {"side": row["image"].width}),
    "map in batches": lambda stream: stream.map(lambda rows: {"side": [i.width for i in rows["image"]]}, batched=True),
    "filter": lambda stream: stream.filter(lambda row: row["image"].width == SIDE),
    "take": lambda stream: stream.take(ROWS),
    "skip": lambda stream: datasets.concatenate_datasets([stream.take(3), stream.skip(3)]),
    "pickle": lambda stream: pickle.loads(pickle.dumps(stream)),  # noqa: S301
    "remove": lambda stream: stream.remove_columns("source"),
    "as_stock": as_stock,
}


@pytest.mark.parametrize("change", STREAMS.values(), ids=STREAMS)
def test_a_stream_keeps_its_border_under_whatever_is_done_with_it(
    change: Callable[[datasets.IterableDataset], datasets.IterableDataset],
    stream: datasets.IterableDataset,
    wanted: list[npt.NDArray[np.uint8]],
) -> None:
    assert_images(change(stream), wanted)


def by_place(rows: Any) -> dict[tuple[str, int], bytes]:
    return {(row["source"], row["x"]): np.asarray(row["image"]).tobytes() for row in rows}


def test_shuffling_moves_whole_rows(
    view: datasets.Dataset, stream: datasets.IterableDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long a stream that is left early waits for its threads.
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0.1)
    shuffled = view.shuffle(seed=1)

    assert shuffled["source"][:] != view["source"][:]
    assert by_place(shuffled) == by_place(view)
    assert by_place(stream.shuffle(seed=1, buffer_size=4)) == by_place(view)
    assert shuffled[3]["image"].size == (SIDE, SIDE)


def test_rows_columns_and_slices_are_decoded(view: datasets.Dataset) -> None:
    assert view["image"][2].size == (SIDE, SIDE)
    assert [image.size for image in view[2:5]["image"]] == [(SIDE, SIDE)] * 3
    assert view[-1]["x"] == BORDER + 64


def test_an_image_that_map_makes_is_stored_as_it_is(view: datasets.Dataset) -> None:
    small = view.map(lambda row: {"image": row["image"].resize((7, 7))})

    assert [row["image"].size for row in small] == [(7, 7)] * ROWS


def test_saved_to_disk_and_loaded(view: datasets.Dataset, wanted: list[npt.NDArray[np.uint8]], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"qi_datasets\.as_stock\(view\)"):
        view.save_to_disk(tmp_path / "saved")

    loaded = datasets.load_from_disk(tmp_path / "saved")

    assert_images(loaded, wanted)
    assert loaded.features == view.features


def test_saved_as_parquet_and_loaded(
    view: datasets.Dataset, wanted: list[npt.NDArray[np.uint8]], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=r"qi_datasets\.as_stock\(view\)"):
        view.to_parquet(tmp_path / "saved.parquet")

    loaded = datasets.Dataset.from_parquet(str(tmp_path / "saved.parquet"), cache_dir=str(tmp_path / "cache"))

    assert_images(loaded, wanted)


@pytest.mark.parametrize("first", ["import datasets, qi_datasets", "import qi_datasets, datasets"])
def test_what_was_written_opens_where_this_package_was_imported(
    first: str, view: datasets.Dataset, tmp_path: Path
) -> None:
    with warnings.catch_warnings(action="ignore"):
        view.to_parquet(tmp_path / "saved.parquet")
    script = (
        f"{first}\nimport sys\nassert 'qi_datasets.torch' not in sys.modules\n"
        f"print(datasets.Dataset.from_parquet({str(tmp_path / 'saved.parquet')!r}, cache_dir={str(tmp_path)!r})[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"size={SIDE}x{SIDE}" in done.stdout


def test_nothing_warns_of_writing_where_nothing_is_written(view: datasets.Dataset) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="this view's images are written")
        view.map(lambda row: {"more": row["x"]}).filter(lambda row: row["label"] == 0).select([0]).sort("x")[0]
        as_stock(view)


def test_as_stock_opens_without_this_package(
    view: datasets.Dataset, wanted: list[npt.NDArray[np.uint8]], tmp_path: Path
) -> None:
    stock = as_stock(view)
    stock.save_to_disk(tmp_path / "saved")

    loaded = datasets.load_from_disk(tmp_path / "saved")

    assert_images(stock, wanted)
    assert_images(loaded, wanted)
    assert stock.features["image"] == loaded.features["image"] == datasets.Image()
    assert [row["border"] for row in loaded] == [BORDER] * ROWS


def test_as_stock_leaves_a_stored_set_as_it_is(small_qi: Path) -> None:
    rows = load_dataset("qi", split="test", output=small_qi)

    for one, other in zip(as_stock(rows), rows, strict=True):
        np.testing.assert_array_equal(np.asarray(one["image"]), np.asarray(other["image"]))


@pytest.mark.parametrize("kind", ["view", "stream", "after map", "from disk"])
def test_a_cast_to_the_stock_image_never_yields_an_image_without_its_border(
    kind: str, view: datasets.Dataset, stream: datasets.IterableDataset, tmp_path: Path
) -> None:
    if kind == "from disk":
        view.save_to_disk(tmp_path / "saved")
    rows = {
        "view": lambda: view,
        "stream": lambda: stream,
        "after map": lambda: view.map(lambda row: {"label": row["label"]}),
        "from disk": lambda: datasets.load_from_disk(tmp_path / "saved"),
    }[kind]()
    with pytest.raises(TypeError, match=r"qi_datasets\.as_stock\(view\)"):
        next(iter(rows.cast_column("image", datasets.Image())))


def test_views_of_different_borders_do_not_mix(view: datasets.Dataset, small_qi: Path) -> None:
    for border in (0, 16):
        other = load_dataset("qi", border=border, split="train", output=small_qi)
        for mix in (datasets.concatenate_datasets, datasets.interleave_datasets):
            for rows in ([view, other], [other, view]):
                with pytest.raises(ValueError, match=r"aligned.*qi_datasets\.as_stock\(view\)"):
                    mix(rows)
        mixed = datasets.concatenate_datasets([as_stock(view), as_stock(other)])
        assert [mixed[row]["image"].width for row in (0, ROWS)] == [SIDE, 120 + 2 * border]


@pytest.mark.parametrize("rows", ["to_pandas", "undecoded"])
def test_what_is_stored_says_that_it_is_not_what_is_seen(rows: str, view: datasets.Dataset, small_qi: Path) -> None:
    undecoded = view.cast_column("image", BorderedImage(BORDER, decode=False))
    cell = view.to_pandas()["image"][0] if rows == "to_pandas" else undecoded[0]["image"]
    stored = load_dataset("qi", split="train", output=small_qi).to_pandas()["image"][0]["bytes"]

    assert cell["bytes"] == {"image as stored, qi_datasets.as_stock(view) gives the one that is seen": stored}
    seen = as_stock(view).to_pandas()["image"][0]["bytes"]
    assert Image.open(io.BytesIO(seen)).size == (SIDE, SIDE)


def test_a_row_may_lose_its_image(view: datasets.Dataset) -> None:
    lost = view.map(lambda row, number: {"image": row["image"] if number else None}, with_indices=True)

    assert [row["image"] is None for row in lost] == [True] + [False] * (ROWS - 1)
    assert lost[1]["image"].size == (SIDE, SIDE)


def test_a_view_shares_the_bytes_of_the_stored_images(small_qi: Path) -> None:
    stored = load_dataset("qi", split="train", output=small_qi)
    view = with_border(stored, BORDER)
    seen = [chunk.field("bytes").field(AS_STORED) for chunk in view.data.table.column("image").chunks]
    files = [chunk.field("bytes") for chunk in stored.data.table.column("image").chunks]

    assert [file.buffers()[2].address for file in seen] == [file.buffers()[2].address for file in files]
    assert len(pickle.dumps(view)) < len(pickle.dumps(stored)) + 20_000


def test_another_process_gets_the_same_fingerprint(view: datasets.Dataset, small_qi: Path) -> None:
    call = f"load_dataset('qi', border={BORDER}, split='train', output={str(small_qi)!r})"
    script = f"from qi_datasets import load_dataset; print({call}._fingerprint)"

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert found.stdout.strip() == view._fingerprint, found.stderr


def test_the_same_call_gives_the_same_fingerprint(view: datasets.Dataset, small_qi: Path) -> None:
    again = load_dataset("qi", border=BORDER, split="train", output=small_qi)
    other = load_dataset("qi", border=BORDER + 1, split="train", output=small_qi)

    assert again._fingerprint == view._fingerprint
    assert other._fingerprint != view._fingerprint


def test_numpy_format(view: datasets.Dataset, wanted: list[npt.NDArray[np.uint8]]) -> None:
    assert_images(view.with_format("numpy"), wanted)


def test_torch_format_and_workers(
    view: datasets.Dataset, stream: datasets.IterableDataset, wanted: list[npt.NDArray[np.uint8]]
) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    images = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in wanted])
    for batch_size in (1, 3):
        batches = list(DataLoader(view.with_format("torch"), batch_size=batch_size, num_workers=2))
        assert torch.equal(torch.cat([batch["image"] for batch in batches]), images)
        assert torch.cat([batch["x"] for batch in batches]).tolist() == [BORDER, BORDER + 64] * (ROWS // 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        batches = list(DataLoader(stream.with_format("torch"), batch_size=2, num_workers=2))
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), images)


def test_worker_processes_inherit_nothing(view: datasets.Dataset, stream: datasets.IterableDataset) -> None:
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    for rows in (view, stream):
        loader = DataLoader(rows.with_format("torch"), num_workers=1, multiprocessing_context="forkserver")
        assert next(iter(loader))["image"].shape == (1, 3, SIDE, SIDE)
