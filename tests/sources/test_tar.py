"""The tar is read where it lies, and one that was cut off anywhere is noticed."""

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
    """Where to cut: in and between all headers, data and padding, and in the blocks that end the archive."""
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


def test_a_compressed_tar_is_an_error(archive: Path, tmp_path: Path) -> None:
    packed = tmp_path / "val.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(archive, "val")

    with pytest.raises(SourceError, match="no tar"):
        open_source(packed)


def test_a_tar_that_shrinks_while_it_is_used_is_an_error(archive: Path) -> None:
    source = open_source(archive)
    archive.write_bytes(archive.read_bytes()[:600])

    with pytest.raises(SourceError, match=f"{pictures.name_of(1)}.JPEG in {archive} ends after 88 of"):
        source.image(pictures.name_of(1)).read()
    archive.unlink()
    with pytest.raises(SourceError, match=f"cannot read {pictures.name_of(1)}.JPEG in {archive}"):
        source.image(pictures.name_of(1)).read()
