"""Estimates before a build how many bytes and seconds it takes."""

import math
import shutil
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qi_datasets.builder import GeneratedSet, ImageSet
from qi_datasets.building.encoding import decode_source, encode_generated, encode_source
from qi_datasets.building.engine import usable_cores
from qi_datasets.building.plan import Plan
from qi_datasets.errors import OutputError
from qi_datasets.storage.location import Place

CONTENT_SHARE = 0.65
"""Bytes of a stored photograph per byte of its pixels; measured 0.60 to 0.62."""

BLACK_SHARE = 1 / 1000
"""The same for black pixels: 258 bytes of them take two bits."""

BYTES_PER_ROW = 100
"""Bytes of a row in Parquet and manifest, without its image."""

SAMPLED = 8
"""Number of sources that are encoded to measure the time of one."""

GENERATED_PER_SECOND = 1500
"""Rows per second of sets that need no input."""

MEGABYTE = 1e6


@dataclass(frozen=True)
class Forecast:
    """The bytes on disk and the seconds that a build takes."""

    bytes: int
    seconds: float


def forecast_bytes(plan: Plan) -> int:
    """Returns about how many bytes the planned set will take, rather too many than too few."""
    spec = plan.spec
    if isinstance(plan.builder, GeneratedSet):
        split = next(iter(spec.splits))
        sizes = [len(row.png) for row in islice(encode_generated(plan.builder, split), SAMPLED)]
        content = sum(sizes) / len(sizes)
    else:
        content = math.prod(plan.content) * CONTENT_SHARE
    per_row = [
        content + (plan.builder.size + 2 * border) ** 2 * spec.channels * BLACK_SHARE + BYTES_PER_ROW
        for border in plan.borders
    ]
    return int(sum(per_row) * sum(map(plan.rows, plan.images or spec.splits)))


def forecast(plan: Plan, workers: int | None = None) -> Forecast:
    """Estimates the planned set's bytes and seconds; a few of its sources are read and encoded to measure the time.

    Args:
        plan: The planned set.
        workers: Threads, default one per core.

    Raises:
        SourceError: If one of these sources is damaged.
    """
    builder = plan.builder
    if not isinstance(builder, ImageSet):
        return Forecast(forecast_bytes(plan), sum(map(plan.rows, plan.spec.splits)) / GENERATED_PER_SECOND)
    images = [image for members in plan.images.values() for image in members]
    sample = images[:: max(1, len(images) // SAMPLED)][:SAMPLED]
    decoding, encoding = [], []
    for image in (sample[0], *sample):
        start = time.perf_counter()
        source = decode_source(builder, image)
        middle = time.perf_counter()
        encode_source(plan.borders, plan.spec.label_in_digest, source)
        decoding.append(middle - start)
        encoding.append(time.perf_counter() - middle)
    # Workers decode side by side, but only one of them encodes at a time.
    # The first source's time includes one-time set-up.
    per_source = max(sum(decoding[1:]) / (workers or usable_cores()), sum(encoding[1:])) / len(sample)
    return Forecast(forecast_bytes(plan), per_source * len(images))


def require_room(plan: Plan, output: Place) -> None:
    """Raises OutputError if the planned set is larger than the free space of a folder; a URL is not checked."""
    if isinstance(output, str):
        return
    there = next((path for path in (output, *output.parents) if path.exists()), Path("/"))
    free, needed = shutil.disk_usage(there).free, forecast_bytes(plan)
    if needed > free:
        raise OutputError(
            f"{plan.spec.name} takes about {needed / MEGABYTE:.0f} MB, and {there} has {free / MEGABYTE:.0f} MB free; "
            "make room, or choose another output folder",
            code="disk-full",
        )
