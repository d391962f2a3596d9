"""The interface of sources: the names of images, and for a chosen one the place of its bytes."""

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
"""The number of images that a warning names before it counts the rest."""


def size_of(location: object) -> int | None:
    """Returns the bytes of an image file where that takes no reading, else None."""
    if isinstance(location, FileLocation):
        try:
            return os.stat(location.path).st_size  # noqa: PTH116
        except OSError:
            return None
    size = getattr(location, "size", None)
    return size if isinstance(size, int) and isinstance(location, SpanLocation) else None


class UnnamedError(SourceError):
    """A source holds images, but nothing identifies them as images of ImageNet val."""


class Location(Protocol):
    """The place of one image's bytes: picklable, so that a worker can read them; `str()` names it in messages."""

    def read(self) -> bytes:
        """Returns the bytes of the image file."""


@dataclass(frozen=True)
class FileLocation:
    """A file of its own."""

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
        path: Of the file.
        offset, size: In bytes.
        label: What messages call it.
    """

    path: str
    offset: int
    size: int
    label: str

    def read(self) -> bytes:
        """Returns the span's bytes; SourceError when the file ends before them."""
        return read_image(self.path, self, self.offset, self.size)

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class HeldLocation:
    """Bytes that are in memory already."""

    data: bytes
    origin: str

    def read(self) -> bytes:
        """Returns the bytes."""
        return self.data

    def __str__(self) -> str:
        return self.origin


@dataclass(frozen=True)
class SourceImage:
    """One image of a source: its name without the layout's trimmings, its synset ("" if unknown), its place."""

    name: str
    wnid: str
    location: Location

    def read(self) -> bytes:
        """Returns the bytes of the image file; SourceError when they can't be read."""
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
        """As `decode`, and a line on what the file holds and the picture does not; "" if all of it was taken."""
        return decode_with_remark(data, self.location)

    def decode(self, data: bytes) -> Image.Image:
        """Returns the picture in `data`, decoded without EXIF rotation; SourceError when it is damaged or no image."""
        return decode_image(data, self.location)


@dataclass(frozen=True)
class Source(ABC):
    """A folder, archive or generator of images. It is only ever read.

    Attributes:
        where: What messages call it.
        names: Image name -> what the layout needs to find it (its type is the layout's own).
        collection: What the names belong to; None for images of any other kind, which are named by their
            relative path.
        warnings: What a user should know of the source, one line each.
        on_shared_files: Whether other machines that see the same file system can read the images by themselves.
    """

    layout: ClassVar[str]
    on_shared_files: ClassVar[bool] = True
    where: str
    names: Mapping[str, Any] = field(repr=False)
    collection: ImageCollection | None = None
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def located(self, name: str) -> SourceImage:
        """Returns the image of that name, with the synset that the layout gives it, "" if none."""

    def image(self, name: str) -> SourceImage:
        """Returns the image of that name, with the synset that its collection gives it, else the layout."""
        image = self.located(name)
        wnid = self.collection.wnid(name) if self.collection else ""
        return replace(image, wnid=wnid or image.wnid)

    @contextmanager
    def at_hand(self, images: Sequence[SourceImage], folder: Path) -> Iterator[list[SourceImage]]:
        """`images` in a form that workers read in any order at little cost, while the block runs.

        Sources that already are so hand them back; others copy what is needed below `folder` first.
        """
        yield list(images)

    def contents(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Yields each image with its bytes, in the order that is cheapest to read, which need not be the given one."""
        for image in images:
            yield image, image.read()

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings before images are read, among them one on a decoder of other pixels."""
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
        """Returns the source of these validation images, None for none; warns where synsets contradict ImageNet's."""
        if not images:
            return None
        given = ((image.name, image.wnid) for image in images.values())
        return cls(where, images, IMAGENET_VAL, contradictions(IMAGENET_VAL, given))


def refuse_outside(member: str, where: str) -> None:
    """Raises SourceError for an archive's member whose name leads out of the folder that it would be unpacked in."""
    if ".." in member.replace("\\", "/").split("/"):
        raise SourceError(f"{where} holds {member!r}, whose name leads out of the archive; make it without such names")


def contradictions(collection: ImageCollection, given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Returns a warning that names images to which a layout gives another synset than ImageNet does; none without such.

    Args:
        collection: Whose synsets are taken.
        given: Image name and the layout's synset, "" if it gives none.
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
    """Returns a dictionary of images by name; SourceError when a name occurs twice with different bytes."""
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
