"""What every source offers: names of images, and for a chosen one where its bytes lie."""

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from PIL import Image, UnidentifiedImageError

from qi_datasets.errors import SourceError, one_line

VAL_FILE = re.compile(r"(ILSVRC2012_val_\d{8})(?:_(n\d{8}))?\.[Jj][Pp][Ee]?[Gg]", re.ASCII)
"""Name of an ImageNet validation file: its id, and the synset that the Hub's copy appends."""

WNID = re.compile(r"n\d{8}", re.ASCII)


class Location(Protocol):
    """Where the bytes of one image lie: picklable, so that a worker can read them; `str()` names it in messages."""

    def read(self) -> bytes:
        """The bytes of the image file."""


@dataclass(frozen=True)
class FileLocation:
    """A file of its own."""

    path: str

    def read(self) -> bytes:
        """The file's bytes."""
        return Path(self.path).read_bytes()

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class SpanLocation:
    """`size` bytes from `offset` on, inside a larger file that is never unpacked."""

    path: str
    offset: int
    size: int
    label: str

    def read(self) -> bytes:
        """The span's bytes; SourceError when the file ends before them."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise SourceError(f"{self} ends after {len(data)} of {self.size} bytes; fetch the file again")
        return data

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class HeldLocation:
    """Bytes that are in memory already."""

    data: bytes
    origin: str

    def read(self) -> bytes:
        """The bytes."""
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
        """The bytes of the image file; SourceError when they can't be read."""
        try:
            return self.location.read()
        except OSError as error:
            reason = error.strerror or error
            raise SourceError(f"cannot read {self.location}: {reason}; check the file and its permissions") from error

    def held(self) -> "SourceImage":
        """The same image with its bytes in memory, for workers that can't reach its file."""
        return replace(self, location=HeldLocation(self.read(), str(self.location)))

    def decode(self, data: bytes) -> Image.Image:
        """The picture in `data`, fully decoded, no EXIF rotation; SourceError when it is damaged or no image."""
        try:
            image = Image.open(io.BytesIO(data))
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
        except UnidentifiedImageError as error:
            raise SourceError(f"{self.location} is no image file; replace it, or remove it") from error
        except Exception as error:  # Pillow's decoders raise anything over damaged bytes, RuntimeError among it
            raise SourceError(
                f"{self.location} cannot be decoded as an image ({one_line(error)}); "
                "replace the file with an intact copy"
            ) from error


@dataclass(frozen=True)
class Source(ABC):
    """A folder, archive or generator of images. It is only ever read.

    names: image name -> what the layout needs to find it (its type is the layout's own). imagenet_val: whether the
    names are ids of ImageNet's validation set, so that the official selection applies. wnids: image name -> synset,
    from a labels file, for layouts that don't tell it. on_shared_files: whether other machines that see the same file
    system can read the images by themselves.
    """

    layout: ClassVar[str]
    on_shared_files: ClassVar[bool] = True
    where: str
    names: Mapping[str, Any] = field(repr=False)
    imagenet_val: bool
    warnings: tuple[str, ...] = ()
    wnids: Mapping[str, str] = field(default_factory=dict, repr=False)

    @abstractmethod
    def image(self, name: str) -> SourceImage:
        """The image of that name, with the synset that the layout tells."""

    def chosen(self, name: str) -> SourceImage:
        """The image of that name, with its synset from the layout or the labels; SourceError if they contradict."""
        image, wnid = self.image(name), self.wnids.get(name, "")
        if image.wnid and wnid and image.wnid != wnid:
            raise SourceError(
                f"{name} is {image.wnid} in {self} but {wnid} in the labels file; leave --labels out, or mend it"
            )
        return replace(image, wnid=image.wnid or wnid)

    @contextmanager
    def at_hand(self, images: Sequence[SourceImage], folder: Path) -> Iterator[list[SourceImage]]:
        """`images` in a form that workers read in any order at little cost, while the block runs.

        Sources that already are so hand them back; others copy what is needed below `folder` first.
        """
        yield list(images)

    def contents(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Each image with its bytes, in the order that is cheapest to read, which need not be the given one."""
        for image in images:
            yield image, image.read()

    def __str__(self) -> str:
        return f"{self.where} ({self.layout})"


def by_name(found: Iterable[tuple[str, SourceImage]], where: str) -> dict[str, SourceImage]:
    """A dictionary of images by name; SourceError when a name occurs twice with different bytes."""
    images: dict[str, SourceImage] = {}
    for name, image in found:
        if name not in images:
            images[name] = image
        elif images[name].read() != image.read():
            raise SourceError(
                f"{where}: {name} occurs twice with different bytes, as {images[name].location} and "
                f"{image.location}; remove one of them"
            )
    return images
