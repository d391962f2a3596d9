"""Opens all files of sources: only regular files, and images up to a largest size."""

import errno
import io
import os
import stat
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from qi_datasets.errors import SourceError, one_line
from qi_datasets.pixels.decoding import FORMATS, TooManyPixelsError, decode_file

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The first bytes of a file that git-lfs has left in place of a large one."""

POINTER_REMEDY = "it is a pointer of git-lfs, not the file itself; run git lfs pull where it was cloned"

_BITS = 8

_LONGEST_POINTER = 1024
"""The largest size of such a file in bytes (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""

LARGEST_IMAGE = 50_000_000
"""The largest size of an image file in bytes."""


def open_regular(path: str) -> io.BufferedReader:
    """Opens a file for reading. Raises OSError for a pointer of git-lfs, and for anything but a regular file."""
    # A pipe or a device may never end, or wait for ever, and opening some of them has effects.
    if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode):
            if found.st_size < _LONGEST_POINTER and file.peek(len(LFS_POINTER)).startswith(LFS_POINTER):
                file.close()
                raise OSError(errno.EINVAL, POINTER_REMEDY, path)
            return file
        file.close()
    raise OSError(errno.EINVAL, "it is no regular file, but a pipe, a device, or a folder", path)


def open_archive(path: str) -> BinaryIO:
    """Opens an archive for reading. Raises SourceError if it can't be read."""
    try:
        return open_regular(path)
    except OSError as error:
        raise SourceError(
            f"cannot read {path}: {error.strerror or error}; check its permissions", code="cannot-read"
        ) from error


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file, without waiting for a writer if it has become a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_image(path: str, where: object, offset: int = 0, size: int | None = None) -> bytes:
    """Reads an image file, or one inside a larger file.

    Args:
        path: Path of the file.
        where: The image's name in messages.
        offset: Offset inside a larger file.
        size: Its size in bytes; None for the rest of the file.

    Raises:
        SourceError: If the file is too large, or ends too early.
    """
    with open_regular(path) as file:
        held = os.fstat(file.fileno()).st_size
        wanted = held if size is None else size
        check_image_size(wanted, where)
        if offset + wanted > held:
            raise SourceError(
                f"{where} ends after {max(0, held - offset)} of {wanted} bytes; fetch the file again", code="damaged"
            )
        file.seek(offset)
        data = file.read(wanted)
    if len(data) != wanted:
        raise SourceError(f"{where} ends after {len(data)} of {wanted} bytes; fetch the file again", code="damaged")
    return data


def check_image_size(size: int, where: object) -> None:
    """Raises SourceError for an image file that is too large."""
    if size > LARGEST_IMAGE:
        raise SourceError(
            f"{where} has {size} bytes, more than the {LARGEST_IMAGE // 1_000_000} MB that an image may have; "
            "make it smaller, or remove it",
            code="too-large",
        )


def decode_image(data: bytes, where: object) -> Image.Image:
    """Decodes the RGB picture in an image file without EXIF rotation. Raises SourceError for other or too large files.

    Args:
        data: The bytes of the file.
        where: The image's name in messages.
    """
    return decode_with_remark(data, where)[0]


def decode_with_remark(data: bytes, where: object) -> tuple[Image.Image, str]:
    """Decodes as `decode_image` does; adds a remark on what the file has and the picture lacks, "" if nothing."""
    check_image_size(len(data), where)
    try:
        image = decode_file(data)
        if not image.mode.startswith(("I", "F")):
            remark = _lost(data, image)
            rgb = image if image.mode == "RGB" else image.convert("RGB")
            return rgb, f"{where} {remark}" if remark else ""
    except TooManyPixelsError as error:
        raise SourceError(f"{where} is too large: {error}; make it smaller, or remove it", code="too-large") from error
    except UnidentifiedImageError as error:
        if data.startswith(LFS_POINTER):
            raise SourceError(f"{where} is no image: {POINTER_REMEDY}", code="bad-image") from error
        kind = " but HEIC or AVIF" if data[4:8] == b"ftyp" else ""
        remedy = "convert it" if kind else "replace it"
        raise SourceError(
            f"{where} is no image file{kind} ({', '.join(FORMATS)} are read); {remedy}, or remove it", code="bad-image"
        ) from error
    except Exception as error:  # Pillow's decoders raise any exception for damaged bytes, also RuntimeError
        raise SourceError(
            f"{where} cannot be decoded as an image ({one_line(error)}); replace the file with an intact copy",
            code="bad-image",
        ) from error
    raise SourceError(
        f"{where} has grey values of more than 8 bits (mode {image.mode}), which RGB would cut off; convert it to 8 "
        "bits, or remove it",
        code="damaged",
    )


def _lost(data: bytes, image: Image.Image) -> str:
    """Returns a remark on what RGB of 8 bits can't keep of a picture; "" if nothing is lost."""
    if image.has_transparency_data:
        clear = np.asarray(image.convert("RGBA"))
        if (clear[..., :3][clear[..., 3] == 0] != 0).any():
            return "has colours in places that are wholly transparent, which are taken as they are; flatten it first"
    if image.format == "PNG" and data[24] > _BITS:
        return (
            f"has {data[24]} bits per channel, of which the upper {_BITS} are taken; convert it to {_BITS} bits first"
        )
    if getattr(image, "is_animated", False):
        return "has several frames, of which the first is taken; give that frame alone"
    return ""
