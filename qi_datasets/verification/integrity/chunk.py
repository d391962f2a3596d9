"""Reads chunks of a split's rows with their images, and collects facts about every row for the checks on the whole set.

Workers take one chunk at a time, so that memory stays flat whatever the set's size.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from qi_datasets.builder import GeneratedSet, Row
from qi_datasets.building.engine import ONE_AT_A_TIME
from qi_datasets.errors import OptionError, StoredSetError, one_line
from qi_datasets.pixels.digests import row_digest, split_digest
from qi_datasets.pixels.geometry import Box, Placed, whole
from qi_datasets.pixels.png_chunks import addition
from qi_datasets.registry import builder_of
from qi_datasets.storage.manifest import FileRecord
from qi_datasets.storage.parquet import image_path
from qi_datasets.verification.integrity.decoded import NOTHING, DecodedRow, KnownFiles, is_sampled
from qi_datasets.verification.integrity.findings import Findings
from qi_datasets.verification.stored_folder import UNDECODABLE, StoredFolder, open_image

UNKNOWN_DIGEST = bytes(32)
"""The digest of a row whose image can't be decoded, so that its split's digest can't agree."""


@dataclass(frozen=True)
class Stretch:
    """Rows of a split that are still to be read.

    Attributes:
        split: The split's name.
        start: The first row.
        stop: The row after the last.
        expected: The builder's rows of a generated set, by row number; {} for other sets.
    """

    split: str
    start: int
    stop: int
    expected: dict[int, Row] = field(default_factory=dict)


def stretches(stored: StoredFolder, split: str, rows: int, step: int) -> Iterator[Stretch]:
    """Yields all of a split's rows, in stretches. A builder makes its rows once, in order, when they are needed.

    Args:
        stored: The set.
        split: Its split.
        rows: Number of rows.
        step: Number of rows of a stretch.
    """
    made: Iterator[tuple[int, Row]] = iter(())
    if not stored.spec.needs_images and split in stored.spec.splits:
        with suppress(OptionError):  # the check `manifest` reports an impossible size
            builder = builder_of(stored.spec, stored.manifest.size)
            made = enumerate(builder(split)) if isinstance(builder, GeneratedSet) else made
    for start in range(0, rows, step):
        yield Stretch(split, start, min(start + step, rows), dict(islice(made, step)))


@dataclass(frozen=True)
class Chunk:
    """A stretch of rows that have been read.

    Attributes:
        stored: The set.
        split: Its split.
        start: The first row.
        stop: The row after the last.
        rows: The rows in order, without those that can't be decoded.
        expected: As in `Stretch`.
        files: Files of contents that were decoded.
    """

    stored: StoredFolder
    split: str
    start: int
    stop: int
    rows: list[DecodedRow]
    expected: dict[int, Row]
    files: KnownFiles

    def where(self, row: DecodedRow, config: str | None = None) -> str:
        """Returns the name of a row in messages: config, split, row number."""
        return f"{config or self.stored.default_config}/{self.split} row {row.number}"


@dataclass
class ExaminedRows:
    """Facts about the rows that were read: of one chunk, or of all, merged in row order.

    Attributes:
        findings: Everything that is wrong.
        files: Size and SHA-256 of each listed file, or why it can't be read.
        digests: Config and split -> row digests, one after another.
        labels, sources, wnids, numbers: One per row, by split.
        images: Digests of whole images, by split.
        contents: Digests of the non-black part, whatever its position, by split.
    """

    findings: Findings = field(default_factory=Findings)
    files: dict[str, FileRecord | str] = field(default_factory=dict)
    digests: dict[tuple[str, str], bytearray] = field(default_factory=dict)
    labels: dict[str, list[int]] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    wnids: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, list[bytes]] = field(default_factory=dict)
    contents: dict[str, list[bytes]] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def merge(self, other: "ExaminedRows") -> None:
        """Adds the rows that follow."""
        self.findings.merge(other.findings)
        for key, digests in other.digests.items():
            self.digests.setdefault(key, bytearray()).extend(digests)
        for name in ("labels", "sources", "wnids", "images", "contents", "numbers"):
            mine = getattr(self, name)
            for split, values in getattr(other, name).items():
                mine.setdefault(split, []).extend(values)

    def split_digest(self, config: str, split: str) -> str:
        """Returns the digest of a split (hex), from the rows that were read."""
        return split_digest([bytes(self.digests.get((config, split), b""))])

    def note(self, split: str, row: DecodedRow) -> None:
        """Adds a row of the config without border."""
        y0, x0, y1, x1 = row.box
        content = hashlib.sha256(f"{y1 - y0}x{x1 - x0}|".encode() + row.shown.content.tobytes()).digest()
        for name, value in (
            ("labels", row.label),
            ("sources", row.values.get("source", "")),
            ("wnids", row.values.get("wnid", "")),
            ("contents", content),
            ("images", hashlib.sha256(f"{y0},{x0}|".encode() + content).digest()),
            ("numbers", row.number),
        ):
            getattr(self, name).setdefault(split, []).append(value)


def read_chunk(
    stored: StoredFolder,
    stretch: Stretch,
    seen: ExaminedRows,
    full: bool = True,
    then: Callable[[Chunk, int, DecodedRow | None], None] | None = None,
) -> Chunk:
    """Reads the rows of the config without border.

    Args:
        stored: The set.
        stretch: The rows to read.
        seen: Gets the facts about each row, also about those that can't be decoded.
        full: Decode every image, also those whose bytes prove that they show what another row of their source
            shows.
        then: Called for every number of the stretch with its row, None if it is lost, while its content is in
            the cache.
    """
    chunk = Chunk(stored, stretch.split, stretch.start, stretch.stop, [], stretch.expected, KnownFiles(stored))
    digests = seen.digests.setdefault((stored.default_config, chunk.split), bytearray())
    rows = dict(numbered_rows(stored, stored.default_config, chunk.split, chunk.start, chunk.stop, seen.findings))
    # Decoding and encoding in turn would evict each other's code from the CPU's caches.
    decoded = {
        number: decoded_row(chunk, number, values, seen)
        for number, values in rows.items()
        if full or not chunk.files.may_know(number) or is_sampled(stored.default_config, chunk.split, number)
    }
    with ONE_AT_A_TIME:
        for number in range(chunk.start, chunk.stop):
            row = decoded.get(number)
            if number in rows and number not in decoded:
                row = chunk.files.sibling(decoded.get(number - 1), number, rows[number])
                row = row or decoded_row(chunk, number, rows[number], seen)
            if row is not None:
                chunk.rows.append(row)
                seen.note(chunk.split, row)
                digests += digest_of(stored, number, row.values, row.shown)
            elif number in rows:
                digests += UNKNOWN_DIGEST
            if then is not None:
                then(chunk, number, row)
    return chunk


def decoded_row(chunk: Chunk, number: int, values: dict[str, Any], seen: ExaminedRows) -> DecodedRow | None:
    """Returns a row without border; None, and a finding, if its image can't be decoded.

    Args:
        chunk: The row's chunk.
        number: The row's number.
        values: The row's values.
        seen: Gets the finding.
    """
    config = chunk.stored.default_config
    image = usable_image(chunk.stored, config, chunk.split, number, values, seen.findings)
    return None if image is None else DecodedRow(number, whole(np.asarray(image)).content, box_of(image), values)


def numbered_rows(
    stored: StoredFolder, config: str, split: str, start: int, stop: int, findings: Findings
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields row numbers and rows; none, and a finding, if the file can't be read.

    Args:
        stored: The set.
        config: The rows' config.
        split: The rows' split.
        start: The first row.
        stop: The row after the last.
        findings: Get the finding.
    """
    try:
        rows = stored.rows(config, split, start, stop)
    except StoredSetError as error:
        findings.add("readable", str(error))
        return
    wanted = {"image", "label", *stored.spec.columns}
    border = stored.border(config)
    for number, row in enumerate(rows, start=start):
        if missing := [name for name in wanted if row.get(name) is None]:
            findings.add("readable", f"{config}/{split} row {number} has no {', '.join(sorted(missing))}")
            continue
        path, wanted_path = row["image"]["path"], image_path(split, number, border)
        if path != wanted_path:
            findings.add("paths", f"{config}/{split} row {number} is stored as {path!r}, not {wanted_path!r}")
        yield number, row


def usable_image(
    stored: StoredFolder, config: str, split: str, number: int, values: dict[str, Any], findings: Findings
) -> Image.Image | None:
    """Returns a row's decoded image; None, and a finding, if it can't be decoded or has a wrong size or mode.

    Args:
        stored: The set.
        config: The row's config.
        split: The row's split.
        number: The row's number.
        values: The row's values.
        findings: Get the finding.
    """
    where = f"{config}/{split} row {number}"
    side = stored.manifest.size + 2 * stored.border(config)
    try:
        image = open_image(values["image"])
    except UNDECODABLE as error:
        findings.add("readable", f"{where}: the image can't be decoded ({one_line(error)})")
        return None
    if image.format != "PNG":
        findings.add("images", f"{where} is stored as {image.format}, which need not keep pixels; PNG does")
    elif more := addition(values["image"]["bytes"], stored.spec.mode):
        findings.add("images", f"{where} is a PNG with {more}, of which loaders may make another picture")
    if image.size != (side, side) or image.mode != stored.spec.mode:
        found, wanted = f"{image.width}x{image.height} {image.mode}", f"{side}x{side} {stored.spec.mode}"
        findings.add("images", f"{where} is {found}, not {wanted}")
        return None
    return image


def box_of(image: Image.Image) -> Box:
    """Returns the bounding box of the non-black pixels."""
    found = image.getbbox()
    return NOTHING if found is None else (found[1], found[0], found[3], found[2])


def digest_of(stored: StoredFolder, number: int, values: dict[str, Any], shown: Placed) -> bytes:
    """Returns the digest of a row with an image.

    Args:
        stored: The set.
        number: Of the row.
        values: Of the row.
        shown: Of the row's image what is not black, as of `without_black`.
    """
    label = values["label"] if stored.spec.label_in_digest else ""
    source = values["source"] if "source" in stored.spec.columns else str(number)
    h, w, _ = shown.content.shape
    return row_digest(shown, label, source, (0, 0, h, w))
