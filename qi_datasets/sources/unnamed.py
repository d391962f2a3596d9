"""Images in archives without ImageNet's names: a recipe finds them by their content."""

import os
from collections.abc import Sequence
from typing import ClassVar

from qi_datasets.sources.base import ArchiveSource, SourceImage
from qi_datasets.sources.folders import image_suffixes
from qi_datasets.sources.members import is_tfrecord, list_members

_ARCHIVES = (".tar", ".zip", ".parquet", ".arrow")


class UnnamedSource(ArchiveSource):
    """Images under the archives' own names. names: name -> SourceImage."""

    layout: ClassVar[str] = "images without names"


def find_unnamed(files: Sequence[str], where: str) -> UnnamedSource | None:
    """Returns the source of all images in these archives; None if there are none; other files are ignored."""
    images: dict[str, SourceImage] = {}
    for file in files:
        if not (file.lower().endswith(_ARCHIVES) or is_tfrecord(file)):
            continue
        for number, member in enumerate(list_members(file)):
            if member.name and os.path.splitext(member.name)[1].lower() not in image_suffixes():
                continue
            name = f"{file.removeprefix(where).lstrip('/')}/{number}/{member.name}".lstrip("/")
            images[name] = SourceImage(name, "", member.location)
    return UnnamedSource(where, images) if images else None
