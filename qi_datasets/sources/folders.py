"""ImageNet's validation files in a folder, flat or by class, Kaggle's download, and any other folder of images."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, repeat
from pathlib import Path
from typing import ClassVar, Self, TypeAlias

import numpy as np
from PIL import Image

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_TRAIN, IMAGENET_VAL, WNID, ImageCollection, are_labelled, ids_in, label_of
from qi_datasets.pixels.decoding import FORMATS
from qi_datasets.sources.base import FileLocation, Source, SourceImage, contradictions
from qi_datasets.sources.reading import open_regular
from qi_datasets.sources.refused import REMEDY, UNREAD, counted
from qi_datasets.sources.walk import TRAINING, folders_in, walk

_Found: TypeAlias = tuple[str, str, str]
"""Image name, path below the folder, synset ("" if the layout gives none)."""

KAGGLE_VAL = Path("ILSVRC/Data/CLS-LOC/val")


def listing(folder: str | Path) -> list[str]:
    """Returns the names in a folder; SourceError when it can't be read."""
    try:
        return os.listdir(folder)
    except OSError as error:
        raise SourceError(
            f"cannot read {folder}: {error.strerror}; check the path and its permissions", code="cannot-read"
        ) from error


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


@dataclass
class _Validation:
    """What folders hold of ImageNet's validation files, and pictures of other names beside them.

    folders: path below the source, names of the files, and the synset that the folder's name gives, "" if none.
    """

    folders: list[tuple[str, Sequence[str], str]] = field(default_factory=list)
    found: list[_Found] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, inside: str, files: Sequence[str], wnid: str = "") -> None:
        """Notes the files of one folder."""
        if files:
            self.folders.append((inside, files, wnid))

    def all_usual(self) -> dict[str, str] | None:
        """Returns id -> folder, if all files are named as ImageNet does, none is there twice, none in a wrong class."""
        usual = ids_in(chain.from_iterable(names for _, names, _ in self.folders))
        if usual is None:
            return None
        ids, numbers = usual
        counts = [len(names) for _, names, _ in self.folders]
        if any(wnid for _, _, wnid in self.folders):
            labels = np.repeat([label_of(wnid) for _, _, wnid in self.folders], counts)
            if not are_labelled(numbers, labels):
                return None
        insides = (repeat(inside, len(names)) for inside, names, _ in self.folders)
        folders = dict(zip(ids, chain.from_iterable(insides), strict=True))
        return folders if len(folders) == len(ids) else None

    def sort_out(self) -> None:
        """Looks at the files one by one: those of ImageNet are `found`, pictures besides are `others`."""
        named = IMAGENET_VAL.named
        for inside, files, wnid in self.folders:
            prefix = f"{inside}/" if inside else ""
            if usual := ids_in(files):
                self.found += [(name, prefix + file, wnid) for name, file in zip(usual[0], files, strict=True)]
                continue
            for file in files:
                names = named(file)
                if names is not None:
                    self.found.append((names[0], prefix + file, names[1] or wnid))
                elif _ending(file) in image_suffixes() | UNREAD and not file.startswith("."):
                    self.others.append(prefix + file)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line on the pictures that are ignored, and one on files of ImageNet's names that are no JPEGs."""
        lines = []
        if self.others:
            lines.append(f"{counted(self.others, 'other picture')} here ignored: without a name of {IMAGENET_VAL}'s")
        encoded = [path for _, path, _ in self.found if path[-4:].lower() == ".png"]
        if encoded:
            lines.append(f"{counted(encoded, 'file')} encoded again as PNG: not the files that ImageNet published")
        return tuple(lines)


@dataclass(frozen=True)
class _FileSource(Source):
    """Image files below a folder.

    names: image name -> (path below the folder, synset), or the folder of a file that is named as ImageNet does.
    """

    def located(self, name: str) -> SourceImage:
        """Returns the image of that name."""
        found: str | tuple[str, str] = self.names[name]
        if isinstance(found, str):
            last = found.rpartition("/")[2]
            found = (f"{found}/{name}.JPEG" if found else f"{name}.JPEG", last if WNID.fullmatch(last) else "")
        path, wnid = found
        return SourceImage(name, wnid, FileLocation(os.path.join(self.where, path)))

    @classmethod
    def of(
        cls,
        folder: Path,
        found: Sequence[_Found],
        collection: ImageCollection | None = IMAGENET_VAL,
        warnings: tuple[str, ...] = (),
    ) -> Self | None:
        """The source of what was found, None for nothing at all; SourceError for twins with different bytes."""
        names = {name: (path, wnid) for name, path, wnid in found}
        if len(names) < len(found):
            # The first by path counts, whatever order the folder lists them in.
            names = {name: (path, wnid) for name, path, wnid in sorted(found, reverse=True)}
            for name, path, _ in found:
                one, other = (FileLocation(str(folder / twin)) for twin in (names[name][0], path))
                if one != other and not _are_same(name, one, other):
                    raise SourceError(
                        f"{name} occurs twice with different bytes: {one} and {other}; remove one of them",
                        code="two-of-a-name",
                    )
        if not names:
            return None
        if collection:
            warnings += contradictions(collection, ((name, wnid) for name, (_, wnid) in names.items()))
        return cls(str(folder), names, collection, warnings)

    @classmethod
    def of_validation(cls, folder: Path, files: _Validation) -> Self | None:
        """Returns the source of ImageNet's validation files, None if there are none."""
        if usual := files.all_usual():
            return cls(str(folder), usual, IMAGENET_VAL)
        files.sort_out()
        return cls.of(folder, files.found, IMAGENET_VAL, files.warnings)


def _are_same(name: str, one: FileLocation, other: FileLocation) -> bool:
    """Returns whether two paths lead to one file, or to the same bytes."""
    with suppress(OSError):
        if os.path.samefile(one.path, other.path):  # noqa: PTH121
            return True
    return SourceImage(name, "", one).read() == SourceImage(name, "", other).read()


class FlatFolder(_FileSource):
    """`ILSVRC2012_val_*.JPEG`, all in one folder."""

    layout: ClassVar[str] = "flat folder"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source, or None if the folder holds no such file."""
        files = _Validation()
        files.add("", listing(folder))
        return cls.of_validation(folder, files)


class ClassFolders(_FileSource):
    """`n01440764/ILSVRC2012_val_00000293.JPEG`: a folder per synset."""

    layout: ClassVar[str] = "class folders"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source, or None if no class folder holds such a file."""
        files = _Validation()
        top = str(folder)
        for wnid in filter(WNID.fullmatch, folders_in(top)):
            files.add(wnid, listing(f"{top}/{wnid}"), wnid)
        return cls.of_validation(folder, files)


class ImageNetRoot(_FileSource):
    """An ImageNet root whose `val/` is flat or by class."""

    layout: ClassVar[str] = "ImageNet root with val/"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source, or None for a folder without `val/`, or without validation files there."""
        val = folder / "val"
        inner = (FlatFolder.find(val) or ClassFolders.find(val)) if val.is_dir() else None
        return None if inner is None else cls(inner.where, inner.names, inner.collection, inner.warnings)


class Kaggle(_FileSource):
    """The root of Kaggle's download, whose validation files lie deep below it."""

    layout: ClassVar[str] = "Kaggle"

    @classmethod
    def find(cls, root: Path) -> Self | None:
        """Returns the source, or None if `root` is not the root of Kaggle's download."""
        val = root / KAGGLE_VAL
        if not val.is_dir():
            return None
        files = _Validation()
        files.add("", listing(val))
        return cls.of_validation(val, files)


class NestedFolders(_FileSource):
    """`ILSVRC2012_val_*.JPEG` at any depth, whatever the folders above them are called, but for training folders."""

    layout: ClassVar[str] = "nested folders"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source, or None if no folder outside of `train/` holds such a file."""
        files = _Validation()
        for inside, names in walk(str(folder), TRAINING):
            last = inside.rpartition("/")[2]
            files.add(inside, names, last if WNID.fullmatch(last) else "")
        return cls.of_validation(folder, files)


def _checked_name(path: str) -> str:
    """A path that is to be an image's name; SourceError for one that no text can hold."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"the file name {os.fsencode(path)!r} is not UTF-8; rename the file") from error
    return path


def is_built_set(folder: Path) -> bool:
    """Returns whether a folder holds a set that this package wrote: images, but none to make a set of."""
    try:
        with open_regular(str(folder / "manifest.json")) as file:
            return b'"spec_version"' in file.read(1000)
    except OSError:
        return False


@lru_cache(maxsize=1)
def image_suffixes() -> frozenset[str]:
    """Returns the endings of the image files that are read."""
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS)


class AnyFolder(_FileSource):
    """Any folder of images, at any depth, named by their relative POSIX path: ImageNet's training images, or others."""

    layout: ClassVar[str] = "folder of images"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source, or None for a folder without images at any depth."""
        found: list[_Found] = []
        unread: list[str] = []
        training = True
        built: tuple[str, ...] = ()
        for inside, files in walk(str(folder)):
            if built and inside.startswith(built):
                continue
            if is_built_set(folder / inside):
                built += (f"{inside}/" if inside else "",)
                continue
            last = inside.rpartition("/")[2]
            wnid = last if WNID.fullmatch(last) else ""
            for file in files:
                ending = _ending(file)
                if file.startswith(".") or ending not in image_suffixes() | UNREAD:
                    continue
                path = f"{inside}/{file}" if inside else file
                if IMAGENET_VAL.named(file):
                    raise SourceError(
                        f"{folder / path} has a name of {IMAGENET_VAL} in a folder of training images, which are never "
                        "drawn from; give the folder that holds the validation images alone"
                    )
                if ending in UNREAD:
                    unread.append(_checked_name(path))
                    continue
                found.append((_checked_name(path), path, wnid))
                training = training and bool(wnid and IMAGENET_TRAIN.file.fullmatch(file))
        warnings = (f"{counted(unread, 'picture')} here ignored: {REMEDY}",) if unread else ()
        return cls.of(folder, found, IMAGENET_TRAIN if training else None, warnings)
