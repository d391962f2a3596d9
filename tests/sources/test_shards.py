"""Parquet shards of the Hub's imagenet-1k, on a disk and behind URLs."""

import io
import os
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qi_datasets.errors import SourceError
from qi_datasets.sources import open_source
from qi_datasets.sources.members import list_members
from tests import pictures
from tests.refusals import refused

FILES = pictures.album(5)
ROWS = pictures.hub_rows(FILES)


def store(folder: Path, **shards: bytes) -> Path:
    for name, content in shards.items():
        pictures.write(folder / f"{name}.parquet", content)
    return folder


def test_one_shard_alone(tmp_path: Path) -> None:
    store(tmp_path, validation=pictures.shard(ROWS))

    source = open_source(tmp_path / "validation.parquet")

    assert {name: source.image(name).read() for name in source.names} == FILES


def test_shards_whose_names_tell_no_split_are_all_read(tmp_path: Path) -> None:
    store(tmp_path, part0=pictures.shard(ROWS[:2]), part1=pictures.shard(ROWS[2:]))

    assert set(open_source(tmp_path).names) == set(FILES)


@pytest.mark.parametrize("url", ["a folder", "memory://only/training"])
def test_training_shards_alone_are_no_source(url: str, tmp_path: Path) -> None:
    place = url if "://" in url else str(tmp_path)
    with fsspec.open(f"{place}/train-0.parquet", "wb") as file:
        file.write(pictures.shard(ROWS))

    with refused(SourceError, "no-images", match=r"no images in|holds no Parquet shards or tars of a validation split"):
        open_source(place)


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = store(tmp_path / "val [old] *", validation=pictures.shard(ROWS))

    assert set(open_source(folder).names) == set(FILES)


def test_images_are_read_in_any_order(tmp_path: Path) -> None:
    source = open_source(pictures.shards(FILES, tmp_path))
    backwards = [source.image(name) for name in reversed(FILES)]

    with source.at_hand(backwards, tmp_path) as at_hand:
        assert [image.read() for image in at_hand] == list(FILES.values())[::-1]
    assert {image.name: data for image, data in source.contents(backwards)} == FILES


def test_an_id_twice_is_an_error_unless_the_bytes_are_the_same(tmp_path: Path) -> None:
    (path, content), name = ROWS[0], next(iter(FILES))
    store(tmp_path, validation0=pictures.shard(ROWS), validation1=pictures.shard([(path, content)]))
    assert set(open_source(tmp_path).names) == set(FILES)

    store(tmp_path, validation1=pictures.shard([(path, b"other")]))
    with pytest.raises(SourceError, match=f"{name} occurs twice with different bytes.*JPEG in .*validation1"):
        open_source(tmp_path)


def without_images() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), file)
    return file.getvalue()


BROKEN = {
    "no Parquet": (b"no Parquet at all", "cannot read .*validation.parquet as Parquet"),
    "empty": (b"", "cannot read .*validation.parquet as Parquet"),
    "cut off": (pictures.shard(ROWS)[:-20], "cannot read .*validation.parquet as Parquet"),
    "of something else": (without_images(), "has no column image"),
    "of other images": (pictures.shard([("cat.jpg", b"a")]), "holds 'cat.jpg'"),
    "without names": (pictures.shard([(None, b"a")]), "holds images without names: .* JPEG of quality 75"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_shard_that_cannot_be_used_is_an_error(content: bytes, message: str, tmp_path: Path) -> None:
    store(tmp_path, validation=content)

    with pytest.raises(SourceError, match=message):
        open_source(tmp_path)


@pytest.mark.parametrize("place", ["in data", "in the footer's place"])
def test_damage_that_shows_only_when_images_are_read_is_an_error(place: str, tmp_path: Path) -> None:
    source = open_source(store(tmp_path, validation=pictures.shard(ROWS, row_group_size=1)))
    content = bytearray((tmp_path / "validation.parquet").read_bytes())
    content = content[:300] if place == "in the footer's place" else bytearray(len(content) - 600) + content[-600:]
    (tmp_path / "validation.parquet").write_bytes(content)

    with pytest.raises(SourceError, match="fetch the shard again"):
        list(source.contents(list(map(source.image, FILES))))


def test_a_row_without_bytes_is_an_error(tmp_path: Path) -> None:
    source = open_source(store(tmp_path, validation=pictures.shard([(path, None) for path, _ in ROWS])))

    with (
        pytest.raises(SourceError, match=next(iter(FILES))),
        source.at_hand(list(map(source.image, FILES)), tmp_path) as images,
    ):
        images[0].decode(images[0].read())


@pytest.mark.parametrize("url", ["nope://bucket/val", "memory://nothing/here"])
def test_a_url_without_shards_is_an_error(url: str) -> None:
    with pytest.raises(SourceError, match=url):
        open_source(url)


def table(columns: dict[str, pa.Array]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def images(data: pa.DataType, path: pa.DataType, value: object, name: object) -> pa.Array:
    return pa.array([{"bytes": value, "path": name}], pa.struct({"bytes": data, "path": path}))


WRONG_TYPES = {
    "bytes that are text": table({"image": images(pa.string(), pa.string(), "x", ROWS[0][0])}),
    "bytes that are numbers": table({"image": images(pa.int64(), pa.string(), 7, ROWS[0][0])}),
    "paths that are bytes": table({"image": images(pa.binary(), pa.binary(), b"x", ROWS[0][0].encode())}),
    "flat columns": table({"image.bytes": pa.array([b"x"]), "image.path": pa.array([ROWS[0][0]])}),
    "a list of structs": table({"image": pa.array([[{"bytes": b"x", "path": "y"}]])}),
    "two fields of one name": table(
        {"image": pa.StructArray.from_arrays([pa.array([b"x"]), pa.array([b"y"])], ["bytes", "bytes"])}
    ),
}


@pytest.mark.parametrize("content", WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_columns_of_other_types_are_one_of_our_errors(content: bytes, tmp_path: Path) -> None:
    store(tmp_path, validation=content)

    with pytest.raises(SourceError, match="has no column image of bytes and path"):
        open_source(tmp_path)


@pytest.mark.timeout(20)
def test_a_pipe_that_is_called_a_shard_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "validation.parquet")

    with pytest.raises(SourceError, match="is no regular file"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("data", "text"),
    [(pa.large_binary(), pa.large_string()), (pa.binary_view(), pa.string_view())],
    ids=["large", "views"],
)
def test_large_types_and_views_will_do(data: pa.DataType, text: pa.DataType, tmp_path: Path) -> None:
    array = pa.array(
        [{"bytes": content, "path": name} for name, content in ROWS], pa.struct({"bytes": data, "path": text})
    )
    store(tmp_path, validation=table({"image": array}))
    source = open_source(tmp_path)

    assert {name: source.image(name).read() for name in source.names} == FILES
    members = {member.name: member for member in list_members(str(next(tmp_path.rglob("*.parquet"))))}
    assert {name: member.size for name, member in members.items()} == {name: len(content) for name, content in ROWS}
