"""Readers of mutants, each beside a plain reader of its format: readable mutants must give the same as that one."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from qi_datasets.storage.manifest import MANIFEST
from tests import pictures

SECONDS = 30


def read_all(kind: str, folder: Path, start: int) -> None:
    """In the child: reads mutant after mutant and prints how each was taken."""
    import signal
    import warnings

    warnings.simplefilter("ignore")
    for path in sorted(folder.glob("[0-9]" * 5))[start:]:
        signal.alarm(SECONDS)
        print(READERS[kind](path), flush=True)
        signal.alarm(0)


def read_picture(path: Path) -> str:
    """An image file against stock Pillow."""
    from qi_datasets.errors import SourceError
    from qi_datasets.sources.base import FileLocation, SourceImage

    image = SourceImage("x", "", FileLocation(str(path)))
    try:
        found = image.decode(image.read())
    except SourceError as error:
        assert len(str(error).splitlines()) == 1
        return "refused"
    stock = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    assert np.array_equal(np.asarray(found), np.asarray(stock))
    return "read"


def read_source(suffix: str, stock: Callable[[Path], dict[str, bytes]]) -> Callable[[Path], str]:
    """A reader of archives, against a stock one."""

    def read(path: Path) -> str:
        from qi_datasets.errors import SourceError
        from qi_datasets.sources import open_source

        named = path.with_suffix(suffix)
        path.rename(named)
        try:
            source = open_source(named)
            found = {name: source.image(name).read() for name in source.names}
            assert {image.name: data for image, data in source.contents(list(map(source.image, found)))} == found
        except SourceError as error:
            assert len(str(error).splitlines()) == 1
            return "refused"
        try:
            wanted = stock(named)
        except (OSError, ValueError):  # it reads more than the images
            return "read, but not by a stock reader"
        assert found.items() <= wanted.items(), sorted(found)
        return "read"

    return read


def stock_tar(path: Path) -> dict[str, bytes]:
    """Returns the members that `tarfile` finds."""
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and not member.issparse():
                name = member.name.rpartition("/")[2].rpartition(".")[0]
                found.setdefault(name, tar.extractfile(member).read())
    return found


def stock_parquet(path: Path) -> dict[str, bytes]:
    """Returns the images that pyarrow finds."""
    cells = pq.read_table(path, columns=["image"])["image"].to_pylist()
    return {cell["path"][: len(pictures.name_of(1))]: cell["bytes"] or b"" for cell in cells}


def read_manifest(path: Path) -> str:
    """A set with that manifest, loaded and verified."""
    import datasets

    from qi_datasets import load_dataset
    from qi_datasets.errors import QIDatasetsError
    from qi_datasets.verification.verify import verify

    datasets.disable_progress_bars()
    output = path.parent / "set"
    (output / "qi" / MANIFEST).write_bytes(path.read_bytes())
    status = verify(output, "qi", only="integrity").exit_status
    try:
        loaded = load_dataset("qi", output=output, streaming=True)
        labels = {split: [row["label"] for row in rows] for split, rows in loaded.items()}
    except QIDatasetsError as error:
        assert len(str(error).splitlines()) == 1
        assert status == 1
        return "refused"
    assert status == 1 or labels == {split: [0, 1, 0, 1] for split in ("train", "validation", "test")}, labels
    return "loaded, verified" if status == 0 else "loaded, fails verification"


READERS: dict[str, Callable[[Path], str]] = {
    "jpeg": read_picture,
    "png": read_picture,
    "tar": read_source(".tar", stock_tar),
    "parquet": read_source(".parquet", stock_parquet),
    "manifest": read_manifest,
}
