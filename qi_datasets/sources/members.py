"""Lists the members of archives: tars, webdataset shards, zips, Parquet, Arrow and TFRecord files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from qi_datasets.sources.base import Location, SpanLocation
from qi_datasets.sources.reading import open_archive
from qi_datasets.sources.tar import tar_members
from qi_datasets.sources.zip import ZipLocation, zip_members


def is_tfrecord(file: str) -> bool:
    """Returns whether a file has the name of a TFRecord: `imagenet2012-validation.tfrecord-00000-of-00064`."""
    return "tfrecord" in os.path.basename(file).lower()


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a larger file: its name there, its size in bytes, and the location of its bytes."""

    name: str
    size: int
    location: Location


def list_members(archive: str) -> Iterator[Member]:
    """Yields the files in an archive, in its order; reads names and sizes, not the files themselves.

    Args:
        archive: Path of a tar (a webdataset's shard is one), a zip, a Parquet or Arrow file with a column `image`, or
            TFRecords of images.

    Raises:
        SourceError: If the archive is damaged, or can't be read.
    """
    if archive.lower().endswith(".arrow"):
        from qi_datasets.sources.arrow import image_spans

        for path, start, size in image_spans(archive):
            name = os.path.basename(path or "")
            yield Member(name, size, SpanLocation(archive, start, size, f"{name} in {archive}"))
        return
    if archive.lower().endswith(".parquet"):
        from qi_datasets.sources.shards import CellLocation, image_cells

        for group, row, name, size in image_cells(archive):
            yield Member(name, size, CellLocation(archive, group, row, name))
        return
    if is_tfrecord(archive):
        from qi_datasets.sources.tfrecord import image_records

        for record in image_records(archive):
            yield Member(record.name, record.image[1], record)
        return
    with open_archive(archive) as file:
        begin = file.read(4)
        file.seek(0)
        if begin == b"PK\3\4":
            for entry in zip_members(file, archive):
                yield Member(entry.name, entry.size, ZipLocation(archive, entry))
            return
        for member in tar_members(file, archive):
            label = f"{member.name} in {archive}"
            yield Member(member.name, member.size, SpanLocation(archive, member.offset, member.size, label))
