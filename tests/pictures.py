"""Small pictures that the tests make, in every layout that a researcher may have."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests import expected

Files = Mapping[str, bytes]
"""Image name, such as ILSVRC2012_val_00000293 -> the bytes of its file."""

SIZES = ((61, 40), (40, 61), (57, 57), (90, 70), (33, 150), (8, 9), (1, 1), (113, 80))
TAR_NAME = "ILSVRC2012_img_val.tar"
KAGGLE_VAL = Path("ILSVRC/Data/CLS-LOC/val")
SIDEWAYS = 6
"""The EXIF orientation of a camera that was turned by 90 degrees."""


def picture(number: int, size: tuple[int, int] | None = None) -> Image.Image:
    """Returns RGB picture `number`, of `size` (width, height) pixels: waves and some noise."""
    width, height = size or SIZES[number % len(SIZES)]
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(a * x + b * y + c) for a, b, c in rng.uniform(0, 1, (3, 3))]
    noisy = np.stack(waves, axis=2) + rng.uniform(-30, 30, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sideways(image: Image.Image) -> bytes:
    """Returns a JPEG whose EXIF data ask viewers to rotate it."""
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    return encoded(image, exif=exif)


KINDS: tuple[Callable[[Image.Image], bytes], ...] = (
    encoded,
    sideways,
    lambda image: encoded(image.convert("L")),
    lambda image: encoded(image.convert("CMYK")),
    lambda image: encoded(image, "PNG"),
    lambda image: encoded(image, progressive=True, quality=60),
    lambda image: encoded(image.convert("P"), "PNG"),
)
"""RGB, EXIF-rotated, grey, CMYK, PNG, progressive and palette files; ImageNet has all but the last."""


def name_of(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}"


def album(count: int) -> dict[str, bytes]:
    """Returns `count` files of ImageNet val, of every kind and size."""
    return {name_of(number): KINDS[number % len(KINDS)](picture(number)) for number in range(1, count + 1)}


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def flat(files: Files, folder: Path) -> str:
    for name, content in files.items():
        write(folder / f"{name}.JPEG", content)
    return str(folder)


def class_folders(files: Files, folder: Path) -> str:
    for name, content in files.items():
        write(folder / expected.val_wnid(name) / f"{name}.JPEG", content)
    return str(folder)


def root_flat(files: Files, folder: Path) -> str:
    flat(files, folder / "val")
    return str(folder)


def root_class_folders(files: Files, folder: Path) -> str:
    class_folders(files, folder / "val")
    return str(folder)


def kaggle(files: Files, folder: Path) -> str:
    flat(files, folder / KAGGLE_VAL)
    write(folder / "LOC_val_solution.csv", b"never read")
    return str(folder)


def kaggle_val(files: Files, folder: Path) -> str:
    kaggle(files, folder)
    return str(folder / KAGGLE_VAL)


def tar(members: Files | Iterable[tuple[str, bytes]], path: Path) -> str:
    """Writes a tar at `path` of (member name, bytes); a mapping's names get the extension of ImageNet's files."""
    if isinstance(members, Mapping):
        members = [(f"{name}.JPEG", content) for name, content in members.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def tar_file(files: Files, folder: Path) -> str:
    return tar(files, folder / "any name.tar")


def tar_in_folder(files: Files, folder: Path) -> str:
    tar(files, folder / TAR_NAME)
    return str(folder)


def shard(rows: Iterable[tuple[str | None, bytes | None]], row_group_size: int = 2) -> bytes:
    """Writes a Parquet file like the Hub's imagenet-1k, of (path, bytes)."""
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = [{"bytes": content, "path": path} for path, content in rows]
    table = pa.table({"image": pa.array(cells, image), "label": pa.array([0] * len(cells), pa.int64())})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=row_group_size)
    return file.getvalue()


def hub_rows(files: Files) -> list[tuple[str, bytes]]:
    return [(f"{name}_{expected.val_wnid(name)}.JPEG", content) for name, content in files.items()]


def shards_by_name(files: Files) -> dict[str, bytes]:
    """Writes two validation shards, in an order of their own, and a training shard, which must be ignored."""
    rows = hub_rows(files)[::-1]
    half = len(rows) // 2
    return {
        "train-00000-of-00001.parquet": b"never read",
        "validation-00000-of-00002.parquet": shard(rows[:half]),
        "validation-00001-of-00002.parquet": shard(rows[half:]),
    }


def shards(files: Files, folder: Path) -> str:
    for name, content in shards_by_name(files).items():
        write(folder / "data" / name, content)
    return str(folder)


def shards_in_memory(files: Files, folder: Path) -> str:
    url = f"memory://{folder.as_posix()}"
    for name, content in shards_by_name(files).items():
        with fsspec.open(f"{url}/{name}", "wb") as file:
            file.write(content)
    return url


def kaggle_zip(files: Files, folder: Path) -> str:
    """Writes Kaggle's archive: annotations and training images beside the validation images, deflated in part."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "imagenet-object-localization-challenge.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"ILSVRC/Annotations/CLS-LOC/val/{name}.xml", b"<annotation/>")
            deflated = zipfile.ZIP_DEFLATED if len(content) % 2 else zipfile.ZIP_STORED
            archive.writestr(f"{KAGGLE_VAL}/{name}.JPEG", content, deflated)
        archive.writestr("ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_1.JPEG", b"never read")
        archive.writestr("LOC_val_solution.csv", b"never read")
    return str(path)


def packed(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Writes a compressed tar of (member name, bytes)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def tar_gz(files: Files, folder: Path) -> str:
    """Writes a compressed tar, as on the Hub."""
    write(folder / "val_images.tar.gz", packed(hub_rows(files)))
    return str(folder / "val_images.tar.gz")


def tar_gz_in_folder(files: Files, folder: Path) -> str:
    write(folder / "data" / "train_images_0.tar.gz", b"never read")
    tar_gz(files, folder / "data")
    return str(folder)


def kaggle_patched(files: Files, folder: Path) -> str:
    """Writes an older archive of Kaggle's, whose images are in a compressed tar inside."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "imagenet-object-localization-challenge.zip"
    members = [("ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_1.JPEG", b"never kept")]
    members += [(f"{KAGGLE_VAL}/{name}.JPEG", content) for name, content in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("imagenet_object_localization_patched2019.tar.gz", packed(members))
    return str(path)


def wds_shards(files: Files) -> dict[str, list[tuple[str, bytes]]]:
    """Writes two webdataset shards like timm's copy, in an order of their own, and a training shard."""
    found: dict[str, list[tuple[str, bytes]]] = {"imagenet1k-train-0000.tar": [("never.jpg", b"read")]}
    for number, (name, content) in enumerate(reversed(files.items())):
        label = expected.wnids().index(expected.val_wnid(name))
        text = json.dumps({"filename": f"{name}.JPEG", "label": label, "width": 5, "height": 5})
        members = found.setdefault(f"imagenet1k-validation-{number % 2:02d}.tar", [])
        members += [(f"{name}.cls", str(label).encode()), (f"{name}.jpg", content), (f"{name}.json", text.encode())]
    return found


def wds(files: Files, folder: Path) -> str:
    for name, members in wds_shards(files).items():
        tar(members, folder / name)
    return str(folder)


def wds_in_memory(files: Files, folder: Path) -> str:
    url = f"memory://{folder.as_posix()}/wds"
    for name, members in wds_shards(files).items():
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path, content in members:
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        with fsspec.open(f"{url}/{name}", "wb") as target:
            target.write(file.getvalue())
    return url


ARCHIVES: dict[str, Callable[[Files, Path], str]] = {
    function.__name__: function
    for function in (kaggle_zip, kaggle_patched, tar_gz, tar_gz_in_folder, wds, wds_in_memory)
}
"""Writes files into archives that are not unpacked and returns what `--imagenet-val` takes."""

LAYOUTS: dict[str, Callable[[Files, Path], str]] = {
    function.__name__: function
    for function in (
        flat,
        class_folders,
        root_flat,
        root_class_folders,
        kaggle,
        kaggle_val,
        tar_file,
        tar_in_folder,
        shards,
        shards_in_memory,
    )
}
"""Lays files out below a folder and returns what `--imagenet-val` takes."""
