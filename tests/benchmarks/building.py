"""Lines about building QI."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from qi_datasets.specs import QI
from qi_datasets.storage.manifest import Manifest
from tests.benchmarks.line import Line, command_seconds, peak_memory, run
from tests.benchmarks.sources import Sources

BUILD = ("-m", "qi_datasets.commands.build")
PLAIN = ("-m", "tests.benchmarks.plain_png")
FEW, MANY = 100, 1000
"""Sources per split, where a line compares numbers of them."""

SLOW = 300
"""Sources per split, where writing the PNG files of all of them by Pillow would take minutes a turn."""

ZLIB_SAMPLE = 40
"""Rows of each config that the zlib line encodes again."""


def options(source: Path, output: Path, workers: int = 1, per_split: int | None = None) -> list[str]:
    """Arguments of `qi-build --set qi`."""
    words = [
        "--imagenet-val",
        str(source),
        "--set",
        "qi",
        "--output",
        str(output),
        "--quiet",
        "--workers",
        str(workers),
    ]
    return words if per_split is None else [*words, "--per-split", str(per_split)]


def build(source: Path, output: Path) -> None:
    """Builds QI with two workers."""
    run(*BUILD, *options(source, output, workers=2))


def lines(sources: Sources) -> Iterator[Line]:
    """Speed, memory and size of a build."""

    def seconds(
        source: Callable[[], Path], workers: int = 1, per_split: int | None = None, how: tuple[str, str] = BUILD
    ) -> Callable[[], float]:
        def measure() -> float:
            given, output = source(), sources.fresh()
            taken = command_seconds(*how, *options(given, output, workers, per_split))
            shutil.rmtree(output)
            return taken

        return measure

    def memory(per_split: int) -> Callable[[], float]:
        def measure() -> float:
            given, output = sources.flat, sources.fresh()
            peak = peak_memory(*BUILD, *options(given, output, 1, per_split))
            shutil.rmtree(output)
            return peak

        return measure

    def flat() -> Path:
        return sources.flat

    def tar() -> Path:
        return sources.tar

    bare = Path(__file__).with_name("bare_loop.py")
    yield Line(
        "build, one worker, seven borders / decode and resize alone",
        seconds(flat),
        lambda: command_seconds(bare, sources.flat),
        1.8,
    )
    yield Line(
        f"build with Image.save / build ({SLOW * len(QI.splits)} sources)",
        seconds(flat, 1, SLOW, PLAIN),
        seconds(flat, 1, SLOW),
        12,
        at_most=False,
        repeats=1,
    )
    yield Line("build, two workers / one worker", seconds(flat, 2), seconds(flat, 1), 0.65)
    yield Line("build from the tar / from the flat folder", seconds(tar), seconds(flat), 1.3)
    yield Line("build: peak memory, 3000 sources / 300", memory(MANY), memory(FEW), 1.3, unit="MiB", repeats=3)
    yield Line(
        "bytes of the seven configs, ours / zlib level 6",
        lambda: stored_bytes(sources.built / "qi"),
        lambda: zlib_bytes(sources.built / "qi"),
        1.25,
        unit="MB",
        repeats=1,
    )


def sampled(folder: Path) -> Iterator[bytes]:
    """PNG files of the first rows of every config."""
    for config in Manifest.read(folder).configs.values():
        file = pq.ParquetFile(folder / config.splits["test"].files[0])
        column = file.read_row_group(0, columns=["image.bytes"]).column("image").combine_chunks()
        yield from (cell.as_py() for cell in column.field("bytes")[:ZLIB_SAMPLE])


def stored_bytes(folder: Path) -> float:
    """Their size as they are stored, in MB."""
    return sum(map(len, sampled(folder))) / 1e6


def zlib_bytes(folder: Path) -> float:
    """Their size as Pillow writes them with zlib at level 6, in MB."""
    total = 0
    for png in sampled(folder):
        file = io.BytesIO()
        Image.open(io.BytesIO(png)).save(file, "PNG", compress_level=6)
        total += len(file.getvalue())
    return total / 1e6
