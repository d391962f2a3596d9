"""Labels files: every kind that researchers have, and what is wrong with the others."""

import csv
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import wnids
from qi_datasets.sources import open_source, with_labels
from tests import pictures

COUNT = 50_000
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
ORDER = [wnids()[(7 * number + 3) % 1000] for number in range(1000)]
"""The synset of each of the kit's numbers from 1 on: in another order than the sorted one."""

NUMBERS = [(13 * image) % 1000 + 1 for image in range(1, COUNT + 1)]
"""The kit's number of each image from 1 on."""

BIG = dict(zip("<>", (b"IM", b"MI"), strict=True))


def element(kind: int, data: bytes, order: str) -> bytes:
    if len(data) <= 4 and kind < 14:
        return struct.pack(f"{order}I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(kind: int, shape: Sequence[int], content: bytes, order: str, name: bytes = b"") -> bytes:
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    dimensions = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, flags + dimensions + element(1, name, order) + content, order)


def number(value: float, order: str) -> bytes:
    small = value < 256
    return matrix(
        6,
        (1, 1),
        element(2 if small else 9, struct.pack("B" if small else f"{order}d", int(value) if small else value), order),
        order,
    )


def text(value: str, order: str) -> bytes:
    wide = value.encode("utf-16-le" if order == "<" else "utf-16-be")
    return matrix(4, (1, len(value)), element(4, wide, order), order)


def meta_mat(
    order: str = "<", compressed: bool = True, synsets: Sequence[str] = ORDER, name: bytes = b"synsets"
) -> bytes:
    """A file such as the kit's: a table of leaves, 1 to 1000, and of inner nodes with other numbers."""
    names = b"".join(field.ljust(16, b"\0") for field in (b"ILSVRC2012_ID", b"WNID", b"words", b"num_children"))
    rows = [*enumerate(synsets, start=1), (1001, "n00001740")]
    cells = b"".join(number(k, order) + text(w, order) + text("a, b", order) + number(0, order) for k, w in rows)
    struct_array = element(5, struct.pack(f"{order}i", 16), order) + element(1, names, order) + cells
    other = matrix(6, (1, 1), element(9, struct.pack(f"{order}d", 1), order), order, b"other")
    table = matrix(2, (len(rows), 1), struct_array, order, name)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + BIG[order]
    if compressed:
        table = struct.pack(f"{order}II", 15, len(zlib.compress(table))) + zlib.compress(table)
    return header + other + table


def kit(folder: Path, meta: bytes | None = None, numbers: Sequence[int] = NUMBERS) -> Path:
    pictures.write(folder / GROUND_TRUTH, "".join(f"{n}\n" for n in numbers).encode())
    pictures.write(folder / "meta.mat", meta_mat() if meta is None else meta)
    return folder / GROUND_TRUTH


def archive(folder: Path, members: Sequence[str] = (GROUND_TRUTH, "meta.mat")) -> Path:
    kit(folder)
    path = folder / "ILSVRC2012_devkit_t12.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.add(folder / member, f"ILSVRC2012_devkit_t12/data/{member}")
    return path


def lines(folder: Path, form: str) -> Path:
    content = "".join(f"{form.format(n=n)}  {kit_wnid(pictures.name_of(n))}\r\n\n" for n in range(1, 16))
    pictures.write(folder / "labels.txt", content.encode())
    return folder / "labels.txt"


def kaggle(folder: Path) -> Path:
    table = io.StringIO()
    out = csv.writer(table)
    out.writerow(["ImageId", "PredictionString"])
    out.writerows([pictures.name_of(n), f"{kit_wnid(pictures.name_of(n))} 1 2 3 4 "] for n in range(1, 16))
    pictures.write(folder / "LOC_val_solution.csv", table.getvalue().encode())
    return folder / "LOC_val_solution.csv"


def kit_wnid(name: str) -> str:
    return ORDER[NUMBERS[int(name[-8:]) - 1] - 1]


KINDS: dict[str, Callable[[Path], Path]] = {
    "kit": kit,
    "kit, not compressed": lambda folder: kit(folder, meta_mat(compressed=False)),
    "kit, big-endian": lambda folder: kit(folder, meta_mat(">")),
    "kit, archive": archive,
    "kaggle": kaggle,
    "names": lambda folder: lines(folder, "ILSVRC2012_val_{n:08d}"),
    "file names": lambda folder: lines(folder, "ILSVRC2012_val_{n:08d}.JPEG"),
    "paths": lambda folder: lines(folder, "val/ILSVRC2012_val_{n:08d}.JPEG"),
    "ids": lambda folder: lines(folder, "{n:08d}"),
    "numbers": lambda folder: lines(folder, "{n}"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_the_synsets(kind: str, flat_folder: str, album: dict[str, bytes], tmp_path: Path) -> None:
    source = with_labels(open_source(flat_folder), KINDS[kind](tmp_path))

    assert {name: source.chosen(name).wnid for name in album} == {name: kit_wnid(name) for name in album}


def test_images_of_any_folder_go_by_their_paths(tmp_path: Path) -> None:
    for name in ("a b.png", "c/d.png"):
        pictures.write(tmp_path / "images" / name, pictures.encoded(pictures.picture(1), "PNG"))
    pictures.write(tmp_path / "labels", b"a b.png n01440764\nc/d.png\tn02119789\n")

    source = with_labels(open_source(tmp_path / "images"), tmp_path / "labels")

    assert [source.chosen(name).wnid for name in ("a b.png", "c/d.png")] == ["n01440764", "n02119789"]


def test_images_that_the_file_does_not_name_have_no_synset(flat_folder: str, tmp_path: Path) -> None:
    pictures.write(tmp_path / "labels", b"3 n01440764\n")

    source = with_labels(open_source(flat_folder), tmp_path / "labels")

    assert [source.chosen(pictures.name_of(n)).wnid for n in (3, 4)] == ["n01440764", ""]


def test_a_layouts_own_synset_stays_and_may_not_be_contradicted(album: dict[str, bytes], tmp_path: Path) -> None:
    val = pictures.class_folders(album, tmp_path / "val")
    own = pictures.wnid_of(pictures.name_of(3))
    pictures.write(tmp_path / "labels", f"3 {own}\n4 n15075141\n".encode())

    source = with_labels(open_source(val), tmp_path / "labels")

    assert source.chosen(pictures.name_of(3)).wnid == own
    assert source.chosen(pictures.name_of(5)).wnid == pictures.wnid_of(pictures.name_of(5))
    with pytest.raises(SourceError, match="but n15075141 in the labels file"):
        source.chosen(pictures.name_of(4))


def damaged(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    path = archive(folder)
    path.write_bytes(change(path.read_bytes()))
    return path


def written(folder: Path, content: bytes, name: str = "labels.txt") -> Path:
    pictures.write(folder / name, content)
    return folder / name


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no file": (lambda folder: folder / "none.txt", "cannot read .*none.txt"),
    "a folder": (lambda folder: folder, "cannot read"),
    "no csv": (lambda folder: folder / "none.csv", "none.csv cannot be read"),
    "another csv": (lambda folder: written(folder, b"a,b\n1,2\n", "a.csv"), "not Kaggle's table"),
    "empty": (lambda folder: written(folder, b"\n \n"), "is empty"),
    "no text": (lambda folder: written(folder, b"\xff\xfe\x00\x80"), "is no text"),
    "no synset": (lambda folder: written(folder, b"3 n01440764\n\n4 fish\n"), "line 3: '4 fish'"),
    "one word": (lambda folder: written(folder, b"n01440764\n"), "line 1"),
    "two synsets": (lambda folder: written(folder, b"3 n01440764\n3 n02119789\n"), "line 2: .* above"),
    "other images": (lambda folder: written(folder, b"99 n01440764\n"), "knows no image"),
    "no meta.mat": (lambda folder: written(folder, b"1\n2\n", GROUND_TRUTH), "cannot read .*meta.mat"),
    "a short kit": (lambda folder: kit(folder, numbers=NUMBERS[:-1]), "49999 lines of 1000 classes"),
    "unknown numbers": (lambda folder: kit(folder, numbers=[1002] * COUNT), "looked up"),
    "an inner node": (lambda folder: kit(folder, numbers=[1001] * COUNT), "not the ground truth"),
    "no numbers": (lambda folder: written(kit(folder).parent, b"1\nx\n", GROUND_TRUTH), "looked up"),
    "a kit of other synsets": (
        lambda folder: kit(folder, meta_mat(synsets=["n00000001"] * 1000)),
        "not the ground truth",
    ),
    "a kit without the table": (lambda folder: kit(folder, meta_mat(name=b"nothing")), "no table synsets"),
    "no MATLAB file": (lambda folder: kit(folder, b"meta"), "no MATLAB file"),
    "a short archive": (lambda folder: archive(folder, [GROUND_TRUTH]), "holds no meta.mat"),
    "an archive that is cut off": (
        lambda folder: damaged(folder, lambda data: data[: len(data) // 2]),
        "labels|cut off",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_none_is_an_error_in_one_line(case: str, flat_folder: str, tmp_path: Path) -> None:
    make, message = BAD[case]
    path = make(tmp_path)

    with pytest.raises(SourceError, match=message) as caught:
        with_labels(open_source(flat_folder), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_to_meta_mat_is_more_than_an_error(compressed: bool) -> None:
    from qi_datasets.sources.matlab import synsets_by_id

    whole = meta_mat(compressed=compressed, synsets=ORDER[:3])
    for length in range(0, len(whole), 7):
        try:
            assert len(synsets_by_id(whole[:length])) == 4
        except ValueError:
            continue
    for place in range(128, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0x41
        try:
            synsets_by_id(bytes(changed))
        except ValueError:
            continue
