"""Arrow files of `datasets`, TFRecords, Parquet with views, and the Hub's cache give the images as they are."""

import io
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import datasets
import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qi_datasets.errors import SourceError
from qi_datasets.sources import open_source
from tests import expected, pictures

FILES = pictures.album(9)
ROWS = pictures.hub_rows(FILES)
FEATURES = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})


def rows() -> datasets.Dataset:
    """Returns the images as `datasets` has them, not decoded."""
    cells = [{"bytes": content, "path": path} for path, content in ROWS]
    return datasets.Dataset.from_dict({"image": cells, "label": [0] * len(cells)}, features=FEATURES)


def saved(folder: Path) -> Path:
    rows().save_to_disk(folder / "saved")
    return folder / "saved"


def saved_splits(folder: Path) -> Path:
    other = datasets.Dataset.from_dict({"image": [], "label": []}, features=FEATURES)
    datasets.DatasetDict({"train": other, "validation": rows()}).save_to_disk(
        folder / "splits", num_shards={"train": 1, "validation": 2}
    )
    return folder / "splits"


def cache(folder: Path) -> Path:
    """Writes files as `load_dataset` leaves them in its cache: streams of Arrow, small batches."""
    table = rows().data.table
    for number, part in enumerate((table.slice(0, 5), table.slice(5))):
        path = folder / "ILSVRC___imagenet-1k" / "hash" / f"imagenet-1k-validation-0000{number}-of-00002.arrow"
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, part.schema) as stream:
            stream.write_table(part, max_chunksize=2)
    (path.parent / "imagenet-1k-train-00000-of-00001.arrow").write_bytes(b"never read")
    return folder


def one_arrow_file(folder: Path) -> Path:
    return next(saved(folder).glob("*.arrow"))


def large_arrow_file(folder: Path) -> Path:
    path, table = folder / "large.arrow", views(pa.large_binary(), pa.large_string())
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=4)
    return path


def views(data: pa.DataType, text: pa.DataType) -> pa.Table:
    cells = [{"bytes": content, "path": path} for path, content in ROWS]
    return pa.table({"image": pa.array(cells, pa.struct({"bytes": data, "path": text}))})


def parquet_of_views(folder: Path) -> Path:
    """Writes a file as polars does: the schema of Arrow in the file says that columns are views."""
    pq.write_table(views(pa.binary_view(), pa.string_view()), folder / "validation.parquet", row_group_size=100)
    return folder


def snapshot(folder: Path) -> Path:
    """Makes a folder like the Hub's cache: names are links into `blobs`."""
    data = folder / "datasets--ILSVRC--imagenet-1k" / "snapshots" / "abc" / "data"
    for number, (name, content) in enumerate(pictures.shards_by_name(FILES).items()):
        pictures.write(folder / "datasets--ILSVRC--imagenet-1k" / "blobs" / f"{number}", content)
        data.mkdir(parents=True, exist_ok=True)
        (data / name).symlink_to(Path("../../../blobs") / str(number))
    return folder / "datasets--ILSVRC--imagenet-1k"


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(features: Mapping[str, bytes | int]) -> bytes:
    """Returns a `tf.train.Example`, written here without the code that reads it."""
    entries = b""
    for name, value in features.items():
        feature = field(3, field(1, varint(value))) if isinstance(value, int) else field(1, field(1, value))
        entries += field(1, field(1, name.encode()) + field(2, feature))
    return field(1, entries)


def crc(data: bytes) -> bytes:
    value = google_crc32c.value(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + crc(length) + data + crc(data)


def tfds(files: Mapping[str, bytes], swapped: bool = False) -> list[bytes]:
    made = []
    for name, content in files.items():
        features: dict[str, bytes | int] = {"file_name": f"{name}.JPEG".encode(), "image": content, "label": 300}
        made.append(record(example(dict(reversed(features.items())) if swapped else features)))
    return made


def tfrecords(folder: Path) -> Path:
    records = tfds(FILES)
    for number in range(2):
        path = folder / "imagenet2012" / "5.1.0" / f"imagenet2012-validation.tfrecord-0000{number}-of-00002"
        pictures.write(path, b"".join(records[number::2]))
    pictures.write(path.with_name("imagenet2012-train.tfrecord-00000-of-00001"), b"never read")
    return folder


def one_tfrecord_file(folder: Path) -> Path:
    pictures.write(folder / "a.tfrecord", b"".join(tfds(FILES, swapped=True)))
    return folder / "a.tfrecord"


def tfrecords_of_inception(folder: Path) -> Path:
    made = [example({"image/encoded": data, "image/filename": f"{name}.JPEG".encode()}) for name, data in FILES.items()]
    pictures.write(folder / "validation.tfrecord", b"".join(map(record, made)))
    return folder


TABLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "save_to_disk": (saved, "Arrow files"),
    "save_to_disk, splits": (saved_splits, "Arrow files"),
    "cache of datasets": (cache, "Arrow files"),
    "one Arrow file": (one_arrow_file, "Arrow files"),
    "Arrow file of large types": (large_arrow_file, "Arrow files"),
    "Parquet of views": (parquet_of_views, "Parquet shards"),
    "cache of the Hub": (snapshot, "Parquet shards"),
    "TFDS": (tfrecords, "TFRecord files"),
    "one TFRecord": (one_tfrecord_file, "TFRecord files"),
    "TFRecords of Inception": (tfrecords_of_inception, "TFRecord files"),
}


@pytest.mark.parametrize(("make", "layout"), TABLES.values(), ids=TABLES)
def test_a_table_gives_the_images_and_their_synsets(
    make: Callable[[Path], Path], layout: str, tmp_path: Path, untouched
) -> None:
    place = make(tmp_path)
    before = untouched(tmp_path)

    source = open_source(place)

    assert source.layout == layout
    assert source.warnings == ()
    images = [source.image(name) for name in FILES]
    assert {image.name: content for image, content in source.contents(images)} == FILES
    assert [image.read() for image in images] == list(FILES.values())
    assert [image.wnid for image in images] == list(map(expected.val_wnid, FILES))
    assert untouched(tmp_path) == before


def test_images_that_map_wrote_again_are_refused_with_what_to_do(tmp_path: Path) -> None:
    rows().map(lambda row: {"image": row["image"].convert("RGB")}).save_to_disk(tmp_path / "mapped")
    rows().map(lambda row: {"image": row["image"].convert("RGB")}).to_parquet(tmp_path / "validation.parquet")

    for place in (tmp_path / "mapped", tmp_path / "validation.parquet"):
        with pytest.raises(SourceError, match=r"images without names: `map` of .* Image\(decode=False\)") as raised:
            open_source(place)
        assert len(str(raised.value).splitlines()) == 1


def damaged(at: int, value: int) -> bytes:
    data = bytearray(b"".join(tfds(FILES)))
    data[at] ^= value
    return bytes(data)


FIRST = len(tfds(FILES)[0])
HOSTILE = {
    "a length": (damaged(0, 1), "the checksum of a length differs"),
    "the checksum of a length": (damaged(9, 1), "the checksum of a length differs"),
    "the checksum of a record": (damaged(FIRST - 1, 1), "its checksum differs"),
    "a picture": (damaged(FIRST - 100, 1), "its checksum differs"),
    "an endless record": (
        struct.pack("<Q", 1 << 62) + crc(struct.pack("<Q", 1 << 62)) + bytes(50),
        "ends beyond the file",
    ),
    "cut off": (b"".join(tfds(FILES))[:-3], "ends beyond the file"),
    "no Example": (record(b"\x08\x07" * 9), "it is no tf.train.Example"),
    "an endless number": (record(b"\xff" * 40), "more than 64 bits"),
    "without names": (record(example({"image": b"x"})), "images without names"),
    "of other images": (record(example({"image": b"x", "file_name": b"cat.jpg"})), "holds 'cat.jpg'"),
}


def read_all(place: Path) -> None:
    source = open_source(place)
    for name in source.names:
        source.image(name).read()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_tfrecord_is_a_line(content: bytes, message: str, tmp_path: Path) -> None:
    pictures.write(tmp_path / "validation.tfrecord", content)

    with pytest.raises(SourceError, match=message) as raised:
        read_all(tmp_path)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no Arrow", b"ARROW1\0\0", b"\xff\xff\xff\xff\x10\0\0\0" + bytes(16)])
def test_what_is_no_arrow_is_a_line(content: bytes, tmp_path: Path) -> None:
    pictures.write(tmp_path / "validation.arrow", content)

    with pytest.raises(SourceError, match=r"(cannot read .* as Arrow|has no column image)"):
        open_source(tmp_path)


def test_compressed_arrow_is_refused(tmp_path: Path) -> None:
    table = views(pa.binary(), pa.string())
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    path = str(tmp_path / "a.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema, options=options) as stream:
        stream.write_table(table)

    with pytest.raises(SourceError, match="compressed ones; write it with save_to_disk"):
        open_source(tmp_path)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"


@pytest.mark.parametrize(
    "name", ["validation.parquet", "a.arrow", "validation.tfrecord", "val.tar", "val.zip", "val.tar.gz"]
)
def test_a_pointer_of_git_lfs_says_what_to_do(name: str, tmp_path: Path) -> None:
    pictures.write(tmp_path / name, POINTER)

    with pytest.raises(SourceError, match="run git lfs pull"):
        open_source(tmp_path / name)


def test_a_picture_that_is_a_pointer_says_so(tmp_path: Path) -> None:
    pictures.write(tmp_path / f"{pictures.name_of(1)}.JPEG", POINTER)
    source = open_source(tmp_path)

    with pytest.raises(SourceError, match="run git lfs pull"):
        source.image(pictures.name_of(1)).read()
    with pytest.raises(SourceError, match="run git lfs pull"):
        source.image(pictures.name_of(1)).decode(POINTER)


@pytest.mark.parametrize("place", ["file", "folder"])
@pytest.mark.parametrize(
    ("name", "message"),
    [("a.beton", "FFCV"), ("val.rec", "MXNet"), ("val_data.npz", "downsampled ImageNet"), ("data.lmdb", "database")],
)
def test_copies_that_cannot_be_right_are_refused_by_name(name: str, message: str, place: str, tmp_path: Path) -> None:
    pictures.write(tmp_path / name, io.BytesIO(b"x").read())

    with pytest.raises(SourceError, match=message) as raised:
        open_source(tmp_path / name if place == "file" else tmp_path)
    assert str(raised.value).endswith("give the original validation images")
