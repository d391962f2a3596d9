"""The tar is read in place, and one that was truncated anywhere is noticed."""

import tarfile
from pathlib import Path

import pytest

from qi_datasets.errors import SourceError
from qi_datasets.sources import open_source
from tests import pictures

FILES = {pictures.name_of(number): pictures.encoded(pictures.picture(number, (30, 20))) for number in (1, 2, 3)}
END = 1024
"""Two blocks of zeros end an archive."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return Path(pictures.tar(FILES, tmp_path / pictures.TAR_NAME))


def members_end(archive: Path) -> int:
    with tarfile.open(archive) as tar:
        tar.getmembers()
        return tar.offset


def cuts() -> list[int]:
    """Returns positions to cut: in and between all headers, data and padding, and in the blocks at the end."""
    ends = 0
    for content in FILES.values():
        ends += 512 + -(-len(content) // 512) * 512
    return sorted({0, 1, 100, *range(512, ends, 512), *range(300, ends, 512), ends, ends + 1, ends + 512, ends + 1023})


@pytest.mark.parametrize("length", cuts())
def test_a_tar_cut_off_anywhere_is_an_error(length: int, archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:length])

    with pytest.raises(SourceError, match=rf"{archive} is cut off.*fetch it again"):
        open_source(archive)


def test_the_two_blocks_of_zeros_are_enough(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: members_end(archive) + END])

    assert set(open_source(archive).names) == set(FILES)


def test_a_damaged_header_in_the_middle_is_an_error(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    second = 512 + -(-len(FILES[pictures.name_of(1)]) // 512) * 512
    content[second] ^= 255
    archive.write_bytes(content)

    with pytest.raises(SourceError, match=f"cut off or damaged at byte {second}"):
        open_source(archive)


def test_members_in_folders_and_other_members(tmp_path: Path) -> None:
    content = FILES[pictures.name_of(1)]
    name = f"{pictures.name_of(1)}.JPEG"
    path = pictures.tar([("val/", b""), (f"./val/{name}", content), ("LICENSE", b"free")], tmp_path / "a.tar")

    source = open_source(path)

    assert {name: source.image(name).read() for name in source.names} == {pictures.name_of(1): content}


def test_a_tar_of_other_things_is_an_error(tmp_path: Path) -> None:
    path = pictures.tar([("n01440764.tar", b"train")], tmp_path / "train.tar")

    with pytest.raises(SourceError, match="holds no ILSVRC2012_val_"):
        open_source(path)


def test_an_id_twice_is_an_error_unless_the_bytes_are_the_same(tmp_path: Path) -> None:
    names = [f"{pictures.name_of(1)}.JPEG", f"n01440764/{pictures.name_of(1)}.JPEG"]
    same = pictures.tar([(name, b"same") for name in names], tmp_path / "same.tar")
    other = pictures.tar(list(zip(names, (b"one", b"other"), strict=True)), tmp_path / "other.tar")

    assert set(open_source(same).names) == {pictures.name_of(1)}
    with pytest.raises(SourceError, match=f"{pictures.name_of(1)} occurs twice with different bytes"):
        open_source(other)


def test_a_tar_that_shrinks_while_it_is_used_is_an_error(archive: Path) -> None:
    source = open_source(archive)
    archive.write_bytes(archive.read_bytes()[:600])

    with pytest.raises(SourceError, match=f"{pictures.name_of(1)}.JPEG in {archive} ends after 88 of"):
        source.image(pictures.name_of(1)).read()
    archive.unlink()
    with pytest.raises(SourceError, match=f"cannot read {pictures.name_of(1)}.JPEG in {archive}"):
        source.image(pictures.name_of(1)).read()


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """Returns a header whose checksum is right, whatever its size field says."""
    block = bytearray(512)
    block[: len(name)] = name.encode()
    block[100:108] = b"0000644\0"
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def binary(size: int) -> bytes:
    """Returns a size field in base 256, which may be negative."""
    return size.to_bytes(12, "big", signed=True) if size < 0 else b"\x80" + size.to_bytes(11, "big")


NAME = f"{pictures.name_of(7)}.JPEG"
HOSTILE = {
    "a negative size": header(NAME, binary(-1024)),
    "a size that leads back to itself": header(NAME, binary(-512)),
    "an endless size": header(NAME, binary(1 << 62)),
    "a size beyond any file": header(NAME, binary(1 << 80)),
    "a long name of a terabyte": header("x", binary(1 << 40), b"L"),
    "a negative long name": header("x", binary(-512), b"L"),
    "an extended header of a terabyte": header("x", binary(1 << 40), b"x"),
    "3000 chained long names": b"".join(
        header("x", b"00000000001\0", b"L") + b"n".ljust(512, b"\0") for _ in range(3000)
    ),
    "3000 chained extended headers": b"".join(header("x", b"00000000000\0", b"x") for _ in range(3000)),
    "an extended header that changes the size": header("x", b"00000000013\0", b"x")
    + b"11 size=-9\n".ljust(512, b"\0")
    + header(NAME, b"00000000000\0"),
    "a sparse file beyond the end": header(NAME, binary(1 << 50), b"S"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("first", [True, False], ids=["first", "after a good one"])
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_with_right_checksums_are_one_of_our_errors(
    hostile: bytes, first: bool, tmp_path: Path
) -> None:
    good = FILES[pictures.name_of(1)]
    member = header(f"{pictures.name_of(1)}.JPEG", f"{len(good):011o}\0".encode()) + good + bytes(-len(good) % 512)
    archive = tmp_path / "a.tar"
    archive.write_bytes((b"" if first else member) + hostile + bytes(10 * 512))

    with pytest.raises(SourceError) as raised:
        open_source(archive)

    assert str(archive) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
