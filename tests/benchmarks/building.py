"""Lines about building and verifying sets."""

import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from qi_datasets.building.engine import usable_cores
from qi_datasets.specs import QI
from qi_datasets.storage.manifest import Manifest
from tests.benchmarks.line import Line, command_seconds, peak_memory, run
from tests.benchmarks.sources import Sources

BUILD = ("-m", "qi_datasets.commands.build")
VERIFY = ("-c", "from qi_datasets.commands.verify import main; main()", "--only", "integrity")
PLAIN = ("-m", "tests.benchmarks.plain_png")
FEW, MANY = 100, 1000
"""Sources per split of lines that compare numbers of them."""

SLOW = 300
"""Sources per split of lines where Pillow would take minutes to write all PNG files."""

ZLIB_SAMPLE = 40
"""Rows of each config that the zlib line encodes again."""


PHOTOGRAPHS = 800
"""Number of images of `shifted`: they have no black, so that Pillow writes them."""


def options(source: Path, output: Path, workers: int, *others: str) -> list[str]:
    """Returns arguments of `qi-build`; `others` name the set."""
    return [*others, "--imagenet-val", str(source), "--output", str(output), "--quiet", "--workers", str(workers)]


def only_qi(per_split: int | None = None) -> list[str]:
    """Returns arguments of `qi-build` for QI alone."""
    return ["--set", "qi", *([] if per_split is None else ["--per-split", str(per_split)])]


def build(source: Path, output: Path) -> None:
    """Builds QI with two workers."""
    run(*BUILD, *options(source, output, 2, *only_qi()))


def lines(sources: Sources) -> Iterator[Line]:
    """Yields lines on speed, memory and size of a build."""

    def seconds(
        source: Callable[[], Path],
        workers: int,
        sets: Sequence[str] = only_qi(),
        how: tuple[str, str] = BUILD,
    ) -> Callable[[], float]:
        def measure() -> float:
            given, output = source(), sources.fresh()
            taken = command_seconds(*how, *options(given, output, workers, *sets))
            shutil.rmtree(output)
            return taken

        return measure

    def memory(per_split: int) -> Callable[[], float]:
        def measure() -> float:
            given, output = sources.flat, sources.fresh()
            peak = peak_memory(*BUILD, *options(given, output, 1, *only_qi(per_split)))
            shutil.rmtree(output)
            return peak

        return measure

    def flat() -> Path:
        return sources.flat

    def tar() -> Path:
        return sources.tar

    def bare() -> float:
        return command_seconds(Path(__file__).with_name("bare_loop.py"), sources.flat)

    alone = "decode and resize alone, one thread"
    photographs = ["--set", "shifted", "--shifted-images", str(PHOTOGRAPHS), "--per-split", str(FEW)]
    plain = (seconds(flat, 1, only_qi(SLOW), how) for how in (PLAIN, BUILD))
    yield Line(f"build, one worker, seven borders / {alone}", seconds(flat, 1), bare, 1.35)
    yield Line(f"build, two workers, seven borders / {alone}", seconds(flat, 2), bare, 1)
    yield Line(f"build with Image.save / build ({SLOW * len(QI.splits)} sources)", *plain, 12, at_most=False, repeats=1)
    yield Line("build, eight workers / two", seconds(flat, 8), seconds(flat, 2), 1.05)
    yield Line(
        f"build shifted ({PHOTOGRAPHS} images), two workers / one",
        seconds(flat, 2, photographs),
        seconds(flat, 1, photographs),
        0.6,
    )
    yield Line(
        "verify integrity / build",
        lambda: command_seconds(*VERIFY, str(sources.built)),
        seconds(flat, usable_cores()),
        0.7,
    )
    yield Line("build from the tar / from the flat folder", seconds(tar, 1), seconds(flat, 1), 1.3)
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
    """Yields PNG files of the first rows of every config."""
    for config in Manifest.read(folder).configs.values():
        file = pq.ParquetFile(folder / config.splits["test"].files[0])
        column = file.read_row_group(0, columns=["image.bytes"]).column("image").combine_chunks()
        yield from (cell.as_py() for cell in column.field("bytes")[:ZLIB_SAMPLE])


def stored_bytes(folder: Path) -> float:
    """Returns their stored size, in MB."""
    return sum(map(len, sampled(folder))) / 1e6


def zlib_bytes(folder: Path) -> float:
    """Returns their size if Pillow writes them with zlib at level 6, in MB."""
    total = 0
    for png in sampled(folder):
        file = io.BytesIO()
        Image.open(io.BytesIO(png)).save(file, "PNG", compress_level=6)
        total += len(file.getvalue())
    return total / 1e6
