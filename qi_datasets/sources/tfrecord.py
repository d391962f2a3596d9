"""TFRecord files as TensorFlow Datasets writes ImageNet; read without TensorFlow, with their checksums checked.

A record is its length (8 bytes), a checksum of that (4), a `tf.train.Example`, and a checksum of it (4), numbers
little-endian (tensorflow/core/lib/io/record_writer.h). The checksums are CRC-32C, rotated and shifted. An Example is a
message of protobuf: a map from names to lists of one type (tensorflow/core/example/feature.proto).
"""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from qi_datasets.errors import SourceError
from qi_datasets.sources.base import ArchiveSource, SourceImage, UnnamedError, by_name
from qi_datasets.sources.reading import check_image_size, open_archive, read_image
from qi_datasets.sources.shards import image_of_row

_LENGTH, _CRC = struct.Struct("<Q"), struct.Struct("<I")
_BYTES_FIELD = 2
"""The wire type of protobuf for values with a length."""


@dataclass(frozen=True)
class RecordLocation:
    """The image in a record: offsets of the record in its file and of the image in the record, and the image's name."""

    path: str
    offset: int
    size: int
    image: tuple[int, int]
    name: str

    def read(self) -> bytes:
        """Returns the image's bytes. Raises SourceError if the record's checksum is wrong."""
        check_image_size(self.image[1], self)
        record = read_image(self.path, self, self.offset, self.size + _CRC.size)
        if masked_crc(record[: self.size]) != _CRC.unpack_from(record, self.size)[0]:
            raise SourceError(f"{self} is damaged: its checksum differs; fetch the file again", code="damaged")
        return record[self.image[0] : sum(self.image)]

    def __str__(self) -> str:
        return f"{self.name} in {self.path}"


@dataclass(frozen=True)
class TFRecordSource(ArchiveSource):
    """TFRecord files of the validation split. names: image name -> SourceImage."""

    layout: ClassVar[str] = "TFRecord files"

    @classmethod
    def find(cls, files: Sequence[str], where: str) -> Self | None:
        """Returns the source of these files; None if there are none.

        Raises:
            SourceError: If a file is damaged, or of another data set.
            UnnamedError: If images have no names.
        """
        return cls.of_images(where, by_name((pair for file in files for pair in _named(file)), where))


def _named(file: str) -> Iterator[tuple[str, SourceImage]]:
    """Yields name and image of each record of a file."""
    for location in image_records(file):
        if not location.name:
            raise UnnamedError(f"{file} holds images without names; with --recipe they are found by their content")
        name, wnid, _ = image_of_row(location.name, file)
        yield name, SourceImage(name, wnid, location)


def masked_crc(data: bytes) -> int:
    """Returns the checksum of TFRecords: CRC-32C, rotated by 15 bits, plus a constant."""
    import google_crc32c

    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def image_records(path: str) -> Iterator[RecordLocation]:
    """Yields the location of each record's image, with an empty name if it has none; reads names and lengths.

    Raises:
        SourceError: If the file is damaged.
    """
    with open_archive(path) as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        while at < size:
            try:
                head = data[at : at + _LENGTH.size]
                length, start = _LENGTH.unpack(head)[0], at + _LENGTH.size + _CRC.size
                if masked_crc(head) != _CRC.unpack_from(data, at + _LENGTH.size)[0]:
                    raise ValueError("the checksum of a length differs")
                if start + length + _CRC.size > size:
                    raise ValueError("a record ends beyond the file")
                found = dict(_features(data, start, start + length))
                name_at = found.get(b"file_name") or found.get(b"image/filename") or (0, 0)
                image_at = found.get(b"image") or found[b"image/encoded"]
                name = data[name_at[0] : name_at[1]].decode()
            except (ValueError, KeyError, IndexError, struct.error) as error:
                reason = f"is damaged, or not of TFDS's imagenet2012, at byte {at} ({error})"
                raise SourceError(f"{path} {reason}; fetch it again") from error
            yield RecordLocation(path, start, length, (image_at[0] - start, image_at[1] - image_at[0]), name)
            at = start + length + _CRC.size


def _features(data: mmap.mmap | bytes, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yields name and position of the first value of each feature of an Example that holds bytes."""
    for features in _fields(data, start, stop, 1):
        for entry in _fields(data, *features, 1):
            name = next(_fields(data, *entry, 1))
            for feature in _fields(data, *entry, 2):
                for values in _fields(data, *feature, 1):
                    for value in _fields(data, *values, 1):
                        yield data[name[0] : name[1]], value


def _fields(data: mmap.mmap | bytes, start: int, stop: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Yields begin and end of each field of that number in a message whose fields all have lengths."""
    while start < stop:
        tag, start = _varint(data, start)
        length, start = _varint(data, start)
        if tag & 7 != _BYTES_FIELD or start + length > stop:
            raise ValueError("it is no tf.train.Example")
        if tag >> 3 == wanted:
            yield start, start + length
        start += length


def _varint(data: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    """Returns a number of protobuf, and the position after it."""
    number = shift = 0
    while shift < 64:
        byte = data[at]
        number, at, shift = number | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return number, at
    raise ValueError("a number has more than 64 bits")
