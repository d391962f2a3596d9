"""The one place where files of a source are opened: regular files alone, and of an image no more than a cap."""

import errno
import os
import stat
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from qi_datasets.errors import SourceError, one_line
from qi_datasets.pixels.decoding import FORMATS, TooManyPixelsError, decoded

LARGEST_IMAGE = 50_000_000
"""Bytes of an image file, at most."""


def open_regular(path: str) -> BinaryIO:
    """A file, open for reading; OSError for anything but a regular file, once links are followed."""
    # A pipe or a device may give no end, or wait for ever; opening some of them does something already.
    if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise OSError(errno.EINVAL, "it is no regular file, but a pipe, a device, or a folder", path)


def open_archive(path: str) -> BinaryIO:
    """Returns an archive, open for reading; SourceError when it can't be read."""
    try:
        return open_regular(path)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file, and doesn't wait for a writer where a pipe has taken its place."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_image(path: str, where: object, offset: int = 0, size: int | None = None) -> bytes:
    """The bytes of an image file, or of one inside a larger file.

    path: of the file.
    where: what messages call the image.
    offset, size: where it lies inside a larger file, in bytes; size None for all the rest.

    Raises SourceError for too large a file, and for one that ends too early.
    """
    with open_regular(path) as file:
        held = os.fstat(file.fileno()).st_size
        wanted = held if size is None else size
        check_image_size(wanted, where)
        if offset + wanted > held:
            raise SourceError(f"{where} ends after {max(0, held - offset)} of {wanted} bytes; fetch the file again")
        file.seek(offset)
        data = file.read(wanted)
    if len(data) != wanted:
        raise SourceError(f"{where} ends after {len(data)} of {wanted} bytes; fetch the file again")
    return data


def check_image_size(size: int, where: object) -> None:
    """SourceError for an image file of more bytes than the cap."""
    if size > LARGEST_IMAGE:
        raise SourceError(
            f"{where} has {size} bytes, more than the {LARGEST_IMAGE // 1_000_000} MB that an image may have; "
            "make it smaller, or remove it"
        )


def decode_image(data: bytes, where: object) -> Image.Image:
    """The RGB picture in an image file, no EXIF rotation; SourceError when it is damaged, too large, or no image.

    where: what messages call the image.
    """
    check_image_size(len(data), where)
    try:
        image = decoded(data)
        if image.mode.startswith(("I", "F")):
            raise ValueError(
                f"its grey values have more than 8 bits, mode {image.mode}, which RGB would cut off; convert it"
            )
        return image if image.mode == "RGB" else image.convert("RGB")
    except TooManyPixelsError as error:
        raise SourceError(f"{where} is too large: {error}; make it smaller, or remove it") from error
    except UnidentifiedImageError as error:
        raise SourceError(
            f"{where} is no image file ({', '.join(FORMATS)} are read); replace it, or remove it"
        ) from error
    except Exception as error:  # Pillow's decoders raise anything over damaged bytes, RuntimeError among it
        raise SourceError(
            f"{where} cannot be decoded as an image ({one_line(error)}); replace the file with an intact copy"
        ) from error
