"""Zips, compressed tars and webdataset shards give the images of the flat folder, and hostile ones an error line."""

import bz2
import gzip
import json
import lzma
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from qi_datasets.building.copying import assume_source, make_random_access
from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_TRAIN
from qi_datasets.sources import OnePassSource, Source, open_source
from qi_datasets.sources.members import list_members
from qi_datasets.sources.one_pass import WantedImages
from tests import expected, pictures

FILES = pictures.album(9)
NAMES = frozenset(FILES)
ALL = WantedImages(NAMES, len(NAMES), expected.draw)


def contents(source: Source) -> dict[str, bytes]:
    """Returns the bytes of all images of a source, copied first if needed."""
    with make_random_access(source, lambda: ALL, False) as readable:
        assert readable is not None
        return {name: readable.image(name).read() for name in readable.names}


@pytest.mark.parametrize("layout", pictures.ARCHIVES)
def test_an_archive_gives_the_images_and_their_synsets(layout: str, tmp_path: Path) -> None:
    source = open_source(pictures.ARCHIVES[layout](FILES, tmp_path))

    assert contents(source) == FILES
    with make_random_access(source, lambda: ALL, False) as readable:
        assert readable is not None
        assert str(readable) == str(source)
        assert {name: readable.image(name).wnid for name in FILES} == {name: expected.val_wnid(name) for name in FILES}


@pytest.mark.parametrize("layout", sorted(set(pictures.ARCHIVES) - {"wds_in_memory"}))
def test_an_archive_is_only_read_and_scratch_space_goes(layout: str, tmp_path: Path, untouched, monkeypatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    place = pictures.ARCHIVES[layout](FILES, tmp_path / "images")
    before = untouched(tmp_path / "images")

    contents(open_source(place))
    with pytest.raises(ZeroDivisionError), make_random_access(open_source(place), lambda: ALL, False):
        1 / 0  # noqa: B018

    assert untouched(tmp_path / "images") == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("names", [frozenset(list(FILES)[2:5]), None])
def test_one_pass_copies_no_more_than_is_wanted(names: frozenset[str] | None, tmp_path: Path) -> None:
    source = open_source(pictures.tar_gz(FILES, tmp_path))
    assert isinstance(source, OnePassSource)
    most = 3
    first = sorted(FILES, key=expected.draw)[:most]

    copied = source.copied(WantedImages(names, most, expected.draw), tmp_path / "copies", False)

    wanted = set(names or first)
    assert set(copied.names) == wanted
    files = {path.name for path in (tmp_path / "copies").rglob("*") if path.is_file()}
    assert files == wanted | {"done.json"}
    assert all(copied.image(name).read() == FILES[name] for name in wanted)


def test_an_estimate_reads_a_few_and_takes_the_rest_as_given(tmp_path: Path) -> None:
    source = open_source(pictures.tar_gz(FILES, tmp_path))
    assert isinstance(source, OnePassSource)

    stand_in, seconds = assume_source(source, WantedImages(None, 20, expected.draw))

    assert len(stand_in.names) == 20
    assert seconds > 0
    assert {stand_in.image(name).read() for name in stand_in.names} <= set(FILES.values())


def sample(key: str, content: bytes, beside: dict[str, bytes]) -> list[tuple[str, bytes]]:
    return [(f"{key}.{ending}", data) for ending, data in sorted({"jpg": content, **beside}.items())]


def wds(folder: Path, *samples: list[tuple[str, bytes]]) -> str:
    return pictures.tar([member for one in samples for member in one], folder / "shard-val-0.tar")


def test_the_filename_in_the_json_tells_what_the_key_does_not(tmp_path: Path) -> None:
    meta = [json.dumps({"filename": f"val/{name}.JPEG", "label": 7}).encode() for name in FILES]
    samples = [sample(f"{n:06d}", data, {"json": meta[n], "cls": b"7"}) for n, data in enumerate(FILES.values())]

    shard = wds(tmp_path, *samples)

    assert open_source(shard).layout == "webdataset shards"
    assert contents(open_source(shard)) == contents(open_source(tmp_path)) == FILES
    packed = tmp_path / "packed" / "shard.tar.gz"
    pictures.write(packed, gzip.compress(Path(shard).read_bytes()))
    assert contents(open_source(packed)) == FILES


def test_samples_that_nothing_names_are_no_images(tmp_path: Path) -> None:
    shard = wds(tmp_path, sample("000001", b"x", {"json": b"{}"}), sample("000002", b"x", {"cls": b"3"}))

    with pytest.raises(SourceError, match=r"holds no ILSVRC2012_val_"):
        open_source(shard)


@pytest.mark.parametrize("damage", ["too large", "no JSON", "nested too deeply"])
def test_json_that_cannot_be_read_is_a_line(damage: str, tmp_path: Path) -> None:
    text = {"too large": b'{"a": "' + b"x" * 1_000_001 + b'"}', "no JSON": b"{", "nested too deeply": b"[" * 200_000}
    shard = wds(tmp_path, sample("1", b"x", {"json": text[damage], "cls": b"1"}))

    with pytest.raises(SourceError, match=r"1\.json in .* (has|is no JSON)"):
        open_source(shard)


def test_members_are_listed_with_their_sizes(tmp_path: Path) -> None:
    train = {f"n01440764/n01440764_{n}.JPEG": data for n, data in enumerate(FILES.values())}
    places = [
        pictures.tar(list(train.items()), tmp_path / "t.tar"),
        str(tmp_path / "t.zip"),
        str(tmp_path / "t.parquet"),
        str(tmp_path / "t.arrow"),
    ]
    with zipfile.ZipFile(places[1], "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in train.items():
            archive.writestr(name, data)
    pictures.write(tmp_path / "t.parquet", pictures.shard(list(train.items())))
    cells = pa.array([{"bytes": data, "path": name} for name, data in train.items()])
    with pa.OSFile(places[3], "wb") as file, pa.ipc.new_file(file, pa.schema({"image": cells.type})) as stream:
        stream.write_table(pa.table({"image": cells}))

    for place in places:
        found = list(list_members(place))
        assert [member.size for member in found] == [len(data) for data in train.values()]
        assert [member.location.read() for member in found] == list(train.values())
        assert all(IMAGENET_TRAIN.named(member.name.rpartition("/")[2]) for member in found)


def test_a_zip64_of_kaggle_is_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    place = pictures.kaggle_zip(FILES, tmp_path)

    assert b"PK\6\6" in Path(place).read_bytes()
    assert contents(open_source(place)) == FILES


def zipped(folder: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytearray:
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return bytearray(path.read_bytes())


NAME = f"{pictures.name_of(1)}.JPEG"
OTHER = f"{pictures.name_of(2)}.JPEG"


def directory(data: bytearray, entry: int = 0) -> int:
    """Returns the offset of an entry of a zip's directory."""
    at = -1
    for _ in range(entry + 1):
        at = data.index(b"PK\1\2", at + 1)
    return at


def patched(data: bytearray, at: int, form: str, value: int) -> bytes:
    struct.pack_into(form, data, at, value)
    return bytes(data)


def hostile_zips(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    two = {NAME: b"x" * 100, OTHER: b"y" * 100}
    data = zipped(folder, two)
    yield "cut off", bytes(data[:-30]), "cut off or damaged"
    yield "no directory", b"PK\3\4" + bytes(200), "it has no directory"
    yield "outside", patched(zipped(folder, two), directory(data) + 42, "<L", 1 << 20), "lies outside"
    yield "overlap", patched(zipped(folder, two), directory(data, 1) + 42, "<L", 10), "overlap"
    yield "encrypted", patched(zipped(folder, two), directory(data) + 8, "<H", 1), "encrypted"
    yield "a name that leads out", bytes(zipped(folder, {f"../{NAME}": b"x"})), "leads out of the archive"
    yield "more entries than there are", patched(zipped(folder, two), len(data) - 12, "<H", 9), "directory"


def test_hostile_zips_are_a_line(tmp_path: Path) -> None:
    for title, data, message in hostile_zips(tmp_path):
        place = tmp_path / "hostile.zip"
        place.write_bytes(data)
        with pytest.raises(SourceError, match=message) as raised:
            contents(open_source(place))
        assert str(place) in str(raised.value), title
        assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (16, "<L", 7, "its size or checksum differs"),
        (24, "<L", 60_000_000, "more than the 50 MB"),
        (24, "<L", 10, "its size or checksum differs"),
        (10, "<H", 14, "compressed by method 14"),
    ],
)
def test_a_member_that_is_not_as_its_entry_says_is_a_line(
    offset: int, form: str, value: int, message: str, tmp_path: Path
) -> None:
    data = zipped(tmp_path, {NAME: bytes(100_000)}, zipfile.ZIP_DEFLATED)
    place = tmp_path / "hostile.zip"
    place.write_bytes(patched(data, directory(data) + offset, form, value))

    with pytest.raises(SourceError, match=message):
        contents(open_source(place))


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def packed_tar(members: list[tuple[str, bytes]], folder: Path, pack: Callable[[bytes], bytes] = gzip.compress) -> Path:
    place = folder / "val_images.tar.gz"
    place.write_bytes(pack(Path(pictures.tar(members, folder / "plain")).read_bytes()))
    (folder / "plain").unlink()
    return place


@pytest.mark.parametrize("pack", COMPRESSED.values(), ids=COMPRESSED)
def test_every_kind_of_compression_is_known_by_its_first_bytes(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    place = packed_tar(pictures.hub_rows(FILES), tmp_path, pack)

    assert contents(open_source(place)) == FILES


@pytest.mark.faults
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(NAME, b"one"), (f"a/{NAME}", b"other")], "occurs twice with different bytes"),
        ([(f"../{NAME}", b"x")], "leads out of the archive"),
        ([("zeros", bytes(150_000_000)), (NAME, b"x")], "holds more than 100000000 bytes"),
        ([(NAME, bytes(50_000_001))], "more than the 50 MB"),
        ([("LICENSE", b"x")], "holds no ILSVRC2012_val_"),
    ],
    ids=["twice", "outside", "bomb", "large", "others"],
)
def test_hostile_compressed_tars_are_a_line(members: list[tuple[str, bytes]], message: str, tmp_path: Path) -> None:
    place = packed_tar(members, tmp_path)

    with pytest.raises(SourceError, match=message):
        contents(open_source(place))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [place]


@pytest.mark.parametrize("size", [10, 200, 1000])
def test_a_compressed_tar_that_is_cut_off_is_a_line(size: int, tmp_path: Path) -> None:
    place = packed_tar(pictures.hub_rows(FILES), tmp_path)
    place.write_bytes(place.read_bytes()[:size])

    with pytest.raises(SourceError, match="cut off or damaged"):
        contents(open_source(place))


def test_a_copy_that_was_stopped_goes_on_behind_the_parts_that_are_whole(tmp_path: Path, monkeypatch) -> None:
    url = pictures.wds_in_memory(FILES, tmp_path)
    source = open_source(url)
    assert isinstance(source, OnePassSource)
    memory, opened = type(fsspec.filesystem("memory")), []
    usual = memory.open

    def stopping(self, path, *arguments, **options):
        if options["cache_type"] == "readahead":  # to be read whole
            opened.append(path)
            if len(opened) == 2:
                raise KeyboardInterrupt
        return usual(self, path, *arguments, **options)

    monkeypatch.setattr(memory, "open", stopping)
    monkeypatch.setattr("qi_datasets.sources.remote.MOST_REQUESTS", 0)
    with pytest.raises(KeyboardInterrupt):
        source.copied(ALL, tmp_path / "kept", False)
    copied = source.copied(ALL, tmp_path / "kept", False)

    assert {name: copied.image(name).read() for name in copied.names} == FILES
    assert len(opened) == 3
