"""ImageNet's validation files in a folder, flat or by class, Kaggle's download, and any other folder of images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Self, TypeAlias

from PIL import Image

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_TRAIN, IMAGENET_VAL, WNID, ImageCollection
from qi_datasets.pixels.decoding import FORMATS
from qi_datasets.sources.base import FileLocation, Source, SourceImage, contradictions
from qi_datasets.sources.reading import open_regular

_Found: TypeAlias = tuple[str, str, str]
"""Image name, path below the folder, synset ("" if the layout gives none)."""

KAGGLE_VAL = Path("ILSVRC/Data/CLS-LOC/val")


def listing(folder: Path) -> list[str]:
    """The names in a folder; SourceError when it can't be read."""
    try:
        return os.listdir(folder)
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror}; check the path and its permissions") from error


def _validation_files(folder: Path) -> list[_Found]:
    """The validation files that lie in a folder itself."""
    matches = map(IMAGENET_VAL.file.fullmatch, listing(folder))
    return [(match["id"], match[0], match["wnid"] or "") for match in matches if match]


@dataclass(frozen=True)
class _FileSource(Source):
    """Image files below a folder. names: image name -> (path below the folder, synset)."""

    def located(self, name: str) -> SourceImage:
        """The image of that name."""
        path, wnid = self.names[name]
        return SourceImage(name, wnid, FileLocation(os.path.join(self.where, path)))

    @classmethod
    def of(
        cls, folder: Path, found: Sequence[_Found], collection: ImageCollection | None = IMAGENET_VAL
    ) -> Self | None:
        """The source of what was found, None for nothing at all; SourceError for twins with different bytes."""
        names = {name: (path, wnid) for name, path, wnid in found}
        if len(names) < len(found):
            # The first by path counts, whatever order the folder lists them in.
            names = {name: (path, wnid) for name, path, wnid in sorted(found, reverse=True)}
            for name, path, _ in found:
                one, other = (FileLocation(str(folder / twin)) for twin in (names[name][0], path))
                if one != other and SourceImage(name, "", one).read() != SourceImage(name, "", other).read():
                    raise SourceError(
                        f"{name} occurs twice with different bytes: {one} and {other}; remove one of them"
                    )
        if not names:
            return None
        given = ((name, wnid) for name, (_, wnid) in names.items())
        return cls(str(folder), names, collection, contradictions(collection, given) if collection else ())


class FlatFolder(_FileSource):
    """`ILSVRC2012_val_*.JPEG`, all in one folder."""

    layout: ClassVar[str] = "flat folder"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None if the folder holds no such file."""
        return cls.of(folder, _validation_files(folder))


class ClassFolders(_FileSource):
    """`n01440764/ILSVRC2012_val_00000293.JPEG`: a folder per synset."""

    layout: ClassVar[str] = "class folders"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None if no class folder holds such a file."""
        classes = [name for name in sorted(listing(folder)) if WNID.fullmatch(name) and (folder / name).is_dir()]
        found = [
            (name, f"{wnid}/{file}", wnid) for wnid in classes for name, file, _ in _validation_files(folder / wnid)
        ]
        return cls.of(folder, found)


class ImageNetRoot(_FileSource):
    """An ImageNet root whose `val/` is flat or by class."""

    layout: ClassVar[str] = "ImageNet root with val/"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None for a folder without `val/`, or without validation files there."""
        val = folder / "val"
        inner = (FlatFolder.find(val) or ClassFolders.find(val)) if val.is_dir() else None
        return None if inner is None else cls(inner.where, inner.names, inner.collection, inner.warnings)


class Kaggle(_FileSource):
    """The root of Kaggle's download, whose validation files lie deep below it."""

    layout: ClassVar[str] = "Kaggle"

    @classmethod
    def find(cls, root: Path) -> Self | None:
        """The source, or None if `root` is not the root of Kaggle's download."""
        val = root / KAGGLE_VAL
        return cls.of(val, _validation_files(val)) if val.is_dir() else None


def _checked_name(path: str) -> str:
    """A path that is to be an image's name; SourceError for one that no text can hold."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"the file name {os.fsencode(path)!r} is not UTF-8; rename the file") from error
    return path


def _unreadable(error: OSError) -> None:
    raise SourceError(
        f"cannot read {error.filename}: {error.strerror}; without it another selection would be made, so mend its "
        "permissions, or leave it out of the folder"
    ) from error


def is_built_set(folder: Path) -> bool:
    """Whether a folder holds a set that this package wrote: images, but none to make a set of."""
    try:
        with open_regular(str(folder / "manifest.json")) as file:
            return b'"spec_version"' in file.read(1000)
    except OSError:
        return False


@lru_cache(maxsize=1)
def image_suffixes() -> frozenset[str]:
    """The endings of the image files that are read."""
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS)


class AnyFolder(_FileSource):
    """Any folder of images, at any depth, named by their relative POSIX path: ImageNet's training images, or others."""

    layout: ClassVar[str] = "folder of images"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None for a folder without images at any depth."""
        found: list[_Found] = []
        training = True
        for parent, folders, files in os.walk(folder, onerror=_unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if is_built_set(Path(parent)):
                folders.clear()
                continue
            inside = Path(parent).relative_to(folder)
            wnid = inside.name if WNID.fullmatch(inside.name) else ""
            for file in sorted(files):
                if not file.startswith(".") and os.path.splitext(file)[1].lower() in image_suffixes():
                    path = _checked_name((inside / file).as_posix())
                    found.append((path, path, wnid))
                    training = training and bool(wnid and IMAGENET_TRAIN.file.fullmatch(file))
        return cls.of(folder, found, IMAGENET_TRAIN if training else None)
