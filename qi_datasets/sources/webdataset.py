"""Webdataset shards, such as `timm/imagenet-1k-wds`: tars whose samples are files with a common key, JPEG and JSON.

Format: https://github.com/webdataset/webdataset; a key is a member's path up to the first dot of its last part. The key
of an image, `ILSVRC2012_val_00000293`, or the `filename` in the JSON of its sample identifies it, never its rank.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import ClassVar, Self

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_VAL, ImageCollection
from qi_datasets.sources.base import ArchiveSource, SourceImage, SpanLocation, by_name
from qi_datasets.sources.reading import open_archive
from qi_datasets.sources.tar import TarMember, tar_members

LARGEST_JSON = 1_000_000
"""Largest size of a sample's JSON in bytes; that of timm's copy has about a hundred."""

_IMAGES = frozenset(("jpg", "jpeg", "png", "webp"))
_BESIDE = frozenset(("json", "cls", "txt"))
_FIRST = 8
"""Number of members by which a tar is recognised as a shard."""


@dataclass(frozen=True)
class WebdatasetSource(ArchiveSource):
    """Local webdataset shards. names: image name -> SourceImage."""

    layout: ClassVar[str] = "webdataset shards"

    @classmethod
    def find(cls, shards: Sequence[str], where: str) -> Self | None:
        """Returns the source of these shards; None if none is a webdataset's or has a validation image."""
        if len(shards) == 1 and not is_shard(shards[0]):
            return None
        return cls.of_images(where, by_name((pair for shard in shards for pair in _listed(shard)), where))


def _listed(shard: str) -> Iterator[tuple[str, SourceImage]]:
    """Yields name and image of each sample of a shard; reads headers, and the JSON if a key is no name."""
    with open_archive(shard) as file:

        def read(member: TarMember) -> bytes:
            before = file.tell()
            file.seek(member.offset)
            data = file.read(member.size)
            file.seek(before)
            return data

        for names, member, _ in named_images(tar_members(file, shard), read, shard):
            location = SpanLocation(shard, member.offset, member.size, f"{member.name} in {shard}")
            yield names[0], SourceImage(*names, location)


def is_shard(path: str) -> bool:
    """Returns whether a tar begins like a webdataset's shard: with an image, and another file of the same key."""
    with open_archive(path) as file:
        try:
            first = [split_key(member.name) for member in islice(tar_members(file, path), _FIRST)]
        except SourceError:
            return False
    keys = {key for key, ending in first if ending in _IMAGES}
    return any(key in keys and ending in _BESIDE for key, ending in first)


def split_key(member: str) -> tuple[str, str]:
    """Returns the key and the extension, in lower case, of a shard's member."""
    folder, _, file = member.rpartition("/")
    key, _, ending = file.partition(".")
    return f"{folder}/{key}", ending.lower()


def named_images(
    members: Iterator[TarMember],
    read: Callable[[TarMember], bytes],
    where: str,
    passing: bool = False,
    collection: ImageCollection = IMAGENET_VAL,
    unnamed: bool = False,
) -> Iterator[tuple[tuple[str, str], TarMember, Callable[[], bytes]]]:
    """Yields name and synset, member, and a function that reads its bytes, of each image of a tar.

    Args:
        members: The tar's members, in its order.
        read: Reads a member's bytes.
        where: The tar's name in messages.
        passing: Whether a member can only be read before the next one is requested.
        collection: The collection of the images; others are left out.
        unnamed: Whether to yield images without names too, with an empty name.

    Raises:
        SourceError: If a sample's JSON is too large, or not JSON.
    """
    images: list[tuple[TarMember, Callable[[], bytes]]] = []
    last, filename = "", ""
    for member in members:
        names = collection.named(os.path.basename(member.name))
        if names:
            yield names, member, partial(read, member)
            continue
        key, ending = split_key(member.name)
        if key != last:
            if unnamed:
                yield from ((("", ""), *image) for image in images)
            last, filename, images = key, "", []
        if ending in _IMAGES:
            # In a stream, an image can't be read again once the name is known.
            images.append((member, partial(bytes, read(member)) if passing else partial(read, member)))
        elif ending == "json":
            filename = _filename(member, read, where)
        else:
            continue
        names = collection.named(os.path.basename(filename))
        if names:
            for image, reader in images:
                yield names, image, reader
            images = []
    if unnamed:
        yield from ((("", ""), *image) for image in images)


def _filename(member: TarMember, read: Callable[[TarMember], bytes], where: str) -> str:
    """Returns the image's name in a sample's JSON, "" if it has none."""
    if member.size > LARGEST_JSON:
        raise SourceError(
            f"{member.name} in {where} has {member.size} bytes, more than JSON of a sample may have", code="too-large"
        )
    try:
        content = json.loads(read(member))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{member.name} in {where} is no JSON; fetch the shard again", code="damaged") from error
    found = content.get("filename") if isinstance(content, dict) else None
    return found if isinstance(found, str) else ""
