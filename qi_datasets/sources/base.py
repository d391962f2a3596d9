"""The interface of sources: the names of their images, and the location of a chosen image's bytes."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from PIL import Image

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_VAL, ImageCollection
from qi_datasets.pixels.decoding import decoder_warning
from qi_datasets.sources.reading import decode_image, decode_with_remark, read_image

NAMED = 3
"""Number of images that a warning names before it counts the rest."""


def size_of(location: object) -> int | None:
    """Returns the size in bytes of an image file if this takes no reading, else None."""
    if isinstance(location, FileLocation):
        try:
            return os.stat(location.path).st_size  # noqa: PTH116
        except OSError:
            return None
    size = getattr(location, "size", None)
    return size if isinstance(size, int) and isinstance(location, SpanLocation) else None


class UnnamedError(SourceError):
    """A source has images, but nothing identifies them as images of ImageNet val."""


class Location(Protocol):
    """The location of one image's bytes: picklable, so that a worker can read them; `str()` names it in messages."""

    def read(self) -> bytes:
        """Returns the bytes of the image file."""


@dataclass(frozen=True)
class FileLocation:
    """A separate file."""

    path: str

    def read(self) -> bytes:
        """Returns the file's bytes."""
        return read_image(self.path, self)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class SpanLocation:
    """A part of a larger file that is never unpacked.

    Attributes:
        path: Path of the file.
        offset, size: Offset and size in bytes.
        label: Its name in messages.
    """

    path: str
    offset: int
    size: int
    label: str

    def read(self) -> bytes:
        """Returns the span's bytes. Raises SourceError if the file ends before them."""
        return read_image(self.path, self, self.offset, self.size)

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class HeldLocation:
    """Bytes that are in memory."""

    data: bytes
    origin: str

    def read(self) -> bytes:
        """Returns the bytes."""
        return self.data

    def __str__(self) -> str:
        return self.origin


@dataclass(frozen=True)
class SourceImage:
    """One image of a source: its name without the layout's prefix, its synset ("" if unknown), its location."""

    name: str
    wnid: str
    location: Location

    def read(self) -> bytes:
        """Returns the bytes of the image file. Raises SourceError if they can't be read."""
        try:
            return self.location.read()
        except OSError as error:
            reason = error.strerror or error
            raise SourceError(
                f"cannot read {self.location}: {reason}; check the file and its permissions", code="cannot-read"
            ) from error

    def held(self) -> "SourceImage":
        """Returns the same image with its bytes in memory, for workers that can't reach its file."""
        return replace(self, location=HeldLocation(self.read(), str(self.location)))

    def decode_with_remark(self, data: bytes) -> tuple[Image.Image, str]:
        """Decodes as `decode` does; adds a remark on what the file has and the picture lacks, "" if nothing."""
        return decode_with_remark(data, self.location)

    def decode(self, data: bytes) -> Image.Image:
        """Decodes the picture in `data` without EXIF rotation. Raises SourceError if it is damaged or no image."""
        return decode_image(data, self.location)


@dataclass(frozen=True)
class Source(ABC):
    """A folder, archive or generator of images. It is only read.

    Attributes:
        where: Its name in messages.
        names: Image name -> the value by which the layout finds it (its type is the layout's own).
        collection: The collection of these names; None for other images, which are named by their
            relative path.
        warnings: Warnings about the source, one line each.
        on_shared_files: Whether other machines with the same file system can read the images themselves.
    """

    layout: ClassVar[str]
    on_shared_files: ClassVar[bool] = True
    where: str
    names: Mapping[str, Any] = field(repr=False)
    collection: ImageCollection | None = None
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def located(self, name: str) -> SourceImage:
        """Returns the image of that name, with the layout's synset, "" if it has none."""

    def image(self, name: str) -> SourceImage:
        """Returns the image of that name, with its collection's synset, else the layout's."""
        image = self.located(name)
        wnid = self.collection.wnid(name) if self.collection else ""
        return replace(image, wnid=wnid or image.wnid)

    @contextmanager
    def at_hand(self, images: Sequence[SourceImage], folder: Path) -> Iterator[list[SourceImage]]:
        """Yields `images` in a form that workers can read in any order at little cost, while the block runs.

        Most sources return them unchanged; others first copy the images below `folder`.
        """
        yield list(images)

    def contents(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Yields each image with its bytes, in the order that is cheapest to read, not always the given one."""
        for image in images:
            yield image, image.read()

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings before images are read, also one about a decoder with other pixels."""
        return (*self.warnings, *filter(None, [decoder_warning()]))

    def __str__(self) -> str:
        kind = self.layout if self.collection is None else f"{self.layout}, {self.collection}"
        return f"{self.where} ({kind})"


class ArchiveSource(Source):
    """Images inside larger files. names: image name -> SourceImage."""

    def located(self, name: str) -> SourceImage:
        """Returns the image of that name."""
        found: SourceImage = self.names[name]
        return found

    @classmethod
    def of_images(cls, where: str, images: Mapping[str, SourceImage]) -> Self | None:
        """Returns the source of these validation images, None without any; warns if synsets contradict ImageNet's."""
        if not images:
            return None
        given = ((image.name, image.wnid) for image in images.values())
        return cls(where, images, IMAGENET_VAL, contradictions(IMAGENET_VAL, given))


def refuse_outside(member: str, where: str) -> None:
    """Raises SourceError for an archive's member whose name leads out of the folder to unpack it in."""
    if ".." in member.replace("\\", "/").split("/"):
        raise SourceError(f"{where} holds {member!r}, whose name leads out of the archive; make it without such names")


def contradictions(collection: ImageCollection, given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Returns a warning about images whose synset in the layout is not ImageNet's; none if there are no such images.

    Args:
        collection: The collection with the right synsets.
        given: Image name and the layout's synset, "" if it has none.
    """
    wrong = sorted(
        (name, wnid, known) for name, wnid in given if wnid and (known := collection.wnid(name)) not in ("", wnid)
    )
    if not wrong:
        return ()
    examples = ", ".join(f"{name} is {known} (here {wnid})" for name, wnid, known in wrong[:NAMED])
    more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return (f"synsets here contradict those of {collection}, which are taken: {examples}{more}",)


def by_name(found: Iterable[tuple[str, SourceImage]], where: str) -> dict[str, SourceImage]:
    """Returns a dictionary of images by name. Raises SourceError if a name occurs twice with different bytes."""
    images: dict[str, SourceImage] = {}
    for name, image in found:
        if name not in images:
            images[name] = image
        elif images[name].read() != image.read():
            raise SourceError(
                f"{where}: {name} occurs twice with different bytes, as {images[name].location} and "
                f"{image.location}; remove one of them",
                code="two-of-a-name",
            )
    return images
